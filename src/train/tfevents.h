/* TensorBoard's event files: scalars by step, in TFRecord framing. */
#ifndef SLANT_TRAIN_TFEVENTS_H
#define SLANT_TRAIN_TFEVENTS_H

#include "base/buf.h"

#include <stdint.h>

/* The record that a file begins with, and one that tells TensorBoard to forget what earlier files
 * of the folder say of steps from `step` on. */
void tfevents_start(buf *out, double wall_time);
void tfevents_session(buf *out, double wall_time, int64_t step);
void tfevents_scalar(buf *out, double wall_time, int64_t step, const char *tag, float value);

/* CRC-32C (Castagnoli), as TFRecord takes it. */
uint32_t tfevents_crc32c(const void *bytes, size_t size_bytes);

#endif
