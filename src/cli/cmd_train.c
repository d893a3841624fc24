/* slant train: the settings come from the library's own table, a recipe file and the command line;
 * what is told on the way goes to standard error. */
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/options.h"

#include "base/mem.h"
#include "base/progress.h"

#include <slant_train.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LINE_SECONDS 10.0 /* between plain lines of progress */

/* One row a setting, and those that are the command's own. */
typedef struct train_options {
    const slant_setting **settings; /* [n_settings], without old names */
    size_t n_settings;
    option_row *rows;
    size_t n_rows;
    /* Options of older releases that were given, name and value, which no help lists. */
    const char *(*old)[2];
    size_t n_old;
    arena memory;
} train_options;

/* What options_parse fills: text for each setting, in order, after the command's own. */
typedef struct train_args {
    const char *recipe;
    bool quiet;
    const char *values[]; /* [n_settings] */
} train_args;

typedef struct teller {
    progress_style style;
    bool drawn;
    double shown;
} teller;

static const char *kebab(const char *name, arena *memory)
{
    char *out = arena_strdup(memory, name);
    for (char *c = out; c != NULL && *c != '\0'; c++)
        if (*c == '_')
            *c = '-';
    return out;
}

static const char *placeholder(const slant_setting *s)
{
    switch (s->type) {
    case SLANT_SETTING_FLAG:
        return "[true|false]";
    case SLANT_SETTING_COUNT:
        return "N";
    case SLANT_SETTING_NUMBER:
        return "X";
    case SLANT_SETTING_CHOICE:
        return s->choices + (s->choices[0] == '|');
    case SLANT_SETTING_LIST:
        return "LIST";
    default:
        return "TEXT";
    }
}

static void add_setting(train_options *o, const slant_setting *s)
{
    if (s->heading != NULL)
        o->rows[o->n_rows++] = (option_row)OPTION_HEAD(s->heading);
    o->rows[o->n_rows++] =
        (option_row){.type = OPTION_TEXT,
                     .name = kebab(s->name, &o->memory),
                     .offset = offsetof(train_args, values) + o->n_settings * sizeof(char *),
                     .value = placeholder(s),
                     .help = s->help,
                     .standard = s->standard};
    o->settings[o->n_settings++] = s;
}

static bool make_options(train_options *o)
{
    size_t n = 0;
    while (slant_train_setting(n) != NULL)
        n++;
    o->settings = arena_alloc(&o->memory, n, sizeof *o->settings);
    o->rows = arena_alloc(&o->memory, 2 * n + 2, sizeof *o->rows);
    if (o->settings == NULL || o->rows == NULL)
        return false;
    o->rows[o->n_rows++] = (option_row){.type = OPTION_TEXT,
                                        .name = "recipe",
                                        .offset = offsetof(train_args, recipe),
                                        .value = "FILE",
                                        .help = "settings as JSON; options override them"};
    o->rows[o->n_rows++] = (option_row){.type = OPTION_FLAG,
                                        .letter = 'q',
                                        .name = "quiet",
                                        .offset = offsetof(train_args, quiet),
                                        .help = "say nothing but errors"};
    for (size_t i = 0; i < n; i++)
        if (slant_train_setting(i)->type != SLANT_SETTING_OLD)
            add_setting(o, slant_train_setting(i));
    for (size_t i = 0; i < o->n_rows; i++)
        if (o->rows[i].type != OPTION_HEADING && o->rows[i].name == NULL)
            return false;
    return true;
}

static const slant_setting *setting_of(const train_options *o, const char *argument)
{
    for (size_t i = 0; i < o->n_rows; i++)
        if (o->rows[i].name != NULL && strcmp(o->rows[i].name, argument) == 0)
            return o->rows[i].offset < offsetof(train_args, values)
                       ? NULL
                       : o->settings[(o->rows[i].offset - offsetof(train_args, values)) /
                                     sizeof(char *)];
    return NULL;
}

