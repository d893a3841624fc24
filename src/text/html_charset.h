/* A page's bytes as UTF-8, whatever charset they are in. */
#ifndef SLANT_TEXT_HTML_CHARSET_H
#define SLANT_TEXT_HTML_CHARSET_H

#include "base/buf.h"
#include "base/status.h"

/* Appends html [html_bytes] to out as UTF-8. A byte order mark decides the charset, else what the
 * page's beginning declares, else it is UTF-8. A page that is UTF-8 throughout is taken for that
 * whatever it declares: pages that were saved or moved keep their old labels. Ill-formed bytes are
 * an error with their offset, or U+FFFD where lossy is set. */
slant_status html_to_utf8(const char *html, size_t html_bytes, bool lossy, buf *out,
                          slant_error *err);

#endif
