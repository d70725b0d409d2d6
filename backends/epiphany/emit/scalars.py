"""C expressions of scalar operations, exact and without undefined behaviour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mohaq.backends.epiphany.lowering.nodes import Link, Node
from mohaq.compiler.analysis.ranges import signed_bits_of

INT, HALF = 32, 16


def c_type(bits: int) -> str:
    """The type that holds a value."""
    return "int32_t" if bits <= INT else "int64_t"


def literal(value: int) -> str:
    """An integer constant."""
    if value == -(1 << 31):
        return "INT32_MIN"
    if signed_bits_of(value, value) <= INT:
        return str(value)
    return "INT64_MIN" if value == -(1 << 63) else f"INT64_C({value})"


Number = Callable[[int], str]
"""Writes a constant: as it stands, or by its place among the numbers of a stage."""


def clamped(text: str, bits: int, edges: tuple[int, int]) -> str:
    """A value of `bits` bits clamped to [low, high]."""
    low, high = edges
    if low <= -(1 << (bits - 1)) and high >= (1 << (bits - 1)) - 1:
        return text
    name = "mohaq_clamp" if bits <= INT else "mohaq_clamp_wide"
    return f"{name}({text}, {literal(low)}, {literal(high)})"


def rescaled(
    text: str, bits: int, m: int, s: int, edges: tuple[int, int], number: Number = literal
) -> str:
    """clamp((x * m + 2^(s-1)) >> s) of a value of `bits` bits.

    Four forms: shifts alone for m = 1; in 32 bits where x has 16 and m 15 bits; in two halves
    (see mohaq_rescale) where m has 15 bits and the shift is at least 17; in 64 bits else, of two
    32-bit products (see mohaq_product) where m has 15 bits.
    """
    half = (1 << s) >> 1
    if m == 1 and s > 1:
        found = max(2, bits + 1 - s)
        cast = "(int32_t)" if bits > INT and found <= INT else ""
        return clamped(f"{cast}((({text} >> {s - 1}) + 1) >> 1)", found, edges)
    if bits <= HALF and m < 1 << 15 and s <= INT - 2:
        inner = f"({text} * {number(m)} + {number(half)}) >> {number(s)}"
        return clamped(f"({inner})", INT, edges)
    if bits <= INT and m < 1 << 15 and 17 <= s <= 47:
        return clamped(f"mohaq_rescale({text}, {number(m)}, {number(s)})", INT, edges)
    inner = f"(int64_t){text} * {number(m)}"
    if bits <= INT and 0 <= m < 1 << 15:
        inner = f"mohaq_product({text}, {number(m)})"
    if s:
        inner = f"({inner} + {literal(half)}) >> {s}"
    low, high = edges
    cast = "(int32_t)" if signed_bits_of(low, high) <= INT else ""
    return f"{cast}mohaq_clamp_wide({inner}, {literal(low)}, {literal(high)})"


@dataclass(frozen=True)
class Writer:
    """Writes operations.

    bits: of a node's value. tables: {symbol: (C name, shift, interpolated)}. number: writes
    constants that differ between layers.
    """

    bits: Callable[[Node], int]
    tables: dict[str, tuple[str, int, bool]]
    number: Number = literal

    def expression(self, node: Node, args: list[str]) -> str:
        """The right-hand side."""
        wide = self.bits(node) > INT
        facts = node.facts
        given = [self.bits(a) for a in node.args]

        def operand(number: int) -> str:
            grows = wide and given[number] <= INT
            return f"(int64_t){args[number]}" if grows else args[number]

        match node.kind:
            case "add":
                return f"{operand(0)} + {operand(1)}"
            case "mul":
                return f"{operand(0)} * {operand(1)}"
            case "bias":
                parts = [self._scaled(operand(0), facts["a"]), self._scaled(operand(1), facts["b"])]
                return " + ".join(parts)
            case "shl":
                return self._scaled(operand(0), facts["s"])
            case "rsub":
                narrow = not wide and signed_bits_of(facts["k"], facts["k"]) <= INT
                return f"{facts['k'] if narrow else literal(facts['k'])} - {operand(0)}"
            case "saturate":
                return self._cast(clamped(args[0], given[0], facts["edges"]), node, given[0])
            case "requantize":
                return rescaled(
                    args[0], given[0], facts["m"], facts["s"], facts["edges"], self.number
                )
            case "shr":
                s = facts["s"]
                inner = f"({args[0]} >> {s})" if s >= 0 else self._scaled(operand(0), -s)
                grown = max(given[0], given[0] - s)
                return self._cast(clamped(inner, grown, facts["edges"]), node, grown)
            case "split":
                return f"{args[0]} >> 8" if facts["high"] else f"{args[0]} & 255"
            case "lookup":
                name, shift, between = self.tables[facts["table"]]
                kind = "mohaq_line" if between else "mohaq_step"
                return f"{kind}({name}, {shift}, {args[0]})"
        raise AssertionError(node.kind)

    def _scaled(self, text: str, amount: int) -> str:
        """A left shift as a product: a negative value must not be shifted left."""
        if amount < INT - 1:
            return f"{text} * {self.number(1 << amount)}"
        return f"{text} * {literal(1 << amount)}"

    def _cast(self, text: str, node: Node, given: int) -> str:
        return f"(int32_t){text}" if given > INT >= self.bits(node) else text


def linked(text: str, bits: int, chain: tuple[Link, ...], number: Number = literal) -> str:
    """Operations of a chain on a stored value of `bits` bits."""
    for link in chain:
        if link.kind == "requantize":
            m, s, low, high = link.facts
            text = rescaled(text, bits, m, s, (low, high), number)
            bits = signed_bits_of(low, high)
        elif link.kind == "saturate":
            low, high = link.facts
            text = clamped(text, bits, (low, high))
            bits = min(bits, signed_bits_of(low, high))
        elif link.kind == "high":
            text, bits = f"({text} >> 8)", 8
        else:
            text, bits = f"({text} & 255)", 9
    return text
