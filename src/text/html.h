/* The article's text out of an HTML page. */
#ifndef SLANT_TEXT_HTML_H
#define SLANT_TEXT_HTML_H

#include "base/buf.h"
#include "base/status.h"

/* Parses html [html_bytes] with an HTML5 parser, finds the article in the page (navigation,
 * scripts, comments, link lists and footers are left out) and appends its paragraphs to text,
 * separated by blank lines; title receives the headline (else the page's title). The bytes are in
 * the charset that the page declares (byte order mark or meta), else UTF-8; what is ill-formed is
 * an error, or U+FFFD where lossy is set. Where nothing reads like an article the text stays empty.
 */
slant_status html_extract(const char *html, size_t html_bytes, bool lossy, buf *text, buf *title,
                          slant_error *err);

#endif
