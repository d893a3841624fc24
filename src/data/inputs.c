#include "data/inputs.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the list of files");
}

static slant_status add_item(inputs *list, input item, slant_error *err)
{
    input *items = mem_with_room(list->items, &list->cap, list->n_items + 1, sizeof *items);
    if (items == NULL)
        return out_of_memory(err);
    list->items = items;
    list->items[list->n_items++] = item;
    return SLANT_OK;
}

/* path lives in the arena or outlives the list. */
static slant_status add_file(inputs *list, const char *path, const struct stat *info,
                             slant_error *err)
{
    input item = {.path = path};
    if (S_ISREG(info->st_mode)) {
        item.size_bytes = (uint64_t)info->st_size;
        list->total_bytes += item.size_bytes;
    } else {
        list->size_known = false;
    }
    return add_item(list, item, err);
}

static slant_status add_problem(inputs *list, const char *path, slant_status problem,
                                const char *words, slant_error *err)
{
    const char *kept = arena_strdup(&list->strings, words);
    if (kept == NULL)
        return out_of_memory(err);
    return add_item(list, (input){.path = path, .status = problem, .problem = kept}, err);
}

static slant_status add_errno(inputs *list, const char *path, int errno_value, slant_error *err)
{
    slant_error problem;
    slant_status status = status_errno(&problem, errno_value, "cannot be read");
    return add_problem(list, path, status, problem.message, err);
}

typedef struct folder {
    char **names; /* [n_names], in the arena */
    size_t n_names, cap;
} folder;

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(inputs *list, folder *f, const char *path, const char *name)
{
    char **names = mem_with_room(f->names, &f->cap, f->n_names + 1, sizeof *names);
    if (names == NULL)
        return false;
    f->names = names;
    const char *slash = path[0] != '\0' && path[strlen(path) - 1] == '/' ? "" : "/";
    char *joined = arena_printf(&list->strings, "%s%s%s", path, slash, name);
    if (joined == NULL)
        return false;
    f->names[f->n_names++] = joined;
    return true;
}

/* The folder's entries in name order; *errno_value 0 where it could be read. */
static slant_status list_folder(inputs *list, const char *path, folder *f, int *errno_value,
                                slant_error *err)
{
    DIR *dir = opendir(path);
    *errno_value = dir == NULL ? errno : 0;
    if (dir == NULL)
        return SLANT_OK;
    slant_status status = SLANT_OK;
    struct dirent *entry;
    while (status == SLANT_OK && (errno = 0, entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && !add_name(list, f, path, entry->d_name))
            status = out_of_memory(err);
    if (status == SLANT_OK)
        *errno_value = errno;
    closedir(dir);
    if (f->n_names > 0)
        qsort(f->names, f->n_names, sizeof *f->names, compare_names);
    return status;
}

static slant_status walk(inputs *list, const char *path, slant_error *err);

/* Links to files are followed; links to folders could lead in circles. */
static slant_status walk_entry(inputs *list, const char *path, slant_error *err)
{
    struct stat info, target;
    if (lstat(path, &info) != 0 || stat(path, &target) != 0)
        return add_errno(list, path, errno, err);
    if (S_ISDIR(info.st_mode))
        return walk(list, path, err);
    if (S_ISREG(target.st_mode))
        return add_file(list, path, &target, err);
    return SLANT_OK;
}

/* Recursion is as deep as a path is long, and the system bounds that. */
static slant_status walk(inputs *list, const char *path, slant_error *err)
{
    folder f = {0};
    int errno_value;
    slant_status status = list_folder(list, path, &f, &errno_value, err);
    if (status == SLANT_OK && errno_value != 0)
        status = add_errno(list, path, errno_value, err);
    for (size_t i = 0; status == SLANT_OK && i < f.n_names; i++)
        status = walk_entry(list, f.names[i], err);
    mem_free(f.names);
    return status;
}

static slant_status add_folder(inputs *list, const char *path, bool recursive, slant_error *err)
{
    if (!recursive)
        return add_problem(list, path, SLANT_ERR_ARGUMENT,
                           "is a folder; folders are read only where asked for (recursive)", err);
    size_t before = list->n_items;
    slant_status status = walk(list, path, err);
    if (status == SLANT_OK && list->n_items == before)
        status = add_problem(list, path, SLANT_ERR_NOT_FOUND, "holds no files", err);
    return status;
}

static slant_status add_path(inputs *list, const char *given, bool recursive, slant_error *err)
{
    const char *path = arena_strdup(&list->strings, given);
    struct stat info;
    if (path == NULL)
        return out_of_memory(err);
    bool standard_input = strcmp(path, "-") == 0;
    if ((standard_input ? fstat(STDIN_FILENO, &info) : stat(path, &info)) != 0)
        return add_errno(list, path, errno, err);
    if (S_ISDIR(info.st_mode))
        return add_folder(list, path, recursive && !standard_input, err);
    return add_file(list, path, &info, err);
}

slant_status inputs_open(inputs *list, const char *const *paths, size_t n_paths, bool recursive,
                         slant_error *err)
{
    *list = (inputs){.size_known = true};
    for (size_t i = 0; i < n_paths; i++) {
        slant_status status = add_path(list, paths[i], recursive, err);
        if (status != SLANT_OK) {
            inputs_close(list);
            return status;
        }
    }
    return SLANT_OK;
}

void inputs_close(inputs *list)
{
    mem_free(list->items);
    arena_free(&list->strings);
    *list = (inputs){0};
}
