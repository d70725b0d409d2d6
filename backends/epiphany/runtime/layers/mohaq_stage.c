/* Runs stages: fetches columns and pushes them to all cores, multiplies, walks over the steps. */
#include "mohaq_stage.h"

/* Start of a plane in shared memory, for sequence b where each has its own. */
static uint32_t plane_start(uint32_t plane, uint32_t frames, uint32_t batch, uint32_t b)
{
    const uint32_t quads = (frames + 3u) / 4u;
    uint32_t at = MOHAQ_WEIGHTS_OFFSET + MOHAQ_WEIGHTS_BYTES;
    for (uint32_t p = 0; p <= plane; p++) {
        const struct mohaq_plane *const one = &mohaq_planes[p];
        const uint32_t size = (one->sequence ? quads : 1u) * one->columns * 8u;
        at += p < plane ? size * (one->batched ? batch : 1u) : one->batched ? size * b : 0u;
    }
    return at;
}

/* Row blocks `first` .. of a tile: the weights at w, the tile at x. */
static void call_kernels(const struct mohaq_stage *stage, const struct mohaq_product *p,
                         const uint8_t *w, uint32_t first, uint32_t blocks, uint32_t width,
                         uint32_t quads, const int32_t *x)
{
    const uint32_t size = (width << (p->id & 3u)) << (p->id < 4u);
    uint32_t *const sums = mohaq_local(p->sums);
    for (uint32_t i = 0; i < blocks; i++)
        if (p->id < 4u) {
            p->kernel(w + i * size, x, sums + (first + i) * 8u, width);
            MOHAQ_COUNT_KERNEL(p->id, width);
        } else
            for (uint32_t q = 0; q < quads; q++) {
                p->kernel(w + i * size, x + q * width * 4u,
                          sums + ((first + i) * stage->quads + q) * 16u, width);
                MOHAQ_COUNT_KERNEL(p->id, width);
            }
}

/* Sums of a tile to the 64-bit sums. */
static void flush(const struct mohaq_stage *stage, const struct mohaq_product *p, uint32_t quads)
{
    uint32_t *const sums = mohaq_local(p->sums);
    int64_t *const wide = mohaq_local(p->wide);
    const uint32_t spare = p->rows;
    if (p->id < 4u) {
        for (uint32_t row = 0; row < p->rows; row++)
            wide[row] += (int32_t)(sums[row] - sums[spare]);
        for (uint32_t i = 0; i < p->blocks * 8u; i++)
            sums[i] = 0;
        MOHAQ_COUNT_ELEMENTS(MOHAQ_FLUSH, p->rows);
        return;
    }
    for (uint32_t row = 0; row < p->rows; row++)
        for (uint32_t q = 0; q < quads; q++)
            for (uint32_t s = 0; s < 4u; s++) {
                const uint32_t at = mohaq_at4(row, q, s, stage->quads);
                wide[at] += (int32_t)(sums[at] - sums[mohaq_at4(spare, q, s, stage->quads)]);
            }
    for (uint32_t i = 0; i < p->blocks * stage->quads * 16u; i++)
        sums[i] = 0;
    MOHAQ_COUNT_ELEMENTS(MOHAQ_FLUSH, p->rows * quads * 4u);
}

/* One tile of a product: weights `from` bytes into this core's. Streamed weights come in chunks of
 * row blocks into two buffers in turn, the next one while a chunk is used. */
