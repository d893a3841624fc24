/* An instruction set counts when the processor has it and the system saves its registers. */
#include "kernels/cpu.h"

#include <cpuid.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned found;

/* A register of CPUID by number: 0 eax, 1 ebx, 2 ecx, 3 edx. */
static unsigned cpuid_register(unsigned leaf, unsigned subleaf, int number)
{
    unsigned r[4] = {0};
    __get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3]);
    return r[number];
}

static bool has_bits(unsigned value, unsigned bits)
{
    return (value & bits) == bits;
}

/* The register states that the system saves, XCR0. */
static unsigned saved_states(void)
{
    unsigned low, high;
    if (!has_bits(cpuid_register(1, 0, 2), bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Linux hands out the tile data, 8 KB a thread, on request, once for the whole process. */
static bool may_use_tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static void find(void)
{
    const unsigned ymm = 0x06, zmm = 0xE6, tiles = 0x60000;
    const unsigned avx2 = bit_AVX2 | bit_BMI2;
    const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    const unsigned vnni = 1u << 11, bf16 = 1u << 5, avx_vnni = 1u << 4;
    const unsigned amx = 1u << 22 | 1u << 24 | 1u << 25; /* bf16, tile, int8 */
    unsigned states = saved_states();
    unsigned ecx1 = cpuid_register(1, 0, 2), ebx7 = cpuid_register(7, 0, 1);
    unsigned ecx7 = cpuid_register(7, 0, 2), edx7 = cpuid_register(7, 0, 3);
    unsigned eax71 = cpuid_register(7, 1, 0);

    if (!has_bits(states, ymm) || !has_bits(ecx1, bit_AVX | bit_FMA | bit_F16C) ||
        !has_bits(ebx7, avx2))
        return;
    found |= CPU_AVX2;
    if (has_bits(eax71, avx_vnni))
        found |= CPU_AVXVNNI;
    if (!has_bits(states, zmm) || !has_bits(ebx7, avx512))
        return;
    found |= CPU_AVX512;
    if (!has_bits(ecx7, vnni))
        return;
    found |= CPU_AVX512VNNI;
    if (!has_bits(eax71, bf16))
        return;
    found |= CPU_AVX512BF16;
    if (has_bits(states, tiles) && has_bits(edx7, amx) && may_use_tiles())
        found |= CPU_AMX;
}

unsigned cpu_features(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    return found;
}
