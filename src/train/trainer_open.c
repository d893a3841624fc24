#include "base/folder.h"
#include "base/progress.h"
#include "base/thread.h"
#include "model/backward.h"
#include "train/peft.h"
#include "train/together.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Memory beside weights, passes and tape: code, tokenizer, articles' ids and what the C library
 * holds, roughly. */
enum { OTHER_BYTES = 64 << 20 };

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory for training");
}

/* The strings of a list setting ("a" counts as ["a"]), in the trainer's memory. */
static slant_status read_strings(trainer *t, const char *name, const char *json,
                                 const char *const **out, size_t *n, slant_error *err)
{
    json_t *value = json == NULL ? NULL : json_loads(json, JSON_DECODE_ANY, NULL);
    bool one = json_is_string(value);
    *n = one ? 1 : json_array_size(value);
    const char **list = arena_alloc(&t->memory, *n + 1, sizeof *list);
    slant_status status = list == NULL ? out_of_memory(err) : SLANT_OK;
    for (size_t i = 0; status == SLANT_OK && i < *n; i++) {
        const char *text = json_string_value(one ? value : json_array_get(value, i));
        if (text == NULL)
            status = status_fail(err, SLANT_ERR_ARGUMENT, "%s: expected names", name);
        else if ((list[i] = arena_strdup(&t->memory, text)) == NULL)
            status = out_of_memory(err);
    }
    json_decref(value);
    *out = (const char *const *)list;
    return status;
}

static slant_status check_settings(const trainer *t, slant_error *err)
{
    const train_settings *s = t->s;
    if (s->train == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "train: no articles to learn from are named");
    if (s->output_dir == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "output_dir: no place for the adapter is named");
    bool measures = s->eval_strategy != STRATEGY_NO;
    if (measures && s->eval == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "eval_strategy asks for measurements, but eval names no articles");
    if ((s->save_strategy == STRATEGY_BEST || s->early_stopping_patience > 0) && !measures)
        return status_fail(err, SLANT_ERR_ARGUMENT, "%s needs an eval_strategy",
                           s->early_stopping_patience > 0 ? "early_stopping_patience"
                                                          : "save_strategy best");
    if (s->load_best_model_at_end && s->save_strategy != STRATEGY_BEST &&
        s->save_strategy != s->eval_strategy)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "load_best_model_at_end needs eval_strategy and save_strategy to be the "
                           "same, or save_strategy best");
    if (s->load_in_4bit && s->dtype != SLANT_DTYPE_AUTO && s->dtype != SLANT_DTYPE_NF4)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "load_in_4bit means dtype nf4, and another dtype was given");
    if (s->load_in_4bit && !s->bnb_4bit_use_double_quant)
        return status_fail(err, SLANT_ERR_UNSUPPORTED,
                           "bnb_4bit_use_double_quant false: slant quantises with it");
    if (s->bf16 && settings_given(t->recipe, "compute") && s->compute != SLANT_COMPUTE_BF16)
        return status_fail(err, SLANT_ERR_ARGUMENT, "bf16 and another compute exclude each other");
    return SLANT_OK;
}

static slant_status open_model(trainer *t, slant_error *err)
{
    const train_settings *s = t->s;
    model_open_options options = {.adapter = s->adapter,
                                  .dtype =
                                      s->load_in_4bit ? SLANT_DTYPE_NF4 : (slant_dtype)s->dtype,
                                  .n_layers = (int)s->layers,
                                  .n_threads = t->n_threads,
                                  .base_only = s->adapter == NULL,
                                  .want_digest = true};
    slant_status status = model_open(s->model, &options, &t->opened, err);
    if (status != SLANT_OK)
        return status;
    t->base = *t->opened;
    if (t->base.tokenizer == NULL)
        return status_fail(err, SLANT_ERR_NOT_FOUND,
                           "%s: no tokenizer.json, so no text can be read", s->model);
    if (t->base.notes != NULL && t->base.notes[0] != '\0')
        words_note(t, "%s", t->base.notes);
    return SLANT_OK;
}

