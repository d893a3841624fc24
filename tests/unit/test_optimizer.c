/* What turns gradients into a run: losses, order, schedule, scaling and AdamW, against PyTorch. */
#include "unit.h"

#include "train/optimizer.h"
#include "train/sampler.h"
#include "train/scaler.h"
#include "train/schedule.h"
#include "train/tally.h"
#include "train_rig.h"

#include <stdlib.h>
#include <unistd.h>

static safetensors *open_golden(const char *name)
{
    safetensors *st;
    if (safetensors_open(name, &st, &err) != SLANT_OK)
        fail_msg("%s", err.message);
    return st;
}

static const int32_t *golden_ints(const safetensors *st, const char *name, size_t n)
{
    return (const int32_t *)(const void *)golden(st, name, n);
}

static void shuffles_are_the_trainers(void **state)
{
    (void)state;
    safetensors *st = open_golden(GOLDEN "order.safetensors");
    int order[1000];
    sampler s = {.strategy = SAMPLING_RANDOM, .seed = 42, .n_samples = 1000};
    assert_int_equal(sampler_order(&s, 0, order, &err), SLANT_OK);
    assert_memory_equal(order, golden_ints(st, "randperm 1000 42", 1000), sizeof order);
    s.n_samples = 17;
    assert_int_equal(sampler_order(&s, 1, order, &err), SLANT_OK);
    assert_memory_equal(order, golden_ints(st, "randperm 17 43", 17), 17 * sizeof *order);
    s.n_samples = 1;
    assert_int_equal(sampler_order(&s, 1, order, &err), SLANT_OK);
    assert_int_equal(order[0], 0);
    safetensors_close(st);
}

static void grouping_by_length_is_the_trainers(void **state)
{
    (void)state;
    safetensors *st = open_golden(GOLDEN "order.safetensors");
    int lengths[200], order[200];
    for (int i = 0; i < 200; i++)
        lengths[i] = (int)(1 + train_integer("group lengths", (uint64_t)i) % 50);
    sampler s = {.strategy = SAMPLING_GROUP_BY_LENGTH,
                 .seed = 42,
                 .n_samples = 200,
                 .lengths = lengths,
                 .grouped_samples = 4};
    assert_int_equal(sampler_order(&s, 0, order, &err), SLANT_OK);
    assert_memory_equal(order, golden_ints(st, "grouped 200 4", 200), sizeof order);
    s.n_samples = 30;
    s.grouped_samples = 16;
    assert_int_equal(sampler_order(&s, 0, order, &err), SLANT_OK);
    assert_memory_equal(order, golden_ints(st, "grouped 30 16", 30), 30 * sizeof *order);
    safetensors_close(st);
}

