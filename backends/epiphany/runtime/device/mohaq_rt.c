/* The runtime on the chip: mailbox, barrier, remote stores, DMA. Needs no library. */
#include "mohaq_rt.h"

#ifdef __epiphany__

#define MOHAQ_BANK0 __attribute__((section(".data_bank0"), aligned(8)))

/* Filled by the loader at 0x28 (mohaq_start.S, device.ldf). */
struct group {
    uint32_t objtype, chiptype, group_id, group_row, group_col, group_rows, group_cols;
    uint32_t core_row, core_col, padding;
};
extern volatile struct group mohaq_group;

typedef volatile uint32_t word;
typedef volatile uint32_t __attribute__((may_alias)) remote_word;
typedef volatile uint64_t __attribute__((may_alias)) remote_pair;
typedef const uint32_t __attribute__((may_alias)) source_word;
typedef const uint64_t __attribute__((may_alias)) source_pair;

/* Registers of this core, as words of its own memory map. */
#define DMA_CONFIG(channel) (*(word *)(0xF0500u + ((uint32_t)(channel) << 5)))
#define DMA_STATUS(channel) (*(word *)(0xF051Cu + ((uint32_t)(channel) << 5)))

enum {
    DMA_ENABLE = 1 << 0,
    DMA_MASTER = 1 << 1,
    DMA_STARTUP = 1 << 3,
    DMA_DOUBLE = 3 << 5,
    DMA_MESSAGE = 1 << 10 /* ends when the last read has returned, not when it was sent */
};

struct descriptor {
    uint32_t config, inner_stride, count, outer_stride, source, target;
};

/* All that other cores write is loaded with the program, never cleared by this core. */
volatile struct mohaq_mailbox mohaq_mailbox __attribute__((section(".mohaq_mailbox"))) = {0};
struct mohaq_place mohaq_place MOHAQ_BANK0 = {0};
static struct descriptor descriptors[2] MOHAQ_BANK0 = {{0}};
static volatile uint8_t arrived[2][(MOHAQ_CORES + 7) / 8 * 8] MOHAQ_BANK0 = {{0}};
static uint32_t barriers MOHAQ_BANK0 = 1;

#define COMPILER_FENCE() __asm__ __volatile__("" ::: "memory")

/* Called by the start-up code. */
void mohaq_find_place(void);
void mohaq_find_place(void)
{
    uint32_t id;
    uint32_t row = mohaq_group.core_row, col = mohaq_group.core_col;
    if (mohaq_group.group_rows != MOHAQ_ROWS || mohaq_group.group_cols != MOHAQ_COLS)
        mohaq_fail(MOHAQ_ERROR_GROUP, mohaq_group.group_rows << 16 | mohaq_group.group_cols);
    __asm__ __volatile__("movfs %0, coreid" : "=r"(id));
    mohaq_place.core = row * MOHAQ_COLS + col;
    mohaq_place.first = (id - (row << 6) - col) << 20;
}

int mohaq_wait_start(void)
{
    static const uint32_t full = 0xFFFFFFFFu;
    mohaq_mailbox.state = MOHAQ_WAITING;
    while (mohaq_mailbox.go == mohaq_mailbox.done) {
    }
    if (mohaq_mailbox.go == MOHAQ_STOP) {
        mohaq_mailbox.state = MOHAQ_STOPPED;
        return 0;
    }
    mohaq_mailbox.launches++;
    mohaq_mailbox.state = MOHAQ_RUNNING;
    __asm__ __volatile__("movts ctimer0, %0" ::"r"(full)); /* counts down: mohaq_start.S */
    mohaq_barrier();
    return 1;
}

void mohaq_done(void)
{
    uint32_t number = mohaq_mailbox.go, left;
    mohaq_dma_wait(0);
    mohaq_dma_wait(1);
    __asm__ __volatile__("movfs %0, ctimer0" : "=r"(left));
    mohaq_mailbox.cycles = ~left;
    mohaq_mailbox.done = number;
    ((word *)(MOHAQ_DRAM_ADDRESS + MOHAQ_FLAGS_OFFSET))[mohaq_place.core] = number;
}

void mohaq_fail(uint32_t code, uint32_t detail)
{
    mohaq_mailbox.error = code;
    mohaq_mailbox.detail = detail;
    mohaq_mailbox.state = MOHAQ_FAILED;
    for (;;)
        __asm__ __volatile__("idle");
}

