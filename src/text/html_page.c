#include "text/html_page.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdalign.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* gumbo takes no "no" for an answer when it asks for memory, and the time that some malformed pages
 * take grows with the square of their length. Every token asks for memory, so the allocator is
 * where both are bounded: it jumps out of the parser, and all that was allocated is freed from a
 * list. */
#define TREE_BYTES_BASE ((size_t)64 << 20)
#define TREE_BYTES_PER_BYTE 64
#define TREE_BYTES_MAX ((size_t)2 << 30)
#define SECONDS_BASE 2
#define SECONDS_PER_MIB 0.5
#define ALLOCATIONS_PER_LOOK 1024

typedef struct html_block {
    struct html_block *previous, *next;
    size_t size_bytes;
    alignas(16) char bytes[];
} html_block;

typedef struct parse {
    jmp_buf give_up;
    html_block *newest;
    size_t held_bytes, max_bytes;
    uint64_t n_allocations;
    double deadline; /* in seconds of this thread's CPU time */
    const char *problem;
    slant_status status;
} parse;

static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static _Noreturn void give_up(parse *p, slant_status status, const char *problem)
{
    p->status = status;
    p->problem = problem;
    longjmp(p->give_up, 1);
}

static void *parse_alloc(void *context, size_t size_bytes)
{
    parse *p = context;
    if (++p->n_allocations % ALLOCATIONS_PER_LOOK == 0 && thread_seconds() > p->deadline)
        give_up(p, SLANT_ERR_FORMAT, "the page's tags are too tangled to be parsed in time");
    if (size_bytes > p->max_bytes - p->held_bytes)
        give_up(p, SLANT_ERR_FORMAT, "the page's tags are too tangled to be held in memory");
    html_block *block = mem_alloc(1, sizeof *block + size_bytes);
    if (block == NULL)
        give_up(p, SLANT_ERR_MEMORY, "out of memory for a page's tree");
    block->size_bytes = size_bytes;
    block->previous = p->newest;
    block->next = NULL;
    if (p->newest != NULL)
        p->newest->next = block;
    p->newest = block;
    p->held_bytes += size_bytes;
    return block->bytes;
}

static void parse_free(void *context, void *pointer)
{
    parse *p = context;
    if (pointer == NULL)
        return;
    html_block *block = (html_block *)((char *)pointer - offsetof(html_block, bytes));
    if (block->previous != NULL)
        block->previous->next = block->next;
    if (block->next != NULL)
        block->next->previous = block->previous;
    else
        p->newest = block->previous;
    p->held_bytes -= block->size_bytes;
    mem_free(block);
}

static void free_blocks(html_block *newest)
{
    while (newest != NULL) {
        html_block *previous = newest->previous;
        mem_free(newest);
        newest = previous;
    }
}

/* A frameset makes the parser destroy the body that it has built, by recursion as deep as the tree.
 * There is no article in a page of frames, so the tag loses its name. */
static void disarm_framesets(char *html, size_t html_bytes)
{
    static const char tag[] = "<frameset";
    char *at = html, *end = html + html_bytes;
    while ((at = memchr(at, '<', (size_t)(end - at))) != NULL) {
        if ((size_t)(end - at) >= sizeof tag - 1 && strncasecmp(at, tag, sizeof tag - 1) == 0)
            memset(at + 1, 'x', sizeof tag - 2);
        at++;
    }
}

static slant_status add_node(html_page *page, html_node node, slant_error *err)
{
    if (page->n_nodes == page->cap) {
        size_t cap = page->cap == 0 ? 1024 : 2 * page->cap;
        html_node *nodes = cap > UINT32_MAX ? NULL : mem_realloc(page->nodes, cap, sizeof *nodes);
        if (nodes == NULL)
            return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a page's tree");
        page->nodes = nodes;
        page->cap = cap;
    }
    page->nodes[page->n_nodes++] = node;
    return SLANT_OK;
}

/* Adds a node's next child; *open becomes the child where it is an element. */
static slant_status add_child(html_page *page, const GumboNode *child, uint32_t *open,
                              slant_error *err)
{
    html_node node = {.parent = *open, .end = (uint32_t)page->n_nodes + 1};
    switch (child->type) {
    case GUMBO_NODE_ELEMENT:
        node.element = &child->v.element;
        *open = (uint32_t)page->n_nodes;
        break;
    case GUMBO_NODE_TEXT:
    case GUMBO_NODE_CDATA:
    case GUMBO_NODE_WHITESPACE:
        node.text = child->v.text.text;
        node.text_bytes = strlen(node.text);
        break;
    default:
        return SLANT_OK; /* comments, and templates, which are not on the page */
    }
    return add_node(page, node, err);
}

static slant_status flatten(html_page *page, const GumboElement *root, slant_error *err)
{
    uint32_t open = 0;
    slant_status status = add_node(page, (html_node){.element = root}, err);
    while (status == SLANT_OK) {
        html_node *node = &page->nodes[open];
        if (node->element != NULL && node->next_child < node->element->children.length) {
            const GumboNode *child = node->element->children.data[node->next_child++];
            status = add_child(page, child, &open, err);
            continue;
        }
        node->end = (uint32_t)page->n_nodes;
        if (open == 0)
            break;
        open = node->parent;
    }
    return status;
}

/* In a frame of its own, so that what is changed before the jump is kept in memory. */
static const GumboOutput *run_gumbo(parse *p, const char *html, size_t html_bytes)
{
    GumboOptions options = kGumboDefaultOptions;
    options.allocator = parse_alloc;
    options.deallocator = parse_free;
    options.userdata = p;
    options.max_errors = 0;
    if (setjmp(p->give_up) != 0)
        return NULL;
    return gumbo_parse_with_options(&options, html, html_bytes);
}

static uint32_t find_body(const html_page *page)
{
    for (size_t i = 1; i < page->n_nodes; i = page->nodes[i].end)
        if (html_tag(&page->nodes[i]) == GUMBO_TAG_BODY)
            return (uint32_t)i;
    return 0;
}

slant_status html_page_open(html_page *page, char *html, size_t html_bytes, slant_error *err)
{
    *page = (html_page){0};
    parse p = {.max_bytes = TREE_BYTES_BASE + TREE_BYTES_PER_BYTE * html_bytes,
               .deadline = thread_seconds() + SECONDS_BASE +
                           SECONDS_PER_MIB * ((double)html_bytes / (1 << 20))};
    if (p.max_bytes > TREE_BYTES_MAX)
        p.max_bytes = TREE_BYTES_MAX;
    disarm_framesets(html, html_bytes);
    const GumboOutput *output = run_gumbo(&p, html, html_bytes);
    page->memory = p.newest;
    slant_status status = SLANT_OK;
    if (output == NULL)
        status = status_fail(err, p.status, "%s", p.problem);
    else
        status = flatten(page, &output->root->v.element, err);
    if (status != SLANT_OK) {
        html_page_close(page);
        return status;
    }
    page->body = find_body(page);
    return SLANT_OK;
}

void html_page_close(html_page *page)
{
    free_blocks(page->memory);
    mem_free(page->nodes);
    *page = (html_page){0};
}

const char *html_attribute(const html_node *node, const char *name)
{
    if (node->element == NULL)
        return NULL;
    const GumboAttribute *attribute = gumbo_get_attribute(&node->element->attributes, name);
    return attribute == NULL ? NULL : attribute->value;
}
