#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

slant_status file_map_open(file_map *map, const char *path, slant_error *err)
{
    *map = (file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_errno(err, errno, "%s", path);
    struct stat info;
    slant_status status = SLANT_OK;
    if (fstat(fd, &info) != 0) {
        status = status_errno(err, errno, "%s", path);
    } else if (!S_ISREG(info.st_mode)) {
        status = status_fail(err, SLANT_ERR_IO, "%s: not a regular file", path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            status = status_errno(err, errno, "%s: cannot be mapped", path);
        } else {
            map->data = data;
            map->size_bytes = (size_t)info.st_size;
        }
    }
    close(fd);
    return status;
}

void file_map_close(file_map *map)
{
    if (map->data != NULL)
        munmap((void *)map->data, map->size_bytes);
    *map = (file_map){0};
}

slant_status file_read(const char *path, size_t max_bytes, buf *out, slant_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_errno(err, errno, "%s", path);
    slant_status status = SLANT_OK;
    size_t total = 0;
    for (;;) {
        if (!buf_reserve(out, 65536)) {
            status = status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory while reading", path);
            break;
        }
        ssize_t got = read(fd, out->data + out->size_bytes, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            status = status_errno(err, errno, "%s", path);
            break;
        }
        if (got == 0)
            break;
        total += (size_t)got;
        if (total > max_bytes) {
            status = status_fail(err, SLANT_ERR_FORMAT,
                                 "%s: longer than the %zu bytes allowed here", path, max_bytes);
            break;
        }
        out->size_bytes += (size_t)got;
        out->data[out->size_bytes] = '\0';
    }
    close(fd);
    return status;
}

bool file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

slant_status file_writer_open(file_writer *w, const char *path, slant_error *err)
{
    *w = (file_writer){0};
    size_t length = strlen(path);
    w->path = mem_strdup(path);
    w->temporary_path = mem_alloc(length + 32, 1);
    if (w->path == NULL || w->temporary_path == NULL) {
        file_writer_abort(w);
        return status_fail(err, SLANT_ERR_MEMORY, "%s: out of memory", path);
    }
    snprintf(w->temporary_path, length + 32, "%s.%ld.tmp", path, (long)getpid());
    w->stream = fopen(w->temporary_path, "wbe");
    if (w->stream == NULL) {
        int saved = errno;
        mem_free(w->temporary_path);
        w->temporary_path = NULL;
        file_writer_abort(w);
        return status_errno(err, saved, "%s: cannot be written", path);
    }
    return SLANT_OK;
}

slant_status file_writer_write(file_writer *w, const void *bytes, size_t size_bytes,
                               slant_error *err)
{
    if (size_bytes > 0 && fwrite(bytes, 1, size_bytes, w->stream) != size_bytes)
        return status_errno(err, errno, "%s: cannot be written", w->path);
    return SLANT_OK;
}

/* A rename is durable only once the folder that holds the name is on disk. */
static int sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (length >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (slash == NULL)
        strcpy(folder, ".");
    else if (length == 0)
        strcpy(folder, "/");
    else {
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = fsync(fd);
    if (result != 0 && errno == EINVAL)
        result = 0; /* file systems that cannot sync a folder say so this way */
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

slant_status file_writer_commit(file_writer *w, slant_error *err)
{
    slant_status status = SLANT_OK;
    if (fflush(w->stream) != 0 || fsync(fileno(w->stream)) != 0)
        status = status_errno(err, errno, "%s: cannot be written", w->path);
    if (fclose(w->stream) != 0 && status == SLANT_OK)
        status = status_errno(err, errno, "%s: cannot be written", w->path);
    w->stream = NULL;
    if (status == SLANT_OK && rename(w->temporary_path, w->path) != 0)
        status = status_errno(err, errno, "%s: cannot be put in place", w->path);
    if (status == SLANT_OK) {
        mem_free(w->temporary_path);
        w->temporary_path = NULL;
        if (sync_folder_of(w->path) != 0)
            status = status_errno(err, errno, "%s: its folder cannot be synced", w->path);
    }
    file_writer_abort(w);
    return status;
}

void file_writer_abort(file_writer *w)
{
    if (w->stream != NULL)
        fclose(w->stream);
    if (w->temporary_path != NULL)
        unlink(w->temporary_path);
    mem_free(w->temporary_path);
    mem_free(w->path);
    *w = (file_writer){0};
}

slant_status file_write_whole(const char *path, const void *bytes, size_t size_bytes,
                              slant_error *err)
{
    file_writer w;
    slant_status status = file_writer_open(&w, path, err);
    if (status == SLANT_OK)
        status = file_writer_write(&w, bytes, size_bytes, err);
    if (status == SLANT_OK)
        return file_writer_commit(&w, err);
    file_writer_abort(&w);
    return status;
}

char *file_join(const char *dir, const char *name)
{
    size_t dir_length = strlen(dir), name_length = strlen(name);
    char *path = mem_alloc(dir_length + name_length + 2, 1);
    if (path == NULL)
        return NULL;
    memcpy(path, dir, dir_length);
    if (dir_length > 0 && dir[dir_length - 1] != '/')
        path[dir_length++] = '/';
    memcpy(path + dir_length, name, name_length + 1);
    return path;
}

const char *file_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

struct file_digest {
    EVP_MD_CTX *context;
};

file_digest *file_digest_open(void)
{
    file_digest *digest = mem_calloc(1, sizeof *digest);
    if (digest == NULL)
        return NULL;
    digest->context = EVP_MD_CTX_new();
    if (digest->context == NULL || EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(digest->context);
        mem_free(digest);
        return NULL;
    }
    return digest;
}

void file_digest_update(file_digest *digest, const void *bytes, size_t size_bytes)
{
    EVP_DigestUpdate(digest->context, bytes, size_bytes);
}

void file_digest_close(file_digest *digest, char out[FILE_DIGEST_CHARS])
{
    if (digest == NULL)
        return;
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int hash_bytes = 0;
    EVP_DigestFinal_ex(digest->context, hash, &hash_bytes);
    if (out != NULL) {
        memcpy(out, "sha256:", 8);
        for (unsigned int i = 0; i < hash_bytes; i++)
            snprintf(out + 7 + 2 * i, 3, "%02x", hash[i]);
    }
    EVP_MD_CTX_free(digest->context);
    mem_free(digest);
}
