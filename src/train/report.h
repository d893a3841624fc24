/* report.html: the curves of a run on one page that needs no network. */
#ifndef SLANT_TRAIN_REPORT_H
#define SLANT_TRAIN_REPORT_H

#include "train/trainer.h"

void report_write(const trainer *t, buf *out);

#endif
