/* The backward pass: every gradient against PyTorch + PEFT, and against finite differences. */
#include "unit.h"

#include "train_rig.h"

static double run_forward(rig *r)
{
    train_batch batch = {r->ids, r->bounds, r->pooled, r->samples, N_SEQUENCES};
    loss_settings settings = {.problem = PROBLEM_SINGLE_LABEL, .n_labels = TRAIN_LABELS};
    loss_targets targets = {.labels = r->labels};
    assert_int_equal(forward_record(r->t, &batch, r->logits, &err), SLANT_OK);
    return loss_mean(&settings, r->logits, &targets, N_SEQUENCES, 1, r->d_logits);
}

static double run(rig *r)
{
    double loss = run_forward(r);
    memset(r->params->gradients, 0, r->params->n_values * sizeof(float));
    backward(r->t, r->d_logits);
    return loss;
}

static double gradient_norm(const parameters *p)
{
    double sum = 0;
    for (int i = 0; i < p->n; i++)
        for (size_t k = 0; k < (size_t)p->list[i].rows * (size_t)p->list[i].columns; k++)
            sum += pow((double)p->gradients[p->list[i].first + k], 2);
    return sqrt(sum);
}

static void check_against_golden(const train_case *c, const rig_options *options)
{
    char path[512];
    rig r;
    safetensors *st;
    open_rig(&r, c, options);
    snprintf(path, sizeof path, GOLDEN "gradients/%s.safetensors", c->name);
    assert_int_equal(safetensors_open(path, &st, &err), SLANT_OK);
    double loss = run(&r), norm = gradient_norm(r.params);
    assert_near("logits", r.logits, golden(st, "logits", N_SEQUENCES * TRAIN_LABELS),
                N_SEQUENCES * TRAIN_LABELS, 1e-5);
    assert_float_equal(loss, *golden(st, "loss", 1), 1e-5);
    float golden_norm = *golden(st, "grad_norm", 1);
    assert_float_equal(norm, golden_norm, 1e-4f * golden_norm);
    assert_int_equal(safetensors_count(st), r.params->n + 3);
    for (int i = 0; i < r.params->n; i++) {
        const parameter *p = &r.params->list[i];
        size_t n = (size_t)p->rows * (size_t)p->columns;
        assert_near(p->name, r.params->gradients + p->first, golden(st, p->name, n), n, 1e-4);
    }
    safetensors_close(st);
    close_rig(&r);
}

static void gradients_are_those_of_pytorch_and_peft(void **state)
{
    (void)state;
    rig_options options = {.compute = SLANT_COMPUTE_F32};
    for (size_t i = 0; i < TRAIN_N_CASES; i++)
        check_against_golden(&train_cases[i], &options);
}

static void every_instruction_set_gives_pytorchs_gradients(void **state)
{
    (void)state;
    const kernel_table *tables[16];
    int n = kernel_tables(tables, 16);
    for (int i = 0; i < n; i++) {
        rig_options options = {.compute = SLANT_COMPUTE_F32, .kernels = tables[i]};
        check_against_golden(train_case_named("mistral_upper"), &options);
        check_against_golden(train_case_named("qwen3_all"), &options);
    }
}

static void assert_same_gradients(const rig *a, const rig *b)
{
    assert_int_equal(a->params->n_values, b->params->n_values);
    assert_memory_equal(a->params->gradients, b->params->gradients,
                        a->params->n_values * sizeof(float));
}