/* Every core leaves a mark in every core and waits for all marks in its own memory. The mark
 * follows what the same core pushed to the same receiver, and writes between two cores keep their
 * order: so a receiver that sees the mark has the data. A tree of signals would not promise that.
 * Two sets of marks take turns: no core can be two barriers ahead. */
void mohaq_barrier(void)
{
    uint32_t count = ++barriers;
    volatile uint8_t *marks = arrived[count & 1];
    uint8_t mark = (uint8_t)(count >> 1);
    uint32_t expected = mark, at, to, row, col, i;
    COMPILER_FENCE();
    at = mohaq_place.first + (uint32_t)(marks + mohaq_place.core);
    for (row = 0; row < MOHAQ_ROWS; row++, at += 64u << 20) {
        to = at;
        for (col = 0; col + 4 <= MOHAQ_COLS; col += 4, to += 4u << 20) {
            *(volatile uint8_t *)to = mark;
            *(volatile uint8_t *)(to + (1u << 20)) = mark;
            *(volatile uint8_t *)(to + (2u << 20)) = mark;
            *(volatile uint8_t *)(to + (3u << 20)) = mark;
        }
        for (; col < MOHAQ_COLS; col++, to += 1u << 20)
            *(volatile uint8_t *)to = mark;
    }
    expected |= expected << 8;
    expected |= expected << 16;
    for (i = 0; i + 16 <= MOHAQ_CORES; i += 16) {
        remote_word *words = (remote_word *)(marks + i);
        while (((words[0] ^ expected) | (words[1] ^ expected) | (words[2] ^ expected)
                | (words[3] ^ expected))
               != 0) {
        }
    }
    for (; i < MOHAQ_CORES; i++)
        while (marks[i] != mark) {
        }
    COMPILER_FENCE();
}

void mohaq_push(uint32_t core, void *dst, const void *src, uint32_t bytes)
{
    uint32_t to = (uint32_t)mohaq_remote(core, dst), from = (uint32_t)src;
    uint32_t end = from + bytes;
    COMPILER_FENCE();
    if (((to | from | bytes) & 7) == 0) {
        /* Loads in front of the stores: a store waits for nothing, a load's user two cycles. */
        for (; end - from >= 32; from += 32, to += 32) {
            uint64_t a = ((source_pair *)from)[0], b = ((source_pair *)from)[1];
            uint64_t c = ((source_pair *)from)[2], d = ((source_pair *)from)[3];
            ((remote_pair *)to)[0] = a;
            ((remote_pair *)to)[1] = b;
            ((remote_pair *)to)[2] = c;
            ((remote_pair *)to)[3] = d;
        }
        for (; from != end; from += 8, to += 8)
            *(remote_pair *)to = *(source_pair *)from;
    } else {
        for (; end - from >= 16; from += 16, to += 16) {
            uint32_t a = ((source_word *)from)[0], b = ((source_word *)from)[1];
            uint32_t c = ((source_word *)from)[2], d = ((source_word *)from)[3];
            ((remote_word *)to)[0] = a;
            ((remote_word *)to)[1] = b;
            ((remote_word *)to)[2] = c;
            ((remote_word *)to)[3] = d;
        }
        for (; from != end; from += 4, to += 4)
            *(remote_word *)to = *(source_word *)from;
    }
}

void mohaq_dma_start(int channel, void *dst, const void *src, uint32_t bytes)
{
    struct descriptor *d = &descriptors[channel];
    if (bytes == 0)
        return;
    mohaq_dma_wait(channel);
    d->config = DMA_ENABLE | DMA_MASTER | DMA_DOUBLE;
    if (((uint32_t)dst >> 20) == 0)
        d->config |= DMA_MESSAGE;
    d->inner_stride = 8u << 16 | 8u;
    d->count = 1u << 16 | bytes >> 3;
    d->outer_stride = 8u << 16 | 8u;
    d->source = (uint32_t)src;
    d->target = (uint32_t)dst;
    COMPILER_FENCE();
    DMA_CONFIG(channel) = (uint32_t)d << 16 | DMA_STARTUP;
}

void mohaq_dma_wait(int channel)
{
    while (DMA_STATUS(channel) & 0xF) {
    }
    COMPILER_FENCE();
}

#endif
