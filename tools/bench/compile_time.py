"""Processor time of compiling the paper-size SRU network, from the model file to emitted code.

    python -m mohaq.tools.bench.compile_time [--targets silago1-nn,bitfusion-e] [--repeat 3]

Four bidirectional SRU layers of 550 units with projections, random weights. The model file is a
calibrated program folder, as `mohaq import --data` writes it. Each target is compiled in processes
of its own without the cache, as the command line does it; the least of the repeats counts.
`start` are the imports, `all` is the whole process; seconds are those of its processor time (user
and system, all threads and children), which other processes on the machine change less than the
time on the wall, shown as `wall`. `import` is the time to bring the network from a PyTorch module
through torch.export into the program folder, without calibration; `again` is a compilation that
the cache answers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mohaq.tools.console import table

TARGETS = {
    "silago1-nn": 16,
    "silago-mohaq": 8,
    "bitfusion-e": 4,
    "epiphany-e16": 8,
    "epiphany-e64": 8,
    "reference": 8,
}
"""Target -> bits of all slots."""

STAGES = (
    "start",
    "load",
    "quantize",
    "lower to integers",
    "legalize",
    "lower to target",
    "write",
    "emit",
)


@dataclass(frozen=True)
class Line:
    """Seconds of one target: processor time by stage, in all, with the cache; time on the wall."""

    target: str
    bits: int
    stages: Mapping[str, float]
    all: float
    again: float
    wall: float

    def row(self) -> list[str]:
        """As the table shows it."""
        seconds = (*self.stages.values(), self.all, self.again, self.wall)
        return [self.target, str(self.bits), *(f"{value:.2f}" for value in seconds)]


CHILD = """
import json, sys, time
from pathlib import Path
model, target, bits, out = sys.argv[1:]
marks = []
def tell(step):
    marks.append((step, time.process_time()))
from mohaq.compiler.assignment import Assignment
from mohaq.tools.compiling import Order, compile_order
tell("load the model")
order = Order(model, Path(out), target=target, assignment=Assignment.uniform(int(bits)), cached=False)
compile_order(order, tell)
tell("end")
print(json.dumps(marks))
"""


def stage_of(step: str) -> str:
    """The column that a step of the driver belongs to."""
    if step.startswith("write "):
        return "write"
    if step.startswith("legalize"):
        return "legalize"
    if step.startswith("lower to ") and step != "lower to integers":
        return "lower to target"
    known = {"load the model": "load", "cut off what runs on the host": "quantize"}
    return known.get(step, step)


def measure(model: Path, target: str, bits: int, repeat: int) -> Line:
    """The fastest of some runs.

    Raises:
        CalledProcessError: the target does not compile the network.
    """
    found: list[Line] = []
    with tempfile.TemporaryDirectory() as place:
        words = [str(model), target, str(bits), f"{place}/out"]
        for _ in range(repeat):
            begin, before = time.perf_counter(), _children()
            done = _python("-c", CHILD, *words)
            wall, spent = time.perf_counter() - begin, _children() - before
            marks = json.loads(done.splitlines()[-1])
            seconds = dict.fromkeys(STAGES, 0.0)
            seconds["start"] = marks[0][1]
            for (step, first), (_, last) in pairwise(marks):
                seconds[stage_of(step)] += last - first
            again = _again(words, place)
            found.append(Line(target, bits, seconds, spent, again, wall))
    return min(found, key=lambda line: line.all)


def _again(words: Sequence[str], place: str) -> float:
    """A second compilation by the command line, which the cache answers."""
    model, target, bits, out = words
    command = ["-m", "mohaq.tools.cli", "compile", model, "-t", target, "-b", bits, "-o", out]
    cache = {"MOHAQ_CACHE": f"{place}/cache"}
    if not Path(place, "cache").is_dir():
        _python(*command, **cache)
    before = _children()
    said = _python(*command, **cache)
    if "reused the compiled folder" not in said:
        raise RuntimeError(f"the cache did not answer: {said}")
    return _children() - before


def import_time(folder: Path) -> float:
    """Write the program folder; processor time of the import alone."""
    import numpy as np
    import torch

    import mohaq
    from mohaq.tools.speech.networks import build_network

    torch.manual_seed(0)
    network = build_network("paper").eval()
    begin = time.process_time()
    program = mohaq.load(network, (torch.zeros(8, 2, 23),))
    spent = time.process_time() - begin
    rng = np.random.default_rng(0)
    mohaq.calibrate(program, [rng.normal(size=(t, 23)).astype(np.float32) for t in (20, 30)])
    program.save(folder)
    return spent


def _python(*words: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as place:
        spent = import_time(Path(place) / "paper")
        lines = [
            measure(Path(place) / "paper", name, TARGETS.get(name, 8), args.repeat)
            for name in args.targets.split(",")
        ]
    table(
        "Compiling the paper-size SRU: seconds of processor time",
        ("target", "bits", *STAGES, "all", "again", "wall"),
        [line.row() for line in lines],
    )
    print(f"import through torch.export: {spent:.2f} s")


if __name__ == "__main__":
    main()