/* The labels that are known before the data is read: those asked for, else the base's. */
static slant_status start_labels(trainer *t, slant_error *err)
{
    const model_config *c = &t->base.config;
    size_t n;
    const char *const *names;
    t->labels = (label_set){.names = c->labels, .n = c->n_labels, .problem = c->problem};
    slant_status status = read_strings(t, "labels", t->s->labels, &names, &n, err);
    if (status != SLANT_OK)
        return status;
    if (n > 0 && t->base.score != NULL && (int)n != c->n_labels)
        return status_fail(err, SLANT_ERR_MISMATCH, "labels: %zu are named, the head has %d", n,
                           c->n_labels);
    if (n > TALLY_MAX_LABELS)
        return status_fail(err, SLANT_ERR_ARGUMENT, "labels: more than %d", TALLY_MAX_LABELS);
    if (n > 0) {
        t->labels.names = (const char **)names;
        t->labels.n = (int)n;
    }
    if (t->labels.problem == PROBLEM_UNSET)
        t->labels.problem = t->labels.n == 1 ? PROBLEM_REGRESSION : PROBLEM_SINGLE_LABEL;
    return SLANT_OK;
}

static cut_rule rule_of(const trainer *t)
{
    static const slant_truncation truncations[] = {SLANT_TRUNCATION_HEAD, SLANT_TRUNCATION_TAIL,
                                                   SLANT_TRUNCATION_HEAD_TAIL,
                                                   SLANT_TRUNCATION_NONE};
    int64_t limit =
        t->s->max_length > 0 ? t->s->max_length : t->base.config.max_position_embeddings;
    return (cut_rule){.truncation = truncations[t->s->truncation], .max_length = (size_t)limit};
}

static slant_status read_set(trainer *t, const char *name, const char *json, dataset **out,
                             slant_error *err)
{
    dataset_options options = {.rule = rule_of(t), .skip_bad_rows = t->s->skip_bad_rows};
    options.fields.text_field = t->s->text_field;
    options.fields.title_field = t->s->title_field;
    options.fields.id_field = t->s->id_field;
    options.fields.label_field = t->s->label_field == NULL ? "label" : t->s->label_field;
    slant_status status = read_strings(t, name, json, &options.paths, &options.n_paths, err);
    if (status == SLANT_OK)
        status = dataset_open(&t->base, &options, &t->labels, &t->memory, out, err);
    if (status != SLANT_OK)
        return status_context(err, status, "%s", name);
    if ((*out)->n_bad > 0)
        words_note(t, "%s: %lld rows that cannot be used are left out", name,
                   (long long)(*out)->n_bad);
    if ((*out)->n_cut > 0)
        words_note(t, "%s: %lld of %d articles are longer than %zu ids and cut", name,
                   (long long)(*out)->n_cut, (*out)->n, options.rule.max_length);
    return SLANT_OK;
}

static slant_status check_classes(const trainer *t, slant_error *err)
{
    const dataset *d = t->train;
    for (int i = 1; d->labels != NULL && i < d->n; i++)
        if (d->labels[i] != d->labels[0])
            return SLANT_OK;
    if (d->labels == NULL)
        return SLANT_OK;
    return status_fail(err, SLANT_ERR_FORMAT,
                       "train: all articles have the label %s: there is nothing to tell apart",
                       t->labels.names[d->labels[0]]);
}

static slant_status read_data(trainer *t, slant_error *err)
{
    slant_status status = start_labels(t, err);
    if (status == SLANT_OK)
        status = read_set(t, "train", t->s->train, &t->train, err);
    if (status == SLANT_OK)
        status = check_classes(t, err);
    if (status == SLANT_OK && t->s->eval != NULL)
        status = read_set(t, "eval", t->s->eval, &t->eval, err);
    if (status == SLANT_OK && t->labels.n > TALLY_MAX_LABELS)
        status = status_fail(err, SLANT_ERR_ARGUMENT, "the data holds more than %d labels",
                             TALLY_MAX_LABELS);
    t->base.config.n_labels = t->labels.n;
    t->base.config.labels = t->labels.names;
    t->base.config.problem = t->labels.problem;
    return status;
}

