"""`quant`: the integer grids and calibration facts that annotate `nn` operations.

A grid of width b holds integers q in [-2^(b-1), 2^(b-1)-1] that stand for (q - zero) * scale;
scale = clip / (2^(b-1)-1) and zero = 0 unless an imported model says otherwise (DESIGN D5;
MOHAQ, arXiv 2108.01192). A weight's grid may have one step a row of the matrix: then `rows`
names a parameter float32 [N] with the steps, and the scale is the largest of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, IntAttr, StringAttr, f64
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
    """`#quant.grid<8, 0.0123>`: width in bits and scale.

    `#quant.grid<8, 0.0123, zero = -18>` has a zero point, `#quant.grid<8, 0.0123, rows = @name>`
    a step for every row of a weight matrix.
    """

    name = "quant.grid"
    width: IntAttr
    scale: FloatAttr
    offset: IntAttr
    steps: StringAttr

    @staticmethod
    def of(width: int, scale: float, *, zero: int = 0, rows: str = "") -> GridAttr:
        """Build from plain numbers; `rows` names the parameter with the rows' steps."""
        return GridAttr(
            IntAttr(width), FloatAttr(float(scale), f64), IntAttr(zero), StringAttr(rows)
        )

    @staticmethod
    def from_clip(width: int, clip: float, *, rows: str = "") -> GridAttr:
        """Grid whose largest positive value is `clip`: scale = clip / (2^(width-1) - 1)."""
        return GridAttr.of(width, float(clip) / ((1 << (width - 1)) - 1), rows=rows)

    @property
    def bits(self) -> int:
        """Width in bits."""
        return self.width.data

    @property
    def step(self) -> float:
        """Real value of one integer step; of the coarsest row when rows differ."""
        return float(self.scale.value.data)

    @property
    def zero(self) -> int:
        """The integer that stands for 0."""
        return self.offset.data

    @property
    def rows(self) -> str:
        """Parameter with the step of every row, empty when all have the same."""
        return self.steps.data

    @property
    def low(self) -> int:
        """Smallest integer of the grid."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """Largest integer of the grid."""
        return (1 << (self.bits - 1)) - 1

    def facts(self) -> dict[str, int | float | str]:
        """{"width", "scale"}, and "zero_point" and "rows" where the grid has them."""
        found: dict[str, int | float | str] = {"width": self.bits, "scale": self.step}
        if self.zero:
            found["zero_point"] = self.zero
        if self.rows:
            found["rows"] = self.rows
        return found

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """`<width, scale (, zero = integer)? (, rows = @name)?>`."""
        zero, rows = 0, ""
        with parser.in_angle_brackets():
            width = parser.parse_integer(allow_boolean=False, allow_negative=False)
            parser.parse_punctuation(",")
            scale = parse_number(parser)
            while parser.parse_optional_punctuation(","):
                if parser.parse_optional_keyword("zero"):
                    parser.parse_punctuation("=")
                    zero = parser.parse_integer(allow_boolean=False)
                else:
                    parser.parse_keyword("rows")
                    parser.parse_punctuation("=")
                    rows = parser.parse_symbol_name().data
        if why := _problem(width, scale, zero, rows):
            parser.raise_error(f"grid {why}")
        return cls.of(width, scale, zero=zero, rows=rows).parameters

    def print_parameters(self, printer: Printer) -> None:
        """See `parse_parameters`."""
        printer.print_string(f"<{self.bits}, {number_text(self.step)}")
        if self.zero:
            printer.print_string(f", zero = {self.zero}")
        if self.rows:
            printer.print_string(", rows = ")
            printer.print_symbol_name(self.rows)
        printer.print_string(">")

    def verify(self) -> None:
        if why := _problem(self.bits, self.step, self.zero, self.rows):
            raise VerifyException(f"grid {why}")


def _problem(width: int, scale: float, zero: int, rows: str) -> str | None:
    """What is wrong with the numbers of a grid, None if nothing is."""
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        return f"width must be {MIN_WIDTH}..{MAX_WIDTH} bits, got {width}"
    if not 0 < scale < float("inf"):
        return f"scale must be positive and finite, got {scale}"
    if not -(1 << (width - 1)) <= zero < 1 << (width - 1):
        return f"zero point {zero} is no integer of {width} bits"
    return "of rows has no zero point" if rows and zero else None


@irdl_attr_definition
class ClipsAttr(ParametrizedAttribute):
    """`#quant.clips<2 = 1.5, 4 = 3.1, 8 = 5.0, 16 = 7.2>`: clip of a slot for each width.

    The best clip depends on the width, so calibration stores one for each. With one clip a row
    of a weight (`8 = 5.0 @name`) the number is the largest and the parameter has the steps.
    """

    name = "quant.clips"
    widths: ArrayAttr[IntAttr]
    values: ArrayAttr[FloatAttr]
    steps: ArrayAttr[StringAttr]

    @staticmethod
    def of(clips: Mapping[int, float], rows: Mapping[int, str] | None = None) -> ClipsAttr:
        """Build from {width: clip} and, per channel, {width: parameter with the rows' steps}."""
        items = sorted(clips.items())
        return ClipsAttr(
            ArrayAttr([IntAttr(w) for w, _ in items]),
            ArrayAttr([FloatAttr(float(c), f64) for _, c in items]),
            ArrayAttr([StringAttr((rows or {}).get(w, "")) for w, _ in items]),
        )

    def clips(self) -> dict[int, float]:
        """{width: clip}."""
        return {w.data: float(v.value.data) for w, v in zip(self.widths, self.values, strict=True)}

    def rows(self) -> dict[int, str]:
        """{width: parameter with the rows' steps} of the widths that have one."""
        return {w.data: s.data for w, s in zip(self.widths, self.steps, strict=True) if s.data}

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """`<width = clip @name?, ...>`."""

        def entry() -> tuple[int, float, str]:
            width = parser.parse_integer(allow_boolean=False, allow_negative=False)
            parser.parse_punctuation("=")
            clip = parse_number(parser)
            name = parser.parse_optional_symbol_name()
            return width, clip, name.data if name else ""

        found = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, entry)
        made = cls.of({w: c for w, c, _ in found}, {w: name for w, _, name in found})
        return made.parameters

    def print_parameters(self, printer: Printer) -> None:
        """See `parse_parameters`."""
        rows = self.rows()
        with printer.in_angle_brackets():
            for place, (width, clip) in enumerate(self.clips().items()):
                printer.print_string(f"{', ' if place else ''}{width} = {number_text(clip)}")
                if width in rows:
                    printer.print_string(" ")
                    printer.print_symbol_name(rows[width])

    def verify(self) -> None:
        for width, clip in self.clips().items():
            if not MIN_WIDTH <= width <= MAX_WIDTH:
                raise VerifyException(f"clip width {width} outside {MIN_WIDTH}..{MAX_WIDTH}")
            if not 0 < clip < float("inf"):
                raise VerifyException(f"clip {clip} is not positive and finite")


def row_parameters(attributes: Mapping[str, Attribute]) -> set[str]:
    """Parameters that grids and clips among the attributes of a layer name."""
    found: set[str] = set()
    for held in attributes.values():
        for one in held.data.values() if isinstance(held, DictionaryAttr) else ():
            if isinstance(one, GridAttr) and one.rows:
                found.add(one.rows)
            elif isinstance(one, ClipsAttr):
                found.update(one.rows().values())
    return found


Quant = Dialect("quant", [], [GridAttr, ClipsAttr])
