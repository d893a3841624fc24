#include "text/html_article.h"

#include "text/html_hints.h"

#include <string.h>

/* A paragraph of fewer characters is as likely a caption or a button as a sentence. */
#define SENTENCE_CHARS 80
/* What an element that calls itself the article must hold, unless it holds much of the page. */
#define ARTICLE_CHARS 250

/* Chinese, Japanese and Korean say with one character what takes others two or more. */
static uint32_t count_chars(const html_node *node)
{
    uint32_t n = 0;
    for (size_t i = 0; i < node->text_bytes; i++) {
        unsigned char c = (unsigned char)node->text[i];
        n += c > 0x20 && (c & 0xC0) != 0x80;
        n += c >= 0xE3 && c <= 0xED;
    }
    return n;
}

/* Downwards: who is in what. */
static void inherit(html_page *page)
{
    for (size_t i = 0; i < page->n_nodes; i++) {
        html_node *node = &page->nodes[i];
        const html_node *parent = &page->nodes[node->parent];
        node->is_block = node->element != NULL && html_tag_is_block(html_tag(node));
        node->block = node->is_block || i == 0 ? (uint32_t)i : parent->block;
        node->in_link = (i > 0 && parent->in_link) ||
                        (html_tag(node) == GUMBO_TAG_A && html_attribute(node, "href") != NULL);
        node->has_headline = i > 0 && i == page->headline;
        node->has_body = html_is_article_body(node);
    }
}

static void drop_hidden(html_page *page)
{
    for (size_t i = 1; i < page->n_nodes; i++)
        page->nodes[i].dropped =
            page->nodes[page->nodes[i].parent].dropped || html_never_shown(&page->nodes[i]);
}

/* Upwards: how much is beneath. Children stand behind their parents. */
static void measure(html_page *page)
{
    html_node *nodes = page->nodes;
    for (size_t i = 0; i < page->n_nodes; i++)
        nodes[i].chars = nodes[i].link_chars = nodes[i].prose = 0;
    for (size_t i = 0; i < page->n_nodes; i++) {
        html_node *node = &nodes[i];
        if (node->element != NULL || node->dropped)
            continue;
        node->chars = count_chars(node);
        node->link_chars = node->in_link ? node->chars : 0;
        /* until they are weighed, a block's prose is the unlinked text that is its own */
        nodes[node->block].prose += node->chars - node->link_chars;
    }
    for (size_t i = page->n_nodes - 1; i > 0; i--) {
        html_node *node = &nodes[i], *parent = &nodes[node->parent];
        parent->chars += node->chars;
        parent->link_chars += node->link_chars;
        parent->has_headline |= node->has_headline && !node->dropped;
        parent->has_body |= node->has_body && !node->dropped;
    }
}

/* Long paragraphs of plain text are prose; short ones may be anything; rows of links are none. */
static uint32_t weigh(const html_node *block, uint32_t own_chars)
{
    if (html_is_link_block(block))
        return 0;
    return own_chars >= SENTENCE_CHARS ? own_chars : (own_chars + 3) / 4;
}

static void weigh_prose(html_page *page)
{
    html_node *nodes = page->nodes;
    for (size_t i = 0; i < page->n_nodes; i++)
        nodes[i].prose = weigh(&nodes[i], nodes[i].prose);
    for (size_t i = page->n_nodes - 1; i > 0; i--)
        nodes[nodes[i].parent].prose += nodes[i].prose;
}

bool html_is_link_block(const html_node *node)
{
    if (html_tag(node) == GUMBO_TAG_P && node->chars - node->link_chars >= SENTENCE_CHARS)
        return false;
    return node->link_chars * 3 > node->chars * 2;
}

/* Names in class and id tell chrome from content, but pages also name their outermost boxes after
 * what is somewhere in them: what holds the headline, the marked body or much of the prose stays.
 */
static bool is_chrome(const html_page *page, const html_node *node, bool by_names)
{
    html_hint hint = html_hint_of_tag(node), names = HTML_HINT_NONE;
    if (by_names)
        names = html_hint_of_names(node);
    if (names > hint)
        hint = names;
    if (hint == HTML_HINT_NONE || node->has_headline || node->has_body)
        return false;
    if (hint == HTML_HINT_CHROME)
        return true;
    return node->prose * 3 < page->nodes[page->body].prose;
}

static void drop_chrome(html_page *page, bool by_names)
{
    for (size_t i = 1; i < page->n_nodes; i++) {
        html_node *node = &page->nodes[i];
        node->dropped |=
            page->nodes[node->parent].dropped ||
            (node->element != NULL && i != page->body && is_chrome(page, node, by_names));
    }
}

static uint32_t weigh_all(html_page *page)
{
    measure(page);
    weigh_prose(page);
    return page->nodes[page->body].prose;
}

/* An article that was cut in pieces by advertisements has them side by side; what stands between
 * them is dropped. */
static uint32_t join_pieces(html_page *page, uint32_t parent)
{
    html_node *nodes = page->nodes;
    for (uint32_t i = parent + 1; i < nodes[parent].end; i = nodes[i].end)
        if (!nodes[i].has_body)
            for (uint32_t j = i; j < nodes[i].end; j++)
                nodes[j].dropped = true;
    return parent;
}

