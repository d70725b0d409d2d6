/* The stand-in as the host program sees it. */
#include "standin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STACK_BYTES (256u * 1024u) /* of a thread, not of a core */

static void *run_core(void *argument)
{
    standin_self = argument;
    mohaq_standin_memory = standin_self->memory;
    (void)mohaq_main();
    return NULL;
}

/* Only the banks' structs and the mailbox belong to the program. */
static void forbid_the_rest(unsigned char *memory)
{
    static const size_t used[4]
        = {0, sizeof(struct mohaq_bank1), sizeof(struct mohaq_bank2), sizeof(struct mohaq_bank3)};
    FORBID(memory, LOCAL_BYTES);
    for (size_t bank = 1; bank < 4; bank++)
        ALLOW(memory + MOHAQ_BANK_ORIGIN(bank), used[bank]);
    ALLOW(memory + MOHAQ_MAILBOX, sizeof(struct mohaq_mailbox));
}

static void *zeros(size_t bytes)
{
    void *memory = NULL;
    if (posix_memalign(&memory, 64, bytes) != 0)
        mohaq_die("no memory for %zu bytes", bytes);
    memset(memory, 0, bytes);
    return memory;
}

void mohaq_device_open(const char *program, uint32_t bytes)
{
    const char *push = getenv("MOHAQ_STANDIN_PUSH");
    if (program != NULL)
        mohaq_die("the stand-in has its program inside and loads none");
    if (push != NULL && strcmp(push, "late") != 0 && strcmp(push, "early") != 0)
        mohaq_die("MOHAQ_STANDIN_PUSH is 'early' or 'late', not '%s'", push);
    standin.late = push != NULL && strcmp(push, "late") == 0;
    standin.dram_bytes = bytes;
    standin.dram = zeros((size_t)bytes + 8);
    FORBID(standin.dram, (size_t)bytes + 8);
    for (uint32_t i = 0; i < MOHAQ_CORES; i++) {
        struct core *core = &standin.cores[i];
        core->index = i;
        pthread_mutex_init(&core->wake_lock, NULL);
        pthread_cond_init(&core->wake, NULL);
        core->memory = zeros(LOCAL_BYTES);
        core->last_late = &core->first_late;
        forbid_the_rest(core->memory);
    }
}

static void check_place(uint32_t offset, size_t bytes, uint32_t size)
{
    if (offset > size || bytes > size - offset)
        mohaq_die("%zu bytes at %" PRIu32 " leave a memory of %" PRIu32, bytes, offset, size);
}

void mohaq_device_write_dram(uint32_t offset, const void *from, size_t bytes)
{
    check_place(offset, bytes, standin.dram_bytes);
    pthread_mutex_lock(&standin.lock);
    standin_copy(standin.dram + offset, from, bytes);
    pthread_mutex_unlock(&standin.lock);
}

void mohaq_device_read_dram(uint32_t offset, void *to, size_t bytes)
{
    check_place(offset, bytes, standin.dram_bytes);
    pthread_mutex_lock(&standin.lock);
    standin_copy(to, standin.dram + offset, bytes);
    pthread_mutex_unlock(&standin.lock);
}

void mohaq_device_write_core(uint32_t core, uint32_t local, const void *from, size_t bytes)
{
    check_place(local, bytes, LOCAL_BYTES);
    pthread_mutex_lock(&standin.lock);
    standin_copy(standin.cores[core].memory + local, from, bytes);
    pthread_cond_broadcast(&standin.go);
    pthread_mutex_unlock(&standin.lock);
}

void mohaq_device_read_core(uint32_t core, uint32_t local, void *to, size_t bytes)
{
    check_place(local, bytes, LOCAL_BYTES);
    pthread_mutex_lock(&standin.lock);
    standin_copy(to, standin.cores[core].memory + local, bytes);
    pthread_mutex_unlock(&standin.lock);
}

void mohaq_device_start(void)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (uint32_t i = 0; i < MOHAQ_CORES; i++) {
        int error = pthread_create(&standin.cores[i].thread, &attributes, run_core,
                                   &standin.cores[i]);
        if (error != 0)
            mohaq_die("cannot start the thread of core %" PRIu32 ": %s", i, strerror(error));
    }
    pthread_attr_destroy(&attributes);
}

void mohaq_device_pause(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&standin.lock);
    pthread_cond_timedwait(&standin.host, &standin.lock, &until);
    pthread_mutex_unlock(&standin.lock);
}

void mohaq_device_close(const char *counters)
{
    for (uint32_t i = 0; i < MOHAQ_CORES; i++)
        pthread_join(standin.cores[i].thread, NULL);
    if (counters != NULL)
        standin_write_counters(counters);
    ALLOW(standin.dram, (size_t)standin.dram_bytes + 8);
    free(standin.dram);
    for (uint32_t i = 0; i < MOHAQ_CORES; i++) {
        struct core *core = &standin.cores[i];
        ALLOW(core->memory, LOCAL_BYTES);
        free(core->memory);
        pthread_cond_destroy(&core->wake);
        pthread_mutex_destroy(&core->wake_lock);
        for (uint32_t phase = 0; phase < MOHAQ_PHASES; phase++)
            free(core->phases[phase].kernels);
    }
}