static bool is_truth(const char *text)
{
    static const char *const words[] = {"true", "false", "yes", "no", "1", "0"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

/* "--fp16" alone means "--fp16=true", as transformers' parser has it; "--learning_rate" is
 * "--learning-rate". */
static char *normal_argument(train_options *o, const char *argument, const char *next)
{
    if (strncmp(argument, "--", 2) != 0)
        return arena_strdup(&o->memory, argument);
    char *out = arena_printf(&o->memory, "%s", argument);
    for (char *c = out; c != NULL && *c != '\0' && *c != '='; c++)
        if (*c == '_')
            *c = '-';
    const slant_setting *s = out == NULL ? NULL : setting_of(o, out + 2);
    bool alone = s != NULL && s->type == SLANT_SETTING_FLAG && (next == NULL || !is_truth(next));
    return alone ? arena_printf(&o->memory, "%s=true", out) : out;
}

/* "--warmup-ratio=0.1" or, with the value in next, "--warmup-ratio". How many arguments it takes;
 * 0: it is no old name. */
static int take_old(train_options *o, const char *argument, const char *next)
{
    size_t n = strcspn(argument, "=");
    for (size_t i = 0; slant_train_setting(i) != NULL && n > 2; i++) {
        const slant_setting *s = slant_train_setting(i);
        const char *name = s->type == SLANT_SETTING_OLD ? kebab(s->name, &o->memory) : NULL;
        if (name == NULL || strlen(name) != n - 2 || strncmp(argument + 2, name, n - 2) != 0)
            continue;
        bool has_value = argument[n] == '=';
        bool takes_next = !has_value && next != NULL && strncmp(next, "--", 2) != 0;
        o->old[o->n_old][0] = s->name;
        o->old[o->n_old++][1] = has_value ? argument + n + 1 : takes_next ? next : "true";
        return takes_next ? 2 : 1;
    }
    return 0;
}

/* The arguments as options_parse takes them; *argc is how many there are. */
static char **normal_arguments(train_options *o, int *argc, char **argv)
{
    char **out = arena_alloc(&o->memory, (size_t)*argc + 1, sizeof *out);
    o->old = arena_alloc(&o->memory, (size_t)*argc + 1, sizeof *o->old);
    int n = 0;
    for (int i = 0; out != NULL && o->old != NULL && i < *argc; i++) {
        const char *next = i + 1 < *argc ? argv[i + 1] : NULL;
        char *argument = normal_argument(o, argv[i], next);
        if (argument == NULL)
            return NULL;
        int taken = take_old(o, argument, next);
        if (taken == 0)
            out[n++] = argument;
        else
            i += taken - 1;
    }
    *argc = n;
    return o->old == NULL ? NULL : out;
}

static void hide(teller *t)
{
    if (t->drawn)
        fputs("\r\033[K", stderr);
    t->drawn = false;
}

static void step_words(const slant_train_event *e, buf *out)
{
    buf_printf(out, "step %" PRId64 "/%" PRId64 ", epoch %.2f", e->step, e->n_steps, e->epoch);
    if (!isnan(e->loss))
        buf_printf(out, ", loss %.4f", e->loss);
    buf_printf(out, ", lr %.3g, norm %.3g, %.0f tokens/s", e->learning_rate, e->grad_norm,
               e->tokens_per_second);
    if (!isnan(e->seconds_left)) {
        buf_string(out, ", ");
        progress_clock(out, e->seconds_left);
        buf_string(out, " left");
    }
}

static void tell_step(teller *t, const slant_train_event *e)
{
    double now = progress_now();
    bool is_last = e->step == e->n_steps;
    if (t->style == PROGRESS_NONE ||
        (t->style == PROGRESS_LINES && now - t->shown < LINE_SECONDS && !is_last))
        return;
    buf words = {0};
    step_words(e, &words);
    if (!words.failed)
        fprintf(stderr, t->style == PROGRESS_BAR ? "\r%s\033[K" : "%s\n", words.data);
    buf_free(&words);
    t->drawn = t->style == PROGRESS_BAR;
    t->shown = now;
}

static void report(void *context, const slant_train_event *e)
{
    teller *t = context;
    if (e->kind == SLANT_TRAIN_STEP) {
        tell_step(t, e);
        return;
    }
    if (t->style == PROGRESS_NONE)
        return;
    hide(t);
    if (e->kind == SLANT_TRAIN_CHECKPOINT)
        cli_say("wrote %s", e->text);
    else
        cli_say_lines(e->text);
}

static slant_status fill_recipe(slant_recipe *recipe, const train_options *o,
                                const train_args *args, bool quiet, slant_error *err)
{
    slant_status status =
        args->recipe == NULL ? SLANT_OK : slant_recipe_read(recipe, args->recipe, err);
    for (size_t i = 0; status == SLANT_OK && i < o->n_settings; i++)
        if (args->values[i] != NULL)
            status = slant_recipe_set(recipe, o->settings[i]->name, args->values[i], err);
    for (size_t i = 0; status == SLANT_OK && i < o->n_old; i++)
        status = slant_recipe_set(recipe, o->old[i][0], o->old[i][1], err);
    if (status == SLANT_OK && !quiet)
        cli_say_lines(slant_recipe_notes(recipe));
    return status;
}

/* Of several processes the first speaks for all: their failures are the same. */
static slant_status train(const train_options *o, const train_args *args, slant_team *team)
{
    slant_error err;
    slant_recipe *recipe;
    bool is_first = slant_team_rank(team) == 0, quiet = args->quiet || !is_first;
    teller t = {.style = progress_style_for_stderr(quiet)};
    slant_train_options options = {report, interrupt_should_stop, &t, team};
    slant_status status = slant_recipe_open(&recipe, &err);
    if (status == SLANT_OK)
        status = fill_recipe(recipe, o, args, quiet, &err);
    status = slant_team_agree(team, status, &err);
    bool bad_recipe = status == SLANT_ERR_ARGUMENT;
    if (status == SLANT_OK) {
        interrupt_watch();
        status = slant_train(recipe, &options, &err);
    }
    slant_recipe_close(recipe);
    hide(&t);
    if (status != SLANT_OK && is_first)
        bad_recipe ? cli_usage("train", "%s", err.message) : cli_say("%s", err.message);
    return status;
}

static int join_and_train(const train_options *o, const train_args *args)
{
    slant_error err;
    slant_team *team;
    if (slant_team_open(&team, &err) != SLANT_OK) {
        cli_say("%s", err.message);
        return CLI_FAILED;
    }
    slant_status status = train(o, args, team);
    slant_team_close(team);
    if (status == SLANT_ERR_CANCELLED)
        interrupt_end();
    return cli_exit_status(status, 0);
}

static int parse_and_train(train_options *o, train_args *args, int argc, char **argv)
{
    slant_error err;
    option_operands operands;
    option_table table = {
        .command = "train",
        .operands = "--model BASE --train FILE --output-dir DIR",
        .about =
            "Fine-tunes a LoRA adapter and a classification head on a frozen base (QLoRA where the "
            "base is NF4). Settings have the names and the defaults of transformers' "
            "TrainingArguments, PEFT's LoraConfig and bitsandbytes' BitsAndBytesConfig. "
            "Checkpoints "
            "are whole or not there, and a run goes on from one to the same bits.",
        .closing = "\nExit status: 0 trained, 1 failed, 2 wrong usage.\n",
        .rows = o->rows,
        .n_rows = o->n_rows,
    };
    char **normal = normal_arguments(o, &argc, argv);
    if (normal == NULL) {
        cli_say("out of memory");
        return CLI_FAILED;
    }
    slant_status status = options_parse(&table, argc, normal, args, &operands, &err);
    if (status != SLANT_OK)
        return cli_usage("train", "%s", err.message);
    int exit_status =
        operands.want_help ? options_print_help(&table)
        : operands.n_items > 0
            ? cli_usage("train", "'%s': articles are named by --train", operands.items[0])
            : join_and_train(o, args);
    mem_free(operands.items);
    return exit_status;
}

int cmd_train(int argc, char **argv)
{
    train_options options = {0};
    train_args *args = NULL;
    int exit_status = CLI_FAILED;
    if (make_options(&options))
        args = arena_alloc(&options.memory, 1, sizeof *args + options.n_settings * sizeof(char *));
    if (args == NULL)
        cli_say("out of memory");
    else
        exit_status = parse_and_train(&options, args, argc, argv);
    arena_free(&options.memory);
    return exit_status;
}
