/* A device for host/main.c that is a command: CHIP_COMMAND reads and rewrites a file with the
 * content of shared DRAM, and a file with the cores' mailboxes. */
#include "mohaq_device.h"

#include "model.h"
#include "mohaq_protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char dram[MOHAQ_DRAM_WINDOW];
static struct mohaq_mailbox boxes[MOHAQ_CORES];
static uint32_t size;
static int done;

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        mohaq_die("%s is not set", name);
    return value;
}

static void exchange(const char *mode, const char *path, void *data, size_t bytes)
{
    FILE *file = fopen(path, mode);
    size_t moved = 0;
    if (file != NULL)
        moved = mode[0] == 'w' ? fwrite(data, 1, bytes, file) : fread(data, 1, bytes, file);
    if (file == NULL || moved != bytes || fclose(file) != 0)
        mohaq_die("cannot exchange '%s' with the chip", path);
}

void mohaq_device_open(const char *program, uint32_t bytes)
{
    (void)program;
    size = bytes;
}
void mohaq_device_write_dram(uint32_t offset, const void *from, size_t bytes)
{
    memcpy(dram + offset, from, bytes);
}
void mohaq_device_read_dram(uint32_t offset, void *to, size_t bytes)
{
    memcpy(to, dram + offset, bytes);
}
void mohaq_device_write_core(uint32_t core, uint32_t local, const void *from, size_t bytes)
{
    memcpy((unsigned char *)&boxes[core] + (local - MOHAQ_MAILBOX), from, bytes);
}
void mohaq_device_read_core(uint32_t core, uint32_t local, void *to, size_t bytes)
{
    memcpy(to, (unsigned char *)&boxes[core] + (local - MOHAQ_MAILBOX), bytes);
}
void mohaq_device_start(void) {}

/* The host has given its orders and waits. */
void mohaq_device_pause(void)
{
    if (done++)
        mohaq_die("the chip ended and the host still waits");
    exchange("wb", setting("CHIP_DRAM"), dram, size);
    if (system(setting("CHIP_COMMAND")) != 0)
        mohaq_die("the chip failed");
    exchange("rb", setting("CHIP_DRAM"), dram, size);
    exchange("rb", setting("CHIP_BOXES"), boxes, sizeof boxes);
}

void mohaq_device_close(const char *counters) { (void)counters; }
