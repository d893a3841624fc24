#include "train/frozen.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The file: the key's digest, then a byte for each article that is there, then the rows of all
 * articles, each part from a page on. */
enum { PAGE = 4096 };

struct frozen_cache {
    char *path;
    uint8_t *map; /* [size_bytes] */
    size_t size_bytes;
    uint8_t *there; /* [n_articles]: 1 where the rows are */
    int n_articles;
    float *values; /* [Σ lengths][hidden_size] */
    const size_t *starts;
    size_t hidden_size;
    kept_hidden kept;
    float **rows;  /* [cap_articles], of the batch at hand */
    int *articles; /* likewise */
    int n;
};

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for what frozen layers give");
}

/* Dirty pages of a mapping outlive the process, but not the machine: another boot, another key. */
static void add_boot(file_digest *digest)
{
    buf id = {0};
    if (file_read("/proc/sys/kernel/random/boot_id", PAGE, &id, NULL) == SLANT_OK &&
        id.size_bytes > 0) {
        file_digest_update(digest, id.data, id.size_bytes);
    } else {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        file_digest_update(digest, &now.tv_sec, sizeof now.tv_sec);
        file_digest_update(digest, &now.tv_nsec, sizeof now.tv_nsec);
    }
    buf_free(&id);
}

static slant_status digest_key(const frozen_key *k, const dataset *d, char out[FILE_DIGEST_CHARS],
                               slant_error *err)
{
    char text[512];
    file_digest *digest = file_digest_open();
    if (digest == NULL)
        return out_of_memory(err);
    int n = snprintf(text, sizeof text, "frozen 1 %s %s %s %d %s %d %d %d %d\n", d->digest,
                     k->base_digest, k->weights, (int)k->compute, k->isa, k->half, k->layer,
                     k->n_layers, k->hidden_size);
    file_digest_update(digest, text, (size_t)n < sizeof text ? (size_t)n : sizeof text);
    add_boot(digest);
    file_digest_close(digest, out);
    return SLANT_OK;
}

static size_t to_page(size_t size_bytes)
{
    return (size_bytes + PAGE - 1) / PAGE * PAGE;
}

/* *values_at: where the rows begin in the file. */
static bool plan(frozen_cache *c, size_t *values_at)
{
    size_t row_bytes, values_bytes, before = PAGE + to_page((size_t)c->n_articles);
    *values_at = before;
    return mem_mul(c->hidden_size, sizeof(float), &row_bytes) &&
           mem_mul(c->starts[c->n_articles], row_bytes, &values_bytes) &&
           mem_add(before, values_bytes, &c->size_bytes) && c->size_bytes < SIZE_MAX / 2;
}

/* Whether the open file is this run's own, of an earlier sitting. */
static bool is_ours(int fd, const frozen_cache *c, const char key[FILE_DIGEST_CHARS])
{
    struct stat info;
    char found[FILE_DIGEST_CHARS];
    return fstat(fd, &info) == 0 && (size_t)info.st_size == c->size_bytes &&
           pread(fd, found, sizeof found, 0) == (ssize_t)sizeof found &&
           memcmp(found, key, sizeof found) == 0;
}

/* An empty file of full size: a full disk is met now and not in the middle of the run. */
static slant_status make_room(int fd, const frozen_cache *c, slant_error *err)
{
    int failed = ftruncate(fd, 0) != 0 ? errno : posix_fallocate(fd, 0, (off_t)c->size_bytes);
    if (failed == 0)
        return SLANT_OK;
    return status_errno(err, failed,
                        "%s: %zu MiB are needed to keep what the frozen layers give (cache_frozen)",
                        c->path, (c->size_bytes >> 20) + 1);
}

