"""The order in which an imported program is made ready for calibration."""

from __future__ import annotations

from xdsl.transforms.canonicalize import CanonicalizePass

from mohaq.compiler.program import Program
from mohaq.passes.absorb_fake_quantize import absorb_fake_quantize
from mohaq.passes.conv_to_linear import conv_to_linear
from mohaq.passes.fold_batchnorm import fold_batchnorm
from mohaq.passes.time_first import time_first


def prepare(program: Program) -> None:
    """Bring a program in place into the form in which most layers can run on a target.

    canonicalize, fold-batchnorm, absorb-fake-quantize, conv-to-linear, time-first,
    canonicalize, and fold-batchnorm once more for normalizations that only a transpose kept
    from their layer. Layers keep their names and the function stays the same, but for roundings
    of an already quantized model that slots take over: those happen on the target only. A prepared
    program, and one that a target can run whole, stays as it is.
    """
    _canonicalize(program)
    fold_batchnorm(program)
    absorb_fake_quantize(program)
    conv_to_linear(program)
    time_first(program)
    _canonicalize(program)
    if fold_batchnorm(program):
        _canonicalize(program)  # the loads that are no longer read
    program.prune_parameters()


def _canonicalize(program: Program) -> None:
    CanonicalizePass().apply(program.context(), program.module)
