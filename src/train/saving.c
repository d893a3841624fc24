/* checkpoint-N: the adapter as PEFT has it, trainer_state.json as the Trainer has it, and beside
 * them what a run needs to go on to the same bits: optimizer.safetensors  NAME.exp_avg and
 * NAME.exp_avg_sq of every trained tensor training_state.json    scaler, schedule, sampler, sums of
 * losses, and what the run was made of manifest.json          the SHA-256 of every other file Only
 * a folder of that name is a checkpoint, and it gets the name when it is whole. */
#include "train/saving_files.h"

#include "base/folder.h"
#include "base/probe.h"
#include "model/checkpoint.h"
#include "train/peft.h"
#include "train/together.h"

#include <stdlib.h>
#include <string.h>

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory while saving");
}

static slant_status write_files(trainer *t, const char *dir, slant_error *err)
{
    slant_status status = saving_write_adapter(t, dir, err);
    probe();
    if (status == SLANT_OK)
        status = saving_write_optimizer(t, dir, err);
    probe();
    if (status == SLANT_OK)
        status = saving_write_state(t, dir, err);
    probe();
    if (status == SLANT_OK)
        status = saving_write_manifest(dir, err);
    probe();
    return status;
}

/* The steps of output_dir's checkpoints. */
typedef struct step_list {
    int64_t *steps; /* [n] */
    size_t n, cap;
} step_list;

static slant_status take_step(void *context, const char *name, slant_error *err)
{
    step_list *list = context;
    int64_t step = checkpoint_step(name);
    if (step < 0)
        return SLANT_OK;
    if (list->n == list->cap) {
        size_t cap = list->cap * 2 + 16;
        int64_t *steps = mem_realloc(list->steps, cap, sizeof *steps);
        if (steps == NULL)
            return out_of_memory(err);
        list->steps = steps;
        list->cap = cap;
    }
    list->steps[list->n++] = step;
    return SLANT_OK;
}

