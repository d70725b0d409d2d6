"""From integer arrays to integer arrays and counters, through files."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mohaq.backends.epiphany.simulator.build import BuildOptions, build_project
from mohaq.backends.inputs import checked_input
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json

Array = npt.NDArray[np.int64]
COUNTERS = "mohaq.epiphany.counters/1"


@dataclass(frozen=True)
class RunOptions:
    """How a project is run.

    `pushes` says when data pushed to another core arrive: at once, or not before the barrier; a
    right program does not notice. `seconds` is when a run counts as hanging.
    """

    build: BuildOptions = field(default_factory=BuildOptions)
    pushes: Literal["early", "late"] = "early"
    seconds: int = 600


class ProjectRun(NamedTuple):
    """Outputs in the order of the program's results, and the stand-in's counters (JSON)."""

    outputs: tuple[Array, ...]
    counters: dict[str, Any]


def run_project(
    folder: Path, inputs: Sequence[npt.NDArray[Any]], options: RunOptions | None = None
) -> ProjectRun:
    """Build (once) and run an emitted project.

    Args:
        folder: what `emit` wrote.
        inputs: integers, one array for each input: sequences [T, B, C], states [D, B, C] or
            [B, C].
        options: see `RunOptions`.

    Raises:
        MohaqError: no compiler, damaged files, inputs that do not fit, or a run that stops.
    """
    options = options or RunOptions()
    folder = Path(folder)
    plan = read_json(folder / "plan.json", "plan of an Epiphany project")
    try:
        ports_in, ports_out = list(plan["inputs"]), list(plan["outputs"])
        if len(inputs) != len(ports_in):
            raise MohaqError(f"the program takes {len(ports_in)} inputs, got {len(inputs)}")
        arrays = [
            checked_input(i, port, np.asarray(given))
            for i, (port, given) in enumerate(zip(ports_in, inputs, strict=True))
        ]
        frames, batch = _extents(ports_in, arrays)
        shapes = [_shape(port, frames, batch) for port in ports_out]
    except (KeyError, TypeError, IndexError) as error:
        raise MohaqError(
            "the plan is damaged", where=str(folder), why=f"{type(error).__name__}: {error}"
        ) from error
    program = build_project(folder, options.build)
    with tempfile.TemporaryDirectory(prefix="mohaq-run-") as scratch:
        results, counters = _execute(
            program, folder, Path(scratch), (frames, batch, arrays), options
        )
    sizes = [int(np.prod(shape)) for shape in shapes]
    if results.size != sum(sizes):
        raise MohaqError(
            "the plan is damaged",
            where=str(folder),
            why=f"it lists {sum(sizes)} output values, the program wrote {results.size}",
        )
    pieces = np.split(results, np.cumsum(sizes)[:-1])
    return ProjectRun(tuple(p.reshape(s) for p, s in zip(pieces, shapes, strict=True)), counters)


def _extents(ports: Sequence[Mapping[str, Any]], arrays: Sequence[Array]) -> tuple[int, int]:
    frames = {a.shape[0] for p, a in zip(ports, arrays, strict=True) if p["steps"]}
    batch = {a.shape[-2] for a in arrays}
    if len(frames) > 1 or len(batch) != 1:
        raise MohaqError("the inputs disagree in their number of steps or sequences")
    return next(iter(frames), 1), batch.pop()


def _shape(port: Mapping[str, Any], frames: int, batch: int) -> tuple[int, ...]:
    channels = int(port["channels"])
    if port["steps"]:
        return (frames, batch, channels)
    if len(port["shape"]) == 2:
        return (batch, channels)
    return (int(port["depth"]), batch, channels)


def _execute(
    program: Path,
    folder: Path,
    scratch: Path,
    given: tuple[int, int, Sequence[Array]],
    options: RunOptions,
) -> tuple[Array, dict[str, Any]]:
    frames, batch, arrays = given
    paths = {name: scratch / name for name in ("inputs.bin", "outputs.bin", "counters.json")}
    header = np.array([frames, batch], dtype="<u4").tobytes()
    paths["inputs.bin"].write_bytes(header + b"".join(a.astype("<i4").tobytes() for a in arrays))
    command = [
        str(program),
        "--counters",
        str(paths["counters.json"]),
        "--timeout",
        str(options.seconds),
        str(folder / "weights.bin"),
        str(paths["inputs.bin"]),
        str(paths["outputs.bin"]),
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=options.seconds + 30,
            env={**os.environ, "MOHAQ_STANDIN_PUSH": options.pushes},
        )
    except subprocess.TimeoutExpired:
        raise MohaqError(
            "the program does not end", where=str(folder), why=f"stopped after {options.seconds} s"
        ) from None
    if done.returncode:
        raise MohaqError(
            "the program stopped",
            where=str(folder),
            why=done.stderr.strip()[-2000:] or f"status {done.returncode}",
        )
    counters = read_json(paths["counters.json"], "counters of a run")
    if not isinstance(counters, dict) or counters.get("schema") != COUNTERS:
        raise MohaqError("the counters are of another version", where=str(folder))
    return np.fromfile(paths["outputs.bin"], dtype="<i4").astype(np.int64), counters
