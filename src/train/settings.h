/* Every setting of a run, under the names that TrainingArguments, LoraConfig and BitsAndBytesConfig
 * give it, with their defaults; and what slant adds. One table says name, type, bounds and help. */
#ifndef SLANT_TRAIN_SETTINGS_H
#define SLANT_TRAIN_SETTINGS_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"

#include <slant_train.h>

typedef enum strategy { STRATEGY_NO, STRATEGY_STEPS, STRATEGY_EPOCH, STRATEGY_BEST } strategy;

typedef enum precision_word { WORD_BFLOAT16, WORD_FLOAT16, WORD_FLOAT32 } precision_word;

typedef enum checkpointing_word {
    CHECKPOINTING_NONE,
    CHECKPOINTING_FULL,
    CHECKPOINTING_SELECTIVE
} checkpointing_word;

typedef enum optimizer_word {
    OPTIM_ADAMW_TORCH,
    OPTIM_ADAMW_TORCH_FUSED,
    OPTIM_PAGED_ADAMW_32BIT,
    OPTIM_PAGED_ADAMW
} optimizer_word;

/* Texts live in the recipe's arena; NULL where not set. Lists and objects are JSON texts. */
typedef struct train_settings {
    /* Data and model. */
    const char *model, *adapter, *output_dir, *train, *eval;
    const char *text_field, *title_field, *id_field, *label_field, *labels;
    int64_t max_length, layers, threads;
    int truncation, dtype, compute;
    bool skip_bad_rows;
    /* BitsAndBytesConfig. */
    bool load_in_4bit, bnb_4bit_use_double_quant;
    int bnb_4bit_quant_type, bnb_4bit_compute_dtype, bnb_4bit_quant_storage;
    /* LoraConfig. */
    int64_t lora_r;
    double lora_alpha, lora_dropout;
    const char *target_modules, *exclude_modules, *layers_to_transform, *layers_pattern;
    const char *rank_pattern, *alpha_pattern, *modules_to_save;
    bool use_rslora;
    int bias, task_type, init_lora_weights;
    /* TrainingArguments. */
    int64_t per_device_train_batch_size, per_device_eval_batch_size, gradient_accumulation_steps;
    double learning_rate, weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm;
    double num_train_epochs, warmup_steps, label_smoothing_factor;
    int64_t max_steps, save_total_limit, seed, data_seed;
    double logging_steps, eval_steps, save_steps;
    int lr_scheduler_type, optim, train_sampling_strategy;
    int logging_strategy, eval_strategy, save_strategy;
    int gradient_checkpointing;
    bool fp16, bf16, dataloader_drop_last, even_batches;
    bool logging_first_step, logging_nan_inf_filter;
    bool load_best_model_at_end, eval_on_start;
    const char *metric_for_best_model, *run_name;
    int greater_is_better; /* 0: as the metric's name says, 1 true, 2 false */
    int f1_average;
    const char *resume_from_checkpoint;
    /* EarlyStoppingCallback, and slant's own. */
    bool cache_frozen;
    int64_t early_stopping_patience;
    double early_stopping_threshold;
    const char *class_weights, *memory_limit;
} train_settings;

struct slant_recipe {
    train_settings settings;
    bool *given; /* [n settings]: set by a recipe file or a flag */
    buf notes;
    arena memory;
};

/* The row's field in the settings. */
typedef struct setting_row {
    slant_setting shown;
    size_t offset;
    const char *alias; /* the library's own name where slant's is longer: "r"; NULL: none */
} setting_row;

extern const setting_row setting_rows[];
extern const size_t setting_n_rows;

/* Whether the setting was given under that name. */
bool settings_given(const slant_recipe *recipe, const char *name);

#endif
