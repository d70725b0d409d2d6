"""docs/semantics.md a second time: recurrent cells in plain Python integers, one value a time.

Only the multiplier algorithm and the table points are shared with the lowering.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mohaq.compiler.analysis.storage import LayerGrids
from mohaq.compiler.dialects.nn import FunctionAttr, LayerOp
from mohaq.compiler.program import Program
from mohaq.compiler.quantizer import derive_multiplier
from mohaq.passes.lowering.tables import table_points

ONE = 32768
GATE = 2.0**-11
UNIT = 2.0**-15
BOUNDED = ("sigmoid", "tanh", "softsign", "hard_sigmoid")
Vector = list[int]


def clamp(x: int, bits: int = 16) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, x))


def half_up(x: int, shift: int) -> int:
    return (x + ((1 << shift) >> 1)) >> shift


def ratio(a: float, b: float) -> Fraction:
    return Fraction(a) / Fraction(b)


def rescaled(x: int, by: Fraction, operand_bits: int, bits: int = 16) -> int:
    m, s = derive_multiplier(by, operand_bits)
    return clamp(half_up(x * m, s), bits)


def nearest(value: float, step: float, bits: int) -> int:
    return clamp(math.floor(value / step + 0.5), bits)


def look(x: int, function: FunctionAttr) -> int:
    points = table_points(function)
    i, r = divmod(x + ONE, 256)
    return points[i] + (((points[i + 1] - points[i]) * r + 128) >> 8)


@dataclass
class Product:
    """W x + b for one vector at a time: sums, their step and width."""

    rows: Any
    w: Any
    x: Any
    bias: Any = None

    def __post_init__(self) -> None:
        self.ints = [[nearest(float(v), self.w.step, self.w.bits) for v in r] for r in self.rows]
        bound = max(1, max(sum(map(abs, r)) for r in self.ints) << (self.x.bits - 1))
        self.bits = bound.bit_length() + 1
        self.step = self.w.step * self.x.step
        self.up = self.down = 0
        self.added = [0] * len(self.ints)
        if self.bias is not None:
            top = max(abs(float(b)) for b in self.bias)
            shift = math.floor(math.log2(32767 * self.step / top)) if top else 0
            self.up = min(max(shift, 0), max(0, 30 - self.bits))
            self.down = max(-shift, 0)
            size = self.step * 2.0 ** (self.down - self.up)
            self.added = [nearest(float(b), size, 16) for b in self.bias]
            self.bits = 1 + max(self.bits + self.up, 16 + self.down)
            self.step *= 2.0**-self.up

    def __call__(self, x: Vector, steps: list[float]) -> Vector:
        """All rows, each run of rows rounded to its step in 16 bits."""
        run = len(self.ints) // len(steps)
        return [
            rescaled(
                (sum(a * b for a, b in zip(x, r, strict=True)) << self.up) + (add << self.down),
                ratio(self.step, steps[n // run]),
                self.bits,
            )
            for n, (r, add) in enumerate(zip(self.ints, self.added, strict=True))
        ]


def open_step(function: FunctionAttr, state: float) -> float:
    """Step of a pre-activation."""
    if function.kind in BOUNDED:
        return GATE
    return 2.0 ** (math.ceil(math.log2(4 * state * 32767)) - 15)


def apply(
    total: int, function: FunctionAttr, step: float, limit: float | None, fraction: int = 0
) -> int:
    """A function of a sum in units of step / 2^fraction."""
    bounded = function.kind in BOUNDED
    if fraction and (limit is not None or not bounded):
        total, fraction = half_up(total, fraction), 0
    if limit is not None:
        edge = math.floor(limit / step + 0.5)
        if edge <= 32767:
            total = max(-edge, min(edge, total))
    if bounded:
        shift = (1 if function.kind == "tanh" else 0) - fraction
        return look(clamp(total << shift if shift >= 0 else half_up(total, -shift)), function)
    total = clamp(total)
    return max(0, total) if function.kind == "relu" else total


def step_of(function: FunctionAttr, step: float) -> float:
    return UNIT if function.kind in BOUNDED else step


def shown(c: int, function: FunctionAttr, state: float) -> int:
    """A function of the state."""
    if function.kind in BOUNDED:
        domain = 2.0**-12 if function.kind == "tanh" else GATE
        return look(rescaled(c, ratio(state, domain), 16), function)
    return max(0, c) if function.kind == "relu" else c


def mix(keep: int, old: int, new: int, step: float, state: float, bits: int) -> int:
    """keep * old + new, with `new` a product of `bits` bits whose value has `step`."""
    by = ratio(step, state)
    if by.denominator == 1 and by.numerator & (by.numerator - 1) == 0:
        new *= by.numerator
    else:
        m, s = derive_multiplier(by, bits)
        new = half_up(new * m, s)
    return clamp(half_up(keep * old + new, 15))


class Cells:
    """Layer `l0` of a program under its grids, batch 1."""

    def __init__(self, program: Program, grids: LayerGrids) -> None:
        self.op: Any = next(iter(program.layers()))
        assert isinstance(self.op, LayerOp)
        self.program, self.grids, self.slots = program, grids, grids.slots
        self.state = self.slots["state"].step
        self.kind = self.op.name.removeprefix("nn.")

    def data(self, title: str) -> Any:
        name = f"l0.{title}"
        found = self.program.parameters
        return found[name] if name in set(found) else None

    def run(self, sequence: list[Vector]) -> list[Vector]:
        """The whole sequence from zero states; directions side by side."""
        held, slot = self.grids.stored_input, self.slots["input"]
        x = sequence
        if held != slot:
            by = ratio(held.step, slot.step)
            x = [[rescaled(v, by, 16, slot.bits) for v in frame] for frame in sequence]
        sides = [self.walk(d, x) for d in range(self.op.directions)]
        return [[v for side in sides for v in side[t]] for t in range(len(x))]

    def walk(self, d: int, x: list[Vector]) -> list[Vector]:
        order = list(range(len(x)))
        if self.op.is_reverse(d):
            order.reverse()
        weight, bias = self.data("weight"), self.data("bias")
        if self.kind == "lstm" and self.op.is_coupled:
            weight = weight[:, [0, 2, 3]]
            bias = None if bias is None else bias[:, [0, 2, 3]]
        window = self.op.window if self.kind == "qrnn" else 1
        count, gates, hidden = weight.shape[:3]
        if window == 2:
            weight, bias = weight[d : d + 1], None if bias is None else bias[d : d + 1]
            count = 1
        if self.kind == "sru":
            full = np.zeros((count, gates, hidden))
            full[:, 1:3] = bias
            bias = full
        product = Product(
            weight.reshape(count * gates * hidden, -1),
            self.slots["weight"],
            self.slots["input"],
            None if bias is None else bias.reshape(-1),
        )
        steps = self.steps(d)
        first = 0 if window == 2 else d * gates * hidden
        all_steps = [s for e in range(count) for s in self.steps(d if window == 2 else e)]
        self.h: Vector = [0] * (self.op.outputs if self.kind == "lstm" else hidden)
        self.c: Vector = [0] * hidden
        before = [0] * len(x[0])
        out: list[Vector] = [[]] * len(x)
        for t in order:
            u = product(before + x[t] if window == 2 else x[t], all_steps)
            mine = [u[first + g * hidden : first + (g + 1) * hidden] for g in range(gates)]
            out[t] = getattr(self, self.kind)(d, mine, steps)
            before = x[t]
        return out

    def steps(self, d: int) -> list[float]:
        """Steps of the pre-activations of a direction."""
        if self.kind == "qrnn":
            return [GATE] * self.data("weight").shape[1]
        if self.kind == "sru":
            return [self.state, GATE, GATE, self.state][: self.data("weight").shape[1]]
        functions = self.op.functions(d)
        if self.kind == "lstm":
            g = open_step(functions[1], self.state)
            return [GATE, g, GATE] if self.op.is_coupled else [GATE, GATE, g, GATE]
        count = {"rnn": 0, "ligru": 1, "gru": 2}[self.kind]
        return [GATE] * count + [open_step(functions[-1], self.state)]

    def read(self, h: Vector, held: Any) -> Vector:
        slot = self.slots["hidden"]
        if slot == held:
            return h
        return [rescaled(v, ratio(held.step, slot.step), 16, slot.bits) for v in h]

    def fed(self, read: Vector, rows: Any, steps: list[float], bias: Any = None) -> Any:
        rows = np.asarray(rows)
        product = Product(
            rows.reshape(-1, rows.shape[-1]), self.slots["recurrent"], self.slots["hidden"], bias
        )
        r, hidden = product(read, steps), rows.shape[1]
        return [r[g * hidden : (g + 1) * hidden] for g in range(rows.shape[0])]

    def lstm(self, d: int, u: list[Vector], steps: list[float]) -> Vector:
        op, slots, limit = self.op, self.slots, self.op.limit
        rows = [0, 2, 3] if op.is_coupled else [0, 1, 2, 3]
        read = self.read(self.h, slots["output"])
        r = self.fed(read, self.data("recurrent")[d][rows], steps)
        gate, cell, out = op.functions(d)
        p, made = self.data("peephole"), []
        for n in range(op.hidden):
            sums = {row: u[k][n] + r[k][n] for k, row in enumerate(rows)}

            def peep(row: int, c: int, n: int = n) -> int:
                if p is None:
                    return 0
                step = slots["peephole"].step
                v = nearest(float(p[d][row][n]), step, 16)
                return rescaled(v * c, ratio(step * self.state, GATE), 32)

            c = self.c[n]
            i = apply(sums[0] + peep(0, c), gate, GATE, limit)
            f = ONE - i if op.is_coupled else apply(sums[1] + peep(1, c), gate, GATE, limit)
            g_step = steps[rows.index(2)]
            g = apply(sums[2], cell, g_step, limit)
            c = mix(f, c, i * g, step_of(cell, g_step), self.state, 32)
            o = apply(sums[3] + peep(2, c), gate, GATE, limit)
            self.c[n] = c
            step = step_of(out, self.state)
            product = o * shown(c, out, self.state)
            if op.projection is not None or step == slots["output"].step:
                made.append(clamp(half_up(product, 15)))
            else:
                made.append(rescaled(product, ratio(step * UNIT, slots["output"].step), 32))
        if op.projection is not None:
            step = step_of(out, self.state)
            given = type(slots["output"]).of(16, step)
            project = Product(self.data("projection")[d], slots["projection"], given)
            made = project(made, [slots["output"].step])
        self.h = made
        return made

    def gru(self, d: int, u: list[Vector], steps: list[float]) -> Vector:
        op, slots, limit = self.op, self.slots, self.op.limit
        read, weight = self.read(self.h, slots["state"]), self.data("recurrent")[d]
        gate, candidate = op.functions(d)
        q = None
        if self.data("recurrent_bias") is not None:
            q = [0.0] * (2 * op.hidden) + list(self.data("recurrent_bias")[d])
        after = op.resets_after
        fed = self.fed(read, weight if after else weight[:2], steps if after else steps[:2], q)
        units = range(op.hidden)
        r, z = ([apply(u[g][n] + fed[g][n], gate, GATE, limit) for n in units] for g in (0, 1))
        if after:
            new = [
                apply((u[2][n] << 15) + r[n] * fed[2][n], candidate, steps[2], limit, 15)
                for n in units
            ]
        else:
            hidden = slots["hidden"]
            by = ratio(self.state * UNIT, hidden.step)
            inner = [
                clamp(half_up(r[n] * self.h[n], 15))
                if hidden == slots["state"]
                else rescaled(r[n] * self.h[n], by, 32, hidden.bits)
                for n in units
            ]
            (last,) = self.fed(inner, weight[2:], steps[2:])
            new = [apply(u[2][n] + last[n], candidate, steps[2], limit) for n in units]
        step = step_of(candidate, steps[2])
        self.h = [mix(z[n], self.h[n], (ONE - z[n]) * new[n], step, self.state, 34) for n in units]
        return self.h

    def rnn(self, d: int, u: list[Vector], steps: list[float]) -> Vector:
        (function,) = self.op.functions(d)
        (r,) = self.fed(self.read(self.h, self.slots["state"]), self.data("recurrent")[d], steps)
        made = [
            apply(a + b, function, steps[0], self.op.limit) for a, b in zip(u[0], r, strict=True)
        ]
        step = step_of(function, steps[0])
        if step != self.state:
            made = [rescaled(v, ratio(step, self.state), 16) for v in made]
        self.h = made
        return made

    def ligru(self, d: int, u: list[Vector], steps: list[float]) -> Vector:
        gate, candidate = self.op.functions(d)
        limit, read = self.op.limit, self.read(self.h, self.slots["state"])
        r = self.fed(read, self.data("recurrent")[d], steps)
        made = []
        for n in range(self.op.hidden):
            z = apply(u[0][n] + r[0][n], gate, GATE, limit)
            a = apply(u[1][n] + r[1][n], candidate, steps[1], limit)
            step = step_of(candidate, steps[1])
            made.append(mix(z, self.h[n], (ONE - z) * a, step, self.state, 34))
        self.h = made
        return made

    def qrnn(self, d: int, u: list[Vector], steps: list[float]) -> Vector:  # noqa: ARG002
        sigmoid, tanh = FunctionAttr.of("sigmoid"), FunctionAttr.of("tanh")
        pooling, made = self.op.pooling.data, []
        for n in range(self.op.hidden):
            z = apply(u[0][n], tanh, GATE, None)
            f, *rest = (apply(one[n], sigmoid, GATE, None) for one in u[1:])
            fresh, bits = (rest[1], 32) if pooling == "ifo" else (ONE - f, 34)
            c = mix(f, self.c[n], fresh * z, UNIT, self.state, bits)
            self.c[n] = c
            made.append(c if pooling == "f" else clamp(half_up(rest[0] * c, 15)))
        return made

    def sru(self, d: int, u: list[Vector], steps: list[float]) -> Vector:  # noqa: ARG002
        sigmoid, out = FunctionAttr.of("sigmoid"), FunctionAttr.of(self.op.activation.data)
        v_step, made = self.slots["vector"].step, []
        for n in range(self.op.hidden):
            gates = []
            for row in (0, 1):
                v = nearest(float(self.data("vector")[d][row][n]), v_step, 16)
                term = rescaled(v * self.c[n], ratio(v_step * self.state, GATE), 32)
                gates.append(apply(u[row + 1][n] + term, sigmoid, GATE, None))
            f, r = gates
            c = clamp(half_up(f * self.c[n] + (ONE - f) * u[0][n], 15))
            self.c[n] = c
            skip = (ONE - r) * u[3][n] if len(u) == 4 else 0
            new = r * shown(c, out, self.state)
            made.append(mix(1, skip, new, step_of(out, self.state), self.state, 32))
        return made