/* "balanced": n / (labels · count), as scikit-learn weighs; or one number a label. */
static slant_status read_class_weights(trainer *t, slant_error *err)
{
    const char *json = t->s->class_weights;
    int n = t->labels.n;
    if (json == NULL)
        return SLANT_OK;
    if (t->labels.problem != PROBLEM_SINGLE_LABEL)
        return status_fail(err, SLANT_ERR_ARGUMENT, "class_weights: articles have no single label");
    float *weights = arena_alloc(&t->memory, (size_t)n, sizeof *weights);
    if (weights == NULL)
        return out_of_memory(err);
    t->loss.class_weights = weights;
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    bool balanced = json_is_string(value) && strcmp(json_string_value(value), "balanced") == 0;
    bool fits = balanced || json_array_size(value) == (size_t)n;
    for (int i = 0; fits && !balanced && i < n; i++) {
        const json_t *item = json_array_get(value, (size_t)i);
        fits = json_is_number(item) && json_number_value(item) >= 0;
        weights[i] = (float)json_number_value(item);
    }
    json_decref(value);
    if (!fits)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "class_weights: expected %d numbers or \"balanced\", found %s", n, json);
    for (int i = 0; balanced && i < t->train->n; i++)
        weights[t->train->labels[i]] += 1;
    for (int i = 0; balanced && i < n; i++)
        weights[i] = weights[i] > 0 ? (float)t->train->n / ((float)n * weights[i]) : 0;
    return SLANT_OK;
}

/* adapter_config.json: the one of the adapter that is continued, else a new one. */
static slant_status ready_config(trainer *t, slant_error *err)
{
    if (t->s->adapter == NULL)
        return peft_config(t->s, t->s->model, &t->config, err);
    char *path = file_join(t->base.adapter.path, "adapter_config.json");
    slant_status status =
        path == NULL ? out_of_memory(err) : file_read(path, 1 << 22, &t->config, err);
    mem_free(path);
    return status;
}

static slant_status digest_modules(trainer *t, slant_error *err)
{
    file_digest *d = file_digest_open();
    if (d == NULL)
        return out_of_memory(err);
    file_digest_update(d, t->modules,
                       (size_t)t->base.config.n_layers * LINEAR_COUNT * sizeof *t->modules);
    file_digest_close(d, t->modules_digest);
    return SLANT_OK;
}

static slant_status ready_parameters(trainer *t, slant_error *err)
{
    slant_status status = ready_config(t, err);
    if (status == SLANT_OK)
        status = peft_modules(t->config.data, t->config.size_bytes, "adapter_config.json", &t->base,
                              &t->modules, err);
    if (status == SLANT_OK)
        status = digest_modules(t, err);
    if (status == SLANT_OK)
        status = parameters_open(&t->base, t->modules, t->s->fp16, &t->params, err);
    if (status != SLANT_OK)
        return status;
    if (t->s->adapter != NULL)
        peft_take(t->params, &t->base);
    else
        parameters_start(t->params, &t->base, (uint64_t)t->s->seed, t->s->init_lora_weights == 1);
    parameters_publish(t->params);
    return SLANT_OK;
}

static slant_compute choose_compute(const trainer *t, const kernel_table *kernels)
{
    if (t->s->compute != SLANT_COMPUTE_AUTO)
        return (slant_compute)t->s->compute;
    if (t->s->bf16)
        return SLANT_COMPUTE_BF16;
    if (settings_given(t->recipe, "bnb_4bit_compute_dtype") &&
        t->s->bnb_4bit_compute_dtype == WORD_FLOAT32)
        return SLANT_COMPUTE_F32;
    return workspace_fine_compute(kernels);
}

/* "1500M", "2G", "1073741824". */
static slant_status parse_bytes(const char *text, size_t *out, slant_error *err)
{
    char *end;
    double value = strtod(text, &end);
    double unit = *end == '\0' ? 1 : strchr("kK", *end) ? 1e3 : strchr("mM", *end) ? 1e6 : 1e9;
    bool known = *end == '\0' || (strchr("kKmMgG", *end) != NULL &&
                                  (end[1] == '\0' || strcasecmp(end + 1, "b") == 0));
    if (end == text || !known || !(value > 0) || value * unit > 1e15)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "memory_limit: expected a size as 1500M or 2G, found %s", text);
    *out = (size_t)(value * unit);
    return SLANT_OK;
}

