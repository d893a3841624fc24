#include "cli/cli.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* File names and messages may hold anything; a terminal must not obey it. */
static void print_line(const char *prefix, const char *text, size_t text_bytes)
{
    buf line = {0};
    buf_string(&line, prefix);
    for (size_t i = 0; i < text_bytes; i++)
        buf_char(&line, (unsigned char)text[i] < 0x20 || text[i] == 0x7F ? '?' : text[i]);
    buf_char(&line, '\n');
    fwrite(line.data, 1, line.size_bytes, stderr);
    buf_free(&line);
}

void cli_say(const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    print_line("slant: ", text, strlen(text));
}

void cli_say_lines(const char *lines)
{
    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");
        print_line("slant: ", lines, length);
        lines += length + (lines[length] == '\n');
    }
}

int cli_usage(const char *command_name, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cli_say("%s: %s", command_name, text);
    cli_say("'slant %s --help' lists the options", command_name);
    return CLI_USAGE;
}

int cli_exit_status(slant_status status, int64_t n_failed)
{
    if (status == SLANT_OK)
        return n_failed > 0 ? CLI_SOME_FAILED : CLI_ANSWERED;
    return status == SLANT_ERR_ARGUMENT ? CLI_USAGE : CLI_FAILED;
}
