"""A cache of folders by content hash: what was made from the same things is copied, not remade.

    ROOT/entries/<key>/entry.json     what it was made from, and the hash of every file
    ROOT/entries/<key>/content/...    the files
    ROOT/work/...                     entries that are being written or thrown away

An entry appears and disappears by one rename, so processes may share a cache and may be killed at
any time. Every file is checked against its hash when it is used; an entry with a wrong one is
thrown away. Its files are safetensors, text and words: nothing in it is executed or unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mohaq.compiler.files import dump_json

SCHEMA = "mohaq.cache/1"
ENTRY, CONTENT = "entry.json", "content"
LEFT_OVER = 3600.0
"""Seconds after which unfinished work is nobody's."""

Tell = Callable[[str], None]


class _Damaged(Exception):  # noqa: N818  no error for the user: the entry is made anew
    """An entry is not what was put in."""


class _Gone(Exception):  # noqa: N818  another process threw the entry away
    """An entry is no longer there."""


@dataclass(frozen=True)
class Cache:
    """A cache folder.

    Attributes:
        root: made when something is stored.
        limit: bytes of all entries together; those used longest ago go first.
        tell: told what the user should know: a damaged entry, a folder that cannot be written.
    """

    root: Path
    limit: int
    tell: Tell

    def facts(self, key: str) -> dict[str, Any] | None:
        """What `put` was told about an entry; None: there is none."""
        try:
            facts: dict[str, Any] = self._entry(key)["facts"]
        except _Gone:
            return None
        except _Damaged as error:
            self._throw_away(key, str(error))
            return None
        return facts

    def fetch(self, key: str, into: Path) -> bool:
        """Copy the files of an entry into an empty folder; False: there is none, or a damaged one.

        What was copied of a damaged entry is removed.
        """
        try:
            entry = self._entry(key)
            for name, said in entry["files"].items():
                _copy(self._place(key), name, into / name, said)
            with contextlib.suppress(OSError):
                os.utime(self._place(key) / ENTRY)  # the last use
        except _Gone:
            _empty(into)
            return False
        except _Damaged as error:
            _empty(into)
            self._throw_away(key, str(error))
            return False
        return True

    def put(self, key: str, folder: Path, facts: Mapping[str, Any]) -> bool:
        """Store the files below a folder; False (and a message) if the cache cannot be written.

        An entry that another process has stored meanwhile stays.
        """
        try:
            if (self._place(key)).exists():
                return True
            work = self._work()
            try:
                files = {
                    str(path.relative_to(folder).as_posix()): path
                    for path in sorted(folder.rglob("*"))
                    if path.is_file()
                }
                said = {name: _stored(path, work / CONTENT / name) for name, path in files.items()}
                entry = {"schema": SCHEMA, "key": key, "facts": dict(facts), "files": said}
                entry["sha256"] = _own_hash(entry)
                (work / ENTRY).write_text(dump_json(entry), encoding="utf-8")
                if sum(f["bytes"] for f in said.values()) > self.limit:
                    return True  # it would push everything out, itself as well
                self._place(key).parent.mkdir(parents=True, exist_ok=True)
                try:
                    work.rename(self._place(key))
                except OSError:
                    if not self._place(key).is_dir():  # else another process was faster
                        raise
            finally:
                shutil.rmtree(work, ignore_errors=True)
            self._shrink()
        except OSError as error:
            self.tell(f"cache: cannot write to {self.root} ({error.strerror})")
            return False
        return True

    def _place(self, key: str) -> Path:
        return self.root / "entries" / key

    def _work(self) -> Path:
        place = self.root / "work"
        place.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=place))

    def _entry(self, key: str) -> dict[str, Any]:
        return _read_entry(self._place(key), key)

    def _throw_away(self, key: str, why: str) -> None:
        self.tell(f"cache: entry {key[:12]} is damaged ({why}); it is made anew")
        self._remove(key)

    def _remove(self, key: str) -> None:
        with contextlib.suppress(OSError):
            work = self._work()
            self._place(key).rename(work / key)
            shutil.rmtree(work, ignore_errors=True)

    def _shrink(self) -> None:
        """Remove what was used longest ago until the rest fits; and what killed processes left."""
        now = time.time()
        for left in (self.root / "work").iterdir():
            with contextlib.suppress(OSError):
                if now - left.stat().st_mtime > LEFT_OVER:
                    shutil.rmtree(left, ignore_errors=True)
        held = sorted(self._held())
        total = sum(size for _, size, _ in held)
        for _, size, key in held:
            if total <= self.limit:
                break
            self._remove(key)
            total -= size

    def _held(self) -> Iterator[tuple[float, int, str]]:
        """(last use, bytes, key) of every entry; damaged ones count as never used."""
        for place in (self.root / "entries").iterdir():
            try:
                entry = _read_entry(place, place.name)
                used = (place / ENTRY).stat().st_mtime
                yield used, sum(f["bytes"] for f in entry["files"].values()), place.name
            except (_Damaged, _Gone, OSError):
                yield 0.0, self.limit + 1, place.name


def _read_entry(place: Path, key: str) -> dict[str, Any]:
    try:
        text = (place / ENTRY).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        if place.is_dir():
            raise _Damaged(f"no {ENTRY}") from None
        raise _Gone from None
    except (OSError, UnicodeDecodeError) as error:
        raise _Damaged(str(error)) from None
    try:
        entry = json.loads(text)
    except json.JSONDecodeError:
        raise _Damaged(f"{ENTRY} is not JSON") from None
    if not isinstance(entry, dict) or entry.get("sha256") != _own_hash(entry):
        raise _Damaged(f"{ENTRY} was changed")
    if entry.get("schema") != SCHEMA or entry.get("key") != key:
        raise _Damaged(f"{ENTRY} is another one's")
    for name in entry["files"]:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise _Damaged(f"a file is called '{name}'")
    return entry


def _own_hash(entry: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in entry.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _stored(source: Path, target: Path) -> dict[str, Any]:
    data = source.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    runs = bool(source.stat().st_mode & 0o100)
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "executable": runs}


def _copy(place: Path, name: str, target: Path, said: Mapping[str, Any]) -> None:
    try:
        data = (place / CONTENT / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if (place / ENTRY).is_file():
            raise _Damaged(f"no {name}") from None
        raise _Gone from None
    except OSError as error:
        raise _Damaged(str(error)) from None
    if hashlib.sha256(data).hexdigest() != said["sha256"]:
        raise _Damaged(f"{name} was changed")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    if said["executable"]:
        target.chmod(0o755)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def key_of(kind: str, made_from: Mapping[str, Any]) -> str:
    """The key of what is made from these things (JSON values; the order of keys is no matter)."""
    said = json.dumps({"kind": kind, **made_from}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(f"{SCHEMA}\n{said}".encode()).hexdigest()
