"""From a calibrated program to an emitted folder, and running that folder.

A compiled folder:

    manifest.json         what it is, for whom, the grids of inputs and results, the host's part
    assignment.json       widths, complete
    target.toml           the machine's constants
    estimate.json         cycles, seconds, joules, bytes; per layer and in all
    0-nn/                 the whole program
    1-quantized/ 2-qnn/ 3-legalized/ 4-<backend>/    the part on the target, a program each
    host-before/ host-after/    what the host runs, if anything
    emitted/              what the target runs; `run` needs nothing else but the host's programs

A compilation can stop after each of these programs and go on from there (stopped.py).
"""

from mohaq.compiler.driver.build import (
    Compiled,
    Lowered,
    compile_program,
    finish,
    lower_for_target,
)
from mohaq.compiler.driver.calibration import calibrate
from mohaq.compiler.driver.figures import costs_json, estimate_json
from mohaq.compiler.driver.folder import CompiledFolder, Ran, reference_outputs
from mohaq.compiler.driver.names import EMITTED, LEGALIZED, MANIFEST, SCHEMA, TARGET_FILE
from mohaq.compiler.driver.stages import Stage, stage_named, stages
from mohaq.compiler.driver.stopped import Held, Stopped, find_start, reopen, stop, stop_at_program
from mohaq.compiler.driver.work import Work, start

__all__ = [
    "EMITTED",
    "LEGALIZED",
    "MANIFEST",
    "SCHEMA",
    "TARGET_FILE",
    "Compiled",
    "CompiledFolder",
    "Held",
    "Lowered",
    "Ran",
    "Stage",
    "Stopped",
    "Work",
    "calibrate",
    "compile_program",
    "costs_json",
    "estimate_json",
    "find_start",
    "finish",
    "lower_for_target",
    "reference_outputs",
    "reopen",
    "stage_named",
    "stages",
    "start",
    "stop",
    "stop_at_program",
]
