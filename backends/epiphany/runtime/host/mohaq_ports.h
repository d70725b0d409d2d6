/* How the arrays of a program lie in shared DRAM. */
#ifndef MOHAQ_PORTS_H
#define MOHAQ_PORTS_H

#include <stdint.h>

struct mohaq_port {
    const char *name;
    uint32_t rows;     /* rows of a sequence; 0: one for each time step */
    uint32_t channels; /* elements of a row */
    uint32_t bytes;    /* of an element in DRAM: 1, 2, 4 or 8, little endian */
    int is_signed;
    uint32_t bits;   /* values fit this width */
    uint32_t offset; /* of the first row in shared DRAM */
    uint32_t pitch;  /* from row to row, in bytes */
};

#endif