static slant_status tape_limit(const trainer *t, tape_options *options, slant_error *err)
{
    size_t limit = 0,
           taken = weights_bytes(&t->base) + t->work->pages_bytes + t->params->pages_bytes;
    static const tape_checkpointing modes[] = {TAPE_KEEP_ALL, TAPE_KEEP_INPUTS, TAPE_KEEP_FITTING,
                                               TAPE_KEEP_ALL, TAPE_KEEP_INPUTS};
    options->checkpointing = modes[t->s->gradient_checkpointing];
    if (!settings_given(t->recipe, "gradient_checkpointing") && t->s->memory_limit != NULL)
        options->checkpointing = TAPE_KEEP_FITTING;
    if (options->checkpointing != TAPE_KEEP_FITTING)
        return SLANT_OK;
    if (t->s->memory_limit == NULL)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "gradient_checkpointing selective is planned from memory_limit");
    slant_status status = parse_bytes(t->s->memory_limit, &limit, err);
    taken += 2 * t->params->n_values * sizeof(float) + OTHER_BYTES;
    options->memory_limit = limit > taken ? limit - taken : 0;
    return status;
}

static slant_status open_batch(trainer *t, int64_t n_ids, slant_error *err)
{
    trainer_batch *b = &t->batch;
    size_t n = (size_t)b->cap_sequences, n_values = n * (size_t)t->labels.n;
    b->cap_ids = n_ids;
    b->ids = arena_alloc(&t->memory, (size_t)n_ids, sizeof *b->ids);
    b->bounds = arena_alloc(&t->memory, n + 1, sizeof *b->bounds);
    b->pooled = arena_alloc(&t->memory, n, sizeof *b->pooled);
    b->labels = arena_alloc(&t->memory, n, sizeof *b->labels);
    b->samples = arena_alloc(&t->memory, n, sizeof *b->samples);
    b->articles = arena_alloc(&t->memory, n, sizeof *b->articles);
    b->values = arena_alloc(&t->memory, n_values, sizeof *b->values);
    b->logits = arena_alloc(&t->memory, n_values, sizeof *b->logits);
    b->d_logits = arena_alloc(&t->memory, n_values, sizeof *b->d_logits);
    int64_t n_order = t->length.n_samples > t->train->n ? t->length.n_samples : t->train->n;
    t->order = arena_alloc(&t->memory, (size_t)n_order, sizeof *t->order);
    return b->ids == NULL || b->bounds == NULL || b->pooled == NULL || b->labels == NULL ||
                   b->samples == NULL || b->articles == NULL || b->values == NULL ||
                   b->logits == NULL || b->d_logits == NULL || t->order == NULL
               ? out_of_memory(err)
               : SLANT_OK;
}

/* Passes hold the longest batch that the shuffle can make, and the longest article measured. */
static slant_status ready_memory(trainer *t, slant_error *err)
{
    const train_settings *s = t->s;
    const kernel_table *kernels = kernel_table_best();
    int longest = dataset_longest_one(t->train);
    int64_t n_ids = dataset_longest(t->train, (int)s->per_device_train_batch_size);
    if (t->eval != NULL) {
        int eval_longest = dataset_longest_one(t->eval);
        longest = eval_longest > longest ? eval_longest : longest;
        n_ids = n_ids > eval_longest ? n_ids : eval_longest;
    }
    if (n_ids > INT32_MAX / 4)
        return status_fail(err, SLANT_ERR_ARGUMENT,
                           "a batch of %lld ids is more than one pass can hold", (long long)n_ids);
    t->batch.cap_sequences = (int)(s->per_device_train_batch_size > s->per_device_eval_batch_size
                                       ? s->per_device_train_batch_size
                                       : s->per_device_eval_batch_size);
    t->compute = choose_compute(t, kernels);
    bool narrow = t->compute != SLANT_COMPUTE_F32 && kernels->bf16_is_fast && !s->fp16;
    slant_status status = open_batch(t, n_ids, err);
    if (status == SLANT_OK)
        status = workspace_open_lora(&t->params->trained, kernels, t->compute,
                                     narrow ? SLANT_COMPUTE_BF16 : SLANT_COMPUTE_F32, t->n_threads,
                                     (int)n_ids, longest, &t->work, err);
    tape_options options = {.dropout = {(float)s->lora_dropout, (uint64_t)s->seed},
                            .half = s->fp16,
                            .max_sequences = t->batch.cap_sequences};
    if (status == SLANT_OK)
        status = tape_limit(t, &options, err);
    if (status == SLANT_OK)
        status = tape_open(&t->params->trained, t->work, &options, &t->tape, err);
    if (status == SLANT_OK)
        parameters_attach(t->params, t->tape);
    return status;
}

