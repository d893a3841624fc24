/* slant: the table of commands and the way into them. */
#include "cli/cli.h"
#include "cli/options.h"

#include "base/nearest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const command commands[] = {
    {"classify", "how articles lean: the probabilities of the model's labels", cmd_classify},
    {"tokenize", "token ids, pieces and byte offsets, as the model gets them", cmd_tokenize},
    {"import", "turn a model into one memory-mapped .slant file", cmd_import},
    {"inspect", "what a model and an adapter hold, and how they would run here", cmd_inspect},
    {"train", "fine-tune an adapter and a head by QLoRA, resumable to the bit", cmd_train},
    {"evaluate", "F1 and what belongs beside it, on labelled articles", cmd_evaluate},
    {"data", "split labelled files, or select rows by a list of ids", cmd_data},
    {"merge", "write a base and its adapter as one model, bf16 or NF4", cmd_merge},
    {"bench", "how fast this machine is, and how much of it slant uses", cmd_bench},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static const char *command_name(const void *context, size_t i)
{
    (void)context;
    return commands[i].name;
}

static void print_help(FILE *stream)
{
    fputs(
        "Usage: slant COMMAND [OPTION]... [FILE]...\n\n"
        "Tells how news articles lean, with a Llama-family classifier on this machine alone.\n\n",
        stream);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(stream, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs(
        "\n'slant COMMAND --help' lists a command's options; 'slant --version' says what is in.\n"
        "A supplementary tool, not an arbiter of political bias.\n",
        stream);
}

static void print_version(void)
{
    printf("slant %s\nbuilt with %s\nthis CPU runs %s\n", SLANT_VERSION, slant_built_with(),
           slant_isa());
}

static int refuse(const char *name)
{
    const char *kind = name[0] == '-' ? "option" : "command";
    const char *nearest =
        name[0] == '-' ? NULL : nearest_name(name, N_COMMANDS, command_name, NULL);
    if (nearest != NULL)
        cli_say("unknown %s '%s'; did you mean '%s'?", kind, name, nearest);
    else
        cli_say("unknown %s '%s'; 'slant --help' lists the commands", kind, name);
    return CLI_USAGE;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0)
        print_version();
    else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        print_help(stdout);
    else
        return refuse(name);
    return CLI_ANSWERED;
}

/* What was printed must have arrived: a full disk is a failure, not a success. The reason of an
 * earlier write is not kept, only that it failed. */
int main(int argc, char **argv)
{
    int status = run(argc, argv);
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (status == CLI_ANSWERED && errno != 0)
        cli_say("standard output cannot be written: %s", strerror(errno));
    else if (status == CLI_ANSWERED)
        cli_say("standard output cannot be written");
    return CLI_FAILED;
}
