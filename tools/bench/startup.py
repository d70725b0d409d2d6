"""What it costs to start: processor seconds of commands, beside those of Python and xDSL.

    python -m mohaq.tools.bench.startup [--repeat 5]

Seconds are user and system time of a process (resource.getrusage), the best of several, so that
other work on the machine counts little. Bytecode is cached, as it is in an installation.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMITS = {"mohaq --help": 0.3, "mohaq-opt --help": 0.3, "mohaq-opt, 10 operations": 0.5}
"""Goals, in seconds."""

LAYER = (
    '%{0} = nn.linear "l{0}" %{1}, %w : (tensor<?x?x4xf32>, tensor<4x4xf32>) -> tensor<?x?x4xf32>'
)


def ten_operations() -> str:
    """A program of nine linear layers and a return."""
    layers = "\n  ".join(LAYER.format(i, i - 1) for i in range(1, 10))
    return (
        "func.func @main(%0: tensor<?x?x4xf32>, %w: tensor<4x4xf32>) -> tensor<?x?x4xf32> {\n"
        f"  {layers}\n  func.return %9 : tensor<?x?x4xf32>\n}}\n"
    )


def commands(folder: Path) -> dict[str, Sequence[str]]:
    """{name: command} of what is measured."""
    source = folder / "ten.mlir"
    source.write_text(ten_operations())
    opt = (sys.executable, "-m", "mohaq.tools.opt")
    return {
        "python -c pass": (sys.executable, "-c", "pass"),
        'python -c "import numpy"': (sys.executable, "-c", "import numpy"),
        "python -c (xDSL's parser)": (
            sys.executable,
            "-c",
            "import xdsl.parser, xdsl.passes, xdsl.dialects.builtin, xdsl.dialects.func",
        ),
        "mohaq --help": (sys.executable, "-m", "mohaq.tools.cli", "--help"),
        "mohaq passes": (sys.executable, "-m", "mohaq.tools.cli", "passes"),
        "mohaq-opt --help": (*opt, "--help"),
        "mohaq-opt, 10 operations": (*opt, str(source), "-p", "canonicalize,cse"),
    }


def processor_seconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """User and system seconds of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(environment))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 whatever it says, as seconds are this machine's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5, help="runs, of which the best counts")
    repeat = max(1, parser.parse_args(argv).repeat)
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": f"{scratch}/bytecode"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        print(f"{'command':28} {'seconds':>8} {'/ python':>9} {'goal':>6}")
        base = 0.0
        for name, command in commands(Path(scratch)).items():
            processor_seconds(command, environment)  # fills the cache of bytecode
            best = min(processor_seconds(command, environment) for _ in range(repeat))
            base = base or best
            goal = f"{LIMITS[name]:6.1f}" if name in LIMITS else ""
            print(f"{name:28} {best:8.3f} {best / base:9.1f} {goal}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