static slant_status map_file(frozen_cache *c, int fd, slant_error *err)
{
    void *map = mmap(NULL, c->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return status_errno(err, errno, "%s: cannot be mapped", c->path);
    c->map = map;
    return SLANT_OK;
}

static slant_status open_file(frozen_cache *c, const char key[FILE_DIGEST_CHARS], slant_error *err)
{
    int fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return status_errno(err, errno, "%s", c->path);
    bool ours = is_ours(fd, c, key);
    slant_status status = ours ? SLANT_OK : make_room(fd, c, err);
    if (status == SLANT_OK)
        status = map_file(c, fd, err);
    if (status == SLANT_OK && !ours)
        memcpy(c->map, key, FILE_DIGEST_CHARS);
    if (status != SLANT_OK)
        unlink(c->path);
    close(fd);
    return status;
}

slant_status frozen_open(const char *path, const frozen_key *key, const dataset *d,
                         int cap_articles, frozen_cache **out, slant_error *err)
{
    char digest[FILE_DIGEST_CHARS];
    size_t values_at = 0;
    *out = NULL;
    frozen_cache *c = mem_calloc(1, sizeof *c);
    if (c == NULL)
        return out_of_memory(err);
    c->n_articles = d->n;
    c->starts = d->starts;
    c->hidden_size = (size_t)key->hidden_size;
    c->kept.layer = key->layer;
    c->path = mem_strdup(path);
    c->rows = mem_calloc((size_t)cap_articles, sizeof *c->rows);
    c->articles = mem_calloc((size_t)cap_articles, sizeof *c->articles);
    slant_status status =
        c->path == NULL || c->rows == NULL || c->articles == NULL || !plan(c, &values_at)
            ? out_of_memory(err)
            : digest_key(key, d, digest, err);
    if (status == SLANT_OK)
        status = open_file(c, digest, err);
    if (status != SLANT_OK) {
        frozen_close(c, true); /* what there was of a file is gone */
        return status;
    }
    c->there = c->map + PAGE;
    c->values = (float *)(void *)(c->map + values_at);
    c->kept.rows = c->rows;
    *out = c;
    return SLANT_OK;
}

void frozen_close(frozen_cache *c, bool keep)
{
    if (c == NULL)
        return;
    if (c->map != NULL)
        munmap(c->map, c->size_bytes);
    if (!keep && c->path != NULL)
        unlink(c->path);
    mem_free(c->rows);
    mem_free(c->articles);
    mem_free(c->path);
    mem_free(c);
}

const kept_hidden *frozen_batch(frozen_cache *c, const int *articles, int n)
{
    if (c == NULL)
        return NULL;
    c->n = n;
    c->kept.is_there = true;
    for (int i = 0; i < n; i++) {
        c->articles[i] = articles[i];
        c->rows[i] = c->values + c->starts[articles[i]] * c->hidden_size;
        c->kept.is_there = c->kept.is_there && c->there[articles[i]] == 1;
    }
    return &c->kept;
}

/* The rows' pages leave this process's memory; the system writes them to the file when it likes. */
static void release(const frozen_cache *c, int article)
{
    const size_t row_bytes = c->hidden_size * sizeof(float);
    const uint8_t *first = (const uint8_t *)(c->values + c->starts[article] * c->hidden_size);
    size_t size_bytes = (c->starts[article + 1] - c->starts[article]) * row_bytes;
    size_t from = (size_t)(first - c->map) / PAGE * PAGE;
    size_t end = to_page((size_t)(first - c->map) + size_bytes);
    end = end < c->size_bytes ? end : c->size_bytes;
    (void)madvise(c->map + from, end - from, MADV_DONTNEED);
}

void frozen_done(frozen_cache *c)
{
    if (c == NULL)
        return;
    for (int i = 0; i < c->n; i++) {
        c->there[c->articles[i]] = 1;
        release(c, c->articles[i]);
    }
}

size_t frozen_bytes(const frozen_cache *c)
{
    return c->size_bytes;
}

int frozen_n_there(const frozen_cache *c)
{
    int n = 0;
    for (int i = 0; i < c->n_articles; i++)
        n += c->there[i];
    return n;
}
