#include "train/history.h"

#include "base/file.h"

#include <math.h>
#include <string.h>

enum { STATE_MAX_BYTES = 256 << 20 };

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for the log");
}

static void add_item(log_entry *e, log_item item)
{
    int at = e->n;
    if (e->n == LOG_MAX_ITEMS)
        return;
    while (at > 0 && strcmp(e->items[at - 1].name, item.name) > 0) {
        e->items[at] = e->items[at - 1];
        at--;
    }
    e->items[at] = item;
    e->n++;
}

void log_add(log_entry *e, const char *name, double value)
{
    add_item(e, (log_item){name, value, false});
}

void log_add_whole(log_entry *e, const char *name, int64_t value)
{
    add_item(e, (log_item){name, (double)value, true});
}

double log_value(const log_entry *e, const char *name)
{
    for (int i = 0; i < e->n; i++)
        if (strcmp(e->items[i].name, name) == 0)
            return e->items[i].value;
    return (double)NAN;
}

static void write_item(const log_item *item, buf *out)
{
    buf_json_string(out, item->name, strlen(item->name));
    buf_string(out, ": ");
    if (item->whole)
        buf_printf(out, "%.0f", item->value);
    else
        buf_double(out, item->value);
}

void log_write(const log_entry *e, buf *out)
{
    for (int i = 0; i < e->n; i++) {
        buf_string(out, i == 0 ? "{" : ", ");
        write_item(&e->items[i], out);
    }
    buf_string(out, e->n == 0 ? "{}" : "}");
}

slant_status history_add(history *h, const log_entry *e, slant_error *err)
{
    if (h->n == h->cap) {
        size_t cap = h->cap * 2 > 64 ? h->cap * 2 : 64;
        log_entry *entries = mem_realloc(h->entries, cap, sizeof *entries);
        if (entries == NULL)
            return out_of_memory(err);
        h->entries = entries;
        h->cap = cap;
    }
    log_entry *to = &h->entries[h->n];
    *to = *e;
    for (int i = 0; i < to->n; i++)
        if ((to->items[i].name = arena_strdup(&h->names, e->items[i].name)) == NULL)
            return out_of_memory(err);
    h->n++;
    return SLANT_OK;
}

void history_free(history *h)
{
    mem_free(h->entries);
    arena_free(&h->names);
    *h = (history){0};
}

static void write_entries(const history *h, buf *out)
{
    buf_string(out, h->n == 0 ? "[]" : "[");
    for (size_t i = 0; i < h->n; i++) {
        const log_entry *e = &h->entries[i];
        buf_string(out, i == 0 ? "\n    {" : ",\n    {");
        for (int k = 0; k < e->n; k++) {
            buf_string(out, k == 0 ? "\n      " : ",\n      ");
            write_item(&e->items[k], out);
        }
        buf_string(out, "\n    }");
    }
    if (h->n > 0)
        buf_string(out, "\n  ]");
}

static void write_callbacks(const run_state *s, buf *out)
{
    buf_string(out, "{");
    if (s->early_stopping_patience > 0) {
        buf_printf(out,
                   "\n    \"EarlyStoppingCallback\": {\n      \"args\": {\n"
                   "        \"early_stopping_patience\": %lld,\n"
                   "        \"early_stopping_threshold\": ",
                   (long long)s->early_stopping_patience);
        buf_double(out, s->early_stopping_threshold);
        buf_printf(out,
                   "\n      },\n      \"attributes\": {\n"
                   "        \"early_stopping_patience_counter\": %lld\n      }\n    },",
                   (long long)s->early_stopping_counter);
    }
    buf_printf(out,
               "\n    \"TrainerControl\": {\n      \"args\": {\n"
               "        \"should_epoch_stop\": false,\n        \"should_evaluate\": false,\n"
               "        \"should_log\": false,\n        \"should_save\": true,\n"
               "        \"should_training_stop\": %s\n      },\n      \"attributes\": {}\n    }\n"
               "  }",
               s->should_stop ? "true" : "false");
}

