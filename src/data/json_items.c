#include "data/json_items.h"

#include "data/json_scan.h"

#include <inttypes.h>

void json_items_init(json_items *items)
{
    *items = (json_items){0};
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Takes white space; stands at a byte that is none, or at the end. */
static slant_status skip_space(feed *f, slant_error *err)
{
    for (;;) {
        slant_status status = feed_want(f, 1, err);
        if (status != SLANT_OK || feed_size(f) == 0)
            return status;
        const char *bytes = feed_bytes(f);
        size_t n = 0, size_bytes = feed_size(f);
        while (n < size_bytes && is_space(bytes[n]))
            n++;
        feed_take(f, n);
        if (n < size_bytes)
            return SLANT_OK;
    }
}

/* The end of the string that at lies in, one past its quote; end where it is not there yet. */
static const char *string_end(json_items_search *search, const char *at, const char *end)
{
    if (search->escaped && at < end) {
        search->escaped = false;
        at++;
    }
    while ((at = json_skip_plain(at, end)) < end) {
        char c = *at++;
        if (c == '"') {
            search->in_string = false;
            return at;
        }
        if (c == '\\' && at == end)
            search->escaped = true;
        else if (c == '\\')
            at++;
    }
    return end;
}

static void open_bracket(json_items_search *search, bool object)
{
    if (search->depth == JSON_MAX_DEPTH) {
        search->beyond++;
        return;
    }
    uint64_t bit = (uint64_t)1 << (search->depth % 64),
             *word = &search->is_object[search->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    search->depth++;
    search->n_objects += object;
}

/* False where no such bracket is open. */
static bool close_bracket(json_items_search *search, bool object)
{
    uint32_t n_open = object ? search->n_objects : search->depth - search->n_objects;
    if (search->beyond > 0) {
        search->beyond--;
        return true;
    }
    if (n_open == 0)
        return false;
    for (bool closed = false; !closed;) {
        search->depth--;
        bool was_object = search->is_object[search->depth / 64] >> (search->depth % 64) & 1;
        search->n_objects -= was_object;
        closed = was_object == object;
    }
    return true;
}

/* Looks at a byte outside of strings. True where the item ends before it. */
static bool step(json_items *items, char c)
{
    json_items_search *search = &items->search;
    switch (c) {
    case '"':
        search->in_string = true;
        return false;
    case '{':
    case '[':
        open_bracket(search, c == '{');
        return false;
    case '}':
    case ']':
        return !close_bracket(search, c == '}') && items->in_list && c == ']';
    case ',':
        return items->in_list && search->depth == 0;
    case '\n':
        return !items->in_list && search->depth == 0;
    default:
        return false;
    }
}

/* Goes on with the search in bytes [size_bytes]; true where the end is found, *length then being
 * the item's length. Outside of a list a value in brackets or quotes ends with them. */
static bool find_end(json_items *items, const char *bytes, size_t size_bytes, size_t *length)
{
    json_items_search *search = &items->search;
    const char *at = bytes + search->at, *end = bytes + size_bytes;
    bool found = false;
    while (at < end && !found) {
        char c = *at;
        if (search->in_string) {
            at = string_end(search, at, end);
        } else {
            found = step(items, c);
            at += !found;
        }
        if (!found && !items->in_list && !search->in_string && search->depth == 0)
            found = c == '}' || c == ']' || at[-1] == '"';
    }
    search->at = *length = (size_t)(at - bytes);
    return found;
}

static slant_status unfinished(json_items *items, slant_error *err)
{
    bool in_list = items->in_list;
    uint64_t list_at = items->list_at;
    items->in_list = false;
    if (!in_list)
        return status_fail(err, SLANT_ERR_FORMAT, "the file ends inside a value");
    return status_fail(err, SLANT_ERR_FORMAT,
                       "the file ends inside the list that begins at byte %" PRIu64, list_at);
}

/* Drops an item that is too long, so that the next one can be read. */
static slant_status skip_item(json_items *items, feed *f, slant_error *err)
{
    size_t length;
    slant_status status = SLANT_OK;
    while (status == SLANT_OK) {
        bool found = find_end(items, feed_bytes(f), feed_size(f), &length);
        feed_take(f, length);
        items->search.at = 0;
        if (found || f->ended)
            break;
        status = feed_more(f, err);
    }
    if (status != SLANT_OK)
        return status;
    items->after_item = true;
    items->after_comma = false;
    return status_fail(err, SLANT_ERR_FORMAT, "the item is longer than %zu MiB",
                       RECORD_MAX_BYTES >> 20);
}

/* The item whose first byte is the next one. */
static slant_status take_item(json_items *items, feed *f, json_item *item, slant_error *err)
{
    size_t length;
    items->search = (json_items_search){0};
    while (!find_end(items, feed_bytes(f), feed_size(f), &length)) {
        if (feed_size(f) > RECORD_MAX_BYTES)
            return skip_item(items, f, err);
        slant_status status = feed_more(f, err);
        if (status != SLANT_OK)
            return status;
        if (!f->ended)
            continue;
        bool open = items->search.depth > 0 || items->search.in_string || items->in_list;
        if (open) {
            feed_take(f, feed_size(f));
            return unfinished(items, err);
        }
        break;
    }
    item->bytes = feed_bytes(f);
    item->size_bytes = length;
    feed_take(f, length);
    items->after_item = true;
    items->after_comma = false;
    while (item->size_bytes > 0 && is_space(item->bytes[item->size_bytes - 1]))
        item->size_bytes--;
    return SLANT_OK;
}

/* Deals with a bracket or comma of a list; *consumed tells whether there was one. */
static slant_status list_punctuation(json_items *items, feed *f, bool *consumed, slant_error *err)
{
    char c = *feed_bytes(f);
    items->any = true;
    uint64_t at = f->passed;
    bool missing = false;
    *consumed = true;
    if (!items->in_list && c == '[') {
        *items = (json_items){.any = true, .in_list = true, .list_at = at};
    } else if (items->in_list && c == ']') {
        missing = items->after_comma;
        items->in_list = false;
    } else if (items->in_list && c == ',') {
        missing = !items->after_item;
        items->after_item = false;
        items->after_comma = true;
    } else {
        *consumed = false;
        return SLANT_OK;
    }
    feed_take(f, 1);
    if (missing)
        return status_fail(err, SLANT_ERR_FORMAT,
                           "expected an item at byte %" PRIu64 ", found '%c'", at, c);
    return SLANT_OK;
}

slant_status json_items_next(json_items *items, feed *f, json_item *item, slant_error *err)
{
    *item = (json_item){0};
    for (bool consumed = true; consumed;) {
        slant_status status = skip_space(f, err);
        if (status != SLANT_OK)
            return status;
        if (feed_size(f) == 0) {
            bool empty = !items->any;
            items->any = item->end = true;
            if (empty)
                return status_fail(err, SLANT_ERR_FORMAT, "expected JSON, found an empty file");
            return items->in_list ? unfinished(items, err) : SLANT_OK;
        }
        status = list_punctuation(items, f, &consumed, err);
        if (status != SLANT_OK)
            return status;
    }
    return take_item(items, f, item, err);
}
