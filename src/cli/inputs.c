#include "cli/inputs.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The folder that a file is in, or would be. */
static bool folder_of(const char *path, char folder[PATH_MAX])
{
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy)
        return false;
    strcpy(copy, path);
    char *slash = strrchr(copy, '/');
    if (slash == NULL)
        strcpy(copy, ".");
    else
        slash[slash == copy ? 1 : 0] = '\0';
    return realpath(copy, folder) != NULL;
}

static bool is_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 &&
           (path[length] == '\0' || path[length] == '/' || length == 1);
}

static slant_status check_output(const char *input, const struct stat *info, const char *output,
                                 slant_error *err)
{
    char folder[PATH_MAX], read_folder[PATH_MAX];
    struct stat target;
    if (S_ISREG(info->st_mode) && stat(output, &target) == 0 && info->st_dev == target.st_dev &&
        info->st_ino == target.st_ino)
        return status_fail(err, SLANT_ERR_ARGUMENT, "-o %s is one of the files to read", output);
    if (S_ISDIR(info->st_mode) && realpath(input, read_folder) != NULL &&
        folder_of(output, folder) && is_below(folder, read_folder))
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "-o %s lies in %s, a folder to read: it would be read as an article",
                           output, input);
    return SLANT_OK;
}

slant_status inputs_check(const char *const *inputs, size_t n_inputs, bool recursive,
                          const char *output, slant_error *err)
{
    for (size_t i = 0; i < n_inputs; i++) {
        struct stat info;
        if (strcmp(inputs[i], "-") == 0 || stat(inputs[i], &info) != 0)
            continue; /* the reader says what is wrong with it, in its place */
        if (S_ISDIR(info.st_mode) && !recursive)
            return status_fail(err, SLANT_ERR_ARGUMENT, "%s is a folder; -r reads folders",
                               inputs[i]);
        slant_status status =
            output == NULL ? SLANT_OK : check_output(inputs[i], &info, output, err);
        if (status != SLANT_OK)
            return status;
    }
    return SLANT_OK;
}

const char *const *inputs_or_standard(const char *const *files, size_t *n_files)
{
    static const char *const standard_input[] = {"-"};
    if (*n_files > 0)
        return files;
    *n_files = 1;
    return standard_input;
}
