/* What the host program needs from a device: the chip (esdk.c) or the stand-in
 * (../standin/device.c). Every function ends the program with a message and status 2 on failure. */
#ifndef MOHAQ_DEVICE_H
#define MOHAQ_DEVICE_H

#include <stddef.h>
#include <stdint.h>

/* Status 2, "mohaq: " and the message. */
void mohaq_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Opens the device, reserves BYTES of shared DRAM and loads PROGRAM (NULL: none is needed) into
 * all cores, without starting them. */
void mohaq_device_open(const char *program, uint32_t bytes);

void mohaq_device_write_dram(uint32_t offset, const void *from, size_t bytes);
void mohaq_device_read_dram(uint32_t offset, void *to, size_t bytes);
void mohaq_device_write_core(uint32_t core, uint32_t local, const void *from, size_t bytes);
void mohaq_device_read_core(uint32_t core, uint32_t local, void *to, size_t bytes);

void mohaq_device_start(void);

/* Between two looks at shared DRAM: sleeps a little, or until something happened. */
void mohaq_device_pause(void);

/* Ends the run of cores that were told to stop; writes the counters of the stand-in to a file unless COUNTERS is NULL. */
void mohaq_device_close(const char *counters);

#endif