static void multiply(const struct mohaq_stage *stage, const struct mohaq_product *p, uint32_t core,
                     uint32_t from, uint32_t width, uint32_t quads, const int32_t *x)
{
    const uint32_t size = (width << (p->id & 3u)) << (p->id < 4u);
    if (p->local) {
        call_kernels(stage, p, (const uint8_t *)mohaq_local(p->local) + from, 0, p->blocks, width,
                     quads, x);
    } else {
        uint32_t left = p->blocks, blocks = left < p->at_once ? left : p->at_once, turn = 0;
        uint32_t at = MOHAQ_WEIGHTS_OFFSET + p->weights + core * p->stride + from;
        mohaq_dma_start(0, mohaq_local(stage->weights0), mohaq_dram(at), blocks * size);
        while (left) {
            uint8_t *const w = mohaq_local(turn & 1u ? stage->weights1 : stage->weights0);
            uint8_t *const other = mohaq_local(turn & 1u ? stage->weights0 : stage->weights1);
            const uint32_t now = blocks, first = p->blocks - left;
            left -= now;
            at += now * size;
            blocks = left < p->at_once ? left : p->at_once;
            mohaq_dma_wait(0);
            mohaq_dma_start(0, other, mohaq_dram(at), blocks * size);
            call_kernels(stage, p, w, first, now, width, quads, x);
            turn++;
        }
    }
    if (p->wide)
        flush(stage, p, quads);
}

static void clear_sums(const struct mohaq_stage *stage, const struct mohaq_product *p)
{
    const uint32_t count = p->blocks * (p->id < 4u ? 8u : stage->quads * 16u);
    uint32_t *const sums = mohaq_local(p->sums);
    for (uint32_t i = 0; i < count; i++)
        sums[i] = 0;
    if (p->wide) {
        int64_t *const wide = mohaq_local(p->wide);
        for (uint32_t i = 0; i < count; i++)
            wide[i] = 0;
    }
}

/* This core's share of a tile: read, widened, pushed to all cores that work. */
static void gather(const struct mohaq_stage *stage, const struct mohaq_piece *piece, uint32_t core,
                   uint32_t from, uint32_t tile, uint32_t quads)
{
    const uint32_t real = tile + 1u < piece->tiles ? piece->width : piece->last;
    const uint32_t share = piece->share, first = core * share;
    const uint32_t left = first < real ? real - first : 0u, mine = left < share ? left : share;
    int32_t *const x = (int32_t *)mohaq_local(stage->operand) + first * 4u;
    int16_t *const raw = mohaq_local(stage->share);
    if (mine == 0)
        return;
    for (uint32_t q = 0; q < quads; q++)
        mohaq_dma_start(1, raw + q * share * 4u,
                        mohaq_dram(from + (q * piece->columns + tile * piece->width + first) * 8u),
                        mine * 8u);
    mohaq_dma_wait(1);
    for (uint32_t q = 0; q < quads; q++)
        piece->convert(x + q * piece->width * 4u, raw + q * share * 4u, mine * 4u, piece->k);
    MOHAQ_COUNT_ELEMENTS(MOHAQ_CONVERT, quads * mine * 4u);
    for (uint32_t to = 0; to < stage->active; to++)
        if (to != core)
            for (uint32_t q = 0; q < quads; q++) {
                int32_t *const here = x + q * piece->width * 4u;
                mohaq_push(to, here, here, mine * 16u);
            }
}

int32_t *mohaq_mine(const struct mohaq_stage *stage, uint32_t exchange, uint32_t core,
                    uint32_t parity)
{
    const struct mohaq_exchange *const e = &stage->all_exchanges[exchange];
    return (int32_t *)mohaq_local(e->place) + parity * e->columns + core * e->segment;
}

void mohaq_give(const struct mohaq_stage *stage, uint32_t exchange, uint32_t core, uint32_t parity)
{
    const struct mohaq_exchange *const e = &stage->all_exchanges[exchange];
    int32_t *const mine = mohaq_mine(stage, exchange, core, parity);
    if (core < e->active)
        for (uint32_t to = 0; to < stage->active; to++)
            if (to != core)
                mohaq_push(to, mine, mine, e->segment * 4u);
}

void mohaq_take(const struct mohaq_stage *stage, uint32_t product, uint32_t core, uint32_t parity)
{
    const struct mohaq_product *const p = &stage->all_products[product];
    const int32_t *const x = mohaq_mine(stage, p->source, 0, parity);
    const uint32_t tile_bytes = p->blocks * ((p->width << (p->id & 3u)) << 1u);
    if (core >= p->active)
        return;
    clear_sums(stage, p);
    for (uint32_t tile = 0; tile < p->tiles; tile++)
        multiply(stage, p, core, tile * tile_bytes, p->width, 1, x + tile * p->width);
}

