#include "cli/evaluate.h"

#include <inttypes.h>
#include <string.h>

static void string(buf *out, const char *text)
{
    if (text == NULL)
        buf_string(out, "null");
    else
        buf_json_string(out, text, strlen(text));
}

static void key(buf *out, const char *name)
{
    buf_printf(out, "\"%s\": ", name);
}

static void number(buf *out, const char *name, double value)
{
    buf_string(out, ", ");
    key(out, name);
    buf_double(out, value);
}

static void count(buf *out, const char *name, int64_t value)
{
    buf_printf(out, ", \"%s\": %" PRId64, name, value);
}

static void scores(buf *out, double precision, double recall, double f1)
{
    buf_string(out, "{\"precision\": ");
    buf_double(out, precision);
    number(out, "recall", recall);
    number(out, "f1", f1);
}

static void average(buf *out, const char *name, const slant_average *a)
{
    buf_string(out, ",\n  ");
    key(out, name);
    scores(out, a->precision, a->recall, a->f1);
    buf_char(out, '}');
}

static void labels(buf *out, const slant_file_figures *f, int n_labels)
{
    buf_string(out, ",\n  \"per_class\": {");
    for (int i = 0; i < n_labels; i++) {
        const slant_label_figures *l = &f->labels[i];
        buf_string(out, i > 0 ? ",\n    " : "\n    ");
        string(out, l->label);
        buf_string(out, ": ");
        scores(out, l->precision, l->recall, l->f1);
        count(out, "support", l->support);
        count(out, "predicted", l->predicted);
        buf_char(out, '}');
    }
    buf_char(out, '}');
}

static void confusion(buf *out, const slant_file_figures *f, int n_labels)
{
    buf_string(out, ",\n  \"confusion_matrix\": [");
    for (int i = 0; i < n_labels; i++) {
        buf_string(out, i > 0 ? ", [" : "[");
        for (int j = 0; j < n_labels; j++)
            buf_printf(out, "%s%" PRId64, j > 0 ? ", " : "", f->confusion[i * n_labels + j]);
        buf_char(out, ']');
    }
    buf_char(out, ']');
}

static void failures(buf *out, const slant_file_figures *f)
{
    buf_string(out, ",\n  \"failures\": [");
    for (size_t i = 0; i < f->bad.n_named; i++) {
        buf_string(out, i > 0 ? ", " : "");
        string(out, f->bad.named[i]);
    }
    buf_char(out, ']');
}

static void file(buf *out, const slant_file_figures *f, int n_labels)
{
    buf_string(out, "{\"file\": ");
    string(out, f->path);
    count(out, "articles", f->n_articles);
    count(out, "failed", f->bad.n);
    count(out, "truncated", f->n_truncated);
    count(out, "tokens", f->tokens);
    count(out, "tokens_read", f->tokens_read);
    buf_string(out, ",\n  \"eval_f1\": ");
    buf_double(out, f->macro.f1);
    number(out, "accuracy", f->accuracy);
    number(out, "log_loss", f->log_loss);
    average(out, "macro", &f->macro);
    average(out, "micro", &f->micro);
    average(out, "weighted", &f->weighted);
    labels(out, f, n_labels);
    confusion(out, f, n_labels);
    failures(out, f);
    buf_char(out, '}');
}

void evaluate_json(const slant_evaluation *e, const slant_engine *engine, buf *out)
{
    const slant_engine_info *info = slant_engine_get_info(engine);
    buf_string(out, "{\"model\": ");
    string(out, info->model_path);
    buf_string(out, ", \"adapter\": ");
    string(out, info->adapter_path);
    buf_string(out, ", \"labels\": [");
    for (int i = 0; i < e->n_labels; i++) {
        buf_string(out, i > 0 ? ", " : "");
        string(out, slant_engine_label(engine, i));
    }
    buf_string(out, "],\n \"files\": [\n ");
    for (size_t i = 0; i < e->n_files; i++) {
        buf_string(out, i > 0 ? ",\n " : "");
        file(out, &e->files[i], e->n_labels);
    }
    buf_string(out, "]}\n");
}
