"""Tries every form on everything that could take it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import IntegerType

from mohaq.backends.base import Backend, Target
from mohaq.backends.registry import usable_backends
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.types import DYNAMIC, element_of, shape_of
from mohaq.compiler.driver import CompiledFolder, calibrate, compile_program
from mohaq.compiler.driver.device import device_check
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.partition import partition
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import CalibrationSettings
from mohaq.passes.fold_batchnorm import fold_batchnorm
from mohaq.tools.support.forms import FEATURES, STEPS, Form

BITS = 8


@dataclass(frozen=True)
class Cell:
    """One field of the matrix: what is shown, and the reason when it is a no."""

    text: str
    reason: str | None = None

    @property
    def yes(self) -> bool:
        """Whether it works."""
        return self.reason is None


@dataclass(frozen=True)
class Row:
    """A form and what became of it: `pytorch` and `onnx` list the names it is imported from."""

    form: Form
    pytorch: tuple[str, ...]
    onnx: tuple[str, ...]
    cells: dict[str, Cell]


def targets() -> list[tuple[Backend, Target]]:
    """The first target of every installed backend."""
    good, _ = usable_backends()
    return [(b, b.load_target(b.targets()[0])) for b in good.values()]


def shipped() -> list[tuple[Backend, Target]]:
    """Those of this package's backends alone."""
    return [m for m in targets() if type(m[0]).__module__.startswith("mohaq.backends.")]


def probe(
    forms: Sequence[Form], machines: Sequence[tuple[Backend, Target]] | None = None
) -> Iterator[Row]:
    """A row for each form, which is run, converted, and compiled and run on targets.

    Without `machines` these are the first of every installed backend.
    """
    from mohaq.compiler.frontends.onnx import supported as onnx_names
    from mohaq.compiler.frontends.pytorch import supported as torch_names

    machines = targets() if machines is None else machines
    for form in forms:
        program = form.program()
        cells = {
            "float": _tried(_runs, program),
            "torch.fx": _tried(_fx, program),
            "ONNX export": _tried(_exported, program),
        }
        for backend, target in machines:
            cells[target.name] = _on_target(form, backend, target)
        yield Row(form, _sources(torch_names(), form), _sources(onnx_names(), form), cells)


def _sources(names: Mapping[str, str], form: Form) -> tuple[str, ...]:
    return tuple(
        sorted(n for n, to in names.items() if form.kind.name in re.findall(r"nn\.\w+", to))
    )


def _tried(function: Callable[[Program], str], program: Program) -> Cell:
    try:
        return Cell(function(program))
    except MohaqError as error:
        return Cell("no", _short(error))


def _short(error: MohaqError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what


def _inputs(program: Program) -> list[npt.NDArray[Any]]:
    """Values for every argument at T = 4, one sequence."""
    rng = np.random.default_rng(1)
    found: list[npt.NDArray[Any]] = []
    for number, arg in enumerate(program.entry.args):
        shape = [
            (STEPS if number == 0 and place == 0 else 1) if n == DYNAMIC else n
            for place, n in enumerate(shape_of(arg))
        ]
        if isinstance(element_of(arg), IntegerType):
            found.append(np.ones(shape, dtype=np.int64))
        else:
            found.append(rng.normal(size=shape).astype(np.float32))
    return found


def _runs(program: Program) -> str:
    run_float(program, _inputs(program))
    return "yes"


def _agree(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> str:
    if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-4, atol=1e-5):
        raise MohaqError("differs from the interpreter")
    return "yes"


def _fx(program: Program) -> str:
    import torch

    inputs = _inputs(program)
    with torch.no_grad():
        made = program.to_fx()(*(torch.from_numpy(i) for i in inputs))
    first = made[0] if isinstance(made, tuple) else made
    return _agree(run_float(program, inputs)[0], first.numpy())


def _exported(program: Program) -> str:
    import onnxruntime

    inputs = _inputs(program)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(program.to_onnx().SerializeToString(), options)
    wanted = {i.name for i in session.get_inputs()}
    names = [i.name for i in program.to_onnx().graph.input]
    feeds = {n: v for n, v in zip(names, inputs, strict=True) if n in wanted}
    made = session.run(None, feeds)
    return _agree(run_float(program, inputs)[0], np.asarray(made[0]))


def _on_target(form: Form, backend: Backend, target: Target) -> Cell:
    """Widths of the layer's slots after compiling it and running it bit for bit; or `host`."""
    if not issubclass(form.kind, LayerOp):
        return Cell(
            "host", "targets run recurrent and linear layers; everything else is the host's"
        )
    program = form.program()
    fold_batchnorm(program)
    try:
        cut = partition(program, device_check(backend, target))
    except MohaqError as error:
        return Cell("host", (error.why or error.what).removeprefix("'layer': "))
    groups = backend.legality(layer_table(cut.core).layers[0], target).groups
    rng = np.random.default_rng(2)
    data = [rng.normal(size=(STEPS, FEATURES)).astype(np.float32) for _ in range(2)]
    widths = {
        s.slot: sorted({c[i] for c in g.choices}) for g in groups for i, s in enumerate(g.slots)
    }
    narrow = {s: BITS if BITS in w else w[-1] for s, w in widths.items()}
    every = tuple(sorted({n for w in widths.values() for n in w}))
    try:
        calibrate(program, data, CalibrationSettings(every, "minmax"))
        slots = {s: narrow[s.slot] for g in groups for s in g.slots}
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "compiled"
            compile_program(program, target.name, Assignment(slots), out)
            if not CompiledFolder(out).run(data[0], check=True).equal:
                raise MohaqError("the simulator differs from the reference")
    except MohaqError as error:
        return Cell("host", _short(error))
    return Cell(_widths_text(widths))


def _widths_text(widths: dict[str, list[int]]) -> str:
    by_choice: dict[tuple[int, ...], list[str]] = {}
    for slot, choices in widths.items():
        by_choice.setdefault(tuple(choices), []).append(slot)
    return "; ".join(
        f"{', '.join(slots)}: {'/'.join(map(str, choices))}" for choices, slots in by_choice.items()
    )
