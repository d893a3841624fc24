#include "cli/bench_table.h"

#include "base/progress.h"

#include <math.h>
#include <string.h>

static const char *const computes[] = {"int8", "int16", "bf16", "fp32"};
enum { N_COMPUTES = sizeof computes / sizeof *computes };

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

/* Names come from files; a terminal must not obey what stands in them. */
static void append_plain(buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        buf_char(out, (unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text);
}

/* With thousands apart, to the right of width columns. */
static void append_count(buf *out, double value, int width)
{
    buf text = {0};
    progress_count(&text, llround(value));
    buf_printf(out, "%*s", width, text.data == NULL ? "" : text.data);
    out->failed |= text.failed;
    buf_free(&text);
}

/* --- the machine ------------------------------------------------------------------------------ */

static void append_instruction_set(buf *out, const json_t *set)
{
    bool used = json_is_true(json_object_get(set, "used"));
    buf_printf(out, "  %s %-12s", used ? "*" : " ", string(set, "name"));
    for (int c = 0; c < N_COMPUTES; c++) {
        const json_t *peak = json_object_get(json_object_get(set, "peaks"), computes[c]);
        if (peak != NULL)
            append_count(out, number(peak, "gops"), 9);
        else
            buf_printf(out, "%9s", "-");
        buf_printf(out, "  %-20s", string(peak, "instruction"));
    }
    while (out->size_bytes > 0 && out->data[out->size_bytes - 1] == ' ')
        out->size_bytes--;
    buf_char(out, '\n');
}

static void append_machine(buf *out, const json_t *machine)
{
    const json_t *sets = json_object_get(machine, "instruction_sets");
    double n_threads = number(machine, "threads");
    append_plain(out, string(machine, "processor"));
    buf_printf(out, ", %.0f of %.0f cores\n\n", n_threads, number(machine, "cores"));
    buf_printf(out, "  instructions: peak of %.0f thread%s, billions of operations a second\n",
               n_threads, n_threads == 1 ? "" : "s");
    buf_printf(out, "  %14s", "");
    for (int c = 0; c < N_COMPUTES; c++)
        buf_printf(out, c + 1 < N_COMPUTES ? "%9s  %-20s" : "%9s\n", computes[c], "");
    for (size_t i = 0; i < json_array_size(sets); i++)
        append_instruction_set(out, json_array_get(sets, i));
    buf_string(out, "  * what slant uses\n");
}

/* --- the model -------------------------------------------------------------------------------- */

static void append_model(buf *out, const json_t *model)
{
    buf_char(out, '\n');
    append_plain(out, string(model, "path"));
    if (json_is_string(json_object_get(model, "adapter"))) {
        buf_string(out, " with ");
        append_plain(out, string(model, "adapter"));
    }
    buf_printf(out, "\n  %s, %.0f layers, ", string(model, "architecture"),
               number(model, "layers"));
    append_count(out, number(model, "linear_weights"), 0);
    buf_printf(out, " linear weights in %s; opens in %.3g ms (the first time %.3g ms)\n\n",
               string(model, "weights"), number(model, "open_ms"), number(model, "first_open_ms"));
}

static void append_length(buf *out, const json_t *work)
{
    buf what = {0};
    if (number(work, "length") > 0)
        buf_printf(&what, "%.0f tokens", number(work, "length"));
    else
        buf_printf(&what, "%.0f short texts", number(work, "texts"));
    buf_printf(out, "  %-16s", what.data == NULL ? "" : what.data);
    out->failed |= what.failed;
    buf_free(&what);
}

static void append_work(buf *out, const json_t *work)
{
    append_length(out, work);
    buf_printf(out, "%-8s", string(work, "compute"));
    append_count(out, number(work, "tokens_per_s"), 10);
    buf_printf(out, "%12.4g", number(work, "texts_per_s"));
    buf_printf(out, "%13.1f %%", 100 * number(work, "share_of_peak"));
    buf_printf(out, "%9.0f MB", number(work, "peak_rss_bytes") / 1048576);
    buf_printf(out, "%7.0f\n", number(work, "runs"));
}

static void append_works(buf *out, const json_t *document)
{
    const json_t *works = json_object_get(document, "work");
    const json_t *skipped = json_object_get(document, "skipped");
    buf_printf(out, "  %-16s%-8s%10s%12s%15s%12s%7s\n", "work", "compute", "tokens/s", "articles/s",
               "share of peak", "memory", "runs");
    for (size_t i = 0; i < json_array_size(works); i++)
        append_work(out, json_array_get(works, i));
    for (size_t i = 0; i < json_array_size(skipped); i++) {
        const json_t *one = json_array_get(skipped, i);
        append_length(out, one);
        buf_printf(out, "%-8sleft out: one run would take %.0f s; give --seconds more\n",
                   string(one, "compute"), number(one, "expected_seconds"));
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

static double one_thread_rate(const json_t *scaling, const char *compute)
{
    for (size_t i = 0; i < json_array_size(scaling); i++) {
        const json_t *row = json_array_get(scaling, i);
        if (number(row, "threads") == 1 && strcmp(string(row, "compute"), compute) == 0)
            return number(row, "tokens_per_s");
    }
    return 0;
}

static void append_scaling(buf *out, const json_t *scaling)
{
    if (json_array_size(scaling) == 0)
        return;
    buf_string(out, "\n  threads\n");
    for (size_t i = 0; i < json_array_size(scaling); i++) {
        const json_t *row = json_array_get(scaling, i);
        double one = one_thread_rate(scaling, string(row, "compute"));
        append_length(out, row);
        buf_printf(out, "%-8s", string(row, "compute"));
        append_count(out, number(row, "tokens_per_s"), 10);
        buf_printf(out, " tokens/s on %.0f", number(row, "threads"));
        if (one > 0 && number(row, "threads") > 1)
            buf_printf(out, ": %.2f x one", number(row, "tokens_per_s") / one);
        buf_char(out, '\n');
    }
}

void bench_table_append(buf *out, const json_t *document)
{
    const json_t *model = json_object_get(document, "model");
    append_machine(out, json_object_get(document, "machine"));
    if (model == NULL)
        return;
    append_model(out, model);
    append_works(out, document);
    append_scaling(out, json_object_get(document, "scaling"));
    buf_string(out,
               "\n  Medians, articles of random ids. Share of peak: the operations of the linear "
               "layers,\n  over all the time that a pass takes, of what those instructions reach "
               "alone.\n");
}
