"""The generated headers: model.h, memory.h, layers.h, and tables.c."""

from __future__ import annotations

from collections.abc import Iterator

from mohaq.backends.epiphany.counters import ELEMENT_KINDS, KERNELS
from mohaq.backends.epiphany.emit.names import Unit, vector_name
from mohaq.backends.epiphany.lowering.nodes import Plane
from mohaq.backends.epiphany.plan.memory import Field
from mohaq.backends.epiphany.plan.shapes import WORD, padded, vector_bytes
from mohaq.compiler.dialects.types import shape_of

FLAG_BYTES, FLAGS = 4, 64


def job_bytes(cores: int) -> int:
    """Bytes of the job block: two words, and a flag of each core from byte 64 on."""
    return padded(FLAGS + FLAG_BYTES * cores, WORD)


def model_header(unit: Unit) -> str:
    """Geometry, places in shared memory and ports."""
    return "\n".join(_model(unit)) + "\n"


def _model(unit: Unit) -> Iterator[str]:
    m, staged = unit.machine, unit.staged
    first = m.whole("first_row") * 64 + m.whole("first_column")
    job = job_bytes(m.cores)
    yield "/* What host and cores know of the network: generated. */"
    yield "#ifndef MOHAQ_MODEL_H\n#define MOHAQ_MODEL_H\n\n#include <stdint.h>\n"
    for name, value in (
        ("ROWS", m.whole("rows")),
        ("COLS", m.whole("columns")),
        ("CORES", m.cores),
        ("FIRST_CORE", f"0x{first:03x}"),
        ("BANK_BYTES", m.bank_bytes),
        ("CODE_BYTES", m.whole("code_bytes")),
        ("PHASES", 1 + len(unit.layers())),
        ("JOB_BYTES", job),
        ("WEIGHTS_OFFSET", job),
        ("WEIGHTS_BYTES", len(unit.blob.data)),
        ("INPUTS", len(staged.inputs)),
        ("OUTPUTS", len(staged.outputs)),
        ("PLANES", len(staged.planes)),
    ):
        yield f"#define MOHAQ_{name} {value}"
    yield ""
    yield "/* Phases of counters: 0 is everything outside of layers."
    for number, layer in enumerate(unit.layers()):
        yield f" * {number + 1}: {''.join(c if c.isalnum() or c in '._-' else '_' for c in layer)}"
    yield " */\n"
    yield "enum mohaq_kernel {"
    yield from (f"    MOHAQ_{name.upper()}," for name in KERNELS)
    yield "};\n"
    yield "enum mohaq_element {"
    yield from (f"    MOHAQ_{name.upper()}," for name in ELEMENT_KINDS)
    yield "};\n"
    yield from _planes(staged.planes)
    yield from _ports(unit)
    yield "#endif"


def _planes(planes: list[Plane]) -> Iterator[str]:
    yield "/* Planes of shared memory, one behind the other: [sequence][four steps][column][step],"
    yield " * 16-bit integers. Columns lie core by core. */"
    yield "struct mohaq_plane {"
    yield "    uint32_t columns;"
    yield "    uint32_t sequence; /* 1: all steps; 0: a single one */"
    yield "    uint32_t batched;  /* 1: a copy for each sequence */"
    yield "};\n"
    yield "static const struct mohaq_plane mohaq_planes[MOHAQ_PLANES] = {"
    for plane in planes:
        s = plane.split
        yield (
            f"    {{{s.columns}u, {int(plane.sequence)}u, {int(plane.batched)}u}}, "
            f"/* {''.join(c if c.isalnum() or c in ' ._-' else '_' for c in plane.name)}: "
            f"{s.groups} x {s.units} channels, {s.per_core} units a core */"
        )
    yield "};\n"