static slant_status ready_optimizer(trainer *t, slant_error *err)
{
    const train_settings *s = t->s;
    bool paged = s->optim == OPTIM_PAGED_ADAMW || s->optim == OPTIM_PAGED_ADAMW_32BIT;
    char name[48] = ".optimizer.paged";
    if (t->rank > 0)
        snprintf(name, sizeof name, ".optimizer-%d.paged", t->rank);
    char *file = paged ? file_join(s->output_dir, name) : NULL;
    if (paged && file == NULL)
        return out_of_memory(err);
    optimizer_settings settings = {.beta1 = (float)s->adam_beta1,
                                   .beta2 = (float)s->adam_beta2,
                                   .eps = (float)s->adam_epsilon,
                                   .weight_decay = (float)s->weight_decay,
                                   .max_grad_norm = (float)s->max_grad_norm,
                                   .paged_file = file};
    slant_status status =
        optimizer_open(t->params, &settings, t->tape->kernels, t->n_threads, &t->optim, err);
    mem_free(file);
    return status;
}

/* Below 1 a share of all steps. */
static int64_t resolve_steps(double steps, int64_t n_steps)
{
    return steps < 1 ? (int64_t)ceil((double)n_steps * steps) : (int64_t)steps;
}

static void ready_schedule(trainer *t)
{
    const train_settings *s = t->s;
    int64_t batches_a_step = s->gradient_accumulation_steps * t->n_ranks;
    t->length = schedule_length(together_dealt(t), s->per_device_train_batch_size, batches_a_step,
                                s->num_train_epochs, s->max_steps, s->dataloader_drop_last);
    int64_t n = t->length.n_steps;
    t->schedule =
        (schedule){(schedule_kind)s->lr_scheduler_type, schedule_warmup(s->warmup_steps, n), n};
    t->sampler =
        (sampler){.strategy = (sampling_strategy)s->train_sampling_strategy,
                  .seed = (uint64_t)(s->data_seed >= 0 ? s->data_seed : s->seed),
                  .n_samples = t->train->n,
                  .lengths = t->train->lengths,
                  .grouped_samples = (int)(s->per_device_train_batch_size * batches_a_step)};
    double eval_steps = s->eval_steps < 0 ? s->logging_steps : s->eval_steps;
    t->logging_steps = resolve_steps(s->logging_steps, n);
    t->eval_steps = resolve_steps(eval_steps, n);
    t->save_steps = resolve_steps(s->save_steps, n);
    t->scaler = scaler_start(s->fp16);
    t->loss.problem = t->labels.problem;
    t->loss.n_labels = t->labels.n;
    t->loss.label_smoothing = (float)s->label_smoothing_factor;
    t->state = (run_state){.max_steps = n,
                           .num_train_epochs = t->length.n_epochs,
                           .train_batch_size = s->per_device_train_batch_size,
                           .logging_steps = s->logging_steps,
                           .eval_steps = eval_steps,
                           .save_steps = s->save_steps,
                           .early_stopping_patience = s->early_stopping_patience,
                           .early_stopping_threshold = s->early_stopping_threshold};
    t->last_loss = t->last_norm = t->last_rate = (double)NAN;
    t->order_epoch = -1;
    t->evaluated_step = t->saved_step = -1;
}