static uint32_t marked_body(html_page *page)
{
    const html_node *nodes = page->nodes;
    uint32_t total = nodes[page->body].prose, first = 0;
    for (uint32_t i = 1; i < page->n_nodes; i++) {
        if (nodes[i].dropped || !html_is_article_body(&nodes[i]))
            continue;
        if (first != 0 && nodes[i].parent == nodes[first].parent)
            return join_pieces(page, nodes[first].parent);
        if (first == 0 && (nodes[i].prose >= ARTICLE_CHARS || nodes[i].prose * 3 >= total))
            first = i;
    }
    return first;
}

/* Of two parts of the page the one with the headline, if it is more than a head; else the one with
 * more prose. 0 is no part. */
static uint32_t likelier(const html_page *page, uint32_t a, uint32_t b)
{
    const html_node *nodes = page->nodes;
    if (a == 0 || b == 0)
        return a == 0 ? b : a;
    uint32_t more = nodes[b].prose > nodes[a].prose ? b : a, less = more == a ? b : a;
    bool less_has_it = nodes[less].has_headline && !nodes[more].has_headline;
    return less_has_it && nodes[less].prose >= ARTICLE_CHARS ? less : more;
}

/* The likeliest element of this tag or role, if it holds a good part of the page's prose. */
static uint32_t likeliest(const html_page *page, GumboTag tag, const char *role)
{
    const html_node *nodes = page->nodes;
    uint32_t best = 0;
    for (uint32_t i = 1; i < page->n_nodes; i++) {
        const char *own_role = html_attribute(&nodes[i], "role");
        bool fits = html_tag(&nodes[i]) == tag || (own_role != NULL && strcmp(own_role, role) == 0);
        if (fits && !nodes[i].dropped && nodes[i].prose > 0)
            best = likelier(page, best, i);
    }
    bool enough = nodes[best].has_headline && nodes[best].prose >= ARTICLE_CHARS;
    return enough || nodes[best].prose * 3 >= nodes[page->body].prose ? best : 0;
}

/* The prose in paragraphs that are children of this very node, and in its own text. */
static uint32_t direct_prose(const html_page *page, uint32_t at)
{
    const html_node *nodes = page->nodes;
    uint32_t in_boxes = 0;
    for (uint32_t i = at + 1; i < nodes[at].end; i = nodes[i].end)
        if (!nodes[i].dropped && !html_tag_is_paragraph(html_tag(&nodes[i])))
            in_boxes += nodes[i].prose;
    return nodes[at].prose - in_boxes;
}

/* The likeliest box among a node's children; 0: none. */
static uint32_t best_box(const html_page *page, uint32_t at)
{
    const html_node *nodes = page->nodes;
    uint32_t best = 0;
    for (uint32_t i = at + 1; i < nodes[at].end; i = nodes[i].end)
        if (!nodes[i].dropped && nodes[i].prose > 0 && nodes[i].element != NULL &&
            !html_tag_is_paragraph(html_tag(&nodes[i])))
            best = likelier(page, best, i);
    return best;
}

/* Whether another box with prose is made like this one: then they are pieces of one article. */
static bool has_twin(const html_page *page, uint32_t box)
{
    const html_node *nodes = page->nodes;
    uint32_t parent = nodes[box].parent;
    for (uint32_t i = parent + 1; i < nodes[parent].end; i = nodes[i].end)
        if (i != box && !nodes[i].dropped && nodes[i].prose >= SENTENCE_CHARS &&
            html_made_alike(&nodes[i], &nodes[box]))
            return true;
    return false;
}

/* Follows the prose down: into a box as long as it alone holds more than half of what there is and
 * hardly anything stands beside the boxes. Where paragraphs begin, or prose is spread over several
 * boxes, is the article. */
static uint32_t densest(const html_page *page, uint32_t at)
{
    const html_node *nodes = page->nodes;
    for (;;) {
        uint32_t best = best_box(page, at);
        if (best == 0 || (nodes[best].prose * 2 <= nodes[at].prose && !nodes[best].has_headline) ||
            direct_prose(page, at) * 10 >= nodes[at].prose || has_twin(page, best))
            return at;
        at = best;
    }
}

uint32_t html_article_find(html_page *page)
{
    inherit(page);
    drop_hidden(page);
    uint32_t all_prose = weigh_all(page);
    drop_chrome(page, true);
    uint32_t prose = weigh_all(page);
    if (prose < ARTICLE_CHARS && prose * 10 < all_prose) {
        /* The names misled: a box around everything is called after a part of it. */
        drop_hidden(page);
        weigh_all(page);
        drop_chrome(page, false);
        weigh_all(page);
    }
    uint32_t found = marked_body(page);
    if (found == 0)
        found = likeliest(page, GUMBO_TAG_ARTICLE, "article");
    if (found != 0)
        return found;
    uint32_t scope = likeliest(page, GUMBO_TAG_MAIN, "main");
    return densest(page, scope != 0 ? scope : page->body);
}
