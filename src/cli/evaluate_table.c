/* table: a column a file, then each file's confusion of labels, then what the figures rest on. */
#include "cli/evaluate.h"

#include "base/progress.h"
#include "cli/foundation.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define NAME_COLUMNS 26 /* of what a row is called */
#define CELL_COLUMNS 14 /* of a number, at least */
#define PATH_COLUMNS 30 /* of a file's name over its column, at most */

typedef struct layout {
    const slant_evaluation *e;
    buf *out;
    int cell; /* columns of each file */
} layout;

static int columns_of(const char *text)
{
    int columns = 0;
    for (; *text != '\0'; text++)
        columns += ((unsigned char)*text & 0xC0) != 0x80;
    return columns;
}

/* The end of a path that is too long is what tells it from others. */
static const char *path_end(const char *path, bool *is_cut)
{
    int surplus = columns_of(path) - PATH_COLUMNS;
    *is_cut = surplus > 0;
    for (surplus += *is_cut; surplus > 0; surplus--) {
        path++;
        while (((unsigned char)*path & 0xC0) == 0x80)
            path++;
    }
    return path;
}

static int path_columns(const char *path)
{
    bool is_cut;
    const char *end = path_end(path, &is_cut);
    return columns_of(end) + is_cut;
}

static void pad(buf *out, int columns)
{
    if (columns > 0)
        buf_printf(out, "%*s", columns, "");
}

static void append_path(buf *out, const char *path)
{
    bool is_cut;
    const char *end = path_end(path, &is_cut);
    buf_string(out, is_cut ? "…" : "");
    foundation_plain(out, end, strlen(end));
}

static void heads(const layout *l)
{
    pad(l->out, NAME_COLUMNS);
    for (size_t i = 0; i < l->e->n_files; i++) {
        pad(l->out, l->cell - path_columns(l->e->files[i].path));
        append_path(l->out, l->e->files[i].path);
    }
    buf_char(l->out, '\n');
}

static void row_name(const layout *l, const char *name)
{
    foundation_plain(l->out, name, strlen(name));
    pad(l->out, NAME_COLUMNS - columns_of(name));
}

static void count_cell(buf *out, int columns, int64_t value)
{
    buf words = {0};
    progress_count(&words, value);
    pad(out, columns - (int)words.size_bytes);
    buf_append(out, words.data, words.size_bytes);
    out->failed |= words.failed;
    buf_free(&words);
}

typedef int64_t (*count_of)(const slant_file_figures *f, int label);
typedef double (*figure_of)(const slant_file_figures *f, int label);

static void count_row(const layout *l, const char *name, count_of value, int label)
{
    row_name(l, name);
    for (size_t i = 0; i < l->e->n_files; i++)
        count_cell(l->out, l->cell, value(&l->e->files[i], label));
    buf_char(l->out, '\n');
}

static void figure_row(const layout *l, const char *name, figure_of value, int label)
{
    row_name(l, name);
    for (size_t i = 0; i < l->e->n_files; i++)
        buf_printf(l->out, "%*.4f", l->cell, value(&l->e->files[i], label));
    buf_char(l->out, '\n');
}

#define FIGURE(name, type, expression)                                                             \
    static type name(const slant_file_figures *f, int label)                                       \
    {                                                                                              \
        (void)label;                                                                               \
        return expression;                                                                         \
    }

FIGURE(articles, int64_t, f->n_articles)
FIGURE(left_out, int64_t, f->bad.n)
FIGURE(cut, int64_t, f->n_truncated)
FIGURE(accuracy, double, f->accuracy)
FIGURE(log_loss, double, f->log_loss)
FIGURE(macro_f1, double, f->macro.f1)
FIGURE(macro_precision, double, f->macro.precision)
FIGURE(macro_recall, double, f->macro.recall)
FIGURE(micro_f1, double, f->micro.f1)
FIGURE(weighted_f1, double, f->weighted.f1)
FIGURE(weighted_precision, double, f->weighted.precision)
FIGURE(weighted_recall, double, f->weighted.recall)
FIGURE(label_f1, double, f->labels[label].f1)
FIGURE(label_precision, double, f->labels[label].precision)
FIGURE(label_recall, double, f->labels[label].recall)
FIGURE(label_support, int64_t, f->labels[label].support)
/* Half of the interval in which 95 of 100 draws of as many articles would lie. */
FIGURE(chance, double, 1.96 * sqrt(f->accuracy * (1 - f->accuracy) / (double)f->n_articles))

