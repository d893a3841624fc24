/* slant in the comparison: the public API, one session, the same protocol as the other peers.
 *
 *     slant_peer MODEL ADAPTER|- COMPUTE THREADS WORK
 *
 * WORK is text: for each workload a line "NAME MAX_LENGTH REPEATS COUNT", then COUNT lines, one
 * article each. compare.py compiles it against libslant and checks that the token counts are the
 * peers'. */
#include <slant.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The highest resident size counts from here, as far as the system allows. */
static void reset_peak_rss(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");

    if (file) {
        fputs("5", file);
        fclose(file);
    }
}

/* This program's own peak: ru_maxrss would count what the process was before it became it. */
static double peak_rss_mb(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    double kilobytes = 0;

    while (status && fgets(line, sizeof(line), status))
        if (sscanf(line, "VmHWM: %lf", &kilobytes) == 1)
            break;
    if (status)
        fclose(status);
    return kilobytes / 1024;
}

static void die(const char *message)
{
    fprintf(stderr, "slant_peer: %s\n", message);
    exit(1);
}

static void *allocate(size_t n, size_t bytes)
{
    void *memory = calloc(n, bytes);

    if (!memory)
        die("out of memory");
    return memory;
}

static slant_compute compute_named(const char *name)
{
    for (slant_compute c = SLANT_COMPUTE_INT8; c <= SLANT_COMPUTE_F32; c++)
        if (strcmp(name, slant_compute_name(c)) == 0)
            return c;
    return SLANT_COMPUTE_AUTO;
}

typedef struct workload {
    char name[64];
    int max_length, repeats, n;
    slant_text *articles;  /* [n] */
    slant_result *results; /* [n] */
    float *scores;         /* [n][n_labels] */
} workload;

static int read_workload(FILE *work, int n_labels, workload *w)
{
    if (fscanf(work, "%63s %d %d %d%*c", w->name, &w->max_length, &w->repeats, &w->n) != 4)
        return 0;
    if (w->n < 1)
        die("a workload without articles");
    w->articles = allocate((size_t)w->n, sizeof(*w->articles));
    w->results = allocate((size_t)w->n, sizeof(*w->results));
    w->scores = allocate((size_t)w->n * (size_t)n_labels, sizeof(*w->scores));
    for (int i = 0; i < w->n; i++) {
        char *line = NULL;
        size_t cap = 0;
        ssize_t length = getline(&line, &cap, work);

        if (length < 1)
            die("the work ends early");
        w->articles[i] = (slant_text){.text = line, .text_bytes = (size_t)length - 1};
    }
    return 1;
}

static void free_workload(workload *w)
{
    for (int i = 0; i < w->n; i++)
        free((void *)w->articles[i].text);
    free(w->articles);
    free(w->results);
    free(w->scores);
}

/* Prints the seconds of each repeat and how many tokens were read in one. */
static void run_workload(const slant_engine *engine, int n_threads, workload *w)
{
    slant_session_options options = {.n_threads = n_threads,
                                     .max_length = w->max_length,
                                     .truncation = SLANT_TRUNCATION_HEAD,
                                     .raw = true};
    slant_session *session = NULL;
    slant_error err;
    long long tokens = 0;

    reset_peak_rss();
    if (slant_session_open(engine, &options, &session, &err) != SLANT_OK)
        die(err.message);
    printf("\"%s\": {\"seconds\": [", w->name);
    for (int r = -1; r < w->repeats; r++) { /* the first one warms up, on a part of much work */
        size_t n = r < 0 && w->n > 64 ? 64 : (size_t)w->n;
        double start = seconds_now();

        if (slant_classify(session, w->articles, n, w->scores, w->results, &err) != SLANT_OK)
            die(err.message);
        if (r >= 0)
            printf("%s%.6f", r ? ", " : "", seconds_now() - start);
    }
    for (int i = 0; i < w->n; i++) {
        if (w->results[i].status != SLANT_OK)
            die(w->results[i].message);
        tokens += w->results[i].tokens_read;
    }
    printf("], \"tokens\": %lld, \"articles\": %d, \"peak_rss_mb\": %.1f}", tokens, w->n,
           peak_rss_mb());
    slant_session_close(session);
}

int main(int argc, char **argv)
{
    slant_engine *engine = NULL;
    slant_error err;
    workload w;

    if (argc != 6)
        die("MODEL ADAPTER|- COMPUTE THREADS WORK");
    slant_engine_options options = {.adapter = strcmp(argv[2], "-") ? argv[2] : NULL,
                                    .compute = compute_named(argv[3])};
    FILE *work = fopen(argv[5], "r");
    if (!work)
        die("the work cannot be read");
    double start = seconds_now();
    if (slant_engine_open(argv[1], &options, &engine, &err) != SLANT_OK)
        die(err.message);
    const slant_engine_info *info = slant_engine_get_info(engine);
    printf(
        "{\"load_s\": %.4f, \"load_rss_mb\": %.1f, \"version\": \"slant %s, %s weights, %s, %s\", "
        "\"compute\": \"%s\", \"isa\": \"%s\", \"work\": {",
        seconds_now() - start, peak_rss_mb(), SLANT_VERSION, info->dtype_name,
        slant_compute_name(info->compute), info->isa, slant_compute_name(info->compute), info->isa);
    for (int i = 0; read_workload(work, info->n_labels, &w); i++) {
        fputs(i ? ", " : "", stdout);
        run_workload(engine, atoi(argv[4]), &w);
        free_workload(&w);
    }
    printf("}}\n");
    fclose(work);
    slant_engine_close(engine);
    return 0;
}
