#include "train/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 720, HEIGHT = 220, LEFT = 64, RIGHT = 16, TOP = 12, BOTTOM = 30 };

/* A curve is a name of the log over steps. */
typedef struct bounds {
    double first_step, last_step, low, high;
    int n;
} bounds;

static bool point_of(const log_entry *e, const char *name, double *step, double *value)
{
    *step = log_value(e, "step");
    *value = log_value(e, name);
    return isfinite(*step) && isfinite(*value);
}

static bounds bounds_of(const history *h, const char *name)
{
    bounds b = {0};
    double step, value;
    for (size_t i = 0; i < h->n; i++) {
        if (!point_of(&h->entries[i], name, &step, &value))
            continue;
        if (b.n++ == 0)
            b = (bounds){step, step, value, value, 1};
        b.first_step = fmin(b.first_step, step);
        b.last_step = fmax(b.last_step, step);
        b.low = fmin(b.low, value);
        b.high = fmax(b.high, value);
    }
    if (b.low == b.high) {
        b.low -= 0.5 * fabs(b.low) + 1e-9;
        b.high += 0.5 * fabs(b.high) + 1e-9;
    }
    return b;
}

static double x_of(const bounds *b, double step)
{
    double width = WIDTH - LEFT - RIGHT, span = b->last_step - b->first_step;
    return LEFT + (span > 0 ? (step - b->first_step) / span : 0.5) * width;
}

static double y_of(const bounds *b, double value)
{
    return TOP + (b->high - value) / (b->high - b->low) * (HEIGHT - TOP - BOTTOM);
}

static void put_axes(const bounds *b, buf *out)
{
    for (int i = 0; i <= 4; i++) {
        double value = b->low + (b->high - b->low) * i / 4, y = y_of(b, value);
        buf_printf(out,
                   "<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' class='grid'/>"
                   "<text x='%d' y='%.1f' class='side'>%.4g</text>\n",
                   LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, value);
    }
    for (int i = 0; i <= 4; i++) {
        double step = b->first_step + (b->last_step - b->first_step) * i / 4;
        buf_printf(out, "<text x='%.1f' y='%d' class='foot'>%.0f</text>\n", x_of(b, step),
                   HEIGHT - 10, step);
    }
}

static void put_curve(const history *h, const char *name, const char *title, buf *out)
{
    bounds b = bounds_of(h, name);
    double step, value;
    if (b.n == 0)
        return;
    buf_printf(out,
               "<figure><figcaption>%s</figcaption>\n<svg viewBox='0 0 %d %d' role='img' "
               "aria-label='%s over steps'>\n",
               title, WIDTH, HEIGHT, title);
    put_axes(&b, out);
    buf_string(out, "<polyline class='curve' points='");
    for (size_t i = 0; i < h->n; i++)
        if (point_of(&h->entries[i], name, &step, &value))
            buf_printf(out, "%.1f,%.1f ", x_of(&b, step), y_of(&b, value));
    buf_string(out, "'/>\n");
    for (size_t i = 0; i < h->n && b.n <= 60; i++)
        if (point_of(&h->entries[i], name, &step, &value))
            buf_printf(out,
                       "<circle cx='%.1f' cy='%.1f' r='2.5'><title>step %.0f: %.6g</title>"
                       "</circle>\n",
                       x_of(&b, step), y_of(&b, value), step, value);
    buf_string(out, "</svg></figure>\n");
}

static void put_escaped(const char *text, buf *out)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            buf_string(out, "&lt;");
            break;
        case '&':
            buf_string(out, "&amp;");
            break;
        default:
            buf_char(out, *text);
        }
}

static void put_facts(const trainer *t, buf *out)
{
    buf_string(out, "<table>\n<tr><th>base</th><td>");
    put_escaped(t->base.path, out);
    buf_printf(out,
               "</td></tr>\n<tr><th>articles</th><td>%d for training, %d for evaluation</td></tr>\n"
               "<tr><th>steps</th><td>%" PRId64 " of %" PRId64
               ", epoch %.2f</td></tr>\n"
               "<tr><th>trainable</th><td>%zu values in %d tensors</td></tr>\n</table>\n",
               t->train->n, t->eval == NULL ? 0 : t->eval->n, t->state.global_step,
               t->length.n_steps, t->state.epoch, t->params->n_values, t->params->n);
}

void report_write(const trainer *t, buf *out)
{
    static const char *const curves[][2] = {
        {"loss", "Training loss"},          {"eval_loss", "Evaluation loss"},
        {"eval_f1", "Evaluation F1"},       {"eval_accuracy", "Evaluation accuracy"},
        {"learning_rate", "Learning rate"}, {"grad_norm", "Norm of the gradients"}};
    buf_string(
        out,
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>A run of slant train</title>\n"
        "<style>\nbody{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;"
        "padding:0 1rem;color:#222;background:#fff}\nfigure{margin:1.5rem 0}"
        "figcaption{font-weight:600}\nsvg{width:100%;height:auto}\n.grid{stroke:#ddd}"
        ".curve{fill:none;stroke:#1f5fa8;stroke-width:1.5}circle{fill:#1f5fa8}\n"
        "text{font-size:11px;fill:#555}.side{text-anchor:end}.foot{text-anchor:middle}\n"
        "th{text-align:left;padding-right:1rem;font-weight:600}\n"
        "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}.grid{stroke:#333}"
        "text{fill:#aaa}.curve{stroke:#7ab3ef}circle{fill:#7ab3ef}}\n</style></head><body>\n"
        "<h1>A run of slant train</h1>\n");
    put_facts(t, out);
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        put_curve(&t->log, curves[i][0], curves[i][1], out);
    buf_string(out,
               "<p>A score on articles whose outlets were seen in training says little about "
               "others. This is a supplementary tool and no arbiter.</p>\n</body></html>\n");
}
