/* What moves bytes between ranks: mpi.c fills it in, which is built as a module of its own and
 * loaded where mpirun started the process, so that nothing else waits for MPI or needs it. */
#ifndef SLANT_DIST_TRANSPORT_H
#define SLANT_DIST_TRANSPORT_H

#include <stddef.h>

enum { TRANSPORT_TEXT = 256 };

/* Of an array, one for each rank: where it begins and how many values it has. */
typedef struct portions {
    int *firsts, *counts; /* [size] */
} portions;

/* Functions give 0, or a code that explain has words for. While they wait they leave the core to
 * others. */
typedef struct transport {
    /* Once. *done_before: MPI was started and ended in this process already, and cannot again. */
    int (*start)(int *rank, int *size, int *done_before);
    int (*gather)(const void *mine, int size_bytes, void *all); /* all [size][size_bytes] */
    int (*broadcast)(void *data, int size_bytes, int root);
    /* Portion r of everybody's values to rank r; what comes from rank r goes to parts. */
    int (*deal)(const float *values, const portions *out, float *parts, const portions *in);
    /* Rank r's portion of values to all. */
    int (*collect)(float *values, const portions *of);
    void (*explain)(int code, char text[TRANSPORT_TEXT]);
    void (*finish)(void);
    void (*end_all)(void); /* does not return */
} transport;

/* How the process was started. */
typedef struct launch {
    int rank, size;
} launch;

/* 0 of 1 where no launcher says otherwise. */
launch launch_read(void);

/* The name of the module's only symbol, of type transport. */
#define TRANSPORT_SYMBOL "slant_mpi_transport"
/* Loads the module from beside the program or the library, or from where both are installed. NULL:
 * text says why. */
const transport *launch_load(char text[TRANSPORT_TEXT]);

#endif
