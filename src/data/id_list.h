/* A list of ids: a column of a table whose first row names the columns, each id once. */
#ifndef SLANT_DATA_ID_LIST_H
#define SLANT_DATA_ID_LIST_H

#include "data/bad_rows.h"
#include "formats/name_table.h"

typedef struct id_list {
    const char **ids; /* [n], as they stand in the list */
    size_t n, cap;
    name_table places;
    arena memory;
} id_list;

/* Commas in a .csv, else tabs; compressed or not. The column is the one called
 * id_field (may be NULL), else id, ID or _id. An id
 * that stands there again is added to doubles and not to the list. */
slant_status id_list_read(id_list *list, const char *path, const char *id_field, bad_rows *doubles,
                          slant_error *err);
/* The place of a record's id, or NAME_TABLE_NONE: a string's text or a number as it is written. */
size_t id_list_find(const id_list *list, const char *id_json);
void id_list_free(id_list *list);

#endif
