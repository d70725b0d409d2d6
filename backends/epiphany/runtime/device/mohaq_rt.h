/* What a core's program may use: its memory, its neighbours, shared DRAM, barriers, the host.
 *
 * Three builds: the eSDK's e-gcc and an upstream epiphany-elf-gcc (both bare: mohaq_start.S,
 * mohaq_rt.c and device.ldf replace the C start-up and e-lib), and a host compiler with
 * -DMOHAQ_STANDIN, where standin/standin.c plays the chip with threads.
 *
 * Generated: model.h gives the geometry and where things lie in shared DRAM, memory.h the structs
 * mohaq_bank1, mohaq_bank2, mohaq_bank3: everything that a core keeps between functions.
 */
#ifndef MOHAQ_RT_H
#define MOHAQ_RT_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"

#include "memory.h"
#include "mohaq_protocol.h"

/* Code that outgrows bank 0 takes the beginning of bank 1. */
#ifndef MOHAQ_CODE_BYTES
#define MOHAQ_CODE_BYTES MOHAQ_BANK_BYTES
#endif
#define MOHAQ_BANK_ORIGIN(bank) ((bank) == 1 ? MOHAQ_CODE_BYTES : (bank) * MOHAQ_BANK_BYTES)

_Static_assert(MOHAQ_CORES == MOHAQ_ROWS * MOHAQ_COLS, "cores are rows times columns");
_Static_assert((MOHAQ_COLS & (MOHAQ_COLS - 1)) == 0, "columns are a power of two");
_Static_assert(MOHAQ_BANK_BYTES % 8 == 0, "banks begin at multiples of 8");
_Static_assert(MOHAQ_CODE_BYTES % 8 == 0, "data begin at a multiple of 8");
_Static_assert(sizeof(struct mohaq_bank1) <= 2 * MOHAQ_BANK_BYTES - MOHAQ_CODE_BYTES,
               "bank 1 overflows");
_Static_assert(sizeof(struct mohaq_bank2) <= MOHAQ_BANK_BYTES, "bank 2 overflows");
_Static_assert(sizeof(struct mohaq_bank3) <= MOHAQ_BANK_BYTES, "bank 3 overflows");
_Static_assert(MOHAQ_JOB_BYTES >= MOHAQ_FLAGS_OFFSET + 4 * MOHAQ_CORES, "no room for done flags");
_Static_assert(MOHAQ_WEIGHTS_OFFSET >= MOHAQ_JOB_BYTES, "weights lie over the job block");

/* A core's program (generated, device/main.c):
 *
 *     MOHAQ_DEFINE_BANKS
 *     int MOHAQ_DEVICE_MAIN(void)
 *     {
 *         setup();
 *         while (mohaq_wait_start()) { run(); mohaq_done(); }
 *         return 0;
 *     }
 */
#define MOHAQ_DEVICE_MAIN mohaq_main
int mohaq_main(void);

/* Waits for the host, then for all cores (one barrier), and returns 1; 0 when the host has
 * finished: then the program returns too. */
int mohaq_wait_start(void);

/* Tells the host that this core's results are in shared DRAM. No barrier. */
void mohaq_done(void);

/* Stops this core and reports code (>= MOHAQ_ERROR_PROGRAM) and detail to the host. */
void mohaq_fail(uint32_t code, uint32_t detail) __attribute__((noreturn));

/* Waits until all cores have arrived. What a core pushed before is there for its receiver after. */
void mohaq_barrier(void);

/* Stores into the same place of another core's memory: dst is this core's address of it. All of
 * dst, src and bytes are multiples of 4; stores are 8 bytes wide when all are multiples of 8.
 * Arrival is certain only after a barrier. */
void mohaq_push(uint32_t core, void *dst, const void *src, uint32_t bytes);

/* Starts a copy on channel 0 or 1 between this core's memory and shared DRAM, either way, after
 * the earlier one on this channel. Both addresses and the length are multiples of 8, the length is
 * below 512 KB. The target is undefined and the source may not change until mohaq_dma_wait.
 * Length 0 does nothing. */
void mohaq_dma_start(int channel, void *dst, const void *src, uint32_t bytes);

