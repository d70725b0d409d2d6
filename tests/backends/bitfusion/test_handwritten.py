"""Programs made of the same operations in other ways; what cannot run is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mohaq.backends.base import Options, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.machine import load_target
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program

from .programs import build, check_run, from_text, random_inputs

TARGET = load_target("bitfusion-e")
POINTS = [min(32767, max(-32768, 300 * i - 38000)) for i in range(257)]
TABLE = f"qnn.table @ramp dense<{POINTS}> : tensor<257xsi16>"

LSTM_LIKE = f"""
builtin.module {{
  param.declare @v : tensor<6xsi16>
  {TABLE}
  func.func @main(%x: tensor<?x?x24xsi16>, %h0: tensor<?x6xsi16>, %c0: tensor<?x6xsi16>)
      -> (tensor<?x?x6xsi16>, tensor<?x6xsi16>, tensor<?x6xsi16>) {{
    %i = qnn.slice %x {{offset = 0 : i64, size = 6 : i64}} : (tensor<?x?x24xsi16>) -> tensor<?x?x6xsi16>
    %f = qnn.slice %x {{offset = 6 : i64, size = 6 : i64}} : (tensor<?x?x24xsi16>) -> tensor<?x?x6xsi16>
    %g = qnn.slice %x {{offset = 12 : i64, size = 6 : i64}} : (tensor<?x?x24xsi16>) -> tensor<?x?x6xsi16>
    %o = qnn.slice %x {{offset = 18 : i64, size = 6 : i64}} : (tensor<?x?x24xsi16>) -> tensor<?x?x6xsi16>
    %y, %h, %c = qnn.scan "reverse" iter(%i, %f, %g, %o : tensor<?x?x6xsi16>, tensor<?x?x6xsi16>, tensor<?x?x6xsi16>, tensor<?x?x6xsi16>) init(%h0, %c0 : tensor<?x6xsi16>, tensor<?x6xsi16>) -> (tensor<?x?x6xsi16>, tensor<?x6xsi16>, tensor<?x6xsi16>) {{
    ^bb0(%si: tensor<?x6xsi16>, %sf: tensor<?x6xsi16>, %sg: tensor<?x6xsi16>, %so: tensor<?x6xsi16>, %ph: tensor<?x6xsi16>, %pc: tensor<?x6xsi16>):
      %v = param.load @v : tensor<6xsi16>
      %vh = qnn.mul %v, %ph : (tensor<6xsi16>, tensor<?x6xsi16>) -> tensor<?x6xsi32>
      %vq = qnn.requantize %vh {{multipliers = array<i64: 20000, 30000>, shifts = array<i64: 30, 31>}} : (tensor<?x6xsi32>) -> tensor<?x6xsi16>
      %ai = qnn.add %si, %vq : (tensor<?x6xsi16>, tensor<?x6xsi16>) -> tensor<?x6xsi17>
      %bi = qnn.saturate %ai : (tensor<?x6xsi17>) -> tensor<?x6xsi16>
      %gi = qnn.lookup %bi in @ramp : (tensor<?x6xsi16>) -> tensor<?x6xsi16>
      %gf = qnn.lookup %sf in @ramp : (tensor<?x6xsi16>) -> tensor<?x6xsi16>
      %ig = qnn.mul %gi, %sg : (tensor<?x6xsi16>, tensor<?x6xsi16>) -> tensor<?x6xsi32>
      %fc = qnn.mul %gf, %pc : (tensor<?x6xsi16>, tensor<?x6xsi16>) -> tensor<?x6xsi32>
      %sum = qnn.add %ig, %fc : (tensor<?x6xsi32>, tensor<?x6xsi32>) -> tensor<?x6xsi33>
      %nc = qnn.requantize %sum {{multipliers = array<i64: 1>, shifts = array<i64: 15>}} : (tensor<?x6xsi33>) -> tensor<?x6xsi16>
      %sq = qnn.mul %nc, %nc : (tensor<?x6xsi16>, tensor<?x6xsi16>) -> tensor<?x6xsi32>
      %r = qnn.rsub %sq {{constant = -5 : i64}} : (tensor<?x6xsi32>) -> tensor<?x6xsi33>
      %sh = qnn.shl %r {{amount = 3 : i64}} : (tensor<?x6xsi33>) -> tensor<?x6xsi36>
      %q = qnn.requantize %sh {{multipliers = array<i64: 3>, shifts = array<i64: 20>}} : (tensor<?x6xsi36>) -> tensor<?x6xsi16>
      %oh = qnn.mul %so, %q : (tensor<?x6xsi16>, tensor<?x6xsi16>) -> tensor<?x6xsi32>
      %nh = qnn.requantize %oh {{multipliers = array<i64: 1>, shifts = array<i64: 15>}} : (tensor<?x6xsi32>) -> tensor<?x6xsi16>
      qnn.yield %nh, %nh, %nc : tensor<?x6xsi16>, tensor<?x6xsi16>, tensor<?x6xsi16>
    }}
    func.return %y, %h, %c : tensor<?x?x6xsi16>, tensor<?x6xsi16>, tensor<?x6xsi16>
  }}
}}
"""

GRAPH = """
builtin.module {
  param.declare @a : tensor<4x6xsi4>
  param.declare @b : tensor<4x6xsi8>
  param.declare @t : tensor<4xsi16>
  func.func @main(%x: tensor<?x?x6xsi16>) -> (tensor<?x?x14xsi16>, tensor<?x?x4xsi40>, tensor<?x?x2xsi16>) {
    %n = qnn.requantize %x {multipliers = array<i64: 1>, shifts = array<i64: 12>} : (tensor<?x?x6xsi16>) -> tensor<?x?x6xsi4>
    %wa = param.load @a : tensor<4x6xsi4>
    %wb = param.load @b : tensor<4x6xsi8>
    %t = param.load @t : tensor<4xsi16>
    %p = qnn.matmul %n, %wa {acc = #qnn.acc<64, proved, bound = 384>} : (tensor<?x?x6xsi4>, tensor<4x6xsi4>) -> tensor<?x?x4xsi10>
    %q = qnn.matmul %n, %wb {acc = #qnn.acc<64, proved, bound = 6144>} : (tensor<?x?x6xsi4>, tensor<4x6xsi8>) -> tensor<?x?x4xsi14>
    %s = qnn.add %p, %q : (tensor<?x?x4xsi10>, tensor<?x?x4xsi14>) -> tensor<?x?x4xsi15>
    %m = qnn.mul %s, %t : (tensor<?x?x4xsi15>, tensor<4xsi16>) -> tensor<?x?x4xsi31>
    %w = qnn.shl %m {amount = 9 : i64} : (tensor<?x?x4xsi31>) -> tensor<?x?x4xsi40>
    %r = qnn.requantize %m {multipliers = array<i64: 1, 3, 5, 7>, shifts = array<i64: 9, 10, 11, 12>} : (tensor<?x?x4xsi31>) -> tensor<?x?x4xsi16>
    %j = qnn.concat %x, %r, %r : (tensor<?x?x6xsi16>, tensor<?x?x4xsi16>, tensor<?x?x4xsi16>) -> tensor<?x?x14xsi16>
    %c = qnn.slice %j {offset = 5 : i64, size = 2 : i64} : (tensor<?x?x14xsi16>) -> tensor<?x?x2xsi16>
    func.return %j, %w, %c : tensor<?x?x14xsi16>, tensor<?x?x4xsi40>, tensor<?x?x2xsi16>
  }
}
"""

LONG = """
builtin.module {
  param.declare @w : tensor<1x140000xsi8>
  func.func @main(%x: tensor<?x?x140000xsi8>) -> tensor<?x?x1xsi16> {
    %w = param.load @w : tensor<1x140000xsi8>
    %p = qnn.matmul %x, %w {acc = #qnn.acc<64, proved, bound = 2293760000>} : (tensor<?x?x140000xsi8>, tensor<1x140000xsi8>) -> tensor<?x?x1xsi33>
    %y = qnn.requantize %p {multipliers = array<i64: 1>, shifts = array<i64: 17>} : (tensor<?x?x1xsi33>) -> tensor<?x?x1xsi16>
    func.return %y : tensor<?x?x1xsi16>
  }
}
"""


def run(program: Program, folder: Path, steps: int = 5, batch: int = 2) -> None:
    built = build(program, TARGET, folder)
    inputs = random_inputs(program, steps, batch, 3)
    check_run(built, TARGET, inputs, Workload(steps, batch, len(inputs) > 1))


def test_an_lstm_like_recurrence_with_two_states(tmp_path: Path) -> None:
    v = np.array([30000, -30000, 7, 0, 12345, -1], dtype=np.int16)
    run(from_text(LSTM_LIKE, v=v), tmp_path)


def test_values_used_twice_wide_results_and_joins(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(-8, 8, (4, 6)).astype(np.int8)
    b = rng.integers(-128, 128, (4, 6)).astype(np.int8)
    t = rng.integers(-32768, 32768, 4).astype(np.int16)
    run(from_text(GRAPH, a=a, b=b, t=t), tmp_path)


def test_a_long_reduction_is_cut_until_it_is_proved(tmp_path: Path) -> None:
    program = from_text(LONG, w=np.full((1, 140000), -128, dtype=np.int8))
    legal = BACKEND.legalize(program, TARGET)
    assert legal.text().count("qnn.matmul") == 2
    built = build(program, TARGET, tmp_path)
    extreme = np.full((1, 1, 140000), -128)
    check_run(built, TARGET, [extreme], Workload(1))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("%gf = qnn.lookup %sf in @ramp", "%gf = qnn.slice %sf {offset = 0 : i64, size = 6 : i64}", "qnn.slice"),
    ],
)  # fmt: skip
def test_operations_that_cannot_run_are_named(old: str, new: str, what: str) -> None:
    program = from_text(LSTM_LIKE.replace(old, new), v=np.zeros(6, dtype=np.int16))
    with pytest.raises(MohaqError, match=f"'{what}' inside a recurrence"):
        BACKEND.lower(BACKEND.legalize(program, TARGET), TARGET, Options())


def test_fixed_extents_are_refused() -> None:
    text = """
    builtin.module {
      func.func @main(%x: tensor<3x4x5xsi16>) -> tensor<3x4x5xsi8> {
        %y = qnn.requantize %x {multipliers = array<i64: 1>, shifts = array<i64: 8>} : (tensor<3x4x5xsi16>) -> tensor<3x4x5xsi8>
        func.return %y : tensor<3x4x5xsi8>
      }
    }
    """
    with pytest.raises(MohaqError, match="cannot place a value"):
        BACKEND.lower(from_text(text), TARGET, Options())
