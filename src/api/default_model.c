#include "api/default_model.h"

#include "base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_NAME "news-bias"
#define BASE_FILE "base.slant"

/* A folder made for this holds base.slant and, beside it, the adapter. */
static bool take_folder(const char *folder, const char **model, const char **adapter, arena *a)
{
    const char *base = arena_printf(a, "%s/" BASE_FILE, folder);
    const char *config = arena_printf(a, "%s/adapter_config.json", folder);
    if (base == NULL || config == NULL || !file_exists(base))
        return false;
    *model = base;
    *adapter = file_exists(config) ? arena_strdup(a, folder) : NULL;
    return *model != NULL;
}

/* The folder of the running program, "" where the system does not say. */
static void program_folder(char folder[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    folder[length < 0 ? 0 : length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    else
        folder[0] = '\0';
}

slant_status default_model_find(const char **model, const char **adapter, arena *a,
                                slant_error *err)
{
    *adapter = NULL;
    const char *named = getenv("SLANT_MODEL");
    if (named != NULL && *named != '\0') {
        if (!take_folder(named, model, adapter, a))
            *model = arena_strdup(a, named);
        return *model == NULL ? status_fail(err, SLANT_ERR_MEMORY, "out of memory") : SLANT_OK;
    }

    char folder[PATH_MAX];
    program_folder(folder);
    static const char *const beside[] = {
        "../../models/" DEFAULT_NAME, /* build/release/slant in the source tree */
        "../models/" DEFAULT_NAME, "models/" DEFAULT_NAME,
        "../share/slant/models/" DEFAULT_NAME, /* installed */
    };
    for (size_t i = 0; folder[0] != '\0' && i < sizeof beside / sizeof *beside; i++) {
        const char *candidate = arena_printf(a, "%s/%s", folder, beside[i]);
        char resolved[PATH_MAX];
        if (candidate != NULL && realpath(candidate, resolved) != NULL &&
            take_folder(resolved, model, adapter, a))
            return SLANT_OK;
    }
    return status_fail(
        err, SLANT_ERR_NOT_FOUND,
        "no model was named and the embedded default was not found beside the program "
        "(%s); name one with --model or SLANT_MODEL",
        folder[0] == '\0' ? "unknown folder" : folder);
}
