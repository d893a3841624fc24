#include "text/html_hints.h"

#include <string.h>
#include <strings.h>

#define N_WORDS(list) (sizeof(list) / sizeof *(list))

bool html_tag_is_block(GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_HTML:
    case GUMBO_TAG_BODY:
    case GUMBO_TAG_ADDRESS:
    case GUMBO_TAG_ARTICLE:
    case GUMBO_TAG_ASIDE:
    case GUMBO_TAG_BLOCKQUOTE:
    case GUMBO_TAG_CENTER:
    case GUMBO_TAG_DD:
    case GUMBO_TAG_DETAILS:
    case GUMBO_TAG_DIR:
    case GUMBO_TAG_DIV:
    case GUMBO_TAG_DL:
    case GUMBO_TAG_DT:
    case GUMBO_TAG_FIELDSET:
    case GUMBO_TAG_FIGCAPTION:
    case GUMBO_TAG_FIGURE:
    case GUMBO_TAG_FOOTER:
    case GUMBO_TAG_FORM:
    case GUMBO_TAG_H1:
    case GUMBO_TAG_H2:
    case GUMBO_TAG_H3:
    case GUMBO_TAG_H4:
    case GUMBO_TAG_H5:
    case GUMBO_TAG_H6:
    case GUMBO_TAG_HEADER:
    case GUMBO_TAG_HGROUP:
    case GUMBO_TAG_HR:
    case GUMBO_TAG_LI:
    case GUMBO_TAG_LISTING:
    case GUMBO_TAG_MAIN:
    case GUMBO_TAG_MENU:
    case GUMBO_TAG_NAV:
    case GUMBO_TAG_OL:
    case GUMBO_TAG_P:
    case GUMBO_TAG_PRE:
    case GUMBO_TAG_SECTION:
    case GUMBO_TAG_SUMMARY:
    case GUMBO_TAG_TABLE:
    case GUMBO_TAG_CAPTION:
    case GUMBO_TAG_TBODY:
    case GUMBO_TAG_TD:
    case GUMBO_TAG_TFOOT:
    case GUMBO_TAG_TH:
    case GUMBO_TAG_THEAD:
    case GUMBO_TAG_TR:
    case GUMBO_TAG_UL:
        return true;
    default:
        return false;
    }
}

bool html_tag_is_paragraph(GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_P:
    case GUMBO_TAG_BLOCKQUOTE:
    case GUMBO_TAG_PRE:
    case GUMBO_TAG_UL:
    case GUMBO_TAG_OL:
    case GUMBO_TAG_DL:
    case GUMBO_TAG_H1:
    case GUMBO_TAG_H2:
    case GUMBO_TAG_H3:
    case GUMBO_TAG_H4:
    case GUMBO_TAG_H5:
    case GUMBO_TAG_H6:
        return true;
    default:
        return false;
    }
}

static bool tag_is_never_shown(GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_HEAD:
    case GUMBO_TAG_SCRIPT:
    case GUMBO_TAG_STYLE:
    case GUMBO_TAG_NOSCRIPT:
    case GUMBO_TAG_TEMPLATE:
    case GUMBO_TAG_IFRAME:
    case GUMBO_TAG_OBJECT:
    case GUMBO_TAG_EMBED:
    case GUMBO_TAG_CANVAS:
    case GUMBO_TAG_VIDEO:
    case GUMBO_TAG_AUDIO:
    case GUMBO_TAG_SVG:
    case GUMBO_TAG_SELECT:
    case GUMBO_TAG_OPTION:
    case GUMBO_TAG_BUTTON:
    case GUMBO_TAG_TEXTAREA:
    case GUMBO_TAG_INPUT:
    case GUMBO_TAG_MAP:
    case GUMBO_TAG_PROGRESS:
    case GUMBO_TAG_METER:
        return true;
    default:
        return false;
    }
}

/* "display:none" with or without white space. */
static bool style_says(const char *style, const char *property, const char *value)
{
    const char *at = strcasestr(style, property);
    if (at == NULL)
        return false;
    at += strlen(property);
    at += strspn(at, " \t\r\n");
    if (*at++ != ':')
        return false;
    at += strspn(at, " \t\r\n");
    return strncasecmp(at, value, strlen(value)) == 0;
}

bool html_never_shown(const html_node *node)
{
    if (node->element == NULL)
        return false;
    if (tag_is_never_shown(html_tag(node)) || html_attribute(node, "hidden") != NULL)
        return true;
    const char *aria = html_attribute(node, "aria-hidden"), *style = html_attribute(node, "style");
    return (aria != NULL && strcasecmp(aria, "true") == 0) ||
           (style != NULL &&
            (style_says(style, "display", "none") || style_says(style, "visibility", "hidden")));
}

bool html_is_article_body(const html_node *node)
{
    const char *property = html_attribute(node, "itemprop");
    return property != NULL && strcasecmp(property, "articleBody") == 0;
}

static bool same_but_digits(const char *a, const char *b)
{
    static const char digits[] = "0123456789";
    if (a == NULL || b == NULL)
        return a == b;
    for (;; a++, b++) {
        a += strspn(a, digits);
        b += strspn(b, digits);
        if (*a != *b || *a == '\0')
            return *a == *b;
    }
}

bool html_made_alike(const html_node *a, const html_node *b)
{
    const char *class_a = html_attribute(a, "class"), *class_b = html_attribute(b, "class");
    if (html_tag(a) != html_tag(b) || !same_but_digits(class_a, class_b))
        return false;
    return class_a != NULL || same_but_digits(html_attribute(a, "id"), html_attribute(b, "id"));
}

