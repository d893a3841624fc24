/* How the process was started, and where the module with MPI lies. */
#include "base/file.h"
#include "base/mem.h"
#include "dist/transport.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int number_in(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long value = text == NULL ? -1 : strtol(text, &end, 10);
    return text == NULL || end == text || *end != '\0' || value > 1 << 20 ? -1 : (int)value;
}

/* Launchers tell by the environment: Open MPI's mpirun, those of the MPICH family, and Slurm's srun
 * with PMIx (a job's SLURM_NTASKS alone says nothing of this process). */
launch launch_read(void)
{
    static const char *const names[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                           {"PMI_RANK", "PMI_SIZE"},
                                           {"PMIX_RANK", "SLURM_NTASKS"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        launch l = {number_in(names[i][0]), number_in(names[i][1])};
        if (l.rank >= 0 && l.rank < l.size)
            return l;
    }
    return (launch){0, 1};
}

#ifdef SLANT_MPI

/* The folder that this code lies in: the library's, or the program's where it is part of that. */
static char *own_folder(void)
{
    char path[4096];
    Dl_info info;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n < 0 ? 0 : n] = '\0';
    if (dladdr((const void *)own_folder, &info) != 0 && info.dli_fname != NULL &&
        strstr(info.dli_fname, ".so") != NULL)
        snprintf(path, sizeof path, "%s", info.dli_fname);
    char *slash = strrchr(path, '/');
    return mem_strndup(path, slash == NULL ? 0 : (size_t)(slash - path));
}

/* From the program, from libslant.so, and among what was just built. */
static const char *const places[] = {SLANT_MPI_FROM_PROGRAM, "slant/slant_mpi.so", "slant_mpi.so"};

/* MPI's own plugins look for its symbols among the global ones. */
static void *load(const char *folder)
{
    void *module = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places && module == NULL; i++) {
        char *path = file_join(folder, places[i]);
        if (path != NULL && file_exists(path))
            module = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        mem_free(path);
    }
    return module;
}

const transport *launch_load(char text[TRANSPORT_TEXT])
{
    char *folder = own_folder();
    void *module = folder == NULL ? NULL : load(folder);
    const transport *t = module == NULL ? NULL : dlsym(module, TRANSPORT_SYMBOL);
    const char *why = t == NULL ? dlerror() : NULL;
    if (t == NULL)
        snprintf(text, TRANSPORT_TEXT, "%s",
                 why != NULL ? why : "slant_mpi.so is neither beside slant nor where it belongs");
    mem_free(folder);
    return t;
}

#else

const transport *launch_load(char text[TRANSPORT_TEXT])
{
    snprintf(text, TRANSPORT_TEXT, "this slant is built without MPI");
    return NULL;
}

#endif