PLANE_CODE = """\
static inline uint64_t mohaq_plane_bytes(uint32_t plane, uint64_t frames)
{
    return (mohaq_planes[plane].sequence ? (frames + 3) / 4 : 1) * mohaq_planes[plane].columns * 8;
}

static inline uint64_t mohaq_plane_offset(uint32_t plane, uint64_t frames, uint64_t batch)
{
    uint64_t at = (uint64_t)MOHAQ_WEIGHTS_OFFSET + MOHAQ_WEIGHTS_BYTES;
    for (uint32_t p = 0; p < plane; p++)
        at += mohaq_plane_bytes(p, frames) * (mohaq_planes[p].batched ? batch : 1);
    return at;
}

static inline uint64_t mohaq_dram_bytes(uint32_t frames, uint32_t batch)
{
    return mohaq_plane_offset(MOHAQ_PLANES, frames, batch);
}

struct mohaq_port {
    const char *name;
    uint32_t plane, steps, depth, channels, units, per_core, segment;
};

/* Where element c of row t (a step, or a direction of a state) of sequence b lies. */
static inline uint64_t mohaq_element_offset(const struct mohaq_port *port, uint32_t frames,
                                            uint32_t batch, uint32_t t, uint32_t b, uint32_t c)
{
    uint32_t f = port->steps ? c : t * port->channels + c, row = port->steps ? t : 0;
    uint32_t u = f % port->units, core = u / port->per_core;
    uint64_t column = (uint64_t)core * port->segment + f / port->units * port->per_core
                      + u % port->per_core;
    uint64_t at = mohaq_plane_offset(port->plane, frames, batch)
                  + b * mohaq_plane_bytes(port->plane, frames);
    return at + (row / 4 * (uint64_t)mohaq_planes[port->plane].columns + column) * 8 + row % 4 * 2;
}
"""


def _ports(unit: Unit) -> Iterator[str]:
    staged = unit.staged
    yield "#ifdef MOHAQ_MODEL_PORTS"
    yield PLANE_CODE
    for title, planes, values in (
        ("inputs", staged.inputs, staged.arguments),
        ("outputs", staged.outputs, staged.results),
    ):
        yield f"static const struct mohaq_port mohaq_{title}[] = {{"
        for number, (plane, value) in enumerate(zip(planes, values, strict=True)):
            s, shape = plane.split, shape_of(value)
            depth = 1 if plane.sequence or len(shape) < 3 else shape[0]
            yield (
                f'    {{"{title[:-1]} {number}", {plane.number}u, {int(plane.sequence)}u, {depth}u, '
                f"{shape[-1]}u, {s.units}u, {s.per_core}u, {s.segment}u}},"
            )
        yield "};"
    yield "#endif\n"


def memory_header(unit: Unit) -> str:
    """What each bank of a core holds."""
    return "\n".join(_memory(unit)) + "\n"


def _memory(unit: Unit) -> Iterator[str]:
    yield "/* Local memory of a core: generated. Weights that stay, then what one layer works with."
    yield " *"
    for bank, size in unit.plan.room.items():
        yield f" * bank {bank}: {unit.plan.used(bank)} of {size} bytes"
    yield " */"
    yield "#ifndef MOHAQ_MEMORY_H\n#define MOHAQ_MEMORY_H\n\n#include <stdint.h>\n"
    for number, stage in enumerate(unit.staged.stages):
        if any(f.name == "vectors" for _, f in unit.fields(number)):
            yield f"struct {unit.stage_name(number)}_vectors {{"
            for (name, group), (split, bits) in stage.params.items():
                size = vector_bytes(bits)
                count = padded(split.per_core * size, WORD) // size
                yield f"    int{8 * size}_t {vector_name(stage, name, group)}[{count}];"
            for place, fetch in enumerate(stage.fetches):
                if not fetch.aligned:
                    count = padded(4 * fetch.split.per_core, WORD) // 4
                    yield f"    uint32_t columns{place}[{count}];"
            yield "};\n"
    for bank in unit.plan.room:
        yield f"struct mohaq_bank{bank} {{"
        for (s, p), where in unit.plan.residents.items():
            if where == bank:
                size = unit.plan.stages[s].products[p].bytes
                yield f"    _Alignas(8) uint8_t {unit.resident_name(s, p)}[{size}];"
        yield "    union {"
        yield "        uint64_t whole;"
        for number in range(len(unit.staged.stages)):
            fields = unit.plan.places[number].banks.get(bank, ())
            if fields:
                yield "        struct {"
                yield from (f"            {_declared(unit, number, f)}" for f in fields)
                yield f"        }} {unit.stage_name(number)};"
        yield "    } at;"
        if bank == 1:
            yield "    _Alignas(8) uint32_t job[2];"
        yield "};\n"
    yield "#endif"


