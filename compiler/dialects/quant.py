"""`quant`: the integer grids and calibration facts that annotate `nn` operations.

A grid of width b holds integers q in [-2^(b-1), 2^(b-1)-1] that stand for q * scale, with
scale = clip / (2^(b-1)-1) and no zero point (DESIGN D5; MOHAQ, arXiv 2108.01192).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import ArrayAttr, FloatAttr, IntAttr, f64
from xdsl.ir import Attribute, Dialect, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

MIN_WIDTH, MAX_WIDTH = 2, 16


def number_text(value: float) -> str:
    """Shortest text that reads back as the same double, in the lexer's float syntax."""
    text = repr(float(value))
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{e}{exponent}"


def parse_number(parser: AttrParser) -> float:
    """A number with or without a point."""
    return float(parser.parse_number(allow_boolean=False))


@irdl_attr_definition
class GridAttr(ParametrizedAttribute):
    """`#quant.grid<8, 0.0123>`: width in bits and scale (one number: per tensor)."""

    name = "quant.grid"
    width: IntAttr
    scale: FloatAttr

    @staticmethod
    def of(width: int, scale: float) -> GridAttr:
        """Build from plain numbers."""
        return GridAttr(IntAttr(width), FloatAttr(float(scale), f64))

    @staticmethod
    def from_clip(width: int, clip: float) -> GridAttr:
        """Grid whose largest positive value is `clip`: scale = clip / (2^(width-1) - 1)."""
        return GridAttr.of(width, float(clip) / ((1 << (width - 1)) - 1))

    @property
    def bits(self) -> int:
        """Width in bits."""
        return self.width.data

    @property
    def step(self) -> float:
        """Real value of one integer step."""
        return float(self.scale.value.data)

    @property
    def low(self) -> int:
        """Smallest integer of the grid."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """Largest integer of the grid."""
        return (1 << (self.bits - 1)) - 1

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """`<width, scale>`."""
        with parser.in_angle_brackets():
            width = parser.parse_integer(allow_boolean=False, allow_negative=False)
            parser.parse_punctuation(",")
            scale = parse_number(parser)
        if not MIN_WIDTH <= width <= MAX_WIDTH:
            parser.raise_error(f"grid width must be {MIN_WIDTH}..{MAX_WIDTH} bits, got {width}")
        if not 0 < scale < float("inf"):
            parser.raise_error(f"grid scale must be positive and finite, got {scale}")
        return [IntAttr(width), FloatAttr(scale, f64)]

    def print_parameters(self, printer: Printer) -> None:
        """`<width, scale>`."""
        printer.print_string(f"<{self.bits}, {number_text(self.step)}>")

    def verify(self) -> None:
        if not MIN_WIDTH <= self.bits <= MAX_WIDTH:
            raise VerifyException(f"grid width {self.bits} outside {MIN_WIDTH}..{MAX_WIDTH}")
        if not 0 < self.step < float("inf"):
            raise VerifyException(f"grid scale {self.step} is not positive and finite")


@irdl_attr_definition
class ClipsAttr(ParametrizedAttribute):
    """`#quant.clips<2 = 1.5, 4 = 3.1, 8 = 5.0, 16 = 7.2>`: clip of a slot for each width.

    The best clip depends on the width, so calibration stores one for each.
    """

    name = "quant.clips"
    widths: ArrayAttr[IntAttr]
    values: ArrayAttr[FloatAttr]

    @staticmethod
    def of(clips: Mapping[int, float]) -> ClipsAttr:
        """Build from {width: clip}."""
        items = sorted(clips.items())
        return ClipsAttr(
            ArrayAttr([IntAttr(w) for w, _ in items]),
            ArrayAttr([FloatAttr(float(c), f64) for _, c in items]),
        )

    def clips(self) -> dict[int, float]:
        """{width: clip}."""
        return {w.data: float(v.value.data) for w, v in zip(self.widths, self.values, strict=True)}

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """`<width = clip, ...>`."""

        def entry() -> tuple[int, float]:
            width = parser.parse_integer(allow_boolean=False, allow_negative=False)
            parser.parse_punctuation("=")
            return width, parse_number(parser)

        pairs = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, entry)
        made = cls.of(dict(pairs))
        return [made.widths, made.values]

    def print_parameters(self, printer: Printer) -> None:
        """`<width = clip, ...>`."""
        printer.print_string(
            "<" + ", ".join(f"{w} = {number_text(c)}" for w, c in self.clips().items()) + ">"
        )

    def verify(self) -> None:
        for width, clip in self.clips().items():
            if not MIN_WIDTH <= width <= MAX_WIDTH:
                raise VerifyException(f"clip width {width} outside {MIN_WIDTH}..{MAX_WIDTH}")
            if not 0 < clip < float("inf"):
                raise VerifyException(f"clip {clip} is not positive and finite")


Quant = Dialect("quant", [], [GridAttr, ClipsAttr])
