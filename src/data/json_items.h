/* Where the items of a JSON file begin and end, without reading the file whole: brackets and quotes
 * are matched, nothing else is checked, so that a malformed item costs only itself. A bracket that
 * does not match closes what is open inside of the one that it does match.
 *
 * A file is a sequence of values. The items of a list on the top level are rows, and every other
 * value there is a row. */
#ifndef SLANT_DATA_JSON_ITEMS_H
#define SLANT_DATA_JSON_ITEMS_H

#include "data/feed.h"
#include "data/json_scan.h"

/* How far the end of an item has been looked for; a search goes on where the bytes ran out. */
typedef struct json_items_search {
    size_t at;                               /* from the item's first byte */
    uint32_t depth;                          /* brackets open, as far as they are in is_object */
    uint32_t n_objects;                      /* of them, braces */
    uint64_t beyond;                         /* brackets open inside of those */
    uint64_t is_object[JSON_MAX_DEPTH / 64]; /* one bit a level */
    bool in_string, escaped;
} json_items_search;

typedef struct json_items {
    bool any; /* the file holds something */
    bool in_list;
    bool after_item;  /* in a list: a comma or the bracket comes next */
    bool after_comma; /* in a list: an item must come next */
    uint64_t list_at; /* where the list began, in decoded bytes */
    json_items_search search;
} json_items;

typedef struct json_item {
    bool end;
    const char *bytes; /* [size_bytes] in the feed, taken */
    size_t size_bytes;
} json_item;

void json_items_init(json_items *items);
/* The next item. A failure costs one row; with feed.told it ends the file. */
slant_status json_items_next(json_items *items, feed *f, json_item *item, slant_error *err);

#endif
