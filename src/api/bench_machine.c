#include "api/bench_machine.h"

#include "api/compute.h"
#include "base/thread.h"

#include <stdio.h>
#include <string.h>

enum { MAX_TABLES = 16 };

double bench_machine_peak(bench_machine *m, const char *isa, slant_compute compute, int n_threads)
{
    const peak_loop *loop = peak_loop_of(isa, compute);
    for (int i = 0; i < m->n_peaks; i++)
        if (m->peaks[i].loop == loop && m->peaks[i].n_threads == n_threads)
            return m->peaks[i].rate;
    double rate = peak_measure(loop, n_threads);
    if (m->n_peaks < BENCH_MAX_PEAKS) {
        m->peaks[m->n_peaks].loop = loop;
        m->peaks[m->n_peaks].n_threads = n_threads;
        m->peaks[m->n_peaks++].rate = rate;
    }
    return rate;
}

/* The processor's name as Linux has it; "" where it does not say. */
static void processor_name(char name[256])
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[512];
    name[0] = '\0';
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "model name : %255[^\n]", name) == 1)
            break;
    if (file != NULL)
        fclose(file);
}

static void write_peaks(bench_machine *m, const char *isa, document *d)
{
    static const slant_compute computes[] = {SLANT_COMPUTE_INT8, SLANT_COMPUTE_INT16,
                                             SLANT_COMPUTE_BF16, SLANT_COMPUTE_F32};
    document_open(d, "peaks", '{');
    for (size_t i = 0; i < sizeof computes / sizeof *computes; i++) {
        const peak_loop *loop = peak_loop_of(isa, computes[i]);
        document_open(d, kernel_compute_name(computes[i]), '{');
        document_string(d, "instruction", loop->instruction);
        document_number(d, "gops", 1e-9 * bench_machine_peak(m, isa, computes[i], m->n_threads));
        document_close(d, '}');
    }
    document_close(d, '}');
}

void bench_machine_write(bench_machine *m, document *d)
{
    const kernel_table *tables[MAX_TABLES];
    const char *used = kernel_table_best()->name;
    int n = kernel_tables(tables, MAX_TABLES);
    char name[256];
    processor_name(name);
    document_open(d, "machine", '{');
    document_string(d, "processor", name);
    document_int(d, "cores", thread_available());
    document_int(d, "threads", m->n_threads);
    document_string(d, "isa", used);
    document_open(d, "instruction_sets", '[');
    for (int i = 0; i < n; i++) {
        document_open(d, NULL, '{');
        document_string(d, "name", tables[i]->name);
        document_bool(d, "used", strcmp(tables[i]->name, used) == 0);
        write_peaks(m, tables[i]->name, d);
        document_close(d, '}');
    }
    document_close(d, ']');
    document_close(d, '}');
}
