#include "formats/name_table.h"

#include <assert.h>
#include <string.h>

bool name_table_init(name_table *table, arena *memory, size_t n_names)
{
    size_t n_slots = 16;
    while (n_slots / 2 < n_names)
        if (!mem_mul(n_slots, 2, &n_slots))
            return false;
    table->slots = arena_alloc(memory, n_slots, sizeof *table->slots);
    table->n_slots = n_slots;
    return table->slots != NULL;
}

/* FNV-1a, then the upper bits folded into the lower ones that choose the slot. */
static size_t hash_name(const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001B3u;
    return (size_t)(hash ^ (hash >> 32));
}

/* The slot that holds the name, or the free one where it belongs. */
static name_slot *find_slot(const name_table *table, const char *name)
{
    size_t mask = table->n_slots - 1;
    size_t i = hash_name(name) & mask;
    while (table->slots[i].name != NULL && strcmp(table->slots[i].name, name) != 0)
        i = (i + 1) & mask;
    return &table->slots[i];
}

size_t name_table_add(name_table *table, const char *name, size_t index)
{
    name_slot *slot = find_slot(table, name);
    if (slot->name != NULL)
        return slot->index;
    assert(index != NAME_TABLE_NONE);
    *slot = (name_slot){.name = name, .index = index};
    return NAME_TABLE_NONE;
}

size_t name_table_find(const name_table *table, const char *name)
{
    const name_slot *slot = find_slot(table, name);
    return slot->name == NULL ? NAME_TABLE_NONE : slot->index;
}
