#include "cli/foundation.h"

#include "cli/cli.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void foundation_plain(buf *out, const char *bytes, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++)
        buf_char(out, (unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7F ? '?' : bytes[i]);
}

/* A path as a person would write it: from the working folder where it lies below that. */
static void append_path(buf *out, const char *path)
{
    char whole[PATH_MAX], here[PATH_MAX];
    const char *shown = realpath(path, whole) != NULL ? whole : path;
    size_t length = getcwd(here, sizeof here) != NULL ? strlen(here) : 0;
    if (length > 1 && strncmp(shown, here, length) == 0 && shown[length] == '/')
        shown += length + 1;
    foundation_plain(out, shown, strlen(shown));
}

void foundation_line(buf *out, const char *name, const char *words)
{
    buf_printf(out, "  %-14s  %s\n", name, words);
}

void foundation_append(buf *out, const slant_engine *engine)
{
    const slant_engine_info *info = slant_engine_get_info(engine);
    buf_string(out, "  model           ");
    append_path(out, info->model_path);
    buf_printf(out, " (%s, %d layers; %s weights, %s products, %s)\n", info->architecture,
               info->n_layers, info->dtype_name, slant_compute_name(info->compute), info->isa);
    if (info->adapter_path != NULL) {
        buf_string(out, "  adapter         ");
        append_path(out, info->adapter_path);
        buf_char(out, '\n');
    }
    if (info->temperature != 1)
        buf_printf(out, "  calibration     temperature %g, fitted on validation data\n",
                   (double)info->temperature);
    else
        foundation_line(out, "calibration",
                        "none: a percentage is the model's own confidence, not the chance that it "
                        "is right");
}

void foundation_say(const slant_engine *engine)
{
    const slant_engine_info *info = slant_engine_get_info(engine);
    cli_say("%s: %s, %d layers, %s weights, %s products, %s", info->model_path, info->architecture,
            info->n_layers, info->dtype_name, slant_compute_name(info->compute), info->isa);
    if (info->adapter_path != NULL)
        cli_say("adapter %s", info->adapter_path);
}
