/* The article's text out of an HTML page. */
#ifndef SLANT_TEXT_HTML_H
#define SLANT_TEXT_HTML_H

#include "base/buf.h"
#include "base/status.h"

/* Parses html [html_bytes] with an HTML5 parser, finds the article in the page and appends its
 * paragraphs to text, separated by blank lines; title receives the headline (else the page's
 * title).
 *
 * Left out are navigation, scripts, asides, comments, other stories, forms, lists of links,
 * captions and credits of pictures, author and date lines, and what is hidden; standfirsts,
 * subheads, lists, tables and quoted posts are part of the article. White space is folded, no-break
 * spaces too; soft hyphens and zero-width spaces go. Where the page shows much less than the
 * articleBody of its JSON-LD, that is taken. Where nothing reads like an article the text stays
 * empty.
 *
 * The bytes are in the charset that the page declares (byte order mark or meta), else UTF-8; what
 * is ill-formed is an error, or U+FFFD where lossy is set. */
slant_status html_extract(const char *html, size_t html_bytes, bool lossy, buf *text, buf *title,
                          slant_error *err);

#endif
