"""Compiled code for scans whose units do not mix: a few loops over units for each time step.

The tape interpreter passes every value through memory as int64. Here a tape of elementwise rows
becomes one function: operations between table lookups share a loop, values that leave a loop are
int32, inputs and outputs are read and written where they lie. The arithmetic is the tape's. Compiling
takes about a second, so it waits until a structure has done enough work (`COMPILE_AFTER`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from mohaq.compiler.search import kernels as k

Ints = npt.NDArray[np.int64]
Range = tuple[int, int]
Body = Callable[..., None]

COMPILE_AFTER = 100_000_000
"""Unit steps of one structure after which it is compiled; they take the interpreter about as long as compiling."""

SHORT: Range = (-(1 << 15), (1 << 15) - 1)
WORD: Range = (-(1 << 31), (1 << 31) - 1)


@dataclass(frozen=True)
class ScanCode:
    """What a tape becomes.

    Attributes:
        source: of the function `body`; the same for all tapes of one structure.
        immediates: its numbers.
        constants: [rows, n] vectors.
        units: n.
        states, scratch: rows of state and of values that leave a loop.
    """

    source: str
    immediates: Ints
    constants: npt.NDArray[np.int32]
    units: int
    states: int
    scratch: int


@dataclass
class _Value:
    """A value of a time step: how it is read, its range, and the loop that makes it."""

    text: str
    range: Range
    loop: int
    row: int = -1


def scan_code(
    rows: Ints,
    buffer: Ints,
    arguments: Ints,
    emit: Ints,
    states: Ints,
    tables: npt.NDArray[np.int16],
) -> ScanCode | None:
    """Code of a tape (arrays as in `kernels.scan`; arguments are [k, 2] of offset, length).

    None where rows mix units, have different lengths, or a value may not fit 32 bits.
    """
    try:
        return _Writer(rows, buffer, arguments, emit, states, tables).write()
    except _NotElementwise:
        return None


class _NotElementwise(Exception):  # noqa: N818  never leaves this file
    pass


class _Writer:
    def __init__(
        self,
        rows: Ints,
        buffer: Ints,
        arguments: Ints,
        emit: Ints,
        states: Ints,
        tables: npt.NDArray[np.int16],
    ) -> None:
        lengths = {*rows[:, 5], *arguments[:, 1], *emit[:, 1], *states[:, 2]}
        if len(lengths) != 1 or not len(rows):
            raise _NotElementwise
        self._n = int(lengths.pop())
        self._rows, self._buffer, self._emit, self._states = rows, buffer, emit, states
        self._held: dict[int, _Value] = {}
        self._loops: list[list[str]] = [[]]
        self._vectors: set[int] = set()
        self._spans = [(int(t.min()), int(t.max())) for t in tables]
        self._constants: list[Ints] = []
        self._immediates: list[int] = []
        self._names = 0
        self._scratch = 0
        for number, place in enumerate(arguments[:, 0]):
            self._held[int(place)] = _Value(f"np.int64(x{number}[k])", SHORT, -1)
        for number, place in enumerate(states[:, 0]):
            self._held[int(place)] = _Value(f"np.int64(c{number}[k])", SHORT, -1)
        self._count = len(arguments)

    def write(self) -> ScanCode:
        for row in self._rows:
            self._row([int(v) for v in row])
        last = len(self._loops) - 1
        ends = []
        for number, (place, _) in enumerate(self._emit):
            ends.append(f"y{number}[k] = {self._read(int(place), last, SHORT)}")
        for number, (_, place, _) in enumerate(self._states):
            # Read before any state is written: a state may become another one's old value.
            ends.insert(0, f"n{number} = {self._read(int(place), last, SHORT)}")
            ends.append(f"c{number}[k] = n{number}")
        self._loops[last].extend(ends)
        constants = np.array(self._constants, dtype=np.int32).reshape(-1, self._n)
        return ScanCode(
            self._source(),
            np.array(self._immediates, dtype=np.int64),
            constants,
            self._n,
            len(self._states),
            self._scratch,
        )

    def _read(self, place: int, loop: int, within: Range = WORD) -> str:
        """The text of a value in a loop; what another loop made goes through scratch."""
        if place not in self._held:
            values = self._buffer[place : place + self._n]
            self._held[place] = self._constant(values)
            self._vectors.add(place)
        value = self._held[place]
        _require(value.range, within)
        if value.loop in {-1, loop}:
            return value.text
        if value.row < 0:
            _require(value.range, WORD)
            value.row, self._scratch = self._scratch, self._scratch + 1
            self._loops[value.loop].append(f"s{value.row}[k] = {value.text}")
        return f"np.int64(s{value.row}[k])"

    def _constant(self, values: Ints) -> _Value:
        span = int(values.min()), int(values.max())
        _require(span, WORD)
        self._constants.append(values)
        return _Value(f"np.int64(w{len(self._constants) - 1}[k])", span, -1)

    def _number(self, value: int) -> str:
        self._immediates.append(value)
        return f"i{len(self._immediates) - 1}"

    def _loop_of(self, places: list[int]) -> int:
        return max([0, *(self._held[p].loop for p in places if p in self._held)])

    def _row(self, row: list[int]) -> None:
        code, y, a, b, c, _, *i = row
        read = [a, b, c] if code == k.BLEND else [a, b] if code in _BINARY else [a]
        if code not in _KNOWN:
            raise _NotElementwise
        loop = self._loop_of(read)
        if code in {k.LOOKUP, k.LOOKED_UP_SUM}:
            self._lookup(code, y, read, i, loop)
            return
        if code == k.PRODUCT and (folded := self._folded(a, b, i, loop)) is not None:
            self._define(y, *folded, loop)
            return
        texts = [self._read(place, loop) for place in read]
        ranges = [self._held[place].range for place in read]
        text, span = self._arithmetic(code, texts, ranges, i)
        _require(span, (-(1 << 62), 1 << 62))
        self._define(y, text, span, loop)

    def _folded(self, a: int, b: int, i: list[int], loop: int) -> tuple[str, Range] | None:
        """A product with a constant vector, which takes the multiplier where 32 bits hold both."""
        held = [p in self._vectors or p not in self._held for p in (a, b)]
        if all(held) or not any(held):
            return None
        constant, other = (a, b) if held[0] else (b, a)
        values = self._buffer[constant : constant + self._n] * i[0]
        if np.abs(values).max() >= 1 << 31:
            return None
        both = self._constant(values)
        text = f"({both.text} * {self._read(other, loop)})"
        return self._rounded(text, _times(both.range, self._held[other].range), [1, *i[1:]])

    def _define(self, place: int, text: str, span: Range, loop: int) -> None:
        name = f"v{self._names}"
        self._names += 1
        self._loops[loop].append(f"{name} = {text}")
        self._held[place] = _Value(name, span, loop)

    def _lookup(self, code: int, y: int, read: list[int], i: list[int], loop: int) -> None:
        """Positions in this loop, values in the next one, which holds lookups alone."""
        texts = [self._read(place, loop) for place in read]
        table = i[2] if code == k.LOOKED_UP_SUM else i[0]
        at = f"{texts[0]} + 32768"
        if code == k.LOOKUP:
            _require(self._held[read[0]].range, SHORT)
        if code == k.LOOKED_UP_SUM:
            at = f"min(max({texts[0]} + {texts[1]}, {i[0]}), {i[1]}) + 32768"
        spot, self._scratch = self._scratch, self._scratch + 1
        self._loops[loop].append(f"s{spot}[k] = {at}")
        # Loops of arithmetic have even numbers, loops of lookups odd ones.
        while len(self._loops) < loop + 3:
            self._loops.append([])
        found, self._scratch = self._scratch, self._scratch + 1
        self._loops[loop + 1].append(f"s{found}[k] = tables[{table}, np.uint32(s{spot}[k])]")
        self._held[y] = _Value(f"np.int64(s{found}[k])", self._spans[table], loop + 2, found)

    def _arithmetic(
        self, code: int, x: list[str], r: list[Range], i: list[int]
    ) -> tuple[str, Range]:
        match code:
            case k.COPY:
                return x[0], r[0]
            case k.ADD:
                return f"{x[0]} + {x[1]}", (r[0][0] + r[1][0], r[0][1] + r[1][1])
            case k.MUL:
                return f"{x[0]} * {x[1]}", _times(r[0], r[1])
            case k.RSUB:
                return f"{self._number(i[0])} - {x[0]}", (i[0] - r[0][1], i[0] - r[0][0])
            case k.SHL:
                return f"{x[0]} << {self._number(i[0])}", (r[0][0] << i[0], r[0][1] << i[0])
            case k.BIAS:
                text = f"({x[0]} << {self._number(i[0])}) + ({x[1]} << {self._number(i[1])})"
                low = (r[0][0] << i[0]) + (r[1][0] << i[1])
                return text, (low, (r[0][1] << i[0]) + (r[1][1] << i[1]))
            case k.SATURATE:
                return _clamped(x[0], i[0], i[1])
            case k.SHIFT:
                shift = f"({x[0]} >> {self._number(i[0])})"
                if i[0] < 0:
                    _require((r[0][0] << -i[0], r[0][1] << -i[0]), (-(1 << 62), 1 << 62))
                    shift = f"({x[0]} << {self._number(-i[0])})"
                return _clamped(shift, i[1], i[2])
            case k.REQUANTIZE:
                return self._rounded(x[0], r[0], i)
            case k.PRODUCT:
                return self._rounded(f"({x[0]} * {x[1]})", _times(r[0], r[1]), i)
            case _:  # BLEND
                top = self._number(i[4])
                rest = (i[4] - r[0][1], i[4] - r[0][0])
                one, two = _times(r[0], r[1]), _times(rest, r[2])
                span = one[0] + two[0], one[1] + two[1]
                if r[0][0] >= 0 and rest[0] >= 0:  # a mean of both, with weights
                    span = min(r[1][0], r[2][0]) * i[4], max(r[1][1], r[2][1]) * i[4]
                if i[0] == 1 and all(_within(part, WORD) for part in (one, two, rest)):
                    first, second = f"np.int32({x[0]} * {x[1]})", f"np.int32({top} - {x[0]})"
                    text = f"({first} + np.int32({second} * {x[2]}))"
                else:
                    text = f"({x[0]} * {x[1]} + ({top} - {x[0]}) * {x[2]})"
                return self._rounded(text, span, i)

    def _rounded(self, text: str, span: Range, i: list[int]) -> tuple[str, Range]:
        m, s, low, high = i[:4]
        half = (1 << s) >> 1
        if m == 1 and _within((span[0], span[1] + half), WORD):
            # Sixteen numbers fit a vector register where every step stays in 32 bits.
            sum_ = f"np.int32(np.int32({text}) + {half})"
            ends = f"np.int32({low})), np.int32({high})"
            return f"np.int64(min(max(np.int32({sum_} >> {s}), {ends}))", (low, high)
        edges = span[0] * m, span[1] * m
        _require((min(edges), max(edges) + half), (-(1 << 63), (1 << 63) - 1))
        if m != 1:
            text = f"{text} * {self._number(m)}"
        return _clamped(f"(({text} + {self._number(half)}) >> {self._number(s)})", low, high)

    def _source(self) -> str:
        xs = [f"x{j}" for j in range(self._count)]
        lines = [
            "def body(inputs, firsts, constants, i, tables, outputs, state, scratch, ends, reverse):"
        ]
        put = lines.append
        put(f"    n = {'state' if len(self._states) else 'scratch'}.shape[1]")
        for j in range(len(self._immediates)):
            put(f"    i{j} = i[{j}]")
        for j in range(len(self._constants)):
            put(f"    w{j} = constants[{j}]")
        for j in range(len(self._states)):
            put(f"    c{j} = state[{j}]")
        for j in range(self._scratch):
            put(f"    s{j} = scratch[{j}]")
        put("    first = 0")
        put("    for sequence in range(ends.shape[0]):")
        put("        last = ends[sequence]")
        put("        state[:] = 0")
        put("        for step in range(last - first):")
        put("            t = last - 1 - step if reverse else first + step")
        for j, name in enumerate(xs):
            put(f"            {name} = inputs[{j}][t, firsts[{j}] : firsts[{j}] + n]")
        for j in range(len(self._emit)):
            put(f"            y{j} = outputs[{j}][t]")
        for loop in self._loops:
            if loop:
                put("            for k in range(n):")
                lines.extend(f"                {text}" for text in loop)
        put("        first = last")
        return "\n".join(lines) + "\n"


_BINARY = (k.ADD, k.MUL, k.BIAS, k.PRODUCT, k.LOOKED_UP_SUM)
_KNOWN = frozenset(
    {k.COPY, k.RSUB, k.SHL, k.SATURATE, k.REQUANTIZE, k.LOOKUP, k.BLEND, k.SHIFT, *_BINARY}
)


def _within(span: Range, within: Range) -> bool:
    return within[0] <= span[0] and span[1] <= within[1]


def _require(span: Range, within: Range) -> None:
    if not _within(span, within):
        raise _NotElementwise


def _times(a: Range, b: Range) -> Range:
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


def _clamped(text: str, low: int, high: int) -> tuple[str, Range]:
    return f"min(max({text}, {low}), {high})", (low, high)


_work: dict[str, int] = {}
_bodies: dict[str, Body] = {}


def body_for(code: ScanCode, steps: int, after: int) -> Body | None:
    """The compiled function, once its structure has more than `after` unit steps behind it."""
    found = _bodies.get(code.source)
    if found is None:
        done = _work.get(code.source, 0)
        _work[code.source] = done + steps * code.units
        if done < after:
            return None
        names: dict[str, Any] = {"np": np}
        exec(code.source, names)  # noqa: S102  our own text, from numbers alone
        found = _bodies[code.source] = numba.njit(nogil=True)(names["body"])
    return found


def run_body(
    body: Body,
    code: ScanCode,
    inputs: tuple[npt.NDArray[Any], ...],
    firsts: Ints,
    tables: npt.NDArray[np.int16],
    outputs: tuple[npt.NDArray[Any], ...],
    ends: Ints,
    reverse: bool,
) -> None:
    """Run a compiled scan; arrays as in `kernels.scan`, `firsts` the first channel of each input."""
    state = np.zeros((max(code.states, 1), code.units), np.int32)
    scratch = np.zeros((max(code.scratch, 1), code.units), np.int32)
    body(
        inputs,
        firsts,
        code.constants,
        code.immediates,
        tables,
        outputs,
        state,
        scratch,
        ends,
        reverse,
    )
