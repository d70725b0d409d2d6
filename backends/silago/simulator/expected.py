"""Compares what an emitted folder does with its sidecar (docs/file-formats.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Expected
from mohaq.backends.silago.isa.text import read_bits
from mohaq.backends.silago.simulator.check_words import (
    FILE,
    SCHEMA,
    Ints,
    digest,
    elementwise_operands,
    filled,
    product_vectors,
)
from mohaq.backends.silago.simulator.folder import MANIFEST, Opened, open_folder
from mohaq.backends.silago.simulator.host import Host
from mohaq.backends.silago.simulator.run import Engine, run
from mohaq.backends.silago.simulator.state import Run
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json

Row = Mapping[str, Any]


def check_expected(folder: Path, *, engine: Engine = "fast") -> Expected:
    """Run every program and every phase of a folder on its check inputs.

    Raises:
        MohaqError: no sidecar, a damaged one, or a program that the fabric cannot execute.
    """
    folder = Path(folder)
    data = read_json(folder / FILE, "file of expected results")
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise MohaqError("no expected results", where=str(folder / FILE), why=f"no {SCHEMA}")
    opened = open_folder(folder)
    try:
        checks = [
            *_programs(folder, data["programs"], opened, engine),
            *_phases(data["phases"], opened, engine),
            *_numbers("images", data["images"], opened.images),
            *_numbers("integers", data["integers"], opened.integers),
        ]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError) as error:
        raise MohaqError(
            "the expected results or the program are damaged",
            where=f"{folder / FILE}, {folder / MANIFEST}",
            why=repr(error),
        ) from None
    return Expected(len(checks), tuple(text for text in checks if text is not None))


def _programs(
    folder: Path, rows: Sequence[Row], opened: Opened, engine: Engine
) -> Iterator[str | None]:
    """For each program None, or how it differs."""
    if len(rows) != len(opened.data["programs"]):
        yield f"{len(opened.data['programs'])} programs, {len(rows)} expected"
        return
    for number, row in enumerate(rows):
        text = folder / "programs" / f"{number:03d}.txt"
        words = opened.data["programs"][number]
        places = [tuple(int(n) for n in place.split()) for place in row["cells"]]
        cells = {(r, c): tuple(words[str(r)]) for r, c in places}
        problem = None
        if read_bits(text.read_text(encoding="utf-8"), str(text)) != cells:
            problem = f"its words in {text.name} are not those of the manifest"
        try:
            made = run(opened.fabric, cells, filled(opened.fabric), engine=engine)
            problem = problem or _differs(row, made)
        except MohaqError as error:
            problem = error.message()
        yield problem and f"program {number}: {problem}"


def _differs(row: Row, made: Run) -> str | None:
    if made.cycles != row["cycles"]:
        return f"it ends at edge {made.cycles}, expected {row['cycles']}"
    for place, wanted in row["cells"].items():
        r, c = (int(n) for n in place.split())
        mine = made.writes[(made.writes[:, 1] == r) & (made.writes[:, 2] == c)]
        if digest(mine[:, [0, 3]]) != wanted["places"] or len(mine) != wanted["writes"]:
            return f"cell ({r}, {c}) writes its register file at other edges or addresses"
        if digest(mine[:, [0, 3, 4]]) != wanted["values"]:
            return f"cell ({r}, {c}) writes other values"
    if digest(made.sram_writes) != row["memory_writes"]:
        return "memory rows are written at other edges or places"
    for name, found in (("register_file", made.writes), ("memory", made.sram_writes)):
        lines = [" ".join(map(str, line)) for line in found.tolist()]
        if row.get(name, lines) != lines:
            return f"the list '{name}' is another one"
    return None


def _phases(rows: Sequence[Row], opened: Opened, engine: Engine) -> Iterator[str | None]:
    """For each phase None, or how it differs."""
    found = list(_phase_ops(opened.data["ops"]))
    if len(rows) != len(found):
        yield f"{len(found)} phases, {len(rows)} expected"
        return
    for number, (row, op) in enumerate(zip(rows, found, strict=True)):
        host = opened.host(engine)
        problem = None
        try:
            results = _results(host, op, number, row.get("still", ()))
        except MohaqError as error:
            problem = error.message()
        else:
            if len(results) != len(row["results"]) or op["layer"] != row["layer"]:
                problem = "another phase is expected"
            for wanted, y in zip(row["results"], results, strict=False):
                listed = wanted.get("values", y.tolist())
                if digest(y) != wanted["digest"] or listed != y.tolist():
                    problem = "it gives other results"
        yield problem and f"phase {number} of layer '{op['layer']}': {problem}"


def _numbers(
    what: str, rows: Mapping[str, str], held: Mapping[str, npt.NDArray[Any]]
) -> Iterator[str | None]:
    """For each array None, or how it differs: a weight can be wrong without a trace in a product."""
    if sorted(rows) != sorted(held):
        yield f"{what}: other {what} are expected"
        return
    for name, wanted in rows.items():
        yield None if digest(held[name]) == wanted else f"{what}: '{name}' holds other words"


def _results(host: Host, op: Row, number: int, still: Sequence[int]) -> list[Ints]:
    if op["op"] == "matrix":
        # Weights behind the last input are zeros.
        x = product_vectors(16 * op["chunks"], number, op["bits"])
        made = tuple(host.matrix(op, [np.stack(x)], {})[0])
    else:
        made = host.vector(op, elementwise_operands(len(op["in"]), number, op["extent"], still), {})
    return [np.asarray(y, dtype=np.int64).reshape(-1) for y in made]


def _phase_ops(rows: Sequence[Row]) -> Iterator[Row]:
    for row in rows:
        if row["op"] in {"matrix", "vector"}:
            yield row
        elif row["op"] == "scan":
            yield from _phase_ops(row["body"])
