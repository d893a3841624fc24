/* From a page's bytes to its article: charset, tree, the article's part of it, text. */
#include "text/html.h"

#include "text/html_article.h"
#include "text/html_charset.h"
#include "text/html_metadata.h"
#include "text/html_page.h"
#include "text/html_render.h"

#include <string.h>

/* Where JSON-LD's article is this many times longer, the page itself shows only a beginning, or
 * builds the rest by script. */
#define LONGER_TIMES 2

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a page's article");
}

/* JSON-LD holds plain text or a piece of HTML. */
static bool looks_like_markup(const buf *body)
{
    return body->size_bytes > 0 &&
           (strstr(body->data, "</") != NULL || strstr(body->data, "<br") != NULL ||
            strstr(body->data, "&#") != NULL || strstr(body->data, "&quot;") != NULL ||
            strstr(body->data, "&nbsp;") != NULL || strstr(body->data, "&amp;") != NULL);
}

static slant_status render_markup(buf *markup, const buf *title, buf *text, slant_error *err)
{
    html_page page;
    slant_status status = html_page_open(&page, markup->data, markup->size_bytes, err);
    if (status != SLANT_OK)
        return status;
    html_article_find(&page);
    html_render(&page, page.body, title, text);
    html_page_close(&page);
    return SLANT_OK;
}

/* Lines are paragraphs. */
static void append_lines(const buf *body, buf *text)
{
    const char *at = body->data, *end = at + body->size_bytes;
    size_t first = text->size_bytes;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline == NULL ? end : newline;
        size_t before = text->size_bytes;
        if (before > first)
            buf_string(text, "\n\n");
        size_t joined = text->size_bytes;
        html_append_folded(text, at, (size_t)(line_end - at));
        if (text->size_bytes == joined && text->data != NULL) {
            text->size_bytes = before;
            text->data[before] = '\0';
        }
        at = newline == NULL ? end : newline + 1;
    }
}

static slant_status prefer_linked_data(const html_page *page, const buf *title, size_t first,
                                       buf *text, slant_error *err)
{
    buf body = {0};
    slant_status status = html_linked_data_body(page, &body, err);
    if (status == SLANT_OK && body.size_bytes > (text->size_bytes - first) * LONGER_TIMES) {
        text->size_bytes = first;
        if (text->data != NULL)
            text->data[first] = '\0';
        if (looks_like_markup(&body))
            status = render_markup(&body, title, text, err);
        else
            append_lines(&body, text);
    }
    buf_free(&body);
    return status;
}

static slant_status extract(char *html, size_t html_bytes, buf *text, buf *title, slant_error *err)
{
    html_page page;
    size_t first = text->size_bytes;
    slant_status status = html_page_open(&page, html, html_bytes, err);
    if (status != SLANT_OK)
        return status;
    html_headline(&page, title);
    uint32_t article = html_article_find(&page);
    if (page.nodes[article].prose > 0)
        html_render(&page, article, title, text);
    status = prefer_linked_data(&page, title, first, text, err);
    html_page_close(&page);
    if (status == SLANT_OK && (text->failed || title->failed))
        status = out_of_memory(err);
    return status;
}

slant_status html_extract(const char *html, size_t html_bytes, bool lossy, buf *text, buf *title,
                          slant_error *err)
{
    buf utf8 = {0};
    slant_status status = html_to_utf8(html, html_bytes, lossy, &utf8, err);
    if (status == SLANT_OK && utf8.size_bytes > 0)
        status = extract(utf8.data, utf8.size_bytes, text, title, err);
    buf_free(&utf8);
    return status;
}