static slant_status start_or_resume(trainer *t, slant_error *err)
{
    bool found;
    slant_status status = saving_clean(t, err);
    if (status == SLANT_OK)
        status = saving_resume(t, &found, err);
    if (status == SLANT_OK && t->s->resume_from_checkpoint == NULL && saving_any(t))
        status = status_fail(err, SLANT_ERR_ARGUMENT,
                             "%s holds checkpoints of a run: resume_from_checkpoint last goes on "
                             "with it, another output_dir begins a new one",
                             t->s->output_dir);
    return status;
}

/* How fast a first batch goes, forward and backward; its gradients are forgotten. */
static slant_status time_a_batch(trainer *t, double *tokens_per_second, slant_error *err)
{
    trainer_batch *b = &t->batch;
    int n = (int)t->s->per_device_train_batch_size;
    trainer_fill_batch(t, t->train, NULL, 0, n < t->train->n ? n : t->train->n, 0);
    train_batch packed = {b->ids, b->bounds, b->pooled, b->samples, b->n};
    double start = progress_now();
    slant_status status = forward_record(t->tape, &packed, b->logits, err);
    if (status != SLANT_OK)
        return status;
    (void)trainer_batch_loss(t, 1, true);
    backward(t->tape, b->d_logits);
    *tokens_per_second = t->n_ranks * b->bounds[b->n] / (progress_now() - start);
    return SLANT_OK;
}

static slant_status open_all(trainer *t, slant_error *err)
{
    double tokens_per_second = 0;
    slant_status status = kernel_check_environment(err);
    if (status == SLANT_OK)
        status = check_settings(t, err);
    if (status == SLANT_OK)
        status = folder_make(t->s->output_dir, err);
    if (status == SLANT_OK)
        status = open_model(t, err);
    if (status == SLANT_OK)
        status = read_data(t, err);
    if (status == SLANT_OK)
        status = ready_parameters(t, err);
    if (status == SLANT_OK)
        ready_schedule(t);
    if (status == SLANT_OK)
        status = read_class_weights(t, err);
    if (status == SLANT_OK)
        status = ready_memory(t, err);
    if (status == SLANT_OK)
        status = ready_optimizer(t, err);
    if (status == SLANT_OK)
        status = together_room(t, t->s->gradient_accumulation_steps * t->n_ranks, err);
    status = together_agree(t, status, err);
    if (status == SLANT_OK && together_is_first(t))
        status = start_or_resume(t, err);
    status = together_agree(t, status, err);
    if (status == SLANT_OK)
        status = together_start(t, err);
    if (status == SLANT_OK)
        status = trainer_open_frozen(t, err);
    if (status == SLANT_OK)
        status = time_a_batch(t, &tokens_per_second, err);
    status = together_agree(t, status, err);
    if (status == SLANT_OK)
        words_plan(t, tokens_per_second);
    return status;
}

slant_status trainer_open(const slant_recipe *recipe, const slant_train_options *options,
                          trainer **out, slant_error *err)
{
    *out = NULL;
    trainer *t = mem_calloc(1, sizeof *t);
    if (t == NULL) /* others may be waiting for this rank */
        return dist_agree(options == NULL ? NULL : options->team, out_of_memory(err), err);
    t->recipe = recipe;
    t->s = &recipe->settings;
    if (options != NULL)
        t->options = *options;
    t->rank = dist_rank(t->options.team);
    t->n_ranks = dist_size(t->options.team);
    t->n_threads = t->s->threads > 0 ? (int)t->s->threads : dist_cores(t->options.team);
    slant_status status = open_all(t, err);
    if (status != SLANT_OK) {
        trainer_close(t);
        return status;
    }
    *out = t;
    return SLANT_OK;
}

void trainer_close(trainer *t)
{
    if (t == NULL)
        return;
    trainer_close_frozen(t, t->saved_step > 0); /* there is a checkpoint to go on from */
    optimizer_close(t->optim);
    tape_close(t->tape);
    workspace_close(t->work);
    parameters_close(t->params);
    dataset_close(t->train);
    dataset_close(t->eval);
    model_close(t->opened);
    mem_free(t->modules);
    mem_free(t->state.best_model_checkpoint);
    run_log_close(&t->files);
    history_free(&t->log);
    buf_free(&t->config);
    arena_free(&t->memory);
    mem_free(t);
}
