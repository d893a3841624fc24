/* Both caches have huggingface_hub's layout: models--ORG--NAME/refs/main holds a commit, and
 * snapshots/<commit>/ the files or links to them. */
#include "model/hub.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { COMMIT_MAX = 64, REPO_MAX = 200 };

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* tail below what a variable names; NULL where it is not set. */
static const char *below(const char *variable, const char *tail, arena *a)
{
    const char *base = environment(variable);
    return base == NULL ? NULL : arena_printf(a, "%s%s", base, tail);
}

static const char *slant_cache(arena *a)
{
    const char *cache = below("SLANT_CACHE", "/hub", a);
    if (cache == NULL)
        cache = below("XDG_CACHE_HOME", "/slant/hub", a);
    return cache != NULL ? cache : below("HOME", "/.cache/slant/hub", a);
}

static const char *hugging_face_cache(arena *a)
{
    static const char *const places[][2] = {{"HF_HUB_CACHE", ""},
                                            {"HUGGINGFACE_HUB_CACHE", ""},
                                            {"HF_HOME", "/hub"},
                                            {"XDG_CACHE_HOME", "/huggingface/hub"},
                                            {"HOME", "/.cache/huggingface/hub"}};
    const char *cache = NULL;
    for (size_t i = 0; cache == NULL && i < sizeof places / sizeof *places; i++)
        cache = below(places[i][0], places[i][1], a);
    return cache;
}

/* Letters, digits, '-', '_' and '.', not beginning or ending with '.' or '-', no ".." or "--". */
static bool is_repo_part(const char *part, size_t length)
{
    if (length == 0 || strchr(".-", part[0]) != NULL || strchr(".-", part[length - 1]) != NULL)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool plain = (part[i] >= 'a' && part[i] <= 'z') || (part[i] >= 'A' && part[i] <= 'Z') ||
                     (part[i] >= '0' && part[i] <= '9') || strchr("-_.", part[i]) != NULL;
        bool doubled = i > 0 && part[i] == part[i - 1] && (part[i] == '.' || part[i] == '-');
        if (!plain || doubled)
            return false;
    }
    return true;
}

/* Splits "org/name/rest" (or "name", "org/name") after its repository. False: no hub name. */
static bool split(const char *name, char folder[REPO_MAX + 16], const char **rest)
{
    const char *slash = strchr(name, '/');
    const char *end = slash == NULL ? name + strlen(name) : strchr(slash + 1, '/');
    if (end == NULL)
        end = name + strlen(name);
    size_t org = slash == NULL ? 0 : (size_t)(slash - name);
    const char *repo = slash == NULL ? name : slash + 1;
    size_t length = (size_t)(end - repo);
    if (org + length > REPO_MAX || (slash != NULL && !is_repo_part(name, org)) ||
        !is_repo_part(repo, length))
        return false;
    snprintf(folder, REPO_MAX + 16, "models--%.*s%s%.*s", (int)org, name, slash == NULL ? "" : "--",
             (int)length, repo);
    *rest = end[0] == '/' ? end + 1 : end;
    return strstr(*rest, "..") == NULL;
}

/* The commit that refs/main names; an empty string where there is none. */
static slant_status read_commit(const char *repo, char commit[COMMIT_MAX + 1], arena *a,
                                slant_error *err)
{
    buf text = {0};
    commit[0] = '\0';
    char *path = arena_printf(a, "%s/refs/main", repo);
    if (path == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", repo);
    if (!file_exists(path))
        return SLANT_OK;
    slant_status status = file_read(path, 4096, &text, err);
    size_t length = text.data == NULL ? 0 : strcspn(text.data, "\r\n");
    if (status == SLANT_OK &&
        (length == 0 || length > COMMIT_MAX || strspn(text.data, "0123456789abcdef") < length))
        status = status_fail(err, SLANT_ERR_FORMAT, "%s: expected a commit in hexadecimal", path);
    if (status == SLANT_OK) {
        memcpy(commit, text.data, length);
        commit[length] = '\0';
    }
    buf_free(&text);
    return status;
}

/* *path stays NULL where this cache does not hold the name. */
static slant_status look_in(const char *cache, const char *folder, const char *rest, arena *a,
                            char **path, slant_error *err)
{
    char commit[COMMIT_MAX + 1];
    if (cache == NULL)
        return SLANT_OK;
    char *repo = arena_printf(a, "%s/%s", cache, folder);
    if (repo == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", folder);
    slant_status status = read_commit(repo, commit, a, err);
    if (status != SLANT_OK || commit[0] == '\0')
        return status;
    char *found =
        arena_printf(a, "%s/snapshots/%s%s%s", repo, commit, rest[0] == '\0' ? "" : "/", rest);
    if (found != NULL && !file_exists(found))
        return SLANT_OK;
    *path = found == NULL ? NULL : mem_strdup(found);
    return *path == NULL ? status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", folder)
                         : SLANT_OK;
}

slant_status hub_resolve(const char *name, char **path, slant_error *err)
{
    char folder[REPO_MAX + 16];
    const char *rest;
    *path = NULL;
    if (file_exists(name)) {
        *path = mem_strdup(name);
        return *path == NULL ? status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", name)
                             : SLANT_OK;
    }
    if (name[0] == '\0' || !split(name, folder, &rest))
        return status_fail(err, SLANT_ERR_NOT_FOUND, "%s: no such file or directory", name);
    arena a = {0};
    const char *own = slant_cache(&a), *other = hugging_face_cache(&a);
    slant_status status = look_in(own, folder, rest, &a, path, err);
    if (status == SLANT_OK && *path == NULL)
        status = look_in(other, folder, rest, &a, path, err);
    if (status == SLANT_OK && *path == NULL)
        status =
            status_fail(err, SLANT_ERR_NOT_FOUND,
                        "%s: no such file or directory, and no such model in the caches %s and "
                        "%s",
                        name, own == NULL ? "(none)" : own, other == NULL ? "(none)" : other);
    arena_free(&a);
    return status;
}
