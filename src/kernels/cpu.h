/* What this processor and its operating system offer. */
#ifndef SLANT_KERNELS_CPU_H
#define SLANT_KERNELS_CPU_H

/* Each stands for all that the files of that ending use (cmake/Rooms.cmake). */
#define CPU_AVX2 0x01u
#define CPU_AVXVNNI 0x02u
#define CPU_AVX512 0x04u
#define CPU_AVX512VNNI 0x08u
#define CPU_AVX512BF16 0x10u
#define CPU_AMX 0x20u

/* Found at the first call; asks the system for the tile registers then. */
unsigned cpu_features(void);

#endif
