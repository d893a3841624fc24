/* The files of a checkpoint, each written and read. */
#ifndef SLANT_TRAIN_SAVING_FILES_H
#define SLANT_TRAIN_SAVING_FILES_H

#include "train/trainer.h"

/* adapter_config.json, adapter_model.safetensors, slant.json and README.md. */
slant_status saving_write_adapter(const trainer *t, const char *dir, slant_error *err);
slant_status saving_write_optimizer(const trainer *t, const char *dir, slant_error *err);
/* training_state.json and trainer_state.json. */
slant_status saving_write_state(const trainer *t, const char *dir, slant_error *err);
/* trainer_state.json alone. */
slant_status saving_write_history(const trainer *t, const char *dir, slant_error *err);
/* report.html. */
slant_status saving_write_report(const trainer *t, const char *dir, slant_error *err);
/* Of all files that are in dir. */
slant_status saving_write_manifest(const char *dir, slant_error *err);

/* Every file that manifest.json names is there with its digest. */
slant_status saving_check_manifest(const char *dir, slant_error *err);
/* training_state.json as it would be written now, and taken from such a text; `differs` is what is
 * said of data, a base, an adapter or a compute that is another: "changed since". */
void saving_put_state(const trainer *t, buf *out);
slant_status saving_take_state(trainer *t, const char *text, size_t text_bytes, const char *differs,
                               slant_error *err);
/* Parameters, moments and state; refuses another run's data, base, adapter or compute. */
slant_status saving_read(trainer *t, const char *dir, slant_error *err);

#endif
