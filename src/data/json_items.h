/* Where the items of a JSON file begin and end, without reading the file whole: brackets and quotes
 * are counted, nothing else is checked, so that a malformed item costs only itself.
 *
 * A file is a sequence of values. The items of a list on the top level are rows, and every other
 * value there is a row. */
#ifndef SLANT_DATA_JSON_ITEMS_H
#define SLANT_DATA_JSON_ITEMS_H

#include "data/feed.h"

/* How far the end of an item has been looked for; a search goes on where the bytes ran out. */
typedef struct json_items_search {
    size_t at; /* from the item's first byte */
    uint64_t depth;
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
