#include "text/html_metadata.h"

#include "text/html_render.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

/* How deep an articleBody is looked for: list, @graph, article, hasPart … */
#define LINKED_DATA_DEPTH 16

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
static void cut_site_name(buf *title, size_t first)
{
    static const char *const separators[] = {" | ", " - ", " – ", " — ", " :: "};
    char *text = title->data + first, *cut = NULL;
    for (size_t i = 0; i < sizeof separators / sizeof *separators; i++)
        for (char *at = text; (at = strstr(at, separators[i])) != NULL; at++)
            if (cut == NULL || at > cut)
                cut = at;
    size_t kept = cut == NULL ? 0 : (size_t)(cut - text);
    if (kept * 2 < title->size_bytes - first)
        return;
    title->size_bytes = first + kept;
    title->data[title->size_bytes] = '\0';
}

static void first_of_tag(const html_page *page, GumboTag tag, bool shown, buf *title)
{
    size_t before = title->size_bytes;
    for (uint32_t i = 0; i < page->n_nodes && title->size_bytes == before; i++)
        if (html_tag(&page->nodes[i]) == tag && !(shown && page->nodes[i].dropped))
            html_render_line(page, i, title);
}

void html_headline(const html_page *page, buf *title)
{
    size_t before = title->size_bytes;
    for (uint32_t i = 0; i < page->n_nodes && title->size_bytes == before; i++)
        if (is_og_title(&page->nodes[i])) {
            const char *content = html_attribute(&page->nodes[i], "content");
            html_append_folded(title, content, strlen(content));
        }
    if (title->size_bytes == before)
        first_of_tag(page, GUMBO_TAG_H1, true, title);
    if (title->size_bytes > before)
        return;
    first_of_tag(page, GUMBO_TAG_TITLE, false, title);
    if (title->size_bytes > before)
        cut_site_name(title, before);
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
