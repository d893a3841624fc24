#include "model/checkpoint.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/field.h"
#include "model/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_MAX_BYTES = 256 << 20, MAX_DIGITS = 18 };

int64_t checkpoint_step(const char *name)
{
    static const char prefix[] = "checkpoint-";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return -1;
    const char *digits = name + sizeof prefix - 1;
    size_t length = strlen(digits);
    if (length == 0 || length > MAX_DIGITS || strspn(digits, "0123456789") != length ||
        (digits[0] == '0' && length > 1))
        return -1;
    return strtoll(digits, NULL, 10);
}

static slant_status add_step(checkpoint_list *list, int64_t step, slant_error *err)
{
    if (list->n_steps == list->cap) {
        size_t cap = list->cap == 0 ? 16 : 2 * list->cap;
        int64_t *grown = mem_realloc(list->steps, cap, sizeof *grown);
        if (grown == NULL)
            return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
        list->steps = grown;
        list->cap = cap;
    }
    list->steps[list->n_steps++] = step;
    return SLANT_OK;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

slant_status checkpoint_list_open(const char *dir, checkpoint_list *list, slant_error *err)
{
    *list = (checkpoint_list){0};
    DIR *folder = opendir(dir);
    if (folder == NULL)
        return status_errno(err, errno, "%s", dir);
    slant_status status = SLANT_OK;
    for (struct dirent *entry; status == SLANT_OK && (entry = readdir(folder)) != NULL;) {
        int64_t step = checkpoint_step(entry->d_name);
        if (step >= 0)
            status = add_step(list, step, err);
    }
    closedir(folder);
    if (list->n_steps > 1)
        qsort(list->steps, list->n_steps, sizeof *list->steps, ascending);
    return status;
}

void checkpoint_list_close(checkpoint_list *list)
{
    mem_free(list->steps);
    *list = (checkpoint_list){0};
}

/* A checkpoint is whole once both of an adapter's files are in it: a Trainer that is killed while
 * it saves leaves a folder without. */
static bool is_whole(const char *dir)
{
    return folder_holds(dir, "adapter_config.json") &&
           (folder_holds(dir, "adapter_model.safetensors") ||
            folder_holds(dir, "adapter_model.bin"));
}

static char *step_path(const char *dir, int64_t step)
{
    char name[48];
    snprintf(name, sizeof name, "checkpoint-%lld", (long long)step);
    return file_join(dir, name);
}

static slant_status out_of_memory(const char *dir, slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", dir);
}

/* "4, 8, 12" for messages. */
static void list_in_words(const checkpoint_list *list, buf *out)
{
    for (size_t i = 0; i < list->n_steps; i++)
        buf_printf(out, "%s%lld", i > 0 ? ", " : "", (long long)list->steps[i]);
}

static slant_status find_last(const char *dir, const checkpoint_list *list, char **out, buf *notes,
                              slant_error *err)
{
    for (size_t i = list->n_steps; i-- > 0;) {
        char *path = step_path(dir, list->steps[i]);
        if (path == NULL)
            return out_of_memory(dir, err);
        if (is_whole(path)) {
            *out = path;
            return SLANT_OK;
        }
        buf_printf(notes, "%s is not whole and was passed over\n", path);
        mem_free(path);
    }
    return status_fail(err, SLANT_ERR_NOT_FOUND,
                       list->n_steps == 0 ? "%s: holds no checkpoint-N"
                                          : "%s: none of its checkpoints is whole",
                       dir);
}

static slant_status find_step(const char *dir, const checkpoint_list *list, int64_t step,
                              char **out, slant_error *err)
{
    for (size_t i = 0; i < list->n_steps; i++)
        if (list->steps[i] == step) {
            *out = step_path(dir, step);
            return *out == NULL ? out_of_memory(dir, err) : SLANT_OK;
        }
    buf words = {0};
    list_in_words(list, &words);
    slant_status status = status_fail(
        err, SLANT_ERR_NOT_FOUND, "%s: no checkpoint-%lld; there %s%s", dir, (long long)step,
        list->n_steps == 0 ? "is none" : "are ", words.data == NULL ? "" : words.data);
    buf_free(&words);
    return status;
}

/* What a trainer_state.json calls the best; -1 where it names none. */
static slant_status read_best(const char *state_path, int64_t *step, slant_error *err)
{
    json_t *root;
    slant_status status = field_parse_file(state_path, STATE_MAX_BYTES, &root, err);
    if (status != SLANT_OK)
        return status;
    field_reader r = {.file = state_path, .err = err};
    const char *best = field_string(&r, root, "best_model_checkpoint");
    *step = -1;
    if (best != NULL) {
        /* The path is the one of the day it was trained: only its last part still means something.
         */
        size_t length = strlen(best);
        while (length > 0 && best[length - 1] == '/')
            length--;
        char *copy = mem_strndup(best, length);
        if (copy == NULL)
            field_fail(&r, SLANT_ERR_MEMORY, "out of memory");
        else if ((*step = checkpoint_step(file_base_name(copy))) < 0)
            field_fail(&r, SLANT_ERR_FORMAT, "best_model_checkpoint \"%s\" names no checkpoint-N",
                       best);
        mem_free(copy);
    }
    json_decref(root);
    return r.status;
}

/* The Trainer leaves trainer_state.json in each checkpoint, and in the directory itself where it
 * was told to; the newest knows best. */
static slant_status find_best(const char *dir, const checkpoint_list *list, char **out,
                              slant_error *err)
{
    int64_t step = -1;
    slant_status status = SLANT_OK;
    char *path = file_join(dir, "trainer_state.json");
    for (size_t i = list->n_steps; path != NULL && !file_exists(path) && i-- > 0;) {
        mem_free(path);
        char *checkpoint = step_path(dir, list->steps[i]);
        path = checkpoint == NULL ? NULL : file_join(checkpoint, "trainer_state.json");
        mem_free(checkpoint);
    }
    if (path == NULL)
        return out_of_memory(dir, err);
    if (!file_exists(path))
        status = status_fail(err, SLANT_ERR_NOT_FOUND,
                             "%s: holds no trainer_state.json that names the best checkpoint", dir);
    else
        status = read_best(path, &step, err);
    if (status == SLANT_OK && step < 0)
        status = status_fail(err, SLANT_ERR_NOT_FOUND,
                             "%s: best_model_checkpoint is null: the training compared none", path);
    mem_free(path);
    return status == SLANT_OK ? find_step(dir, list, step, out, err) : status;
}

static slant_status choose(const char *dir, const char *choice, const checkpoint_list *list,
                           char **out, buf *notes, slant_error *err)
{
    if (choice == NULL && list->n_steps == 0)
        return status_fail(err, SLANT_ERR_NOT_FOUND,
                           "%s: holds neither adapter_config.json nor checkpoint-N", dir);
    if (choice == NULL || strcmp(choice, "last") == 0)
        return find_last(dir, list, out, notes, err);
    if (strcmp(choice, "best") == 0)
        return find_best(dir, list, out, err);
    size_t length = strlen(choice);
    if (length == 0 || length > MAX_DIGITS || strspn(choice, "0123456789") != length)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "checkpoint: expected last, best or a number, found \"%s\"", choice);
    return find_step(dir, list, strtoll(choice, NULL, 10), out, err);
}

slant_status checkpoint_find(const char *dir, const char *choice, char **out, buf *notes,
                             slant_error *err)
{
    *out = NULL;
    if (!file_is_dir(dir))
        return status_fail(err, SLANT_ERR_NOT_FOUND, "%s: an adapter is a directory", dir);
    if (choice == NULL && folder_holds(dir, "adapter_config.json")) {
        *out = mem_strdup(dir);
        return *out == NULL ? out_of_memory(dir, err) : SLANT_OK;
    }
    checkpoint_list list = {0};
    slant_status status = checkpoint_list_open(dir, &list, err);
    if (status == SLANT_OK)
        status = choose(dir, choice, &list, out, notes, err);
    if (status == SLANT_OK && choice == NULL)
        buf_printf(notes, "%s holds no adapter of its own: its last checkpoint, %s, answers\n", dir,
                   file_base_name(*out));
    checkpoint_list_close(&list);
    return status;
}
