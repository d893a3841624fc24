#include "train/labels.h"

#include "data/label.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LABELS = 256, SHOWN_CHARS = 80 };

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the labels");
}

static const char *shown(const json_t *value, char text[SHOWN_CHARS])
{
    char *dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    snprintf(text, SHOWN_CHARS, "%s", dumped == NULL ? "?" : dumped);
    free(dumped); /* jansson's */
    return text;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static slant_status too_many(slant_error *err)
{
    return status_fail(err, SLANT_ERR_FORMAT, "the data holds more than %d labels", MAX_LABELS);
}

static slant_status numbered(label_set *set, json_int_t highest, arena *memory, slant_error *err)
{
    if (highest >= MAX_LABELS)
        return too_many(err);
    set->names = arena_alloc(memory, (size_t)highest + 1, sizeof *set->names);
    for (set->n = 0; set->names != NULL && set->n <= highest; set->n++)
        if ((set->names[set->n] = arena_printf(memory, "LABEL_%d", set->n)) == NULL)
            return out_of_memory(err);
    return set->names == NULL ? out_of_memory(err) : SLANT_OK;
}

static bool is_known(const label_set *set, const char *name)
{
    for (int i = 0; i < set->n; i++)
        if (strcmp(set->names[i], name) == 0)
            return true;
    return false;
}

static slant_status named(label_set *set, const json_t *rows, arena *memory, slant_error *err)
{
    set->names = arena_alloc(memory, MAX_LABELS, sizeof *set->names);
    if (set->names == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *name = json_string_value(json_array_get(rows, i));
        if (name == NULL)
            return status_fail(err, SLANT_ERR_FORMAT,
                               "some labels are names and some are not; the setting labels says "
                               "which there are");
        if (is_known(set, name))
            continue;
        if (set->n == MAX_LABELS)
            return too_many(err);
        if ((set->names[set->n++] = arena_strdup(memory, name)) == NULL)
            return out_of_memory(err);
    }
    qsort(set->names, (size_t)set->n, sizeof *set->names, compare_strings);
    return SLANT_OK;
}

slant_status labels_from_data(label_set *set, const json_t *rows, arena *memory, slant_error *err)
{
    json_int_t highest = -1;
    bool whole = true;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        whole = whole && json_is_integer(row) && json_integer_value(row) >= 0;
        if (json_integer_value(row) > highest)
            highest = json_integer_value(row);
    }
    return whole ? numbered(set, highest, memory, err) : named(set, rows, memory, err);
}

static slant_status read_indices(const label_set *set, const json_t *rows, char *const *names,
                                 int *labels, slant_error *err)
{
    char text[SHOWN_CHARS];
    size_t n = json_array_size(rows);
    for (size_t i = 0; i < n; i++) {
        labels[i] = label_find(json_array_get(rows, i), set->names, set->n);
        if (labels[i] < 0)
            return status_fail(err, SLANT_ERR_FORMAT,
                               "%s: label %s is none of the %d labels (%s … %s)", names[i],
                               shown(json_array_get(rows, i), text), set->n, set->names[0],
                               set->names[set->n - 1]);
    }
    return SLANT_OK;
}

static slant_status read_values(const label_set *set, const json_t *rows, char *const *names,
                                float *values, slant_error *err)
{
    char text[SHOWN_CHARS];
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        bool fits = set->n == 1 ? json_is_number(row)
                                : json_is_array(row) && json_array_size(row) == (size_t)set->n;
        for (int k = 0; fits && k < set->n; k++) {
            const json_t *value = set->n == 1 ? row : json_array_get(row, (size_t)k);
            fits = json_is_number(value);
            values[i * (size_t)set->n + (size_t)k] = (float)json_number_value(value);
        }
        if (!fits)
            return status_fail(err, SLANT_ERR_FORMAT, "%s: label %s: expected %d number%s",
                               names[i], shown(row, text), set->n,
                               set->n == 1 ? "" : "s in a list");
    }
    return SLANT_OK;
}

slant_status labels_read(const label_set *set, const json_t *rows, char *const *names, int **labels,
                         float **values, slant_error *err)
{
    size_t n = json_array_size(rows);
    if (set->problem == PROBLEM_SINGLE_LABEL) {
        *labels = mem_alloc(n, sizeof **labels);
        return *labels == NULL ? out_of_memory(err) : read_indices(set, rows, names, *labels, err);
    }
    *values = mem_alloc(n * (size_t)set->n, sizeof **values);
    return *values == NULL ? out_of_memory(err) : read_values(set, rows, names, *values, err);
}
