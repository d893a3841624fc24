/* A table from names to indices, for files with thousands of tensors. Names are borrowed. */
#ifndef SLANT_FORMATS_NAME_TABLE_H
#define SLANT_FORMATS_NAME_TABLE_H

#include "base/mem.h"

#define NAME_TABLE_NONE SIZE_MAX

typedef struct name_slot {
    const char *name; /* NULL: free */
    size_t index;
} name_slot;

typedef struct name_table {
    name_slot *slots; /* [n_slots], a power of two, at most half of them taken */
    size_t n_slots;
} name_table;

/* Room for n_names, in the arena. False when memory is out. */
bool name_table_init(name_table *table, arena *memory, size_t n_names);
/* Adds name → index. Where the name is there already, nothing changes and its index is returned;
 * else NAME_TABLE_NONE. */
size_t name_table_add(name_table *table, const char *name, size_t index);
size_t name_table_find(const name_table *table, const char *name); /* NAME_TABLE_NONE: not there */

#endif
