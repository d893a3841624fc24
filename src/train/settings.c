/* Recipes: settings by name, from text and from JSON. */
#include "train/settings.h"

#include "base/file.h"
#include "base/nearest.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { RECIPE_MAX_BYTES = 1 << 20, MAX_NAME = 63 };

#define AT(member) offsetof(train_settings, member)

static const train_settings defaults = {
    .bnb_4bit_use_double_quant = true,
    .lora_r = 8,
    .lora_alpha = 8,
    .per_device_train_batch_size = 8,
    .per_device_eval_batch_size = 8,
    .gradient_accumulation_steps = 1,
    .learning_rate = 5e-5,
    .adam_beta1 = 0.9,
    .adam_beta2 = 0.999,
    .adam_epsilon = 1e-8,
    .max_grad_norm = 1,
    .num_train_epochs = 3,
    .max_steps = -1,
    .seed = 42,
    .data_seed = -1,
    .logging_steps = 500,
    .eval_steps = -1,
    .save_steps = 500,
    .optim = OPTIM_ADAMW_TORCH_FUSED,
    .logging_strategy = STRATEGY_STEPS,
    .save_strategy = STRATEGY_STEPS,
    .logging_nan_inf_filter = true,
};

slant_status slant_recipe_open(slant_recipe **out, slant_error *err)
{
    *out = NULL;
    slant_recipe *r = mem_calloc(1, sizeof *r);
    bool *given = mem_calloc(setting_n_rows, sizeof *given);
    if (r == NULL || given == NULL) {
        mem_free(r);
        mem_free(given);
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a recipe");
    }
    r->settings = defaults;
    r->given = given;
    *out = r;
    return SLANT_OK;
}

void slant_recipe_close(slant_recipe *r)
{
    if (r == NULL)
        return;
    mem_free(r->given);
    buf_free(&r->notes);
    arena_free(&r->memory);
    mem_free(r);
}

const char *slant_recipe_notes(const slant_recipe *r)
{
    return r->notes.data == NULL ? "" : r->notes.data;
}

static const char *row_name(const void *context, size_t i)
{
    (void)context;
    return setting_rows[i].shown.name;
}

/* The row of a name with "_" or "-" between its words; -1 and an error where there is none. */
static int find_row(const char *name, slant_error *err)
{
    char spelled[MAX_NAME + 1];
    snprintf(spelled, sizeof spelled, "%s", name);
    for (char *c = spelled; *c; c++)
        if (*c == '-')
            *c = '_';
    for (size_t i = 0; i < setting_n_rows; i++)
        if (strcmp(spelled, setting_rows[i].shown.name) == 0 ||
            (setting_rows[i].alias != NULL && strcmp(spelled, setting_rows[i].alias) == 0))
            return (int)i;
    const char *nearest = nearest_name(spelled, setting_n_rows, row_name, NULL);
    if (nearest == NULL)
        status_fail(err, SLANT_ERR_ARGUMENT, "unknown setting %s", spelled);
    else
        status_fail(err, SLANT_ERR_ARGUMENT, "unknown setting %s; did you mean %s?", spelled,
                    nearest);
    return -1;
}

bool settings_given(const slant_recipe *r, const char *name)
{
    int row = find_row(name, NULL);
    return row >= 0 && r->given[row];
}

static void *field_of(slant_recipe *r, const setting_row *row)
{
    return (char *)&r->settings + row->offset;
}

static slant_status refuse(const setting_row *row, const char *expected, const char *value,
                           slant_error *err)
{
    return status_fail(err, SLANT_ERR_ARGUMENT, "%s: expected %s, found %s", row->shown.name,
                       expected, value);
}

static slant_status set_number(slant_recipe *r, const setting_row *row, double value,
                               const char *text, slant_error *err)
{
    const slant_setting *s = &row->shown;
    char expected[96];
    bool whole = s->type == SLANT_SETTING_COUNT;
    if (!(value >= s->min && value <= s->max) || (whole && value != floor(value))) {
        snprintf(expected, sizeof expected, "a %snumber from %.17g to %.17g", whole ? "whole " : "",
                 s->min, s->max);
        return refuse(row, expected, text, err);
    }
    if (whole)
        *(int64_t *)field_of(r, row) = (int64_t)value;
    else
        *(double *)field_of(r, row) = value;
    return SLANT_OK;
}

