/* A parsed page as a flat list of its nodes in document order, so that everything that is asked of
 * the tree is a loop over an array, however deep the page nests. This file alone meets gumbo. */
#ifndef SLANT_TEXT_HTML_PAGE_H
#define SLANT_TEXT_HTML_PAGE_H

#include "base/buf.h"
#include "base/status.h"

#include <gumbo.h>
#include <stdint.h>

typedef struct html_node {
    const GumboElement *element; /* NULL: text */
    const char *text;            /* [text_bytes] where it is text */
    size_t text_bytes;
    uint32_t parent;     /* the root is its own */
    uint32_t end;        /* the subtree is nodes [this, end) */
    uint32_t next_child; /* how many children were visited while the tree was made flat */
    uint32_t block;      /* the innermost block element that this is in, or itself */
    bool is_block, in_link, dropped;
    bool has_headline,
        has_body; /* holds the headline, holds what is marked as the article's body */
    uint32_t chars,
        link_chars; /* characters of text beneath, white space left out; those in links */
    uint32_t prose; /* those in paragraphs that read like prose, weighted */
} html_node;

typedef struct html_page {
    html_node *nodes; /* [n_nodes], in document order; 0 is the root element */
    size_t n_nodes, cap;
    uint32_t body;             /* the body element */
    uint32_t headline;         /* the heading that names the article; 0: not found */
    struct html_block *memory; /* gumbo's */
} html_page;

/* html must be UTF-8, is changed in place where the parser needs it, and must outlive the page.
 * Pages that would take unreasonable time or memory are SLANT_ERR_FORMAT. */
slant_status html_page_open(html_page *page, char *html, size_t html_bytes, slant_error *err);
void html_page_close(html_page *page);

/* The tag; GUMBO_TAG_LAST for text. */
static inline GumboTag html_tag(const html_node *node)
{
    return node->element == NULL ? GUMBO_TAG_LAST : node->element->tag;
}

/* An attribute's value; NULL where it is not there. */
const char *html_attribute(const html_node *node, const char *name);

#endif
