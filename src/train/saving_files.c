#include "train/saving_files.h"

#include "base/file.h"
#include "base/folder.h"
#include "base/progress.h"
#include "formats/safetensors.h"
#include "train/card.h"
#include "train/peft.h"
#include "train/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { STATE_MAX_BYTES = 1 << 20, STATE_VERSION = 1 };

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while saving");
}

/* text goes away, whatever happens. */
static slant_status write_text(const char *dir, const char *name, buf *text, slant_error *err)
{
    char *path = file_join(dir, name);
    slant_status status =
        path == NULL || text->failed
            ? out_of_memory(err)
            : file_write_whole(path, text->data == NULL ? "" : text->data, text->size_bytes, err);
    mem_free(path);
    buf_free(text);
    return status;
}

static void put_text(buf *out, const char *name, const char *text)
{
    if (text == NULL)
        return;
    buf_printf(out, ",\n  \"%s\": ", name);
    buf_json_string(out, text, strlen(text));
}

static const char *truncation_name(int choice)
{
    static const char *const names[] = {"head", "tail", "head-tail", "none"};
    return names[choice];
}

static void write_sidecar(const trainer *t, buf *out)
{
    buf_string(out, "{\n  \"labels\": [");
    for (int i = 0; i < t->labels.n; i++) {
        buf_string(out, i == 0 ? "" : ", ");
        buf_json_string(out, t->labels.names[i], strlen(t->labels.names[i]));
    }
    buf_char(out, ']');
    if (t->s->max_length > 0)
        buf_printf(out, ",\n  \"max_length\": %" PRId64, t->s->max_length);
    put_text(out, "truncation", truncation_name(t->s->truncation));
    put_text(out, "title_field", t->s->title_field);
    put_text(out, "base_digest", t->base.base_digest);
    put_text(out, "tokenizer_digest", tokenizer_digest(t->base.tokenizer));
    buf_string(out, "\n}\n");
}

slant_status saving_write_adapter(const trainer *t, const char *dir, slant_error *err)
{
    buf sidecar = {0}, card = {0};
    slant_status status = peft_write(dir, t->params, t->config.data, t->config.size_bytes, err);
    write_sidecar(t, &sidecar);
    card_write(t, &card);
    if (status == SLANT_OK)
        status = write_text(dir, "slant.json", &sidecar, err);
    if (status == SLANT_OK)
        status = write_text(dir, "README.md", &card, err);
    buf_free(&sidecar);
    buf_free(&card);
    return status;
}

static const char *const moment_names[] = {"exp_avg", "exp_avg_sq"};

static char *moment_name(const parameter *p, int moment, char name[256])
{
    snprintf(name, 256, "%s.%s", p->name, moment_names[moment]);
    return name;
}

static slant_status declare_moments(const trainer *t, safetensors_writer *w, slant_error *err)
{
    slant_status status = SLANT_OK;
    for (int i = 0; status == SLANT_OK && i < 2 * t->params->n; i++) {
        const parameter *p = &t->params->list[i / 2];
        char name[256];
        tensor_view view = {.name = moment_name(p, i % 2, name),
                            .type = DTYPE_F32,
                            .n_dims = 2,
                            .shape = {p->rows, p->columns},
                            .size_bytes = (size_t)p->rows * (size_t)p->columns * sizeof(float)};
        status = safetensors_writer_declare(w, &view, err);
    }
    for (int i = 0; status == SLANT_OK && i < 2 * t->params->n; i++) {
        const parameter *p = &t->params->list[i / 2];
        const float *moments = i % 2 == 0 ? t->optim->m : t->optim->v;
        status = safetensors_writer_data(w, moments + p->first,
                                         (size_t)p->rows * (size_t)p->columns * sizeof(float), err);
    }
    return status;
}

slant_status saving_write_optimizer(const trainer *t, const char *dir, slant_error *err)
{
    safetensors_writer *w = NULL;
    char *path = file_join(dir, "optimizer.safetensors");
    if (path == NULL)
        return out_of_memory(err);
    slant_status status = safetensors_writer_open(path, 1, &w, err);
    if (status == SLANT_OK)
        status = declare_moments(t, w, err);
    if (status == SLANT_OK)
        status = safetensors_writer_commit(w, err);
    else
        safetensors_writer_abort(w);
    mem_free(path);
    return status;
}

