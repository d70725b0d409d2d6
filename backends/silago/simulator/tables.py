"""Programs as arrays for the compiled engine: one line of numbers for every word address."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mohaq.backends.silago.isa import instructions as isa
from mohaq.backends.silago.isa.words import decode, length
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.datapath import signed_shift
from mohaq.backends.silago.simulator.faults import Fault
from mohaq.backends.silago.simulator.kernels import (
    BRANCH,
    BW,
    DPU,
    FAULT,
    JUMP,
    LOOP,
    OP,
    PARAMETERS,
    RACCU,
    REFI,
    ROUTE,
    SRAM,
    SWB,
    VALUE,
    WAIT,
    WORDS,
    A,
    B,
    C,
    D,
    E,
    F,
)
from mohaq.backends.silago.simulator.refusals import refused, source_of, tile_of
from mohaq.backends.silago.simulator.state import Ints
from mohaq.compiler.diagnostics import MohaqError

COLUMNS = PARAMETERS + 16
"""Operation, words, fault and its value, what the operation needs (A..F), then eight pairs
(register or -1, literal): the numbers of an access pattern."""


@lru_cache(maxsize=8192)
def table_of(words: tuple[int, ...], row: int, col: int, fabric: Fabric) -> Ints:
    """The table [imem words + 1, COLUMNS] of a cell's program; the last line is a HALT.

    Raises:
        MohaqError: the program does not fit the instruction store.
    """
    if len(words) > fabric.imem_words:
        raise MohaqError(f"a program has at most {fabric.imem_words} words, not {len(words)}")
    table = np.zeros((fabric.imem_words + 1, COLUMNS), dtype=np.int64)
    table[:, WORDS] = 1
    for pc in range(len(words)):
        try:
            instruction = _decoded(words[pc : pc + length(words[pc])])
        except MohaqError:
            table[pc, FAULT], table[pc, VALUE] = Fault.NO_INSTRUCTION, pc
            continue
        table[pc, WORDS] = instruction.words
        table[pc, FAULT], table[pc, VALUE] = refused(instruction, row, col, fabric)
        if table[pc, FAULT] == Fault.NONE:
            _fill(table[pc], instruction, row, col, fabric)
    table.setflags(write=False)
    return table


_decoded = lru_cache(maxsize=4096)(decode)
"""Programs of cells share most of their instructions."""


def _fill(line: Ints, i: isa.Instruction, row: int, col: int, fabric: Fabric) -> None:
    if isinstance(i, isa.Refi):
        line[OP] = REFI
        line[A] = i.port_no if not i.dimarch else 4 + (i.port_no == isa.Port.R0)
        line[B] = -1 if i.extra == 1 and i.l1_step_sign else 1
        _pattern(
            line,
            (
                (i.init_addr_sd, i.init_addr, i.init_addr),
                (i.init_delay_sd, i.init_delay, i.init_delay),
                (i.l1_iter_sd, i.l1_iter, i.l1_iter),
                (i.l1_step_sd, i.l1_step, i.l1_step),
                (i.l1_delay_sd, i.l1_delay, i.full_l1_delay),
                (i.l2_iter_sd, i.l2_iter, i.full_l2_iter),
                (0, 0, i.full_l2_step),
                (i.l2_delay_sd, i.l2_delay, i.l2_delay),
            ),
        )
    elif isinstance(i, isa.Sram):
        line[OP], line[A], line[C] = SRAM, i.rw, i.hops
        line[B] = 1
        _pattern(
            line,
            (
                (i.init_addr_sd, i.init_addr, i.init_addr),
                (i.init_delay_sd, i.init_delay, i.init_delay),
                (i.l1_iter_sd, i.l1_iter, i.l1_iter),
                (i.l1_step_sd, i.l1_step, i.l1_step),
                (i.l1_delay_sd, i.l1_delay, i.l1_delay),
                (i.l2_iter_sd, i.l2_iter, i.l2_iter),
                (i.l2_step_sd, i.l2_step, i.l2_step),
                (i.l2_delay_sd, i.l2_delay, i.l2_delay),
            ),
        )
    elif isinstance(i, isa.Dpu):
        line[OP], line[A], line[B] = DPU, i.mode, i.io_change
        line[C] = signed_shift(i.shift) if fabric.numerics == "wide_acc" else 0
    elif isinstance(i, isa.Swb):
        line[OP], line[A], line[B] = SWB, i.v_index, source_of(i, row, col, fabric)
    elif isinstance(i, isa.Jump):
        line[OP], line[A] = JUMP, i.pc
    elif isinstance(i, isa.Wait):
        line[OP], line[A], line[B] = WAIT, i.cycle_sd, i.cycle
    elif isinstance(i, isa.Loop):
        line[OP], line[A], line[B], line[C] = LOOP, i.loopid, i.endpc, i.iter
        line[D] = i.start % fabric.raccu_regs if i.start_sd else -1
        line[E] = i.step % fabric.raccu_regs if i.step_sd else -1
        line[PARAMETERS], line[PARAMETERS + 1] = i.start, i.step
    elif isinstance(i, isa.BwConfig):
        line[OP], line[A] = BW, i.bw
    elif isinstance(i, isa.Raccu):
        line[OP], line[A], line[F] = RACCU, i.mode, i.result
        line[B], line[C] = i.operand1_sd, i.operand1
        line[D], line[E] = i.operand2_sd, i.operand2
    elif isinstance(i, isa.Branch):
        line[OP], line[A], line[B] = BRANCH, i.mode, i.false_pc
    elif isinstance(i, isa.Route):
        (tile_row, tile_col), hops = tile_of(i, col)
        line[OP], line[A], line[C] = ROUTE, i.direction, hops
        line[B] = tile_row * fabric.cols + tile_col


def _pattern(line: Ints, parameters: Sequence[tuple[int, int, int]]) -> None:
    """(dynamic?, register field, literal) of init, delay, iter1, step1, delay1, iter2, ..."""
    for k, (dynamic, register, literal) in enumerate(parameters):
        line[PARAMETERS + 2 * k] = register % 16 if dynamic else -1
        line[PARAMETERS + 2 * k + 1] = literal