static slant_status set_choice(slant_recipe *r, const setting_row *row, const char *text,
                               slant_error *err)
{
    const char *at = row->shown.choices;
    size_t n = strlen(text);
    for (int i = 0;; i++) {
        size_t length = strcspn(at, "|");
        if (length == n && n > 0 && strncasecmp(at, text, n) == 0) {
            *(int *)field_of(r, row) = i;
            return SLANT_OK;
        }
        if (at[length] == '\0')
            break;
        at += length + 1;
    }
    char expected[256];
    const char *choices = row->shown.choices;
    snprintf(expected, sizeof expected, "one of %s", choices + (choices[0] == '|'));
    return refuse(row, expected, text, err);
}

static slant_status set_text(slant_recipe *r, const setting_row *row, const char *text,
                             slant_error *err)
{
    char *copy = arena_strdup(&r->memory, text);
    if (copy == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a recipe");
    *(const char **)field_of(r, row) = copy;
    return SLANT_OK;
}

static slant_status set_flag(slant_recipe *r, const setting_row *row, const char *text,
                             slant_error *err)
{
    static const char *const yes[] = {"true", "1", "yes"}, *const no[] = {"false", "0", "no"};
    for (int i = 0; i < 3; i++)
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *(bool *)field_of(r, row) = strcasecmp(text, yes[i]) == 0;
            return SLANT_OK;
        }
    return refuse(row, "true or false", text, err);
}

static slant_status set_json(slant_recipe *r, const setting_row *row, const json_t *value,
                             slant_error *err)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a recipe");
    slant_status status = set_text(r, row, text, err);
    free(text); /* jansson's */
    return status;
}

/* Lists of files and of labels hold strings whatever they look like. */
static bool holds_strings(const setting_row *row)
{
    return row->offset == AT(train) || row->offset == AT(eval) || row->offset == AT(labels);
}

static json_t *item_of(const char *text, size_t n, bool as_string)
{
    char number[32], *end = number;
    if (!as_string && n > 0 && n < sizeof number) {
        memcpy(number, text, n);
        number[n] = '\0';
        double value = strtod(number, &end);
        if (end == number + n)
            return value == floor(value) && fabs(value) < 1e15 ? json_integer((json_int_t)value)
                                                               : json_real(value);
    }
    return json_stringn(text, n);
}

/* "a,b" as ["a","b"]. */
static json_t *split(const char *text, bool as_strings)
{
    json_t *list = json_array();
    for (;;) {
        size_t n = strcspn(text, ",");
        json_array_append_new(list, item_of(text, n, as_strings));
        if (text[n] == '\0')
            return list;
        text += n + 1;
    }
}

static bool is_pattern(const char *text)
{
    return strcasecmp(text, "all-linear") == 0 || strcmp(text, "balanced") == 0 ||
           strpbrk(text, "*+?()[]|\\^$") != NULL;
}

static slant_status set_list(slant_recipe *r, const setting_row *row, const char *text,
                             slant_error *err)
{
    json_t *value;
    if (text[0] == '[' || text[0] == '{' || text[0] == '"')
        value = json_loads(text, JSON_DECODE_ANY, NULL);
    else if (is_pattern(text) && !holds_strings(row))
        value = json_string(text);
    else
        value = split(text, holds_strings(row));
    slant_status status =
        value == NULL ? refuse(row, "JSON", text, err) : set_json(r, row, value, err);
    json_decref(value);
    return status;
}

static slant_status set_current(slant_recipe *r, const setting_row *row, const char *text,
                                slant_error *err)
{
    char *end;
    switch (row->shown.type) {
    case SLANT_SETTING_FLAG:
        return set_flag(r, row, text, err);
    case SLANT_SETTING_COUNT:
    case SLANT_SETTING_NUMBER: {
        double value = strtod(text, &end);
        return set_number(r, row, end == text || *end != '\0' ? (double)NAN : value, text, err);
    }
    case SLANT_SETTING_CHOICE:
        return set_choice(r, row, text, err);
    case SLANT_SETTING_LIST:
        return set_list(r, row, text, err);
    default:
        return set_text(r, row, text, err);
    }
}

