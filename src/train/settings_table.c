#include "train/settings.h"

#define AT(member) offsetof(train_settings, member)
#define LONG 9007199254740992.0 /* 2^53: every whole number up to it is a double */

#define FLAG(member, text, usual)                                                                  \
    {{#member, SLANT_SETTING_FLAG, NULL, 0, 0, text, usual, NULL}, AT(member), NULL}
#define COUNT(member, lo, hi, text, usual)                                                         \
    {{#member, SLANT_SETTING_COUNT, NULL, lo, hi, text, usual, NULL}, AT(member), NULL}
#define NUMBER(member, lo, hi, text, usual)                                                        \
    {{#member, SLANT_SETTING_NUMBER, NULL, lo, hi, text, usual, NULL}, AT(member), NULL}
#define TEXT(member, text, usual)                                                                  \
    {{#member, SLANT_SETTING_TEXT, NULL, 0, 0, text, usual, NULL}, AT(member), NULL}
#define CHOICE(member, words, text, usual)                                                         \
    {{#member, SLANT_SETTING_CHOICE, words, 0, 0, text, usual, NULL}, AT(member), NULL}
#define LIST(member, text, usual)                                                                  \
    {{#member, SLANT_SETTING_LIST, NULL, 0, 0, text, usual, NULL}, AT(member), NULL}
/* The first of a group. */
#define HEAD(title, member, kind, text, usual)                                                     \
    {{#member, kind, NULL, 0, 0, text, usual, title}, AT(member), NULL}
/* Names of older releases: what is done about them is in settings.c. */
#define OLD(name, text) {{name, SLANT_SETTING_OLD, NULL, 0, 0, text, NULL, NULL}, 0, NULL}

const setting_row setting_rows[] = {
    HEAD("Data", train, SLANT_SETTING_LIST, "the labelled articles to learn from", NULL),
    LIST(eval, "labelled articles to measure on", "none"),
    TEXT(text_field, "the field that holds the article",
         "text, else content, content_original, body, article"),
    TEXT(title_field, "the field that holds the title, put before the text with a newline", "none"),
    TEXT(label_field, "the field that holds the label: a name or an index", "label"),
    TEXT(id_field, "the field that holds the id", "id, ID, _id, else FILE:ROW"),
    LIST(labels, "the labels' names in their order", "the base's, else those that the data holds"),
    COUNT(max_length, 1, 1 << 24, "token ids of an article at most, special ones counted",
          "the model's limit"),
    CHOICE(truncation, "head|tail|head-tail|none", "what is kept of a longer article", "head"),
    FLAG(skip_bad_rows, "leave out rows that cannot be read instead of stopping", "false"),
    LIST(class_weights, "a weight for each label in the loss, or \"balanced\"", "none"),

    HEAD("Model", model, SLANT_SETTING_TEXT, "the base to train on", NULL),
    TEXT(adapter, "an adapter to go on training, with the configuration that it has", "a new one"),
    COUNT(layers, 1, 1 << 20, "keep the base's first N layers", "all"),
    CHOICE(dtype, "auto|nf4|bf16|fp32", "how the base's weights are held", "auto: as stored"),
    CHOICE(compute, "auto|int8|int16|bf16|fp32", "how the base's products are computed",
           "auto: the fastest that keeps the stated accuracy"),
    FLAG(load_in_4bit, "hold the base as NF4 with double quantisation, as bitsandbytes does",
         "false"),
    CHOICE(bnb_4bit_quant_type, "nf4", "the 4-bit type", "nf4"),
    FLAG(bnb_4bit_use_double_quant, "quantise the scales too", "true"),
    CHOICE(bnb_4bit_compute_dtype, "bfloat16|float16|float32",
           "what the 4-bit products are computed in", "bfloat16, by way of --compute"),
    CHOICE(bnb_4bit_quant_storage, "uint8", "how 4-bit weights are stored", "uint8"),

    {{"lora_r", SLANT_SETTING_COUNT, NULL, 1, 512, "rank of the adapter", "8",
      "Adapter (LoraConfig)"},
     AT(lora_r),
     "r"},
    NUMBER(lora_alpha, 0, 1e6, "alpha: updates are scaled by alpha / r", "8"),
    NUMBER(lora_dropout, 0, 0.99, "dropout on the adapter's input", "0"),
    LIST(target_modules, "the modules to adapt: names, a pattern, or all-linear", "q_proj,v_proj"),
    LIST(exclude_modules, "modules not to adapt", "none"),
    LIST(layers_to_transform, "numbers of the layers to adapt", "all"),
    LIST(layers_pattern, "the name of the list of layers, where layers_to_transform is given",
         "found"),
    LIST(rank_pattern, "ranks of single modules, a JSON object", "none"),
    LIST(alpha_pattern, "alphas of single modules, a JSON object", "none"),
    FLAG(use_rslora, "scale by alpha / √r", "false"),
    CHOICE(bias, "none", "which biases are trained", "none"),
    CHOICE(task_type, "SEQ_CLS", "the task", "SEQ_CLS"),
    LIST(modules_to_save, "modules trained whole beside the adapter", "the score head"),
    CHOICE(init_lora_weights, "true|gaussian", "how A starts", "true: uniform in ±1/√n"),

    {{"output_dir", SLANT_SETTING_TEXT, NULL, 0, 0, "where checkpoints and the adapter go", NULL,
      "Run (TrainingArguments)"},
     AT(output_dir),
     NULL},
    COUNT(per_device_train_batch_size, 1, 1 << 16, "articles in a batch", "8"),
    COUNT(gradient_accumulation_steps, 1, 1 << 20, "batches in a step", "1"),
    NUMBER(num_train_epochs, 0, 1e6, "passes over the data", "3"),
    COUNT(max_steps, -1, LONG, "steps, whatever num_train_epochs says", "-1: not limited"),
    NUMBER(learning_rate, 0, 1e3, "the highest learning rate", "5e-5"),
    CHOICE(lr_scheduler_type, "linear|cosine|constant|constant_with_warmup",
           "how the learning rate goes on", "linear"),
    NUMBER(warmup_steps, 0, LONG, "steps that the learning rate rises for; below 1 a share of all",
           "0"),
    CHOICE(optim, "adamw_torch|adamw_torch_fused|paged_adamw_32bit|paged_adamw",
           "the optimiser; paged: its state lies in a mapped file", "adamw_torch_fused"),
    NUMBER(weight_decay, 0, 1e3, "decoupled weight decay", "0"),
    NUMBER(adam_beta1, 0, 0.999999, "decay of the first moment", "0.9"),
    NUMBER(adam_beta2, 0, 0.999999999, "decay of the second moment", "0.999"),
    NUMBER(adam_epsilon, 0, 1, "added to the root of the second moment", "1e-8"),
    NUMBER(max_grad_norm, 0, 1e9, "gradients are clipped to this norm; 0: not", "1"),
    NUMBER(label_smoothing_factor, 0, 1, "how much of each label goes to all", "0"),
    FLAG(fp16, "adapter, head and attention in half precision, with loss scaling", "false"),
    FLAG(bf16, "the same as --compute bf16", "false"),
    CHOICE(gradient_checkpointing, "none|full|selective|false|true",
           "which activations are computed again: none, all, or as memory_limit asks",
           "none; selective where memory_limit is given"),
    TEXT(memory_limit, "what the process may take, as 1500M or 2G", "none"),
    FLAG(cache_frozen,
         "keep what the layers below the lowest adapted one give, in a scratch file in output_dir, "
         "so that they are run once an article and not in every epoch",
         "false"),
    CHOICE(train_sampling_strategy, "random|sequential|group_by_length",
           "the order of articles in an epoch", "random"),
    FLAG(dataloader_drop_last, "leave out an epoch's last batch where it is short", "false"),
    FLAG(even_batches,
         "several ranks: deal an epoch's first articles again so that all have as many batches, as "
         "accelerate does",
         "false"),
    COUNT(seed, 0, LONG, "of everything drawn", "42"),
    COUNT(data_seed, 0, LONG, "of the order of articles", "seed"),
    CHOICE(logging_strategy, "no|steps|epoch", "when the loss is logged", "steps"),
    NUMBER(logging_steps, 0, LONG, "steps between logs; below 1 a share of all", "500"),
    FLAG(logging_first_step, "log the first step too", "false"),
    FLAG(logging_nan_inf_filter, "leave losses that are no number out of the log", "true"),
    CHOICE(eval_strategy, "no|steps|epoch", "when to measure on --eval", "no"),
    NUMBER(eval_steps, 0, LONG, "steps between measurements", "logging_steps"),
    COUNT(per_device_eval_batch_size, 1, 1 << 16, "articles in a batch of a measurement", "8"),
    FLAG(eval_on_start, "measure before the first step", "false"),
    CHOICE(save_strategy, "no|steps|epoch|best", "when a checkpoint is written", "steps"),
    NUMBER(save_steps, 0, LONG, "steps between checkpoints", "500"),
    COUNT(save_total_limit, 1, 1 << 20, "checkpoints kept at most, the best one beside the last",
          "all"),
    FLAG(load_best_model_at_end, "leave the best checkpoint's adapter, not the last", "false"),
    TEXT(metric_for_best_model, "eval_loss, eval_f1, eval_accuracy, …", "loss"),
    CHOICE(greater_is_better, "|true|false", "whether a higher metric is better",
           "false for losses, else true"),
    CHOICE(f1_average, "macro|micro|weighted",
           "how eval_f1, eval_precision and eval_recall run over labels", "macro"),
    COUNT(early_stopping_patience, 1, 1 << 20, "stop after so many measurements without a gain",
          "never"),
    NUMBER(early_stopping_threshold, 0, 1e9, "what counts as a gain", "0"),
    TEXT(resume_from_checkpoint, "go on from a checkpoint: last, its number or its path", "none"),
    TEXT(run_name, "a name for logs", "output_dir"),
    COUNT(threads, 1, 1024, "threads to compute with", "all cores"),

    OLD("warmup_ratio", "now warmup_steps below 1"),
    OLD("group_by_length", "now train_sampling_strategy group_by_length"),
    OLD("evaluation_strategy", "now eval_strategy"),
    OLD("logging_dir", "logs lie in output_dir"),
    OLD("overwrite_output_dir",
        "an output_dir that holds checkpoints needs "
        "resume_from_checkpoint or another output_dir"),
    OLD("save_safetensors", "adapters are always written as safetensors"),
    OLD("no_cuda", "there is no GPU in this"),
    OLD("use_cpu", "there is no GPU in this"),
    OLD("report_to", "log.jsonl and TensorBoard files are always written"),
    OLD("push_to_hub", "nothing is uploaded"),
    OLD("remove_unused_columns", "fields that are not named are not read"),
    OLD("dataloader_num_workers", "articles are tokenised once, before the run"),
    OLD("inference_mode", "the adapter is trained, and written for inference"),
};

const size_t setting_n_rows = sizeof setting_rows / sizeof *setting_rows;

const slant_setting *slant_train_setting(size_t i)
{
    return i < setting_n_rows ? &setting_rows[i].shown : NULL;
}
