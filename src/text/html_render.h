/* A part of a page as plain text. */
#ifndef SLANT_TEXT_HTML_RENDER_H
#define SLANT_TEXT_HTML_RENDER_H

#include "text/html_page.h"

/* Appends the paragraphs of nodes[root] to out, blank lines between them. White space is folded,
 * but in <pre>; <br>, list items and table rows begin a new line, two <br> a new paragraph; cells
 * stand apart by a tab. What was dropped, blocks of links, and phrases like "Advertisement" are
 * left out, and so is a heading that equals the headline. */
void html_render(const html_page *page, uint32_t root, const buf *headline, buf *out);

/* Appends all text of a subtree on one line. */
void html_render_line(const html_page *page, uint32_t root, buf *out);
/* Appends text with white space folded, none at either end. */
void html_append_folded(buf *out, const char *text, size_t text_bytes);

#endif
