"""The record of a search: an append-only SQLite log (DESIGN D7).

Evaluations are committed as they come, so a killed search loses only what was running; the
end of a generation is also flushed to the disk. Keys are content hashes: of everything that
decides an error, and of the widths.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.early_stop import Split
from mohaq.compiler.search.engine import Evaluation, Failure, FailureKind, Job, Outcome
from mohaq.compiler.search.lock import LOCK_FILE, RunLock
from mohaq.compiler.search.record_tables import BEACON_TABLES, BOUNDS_TABLE, TABLES

RECORD_FILE = "evaluations.sqlite"
APPLICATION_ID = 0x6D6F6871  # "mohq"
SCHEMA_VERSION = 1

BEACONS = "beacons"
"""Header entry of a beacon search; a search without beacons does not compare it."""


@dataclass(frozen=True)
class BeaconRow:
    """One beacon: hash of its recipe, widths trained for, and the program's hash.

    `failure` says why there is no program.
    """

    key: str
    generation: int
    widths: Mapping[Slot, int]
    program: str
    failure: str = ""


@dataclass(frozen=True)
class GenerationRow:
    """One finished generation: its genomes and what the search had reached by then."""

    number: int
    genomes: tuple[tuple[int, ...], ...]
    evaluations: int
    hypervolume: float


def context_hash(parts: Mapping[str, str]) -> str:
    """Hash of everything beside the widths that decides an error."""
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()


def evaluation_key(context: str, widths: Mapping[Slot, int]) -> str:
    """Key of one candidate."""
    text = json.dumps({str(slot): int(bits) for slot, bits in widths.items()}, sort_keys=True)
    return hashlib.sha256(f"{context}:{text}".encode()).hexdigest()


def _refuse_other(record: Path) -> None:
    """A search writes `model/`, `data.safetensors` and more; not over files of the user's."""
    folder = record.parent
    if record.exists() or not folder.is_dir():
        return
    # All that a search leaves which stopped before it had a record: its lock.
    for path in sorted(folder.iterdir()):
        if path.name != LOCK_FILE and not path.name.startswith("."):
            raise MohaqError(
                "this folder is not empty and holds no search",
                where=str(folder),
                why=f"it has {path.name} and no {record.name}",
                hint="choose another output folder",
            )