static html_hint tag_hint(GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_NAV:
    case GUMBO_TAG_MENU:
    case GUMBO_TAG_FOOTER:
    case GUMBO_TAG_ASIDE:
    case GUMBO_TAG_FIGCAPTION:
        return HTML_HINT_CHROME;
    case GUMBO_TAG_HEADER:
    case GUMBO_TAG_FORM: /* some frameworks wrap the whole page in one */
        return HTML_HINT_PERHAPS;
    default:
        return HTML_HINT_NONE;
    }
}

static html_hint role_hint(const char *role)
{
    static const char *const roles[] = {"navigation", "complementary", "contentinfo", "banner",
                                        "search",     "dialog",        "alertdialog", "menu",
                                        "toolbar",    "tablist",       "alert"};
    for (size_t i = 0; role != NULL && i < N_WORDS(roles); i++)
        if (strcasecmp(role, roles[i]) == 0)
            return HTML_HINT_PERHAPS;
    return HTML_HINT_NONE;
}

/* Words of class and id: "most-read_List" and "mostReadList" are most, read, list. */
static const char *const chrome_words[] = {
    "comment",        "comments",   "commentlist", "disqus",      "respond",
    "replies",        "related*",   "recirc",      "recommended", "recommendations",
    "recommendation", "newsletter", "newsletters", "outbrain",    "taboola",
    "trending",       "recircs",    "latestnews",  "cookie",      "cookies",
    "consent",        "gdpr",       "breadcrumb",  "breadcrumbs", "livefyre",
    "viafoura",       "coral",      "mostread",    "mostpopular", "readnext",
};
static const char *const perhaps_words[] = {
    "ad",         "ads",          "advert",        "adverts",   "advertisement", "advertising",
    "adslot",     "sponsor",      "sponsored",     "promo",     "promoted",      "promotion",
    "share",      "sharing",      "sharebar",      "social",    "nav",           "navbar",
    "navigation", "menu",         "sidebar",       "rail",      "footer",        "masthead",
    "banner",     "toolbar",      "popup",         "modal",     "overlay",       "signup",
    "subscribe",  "subscription", "subscriptions", "donate",    "donation",      "pagination",
    "pager",      "caption",      "credit",        "byline",    "meta",          "date",
    "published",  "dateline",     "timestamp",     "tags",      "taglist",       "hidden",
    "widget",     "widgets",      "tooltip",       "copyright", "bio",           "popular",
    "poll",       "quiz",         "teaser",        "teasers",   "login",         "register",
    "search",     "skip",         "print",         "toc",
};
/* Quoted matter, whatever else the box is called. */
static const char *const quoted_words[] = {"embed*", "tweet*", "quote*", "blockquote*",
                                           "pullquote"};
/* Pairs of neighbouring words whose single words are harmless. */
static const char *const chrome_pairs[][2] = {
    {"most", "read"},     {"most", "popular"},    {"read", "next"},   {"more", "stories"},
    {"more", "from"},     {"more", "on"},         {"also", "like"},   {"up", "next"},
    {"see", "also"},      {"follow", "us"},       {"sign", "up"},     {"screen", "reader"},
    {"sr", "only"},       {"visually", "hidden"}, {"author", "box"},  {"about", "author"},
    {"photo", "credit"},  {"latest", "news"},     {"top", "stories"}, {"you", "may"},
    {"editors", "picks"}, {"back", "top"},        {"email", "form"},
};

/* A name that ends in '*' stands for every word that begins so: "relatedposts". */
static bool word_is(const char *word, size_t word_bytes, const char *name)
{
    size_t name_bytes = strlen(name);
    bool prefix = name_bytes > 0 && name[name_bytes - 1] == '*';
    name_bytes -= prefix;
    return (prefix ? word_bytes >= name_bytes : word_bytes == name_bytes) &&
           strncasecmp(word, name, name_bytes) == 0;
}

static bool in_list(const char *word, size_t word_bytes, const char *const *list, size_t n_list)
{
    for (size_t i = 0; i < n_list; i++)
        if (word_is(word, word_bytes, list[i]))
            return true;
    return false;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_letter(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* The next word of a class or id, split where letters end and where lower case meets upper. */
static size_t next_word(const char **at)
{
    const char *word = *at;
    while (*word != '\0' && !is_letter(*word))
        word++;
    size_t n = 0;
    while (is_letter(word[n]) && !(n > 0 && is_lower(word[n - 1]) && !is_lower(word[n])))
        n++;
    *at = word;
    return n;
}

static html_hint words_hint(const char *names)
{
    html_hint hint = HTML_HINT_NONE;
    const char *previous = "";
    size_t previous_bytes = 0, n;
    for (const char *at = names; at != NULL && (n = next_word(&at)) > 0; at += n) {
        if (in_list(at, n, chrome_words, N_WORDS(chrome_words)))
            return HTML_HINT_CHROME;
        for (size_t i = 0; i < N_WORDS(chrome_pairs); i++)
            if (word_is(previous, previous_bytes, chrome_pairs[i][0]) &&
                word_is(at, n, chrome_pairs[i][1]))
                return HTML_HINT_CHROME;
        if (in_list(at, n, quoted_words, N_WORDS(quoted_words)))
            return HTML_HINT_NONE;
        if (in_list(at, n, perhaps_words, N_WORDS(perhaps_words)))
            hint = HTML_HINT_PERHAPS;
        previous = at;
        previous_bytes = n;
    }
    return hint;
}

static html_hint stronger(html_hint a, html_hint b)
{
    return a > b ? a : b;
}

html_hint html_hint_of_tag(const html_node *element)
{
    return stronger(tag_hint(html_tag(element)), role_hint(html_attribute(element, "role")));
}

html_hint html_hint_of_names(const html_node *element)
{
    html_hint hint = words_hint(html_attribute(element, "class"));
    return stronger(hint, words_hint(html_attribute(element, "id")));
}
