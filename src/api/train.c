/* slant_train: a recipe becomes a run. */
#include "train/trainer.h"

slant_status slant_train(const slant_recipe *recipe, const slant_train_options *options,
                         slant_error *err)
{
    trainer *t;
    slant_status status = trainer_open(recipe, options, &t, err);
    if (status != SLANT_OK)
        return status;
    status = trainer_run(t, err);
    trainer_close(t);
    return status;
}