/* Threads, and what is computed again, must not change a bit; with dropout too. */
static void gradients_do_not_depend_on_threads_or_checkpointing(void **state)
{
    (void)state;
    static const char *const names[] = {"llama_all", "mistral_upper", "qwen3"};
    static const slant_compute computes[] = {SLANT_COMPUTE_F32, SLANT_COMPUTE_BF16,
                                             SLANT_COMPUTE_INT8};
    for (int i = 0; i < 9; i++) {
        const train_case *c = train_case_named(names[i / 3]);
        rig plain, other;
        rig_options options = {.compute = computes[i % 3], .dropout = {0.1f, 7}};
        open_rig(&plain, c, &options);
        run(&plain);
        options.n_threads = 3;
        options.checkpointing = TAPE_KEEP_INPUTS;
        open_rig(&other, c, &options);
        assert_true(other.t->n_recomputed > 0);
        run(&other);
        assert_same_gradients(&plain, &other);
        options.checkpointing = TAPE_KEEP_FITTING;
        options.memory_limit = other.t->pages_bytes + (size_t)16 * 1024;
        close_rig(&other);
        open_rig(&other, c, &options);
        assert_true(other.t->pages_bytes <= options.memory_limit);
        run(&other);
        assert_same_gradients(&plain, &other);
        close_rig(&other);
        close_rig(&plain);
    }
}

static void a_limit_that_is_too_low_is_refused(void **state)
{
    (void)state;
    rig r;
    rig_options options = {.compute = SLANT_COMPUTE_F32};
    tape *t;
    open_rig(&r, train_case_named("llama"), &options);
    tape_options least = {
        .checkpointing = TAPE_KEEP_FITTING, .memory_limit = 1000, .max_sequences = N_SEQUENCES};
    assert_int_equal(tape_open(&r.params->trained, r.w, &least, &t, &err), SLANT_ERR_MEMORY);
    assert_null(t);
    close_rig(&r);
}

/* The second witness: moving along a random direction by ±h changes the loss as the gradient says.
 */
