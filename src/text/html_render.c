#include "text/html_render.h"

#include "text/html_article.h"
#include "text/html_hints.h"

#include <string.h>
#include <strings.h>

typedef struct renderer {
    const buf *headline;
    buf *out;
    buf paragraph;    /* being collected */
    buf heading;      /* waits for the text that it heads */
    buf front;        /* lines before the first sentence: author, date, place */
    bool begun;       /* the first sentence was written */
    const char *join; /* goes between what is written and the next paragraph */
    bool in_heading, space, tab;
    int breaks;  /* <br>s since the last text */
    bool failed; /* memory ran out */
} renderer;

/* buf_clear forgets that memory ran out. */
static void clear(renderer *r, buf *b)
{
    r->failed |= b->failed;
    buf_clear(b);
}

static bool begins(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* What sites put between paragraphs in the paragraphs' own clothes. */
static bool is_filler(const char *text, size_t text_bytes)
{
    static const char *const whole[] = {
        "advertisement",
        "image",
        "advert",
        "tags",
        "advertising",
        "sponsored",
        "sponsored content",
        "read more",
        "continue reading",
        "related articles",
        "related stories",
        "related",
        "share",
        "loading",
        "most read",
        "close",
        "menu",
        "scroll to continue",
        "article continues below",
    };
    static const char *const starts[] = {
        "advertisement",
        "story continues below",
        "article continues",
        "continue reading ",
        "read more:",
        "read also:",
        "also read:",
        "related:",
        "see also:",
        "sign up for ",
        "sign up to ",
        "sign up here",
        "subscribe to ",
        "subscribe now",
        "follow us on",
        "click here to ",
        "share this ",
        "like this story?",
        "tell us what you think",
        "listen to this",
        "download our",
        "download the app",
        "\xC2\xA9",
        "copyright \xC2\xA9",
        "all rights reserved",
    };
    if (text_bytes > 160)
        return false;
    while (text_bytes > 0 && strchr(".:…-!|", text[text_bytes - 1]) != NULL)
        text_bytes--;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strlen(whole[i]) == text_bytes && begins(text, whole[i]))
            return true;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (begins(text, starts[i]))
            return true;
    return text_bytes == 0;
}

static bool is_headline(const renderer *r)
{
    return r->headline != NULL && r->headline->size_bytes > 0 &&
           r->paragraph.size_bytes == r->headline->size_bytes &&
           strncasecmp(r->paragraph.data, r->headline->data, r->headline->size_bytes) == 0;
}

static void write_paragraph(renderer *r, buf *paragraph)
{
    if (r->out->size_bytes > 0)
        buf_string(r->out, r->join);
    buf_append(r->out, paragraph->data, paragraph->size_bytes);
    clear(r, paragraph);
}

/* Long enough, or closed by a full stop, a question mark … or a quotation mark. */
static bool is_sentence(const buf *p)
{
    static const char *const ends[] = {
        ":", ".", "?", "!", "\"", "\xE2\x80\x9D", "\xE2\x80\xA6", "\xE3\x80\x82"};
    if (p->size_bytes >= 80)
        return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = strlen(ends[i]);
        if (p->size_bytes > n && memcmp(p->data + p->size_bytes - n, ends[i], n) == 0)
            return true;
    }
    return false;
}

/* Keeps a line before the first sentence aside: it is needed only where no sentence comes. */
static void keep_front(renderer *r)
{
    if (r->front.size_bytes > 0)
        buf_string(&r->front, r->join);
    buf_append(&r->front, r->paragraph.data, r->paragraph.size_bytes);
    clear(r, &r->paragraph);
}

static void end_paragraph(renderer *r)
{
    buf *p = &r->paragraph;
    r->space = r->tab = false;
    r->breaks = 0;
    while (p->size_bytes > 0 && strchr(" \t\n", p->data[p->size_bytes - 1]) != NULL)
        p->data[--p->size_bytes] = '\0';
    if (p->size_bytes == 0)
        return;
    if (is_filler(p->data, p->size_bytes) || is_headline(r)) {
        clear(r, p);
        return;
    }
    if (!r->begun && !r->in_heading && !is_sentence(p)) {
        keep_front(r);
        return;
    }
    if (r->in_heading) {
        clear(r, &r->heading);
        buf_append(&r->heading, p->data, p->size_bytes);
        clear(r, p);
        return;
    }
    if (r->heading.size_bytes > 0) {
        r->join = "\n\n";
        write_paragraph(r, &r->heading);
    }
    r->begun = true;
    write_paragraph(r, p);
}

/* How many bytes at the start of text are white space (*space) or nothing that shows; 0: neither.
 */
static size_t blank_bytes(const char *text, size_t text_bytes, bool *space)
{
    *space = strchr(" \t\n\r\f", text[0]) != NULL && text[0] != '\0';
    if (*space)
        return 1;
    if (text_bytes >= 2 && memcmp(text, "\xC2\xA0", 2) == 0) /* no-break space */
        return *space = true, 2;
    if (text_bytes >= 2 && memcmp(text, "\xC2\xAD", 2) == 0) /* soft hyphen */
        return 2;
    if (text_bytes >= 3 && (memcmp(text, "\xE2\x80\x8B", 3) == 0 || /* zero width space */
                            memcmp(text, "\xEF\xBB\xBF", 3) == 0))
        return 3;
    return 0;
}

