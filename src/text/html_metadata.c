#include "text/html_metadata.h"

#include "text/html_render.h"
#include "text/json_reader.h"

#include <string.h>
#include <strings.h>

/* How deep an articleBody is looked for: list, @graph, article, hasPart … */
#define LINKED_DATA_DEPTH 16
/* A shorter heading may begin the page's title by chance. */
#define HEADLINE_BYTES 15

static bool is_og_title(const html_node *node)
{
    if (html_tag(node) != GUMBO_TAG_META || html_attribute(node, "content") == NULL)
        return false;
    const char *property = html_attribute(node, "property");
    if (property == NULL)
        property = html_attribute(node, "name");
    return property != NULL && strcasecmp(property, "og:title") == 0;
}

/* "Headline | Site" and "Headline - Site": what is left must still be longer than what is cut. */
static void cut_site_name(buf *title)
{
    static const char *const separators[] = {" | ", " - ", " – ", " — ", " :: "};
    char *cut = NULL;
    for (size_t i = 0; i < sizeof separators / sizeof *separators; i++)
        for (char *at = title->data; (at = strstr(at, separators[i])) != NULL; at++)
            if (cut == NULL || at > cut)
                cut = at;
    size_t kept = cut == NULL ? 0 : (size_t)(cut - title->data);
    if (kept * 2 < title->size_bytes)
        return;
    title->size_bytes = kept;
    title->data[kept] = '\0';
}

static void append_og_title(const html_page *page, buf *title)
{
    for (uint32_t i = 0; i < page->n_nodes; i++)
        if (is_og_title(&page->nodes[i])) {
            const char *content = html_attribute(&page->nodes[i], "content");
            html_append_folded(title, content, strlen(content));
            return;
        }
}

/* The title element of the head; an svg may hold others. */
static void append_page_title(const html_page *page, buf *title)
{
    for (uint32_t i = 0; i < page->n_nodes; i++)
        if (html_tag(&page->nodes[i]) == GUMBO_TAG_TITLE) {
            html_render_line(page, i, title);
            return;
        }
}

static bool is_heading(const html_node *node)
{
    return html_tag(node) == GUMBO_TAG_H1 || html_tag(node) == GUMBO_TAG_H2 ||
           html_tag(node) == GUMBO_TAG_H3;
}

static bool begins_with(const buf *title, const buf *heading)
{
    return heading->size_bytes >= HEADLINE_BYTES && title->size_bytes >= heading->size_bytes &&
           strncasecmp(title->data, heading->data, heading->size_bytes) == 0;
}

/* The heading that the title repeats; sites often put their own name in the h1. */
static uint32_t find_heading(const html_page *page, const buf *og_title, const buf *page_title,
                             buf *heading, bool *failed)
{
    uint32_t first_h1 = 0;
    for (uint32_t i = 1; i < page->n_nodes; i++) {
        if (!is_heading(&page->nodes[i]))
            continue;
        buf_clear(heading);
        html_render_line(page, i, heading);
        *failed |= heading->failed;
        if (begins_with(og_title, heading) || begins_with(page_title, heading))
            return i;
        if (first_h1 == 0 && html_tag(&page->nodes[i]) == GUMBO_TAG_H1 && heading->size_bytes > 0)
            first_h1 = i;
    }
    buf_clear(heading);
    if (first_h1 != 0)
        html_render_line(page, first_h1, heading);
    return first_h1;
}

void html_headline(html_page *page, buf *title)
{
    buf og_title = {0}, page_title = {0}, heading = {0};
    append_og_title(page, &og_title);
    append_page_title(page, &page_title);
    page->headline = find_heading(page, &og_title, &page_title, &heading, &title->failed);
    if (og_title.size_bytes == 0 && heading.size_bytes == 0 && page_title.size_bytes > 0)
        cut_site_name(&page_title);
    const buf *best = og_title.size_bytes > 0  ? &og_title
                      : heading.size_bytes > 0 ? &heading
                                               : &page_title;
    if (best->size_bytes > 0)
        buf_append(title, best->data, best->size_bytes);
    title->failed |= og_title.failed || page_title.failed || heading.failed;
    buf_free(&og_title);
    buf_free(&page_title);
    buf_free(&heading);
}

/* Reads the value that comes next, depth first. */
static void find_longest(json_reader *r, int depth, json_text *longest)
{
    json_text key, text;
    char first = json_peek(r);
    if (depth > 0 && first == '{' && json_begin_object(r)) {
        while (json_next_key(r, &key)) {
            if (!json_text_is(key, "articleBody") || json_peek(r) != '"')
                find_longest(r, depth - 1, longest);
            else if (json_read_text(r, &text) && text.size_bytes > longest->size_bytes)
                *longest = text;
        }
    } else if (depth > 0 && first == '[' && json_begin_array(r)) {
        while (json_next_item(r))
            find_longest(r, depth - 1, longest);
    } else {
        json_skip(r);
    }
}

static bool is_linked_data(const html_node *node)
{
    const char *type = html_attribute(node, "type");
    return html_tag(node) == GUMBO_TAG_SCRIPT && type != NULL &&
           strcasecmp(type, "application/ld+json") == 0;
}

/* A script that is not JSON says nothing; that is the page's affair, not an error. */
static slant_status take_body(const html_node *script, buf *body, slant_error *err)
{
    arena strings = {0};
    json_reader reader;
    json_text longest = {0};
    json_reader_init(&reader, script->text, script->text_bytes, &strings);
    find_longest(&reader, LINKED_DATA_DEPTH, &longest);
    bool whole = json_finish(&reader);
    bool out_of_memory = !whole && strcmp(reader.problem, "out of memory") == 0;
    if (whole && longest.size_bytes > body->size_bytes) {
        buf_clear(body);
        buf_append(body, longest.text, longest.size_bytes);
    }
    arena_free(&strings);
    return out_of_memory ? status_fail(err, SLANT_ERR_MEMORY, "out of memory for a page's JSON-LD")
                         : SLANT_OK;
}

slant_status html_linked_data_body(const html_page *page, buf *body, slant_error *err)
{
    const html_node *nodes = page->nodes;
    slant_status status = SLANT_OK;
    for (uint32_t i = 0; i + 1 < page->n_nodes && status == SLANT_OK; i++)
        if (is_linked_data(&nodes[i]) && nodes[i + 1].parent == i && nodes[i + 1].element == NULL)
            status = take_body(&nodes[i + 1], body, err);
    if (status == SLANT_OK && body->failed)
        status = status_fail(err, SLANT_ERR_MEMORY, "out of memory for a page's article");
    return status;
}
