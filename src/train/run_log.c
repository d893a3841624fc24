#include "train/run_log.h"

#include "base/file.h"
#include "base/folder.h"
#include "train/tfevents.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the log");
}

static double wall_time(void)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    return (double)now.tv_sec + 1e-6 * (double)now.tv_usec;
}

/* bytes go away. */
static slant_status put(FILE *stream, const char *path, buf *bytes, slant_error *err)
{
    slant_status status = SLANT_OK;
    if (bytes->failed)
        status = out_of_memory(err);
    else if (fwrite(bytes->data, 1, bytes->size_bytes, stream) != bytes->size_bytes ||
             fflush(stream) != 0)
        status = status_errno(err, errno, "%s", path);
    buf_free(bytes);
    return status;
}

static slant_status add_line(run_log *r, const log_entry *e, slant_error *err)
{
    buf line = {0};
    log_write(e, &line);
    buf_char(&line, '\n');
    return put(r->lines, r->lines_path, &line, err);
}

/* Tags as transformers' TensorBoardCallback names them: eval_loss is eval/loss, loss train/loss. */
static slant_status add_events(run_log *r, const log_entry *e, slant_error *err)
{
    buf events = {0};
    double now = wall_time();
    int64_t step = (int64_t)log_value(e, "step");
    for (int i = 0; i < e->n; i++) {
        const char *name = e->items[i].name;
        char tag[128];
        bool is_eval = strncmp(name, "eval_", 5) == 0;
        if (strcmp(name, "step") == 0)
            continue;
        snprintf(tag, sizeof tag, "%s/%s", is_eval ? "eval" : "train", is_eval ? name + 5 : name);
        tfevents_scalar(&events, now, step, tag, (float)e->items[i].value);
    }
    return put(r->events, r->events_path, &events, err);
}

static slant_status open_lines(run_log *r, const char *output_dir, const history *h,
                               slant_error *err)
{
    r->lines_path = file_join(output_dir, "log.jsonl");
    if (r->lines_path == NULL)
        return out_of_memory(err);
    r->lines = fopen(r->lines_path, "we");
    if (r->lines == NULL)
        return status_errno(err, errno, "%s", r->lines_path);
    slant_status status = SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < h->n; i++)
        status = add_line(r, &h->entries[i], err);
    return status;
}

static slant_status open_events(run_log *r, const char *output_dir, int64_t step, slant_error *err)
{
    char name[96];
    double now = wall_time();
    buf start = {0};
    char *dir = file_join(output_dir, "runs");
    slant_status status = dir == NULL ? out_of_memory(err) : folder_make(dir, err);
    snprintf(name, sizeof name, "events.out.tfevents.%.0f.slant.%ld", now, (long)getpid());
    if (status == SLANT_OK && (r->events_path = file_join(dir, name)) == NULL)
        status = out_of_memory(err);
    mem_free(dir);
    if (status != SLANT_OK)
        return status;
    r->events = fopen(r->events_path, "we");
    if (r->events == NULL)
        return status_errno(err, errno, "%s", r->events_path);
    tfevents_start(&start, now);
    tfevents_session(&start, now, step + 1);
    return put(r->events, r->events_path, &start, err);
}

slant_status run_log_open(run_log *r, const char *output_dir, const history *h, int64_t step,
                          slant_error *err)
{
    *r = (run_log){0};
    slant_status status = open_lines(r, output_dir, h, err);
    return status == SLANT_OK ? open_events(r, output_dir, step, err) : status;
}

slant_status run_log_add(run_log *r, const log_entry *e, slant_error *err)
{
    slant_status status = add_line(r, e, err);
    return status == SLANT_OK ? add_events(r, e, err) : status;
}

void run_log_close(run_log *r)
{
    if (r->lines != NULL)
        fclose(r->lines);
    if (r->events != NULL)
        fclose(r->events);
    mem_free(r->lines_path);
    mem_free(r->events_path);
    *r = (run_log){0};
}