static slant_status read_moments(trainer *t, const char *dir, slant_error *err)
{
    safetensors *st = NULL;
    char *path = file_join(dir, "optimizer.safetensors");
    slant_status status = path == NULL ? out_of_memory(err) : safetensors_open(path, &st, err);
    for (int i = 0; status == SLANT_OK && i < 2 * t->params->n; i++) {
        const parameter *p = &t->params->list[i / 2];
        char name[256];
        size_t size_bytes = (size_t)p->rows * (size_t)p->columns * sizeof(float);
        const tensor_view *view = safetensors_find(st, moment_name(p, i % 2, name));
        if (view == NULL || view->type != DTYPE_F32 || view->size_bytes != size_bytes)
            status = status_fail(err, SLANT_ERR_MISMATCH, "%s: tensor %s is not what this run has",
                                 path, name);
        else
            memcpy((i % 2 == 0 ? t->optim->m : t->optim->v) + p->first, view->data, size_bytes);
    }
    safetensors_close(st);
    mem_free(path);
    return status;
}

/* One list says what of the trainer training_state.json holds. */
#define STATE_COUNTS(X)                                                                            \
    X(global_step, t->state.global_step)                                                           \
    X(optimizer_updates, t->optim->n_updates)                                                      \
    X(scheduler_steps, t->n_scheduled)                                                             \
    X(scaler_growth_tracker, t->scaler.growth_tracker)                                             \
    X(logged_step, t->logged_step)                                                                 \
    X(evaluated_step, t->evaluated_step)                                                           \
    X(acted_step, t->acted_step)                                                                   \
    X(epochs_closed, t->epochs_closed)                                                             \
    X(tokens_seen, t->tokens_seen)                                                                 \
    X(early_stopping_counter, t->state.early_stopping_counter)
#define STATE_NUMBERS(X)                                                                           \
    X(epoch, t->state.epoch)                                                                       \
    X(scaler_scale, t->scaler.scale)                                                               \
    X(loss_since_log, t->loss_since_log)                                                           \
    X(loss_total, t->loss_total)                                                                   \
    X(total_flos, t->state.total_flos)                                                             \
    X(seconds, t->seconds_before)

/* What must be the same when the run goes on, beside the words that say what differs. */
typedef struct identity {
    const char *name, *value, *what;
} identity;

enum { N_IDENTITIES = 5 };

static void identities(const trainer *t, char order[160], identity out[N_IDENTITIES])
{
    snprintf(order, 160,
             "strategy %d, seed %" PRIu64 ", %" PRId64 " articles in batches of %" PRId64
             " × %" PRId64,
             (int)t->sampler.strategy, t->sampler.seed, t->length.n_samples,
             t->s->per_device_train_batch_size, t->s->gradient_accumulation_steps * t->n_ranks);
    out[0] =
        (identity){"data_digest", t->train->digest, "the training data (as it is read and cut)"};
    out[1] = (identity){"base_digest", t->base.base_digest, "the base model"};
    out[2] = (identity){"adapter_digest", t->modules_digest, "the adapter's shape"};
    out[3] = (identity){"compute", kernel_compute_name(t->compute), "--compute"};
    out[4] =
        (identity){"sampler", order, "the order of articles (batch size × accumulation × ranks)"};
}

