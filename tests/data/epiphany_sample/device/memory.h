#ifndef SAMPLE_MEMORY_H
#define SAMPLE_MEMORY_H

struct mohaq_bank1 {
    int8_t w[4][UNITS];
};

struct mohaq_bank2 {
    int16_t h[2][UNITS]; /* read one, push into the other */
};

struct mohaq_bank3 {
    int16_t x[4];
    int16_t mine[4];
    uint32_t job[2];
};

#endif