static void begin_text(renderer *r)
{
    if (r->breaks > 1) {
        end_paragraph(r);
        r->join = "\n\n";
    }
    if (r->paragraph.size_bytes > 0 && (r->tab || r->breaks == 1 || r->space))
        buf_char(&r->paragraph, r->breaks == 1 ? '\n' : r->tab ? '\t' : ' ');
    r->space = r->tab = false;
    r->breaks = 0;
}

static void add_text(renderer *r, const char *text, size_t text_bytes)
{
    size_t at = 0;
    while (at < text_bytes) {
        bool space;
        size_t blank = blank_bytes(text + at, text_bytes - at, &space);
        if (blank > 0) {
            r->space |= space;
            at += blank;
            continue;
        }
        begin_text(r);
        size_t first = at;
        while (at < text_bytes && blank_bytes(text + at, text_bytes - at, &space) == 0)
            at++;
        buf_append(&r->paragraph, text + first, at - first);
    }
}

static bool is_line(GumboTag tag)
{
    return tag == GUMBO_TAG_LI || tag == GUMBO_TAG_TR || tag == GUMBO_TAG_DT || tag == GUMBO_TAG_DD;
}

static bool is_cell(GumboTag tag)
{
    return tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH;
}

static bool is_heading(GumboTag tag)
{
    return tag >= GUMBO_TAG_H1 && tag <= GUMBO_TAG_H6;
}

static void open_element(renderer *r, const html_node *node)
{
    GumboTag tag = html_tag(node);
    if (tag == GUMBO_TAG_BR) {
        r->breaks++;
    } else if (is_cell(tag)) {
        r->tab = true;
    } else if (node->is_block) {
        end_paragraph(r);
        if (!is_line(tag))
            r->join = "\n\n";
        r->in_heading = is_heading(tag);
    }
}

static void close_element(renderer *r, const html_node *node)
{
    if (!node->is_block || is_cell(html_tag(node)))
        return;
    end_paragraph(r);
    r->join = is_line(html_tag(node)) ? "\n" : "\n\n";
    if (is_heading(html_tag(node)))
        r->in_heading = false;
}

/* A cell of links in a row of text belongs to the row. */
static bool is_links(const html_node *node)
{
    return node->is_block && !is_cell(html_tag(node)) && node->chars > 0 &&
           html_is_link_block(node);
}

/* A heading over a list of links goes with the list. */
static bool leave_out(renderer *r, const html_node *node)
{
    if (!node->dropped && !is_links(node))
        return false;
    if (!node->dropped)
        clear(r, &r->heading);
    return true;
}

void html_render(const html_page *page, uint32_t root, const buf *headline, buf *out)
{
    const html_node *nodes = page->nodes;
    renderer r = {.headline = headline, .out = out, .join = "\n\n"};
    uint32_t open = root, preformatted_end = 0;
    for (uint32_t i = root; i < nodes[root].end;) {
        for (; i >= nodes[open].end; open = nodes[open].parent)
            close_element(&r, &nodes[open]);
        if (leave_out(&r, &nodes[i])) {
            if (nodes[i].is_block)
                end_paragraph(&r);
            i = nodes[i].end;
            continue;
        }
        if (nodes[i].element != NULL) {
            open_element(&r, &nodes[i]);
            if (html_tag(&nodes[i]) == GUMBO_TAG_PRE)
                preformatted_end = nodes[i].end;
            open = i;
        } else if (i < preformatted_end) {
            begin_text(&r);
            buf_append(&r.paragraph, nodes[i].text, nodes[i].text_bytes);
        } else {
            add_text(&r, nodes[i].text, nodes[i].text_bytes);
        }
        i++;
    }
    end_paragraph(&r);
    if (!r.begun && r.front.size_bytes > 0)
        buf_append(out, r.front.data, r.front.size_bytes);
    out->failed |= r.failed || r.paragraph.failed || r.heading.failed || r.front.failed;
    buf_free(&r.paragraph);
    buf_free(&r.heading);
    buf_free(&r.front);
}

void html_append_folded(buf *out, const char *text, size_t text_bytes)
{
    renderer r = {.out = out, .join = "\n\n"};
    add_text(&r, text, text_bytes);
    out->failed |= r.paragraph.failed;
    if (r.paragraph.size_bytes > 0)
        buf_append(out, r.paragraph.data, r.paragraph.size_bytes);
    buf_free(&r.paragraph);
}

void html_render_line(const html_page *page, uint32_t root, buf *out)
{
    buf all = {0};
    for (uint32_t i = root; i < page->nodes[root].end; i++)
        if (page->nodes[i].element == NULL)
            buf_append(&all, page->nodes[i].text, page->nodes[i].text_bytes);
        else if (page->nodes[i].is_block || html_tag(&page->nodes[i]) == GUMBO_TAG_BR)
            buf_char(&all, ' ');
    out->failed |= all.failed;
    if (all.size_bytes > 0)
        html_append_folded(out, all.data, all.size_bytes);
    buf_free(&all);
}
