#include "text/tokenizer_trie.h"

#include <stdlib.h>
#include <string.h>

/* Sorted entries that share their first depth bytes, and the node that stands for these. */
typedef struct trie_range {
    size_t first, end;
    uint32_t depth, node;
} trie_range;

typedef struct range_queue {
    trie_range *items;
    size_t n, cap;
} range_queue;

static int compare_entries(const void *a, const void *b)
{
    const trie_entry *x = a, *y = b;
    uint32_t common =
        x->text.size_bytes < y->text.size_bytes ? x->text.size_bytes : y->text.size_bytes;
    int order = memcmp(x->text.text, y->text.text, common);
    if (order != 0)
        return order;
    if (x->text.size_bytes != y->text.size_bytes)
        return x->text.size_bytes < y->text.size_bytes ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

bool trie_add(trie_builder *trie, text_view text, uint32_t id)
{
    if (text.size_bytes == 0)
        return true;
    trie_entry *entry = definition_push(&trie->entries);
    if (entry == NULL)
        return false;
    *entry = (trie_entry){text, id};
    return true;
}

static bool add_child(trie_builder *trie, range_queue *queue, const trie_range *parent,
                      size_t first, size_t end)
{
    tables_edge *edge = definition_push(&trie->edges);
    trie_range *child = definition_push(queue);
    if (edge == NULL || child == NULL || definition_push(&trie->nodes) == NULL)
        return false;
    uint32_t node = (uint32_t)trie->nodes.n - 1;
    *edge = (tables_edge){(uint8_t)trie->entries.items[first].text.text[parent->depth], node};
    *child = (trie_range){first, end, parent->depth + 1, node};
    trie->nodes.items[parent->node].n_edges++;
    return true;
}

/* Lays out one node: the token that ends there, and a child for each byte that goes on. Breadth
 * first, so that a node's edges lie together. */
static bool lay_node(trie_builder *trie, range_queue *queue, trie_range range)
{
    const trie_entry *entries = trie->entries.items;
    size_t at = range.first;
    trie->nodes.items[range.node].first_edge = (uint32_t)trie->edges.n;
    for (; at < range.end && entries[at].text.size_bytes == range.depth; at++)
        trie->nodes.items[range.node].token = entries[at].id + 1;
    while (at < range.end) {
        size_t first = at;
        char byte = entries[at].text.text[range.depth];
        while (at < range.end && entries[at].text.text[range.depth] == byte)
            at++;
        if (!add_child(trie, queue, &range, first, at))
            return false;
    }
    return true;
}

bool trie_finish(trie_builder *trie)
{
    if (trie->entries.n == 0)
        return true;
    qsort(trie->entries.items, trie->entries.n, sizeof *trie->entries.items, compare_entries);
    range_queue queue = {0};
    trie_range *root = definition_push(&queue);
    bool ok = root != NULL && definition_push(&trie->nodes) != NULL;
    if (ok)
        *root = (trie_range){0, trie->entries.n, 0, 0};
    for (size_t i = 0; ok && i < queue.n; i++)
        ok = lay_node(trie, &queue, queue.items[i]);
    mem_free(queue.items);
    return ok;
}

void trie_free(trie_builder *trie)
{
    arena_free(&trie->strings);
    mem_free(trie->entries.items);
    mem_free(trie->nodes.items);
    mem_free(trie->edges.items);
    *trie = (trie_builder){0};
}
