"""Scalar functions of the `nn` dialect as attributes: `#nn.fn<tanh>`, `#nn.fn<elu, 1.0>`."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, FloatAttr, StringAttr, f64
from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.quant import number_text, parse_number

CELL_FUNCTIONS: dict[str, tuple[float, ...]] = {
    "identity": (),
    "relu": (),
    "tanh": (),
    "sigmoid": (),
    "softsign": (),
    "softplus": (),
    "affine": (1.0, 0.0),
    "leaky_relu": (0.01,),
    "thresholded_relu": (1.0,),
    "scaled_tanh": (1.0, 1.0),
    "hard_sigmoid": (0.2, 0.5),
    "elu": (1.0,),
}
"""Functions that a cell may use -> default parameters (alpha, beta); the list of the ONNX
operators LSTM, GRU and RNN, and identity. Affine: alpha x + beta; scaled_tanh:
alpha tanh(beta x); hard_sigmoid: clamp(alpha x + beta, 0, 1); elu: alpha (e^x - 1) below 0;
thresholded_relu: x where x > alpha, else 0."""

FUNCTIONS: dict[str, tuple[float, ...]] = {
    **CELL_FUNCTIONS,
    "abs": (),
    "neg": (),
    "exp": (),
    "log": (),
    "sqrt": (),
    "square": (),
    "reciprocal": (),
    "erf": (),
    "sin": (),
    "cos": (),
    "sign": (),
    "floor": (),
    "ceil": (),
    "silu": (),
    "gelu": (),
    "hard_swish": (),
    "clip": (float("-inf"), float("inf")),
}
"""All elementwise functions. gelu is the exact one (with erf); clip: parameters (low, high)."""


@irdl_attr_definition
class FunctionAttr(ParametrizedAttribute):
    """A scalar function with its parameters."""

    name = "nn.fn"
    function: StringAttr
    arguments: ArrayAttr[FloatAttr]

    @staticmethod
    def of(function: str, *parameters: float) -> FunctionAttr:
        """Build from a name; parameters left out are the defaults of `FUNCTIONS`."""
        given = (*parameters, *FUNCTIONS.get(function, ())[len(parameters) :])
        return FunctionAttr(
            StringAttr(function), ArrayAttr([FloatAttr(float(p), f64) for p in given])
        )

    @property
    def kind(self) -> str:
        """Name of the function."""
        return self.function.data

    @property
    def values(self) -> tuple[float, ...]:
        """Parameters."""
        return tuple(float(p.value.data) for p in self.arguments)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """`<name, parameter, ...>`."""
        with parser.in_angle_brackets():
            name = parser.parse_identifier()
            values: list[float] = []
            while parser.parse_optional_punctuation(",") is not None:
                values.append(_parse_parameter(parser))
        if name not in FUNCTIONS:
            parser.raise_error(f"no function '{name}'; known: {', '.join(FUNCTIONS)}")
        if len(values) > len(FUNCTIONS[name]):
            parser.raise_error(f"'{name}' takes {len(FUNCTIONS[name])} parameters")
        made = cls.of(name, *values)
        return [made.function, made.arguments]

    def print_parameters(self, printer: Printer) -> None:
        """`<name, parameter, ...>`."""
        parts = [self.kind, *(_parameter_text(v) for v in self.values)]
        printer.print_string(f"<{', '.join(parts)}>")

    def verify(self) -> None:
        if self.kind not in FUNCTIONS:
            raise VerifyException(f"no function '{self.kind}'")
        if len(self.values) != len(FUNCTIONS[self.kind]):
            raise VerifyException(f"'{self.kind}' takes {len(FUNCTIONS[self.kind])} parameters")
        if any(v != v for v in self.values):  # noqa: PLR0124  NaN
            raise VerifyException(f"a parameter of '{self.kind}' is NaN")


def _parameter_text(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return number_text(value)


def _parse_parameter(parser: AttrParser) -> float:
    minus = parser.parse_optional_punctuation("-") is not None
    if parser.parse_optional_keyword("inf") is not None:
        return float("-inf") if minus else float("inf")
    value = parse_number(parser)
    return -value if minus else value
