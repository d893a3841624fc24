/* What all commands share: exit statuses, the table of commands, words on standard error. */
#ifndef SLANT_CLI_CLI_H
#define SLANT_CLI_CLI_H

#include <slant.h>

#include <stdbool.h>

enum {
    CLI_ANSWERED = 0,   /* all was answered */
    CLI_FAILED = 1,     /* the run itself failed */
    CLI_USAGE = 2,      /* the command line makes no sense */
    CLI_SOME_FAILED = 3 /* the run went through, but some articles have an error for an answer */
};

typedef struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; gives the exit status */
} command;

int cmd_classify(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_evaluate(int argc, char **argv);
int cmd_data(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_bench(int argc, char **argv);

/* "slant: …" and a newline on standard error; bytes that would steer a terminal are replaced. */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The notes of an engine, one a line, each as cli_say says it. */
void cli_say_lines(const char *lines);
/* What a run's end means for a shell. */
int cli_exit_status(slant_status status, int64_t n_failed);
/* "slant COMMAND: …", and where help is to be found. Gives CLI_USAGE. */
int cli_usage(const char *command_name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
