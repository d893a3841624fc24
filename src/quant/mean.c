/* Floating-point sums depend on their order, and the mean of absmax is stored in every NF4 tensor:
 * this file adds in the order of torch.mean on x86-64 with AVX2 or later. */
#include "quant/mean.h"

#include <string.h>

#define LANES 8 /* floats of an AVX2 vector, which PyTorch sums with on AVX-512 machines too */
#define ROW_VECTORS 4 /* vectors summed side by side */
#define LEVELS 4      /* of the cascade */
#define GRAIN 32768   /* fewer values than this are summed by one thread */

/* PyTorch splits long sums between its threads, and so its last bit depends on their number. slant
 * takes two, whatever machine it runs on, so that a tensor always becomes the same bytes. */
#define THREADS 2

static int ceil_log2(int64_t n)
{
    int log2 = 0;
    while ((int64_t)1 << log2 < n)
        log2++;
    return log2 < 1 ? 1 : log2;
}

/* sums [width] = the column sums of values [n_rows][width], width at most LANES * ROW_VECTORS. Each
 * level of the cascade collects a fixed number of sums of the level below, so that only numbers of
 * like size are added. */
static void cascade_sum(const float *values, int64_t n_rows, int width, float *sums)
{
    float levels[LEVELS][LANES * ROW_VECTORS] = {0};
    int power = ceil_log2(n_rows) / LEVELS;
    if (power < 4)
        power = 4;

    for (int64_t row = 0; row < n_rows;) {
        for (int c = 0; c < width; c++)
            levels[0][c] += values[row * width + c];
        row++;
        /* Level l is emptied into the next one whenever it holds 2^power sums. */
        for (int l = 1; l < LEVELS && row % ((int64_t)1 << power * l) == 0; l++) {
            for (int c = 0; c < width; c++)
                levels[l][c] += levels[l - 1][c];
            memset(levels[l - 1], 0, sizeof levels[l - 1]);
        }
    }
    memcpy(sums, levels[0], (size_t)width * sizeof *sums);
    for (int l = 1; l < LEVELS; l++)
        for (int c = 0; c < width; c++)
            sums[c] += levels[l][c];
}

/* One thread's share, with vectors of so many lanes (1: too few values for vectors). */
static float sum_with_lanes(const float *values, int64_t n_values, int n_lanes)
{
    float sums[LANES * ROW_VECTORS];
    int width = n_lanes * ROW_VECTORS;
    int64_t n_rows = n_values / width, done = n_rows * width;
    cascade_sum(values, n_rows, width, sums);
    for (; done + n_lanes <= n_values; done += n_lanes)
        for (int lane = 0; lane < n_lanes; lane++)
            sums[lane] += values[done + lane];
    for (int v = 1; v < ROW_VECTORS; v++)
        for (int lane = 0; lane < n_lanes; lane++)
            sums[lane] += sums[v * n_lanes + lane];

    float sum = 0;
    for (; done < n_values; done++)
        sum += values[done];
    for (int lane = 0; lane < n_lanes; lane++)
        sum += sums[lane];
    return sum;
}

static float sum_share(const float *values, int64_t n_values)
{
    return sum_with_lanes(values, n_values, n_values < LANES ? 1 : LANES);
}

float mean_as_torch(const float *values, int64_t n_values)
{
    if (n_values <= GRAIN)
        return sum_share(values, n_values) / (float)n_values;
    int64_t share = (n_values + THREADS - 1) / THREADS;
    float sum = 0;
    for (int64_t first = 0; first < n_values; first += share)
        sum += sum_share(values + first, n_values - first < share ? n_values - first : share);
    return sum / (float)n_values;
}
