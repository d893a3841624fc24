/* slant in the comparison: the public API, one session, the same protocol as the other peers.
 *
 *     slant_peer MODEL ADAPTER|- COMPUTE THREADS REPEATS WORK
 *
 * WORK is text: for each workload a line "NAME MAX_LENGTH COUNT", then COUNT lines, one article
 * each. compare.py compiles it against libslant and checks that the token counts are the peers'. */
#include <slant.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ARTICLES = 256, MAX_LABELS = 16 };

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
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

static slant_compute compute_named(const char *name)
{
    if (strcmp(name, "int8") == 0)
        return SLANT_COMPUTE_INT8;
    if (strcmp(name, "bf16") == 0)
        return SLANT_COMPUTE_BF16;
    return strcmp(name, "fp32") == 0 ? SLANT_COMPUTE_F32 : SLANT_COMPUTE_AUTO;
}

static const char *compute_name(slant_compute compute)
{
    static const char *const names[] = {"auto", "int8", "bf16", "fp32"};

    return names[compute];
}

static void read_articles(FILE *work, slant_text *articles, int n)
{
    for (int i = 0; i < n; i++) {
        char *line = NULL;
        size_t cap = 0;
        ssize_t length = getline(&line, &cap, work);

        if (length < 1)
            die("the work ends early");
        articles[i] = (slant_text){.text = line, .text_bytes = (size_t)length - 1};
    }
}

/* Prints the seconds of each repeat and how many tokens were read in one. */
static void run_workload(const slant_engine *engine, int n_threads, int repeats, int max_length,
                         const slant_text *articles, int n)
{
    slant_session_options options = {.n_threads = n_threads,
                                     .max_length = max_length,
                                     .truncation = SLANT_TRUNCATION_HEAD,
                                     .raw = true};
    static float scores[MAX_ARTICLES * MAX_LABELS];
    static slant_result results[MAX_ARTICLES];
    slant_session *session = NULL;
    slant_error err;
    long long tokens = 0;

    if (slant_session_open(engine, &options, &session, &err) != SLANT_OK)
        die(err.message);
    printf("{\"seconds\": [");
    for (int r = -1; r < repeats; r++) { /* the first one warms up */
        double start = seconds_now();

        if (slant_classify(session, articles, (size_t)n, scores, results, &err) != SLANT_OK)
            die(err.message);
        if (r >= 0)
            printf("%s%.6f", r ? ", " : "", seconds_now() - start);
    }
    for (int i = 0; i < n; i++) {
        if (results[i].status != SLANT_OK)
            die(results[i].message);
        tokens += results[i].tokens_read;
    }
    printf("], \"tokens\": %lld}", tokens);
    slant_session_close(session);
}

int main(int argc, char **argv)
{
    static slant_text articles[MAX_ARTICLES];
    slant_engine *engine = NULL;
    slant_error err;
    char name[64];
    int max_length, n;

    if (argc != 7)
        die("MODEL ADAPTER|- COMPUTE THREADS REPEATS WORK");
    slant_engine_options options = {.adapter = strcmp(argv[2], "-") ? argv[2] : NULL,
                                    .compute = compute_named(argv[3])};
    FILE *work = fopen(argv[6], "r");
    if (!work)
        die("the work cannot be read");
    double start = seconds_now();
    if (slant_engine_open(argv[1], &options, &engine, &err) != SLANT_OK)
        die(err.message);
    const slant_engine_info *info = slant_engine_get_info(engine);
    printf(
        "{\"load_s\": %.4f, \"version\": \"slant %s, %s weights, %s, %s\", \"compute\": \"%s\", "
        "\"work\": {",
        seconds_now() - start, SLANT_VERSION, info->dtype_name, compute_name(info->compute),
        info->isa, compute_name(info->compute));
    for (int i = 0; fscanf(work, "%63s %d %d%*c", name, &max_length, &n) == 3; i++) {
        if (n < 1 || n > MAX_ARTICLES)
            die("too many articles");
        read_articles(work, articles, n);
        printf("%s\"%s\": ", i ? ", " : "", name);
        run_workload(engine, atoi(argv[4]), atoi(argv[5]), max_length, articles, n);
        for (int j = 0; j < n; j++)
            free((void *)articles[j].text);
    }
    printf("}, \"peak_rss_mb\": %.1f}\n", peak_rss_mb());
    fclose(work);
    slant_engine_close(engine);
    return 0;
}
