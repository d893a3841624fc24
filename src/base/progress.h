/* Progress of long work, told to a person on standard error: a bar that is drawn over itself on a
 * terminal, a plain line every few seconds elsewhere. It owns the clock, the rate and the time
 * left; the words and the counts are the caller's. */
#ifndef SLANT_BASE_PROGRESS_H
#define SLANT_BASE_PROGRESS_H

#include "base/buf.h"

#include <stdint.h>

typedef enum progress_style { PROGRESS_NONE, PROGRESS_BAR, PROGRESS_LINES } progress_style;

typedef struct progress {
    progress_style style;
    const char *unit;      /* what is counted, in the plural: "articles" */
    int64_t already;       /* units that an earlier run had done; no part of the rate */
    double already_share;  /* and the share of the work that they were */
    double started, shown; /* seconds of a monotonic clock */
    bool drawn;            /* a bar stands on the terminal's line */
} progress;

/* What suits standard error: a bar on a terminal, lines elsewhere, nothing where quiet. */
progress_style progress_style_for_stderr(bool quiet);

void progress_start(progress *p, progress_style style, const char *unit);
/* Work that an earlier run had done: the rate counts from here. */
void progress_skip(progress *p, int64_t done, double share);
/* done units in all, share of the whole work 0 … 1 (negative: unknown). Draws when it is time to.
 */
void progress_update(progress *p, int64_t done, double share);
/* Takes the bar off the terminal, before something else is printed there. */
void progress_hide(progress *p);

/* One line of words: "1,234 articles, 34 %, 12.3/s, 3:21 left". */
void progress_words(buf *out, const char *unit, int64_t done, double share, double rate,
                    double seconds_left);
void progress_count(buf *out, int64_t value);  /* 1234567 as 1,234,567 */
void progress_clock(buf *out, double seconds); /* 3:21, 1:02:03 */
double progress_now(void);                     /* seconds of the monotonic clock */

#endif