static double loss_at(rig *r, const float *start, const float *direction, float h)
{
    for (size_t i = 0; i < r->params->n_values; i++)
        r->params->values[i] = start[i] + h * direction[i];
    return run_forward(r);
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    static const char *const names[] = {"llama_all", "mistral_upper", "qwen2_all", "qwen3_all"};
    for (int i = 0; i < 4; i++) {
        rig r;
        rig_options options = {.compute = SLANT_COMPUTE_F32, .dropout = {0.2f, 3}};
        open_rig(&r, train_case_named(names[i]), &options);
        size_t n = r.params->n_values;
        float *start = mem_alloc(n, sizeof *start), *direction = mem_calloc(n, sizeof *direction);
        memcpy(start, r.params->values, n * sizeof *start);
        for (int k = 0; k < r.params->n; k++) {
            const parameter *p = &r.params->list[k];
            train_fill(direction + p->first, "direction", p->rows, p->columns);
        }
        run(&r);
        double along = 0;
        for (size_t k = 0; k < n; k++)
            along += (double)r.params->gradients[k] * (double)direction[k];
        float h = 1e-3f;
        double slope = (loss_at(&r, start, direction, h) - loss_at(&r, start, direction, -h)) /
                       (2.0 * (double)h);
        if (!(fabs(slope - along) <= 2e-3 * fabs(along) + 1e-4))
            fail_msg("%s: finite differences say %.6f, the gradient %.6f", names[i], slope, along);
        mem_free(start);
        mem_free(direction);
        close_rig(&r);
    }
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* The narrow computes change gradients by their rounding alone, whatever multiplies. */
static void narrow_gradients_keep_their_direction(void **state)
{
    (void)state;
    static const char *const names[] = {"llama_all", "qwen2_all", "qwen3_all"};
    static const slant_compute computes[] = {SLANT_COMPUTE_BF16, SLANT_COMPUTE_INT16,
                                             SLANT_COMPUTE_INT8};
    const kernel_table *tables[16];
    int n_tables = kernel_tables(tables, 16);
    for (int i = 0; i < 3; i++) {
        rig exact, narrow;
        rig_options options = {.compute = SLANT_COMPUTE_F32};
        open_rig(&exact, train_case_named(names[i]), &options);
        run(&exact);
        for (int k = 0; k < 3 * n_tables; k++) {
            options.compute = computes[k % 3];
            options.kernels = tables[k / 3];
            open_rig(&narrow, train_case_named(names[i]), &options);
            run(&narrow);
            double c =
                cosine(exact.params->gradients, narrow.params->gradients, exact.params->n_values);
            if (!(c >= 0.999))
                fail_msg("%s, %s, %s: cosine %.6f", names[i], tables[k / 3]->name,
                         kernel_compute_name(computes[k % 3]), c);
            close_rig(&narrow);
        }
        close_rig(&exact);
    }
}

/* Under half precision logits are halves, gradients keep their direction, and what overflows is
 * infinite, so that a scaler sees it. */
static void half_precision_rounds_and_overflows(void **state)
{
    (void)state;
    rig exact, half;
    rig_options options = {.compute = SLANT_COMPUTE_F32};
    open_rig(&exact, train_case_named("qwen3_all"), &options);
    double loss = run(&exact);
    options.half = true;
    open_rig(&half, train_case_named("qwen3_all"), &options);
    assert_float_equal(run(&half), loss, 2e-3);
    for (int i = 0; i < N_SEQUENCES * TRAIN_LABELS; i++)
        assert_true(half.logits[i] == f16_to_f32(f16_from_f32(half.logits[i])));
    size_t n = exact.params->n_values;
    assert_true(cosine(exact.params->gradients, half.params->gradients, n) >= 0.999);
    assert_memory_not_equal(exact.params->gradients, half.params->gradients, n * sizeof(float));
    for (int i = 0; i < N_SEQUENCES * TRAIN_LABELS; i++)
        half.d_logits[i] *= 1e6f;
    backward(half.t, half.d_logits);
    assert_false(isfinite(gradient_norm(half.params)));
    close_rig(&half);
    close_rig(&exact);
}

/* An article's dropout is its own: the logits are the same to the bit whatever stands beside it. */
static void dropout_does_not_depend_on_packing(void **state)
{
    (void)state;
    rig r;
    rig_options options = {.compute = SLANT_COMPUTE_F32, .dropout = {0.3f, 11}};
    open_rig(&r, train_case_named("llama_all"), &options);
    run_forward(&r);
    float together[N_SEQUENCES * TRAIN_LABELS];
    memcpy(together, r.logits, sizeof together);
    for (int s = 0; s < N_SEQUENCES; s++) {
        int bounds[2] = {0, rig_lengths[s]};
        train_batch alone = {r.ids + r.bounds[s], bounds, &r.pooled[s], &r.samples[s], 1};
        assert_int_equal(forward_record(r.t, &alone, r.logits, &err), SLANT_OK);
        assert_memory_equal(r.logits, together + s * TRAIN_LABELS, sizeof(float) * TRAIN_LABELS);
    }
    r.samples[0]++;
    run_forward(&r);
    assert_memory_not_equal(r.logits, together, sizeof(float) * TRAIN_LABELS);
    close_rig(&r);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    rig r;
    rig_options options = {.compute = SLANT_COMPUTE_F32, .n_threads = 2, .dropout = {0.1f, 1}};
    open_rig(&r, train_case_named("qwen3_all"), &options);
    uint64_t before = mem_alloc_count();
    run(&r);
    assert_int_equal(mem_alloc_count(), before);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_pytorch_and_peft),
        cmocka_unit_test(every_instruction_set_gives_pytorchs_gradients),
        cmocka_unit_test(gradients_do_not_depend_on_threads_or_checkpointing),
        cmocka_unit_test(a_limit_that_is_too_low_is_refused),
        cmocka_unit_test(gradients_agree_with_finite_differences),
        cmocka_unit_test(narrow_gradients_keep_their_direction),
        cmocka_unit_test(half_precision_rounds_and_overflows),
        cmocka_unit_test(dropout_does_not_depend_on_packing),
        cmocka_unit_test(a_step_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
