/* Which part of a page is the article. */
#ifndef SLANT_TEXT_HTML_ARTICLE_H
#define SLANT_TEXT_HTML_ARTICLE_H

#include "text/html_page.h"

/* Marks what is not part of any article (dropped), measures what is left, and returns the node
 * whose subtree holds the article. nodes[result].prose is 0 where nothing reads like one. */
uint32_t html_article_find(html_page *page);

/* Whether the block's text is mostly links: a list of other stories rather than a sentence. */
bool html_is_link_block(const html_node *node);

#endif
