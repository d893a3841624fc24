/* What is in a folder, asked without needing memory. */
#ifndef SLANT_MODEL_FOLDER_H
#define SLANT_MODEL_FOLDER_H

#include <stdbool.h>

bool folder_holds(const char *dir, const char *file);

#endif
