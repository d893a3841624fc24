/* slant_train.h: fine-tune a classifier by QLoRA.
 *
 *     slant_recipe *recipe;
 *     slant_recipe_open(&recipe, &err);
 *     slant_recipe_read(recipe, "recipes/news-bias-llama-3.2-1b.json", &err);
 *     slant_recipe_set(recipe, "model", "Llama-3.2-1B", &err);
 *     slant_recipe_set(recipe, "train", "train.jsonl", &err);
 *     slant_recipe_set(recipe, "output_dir", "out", &err);
 *     slant_train(recipe, NULL, &err);
 *     slant_recipe_close(recipe);
 *
 * Settings have the names of transformers' TrainingArguments, PEFT's LoraConfig and bitsandbytes'
 * BitsAndBytesConfig ("-" for "_" is fine), and their defaults. */
#ifndef SLANT_TRAIN_H
#define SLANT_TRAIN_H

#include <slant.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum slant_setting_type {
    SLANT_SETTING_FLAG,   /* true or false */
    SLANT_SETTING_COUNT,  /* a whole number */
    SLANT_SETTING_NUMBER, /* any number */
    SLANT_SETTING_TEXT,
    SLANT_SETTING_CHOICE, /* one of choices */
    SLANT_SETTING_LIST,   /* JSON, or names with commas between them */
    SLANT_SETTING_OLD     /* a name of older releases: taken, with a note */
} slant_setting_type;

typedef struct slant_setting {
    const char *name; /* "learning_rate" */
    slant_setting_type type;
    const char *choices; /* "linear|cosine"; NULL unless CHOICE */
    double min, max;
    const char *help;     /* one sentence without its full stop */
    const char *standard; /* the default in words; NULL: not said */
    const char *heading;  /* of the group that starts here; NULL: none does */
} slant_setting;

/* All settings, in the order in which a help lists them. */
const slant_setting *slant_train_setting(size_t i); /* NULL past the last */

typedef struct slant_recipe slant_recipe;

/* Every setting at its default. On success *out is owned by the caller; else *out is NULL. */
slant_status slant_recipe_open(slant_recipe **out, slant_error *err);
void slant_recipe_close(slant_recipe *recipe);
/* Settings out of a JSON object; groups ("TrainingArguments", "LoraConfig", "BitsAndBytesConfig",
 * "slant", "assumed") may be objects within it. An unknown name is refused with the nearest known.
 */
slant_status slant_recipe_read(slant_recipe *recipe, const char *path, slant_error *err);
/* One setting from its text: "2e-4", "true", "q_proj,v_proj", '["q_proj"]'. */
slant_status slant_recipe_set(slant_recipe *recipe, const char *name, const char *value,
                              slant_error *err);
/* What was taken otherwise than it says, one a line; "" where nothing was. */
const char *slant_recipe_notes(const slant_recipe *recipe);

typedef enum slant_train_event_kind {
    SLANT_TRAIN_NOTE,       /* text */
    SLANT_TRAIN_PLAN,       /* text: what will be done, several lines */
    SLANT_TRAIN_STEP,       /* after each step; the numbers of the last log in loss … grad_norm */
    SLANT_TRAIN_EVALUATION, /* text: the metrics in words */
    SLANT_TRAIN_CHECKPOINT, /* text: its path */
    SLANT_TRAIN_END         /* text: what was done, several lines */
} slant_train_event_kind;

typedef struct slant_train_event {
    slant_train_event_kind kind;
    const char *text;
    int64_t step, n_steps;
    double epoch;
    double loss, learning_rate, grad_norm; /* of the last log entry; NaN before the first */
    double tokens_per_second;
    double seconds_left;
} slant_train_event;

/* Several processes, started by mpirun on one machine or several, that train one adapter together:
 * each opens the team, gives it to slant_train with the same recipe and closes it. A step then has
 * per_device_train_batch_size × size × gradient_accumulation_steps articles. Only rank 0 writes and
 * reports; what fails in one process is an error in all of them; one that asks to stop, stops all.
 * A process that was not started so is a team of one. */
typedef struct slant_team slant_team;

/* Once in a process. All the ranks of the team do so at the same time, as for all that follows. On
 * success *out is owned by the caller; else *out is NULL. */
slant_status slant_team_open(slant_team **out, slant_error *err);
void slant_team_close(slant_team *team);
int slant_team_rank(const slant_team *team); /* 0 … size - 1 */
int slant_team_size(const slant_team *team);
/* SLANT_OK where all ranks say so, else for all the first failure and its message. */
slant_status slant_team_agree(slant_team *team, slant_status status, slant_error *err);

typedef struct slant_train_options {
    void (*report)(void *context, const slant_train_event *event); /* NULL: silence */
    bool (*should_stop)(void *context); /* asked often; true: save and stop. NULL: never */
    void *context;
    slant_team *team; /* NULL: this process alone */
} slant_train_options;

/* Trains as the recipe says. SLANT_ERR_CANCELLED: stopped on request, with a checkpoint from which
 * resume_from_checkpoint "last" goes on to the same bits. */
slant_status slant_train(const slant_recipe *recipe, const slant_train_options *options,
                         slant_error *err);

#ifdef __cplusplus
}
#endif

#endif