static void a_sequential_epoch_keeps_the_order(void **state)
{
    (void)state;
    int order[5];
    sampler s = {.strategy = SAMPLING_SEQUENTIAL, .n_samples = 5};
    assert_int_equal(sampler_order(&s, 3, order, &err), SLANT_OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(order[i], i);
}

static void schedules_are_transformers(void **state)
{
    (void)state;
    static const char *const names[] = {"linear", "cosine", "constant", "constant_with_warmup"};
    safetensors *st = open_golden(GOLDEN "order.safetensors");
    for (int kind = 0; kind < 4; kind++) {
        schedule s = {(schedule_kind)kind, 3, 20};
        const float *want = golden(st, names[kind], 20);
        for (int k = 0; k < 20; k++)
            assert_float_equal(schedule_factor(&s, k), want[k], 1e-7);
    }
    safetensors_close(st);
}

static void runs_have_the_trainers_length(void **state)
{
    (void)state;
    run_length card = schedule_length(17984, 4, 4, 3, -1, false);
    assert_int_equal(card.batches_per_epoch, 4496);
    assert_int_equal(card.steps_per_epoch, 1124);
    assert_int_equal(card.n_steps, 3372);
    assert_int_equal(card.n_epochs, 3);
    run_length odd = schedule_length(10, 4, 2, 1.5, -1, false);
    assert_int_equal(odd.batches_per_epoch, 3);
    assert_int_equal(odd.steps_per_epoch, 2);
    assert_int_equal(odd.n_steps, 3);
    assert_int_equal(odd.n_epochs, 2);
    assert_int_equal(schedule_length(10, 4, 2, 1, -1, true).batches_per_epoch, 2);
    run_length capped = schedule_length(10, 4, 2, 3, 7, false);
    assert_int_equal(capped.n_steps, 7);
    assert_int_equal(capped.n_epochs, 4);
    assert_int_equal(schedule_warmup(2, 3372), 2);
    assert_int_equal(schedule_warmup(0.03, 3372), 102);
    assert_int_equal(schedule_warmup(0, 3372), 0);
}

static void check_loss(const char *name, const loss_settings *settings, const float *logits,
                       const loss_targets *targets)
{
    char derivative[32];
    float d_logits[18];
    safetensors *st = open_golden(GOLDEN "loss.safetensors");
    snprintf(derivative, sizeof derivative, "d %s", name);
    double loss = loss_mean(settings, logits, targets, 6, 1, d_logits);
    assert_float_equal(loss, *golden(st, name, 1), 1e-6);
    assert_near(derivative, d_logits, golden(st, derivative, 18), 18, 1e-6);
    assert_float_equal(loss_mean(settings, logits, targets, 6, 0.25, d_logits), loss, 0);
    for (int i = 0; i < 18; i++)
        assert_float_equal(4 * d_logits[i], golden(st, derivative, 18)[i], 1e-6);
    safetensors_close(st);
}

static void losses_are_pytorchs(void **state)
{
    (void)state;
    static const float weights[] = {0.5f, 1.0f, 2.5f};
    float logits[18], values[18];
    int labels[6];
    for (int i = 0; i < 18; i++) {
        int64_t x = train_integer("loss logits", (uint64_t)i);
        int64_t y = train_integer("loss targets", (uint64_t)i);
        logits[i] = (float)(x * 2 + 1 - (1 << 24)) / (float)(1 << 24) * 4;
        values[i] = ((float)(y * 2 + 1 - (1 << 24)) / (float)(1 << 24) + 1) / 2;
    }
    for (int i = 0; i < 6; i++)
        labels[i] = train_label(i);
    loss_targets targets = {labels, values};
    loss_settings s = {.problem = PROBLEM_SINGLE_LABEL, .n_labels = 3};
    check_loss("plain", &s, logits, &targets);
    s.class_weights = weights;
    check_loss("weighted", &s, logits, &targets);
    s.class_weights = NULL;
    s.label_smoothing = 0.125f;
    check_loss("smoothed", &s, logits, &targets);
    s.problem = PROBLEM_MULTI_LABEL;
    check_loss("multi", &s, logits, &targets);
    s.problem = PROBLEM_REGRESSION;
    check_loss("regression", &s, logits, &targets);
}

static void scales_are_gradscalers(void **state)
{
    (void)state;
    safetensors *st = open_golden(GOLDEN "scaler.safetensors");
    const tensor_view *view = safetensors_find(st, "scales");
    const float *changes = (const float *)(const void *)view->data;
    int n_changes = (int)view->shape[0], change = 0;
    scaler s = scaler_start(true);
    assert_float_equal(s.scale, 65536, 0);
    for (int step = 0; step < 4100; step++) {
        bool overflows = step == 0 || step == 1 || step == 5 || step == 2010;
        double before = s.scale;
        scaler_update(&s, overflows);
        if (step > 0 && s.scale == before)
            continue;
        assert_true(change < n_changes);
        assert_int_equal(step, (int)changes[2 * change]);
        assert_float_equal(s.scale, changes[2 * change + 1], 0);
        change++;
    }
    assert_int_equal(change, n_changes);
    scaler off = scaler_start(false);
    scaler_update(&off, true);
    assert_float_equal(off.scale, 1, 0);
    safetensors_close(st);
}

static double next_number(char **at)
{
    return strtod(*at, at);
}

/* Averages run over the labels that occur: scikit-learn takes those of truths and answers. */
static void averages_are_scikit_learns(void **state)
{
    (void)state;
    buf text = {0};
    assert_int_equal(file_read(GOLDEN "tally.txt", 1 << 16, &text, &err), SLANT_OK);
    char *at = text.data;
    for (int line = 0; line < 9; line++) {
        int64_t confusion[25];
        int n = (int)next_number(&at);
        for (int i = 0; i < n * n; i++)
            confusion[i] = (int64_t)next_number(&at);
        tally t = tally_confusion(confusion, n, (tally_average)(line % 3));
        const double got[] = {t.accuracy, t.precision, t.recall, t.f1};
        for (int i = 0; i < 4; i++)
            assert_true(fabs(got[i] - next_number(&at)) < 1e-12);
    }
    buf_free(&text);
}

/* One micro-batch of the golden run: articles number … number + 3. */
static double micro_batch(rig *r, int step, int micro, int number)
{
    char name[32];
    int32_t ids[4 * 24];
    int bounds[5] = {0}, pooled[4], labels[4];
    uint32_t samples[4] = {0};
    snprintf(name, sizeof name, "lengths %d %d", step, micro);
    for (int i = 0; i < 4; i++) {
        int length = (int)(1 + train_integer(name, (uint64_t)i) % 24);
        bounds[i + 1] = bounds[i] + length;
        pooled[i] = length - 1;
        labels[i] = train_label(number + i);
        train_article(number + i, length, ids + bounds[i]);
    }
    train_batch batch = {ids, bounds, pooled, samples, 4};
    loss_settings settings = {.problem = PROBLEM_SINGLE_LABEL, .n_labels = TRAIN_LABELS};
    loss_targets targets = {.labels = labels};
    float logits[4 * TRAIN_LABELS], d_logits[4 * TRAIN_LABELS];
    assert_int_equal(forward_record(r->t, &batch, logits, &err), SLANT_OK);
    double loss = loss_mean(&settings, logits, &targets, 4, 0.25, d_logits);
    backward(r->t, d_logits);
    return loss / 4;
}

/* Distance to PyTorch's final tensors relative to how far they travelled. */
static void check_travel(const rig *r, const float *start, const safetensors *st)
{
    for (int i = 0; i < r->params->n; i++) {
        const parameter *p = &r->params->list[i];
        size_t n = (size_t)p->rows * (size_t)p->columns;
        const float *want = golden(st, p->name, n);
        double norm, apart = distance(r->params->values + p->first, want, n, &norm);
        double travelled = distance(start + p->first, want, n, &norm);
        if (!(apart <= 1e-3 * travelled))
            fail_msg("%s: %.3g away after a travel of %.3g", p->name, apart, travelled);
    }
}

static void check_steps(const char *name, const char *golden_name, schedule_kind kind,
                        const optimizer_settings *settings)
{
    rig r;
    rig_options options = {.compute = SLANT_COMPUTE_F32};
    optimizer *o;
    safetensors *st = open_golden(golden_name);
    const float *log = golden(st, "log", 90);
    open_rig(&r, train_case_named(name), &options);
    assert_int_equal(optimizer_open(r.params, settings, r.t->kernels, 2, &o, &err), SLANT_OK);
    size_t n_values = r.params->n_values;
    float *start = mem_alloc(n_values, sizeof *start);
    memcpy(start, r.params->values, n_values * sizeof *start);
    schedule s = {kind, 2, 30};
    int number = 0;
    for (int step = 0; step < 30; step++) {
        double loss = 0, lr = 2e-3 * schedule_factor(&s, step);
        memset(r.params->gradients, 0, n_values * sizeof(float));
        for (int micro = 0; micro < 4; micro++, number += 4)
            loss += micro_batch(&r, step, micro, number);
        double norm = optimizer_gradient_norm(o, r.params);
        assert_float_equal(loss, log[3 * step], 2e-4);
        assert_float_equal(norm, log[3 * step + 1], 2e-3 * norm);
        assert_float_equal(lr, log[3 * step + 2], 1e-8);
        optimizer_update(o, r.params, lr, 1, norm);
    }
    check_travel(&r, start, st);
    mem_free(start);
    optimizer_close(o);
    safetensors_close(st);
    close_rig(&r);
}

static void thirty_steps_end_where_pytorchs_do(void **state)
{
    (void)state;
    optimizer_settings s = {.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .max_grad_norm = 2};
    check_steps("llama", GOLDEN "steps/llama_linear.safetensors", SCHEDULE_LINEAR, &s);
    s.weight_decay = 0.05f;
    s.max_grad_norm = 2.5f;
    s.paged_file = "test_optimizer.moments";
    check_steps("qwen2_all", GOLDEN "steps/qwen2_all_cosine.safetensors", SCHEDULE_COSINE, &s);
    assert_int_not_equal(access(s.paged_file, F_OK), 0);
}

static void a_paged_file_that_cannot_be_is_an_error(void **state)
{
    (void)state;
    rig r;
    rig_options options = {.compute = SLANT_COMPUTE_F32};
    optimizer *o;
    optimizer_settings s = {.paged_file = "no/such/folder/moments"};
    open_rig(&r, train_case_named("llama"), &options);
    assert_int_equal(optimizer_open(r.params, &s, r.t->kernels, 1, &o, &err), SLANT_ERR_NOT_FOUND);
    assert_null(o);
    assert_non_null(strstr(err.message, "no/such/folder/moments"));
    close_rig(&r);
}

static void overflow_shows_in_the_norm(void **state)
{
    (void)state;
    rig r;
    rig_options options = {.compute = SLANT_COMPUTE_F32};
    optimizer *o;
    optimizer_settings s = {.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f};
    open_rig(&r, train_case_named("llama"), &options);
    assert_int_equal(optimizer_open(r.params, &s, r.t->kernels, 1, &o, &err), SLANT_OK);
    assert_true(optimizer_gradient_norm(o, r.params) == 0);
    r.params->gradients[5] = 3;
    r.params->gradients[r.params->list[2].first] = -4;
    assert_float_equal(optimizer_gradient_norm(o, r.params), 5, 1e-12);
    r.params->gradients[7] = INFINITY;
    assert_false(isfinite(optimizer_gradient_norm(o, r.params)));
    optimizer_close(o);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffles_are_the_trainers),
        cmocka_unit_test(grouping_by_length_is_the_trainers),
        cmocka_unit_test(a_sequential_epoch_keeps_the_order),
        cmocka_unit_test(schedules_are_transformers),
        cmocka_unit_test(runs_have_the_trainers_length),
        cmocka_unit_test(losses_are_pytorchs),
        cmocka_unit_test(scales_are_gradscalers),
        cmocka_unit_test(averages_are_scikit_learns),
        cmocka_unit_test(thirty_steps_end_where_pytorchs_do),
        cmocka_unit_test(a_paged_file_that_cannot_be_is_an_error),
        cmocka_unit_test(overflow_shows_in_the_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
