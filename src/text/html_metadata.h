/* What a page says about its article outside of the text: the headline and JSON-LD. */
#ifndef SLANT_TEXT_HTML_METADATA_H
#define SLANT_TEXT_HTML_METADATA_H

#include "text/html_page.h"

/* Appends the headline to title: og:title, else the heading that the page's title begins with, else
 * the first h1, else the page's title without the site's name behind it. Sets page->headline to the
 * heading that says it. */
void html_headline(html_page *page, buf *title);

/* Appends the longest articleBody of the page's schema.org JSON-LD; nothing where there is none. */
slant_status html_linked_data_body(const html_page *page, buf *body, slant_error *err);

#endif
