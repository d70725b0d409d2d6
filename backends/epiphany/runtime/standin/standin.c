/* Plays the chip: every core is a thread with a memory of its own.
 *
 * Stricter than the chip where a mistake would show only sometimes there: a DMA's target holds
 * rubbish until the wait, its source may not change before; addresses and lengths are checked;
 * with MOHAQ_STANDIN_PUSH=late pushed data arrive at the barrier, not before. Thread sanitizer
 * finds missing barriers, address sanitizer reads before a DMA's wait and accesses of shared DRAM
 * that are no DMA.
 */
#include "standin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUBBISH 0xA5

_Thread_local unsigned char *mohaq_standin_memory;
_Thread_local struct core *standin_self;

struct standin standin = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .host = PTHREAD_COND_INITIALIZER,
    .go = PTHREAD_COND_INITIALIZER,
};

void standin_mistake(const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    if (standin_self != NULL)
        fprintf(stderr, "mohaq: core %u: ", (unsigned)standin_self->index);
    else
        fprintf(stderr, "mohaq: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    fflush(stderr);
    _exit(2); /* other cores still run: no handlers */
}

UNCHECKED void standin_copy(volatile unsigned char *to, const volatile unsigned char *from,
                            size_t bytes)
{
    while (bytes-- > 0)
        *to++ = *from++;
}

UNCHECKED static uint64_t sum_of(const volatile unsigned char *at, uint32_t bytes)
{
    uint64_t sum = 14695981039346656037u; /* FNV-1a */
    while (bytes-- > 0)
        sum = (sum ^ *at++) * 1099511628211u;
    return sum;
}

UNCHECKED static int all_rubbish(const volatile unsigned char *at, uint32_t bytes)
{
    while (bytes-- > 0)
        if (*at++ != RUBBISH)
            return 0;
    return 1;
}

UNCHECKED static void fill_with_rubbish(volatile unsigned char *at, uint32_t bytes)
{
    while (bytes-- > 0)
        *at++ = RUBBISH;
}

/* ---------------------------------------------------------------- addresses */

uint32_t mohaq_core(void) { return standin_self->index; }

static int within(const void *at, uint64_t bytes, const unsigned char *memory, uint64_t size)
{
    uintptr_t first = (uintptr_t)memory, place = (uintptr_t)at;
    return place >= first && place - first <= size && bytes <= size - (place - first);
}

void *mohaq_remote(uint32_t core, void *local)
{
    if (core >= MOHAQ_CORES)
        standin_mistake("there is no core %u", (unsigned)core);
    if (!within(local, 1, standin_self->memory, LOCAL_BYTES))
        standin_mistake("a remote address is made of an address outside this core's memory");
    return standin.cores[core].memory + ((unsigned char *)local - standin_self->memory);
}

void *mohaq_dram(uint32_t offset)
{
    if (offset > standin.dram_bytes)
        standin_mistake("offset %u leaves the shared DRAM of %u bytes", (unsigned)offset,
                        (unsigned)standin.dram_bytes);
    return standin.dram + offset;
}

/* ---------------------------------------------------------------- DMA */

static struct transfer *channel_of(int channel)
{
    if (channel != 0 && channel != 1)
        standin_mistake("there is no DMA channel %d", channel);
    return &standin_self->channels[channel];
}

static int overlaps_flags(uint32_t offset, uint32_t bytes)
{
    return offset < MOHAQ_FLAGS_OFFSET + 4u * MOHAQ_CORES && offset + bytes > MOHAQ_FLAGS_OFFSET;
}

void mohaq_dma_start(int channel, void *dst, const void *src, uint32_t bytes)
{
    struct transfer *t = channel_of(channel);
    struct phase_counters *counters = &standin_self->phases[standin_self->phase];
    int reads = within(src, bytes, standin.dram, standin.dram_bytes);
    int writes = within(dst, bytes, standin.dram, standin.dram_bytes);
    if (bytes == 0)
        return;
    mohaq_dma_wait(channel);
    if (((uintptr_t)dst | (uintptr_t)src | bytes) & 7)
        standin_mistake("DMA of %u bytes: addresses and length are multiples of 8",
                        (unsigned)bytes);
    if (bytes >> 3 > 0xFFFF)
        standin_mistake("DMA of %u bytes: a descriptor counts to 65535 words", (unsigned)bytes);
    if (reads == writes || !within(reads ? dst : src, bytes, standin_self->memory, LOCAL_BYTES))
        standin_mistake("DMA of %u bytes: one end is this core's memory, the other shared DRAM",
                        (unsigned)bytes);
    if (writes && (unsigned char *)dst - standin.dram < (ptrdiff_t)MOHAQ_JOB_BYTES)
        standin_mistake("DMA writes over the job block");
    if (reads && overlaps_flags((uint32_t)((const unsigned char *)src - standin.dram), bytes))
        standin_mistake("DMA reads the done flags, which change at any time");
    if (reads) {
        counters->dma_reads[channel]++;
        counters->dma_read_bytes[channel] += bytes;
    } else {
        counters->dma_writes[channel]++;
        counters->dma_write_bytes[channel] += bytes;
    }
    t->target = dst;
    t->source = src;
    t->bytes = bytes;
    t->sum = sum_of(src, bytes);
    fill_with_rubbish(dst, bytes);
    FORBID(dst, bytes);
}

void mohaq_dma_wait(int channel)
{
    struct transfer *t = channel_of(channel);
    if (t->bytes == 0)
        return;
    if (sum_of(t->source, t->bytes) != t->sum)
        standin_mistake("the source of a DMA on channel %d changed before its wait", channel);
    if (!all_rubbish(t->target, t->bytes))
        standin_mistake("the target of a DMA on channel %d was written before its wait", channel);
    standin_copy(t->target, t->source, t->bytes);
    if (!within(t->target, t->bytes, standin.dram, standin.dram_bytes))
        ALLOW(t->target, t->bytes);
    t->bytes = 0;
}

/* ---------------------------------------------------------------- mesh */

static uint32_t distance(uint32_t a, uint32_t b) { return a > b ? a - b : b - a; }

void mohaq_push(uint32_t core, void *dst, const void *src, uint32_t bytes)
{
    struct phase_counters *counters = &standin_self->phases[standin_self->phase];
    uint32_t own = standin_self->index, hops;
    uint64_t bits = (uintptr_t)dst | (uintptr_t)src | bytes;
    unsigned char *target = mohaq_remote(core, dst);
    if (core == own)
        standin_mistake("a core does not push to itself");
    if (bits & 3)
        standin_mistake("a push of %u bytes: addresses and length are multiples of 4",
                        (unsigned)bytes);
    if (!within(dst, bytes, standin_self->memory, LOCAL_BYTES))
        standin_mistake("a push of %u bytes leaves the memory", (unsigned)bytes);
    hops = distance(core / MOHAQ_COLS, own / MOHAQ_COLS)
           + distance(core % MOHAQ_COLS, own % MOHAQ_COLS);
    counters->pushes++;
    counters->push_bytes += bytes;
    counters->push_stores += bytes / ((bits & 7) == 0 ? 8 : 4);
    counters->push_byte_hops += (uint64_t)bytes * hops;
    if (standin.late) {
        struct late_push *late = malloc(sizeof *late + bytes);
        if (late == NULL)
            standin_mistake("out of memory");
        late->next = NULL;
        late->target = target;
        late->bytes = bytes;
        memcpy(late->data, src, bytes);
        *standin_self->last_late = late;
        standin_self->last_late = &late->next;
    } else {
        memcpy(target, src, bytes);
    }
}

static void deliver_late_pushes(void)
{
    struct late_push *late = standin_self->first_late;
    while (late != NULL) {
        struct late_push *next = late->next;
        memcpy(late->target, late->data, late->bytes);
        free(late);
        late = next;
    }
    standin_self->first_late = NULL;
    standin_self->last_late = &standin_self->first_late;
}

static volatile struct mohaq_mailbox *mailbox_of(struct core *core)
{
    return (volatile struct mohaq_mailbox *)(void *)(core->memory + MOHAQ_MAILBOX);
}

/* With the lock: the others have finished the launch that some at the barrier are still in. */
static void check_deadlock(void)
{
    uint32_t launch = mailbox_of(standin_self)->go, finished = 0;
    if (standin.arrived == 0 || standin.finished == 0)
        return;
    for (uint32_t i = 0; i < MOHAQ_CORES; i++)
        finished += mailbox_of(&standin.cores[i])->done == launch;
    if (finished > 0 && standin.arrived + finished == MOHAQ_CORES)
        standin_mistake("%u cores wait at a barrier that %u others never reach",
                        (unsigned)standin.arrived, (unsigned)finished);
}

/* Each core is woken through a lock of its own, so that thread sanitizer sees the order that this
 * barrier makes and no more. */
static void barrier(uint32_t phase)
{
    struct core *self = standin_self;
    int last;
    self->phases[phase].barriers++;
    deliver_late_pushes();
    pthread_mutex_lock(&standin.lock);
    last = ++standin.arrived == MOHAQ_CORES;
    if (last)
        standin.arrived = 0;
    else
        check_deadlock();
    pthread_mutex_unlock(&standin.lock);
    for (uint32_t i = 0; last && i < MOHAQ_CORES; i++) {
        struct core *other = &standin.cores[i];
        if (other == self)
            continue;
        pthread_mutex_lock(&other->wake_lock);
        other->woken = 1;
        pthread_cond_signal(&other->wake);
        pthread_mutex_unlock(&other->wake_lock);
    }
    if (last)
        return;
    pthread_mutex_lock(&self->wake_lock);
    while (!self->woken)
        pthread_cond_wait(&self->wake, &self->wake_lock);
    self->woken = 0;
    pthread_mutex_unlock(&self->wake_lock);
}

void mohaq_barrier(void) { barrier(standin_self->phase); }

/* ---------------------------------------------------------------- the host's orders */

int mohaq_wait_start(void)
{
    volatile struct mohaq_mailbox *box = mailbox_of(standin_self);
    int stop;
    pthread_mutex_lock(&standin.lock);
    box->state = MOHAQ_WAITING;
    while (box->go == box->done)
        pthread_cond_wait(&standin.go, &standin.lock);
    stop = box->go == MOHAQ_STOP;
    if (!stop)
        standin.finished -= box->launches++ > 0;
    box->state = stop ? MOHAQ_STOPPED : MOHAQ_RUNNING;
    pthread_mutex_unlock(&standin.lock);
    if (stop)
        return 0;
    barrier(0);
    return 1;
}

void mohaq_done(void)
{
    volatile struct mohaq_mailbox *box = mailbox_of(standin_self);
    uint32_t number;
    mohaq_dma_wait(0);
    mohaq_dma_wait(1);
    if (standin_self->first_late != NULL)
        standin_mistake("data pushed after the last barrier may never be seen");
    pthread_mutex_lock(&standin.lock);
    number = box->go;
    box->done = number;
    standin.finished++;
    check_deadlock();
    standin_copy(standin.dram + MOHAQ_FLAGS_OFFSET + 4 * standin_self->index,
                 (const unsigned char *)&number, sizeof number);
    pthread_cond_signal(&standin.host);
    pthread_mutex_unlock(&standin.lock);
}

void mohaq_fail(uint32_t code, uint32_t detail)
{
    volatile struct mohaq_mailbox *box = mailbox_of(standin_self);
    pthread_mutex_lock(&standin.lock);
    box->error = code;
    box->detail = detail;
    box->state = MOHAQ_FAILED;
    pthread_cond_signal(&standin.host);
    pthread_mutex_unlock(&standin.lock);
    pthread_exit(NULL);
}

/* ---------------------------------------------------------------- counters */

void mohaq_phase(uint32_t phase)
{
    if (phase >= MOHAQ_PHASES)
        standin_mistake("phase %u of %u", (unsigned)phase, (unsigned)MOHAQ_PHASES);
    standin_self->phase = phase;
}

void mohaq_standin_kernel(uint32_t id, uint32_t k)
{
    struct phase_counters *counters = &standin_self->phases[standin_self->phase];
    struct kernel_count *found = counters->kernels, *end = found + counters->kinds;
    while (found != end && (found->id != id || found->k != k))
        found++;
    if (found == end) {
        if (counters->kinds == counters->room) {
            counters->room = counters->room == 0 ? 8 : 2 * counters->room;
            counters->kernels
                = realloc(counters->kernels, counters->room * sizeof *counters->kernels);
            if (counters->kernels == NULL)
                standin_mistake("out of memory");
        }
        found = &counters->kernels[counters->kinds++];
        found->id = id;
        found->k = k;
        found->calls = 0;
    }
    found->calls++;
}

void mohaq_standin_elements(uint32_t kind, uint32_t count)
{
    if (kind >= KINDS)
        standin_mistake("kind %u of elementwise loops, %u are counted", (unsigned)kind, KINDS);
    standin_self->phases[standin_self->phase].elements[kind] += count;
}