static int compare_steps(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static slant_status list_steps(const trainer *t, step_list *list, slant_error *err)
{
    *list = (step_list){0};
    slant_status status = folder_each(t->s->output_dir, take_step, list, err);
    if (status == SLANT_OK && list->n > 1)
        qsort(list->steps, list->n, sizeof *list->steps, compare_steps);
    return status;
}

static char *path_of_step(const trainer *t, int64_t step)
{
    char name[48];
    snprintf(name, sizeof name, "checkpoint-%lld", (long long)step);
    return file_join(t->s->output_dir, name);
}

static slant_status remove_step(const trainer *t, int64_t step, slant_error *err)
{
    char *path = path_of_step(t, step);
    slant_status status = path == NULL ? out_of_memory(err) : folder_remove(path, err);
    mem_free(path);
    return status;
}

/* rotate_checkpoints of the Trainer: the oldest go; the best and the last stay. */
static slant_status rotate(const trainer *t, slant_error *err)
{
    step_list list;
    int64_t limit = t->s->save_total_limit, best = t->state.best_global_step;
    if (limit <= 0)
        return SLANT_OK;
    slant_status status = list_steps(t, &list, err);
    bool keeps_best = t->state.has_best && t->state.best_model_checkpoint != NULL;
    if (keeps_best && limit == 1 && t->s->load_best_model_at_end && best != t->state.global_step)
        limit = 2;
    int64_t doomed = (int64_t)list.n - limit;
    for (size_t i = 0; status == SLANT_OK && doomed > 0 && i + 1 < list.n; i++) {
        if (keeps_best && list.steps[i] == best)
            continue;
        status = remove_step(t, list.steps[i], err);
        doomed--;
    }
    mem_free(list.steps);
    return status;
}

/* The step's checkpoint is the best model's from the moment that it exists. */
static slant_status name_best(trainer *t, const char *path, slant_error *err)
{
    run_state *s = &t->state;
    if (!s->has_best || s->best_global_step != s->global_step)
        return SLANT_OK;
    char *copy = mem_strdup(path);
    if (copy == NULL)
        return out_of_memory(err);
    mem_free(s->best_model_checkpoint);
    s->best_model_checkpoint = copy;
    return SLANT_OK;
}

static slant_status write_checkpoint(trainer *t, slant_error *err)
{
    char *path = path_of_step(t, t->state.global_step);
    char *partial = path == NULL ? NULL : folder_partial_name(path);
    slant_status status = partial == NULL ? out_of_memory(err) : name_best(t, path, err);
    if (status == SLANT_OK)
        status = folder_begin(partial, err);
    if (status == SLANT_OK) {
        status = write_files(t, partial, err);
        if (status == SLANT_OK)
            status = folder_commit(partial, path, err);
        else
            (void)folder_remove(partial, NULL); /* what went wrong first is what counts */
    }
    if (status == SLANT_OK) {
        words_checkpoint(t, path);
        status = rotate(t, err);
    }
    mem_free(partial);
    mem_free(path);
    return status;
}

slant_status saving_checkpoint(trainer *t, slant_error *err)
{
    slant_status status = together_is_first(t) ? write_checkpoint(t, err) : SLANT_OK;
    status = together_agree(t, status, err);
    if (status == SLANT_OK)
        t->saved_step = t->state.global_step;
    return status;
}

/* Values of the best checkpoint's adapter. */
static slant_status load_best(trainer *t, slant_error *err)
{
    const char *dir = t->state.best_model_checkpoint;
    if (!t->s->load_best_model_at_end || dir == NULL)
        return SLANT_OK;
    char *path = file_join(dir, "adapter_model.safetensors");
    slant_status status = path == NULL ? out_of_memory(err) : peft_read(t->params, path, err);
    parameters_publish(t->params);
    mem_free(path);
    return status;
}

static slant_status write_final(trainer *t, slant_error *err)
{
    slant_status status = load_best(t, err);
    probe();
    if (status == SLANT_OK)
        status = saving_write_adapter(t, t->s->output_dir, err);
    probe();
    if (status == SLANT_OK)
        status = saving_write_history(t, t->s->output_dir, err);
    if (status == SLANT_OK)
        status = saving_write_report(t, t->s->output_dir, err);
    return status;
}

slant_status saving_final(trainer *t, slant_error *err)
{
    slant_status status = together_is_first(t) ? write_final(t, err) : SLANT_OK;
    return together_agree(t, status, err);
}

static slant_status resume_from(trainer *t, const char *dir, slant_error *err)
{
    slant_status status = saving_check_manifest(dir, err);
    if (status == SLANT_OK)
        status = saving_read(t, dir, err);
    if (status != SLANT_OK)
        return status_context(err, status, "%s", dir);
    t->saved_step = t->state.global_step;
    words_note(t, "going on from %s", dir);
    return SLANT_OK;
}

/* The newest that is whole; what is damaged is passed over, and said. */
static slant_status resume_last(trainer *t, bool *found, slant_error *err)
{
    step_list list;
    slant_status status = list_steps(t, &list, err);
    for (size_t i = list.n; status == SLANT_OK && i-- > 0 && !*found;) {
        slant_error damage;
        char *path = path_of_step(t, list.steps[i]);
        if (path == NULL) {
            status = out_of_memory(err);
        } else if (saving_check_manifest(path, &damage) == SLANT_OK) {
            status = resume_from(t, path, err);
            *found = true;
        } else {
            words_note(t, "%s is passed over: %s", path, damage.message);
        }
        mem_free(path);
    }
    mem_free(list.steps);
    return status;
}

slant_status saving_resume(trainer *t, bool *found, slant_error *err)
{
    const char *from = t->s->resume_from_checkpoint;
    char *end;
    *found = false;
    if (from == NULL || strcasecmp(from, "false") == 0)
        return SLANT_OK;
    if (strcasecmp(from, "last") == 0 || strcasecmp(from, "true") == 0) {
        slant_status status = resume_last(t, found, err);
        if (status == SLANT_OK && !*found)
            words_note(t, "%s holds no whole checkpoint yet: starting from the beginning",
                       t->s->output_dir);
        return status;
    }
    *found = true;
    long long step = strtoll(from, &end, 10);
    if (end == from || *end != '\0')
        return resume_from(t, from, err);
    char *path = path_of_step(t, step);
    slant_status status = path == NULL ? out_of_memory(err) : resume_from(t, path, err);
    mem_free(path);
    return status;
}

bool saving_any(const trainer *t)
{
    step_list list;
    bool any = list_steps(t, &list, NULL) == SLANT_OK && list.n > 0;
    mem_free(list.steps);
    return any;
}

/* ".checkpoint-12.partial", ".checkpoint-12.removed" and what became of those. */
static slant_status clean_entry(void *context, const char *name, slant_error *err)
{
    const trainer *t = context;
    size_t n = strlen(name);
    bool left_over =
        name[0] == '.' && strstr(name, "checkpoint-") != NULL && n > 8 &&
        (strcmp(name + n - 8, ".partial") == 0 || strcmp(name + n - 8, ".removed") == 0);
    if (!left_over)
        return SLANT_OK;
    char *path = file_join(t->s->output_dir, name);
    slant_status status = path == NULL ? out_of_memory(err) : folder_remove(path, err);
    mem_free(path);
    return status;
}

slant_status saving_clean(const trainer *t, slant_error *err)
{
    return folder_each(t->s->output_dir, clean_entry, (void *)t, err);
}
