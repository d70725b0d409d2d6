"""From an emitted folder to an executable: `make standin` in a temporary copy."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from mohaq.compiler.diagnostics import MohaqError

SOURCES = ("device", "host", "standin")
PROGRAM = "host_standin"

Sanitizer = Literal["", "address,undefined", "thread"]


@dataclass(frozen=True)
class BuildOptions:
    """How the stand-in is compiled.

    `compiler` is what `make` takes as CC: a command, possibly with options. `sanitize` names
    sanitizers of the compiler, or none.
    """

    compiler: str = ""
    sanitize: Sanitizer = ""
    jobs: int = 2


def missing_tools(options: BuildOptions | None = None) -> str:
    """What this computer lacks to build projects, in words; empty when nothing is missing."""
    wanted = ("make", _compiler(options or BuildOptions()).split()[0])
    missing = [tool for tool in wanted if shutil.which(tool) is None]
    return " and ".join(missing)


def build_project(folder: Path, options: BuildOptions | None = None) -> Path:
    """The executable of an emitted project; built once a process for equal sources and options.

    The folder itself is not written to.

    Raises:
        MohaqError: no compiler, not a project, or it does not compile.
    """
    options = options or BuildOptions()
    lacking = missing_tools(options)
    if lacking:
        raise MohaqError(
            "an Epiphany project is run by compiling it",
            why=f"this computer has no {lacking}",
            hint="install a C compiler and make, or name the compiler in the variable CC",
        )
    sources = _sources(Path(folder))
    digest = hashlib.sha256(repr((_compiler(options), options.sanitize)).encode())
    for name, content in sources.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    place = Path(_root().name) / digest.hexdigest()
    if not (place / PROGRAM).exists():
        _build(place, sources, options, str(folder))
    return place / PROGRAM


def _compiler(options: BuildOptions) -> str:
    return options.compiler or os.environ.get("CC", "") or "cc"


@cache
def _root() -> tempfile.TemporaryDirectory[str]:
    """Of this process; removed at its end."""
    return tempfile.TemporaryDirectory(prefix="mohaq-epiphany-")


def _sources(folder: Path) -> dict[str, bytes]:
    if not (folder / "Makefile").is_file() or not (folder / "device").is_dir():
        raise MohaqError("not a project of the Epiphany backend", where=str(folder))
    files = [folder / "Makefile"]
    for name in SOURCES:
        files += sorted(p for p in (folder / name).glob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def _build(place: Path, sources: dict[str, bytes], options: BuildOptions, where: str) -> None:
    shutil.rmtree(place, ignore_errors=True)
    for name, content in sources.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    command = [
        "make",
        f"-j{options.jobs}",
        "standin",
        f"CC={_compiler(options)}",
        f"SANITIZE={options.sanitize}",
        "BUILD=build",
    ]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise MohaqError(
            "the emitted project does not compile",
            where=where,
            why="; ".join(lines[:3]) or done.stderr.strip()[-300:],
        )
    (place / "build" / PROGRAM).replace(place / PROGRAM)
