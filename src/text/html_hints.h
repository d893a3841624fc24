/* What an element is, by its tag, its attributes and the words in its class and id. */
#ifndef SLANT_TEXT_HTML_HINTS_H
#define SLANT_TEXT_HTML_HINTS_H

#include "text/html_page.h"

typedef enum html_hint {
    HTML_HINT_NONE,
    HTML_HINT_PERHAPS, /* chrome, unless it holds most of the page */
    HTML_HINT_CHROME   /* comments, other stories, forms: never the article, however long */
} html_hint;

/* By tag and role; by class and id. */
html_hint html_hint_of_tag(const html_node *element);
html_hint html_hint_of_names(const html_node *element);

/* Scripts and the like, and what is hidden. */
bool html_never_shown(const html_node *node);
/* Marked by schema.org's articleBody. */
bool html_is_article_body(const html_node *node);
/* Same tag, and same class (id, where they have none) but for digits. */
bool html_made_alike(const html_node *a, const html_node *b);
/* Whether text before and after it stands on lines of its own. */
bool html_tag_is_block(GumboTag tag);
/* Whether it holds sentences, not other boxes. */
bool html_tag_is_paragraph(GumboTag tag);

#endif