static void write_steps(buf *out, const char *name, double value)
{
    buf_printf(out, "  \"%s\": ", name);
    if (value >= 1)
        buf_printf(out, "%.0f", value);
    else
        buf_double(out, value);
    buf_string(out, ",\n");
}

static void write_best(const run_state *s, buf *out)
{
    if (!s->has_best) {
        buf_string(out,
                   "  \"best_global_step\": null,\n  \"best_metric\": null,\n"
                   "  \"best_model_checkpoint\": null,\n");
        return;
    }
    buf_printf(
        out, "  \"best_global_step\": %lld,\n  \"best_metric\": ", (long long)s->best_global_step);
    buf_double(out, s->best_metric);
    buf_string(out, ",\n  \"best_model_checkpoint\": ");
    if (s->best_model_checkpoint == NULL)
        buf_string(out, "null");
    else
        buf_json_string(out, s->best_model_checkpoint, strlen(s->best_model_checkpoint));
    buf_string(out, ",\n");
}

void history_write(const history *h, const run_state *s, buf *out)
{
    buf_string(out, "{\n");
    write_best(s, out);
    buf_string(out, "  \"epoch\": ");
    buf_double(out, s->epoch);
    buf_string(out, ",\n");
    write_steps(out, "eval_steps", s->eval_steps);
    buf_printf(out,
               "  \"global_step\": %lld,\n  \"is_hyper_param_search\": false,\n"
               "  \"is_local_process_zero\": true,\n  \"is_world_process_zero\": true,\n"
               "  \"log_history\": ",
               (long long)s->global_step);
    write_entries(h, out);
    buf_string(out, ",\n");
    write_steps(out, "logging_steps", s->logging_steps);
    buf_printf(out,
               "  \"max_steps\": %lld,\n  \"num_input_tokens_seen\": 0,\n"
               "  \"num_train_epochs\": %lld,\n",
               (long long)s->max_steps, (long long)s->num_train_epochs);
    write_steps(out, "save_steps", s->save_steps);
    buf_string(out, "  \"stateful_callbacks\": ");
    write_callbacks(s, out);
    buf_string(out, ",\n  \"total_flos\": ");
    buf_double(out, s->total_flos);
    buf_printf(out,
               ",\n  \"train_batch_size\": %lld,\n  \"trial_name\": null,\n"
               "  \"trial_params\": null\n}\n",
               (long long)s->train_batch_size);
}

static slant_status read_entry(history *h, const json_t *object, slant_error *err)
{
    log_entry e = {0};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        if (json_is_integer(value))
            log_add_whole(&e, name, json_integer_value(value));
        else
            log_add(&e, name, json_is_number(value) ? json_real_value(value) : (double)NAN);
    }
    return history_add(h, &e, err);
}

static slant_status read_best(run_state *s, const json_t *root, slant_error *err)
{
    const json_t *metric = json_object_get(root, "best_metric");
    const char *path = json_string_value(json_object_get(root, "best_model_checkpoint"));
    s->has_best = json_is_number(metric);
    s->best_metric = json_number_value(metric);
    s->best_global_step = json_integer_value(json_object_get(root, "best_global_step"));
    if (path == NULL)
        return SLANT_OK;
    s->best_model_checkpoint = mem_strdup(path);
    return s->best_model_checkpoint == NULL ? out_of_memory(err) : SLANT_OK;
}

slant_status history_read(history *h, run_state *s, const char *path, slant_error *err)
{
    buf text = {0};
    slant_status status = file_read(path, STATE_MAX_BYTES, &text, err);
    if (status != SLANT_OK) {
        buf_free(&text);
        return status;
    }
    json_error_t where;
    json_t *root = json_loadb(text.data == NULL ? "" : text.data, text.size_bytes, 0, &where);
    buf_free(&text);
    const json_t *list = json_object_get(root, "log_history");
    if (!json_is_array(list)) {
        json_decref(root);
        return status_fail(err, SLANT_ERR_FORMAT, "%s: no log_history is in it", path);
    }
    for (size_t i = 0; status == SLANT_OK && i < json_array_size(list); i++)
        status = read_entry(h, json_array_get(list, i), err);
    if (status == SLANT_OK)
        status = read_best(s, root, err);
    json_decref(root);
    return status;
}
