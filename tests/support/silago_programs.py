"""Random SiLago programs: whatever both engines must agree on, sensible or not."""

from __future__ import annotations

from random import Random

import numpy as np

from mohaq.backends.silago.isa import instructions as isa
from mohaq.backends.silago.isa.words import addresses, encode_all
from mohaq.backends.silago.machine import Fabric, fabric_of, load_target
from mohaq.backends.silago.simulator.datapath import DRAIN, MODELLED, WIDE
from mohaq.backends.silago.simulator.state import State, reset

EXTREME = (-32768, -32767, -1, 0, 1, 2, 127, -128, 255, 2048, 4096, 32766, 32767)


def fabric(name: str) -> Fabric:
    """A shipped fabric."""
    return fabric_of(load_target(name))


def random_state(random: Random, made_for: Fabric) -> State:
    """A fabric with random words in register files and memory."""
    state = reset(made_for)
    numbers = np.random.default_rng(random.getrandbits(32))
    for words in (state.rf, state.sram):
        words[...] = numbers.integers(-32768, 32768, words.shape)
        words[numbers.random(words.shape) < 0.3] = numbers.choice(EXTREME)
    return state


def random_programs(random: Random, made_for: Fabric) -> dict[tuple[int, int], tuple[int, ...]]:
    """Programs of one to four cells close to each other."""
    col = random.randrange(made_for.cols)
    near = [
        (r, c)
        for r in range(made_for.rows)
        for c in range(max(0, col - 2), min(made_for.cols, col + 3))
    ]
    cells = random.sample(near, random.randint(1, 4))
    return {cell: _program(random, made_for, cell) for cell in cells}