def _declared(unit: Unit, number: int, field: Field) -> str:
    if field.name == "vectors":
        return f"_Alignas(8) struct {unit.stage_name(number)}_vectors vectors;"
    return f"_Alignas(8) {field.kind} {field.name}[{field.count}];"


LAYERS = """\
/* What the layers' files share: generated. */
#ifndef MOHAQ_LAYERS_H
#define MOHAQ_LAYERS_H

#include "mohaq_stage.h"
"""


def layers_header(unit: Unit, prototypes: list[str]) -> str:
    """Declarations of tables, stages, cells and conversions."""
    lines = [LAYERS]
    for table, (name, _, _) in unit.tables().items():
        lines.append(f"extern const int16_t {name}[{len(unit.staged.tables[table])}];")
    stages = range(len(unit.staged.stages))
    lines += [f"extern const struct mohaq_stage {unit.stage_name(n)};" for n in stages]
    return "\n".join([*lines, *prototypes, "", "#endif", ""])


def tables_file(unit: Unit) -> str:
    """Points of the functions."""
    lines = [
        "/* Functions as points over the 16-bit inputs: generated. */",
        '#include "layers.h"',
        "",
    ]
    for table, (name, _, _) in unit.tables().items():
        points = unit.staged.tables[table]
        lines.append(f"const int16_t {name}[{len(points)}] MOHAQ_CONST = {{")
        rows = [points[at : at + 12] for at in range(0, len(points), 12)]
        lines += ["    " + " ".join(f"{v}," for v in row) for row in rows]
        lines += ["};", ""]
    return "\n".join(lines)


def main_file(unit: Unit) -> str:
    """The program of a core."""
    return "\n".join(_main(unit)) + "\n"


def _main(unit: Unit) -> Iterator[str]:
    yield "/* The program that all cores run: generated. */"
    yield '#include "layers.h"\n'
    yield "MOHAQ_DEFINE_BANKS\n"
    yield f"static const struct mohaq_stage *const stages[{len(unit.staged.stages)}] = {{"
    for number in range(len(unit.staged.stages)):
        yield f"    &{unit.stage_name(number)},"
    yield "};\n"
    yield "int MOHAQ_DEVICE_MAIN(void)\n{"
    yield "    const uint32_t count = sizeof stages / sizeof stages[0];"
    yield "    mohaq_phase(0);"
    yield "    for (uint32_t n = 0; n < count; n++)"
    yield "        mohaq_load_stage(stages[n]);"
    yield "    while (mohaq_wait_start()) {"
    yield "        uint32_t *const job = MOHAQ_LOCAL(1)->job;"
    yield "        mohaq_dma_start(1, job, mohaq_dram(0), 8);"
    yield "        mohaq_dma_wait(1);"
    yield "        for (uint32_t b = 0; b < job[1]; b++) {"
    yield "            for (uint32_t n = 0; n < count; n++)"
    yield "                mohaq_run_stage(stages[n], job[0], job[1], b);"
    yield "        }"
    yield "        mohaq_phase(0);"
    yield "        mohaq_done();"
    yield "    }"
    yield "    return 0;"
    yield "}"
