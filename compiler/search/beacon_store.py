"""Beacons on disk: one program folder each, by content hash, and an index by recipe.

    STORE/<hash>/program.mlir, parameters.safetensors     the retrained program with its clips
    STORE/<recipe>.json                                   which program a recipe gave

Hashes are cut to 16 digits in names and checked in full.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import dump_json, read_json, write_text
from mohaq.compiler.program import Program

SCHEMA = "mohaq.beacon/1"
DIGITS = 16


class BeaconStore:
    """A folder of beacons; several runs may use it at once.

    Args:
        folder: made when the first beacon comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, beacon: str) -> Path:
        """Folder of a beacon's program."""
        return self.folder / beacon[:DIGITS]

    def load(self, beacon: str) -> Program:
        """The program of a beacon.

        Raises:
            MohaqError: it is not there, or not what it was.
        """
        program = Program.load(self.path(beacon))
        if (found := program.content_hash()) != beacon:
            raise MohaqError(
                "this beacon is not what was stored",
                where=str(self.path(beacon)),
                why=f"its hash is {found[:12]}, recorded {beacon[:12]}",
            )
        return program

    def holds(self, beacon: str) -> bool:
        """Whether a beacon is there, whole."""
        return self.path(beacon).is_dir() and bool(self.load(beacon))

    def find(self, recipe: str) -> dict[str, Any] | None:
        """What a recipe gave, if it was trained before and its program is still there.

        Raises:
            MohaqError: a damaged file, or a damaged program.
        """
        path = self._index(recipe)
        if not path.exists():
            return None
        held = read_json(path, "beacon")
        if not isinstance(held, dict) or held.get("schema") != SCHEMA:
            raise MohaqError(f'this is no beacon: its schema is not "{SCHEMA}"', where=str(path))
        if held.get("recipe") != recipe or not isinstance(held.get("beacon"), str):
            raise MohaqError("this beacon's file is damaged", where=str(path))
        return held if self.holds(held["beacon"]) else None

    def add(self, recipe: str, program: Program, facts: Mapping[str, Any]) -> str:
        """Keep a retrained program; gives its hash. The index is written last."""
        program.seal()
        beacon = program.content_hash()
        goal = self.path(beacon)
        self.folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".beacon-", dir=self.folder))
        try:
            program.save(work)
            work.chmod(0o755)
            try:
                work.rename(goal)
            except OSError:
                self.load(beacon)  # another run was faster, or it was there: it must be the same
        finally:
            shutil.rmtree(work, ignore_errors=True)
        held = {"schema": SCHEMA, "recipe": recipe, "beacon": beacon, **facts}
        write_text(self._index(recipe), dump_json(held))
        return beacon

    def _index(self, recipe: str) -> Path:
        return self.folder / f"{recipe[:DIGITS]}.json"