void saving_put_state(const trainer *t, buf *out)
{
    char order[160];
    identity same[N_IDENTITIES];
    identities(t, order, same);
    buf_printf(out, "{\n  \"version\": %d", STATE_VERSION);
#define X(name, value) buf_printf(out, ",\n  \"%s\": %" PRId64, #name, (int64_t)(value));
    STATE_COUNTS(X)
#undef X
#define X(name, value)                                                                             \
    buf_printf(out, ",\n  \"%s\": ", #name);                                                       \
    buf_double(out, value);
    STATE_NUMBERS(X)
#undef X
    buf_printf(out, ",\n  \"should_stop\": %s,\n  \"seed\": %" PRId64,
               t->state.should_stop ? "true" : "false", t->s->seed);
    put_text(out, "isa", t->work->kernels->name);
    buf_printf(out, ",\n  \"ranks\": %d", t->n_ranks);
    for (int i = 0; i < N_IDENTITIES; i++)
        put_text(out, same[i].name, same[i].value);
    buf_string(out, "\n}\n");
}

slant_status saving_write_history(const trainer *t, const char *dir, slant_error *err)
{
    buf text = {0};
    history_write(&t->log, &t->state, &text);
    return write_text(dir, "trainer_state.json", &text, err);
}

slant_status saving_write_report(const trainer *t, const char *dir, slant_error *err)
{
    buf text = {0};
    report_write(t, &text);
    return write_text(dir, "report.html", &text, err);
}

slant_status saving_write_state(const trainer *t, const char *dir, slant_error *err)
{
    buf state = {0};
    trainer now = *t;
    now.seconds_before += progress_now() - t->started;
    saving_put_state(&now, &state);
    slant_status status = write_text(dir, "training_state.json", &state, err);
    return status == SLANT_OK ? saving_write_history(t, dir, err) : status;
}

static slant_status check_identity(const identity *same, const json_t *root, const char *differs,
                                   slant_error *err)
{
    const char *was = json_string_value(json_object_get(root, same->name));
    if (was == NULL && same->value == NULL)
        return SLANT_OK;
    if (was != NULL && same->value != NULL && strcmp(was, same->value) == 0)
        return SLANT_OK;
    return status_fail(err, SLANT_ERR_MISMATCH, "%s %s: it was %s and is %s", same->what, differs,
                       was == NULL ? "unknown" : was,
                       same->value == NULL ? "unknown" : same->value);
}

/* What changes the last bits alone is said, not refused. */
static void note_differences(const trainer *t, const json_t *root)
{
    const char *isa = json_string_value(json_object_get(root, "isa"));
    int64_t n_ranks = json_integer_value(json_object_get(root, "ranks"));
    if (isa != NULL && strcmp(isa, t->work->kernels->name) != 0)
        words_note(t,
                   "the run was computed with %s so far and goes on with %s: the last bits will "
                   "differ",
                   isa, t->work->kernels->name);
    if (n_ranks > 0 && n_ranks != t->n_ranks)
        words_note(t,
                   "the run was computed by %" PRId64
                   " ranks so far and goes on with %d: the last "
                   "bits will differ",
                   n_ranks, t->n_ranks);
}

static slant_status check_identities(const trainer *t, const json_t *root, const char *differs,
                                     slant_error *err)
{
    char order[160];
    identity same[N_IDENTITIES];
    slant_status status = SLANT_OK;
    identities(t, order, same);
    for (int i = 0; status == SLANT_OK && i < N_IDENTITIES; i++)
        status = check_identity(&same[i], root, differs, err);
    if (status == SLANT_OK)
        note_differences(t, root);
    return status;
}

static void take_state(trainer *t, const json_t *root)
{
#define X(name, value) value = json_integer_value(json_object_get(root, #name));
    STATE_COUNTS(X)
#undef X
#define X(name, value) value = json_number_value(json_object_get(root, #name));
    STATE_NUMBERS(X)
#undef X
    t->state.should_stop = json_is_true(json_object_get(root, "should_stop"));
}

slant_status saving_take_state(trainer *t, const char *text, size_t text_bytes, const char *differs,
                               slant_error *err)
{
    json_t *root = text == NULL ? NULL : json_loadb(text, text_bytes, 0, NULL);
    slant_status status = SLANT_OK;
    if (root == NULL)
        status = status_fail(err, SLANT_ERR_FORMAT, "not JSON");
    else if (json_integer_value(json_object_get(root, "version")) != STATE_VERSION)
        status = status_fail(err, SLANT_ERR_UNSUPPORTED, "of another version of slant");
    if (status == SLANT_OK)
        status = check_identities(t, root, differs, err);
    if (status == SLANT_OK)
        take_state(t, root);
    json_decref(root);
    return status;
}

static slant_status read_state(trainer *t, const char *path, slant_error *err)
{
    buf text = {0};
    slant_status status = file_read(path, STATE_MAX_BYTES, &text, err);
    if (status == SLANT_OK) {
        status = saving_take_state(t, text.data, text.size_bytes, "changed since", err);
        if (status != SLANT_OK)
            status = status_context(err, status, "%s", file_base_name(path));
    }
    buf_free(&text);
    return status;
}

static slant_status read_file(trainer *t, const char *dir, const char *name,
                              slant_status (*read)(trainer *t, const char *path, slant_error *err),
                              slant_error *err)
{
    char *path = file_join(dir, name);
    slant_status status = path == NULL ? out_of_memory(err) : read(t, path, err);
    mem_free(path);
    return status;
}

static slant_status read_values(trainer *t, const char *path, slant_error *err)
{
    slant_status status = peft_read(t->params, path, err);
    parameters_publish(t->params);
    return status;
}

static slant_status read_history(trainer *t, const char *path, slant_error *err)
{
    return history_read(&t->log, &t->state, path, err);
}

slant_status saving_read(trainer *t, const char *dir, slant_error *err)
{
    slant_status status = read_file(t, dir, "training_state.json", read_state, err);
    if (status == SLANT_OK)
        status = read_file(t, dir, "adapter_model.safetensors", read_values, err);
    if (status == SLANT_OK)
        status = read_moments(t, dir, err);
    if (status == SLANT_OK)
        status = read_file(t, dir, "trainer_state.json", read_history, err);
    return status;
}
