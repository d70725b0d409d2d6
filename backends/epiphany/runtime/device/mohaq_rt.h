/* What a core's program may use: its memory, its neighbours, shared DRAM, barriers, the host.
 *
 * Three builds: the eSDK's e-gcc and an upstream epiphany-elf-gcc (both bare: mohaq_start.S,
 * mohaq_rt.c and device.ldf replace the C start-up and e-lib), and a host compiler with
 * -DMOHAQ_STANDIN, where standin/standin.c plays the chip with threads.
 *
 * model.h (generated) gives the geometry (MOHAQ_ROWS, MOHAQ_COLS, ...), the bank addresses and
 * struct mohaq_bank1, mohaq_bank2, mohaq_bank3: everything that a core keeps between functions.
 */
#ifndef MOHAQ_RT_H
#define MOHAQ_RT_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"
#include "mohaq_protocol.h"

#define MOHAQ_CORES (MOHAQ_ROWS * MOHAQ_COLS)

_Static_assert(sizeof(struct mohaq_bank1) <= MOHAQ_BANK1_BYTES, "bank 1 overflows");
_Static_assert(sizeof(struct mohaq_bank2) <= MOHAQ_BANK2_BYTES, "bank 2 overflows");
_Static_assert(sizeof(struct mohaq_bank3) <= MOHAQ_BANK3_BYTES, "bank 3 overflows");
_Static_assert(MOHAQ_DRAM_BYTES >= MOHAQ_DRAM_FIRST, "shared DRAM begins with the done flags");

/* What the host asks for: one sequence (or one piece of it). */
struct mohaq_launch {
    uint32_t number;   /* 1, 2, ... */
    uint32_t steps;    /* time steps of this launch */
    uint32_t sequence; /* which sequence of the batch, for programs that care */
};

/* The program of a core (generated, device/main.c):
 *
 *     MOHAQ_DEFINE_BANKS
 *     void mohaq_main(void)
 *     {
 *         struct mohaq_launch launch;
 *         while (mohaq_wait_start(&launch)) { ...; mohaq_done(); }
 *     }
 */
void mohaq_main(void);

/* Waits for the host, then for all cores (one barrier). Never returns 0 on the chip; the stand-in
 * returns 0 when the host has finished. */
int mohaq_wait_start(struct mohaq_launch *launch);

/* Tells the host that this core's results are in shared DRAM. No barrier. */
void mohaq_done(void);

/* Stops this core and reports CODE (not 0) and DETAIL to the host. */
void mohaq_fail(uint32_t code, uint32_t detail) __attribute__((noreturn));

/* Waits until all cores have arrived. What a core pushed before is there for its receiver after. */
void mohaq_barrier(void);

/* Stores into the same place of another core's memory: dst is this core's address of it. Bytes go
 * in words of 8, 4 or 1, the widest that both addresses and the length allow. Arrival is certain
 * only after a barrier. */
void mohaq_push(uint32_t core, void *dst, const void *src, uint32_t bytes);

/* The same to all other cores, nearest row first. */
void mohaq_push_all(void *dst, const void *src, uint32_t bytes);

/* Starts a copy on channel 0 or 1 between this core's memory and shared DRAM, either way. Both
 * addresses and the length are multiples of 8; the length is below 512 KB. The target is
 * undefined and the source may not change until mohaq_dma_wait. Length 0 does nothing. */
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

#define MOHAQ_DEFINE_BANKS                                   \
    struct mohaq_bank1 mohaq_data_bank1 MOHAQ_BANK1 = {0}; \
    struct mohaq_bank2 mohaq_data_bank2 MOHAQ_BANK2 = {0}; \
    struct mohaq_bank3 mohaq_data_bank3 MOHAQ_BANK3 = {0};

extern struct mohaq_bank1 mohaq_data_bank1;
extern struct mohaq_bank2 mohaq_data_bank2;
extern struct mohaq_bank3 mohaq_data_bank3;

#define MOHAQ_LOCAL(bank) (&mohaq_data_##bank)

/* Written by the loader at 0x28 (see device.ldf). */
struct mohaq_group {
    uint32_t objtype, chiptype, group_id, group_row, group_col, group_rows, group_cols;
    uint32_t core_row, core_col, padding;
};
extern volatile struct mohaq_group mohaq_group;

/* This core's place in the group, kept by the start-up code. */
struct mohaq_place {
    uint32_t core;  /* row major index */
    uint32_t first; /* global address of core 0's memory */
};
extern struct mohaq_place mohaq_place;

static inline uint32_t mohaq_core(void) { return mohaq_place.core; }
static inline uint32_t mohaq_cores(void) { return MOHAQ_CORES; }

/* Row and column without a division: meshes are powers of two wide. */
_Static_assert((MOHAQ_COLS & (MOHAQ_COLS - 1)) == 0, "columns are a power of two");

static inline void *mohaq_remote(uint32_t core, void *local)
{
    uint32_t row = core / MOHAQ_COLS, col = core % MOHAQ_COLS;
    return (void *)(mohaq_place.first + (row << 26) + (col << 20) + (uint32_t)local);
}

static inline void *mohaq_dram(uint32_t offset) { return (void *)(MOHAQ_DRAM_BASE + offset); }

#define MOHAQ_LAYER(number) ((void)0)
#define MOHAQ_COUNT_KERNEL(name, k) ((void)0)
#define MOHAQ_COUNT_ELEMENTS(kind, count) ((void)0)

/* ---------------------------------------------------------------- the stand-in */
#elif defined(MOHAQ_STANDIN)

#define MOHAQ_BANK1
#define MOHAQ_BANK2
#define MOHAQ_BANK3
#define MOHAQ_TEXT0
#define MOHAQ_DEFINE_BANKS

/* This core's memory, MOHAQ_LOCAL_BYTES long. */
extern _Thread_local unsigned char *mohaq_standin_memory;

#define MOHAQ_LOCAL_ORIGIN_bank1 MOHAQ_BANK1_ORIGIN
#define MOHAQ_LOCAL_ORIGIN_bank2 MOHAQ_BANK2_ORIGIN
#define MOHAQ_LOCAL_ORIGIN_bank3 MOHAQ_BANK3_ORIGIN
#define MOHAQ_LOCAL(bank) \
    ((struct mohaq_##bank *)(void *)(mohaq_standin_memory + MOHAQ_LOCAL_ORIGIN_##bank))

uint32_t mohaq_core(void);
static inline uint32_t mohaq_cores(void) { return MOHAQ_CORES; }
void *mohaq_remote(uint32_t core, void *local);
void *mohaq_dram(uint32_t offset);

/* Counters: what follows belongs to layer NUMBER; one call of kernel NAME (a string) with size K;
 * COUNT elements of an elementwise loop KIND (a string). */
void mohaq_standin_layer(uint32_t number);
void mohaq_standin_count(const char *kind, const char *name, uint32_t size, uint32_t count);
#define MOHAQ_LAYER(number) mohaq_standin_layer(number)
#define MOHAQ_COUNT_KERNEL(name, k) mohaq_standin_count("kernel", name, (uint32_t)(k), 1)
#define MOHAQ_COUNT_ELEMENTS(kind, count) \
    mohaq_standin_count("elements", kind, (uint32_t)(count), 1)

#else
#error "compile with an Epiphany compiler, or with -DMOHAQ_STANDIN for the stand-in"
#endif

#endif
