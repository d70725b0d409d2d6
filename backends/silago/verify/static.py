"""Rules that an instruction or a program keeps or breaks by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mohaq.backends.silago.isa.instructions import (
    Branch,
    Bw,
    BwConfig,
    Dpu,
    Halt,
    Instruction,
    Jump,
    Loop,
    Raccu,
    RaccuMode,
    Refi,
    Sram,
    Swb,
)
from mohaq.backends.silago.isa.words import decode_all, encode
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.datapath import LANE_BITS, WIDE
from mohaq.backends.silago.simulator.faults import MESSAGES, Fault
from mohaq.backends.silago.simulator.refusals import refused
from mohaq.backends.silago.simulator.sequencer import last_word
from mohaq.backends.silago.verify.finding import Finding
from mohaq.compiler.diagnostics import MohaqError

RULE_OF = {
    Fault.DPU_MODE: "mode",
    Fault.RACCU_MODE: "raccu-mode",
    Fault.LOOP_COUNT: "loop-count",
    Fault.COMPRESS: "compress",
    Fault.BLOCK_PORT: "block-port",
    Fault.REACH: "reach",
    Fault.SINK: "reach",
    Fault.ROUTE_LEAVES: "route",
    Fault.ROUTE_ROW: "route",
}
"""Names of the rules behind what the simulators refuse."""

Cell = tuple[int, int]
Numbered = Sequence[tuple[int, Instruction]]


def check_static(fabric: Fabric, cell: Cell, words: Sequence[int]) -> list[Finding]:
    """Findings of one cell's words."""
    if not fabric.has(*cell):
        return [Finding("cell", cell, None, None, f"'{fabric.name}' has no such cell")]
    if len(words) > fabric.imem_words:
        text = f"the program has {len(words)} words, the store {fabric.imem_words}"
        return [Finding("words", cell, None, None, text)]
    try:
        program = decode_all(words)
    except MohaqError as error:
        return [Finding("encoding", cell, None, None, error.message())]
    return check_program(fabric, cell, program, words)


def check_program(
    fabric: Fabric, cell: Cell, program: Numbered, words: Sequence[int]
) -> list[Finding]:
    """Findings of one cell's instructions with their addresses."""
    found = []
    for pc, i in program:
        if encode(i) != tuple(words[pc : pc + i.words]):
            text = "opcode 14 also reads as SRAM, but we emit 13"
            found.append(Finding("encoding", cell, pc, None, text))
        fault, value = refused(i, *cell, fabric)
        if fault:
            text = MESSAGES[fault].format(value=value)
            found.append(Finding(RULE_OF[fault], cell, pc, None, text))
        for rule, text in _unproven(i, cell, fabric):
            found.append(Finding(rule, cell, pc, None, text))
    final = last_word(len(words), fabric.imem_words)
    flow = _flow(program, len(words), final)
    found += [Finding(rule, cell, pc, None, text) for rule, pc, text in flow]
    return found


def _unproven(i: Instruction, cell: Cell, fabric: Fabric) -> Iterator[tuple[str, str]]:
    """What the hardware decodes but must not be relied on."""
    if isinstance(i, Raccu) and i.mode == RaccuMode.MULT:
        yield "raccu-mode", "the product of RACCU returns 0"
    if isinstance(i, Refi) and i.extra == 2 and i.l1_step_sign:
        yield "step-sign", "the three-word REFI ignores l1_step_sign; encode -s as 64 - s"
    if isinstance(i, Refi) and i.l2_delay_sd and (i.l1_delay ^ i.l2_delay) & 15:
        yield "refi-dynamic", "a dynamic l2_delay needs the same register number in l1_delay"
    if isinstance(i, Raccu) and i.result > 11:
        yield "register", "registers 12 to 15 belong to the loops"
    packed = isinstance(i, BwConfig) and LANE_BITS[Bw(i.bw)] < 16
    if packed and fabric.repairs != {"bw_latch", "lane_slice"}:
        yield "repairs", "packed operands need both repairs of the fabric"
    if isinstance(i, Loop) and i.link:
        yield "loop-link", "link changes nothing and must be 0"
    if isinstance(i, Swb) and i.src_row != cell[0] ^ i.send_to_other_row:
        yield "source-row", "src_row must name the row that send_to_other_row selects"
    if isinstance(i, Sram):
        if i.l2_iter_sd or i.l2_delay_sd or i.l2_step_sd:
            yield "sram-dynamic", "dynamic level-2 fields of SRAM were never measured"
        if i.rw and i.hops:
            yield "write-hops", "SRAM writes over hops were never measured"
    if isinstance(i, Dpu) and i.shift:
        if fabric.numerics != "wide_acc":
            yield "fixed", f"bits 15..10 of DPU are fixed on '{fabric.name}'; shift needs wide_acc"
        elif i.mode not in WIDE:
            yield "shift-mode", f"DPU mode {i.mode} has no accumulator to shift"
    for number, dynamic in _registers(i):
        if dynamic and number > 15:
            yield "register", f"there is no RACCU register {number}"


def _registers(i: Instruction) -> Iterator[tuple[int, int]]:
    """(register number, whether it is one) of every field that may name a register."""
    for item in i.format.fields:
        if item.name.endswith("_sd"):
            yield int(getattr(i, item.name[:-3])), int(getattr(i, item.name))


def _flow(program: Numbered, words: int, final: int) -> Iterator[tuple[str, int, str]]:
    starts = dict(program)
    spans: list[tuple[int, int, int]] = []
    for pc, i in program:
        if pc >= final and isinstance(i, (Jump, Branch, Loop)):
            yield "last-word", pc, f"{i.NAME} stands where the sequencer stops"
        if pc > final and not isinstance(i, Halt):
            yield "last-word", pc, f"the sequencer stops after word {final}"
        if isinstance(i, (Jump, Branch)):
            target = i.pc if isinstance(i, Jump) else i.false_pc
            if target not in starts:
                yield "target", pc, f"word {target} is no instruction of the program"
        if isinstance(i, Loop):
            first = pc + i.words
            if i.endpc >= min(words, final) or i.endpc not in starts or i.endpc < first:
                text = f"the loop must end at an instruction of its body, not at word {i.endpc}"
                yield "loop-end", pc, text
            elif isinstance(starts[i.endpc], (Jump, Branch, Halt, Loop)):
                yield "loop-end", pc, f"a loop cannot end with {starts[i.endpc].NAME}"
            else:
                spans.append((first, i.endpc, i.loopid))
    yield from _nesting(spans, program)


def _nesting(
    spans: list[tuple[int, int, int]], program: Numbered
) -> Iterator[tuple[str, int, str]]:
    for number, (_, end, loopid) in enumerate(spans):
        for other_first, other_end, other_id in spans[number + 1 :]:
            if other_first > end:
                continue
            if other_end > end:
                yield "loop-nest", other_first, "the inner loop ends after the outer one"
            elif other_id <= loopid:
                text = f"the inner loop has id {other_id}, it must be above {loopid}"
                yield "loop-nest", other_first, text
            elif other_end == end and other_id != loopid + 1:
                yield "loop-nest", other_first, "loops with one end have ids one apart"
    for pc, i in program:
        if not isinstance(i, (Jump, Branch)):
            continue
        target = i.pc if isinstance(i, Jump) else i.false_pc
        for first, end, _ in spans:
            if (first <= pc <= end) != (first <= target <= end):
                yield "loop-jump", pc, "jumps into or out of a loop were never measured"
