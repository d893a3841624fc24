#include "model/folder.h"

#include "base/file.h"

#include <limits.h>

bool folder_holds(const char *dir, const char *file)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", dir, file);
    return length > 0 && (size_t)length < sizeof path && file_exists(path);
}