/* Products over the steps of a block, operand by operand. */
static void products(const struct mohaq_stage *stage, uint32_t core, uint32_t frames,
                     uint32_t batch, uint32_t b, uint32_t first, uint32_t quads)
{
    for (uint32_t n = 0; n < stage->products; n++)
        if (stage->all_products[n].id >= 4u)
            clear_sums(stage, &stage->all_products[n]);
    for (uint32_t o = 0; o < stage->operands; o++) {
        uint32_t before = 0; /* columns of earlier tiles */
        for (uint32_t i = 0; i < stage->all_operands[o].pieces; i++) {
            const struct mohaq_piece *const piece = &stage->all_operands[o].piece[i];
            const uint32_t from =
                plane_start(piece->plane, frames, batch, b) + first * piece->columns * 8u;
            for (uint32_t tile = 0; tile < piece->tiles; tile++) {
                mohaq_barrier();
                gather(stage, piece, core, from, tile, quads);
                mohaq_barrier();
                for (uint32_t n = 0; n < stage->products; n++) {
                    const struct mohaq_product *const p = &stage->all_products[n];
                    if (p->id >= 4u && p->source == o && core < p->active)
                        multiply(stage, p, core, p->blocks * (before << (p->id & 3u)), piece->width,
                                 quads, mohaq_local(stage->operand));
                }
                before += piece->width;
            }
        }
    }
}

static uint32_t own_units(const struct mohaq_move *m, uint32_t core, uint32_t start, uint32_t quad)
{
    return start + (quad * m->columns + core * m->segment + m->first) * 8u;
}

static void fetch(const struct mohaq_move *m, uint32_t core, uint32_t start, uint32_t first,
                  uint32_t quads)
{
    int16_t *const own = mohaq_local(m->place);
    if (core >= m->active)
        return;
    for (uint32_t q = 0; q < quads; q++) {
        int16_t *const here = own + q * m->count * 4u;
        if (!m->table) {
            mohaq_dma_start(1, here, mohaq_dram(own_units(m, core, start, first + q)),
                            m->count * 8u);
        } else {
            const uint32_t *const columns = mohaq_local(m->table);
            for (uint32_t j = 0; j < m->count; j++)
                mohaq_dma_start(1, here + j * 4u,
                                mohaq_dram(start + ((first + q) * m->columns + columns[j]) * 8u),
                                8);
        }
    }
    mohaq_dma_wait(1);
}

/* A state from or to shared memory. */
static void carry(const struct mohaq_stage *stage, const struct mohaq_move *m, uint32_t core,
                  uint32_t start, int in)
{
    int16_t *const held = mohaq_local(stage->carry);
    int32_t *const state = mohaq_local(m->place);
    const uint32_t there = own_units(m, core, start, 0);
    if (core >= m->active)
        return;
    if (in) {
        mohaq_dma_start(1, held, mohaq_dram(there), m->count * 8u);
        mohaq_dma_wait(1);
        for (uint32_t j = 0; j < m->count; j++)
            state[j] = held[4u * j];
    } else {
        for (uint32_t j = 0; j < m->count * 4u; j++)
            held[j] = j & 3u ? 0 : (int16_t)state[j >> 2];
        mohaq_dma_start(1, mohaq_dram(there), held, m->count * 8u);
        mohaq_dma_wait(1);
    }
}