static void summary(const layout *l)
{
    bool some_left_out = false;
    for (size_t i = 0; i < l->e->n_files; i++)
        some_left_out |= l->e->files[i].bad.n > 0;
    count_row(l, "articles", articles, 0);
    if (some_left_out)
        count_row(l, "  rows left out", left_out, 0);
    count_row(l, "  not read whole", cut, 0);
    figure_row(l, "accuracy", accuracy, 0);
    figure_row(l, "  by chance, 95 %: ±", chance, 0);
    figure_row(l, "F1, macro (eval_f1)", macro_f1, 0);
    figure_row(l, "  precision", macro_precision, 0);
    figure_row(l, "  recall", macro_recall, 0);
    figure_row(l, "F1, weighted", weighted_f1, 0);
    figure_row(l, "  precision", weighted_precision, 0);
    figure_row(l, "  recall", weighted_recall, 0);
    figure_row(l, "F1, micro", micro_f1, 0);
    figure_row(l, "log loss", log_loss, 0);
}

static void per_class(const layout *l)
{
    for (int label = 0; label < l->e->n_labels; label++) {
        buf_string(l->out, "F1, ");
        const char *name = l->e->files[0].labels[label].label;
        foundation_plain(l->out, name, strlen(name));
        pad(l->out, NAME_COLUMNS - 4 - columns_of(name));
        for (size_t i = 0; i < l->e->n_files; i++)
            buf_printf(l->out, "%*.4f", l->cell, label_f1(&l->e->files[i], label));
        buf_char(l->out, '\n');
        figure_row(l, "  precision", label_precision, label);
        figure_row(l, "  recall", label_recall, label);
        count_row(l, "  articles", label_support, label);
    }
}

static int confusion_columns(const slant_evaluation *e)
{
    int widest = 8;
    for (int label = 0; label < e->n_labels; label++) {
        int columns = columns_of(e->files[0].labels[label].label);
        widest = columns > widest ? columns : widest;
    }
    return widest + 2;
}

static void confusion(const layout *l, const slant_file_figures *f)
{
    int n = l->e->n_labels, cell = confusion_columns(l->e);
    buf_char(l->out, '\n');
    append_path(l->out, f->path);
    buf_string(l->out, ": labels down, answers across\n");
    pad(l->out, cell);
    for (int label = 0; label < n; label++) {
        pad(l->out, cell - columns_of(f->labels[label].label));
        foundation_plain(l->out, f->labels[label].label, strlen(f->labels[label].label));
    }
    buf_char(l->out, '\n');
    for (int label = 0; label < n; label++) {
        foundation_plain(l->out, f->labels[label].label, strlen(f->labels[label].label));
        pad(l->out, cell - columns_of(f->labels[label].label));
        for (int answer = 0; answer < n; answer++)
            count_cell(l->out, cell, f->confusion[label * n + answer]);
        buf_char(l->out, '\n');
    }
}

static void foundation(const slant_engine *engine, buf *out)
{
    buf_string(out, "\n" FOUNDATION_CAVEAT " What these figures rest on:\n");
    foundation_append(out, engine);
    foundation_line(out, "articles",
                    "the figures hold for articles like these; where training saw the same "
                    "outlets, they say\n                  nothing of outlets that it never saw");
}

void evaluate_table(const slant_evaluation *e, const slant_engine *engine, buf *out)
{
    layout l = {.e = e, .out = out, .cell = CELL_COLUMNS};
    for (size_t i = 0; i < e->n_files; i++) {
        int columns = path_columns(e->files[i].path) + 2;
        l.cell = columns > l.cell ? columns : l.cell;
    }
    heads(&l);
    summary(&l);
    per_class(&l);
    for (size_t i = 0; i < e->n_files; i++)
        confusion(&l, &e->files[i]);
    foundation(engine, out);
}
