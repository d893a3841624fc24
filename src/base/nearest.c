#include "base/nearest.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_CHARS = 64 };

/* Edits (insert, delete, replace, swap of neighbours) that lead from one name to the other: the
 * optimal string alignment distance, three rows of its table at a time. */
static int edit_distance(const char *a, const char *b)
{
    size_t a_chars = strlen(a), b_chars = strlen(b);
    int rows[3][MAX_CHARS + 1];
    if (a_chars > MAX_CHARS || b_chars > MAX_CHARS)
        return INT_MAX;
    for (size_t j = 0; j <= b_chars; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= a_chars; i++) {
        const int *above = rows[(i - 1) % 3], *above_that = rows[(i + 1) % 3];
        int *row = rows[i % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_chars; j++) {
            int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && above_that[j - 2] + 1 < best)
                best = above_that[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a_chars % 3][b_chars];
}

const char *nearest_name(const char *typed, size_t n, const char *(*names)(const void *, size_t),
                         const void *context)
{
    const char *nearest = NULL;
    size_t typed_chars = strlen(typed);
    int limit = typed_chars < 4 ? 1 : typed_chars < 8 ? 2 : 3;
    for (size_t i = 0; i < n; i++) {
        const char *name = names(context, i);
        if (name == NULL)
            continue;
        if (typed_chars >= 2 && strncmp(name, typed, typed_chars) == 0)
            return name;
        int distance = edit_distance(typed, name);
        if (distance <= limit) {
            limit = distance - 1;
            nearest = name;
        }
    }
    return nearest;
}