/* States, vectors and the zeros that pad tiles. */
static void begin(const struct mohaq_stage *stage, uint32_t core, uint32_t frames, uint32_t batch,
                  uint32_t b)
{
    int32_t *const operand = mohaq_local(stage->operand);
    for (uint32_t n = 0; n < stage->states; n++) {
        int32_t *const state = mohaq_local(stage->all_states[n].place);
        for (uint32_t j = 0; j < stage->all_states[n].count; j++)
            state[j] = 0;
    }
    mohaq_phase(0);
    for (uint32_t n = 0; n < stage->starts; n++) {
        const struct mohaq_move *const m = &stage->all_starts[n];
        carry(stage, m, core, plane_start(m->plane, frames, batch, b), 1);
    }
    mohaq_phase(stage->phase);
    if (core < stage->active && stage->vector_bytes) {
        mohaq_dma_start(1, mohaq_local(stage->vector_place),
                        mohaq_dram(MOHAQ_WEIGHTS_OFFSET + stage->vectors
                                   + core * stage->vector_bytes),
                        stage->vector_bytes);
        mohaq_dma_wait(1);
    }
    for (uint32_t i = 0; i < stage->operand_words; i++)
        operand[i] = 0;
    for (uint32_t n = 0; n < stage->exchanges; n++) {
        const struct mohaq_exchange *const e = &stage->all_exchanges[n];
        int32_t *const all = mohaq_local(e->place);
        for (uint32_t i = e->real; i < e->columns; i++)
            all[i] = all[e->columns + i] = 0;
    }
    if (stage->operands == 0)
        mohaq_barrier();
}

void mohaq_load_stage(const struct mohaq_stage *stage)
{
    const uint32_t core = mohaq_core();
    for (uint32_t n = 0; n < stage->products; n++) {
        const struct mohaq_product *const p = &stage->all_products[n];
        if (p->local && core < p->active) {
            const uint32_t at = MOHAQ_WEIGHTS_OFFSET + p->weights + core * p->stride;
            mohaq_dma_start(0, mohaq_local(p->local), mohaq_dram(at), p->stride);
            mohaq_dma_wait(0);
        }
    }
}

void mohaq_run_stage(const struct mohaq_stage *stage, uint32_t frames, uint32_t batch, uint32_t b)
{
    const uint32_t core = mohaq_core(), all_quads = (frames + 3u) / 4u;
    uint32_t parity = 0, done = 0;
    begin(stage, core, frames, batch, b);
    while (done < all_quads) {
        const uint32_t rest = all_quads - done;
        /* Last step first: the first block is the short one. Quads are a power of two. */
        const uint32_t odd = stage->reverse && done == 0 ? all_quads & (stage->quads - 1u) : 0u;
        const uint32_t most = odd ? odd : stage->quads, quads = rest < most ? rest : most;
        const uint32_t first = stage->reverse ? rest - quads : done;
        const uint32_t end = frames - first * 4u, steps = end < quads * 4u ? end : quads * 4u;
        products(stage, core, frames, batch, b, first, quads);
        for (uint32_t n = 0; n < stage->fetches; n++) {
            const struct mohaq_move *const m = &stage->all_fetches[n];
            fetch(m, core, plane_start(m->plane, frames, batch, b), first, quads);
        }
        for (uint32_t n = 0; n < steps; n++) {
            const uint32_t t = stage->reverse ? steps - 1u - n : n;
            stage->cell(stage, core, t / 4u, t % 4u, parity);
            parity ^= 1u;
        }
        for (uint32_t n = 0; n < stage->outputs; n++) {
            const struct mohaq_move *const m = &stage->all_outputs[n];
            const uint32_t start = plane_start(m->plane, frames, batch, b);
            for (uint32_t q = 0; core < m->active && q < quads; q++)
                mohaq_dma_start(1, mohaq_dram(own_units(m, core, start, first + q)),
                                (int16_t *)mohaq_local(m->place) + q * m->count * 4u,
                                m->count * 8u);
        }
        mohaq_dma_wait(1);
        done += quads;
    }
    mohaq_phase(0);
    for (uint32_t n = 0; n < stage->ends; n++) {
        const struct mohaq_move *const m = &stage->all_ends[n];
        carry(stage, m, core, plane_start(m->plane, frames, batch, b), 0);
    }
}