def _program(random: Random, fabric: Fabric, cell: tuple[int, int]) -> tuple[int, ...]:
    program: list[isa.Instruction] = []
    hops = [0, 0]
    for direction in range(2):
        route, hops[direction] = _route(random, fabric, cell, direction)
        program.append(route)
    if random.random() < 0.8:
        for source, sink in enumerate((2, 3, 0, 1)):
            program.append(isa.Swb(2, sink, source // 2, source % 2, cell[0]))
    program += [_swb(random, fabric, cell) for _ in range(random.randint(0, 3))]
    length = len(program) + random.randint(4, 18)
    while len(program) < length:
        program += _some(random, fabric, cell, hops)
    program.append(isa.Wait(random.randint(0, 12)))
    program = _fitting(program, fabric)
    return encode_all(_flow(random, program))


def _fitting(program: list[isa.Instruction], fabric: Fabric) -> list[isa.Instruction]:
    while sum(i.words for i in program) > fabric.imem_words - 4:
        program = program[:-1]
    return program


def _flow(random: Random, program: list[isa.Instruction]) -> list[isa.Instruction]:
    """Put a loop, two nested ones or a jump around some instructions."""
    kind = random.choice(("none", "loop", "nest", "shared", "jump", "branch"))
    at = addresses(program)
    first = random.randrange(2, max(3, len(program) - 2))
    last = random.randrange(first, len(program) - 1)
    if isinstance(program[last], isa.Wait) and kind in {"loop", "nest", "shared"}:
        loops: list[isa.Instruction] = [_loop(random, 0, at[last] + (1 if kind == "loop" else 2))]
        if kind == "nest":
            inner = random.randrange(first, last + 1)
            loops.append(_loop(random, 1, at[inner] + 2))
        if kind == "shared":
            loops.append(_loop(random, random.randint(1, 3), at[last] + 2))
        return [*program[:first], *loops, *program[first:]]
    if kind in {"jump", "branch"}:
        target = at[last] + 1
        jump: isa.Instruction = isa.Jump(target)
        if kind == "branch":
            jump = isa.Branch(random.randint(0, 3), target)
        return [*program[:first], jump, *program[first:]]
    return program


def _loop(random: Random, number: int, end: int) -> isa.Loop:
    return isa.Loop(endpc=end, iter=random.randint(1, 4), loopid=number, start=random.randrange(64))


def _route(
    random: Random, fabric: Fabric, cell: tuple[int, int], direction: int
) -> tuple[isa.Route, int]:
    up = random.randrange(fabric.tile_rows)
    east = random.randint(0, 1)
    most = fabric.cols - 1 - cell[1] if east else cell[1]
    along = min(random.choice((0, 0, 1, 2)), most)
    return isa.Route(east, along, 1, up, direction, cell[0]), along + up


def _swb(random: Random, fabric: Fabric, cell: tuple[int, int]) -> isa.Swb:
    low, high = max(0, 2 - cell[1]), min(4, fabric.cols + 1 - cell[1])
    other = random.randint(0, 1)
    return isa.Swb(
        hb_index=random.choice((2, random.randint(low, high))),
        v_index=random.randrange(6),
        src_block=random.randint(0, 1),
        src_port=random.randint(0, 1),
        src_row=cell[0] ^ other,
        send_to_other_row=other,
    )


def _some(
    random: Random, fabric: Fabric, cell: tuple[int, int], hops: list[int]
) -> list[isa.Instruction]:
    kind = random.choice(
        ("pass",) * 6
        + ("refi",) * 3
        + ("dpu",) * 2
        + ("bw", "swb", "wait", "wait", "raccu", "sram", "sram")
    )
    if kind == "pass":
        return _pass(random)
    if kind == "refi":
        return [_refi(random, random.randrange(4), 0)]
    if kind == "dpu":
        wide = fabric.numerics == "wide_acc"
        mode = random.choice(sorted(MODELLED | {DRAIN} if wide else MODELLED))
        shift = random.choice((0, 0, 3, 17, 33, 60)) if mode in WIDE else 0
        return [isa.Dpu(mode, io_change=random.randrange(4), shift=shift)]
    if kind == "bw":
        widths = (0, 1, 2, 3) if fabric.repairs else (0, 2)
        return [isa.BwConfig(random.choice(widths))]
    if kind == "swb":
        return [_swb(random, fabric, cell)]
    if kind == "wait":
        return [isa.Wait(random.randint(0, 9))]
    if kind == "raccu":
        return [
            isa.Raccu(
                random.randrange(6),
                random.randrange(16),
                random.randrange(9),
                random.randrange(16),
                operand1_sd=random.randint(0, 1),
            )
        ]
    write = random.randint(0, 1)
    sram = isa.Sram(
        rw=write,
        init_addr=random.randrange(128),
        init_delay=random.randrange(4),
        l1_iter=random.randrange(4),
        l1_step=random.choice((1, 1, 2, 127, 255)),
        l1_delay=random.choice((0, 0, 1, 5)),
        l2_iter=random.choice((0, 0, 1)),
        l2_step=random.randrange(256),
        l2_delay=random.randrange(6),
        hops=hops[write],
    )
    fitting = 4 + cell[0] + 2 * hops[0] + sram.init_delay if not write else 1 + sram.init_delay
    block = isa.Refi(
        isa.Port.R0 if write else isa.Port.W0,
        extra=2,
        init_addr=random.randrange(4),
        l1_iter=sram.l1_iter,
        init_delay=fitting + random.choice((0, 0, 0, 1)),
        l1_step=random.randrange(3),
        l1_delay=sram.l1_delay,
        l2_iter=sram.l2_iter,
        l2_step=random.randrange(3),
        l2_delay=sram.l2_delay,
        dimarch=1,
    )
    return [sram, block]


def _pass(random: Random) -> list[isa.Instruction]:
    """A mode, its operands from r0 and r1 and a store of its results, aligned."""
    count, store = random.choice((0, 2, 5, 9)), random.randrange(2)
    mode = random.choice(sorted(MODELLED))
    return [
        isa.Dpu(mode, io_change=random.choice((0, 0, 1, 2, 3))),
        isa.Refi(isa.Port.R0, init_addr=random.randrange(64), l1_iter=count, init_delay=2),
        isa.Refi(isa.Port.R1, init_addr=random.randrange(64), l1_iter=count, init_delay=1),
        isa.Refi(store, init_addr=random.randrange(64), l1_iter=count, init_delay=1),
        isa.Wait(random.choice((0, count, count + 2))),
    ]


def _refi(random: Random, port: int, dimarch: int) -> isa.Refi:
    extra = random.randrange(3)
    dynamic = random.random() < 0.2
    first = {
        "init_addr": random.randrange(16) if dynamic else random.randrange(64),
        "init_addr_sd": int(dynamic),
        "l1_iter": random.choice((0, 1, 3, 7, 12)),
        "init_delay": random.choice((0, 0, 1, 2, 5)),
    }
    second = {
        "l1_step": random.choice((0, 1, 2, 63, 40)),
        "l1_step_sign": random.randint(0, 1),
        "l1_delay": random.choice((0, 0, 1, 3)),
        "l2_iter": random.choice((0, 0, 1, 2)),
        "l2_step": random.randrange(16),
    }
    third = {"l2_delay": random.choice((0, 1, 4)), "l2_step_ext": random.randrange(4)}
    fields = {**first, **(second if extra else {}), **(third if extra == 2 else {})}
    return isa.Refi(port, extra=extra, dimarch=dimarch, **fields)
