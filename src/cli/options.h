/* Options of a command line, read from one table per command: the same table gives the parser its
 * types and bounds and the help its text.
 *
 * Options and file names may stand in any order; "--" ends the options; a value follows after a
 * space or "=". Long names are not abbreviated: an unknown one is refused with the nearest known.
 */
#ifndef SLANT_CLI_OPTIONS_H
#define SLANT_CLI_OPTIONS_H

#include "base/buf.h"
#include "base/status.h"

#include <stddef.h>

typedef enum option_type {
    OPTION_HEADING, /* help alone stands, over the options below it */
    OPTION_FLAG,    /* bool: true */
    OPTION_TEXT,    /* const char * */
    OPTION_COUNT,   /* int in [min, max] */
    OPTION_NUMBER,  /* double in [min, max] */
    OPTION_CHOICE   /* int: the index of the value in choices, whatever its case */
} option_type;

typedef struct option_row {
    option_type type;
    char letter;         /* 0: none */
    const char *name;    /* without its dashes */
    size_t offset;       /* of the field in the command's struct */
    const char *value;   /* what stands for the value in the help; NULL for a choice: its choices */
    const char *choices; /* "table|json"; "|head|tail" where index 0 is what no option gives */
    double min, max;
    const char *help;     /* one sentence without its full stop */
    const char *standard; /* the default in words; NULL: not said */
} option_row;

#define OPTION_HEAD(text) {.type = OPTION_HEADING, .help = text}

typedef struct option_table {
    const char *command;  /* "classify" */
    const char *operands; /* "[FILE…]" */
    const char *about;    /* what the command does, in a paragraph; lines are wrapped */
    const char *closing;  /* printed as it stands after the options; NULL: nothing */
    const option_row *rows;
    size_t n_rows;
} option_table;

typedef struct option_operands {
    const char **items; /* [n_items], pointing into argv; owned: mem_free */
    size_t n_items;
    bool want_help; /* -h or --help was given: nothing else is filled in */
} option_operands;

/* Writes the options of argv[1 …] into values, a struct whose fields the table describes and which
 * holds the defaults. On failure err says what is wrong in words that follow "slant command: ". */
slant_status options_parse(const option_table *table, int argc, char **argv, void *values,
                           option_operands *operands, slant_error *err);

void options_help(const option_table *table, buf *out);
/* The help on standard output; gives the exit status. */
int options_print_help(const option_table *table);

/* Choice index of choices, into out; false where there is none. */
bool options_choice_name(const char *choices, int index, const char **name, size_t *name_bytes);

#endif
