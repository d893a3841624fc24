/* Any bytes as a list of ids. */
#include "data/id_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Every id is found in its place, and none stands there twice. */
static void check(const id_list *list)
{
    buf json = {0};
    for (size_t i = 0; i < list->n; i++) {
        require(name_table_find(&list->places, list->ids[i]) == i);
        buf_clear(&json);
        buf_json_string(&json, list->ids[i], strlen(list->ids[i]));
        size_t place = id_list_find(list, json.data);
        require(place == i || place == NAME_TABLE_NONE); /* what is not UTF-8 is in no JSON */
    }
    buf_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    char path[64];
    slant_error err;
    id_list list;
    bad_rows doubles = {0};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size_bytes) == (ssize_t)size_bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (id_list_read(&list, path, "key", &doubles, &err) == SLANT_OK) {
        require(list.n > 0);
        check(&list);
        id_list_free(&list);
    }
    bad_rows_free(&doubles);
    close(fd);
    return 0;
}
