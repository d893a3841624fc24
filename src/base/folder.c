#include "base/folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static slant_status out_of_memory(const char *path, slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
}

slant_status folder_make(const char *path, slant_error *err)
{
    char *part = mem_strdup(path);
    if (part == NULL)
        return out_of_memory(path, err);
    slant_status status = SLANT_OK;
    for (char *at = part + 1; status == SLANT_OK; at++) {
        char held = *at;
        if (held != '/' && held != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            status = status_errno(err, errno, "%s", part);
        *at = held;
        if (held == '\0')
            break;
    }
    mem_free(part);
    if (status == SLANT_OK && !file_is_dir(path))
        status = status_errno(err, ENOTDIR, "%s", path);
    return status;
}

/* BEFORE + prefix + NAME + suffix for BEFORE + NAME. */
static char *name_beside(const char *path, const char *prefix, const char *suffix)
{
    const char *name = file_base_name(path);
    size_t before = (size_t)(name - path);
    size_t size = strlen(path) + strlen(prefix) + strlen(suffix) + 1;
    char *out = mem_alloc(size, 1);
    if (out != NULL)
        snprintf(out, size, "%.*s%s%s%s", (int)before, path, prefix, name, suffix);
    return out;
}

char *folder_partial_name(const char *path)
{
    return name_beside(path, ".", ".partial");
}

slant_status folder_begin(const char *partial, slant_error *err)
{
    slant_status status = folder_remove(partial, err);
    if (status == SLANT_OK && mkdir(partial, 0777) != 0)
        status = status_errno(err, errno, "%s", partial);
    probe();
    return status;
}

static slant_status sync_path(const char *path, slant_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_errno(err, errno, "%s", path);
    int failed = fsync(fd) != 0 ? errno : 0;
    close(fd);
    return failed == 0 ? SLANT_OK : status_errno(err, failed, "%s", path);
}

static slant_status sync_entry(void *context, const char *name, slant_error *err)
{
    char *path = file_join(context, name);
    if (path == NULL)
        return out_of_memory(name, err);
    slant_status status = sync_path(path, err);
    mem_free(path);
    probe();
    return status;
}

static slant_status sync_parent(const char *path, slant_error *err)
{
    size_t before = (size_t)(file_base_name(path) - path);
    char *parent = before == 0 ? mem_strdup(".") : mem_strndup(path, before);
    if (parent == NULL)
        return out_of_memory(path, err);
    slant_status status = sync_path(parent, err);
    mem_free(parent);
    return status;
}

static slant_status take_place(const char *partial, const char *path, slant_error *err)
{
    if (rename(partial, path) != 0)
        return status_errno(err, errno, "%s", path);
    probe();
    return sync_parent(path, err);
}

/* Where both are there, the two change names in one step, and the old one is then removed. A file
 * system that cannot do so loses the old one first. */
static slant_status exchange(const char *partial, const char *path, slant_error *err)
{
    slant_status status;
    if (renameat2(AT_FDCWD, partial, AT_FDCWD, path, RENAME_EXCHANGE) != 0) {
        if (errno != EINVAL && errno != ENOSYS)
            return status_errno(err, errno, "%s", path);
        status = folder_remove(path, err);
        return status == SLANT_OK ? take_place(partial, path, err) : status;
    }
    probe();
    status = sync_parent(path, err);
    return status == SLANT_OK ? folder_remove(partial, err) : status;
}

slant_status folder_commit(const char *partial, const char *path, slant_error *err)
{
    slant_status status = folder_each(partial, sync_entry, (void *)partial, err);
    if (status == SLANT_OK)
        status = sync_path(partial, err);
    probe();
    if (status != SLANT_OK)
        return status;
    return file_exists(path) ? exchange(partial, path, err) : take_place(partial, path, err);
}

static slant_status remove_tree(const char *path, slant_error *err);

static slant_status remove_entry(void *context, const char *name, slant_error *err)
{
    char *path = file_join(context, name);
    if (path == NULL)
        return out_of_memory(name, err);
    slant_status status = SLANT_OK;
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode))
        status = remove_tree(path, err);
    else if (unlink(path) != 0 && errno != ENOENT)
        status = status_errno(err, errno, "%s", path);
    mem_free(path);
    probe();
    return status;
}

static slant_status remove_tree(const char *path, slant_error *err)
{
    slant_status status = folder_each(path, remove_entry, (void *)path, err);
    if (status == SLANT_OK && rmdir(path) != 0 && errno != ENOENT)
        status = status_errno(err, errno, "%s", path);
    return status;
}

slant_status folder_remove(const char *path, slant_error *err)
{
    char *doomed = name_beside(path, ".", ".removed");
    if (doomed == NULL)
        return out_of_memory(path, err);
    slant_status status = SLANT_OK;
    if (file_exists(doomed))
        status = remove_tree(doomed, err);
    if (status == SLANT_OK && rename(path, doomed) != 0 && errno != ENOENT)
        status = status_errno(err, errno, "%s", path);
    probe();
    if (status == SLANT_OK && file_exists(doomed))
        status = remove_tree(doomed, err);
    mem_free(doomed);
    return status;
}

slant_status folder_each(const char *path,
                         slant_status (*visit)(void *context, const char *name, slant_error *err),
                         void *context, slant_error *err)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return status_errno(err, errno, "%s", path);
    slant_status status = SLANT_OK;
    struct dirent *entry;
    while (status == SLANT_OK && (errno = 0, entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = visit(context, entry->d_name, err);
    if (status == SLANT_OK && errno != 0)
        status = status_errno(err, errno, "%s", path);
    closedir(dir);
    return status;
}