/* Waits for the copy; returns at once when none runs. */
void mohaq_dma_wait(int channel);

/* ---------------------------------------------------------------- the chip */
#ifdef __epiphany__

/* Named sections with data are loaded with the program, unlike .bss, which each core clears at its
 * own time: a faster neighbour's stores would be lost in there. */
#define MOHAQ_BANK1 __attribute__((section(".data_bank1"), aligned(8)))
#define MOHAQ_BANK2 __attribute__((section(".data_bank2"), aligned(8)))
#define MOHAQ_BANK3 __attribute__((section(".data_bank3"), aligned(8)))
#define MOHAQ_TEXT0 __attribute__((section(".text_bank0")))
#define MOHAQ_CONST __attribute__((section(".const_bank3"), aligned(8)))

#define MOHAQ_DEFINE_BANKS                                   \
    struct mohaq_bank1 mohaq_bank1_data MOHAQ_BANK1 = {0}; \
    struct mohaq_bank2 mohaq_bank2_data MOHAQ_BANK2 = {0}; \
    struct mohaq_bank3 mohaq_bank3_data MOHAQ_BANK3 = {0};

extern struct mohaq_bank1 mohaq_bank1_data;
extern struct mohaq_bank2 mohaq_bank2_data;
extern struct mohaq_bank3 mohaq_bank3_data;

#define MOHAQ_LOCAL(bank) (&mohaq_bank##bank##_data)

/* This core's place in the group, kept by mohaq_rt.c. */
struct mohaq_place {
    uint32_t core;  /* row major index */
    uint32_t first; /* global address of core 0's memory */
};
extern struct mohaq_place mohaq_place;

static inline uint32_t mohaq_core(void) { return mohaq_place.core; }
static inline uint32_t mohaq_cores(void) { return MOHAQ_CORES; }

static inline void *mohaq_remote(uint32_t core, void *local)
{
    uint32_t row = core / MOHAQ_COLS, col = core % MOHAQ_COLS;
    return (void *)(mohaq_place.first + (row << 26) + (col << 20) + (uint32_t)local);
}

static inline void *mohaq_dram(uint32_t offset)
{
    return (void *)(MOHAQ_DRAM_ADDRESS + offset);
}

#define mohaq_phase(phase) ((void)(phase))
#define MOHAQ_COUNT_KERNEL(id, k) ((void)0)
#define MOHAQ_COUNT_ELEMENTS(kind, count) ((void)0)

/* ---------------------------------------------------------------- the stand-in */
#elif defined(MOHAQ_STANDIN)

#define MOHAQ_BANK1
#define MOHAQ_BANK2
#define MOHAQ_BANK3
#define MOHAQ_TEXT0
#define MOHAQ_CONST
#define MOHAQ_DEFINE_BANKS

/* The memory of the core that this thread plays: 4 * MOHAQ_BANK_BYTES. */
extern _Thread_local unsigned char *mohaq_standin_memory;

#define MOHAQ_LOCAL(bank)                                                                     \
    ((struct mohaq_bank##bank *)(void *)(mohaq_standin_memory + MOHAQ_BANK_ORIGIN(bank)))

uint32_t mohaq_core(void);
static inline uint32_t mohaq_cores(void) { return MOHAQ_CORES; }
void *mohaq_remote(uint32_t core, void *local);
void *mohaq_dram(uint32_t offset);

/* Counters: what follows belongs to this phase (< MOHAQ_PHASES); one call of kernel id with size
 * k; one elementwise loop of a kind (< 16) over count elements. */
void mohaq_phase(uint32_t phase);
void mohaq_standin_kernel(uint32_t id, uint32_t k);
void mohaq_standin_elements(uint32_t kind, uint32_t count);
#define MOHAQ_COUNT_KERNEL(id, k) mohaq_standin_kernel((uint32_t)(id), (uint32_t)(k))
#define MOHAQ_COUNT_ELEMENTS(kind, count) mohaq_standin_elements((uint32_t)(kind), (uint32_t)(count))

#else
#error "compile with an Epiphany compiler, or with -DMOHAQ_STANDIN for the stand-in"
#endif

#endif