class Record:
    """The open log of one run folder; one process at a time.

    Args:
        folder: the run folder.
        header: name -> value of what must be the same when the search is resumed.

    Raises:
        MohaqError: the folder is in use or holds other things than a search; the log is
            damaged, not ours, or of another search.
    """

    def __init__(self, folder: Path, header: Mapping[str, str]) -> None:
        self._path = Path(folder) / RECORD_FILE
        self._generations = "beacon_generations" if BEACONS in header else "generations"
        _refuse_other(self._path)
        self._lock = RunLock(folder)
        self._lock.acquire()
        try:
            with self._reported():
                self._base = self._open(header)
        except BaseException:
            self._lock.release()
            raise

    def get(self, key: str) -> Outcome | None:
        """What is known of a candidate."""
        with self._reported():
            row = self._base.execute(
                "SELECT status, message, tries, value, errors, totals, seconds"
                " FROM evaluations WHERE key = ?",
                (key,),
            ).fetchone()
            if row is None:
                return None
            status, message, tries, value, errors, totals, seconds = row
            if status == "ok":
                good = Evaluation(
                    tuple(json.loads(errors)), tuple(json.loads(totals)), float(value)
                )
                return Outcome(key, good, tries, seconds)
            return Outcome(key, Failure(cast("FailureKind", status), message), tries, seconds)

    def put(self, generation: int, job: Job, outcome: Outcome) -> None:
        """Add one outcome."""
        result = outcome.result
        good = result if isinstance(result, Evaluation) else None
        bad = result if isinstance(result, Failure) else None
        widths = json.dumps({str(slot): bits for slot, bits in job.widths})
        with self._reported(), self._base:
            self._base.execute(
                "INSERT INTO evaluations (key, generation, widths, status, message, tries, value,"
                " errors, totals, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job.key,
                    generation,
                    widths,
                    bad.kind if bad else "ok",
                    bad.message if bad else "",
                    outcome.tries,
                    good.value if good else None,
                    json.dumps(good.errors) if good else None,
                    json.dumps(good.totals) if good else None,
                    outcome.seconds,
                ),
            )

    def bound(self, key: str, sequences: Sequence[int]) -> Evaluation | None:
        """What is known of a candidate on some of the sequences."""
        with self._reported():
            row = self._base.execute(
                "SELECT errors, totals FROM bounds WHERE key = ? AND sequences = ?",
                (key, json.dumps(list(sequences))),
            ).fetchone()
            if row is None:
                return None
            errors, totals = (tuple(json.loads(text)) for text in row)
            return Evaluation(errors, totals, sum(errors) / sum(totals))

    def put_bound(self, generation: int, job: Job, split: Split, outcome: Outcome) -> None:
        """Add what was counted on the first sequences, and the bound that follows."""
        first = outcome.result
        assert isinstance(first, Evaluation)
        row = (
            job.key,
            json.dumps(split.first),
            generation,
            json.dumps({str(slot): bits for slot, bits in job.widths}),
            split.bound(first),
            json.dumps(first.errors),
            json.dumps(first.totals),
            outcome.seconds,
        )
        with self._reported(), self._base:
            self._base.execute(
                "INSERT INTO bounds (key, sequences, generation, widths, bound, errors, totals,"
                " seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def end_generation(self, row: GenerationRow) -> None:
        """Add a finished generation and flush to the disk; a replayed one must be the same.

        Raises:
            MohaqError: the log holds other genomes for this generation.
        """
        genomes = json.dumps(row.genomes)
        with self._reported():
            held = self._base.execute(
                f"SELECT genomes, hypervolume FROM {self._generations} WHERE number = ?",  # noqa: S608
                (row.number,),
            ).fetchone()
            if held is not None:
                if held != (genomes, row.hypervolume):
                    raise MohaqError(
                        f"the replay left the recorded path in generation {row.number}",
                        where=str(self._path),
                        why="the log or the environment has changed since it was written",
                        hint="start the search in a new folder",
                    )
                return
            self._base.execute("PRAGMA synchronous = FULL")
            with self._base:
                self._base.execute(
                    f"INSERT INTO {self._generations} VALUES (?, ?, ?, ?)",  # noqa: S608
                    (row.number, genomes, row.evaluations, row.hypervolume),
                )
            self._base.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._base.execute("PRAGMA synchronous = NORMAL")

    def beacon(self, key: str) -> BeaconRow | None:
        """The beacon of a recipe, if the log has it."""
        with self._reported():
            row = self._base.execute(
                "SELECT generation, program, failure FROM beacons WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else BeaconRow(key, row[0], {}, row[1], row[2])

    def put_beacon(self, row: BeaconRow) -> None:
        """Add a beacon, and flush to the disk: it was dear."""
        widths = json.dumps({str(slot): int(bits) for slot, bits in row.widths.items()})
        with self._reported():
            self._base.execute("PRAGMA synchronous = FULL")
            with self._base:
                self._base.execute(
                    "INSERT INTO beacons (key, generation, widths, program, failure)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (row.key, row.generation, widths, row.program, row.failure),
                )
            self._base.execute("PRAGMA synchronous = NORMAL")

    def count(self) -> int:
        """Number of recorded evaluations."""
        with self._reported():
            return int(self._base.execute("SELECT count(*) FROM evaluations").fetchone()[0])

    def close(self) -> None:
        """Close the log and free the folder."""
        self._base.close()
        self._lock.release()

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, header: Mapping[str, str]) -> sqlite3.Connection:
        fresh = not self._path.exists() or self._path.stat().st_size == 0
        base = sqlite3.connect(self._path)
        try:
            if not fresh:
                self._check_file(base)
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = FULL")
            # A search killed while it made the file leaves one without tables: start afresh.
            if not base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._create(base, header)
            self._check_header(base, header)
            base.execute(BOUNDS_TABLE)
            if BEACONS in header:
                self._add_beacons(base, header)
            base.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            base.close()
            raise
        return base

    def _create(self, base: sqlite3.Connection, header: Mapping[str, str]) -> None:
        base.execute("BEGIN IMMEDIATE")
        base.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        base.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for statement in filter(str.strip, TABLES.split(";")):
            base.execute(statement)
        base.executemany("INSERT INTO header VALUES (?, ?)", sorted(header.items()))
        base.commit()

    def _add_beacons(self, base: sqlite3.Connection, header: Mapping[str, str]) -> None:
        """What the log of a search with beacons has beside that of one without."""
        base.execute("BEGIN IMMEDIATE")
        for statement in filter(str.strip, BEACON_TABLES.split(";")):
            base.execute(statement)
        base.execute("INSERT OR IGNORE INTO header VALUES (?, ?)", (BEACONS, header[BEACONS]))
        base.commit()

    def _check_file(self, base: sqlite3.Connection) -> None:
        hint = "choose another output folder, or move this file away"
        (found,) = base.execute("PRAGMA application_id").fetchone()
        (tables,) = base.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and found != APPLICATION_ID:
            raise MohaqError("this is not the log of a search", where=str(self._path), hint=hint)
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if tables and version != SCHEMA_VERSION:
            raise MohaqError(
                f"the log has schema {version}, this mohaq writes {SCHEMA_VERSION}",
                where=str(self._path),
                hint=hint,
            )
        (state,) = base.execute("PRAGMA quick_check").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)

    def _check_header(self, base: sqlite3.Connection, header: Mapping[str, str]) -> None:
        there = dict(base.execute("SELECT name, value FROM header"))
        names = sorted(set(there) | set(header))
        if BEACONS not in there or BEACONS not in header:  # the other kind of search began it
            names = [n for n in names if n != BEACONS]
        differing = [n for n in names if there.get(n) != header.get(n)]
        if differing:
            raise MohaqError(
                "the folder holds a different search",
                where=str(self._path),
                why="; ".join(
                    f"{n} was {_short(there.get(n))}, now {_short(header.get(n))}"
                    for n in differing
                ),
                hint="repeat the recorded settings to resume it, or choose another output folder",
            )

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn the base's errors into messages."""
        try:
            yield
        except (sqlite3.Error, json.JSONDecodeError, OSError) as error:
            code = getattr(error, "sqlite_errorname", "") or ""
            if code.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANT")):
                what, hint = "cannot write the log", "make room, then repeat the same command"
            elif code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                what, hint = "the log is in use", "close what reads it, then repeat the command"
            else:
                what, hint = "the log is damaged", "move it away or choose another output folder"
            raise MohaqError(what, where=str(self._path), why=str(error), hint=hint) from error


def read_header(path: Path) -> dict[str, str]:
    """Header of a log, read-only.

    Raises:
        MohaqError: it cannot be read.
    """
    return dict(_read(path, "SELECT name, value FROM header"))


def read_evaluations(path: Path) -> list[tuple[str, int, str]]:
    """(key, generation, status) of all recorded evaluations, in order, read-only.

    Raises:
        MohaqError: it cannot be read.
    """
    return _read(path, "SELECT key, generation, status FROM evaluations ORDER BY number")


def _read(path: Path, query: str) -> list[Any]:
    if not Path(path).is_file():
        raise MohaqError("no such log", where=str(path))
    try:
        base = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
        try:
            return base.execute(query).fetchall()
        finally:
            base.close()
    except sqlite3.Error as error:
        raise MohaqError("cannot read this log", where=str(path), why=str(error)) from None


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return value if len(value) <= 60 else f"{value[:57]}..."
