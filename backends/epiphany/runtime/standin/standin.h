/* The stand-in's inside: one struct for each core, shared by runtime, device and counters. */
#ifndef MOHAQ_STANDIN_H
#define MOHAQ_STANDIN_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "mohaq_rt.h"

#include "mohaq_device.h"

#define LOCAL_BYTES (4u * MOHAQ_BANK_BYTES)
#define KINDS 16u

/* Address sanitizer: forbids memory that a core may not touch now. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(at, bytes) ASAN_POISON_MEMORY_REGION(at, bytes)
#define ALLOW(at, bytes) ASAN_UNPOISON_MEMORY_REGION(at, bytes)
#define UNCHECKED __attribute__((no_sanitize("address")))
#else
#define FORBID(at, bytes) ((void)(at), (void)(bytes))
#define ALLOW(at, bytes) ((void)(at), (void)(bytes))
#define UNCHECKED
#endif

struct transfer {
    unsigned char *target;
    const unsigned char *source;
    uint32_t bytes; /* 0: the channel is idle */
    uint64_t sum;   /* of the source when it started */
};

struct late_push { /* kept back until the next barrier */
    struct late_push *next;
    unsigned char *target;
    uint32_t bytes;
    unsigned char data[];
};

struct kernel_count {
    uint32_t id, k;
    uint64_t calls;
};

struct phase_counters {
    struct kernel_count *kernels;
    uint32_t kinds, room;
    uint64_t elements[KINDS];
    uint64_t dma_read_bytes[2], dma_reads[2], dma_write_bytes[2], dma_writes[2]; /* by channel */
    uint64_t pushes, push_bytes, push_stores, push_byte_hops;
    uint64_t barriers;
};

struct core {
    uint32_t index;
    pthread_t thread;
    pthread_mutex_t wake_lock; /* of a barrier: woken, wake */
    pthread_cond_t wake;
    int woken;
    unsigned char *memory;
    struct transfer channels[2];
    struct late_push *first_late, **last_late;
    uint32_t phase;
    struct phase_counters phases[MOHAQ_PHASES];
};

/* All of it is guarded by lock, but for what only one core touches (struct core). */
struct standin {
    pthread_mutex_t lock;
    pthread_cond_t host, go;
    uint32_t arrived, finished;
    struct core cores[MOHAQ_CORES];
    unsigned char *dram;
    uint32_t dram_bytes;
    int late; /* pushes arrive as late as they may */
};

extern struct standin standin;
extern _Thread_local struct core *standin_self;

/* Copies without the sanitizer's checks: the DMA engines and the host see all memory. */
void standin_copy(volatile unsigned char *to, const volatile unsigned char *from, size_t bytes);

/* A program's mistake: says which core, ends everything with status 2. */
void standin_mistake(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

void standin_write_counters(const char *path);

#endif