static bool is_false(const char *text)
{
    return strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0 || strcasecmp(text, "no") == 0;
}

/* What a name of older releases stands for, and a note of it. */
static slant_status set_old(slant_recipe *r, const setting_row *row, const char *text,
                            slant_error *err)
{
    static const struct {
        const char *old, *now, *value; /* value NULL: the one that is given */
    } renamed[] = {
        {"warmup_ratio", "warmup_steps", NULL},
        {"evaluation_strategy", "eval_strategy", NULL},
        {"group_by_length", "train_sampling_strategy", "group_by_length"},
    };
    buf_printf(&r->notes, "%s %s: %s\n", row->shown.name, text, row->shown.help);
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (strcmp(row->shown.name, renamed[i].old) == 0 &&
            (renamed[i].value == NULL || !is_false(text)))
            return slant_recipe_set(r, renamed[i].now,
                                    renamed[i].value == NULL ? text : renamed[i].value, err);
    return SLANT_OK;
}

slant_status slant_recipe_set(slant_recipe *r, const char *name, const char *value,
                              slant_error *err)
{
    int row = find_row(name, err);
    if (row < 0)
        return SLANT_ERR_ARGUMENT;
    r->given[row] = true;
    return setting_rows[row].shown.type == SLANT_SETTING_OLD
               ? set_old(r, &setting_rows[row], value, err)
               : set_current(r, &setting_rows[row], value, err);
}

/* A JSON value in the words that slant_recipe_set takes. */
static slant_status set_value(slant_recipe *r, const char *name, const json_t *value,
                              slant_error *err)
{
    int row = find_row(name, err);
    if (row < 0)
        return SLANT_ERR_ARGUMENT;
    if (json_is_null(value))
        return SLANT_OK;
    if (setting_rows[row].shown.type == SLANT_SETTING_LIST && !json_is_string(value)) {
        r->given[row] = true;
        return set_json(r, &setting_rows[row], value, err);
    }
    if (json_is_string(value))
        return slant_recipe_set(r, name, json_string_value(value), err);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    if (text == NULL)
        return status_fail(err, SLANT_ERR_MEMORY, "out of memory for a recipe");
    slant_status status = slant_recipe_set(r, name, text, err);
    free(text); /* jansson's */
    return status;
}

static bool is_group(const char *name)
{
    static const char *const groups[] = {"TrainingArguments", "LoraConfig", "BitsAndBytesConfig",
                                         "slant", "assumed"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(name, groups[i]) == 0)
            return true;
    return false;
}

static slant_status read_object(slant_recipe *r, json_t *object, slant_error *err)
{
    const char *name;
    json_t *value;
    slant_status status = SLANT_OK;
    json_object_foreach(object, name, value)
    {
        if (strcmp(name, "about") == 0)
            continue;
        if (is_group(name) && json_is_object(value))
            status = read_object(r, value, err);
        else
            status = set_value(r, name, value, err);
        if (status != SLANT_OK)
            return status;
    }
    return SLANT_OK;
}

slant_status slant_recipe_read(slant_recipe *r, const char *path, slant_error *err)
{
    buf text = {0};
    json_error_t where;
    slant_status status = file_read(path, RECIPE_MAX_BYTES, &text, err);
    if (status != SLANT_OK) {
        buf_free(&text);
        return status;
    }
    json_t *root = json_loadb(text.data == NULL ? "" : text.data, text.size_bytes,
                              JSON_REJECT_DUPLICATES, &where);
    if (root == NULL)
        status = status_fail(err, SLANT_ERR_FORMAT, "%s: line %d, column %d: %s", path, where.line,
                             where.column, where.text);
    else if (!json_is_object(root))
        status = status_fail(err, SLANT_ERR_FORMAT, "%s: expected an object of settings", path);
    else if ((status = read_object(r, root, err)) != SLANT_OK)
        status = status_context(err, status, "%s", path);
    json_decref(root);
    buf_free(&text);
    return status;
}
