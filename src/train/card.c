#include "train/card.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void put_row(buf *out, const char *name, const char *fmt, ...) SLANT_PRINTF(3, 4);

static void put_row(buf *out, const char *name, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_printf(out, "| %s | %s |\n", name, text);
}

static const char *choice_name(const char *setting, int index)
{
    static char words[32];
    for (size_t i = 0; i < setting_n_rows; i++) {
        const slant_setting *s = &setting_rows[i].shown;
        if (strcmp(s->name, setting) != 0)
            continue;
        const char *at = s->choices;
        for (int k = 0; k < index; k++)
            at += strcspn(at, "|") + 1;
        snprintf(words, sizeof words, "%.*s", (int)strcspn(at, "|"), at);
        return words;
    }
    return "";
}

static void put_front(const trainer *t, buf *out)
{
    buf_string(out, "---\nbase_model: ");
    buf_json_string(out, t->base.path, strlen(t->base.path));
    buf_string(out,
               "\nlibrary_name: peft\npipeline_tag: text-classification\ntags:\n- lora\n"
               "- transformers\n- slant\n---\n\n");
}

static void put_recipe(const trainer *t, buf *out)
{
    const train_settings *s = t->s;
    buf_string(out, "## Recipe\n\n| setting | value |\n|---|---|\n");
    put_row(out, "base", "%s", t->base.path);
    put_row(out, "base digest", "%s",
            t->base.base_digest == NULL ? "unknown" : t->base.base_digest);
    put_row(out, "held as", "%s", dtype_get(t->base.linear_type)->name);
    put_row(out, "products", "%s", kernel_compute_name(t->compute));
    put_row(out, "LoRA", "r %" PRId64 ", alpha %g, dropout %g%s", s->lora_r, s->lora_alpha,
            s->lora_dropout, s->use_rslora ? ", rsLoRA" : "");
    put_row(out, "batch", "%" PRId64 " articles, %" PRId64 " batches a step",
            s->per_device_train_batch_size, s->gradient_accumulation_steps);
    put_row(out, "learning rate", "%g, %s, warm-up %" PRId64 " steps", s->learning_rate,
            choice_name("lr_scheduler_type", s->lr_scheduler_type), t->schedule.n_warmup);
    put_row(out, "optimiser", "%s, weight decay %g, clipping at %g", choice_name("optim", s->optim),
            s->weight_decay, s->max_grad_norm);
    put_row(out, "length", "%" PRId64 " ids, %s", s->max_length,
            choice_name("truncation", s->truncation));
    put_row(out, "seed", "%" PRId64, s->seed);
    put_row(out, "steps", "%" PRId64 " of %" PRId64 " (epoch %.2f)", t->state.global_step,
            t->length.n_steps, t->state.epoch);
}

static void put_data(const trainer *t, buf *out)
{
    buf_string(out,
               "\n## Data\n\n| set | articles | cut | SHA-256 of ids and labels |\n"
               "|---|---|---|---|\n");
    buf_printf(out, "| training | %d | %" PRId64 " | %s |\n", t->train->n, t->train->n_cut,
               t->train->digest);
    if (t->eval != NULL)
        buf_printf(out, "| evaluation | %d | %" PRId64 " | %s |\n", t->eval->n, t->eval->n_cut,
                   t->eval->digest);
    buf_string(out, "\nLabels: ");
    for (int i = 0; i < t->labels.n; i++)
        buf_printf(out, "%s%d %s", i == 0 ? "" : ", ", i, t->labels.names[i]);
    buf_string(out, ".\n");
}

static const log_entry *last_with(const history *h, const char *name)
{
    for (size_t i = h->n; i-- > 0;)
        if (!isnan(log_value(&h->entries[i], name)))
            return &h->entries[i];
    return NULL;
}

static void put_metrics(const trainer *t, buf *out)
{
    static const char *const names[] = {"eval_f1", "eval_accuracy", "eval_precision", "eval_recall",
                                        "eval_loss"};
    const log_entry *e = last_with(&t->log, "eval_loss"), *loss = last_with(&t->log, "loss");
    buf_string(out, "\n## Metrics\n\n");
    if (loss != NULL)
        buf_printf(out, "Training loss at the last log: %.4f.\n", log_value(loss, "loss"));
    if (e == NULL) {
        buf_string(out, "Nothing was measured on articles that training did not see.\n");
        return;
    }
    buf_printf(out,
               "\nOn the evaluation set after step %.0f (averages over labels are macro):\n\n"
               "| metric | value |\n|---|---|\n",
               log_value(e, "step"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!isnan(log_value(e, names[i])))
            buf_printf(out, "| %s | %.4f |\n", names[i], log_value(e, names[i]));
}

void card_write(const trainer *t, buf *out)
{
    put_front(t, out);
    buf_string(out,
               "# An adapter trained by slant\n\nA LoRA adapter for sequence classification, "
               "loadable with `PeftModel.from_pretrained` and with `slant --adapter`.\n\n");
    put_recipe(t, out);
    put_data(t, out);
    put_metrics(t, out);
    buf_string(out,
               "\n## Limits\n\nThe model repeats the judgement of whoever labelled its articles. "
               "Where labels follow outlets, it may have learned outlets more than arguments; a "
               "score on articles of outlets that training never saw is the one that counts for "
               "them. It is a supplementary tool and no arbiter.\n");
}
