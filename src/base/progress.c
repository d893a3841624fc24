#include "base/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_CELLS 24
#define BAR_DELAY_SECONDS 0.5 /* work that is over sooner never shows a bar */
#define BAR_EVERY_SECONDS 0.1
#define LINE_EVERY_SECONDS 5.0

double progress_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

progress_style progress_style_for_stderr(bool quiet)
{
    const char *term = getenv("TERM");
    if (quiet)
        return PROGRESS_NONE;
    if (isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0)
        return PROGRESS_BAR;
    return PROGRESS_LINES;
}

void progress_start(progress *p, progress_style style, const char *unit)
{
    *p = (progress){.style = style, .unit = unit};
    p->started = p->shown = progress_now();
}

void progress_skip(progress *p, int64_t done, double share)
{
    p->already = done;
    p->already_share = share > 0 ? share : 0;
    p->started = p->shown = progress_now();
}

void progress_count(buf *out, int64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)value);
    for (int i = 0; i < length; i++) {
        if (i > 0 && digits[i - 1] != '-' && (length - i) % 3 == 0)
            buf_char(out, ',');
        buf_char(out, digits[i]);
    }
}

void progress_clock(buf *out, double seconds)
{
    long long whole = (long long)(seconds + 0.5);
    if (whole >= 3600)
        buf_printf(out, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        buf_printf(out, "%lld:%02lld", whole / 60, whole % 60);
}

void progress_words(buf *out, const char *unit, int64_t done, double share, double rate,
                    double seconds_left)
{
    progress_count(out, done);
    buf_printf(out, " %s", unit);
    if (share >= 0)
        buf_printf(out, ", %.0f %%", 100 * share);
    if (rate > 0)
        buf_printf(out, rate < 10 ? ", %.2f/s" : ", %.0f/s", rate);
    if (seconds_left >= 0) {
        buf_string(out, ", ");
        progress_clock(out, seconds_left);
        buf_string(out, " left");
    }
}

/* A bar of eighths: the last cell is one of ▏▎▍▌▋▊▉. */
static void append_bar(buf *out, double share)
{
    int eighths = (int)lround((share > 1 ? 1 : share) * BAR_CELLS * 8);
    for (int cell = 0; cell < BAR_CELLS; cell++, eighths -= 8) {
        if (eighths >= 8)
            buf_string(out, "\u2588");
        else if (eighths <= 0)
            buf_string(out, " ");
        else
            buf_append(out, (char[]){'\xE2', '\x96', (char)(0x90 - eighths)}, 3);
    }
}

/* Share of the remaining work over the time that this run has taken for its own part. */
static double time_left(const progress *p, double now, double share)
{
    double own = share - p->already_share;
    if (share < 0 || own <= 0)
        return -1;
    return (now - p->started) * (1 - share) / own;
}

static void draw(progress *p, double now, int64_t done, double share)
{
    buf line = {0};
    double rate = now > p->started ? (double)(done - p->already) / (now - p->started) : 0;
    if (p->style == PROGRESS_BAR)
        buf_string(&line, "\r");
    if (p->style == PROGRESS_BAR && share >= 0) {
        buf_string(&line, "\u2595");
        append_bar(&line, share);
        buf_string(&line, "\u258F ");
    }
    progress_words(&line, p->unit, done, share, rate, time_left(p, now, share));
    buf_string(&line, p->style == PROGRESS_BAR ? "\033[K" : "\n");
    if (!line.failed)
        fwrite(line.data, 1, line.size_bytes, stderr);
    buf_free(&line);
    p->drawn = p->style == PROGRESS_BAR;
    p->shown = now;
}

void progress_update(progress *p, int64_t done, double share)
{
    double now = progress_now();
    if (p->style == PROGRESS_NONE)
        return;
    if (p->style == PROGRESS_BAR && now - p->started < BAR_DELAY_SECONDS)
        return;
    double every = p->style == PROGRESS_BAR ? BAR_EVERY_SECONDS : LINE_EVERY_SECONDS;
    bool first_bar = p->style == PROGRESS_BAR && !p->drawn;
    if (first_bar || now - p->shown >= every)
        draw(p, now, done, share);
}

void progress_hide(progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
