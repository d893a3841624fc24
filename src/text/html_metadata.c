#include "text/html_metadata.h"

#include "text/html_render.h"

#include <jansson.h>
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
                             buf *heading)
{
    uint32_t first_h1 = 0;
    for (uint32_t i = 1; i < page->n_nodes; i++) {
        if (!is_heading(&page->nodes[i]))
            continue;
        buf_clear(heading);
        html_render_line(page, i, heading);
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
    page->headline = find_heading(page, &og_title, &page_title, &heading);
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

/* Depth first; the values stay json's. */
static void longest_body(const json_t *json, int depth, const json_t **longest)
{
    const char *key;
    json_t *value;
    size_t index;
    if (depth == 0)
        return;
    json_array_foreach(json, index, value) longest_body(value, depth - 1, longest);
    json_object_foreach((json_t *)json, key, value)
    {
        if (json_is_string(value) && strcmp(key, "articleBody") == 0) {
            if (*longest == NULL || json_string_length(value) > json_string_length(*longest))
                *longest = value;
        } else {
            longest_body(value, depth - 1, longest);
        }
    }
}

static bool is_linked_data(const html_node *node)
{
    const char *type = html_attribute(node, "type");
    return html_tag(node) == GUMBO_TAG_SCRIPT && type != NULL &&
           strcasecmp(type, "application/ld+json") == 0;
}

/* A script that is not JSON says nothing; that is the page's affair, not an error. */
static void take_body(const html_node *script, buf *body)
{
    const json_t *longest = NULL;
    json_t *json = json_loadb(script->text, script->text_bytes, JSON_ALLOW_NUL, NULL);
    longest_body(json, LINKED_DATA_DEPTH, &longest);
    if (longest != NULL && json_string_length(longest) > body->size_bytes) {
        buf_clear(body);
        buf_append(body, json_string_value(longest), json_string_length(longest));
    }
    json_decref(json);
}

slant_status html_linked_data_body(const html_page *page, buf *body, slant_error *err)
{
    for (uint32_t i = 0; i + 1 < page->n_nodes; i++)
        if (is_linked_data(&page->nodes[i]) && page->nodes[i + 1].parent == i &&
            page->nodes[i + 1].element == NULL)
            take_body(&page->nodes[i + 1], body);
    return body->failed ? status_fail(err, SLANT_ERR_MEMORY, "out of memory for a page's article")
                        : SLANT_OK;
}
