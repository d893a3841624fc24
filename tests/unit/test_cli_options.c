/* The command line: what is taken, what is refused and in which words, and the help. */
#include "unit.h"

#include "base/mem.h"
#include "cli/options.h"

#include <string.h>

typedef struct values {
    const char *name;
    bool flag, other;
    int count, choice, optional;
    double number;
} values;

#define AT(member) .offset = offsetof(values, member)

static const option_row rows[] = {
    OPTION_HEAD("Things"),
    {OPTION_TEXT, 'n', "name", AT(name), .value = "NAME", .help = "a name", .standard = "none"},
    {OPTION_FLAG, 'f', "flag", AT(flag), .help = "a flag"},
    {OPTION_FLAG, 'g', "other-flag", AT(other), .help = "another"},
    {OPTION_COUNT, 0, "count", AT(count), .value = "N", .min = 1, .max = 10, .help = "how many"},
    {OPTION_NUMBER, 0, "number", AT(number), .value = "P", .min = 0, .max = 1, .help = "a share"},
    {OPTION_CHOICE, 0, "choice", AT(choice), .choices = "one|two|three", .help = "which"},
    {OPTION_CHOICE, 0, "optional", AT(optional), .choices = "|a|b", .help = "which, if any"},
};

static const option_table table = {.command = "test",
                                   .operands = "[FILE]...",
                                   .about = "A table for tests.",
                                   .rows = rows,
                                   .n_rows = sizeof rows / sizeof *rows};

/* Up to eight arguments after the command's name. */
static slant_status parse(values *v, option_operands *operands, slant_error *err, ...)
{
    const char *argv[10] = {"test"};
    int argc = 1;
    va_list arguments;
    va_start(arguments, err);
    for (const char *next; (next = va_arg(arguments, const char *)) != NULL;)
        argv[argc++] = next;
    va_end(arguments);
    *v = (values){.number = -1};
    return options_parse(&table, argc, (char **)argv, v, operands, err);
}

static void takes_every_spelling(void **state)
{
    (void)state;
    values v;
    option_operands operands;
    slant_error err;
    assert_int_equal(
        parse(&v, &operands, &err, "a.txt", "--name=x", "-fg", "--count", "7", "-", NULL),
        SLANT_OK);
    assert_string_equal(v.name, "x");
    assert_true(v.flag && v.other);
    assert_int_equal(v.count, 7);
    assert_int_equal(operands.n_items, 2);
    assert_string_equal(operands.items[0], "a.txt");
    assert_string_equal(operands.items[1], "-");
    mem_free(operands.items);

    assert_int_equal(parse(&v, &operands, &err, "-nrest", "--number", "0.25", "--choice", "TWO",
                           "--", "--flag", NULL),
                     SLANT_OK);
    assert_string_equal(v.name, "rest");
    assert_true(v.number == 0.25);
    assert_int_equal(v.choice, 1);
    assert_false(v.flag);
    assert_string_equal(operands.items[0], "--flag");
    mem_free(operands.items);
}

static void value_may_look_like_an_option(void **state)
{
    (void)state;
    values v;
    option_operands operands;
    slant_error err;
    assert_int_equal(parse(&v, &operands, &err, "--name", "--flag", "-fn", "x=y", NULL), SLANT_OK);
    assert_string_equal(v.name, "x=y");
    assert_true(v.flag);
    mem_free(operands.items);
}

static void choice_may_be_left_open(void **state)
{
    (void)state;
    values v;
    option_operands operands;
    slant_error err;
    assert_int_equal(parse(&v, &operands, &err, "--optional", "b", NULL), SLANT_OK);
    assert_int_equal(v.optional, 2);
    mem_free(operands.items);
    assert_int_equal(parse(&v, &operands, &err, "--optional", "", NULL), SLANT_ERR_ARGUMENT);
    assert_string_equal(err.message, "--optional takes a|b, not ''");
}

static void refuse(const char *message, const char *first, const char *second)
{
    values v;
    option_operands operands;
    slant_error err;
    assert_int_equal(parse(&v, &operands, &err, first, second, NULL), SLANT_ERR_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(operands.items);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    refuse("unknown option --nmae; did you mean --name?", "--nmae", "x");
    refuse("unknown option --other; did you mean --other-flag?", "--other", NULL);
    refuse("unknown option --otherflags; did you mean --other-flag?", "--otherflags", NULL);
    refuse("unknown option --zebra", "--zebra", NULL);
    refuse("unknown option -x in '-fx'", "-fx", NULL);
    refuse("--name needs a value", "--name", NULL);
    refuse("-n needs a value", "-fn", NULL);
    refuse("--flag takes no value", "--flag=1", NULL);
    refuse("--count takes 1 to 10, not 11", "--count", "11");
    refuse("--count takes 1 to 10, not 99999999999999999999", "--count", "99999999999999999999");
    refuse("--count takes a whole number, not '3.5'", "--count=3.5", NULL);
    refuse("--count takes a whole number, not ''", "--count=", NULL);
    refuse("--number takes 0 to 1, not 1.5", "--number", "1.5");
    refuse("--number takes a number, not 'nan'", "--number", "nan");
    refuse("--choice takes one|two|three, not 'four'", "--choice", "four");
}

static void help_shows_every_row(void **state)
{
    (void)state;
    values v;
    option_operands operands;
    slant_error err;
    buf out = {0};
    assert_int_equal(parse(&v, &operands, &err, "-fh", NULL), SLANT_OK);
    assert_true(operands.want_help);
    mem_free(operands.items);
    options_help(&table, &out);
    assert_non_null(strstr(out.data, "Usage: slant test [OPTION]... [FILE]...\n"));
    assert_non_null(strstr(out.data, "\nThings\n"));
    assert_non_null(strstr(out.data, "  -n, --name NAME"));
    assert_non_null(strstr(out.data, "a name (default: none)\n"));
    assert_non_null(strstr(out.data, "      --choice one|two|three"));
    assert_non_null(strstr(out.data, "      --optional a|b"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_spelling),    cmocka_unit_test(value_may_look_like_an_option),
        cmocka_unit_test(choice_may_be_left_open), cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(help_shows_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
