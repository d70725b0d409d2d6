"""What `mohaq compile` keeps from one call to the next: calibrated programs and compiled folders.

A key holds everything that the outcome depends on (docs/cli.md, Cache). It is computed once more
before something is stored, so that a file that changes meanwhile never gets into the cache.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.driver.build import marker_of
from mohaq.compiler.driver.cache import Cache, key_of
from mohaq.compiler.driver.fingerprint import fingerprint
from mohaq.compiler.files import replacing_folder
from mohaq.compiler.program import Program
from mohaq.tools.commands.options import memory_bytes
from mohaq.tools.sources import MODELS, WIDTHS, is_calibrated, load_model, make_calibrated

Tell = Callable[[str], None]

FOLDER, SIZE = "MOHAQ_CACHE", "MOHAQ_CACHE_SIZE"
"""Environment variables: the cache's place and its size."""

DEFAULT_SIZE = "2G"


def open_cache(tell: Tell) -> Cache:
    """The user's cache: `$MOHAQ_CACHE`, or the system's place for caches.

    Raises:
        MohaqError: `$MOHAQ_CACHE_SIZE` is no size.
    """
    from platformdirs import user_cache_path

    place = os.environ.get(FOLDER)
    root = Path(place) if place else user_cache_path("mohaq", appauthor=False)
    return Cache(root.absolute(), memory_bytes(os.environ.get(SIZE) or DEFAULT_SIZE, SIZE), tell)


class _Miss(Exception):  # noqa: N818  leaves a folder as it was
    """The cache does not have it."""


class Reuse:
    """A cache, and what was reused and made with it."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.reused: list[str] = []
        self.made: list[str] = []

    def note(self) -> str:
        """What was reused and what was made."""
        parts = [f"reused {' and '.join(self.reused)}"] if self.reused else []
        parts += [f"made {' and '.join(self.made)}"] if self.made else []
        return "; ".join(parts)

    def copied(self, key: str, out: Path) -> bool:
        """Let a compiled folder be the one of the cache; False: it has none, `out` is as it was.

        Raises:
            MohaqError: `out` is something else.
        """
        try:
            with replacing_folder(out, marker=marker_of(out)) as folder:
                if not self.cache.fetch(key, folder):
                    raise _Miss
        except _Miss:
            return False
        return True

    def store(
        self, key: str, again: Callable[[], str], folder: Path, facts: Mapping[str, Any]
    ) -> None:
        """Store a folder, if what it was made from is still the same."""
        if again() == key:
            self.cache.put(key, folder, facts)


class CalibratedModel:
    """A model that is loaded and calibrated when it is needed, or taken from the cache."""

    def __init__(
        self,
        path: str,
        name: str,
        data: str | None,
        default: str | None,
        clip: str | None,
        widths: Sequence[int],
        reuse: Reuse | None,
        tell: Tell,
    ) -> None:
        """Arguments: see `load_model` and `make_calibrated`; `name` is the model's in artefacts."""
        self.path, self.name, self.data, self.default = path, name, data, default
        self.clip, self.widths = clip, widths
        self._reuse, self._tell = reuse, tell
        self._loaded: Program | None = None
        self._made: Program | None = None
        self._sha256: str | None = None
        self._held: str | None = None
        self._contents: dict[str, str] = {}

    def loaded(self) -> Program:
        """The program as it was imported; nobody has changed it yet.

        Raises:
            MohaqError: as `load_model`.
        """
        if self._loaded is None:
            self._tell("load the model")
            self._loaded = load_model(self.path)
        return self._loaded

    def sha256(self) -> str:
        """Content hash of the calibrated program.

        Raises:
            MohaqError: as `program`.
        """
        if self._sha256 is None:
            self._find()
        assert self._sha256 is not None
        return self._sha256

    def program(self) -> Program:
        """The calibrated program.

        Raises:
            MohaqError: as `load_model` and `make_calibrated`.
        """
        self.sha256()
        if self._made is None and not self._read_back():
            self._make_kept()
        assert self._made is not None
        return self._made

    def _find(self) -> None:
        """Look into the cache; make what is not there."""
        if self._reuse is None:
            self._make()
            return
        contents = model_contents(self.path)
        if contents is None:
            program = self.loaded()
            if self.data is None and self.clip is None and is_calibrated(program, self.widths):
                self._made, self._sha256 = program, program.content_hash()
                return
            contents = {"program": program.content_hash()}
        self._contents, self._held = contents, self._key(contents)
        facts = self._reuse.cache.facts(self._held)
        if facts is None:
            self._make_kept()
        else:
            self._sha256 = str(facts["program"])
            self._reuse.reused.append("the calibrated program")

    def _make_kept(self) -> None:
        """Make it, and store it."""
        self._make()
        if self._reuse is None or self._held is None or self._made is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            self._made.save(Path(folder))
            facts = {"program": self._sha256}
            self._reuse.store(self._held, self._key_again, Path(folder), facts)

    def _key_again(self) -> str:
        held = self._contents
        return self._key(held if "program" in held else model_contents(self.path) or {})

    def _make(self) -> None:
        program = self.loaded()
        self._loaded = None  # it changes in place
        make_calibrated(
            program,
            self.path,
            self.data,
            self._tell,
            widths=self.widths,
            clip=self.clip,
            default=self.default,
        )
        self._made, self._sha256 = program, program.content_hash()
        if self._reuse is not None:
            self._reuse.made.append("the calibrated program")

    def _read_back(self) -> bool:
        """Load what the cache has; False: it is gone or damaged."""
        if self._reuse is None or self._held is None:
            return False
        with tempfile.TemporaryDirectory() as folder:
            if self._reuse.cache.fetch(self._held, Path(folder)):
                self._made = Program.load(Path(folder))
                return True
        self._reuse.reused.remove("the calibrated program")
        return False

    def _key(self, contents: Mapping[str, str]) -> str:
        source = self.data or self.default
        # What brings no clips, or is to get new ones, gets them for all the usual widths.
        always = self.data is not None or self.clip is not None or self.path in MODELS
        widths = {*self.widths, *WIDTHS} if always else {*self.widths}
        return key_of(
            "calibrated",
            {
                "code": fingerprint(),
                "model": dict(contents),
                "data": None if source is None else data_contents(source),
                "given": self.data is not None,
                "clip": self.clip,
                "widths": sorted(widths),
            },
        )


def model_contents(model: str) -> dict[str, str] | None:
    """Hash of what a model is read from; None where only loading it can tell.

    That is so for programs (they load at once), functions of the user's, ONNX models with data
    in other files, and what is no model at all.
    """
    path = Path(model)
    if path.suffix in {".onnx", ".pt2"} and path.is_file():
        try:
            held = path.read_bytes()
        except OSError:
            return None  # loading it says so
        if b"location" in held:  # the key that names a file with data beside an ONNX model
            return None
        return {"file": hashlib.sha256(held).hexdigest(), "kind": path.suffix}
    return {"built-in": model} if model in MODELS else None


def data_contents(name: str) -> dict[str, str]:
    """Hashes of the files that a data set may be read from; the name of a built-in split.

    Raises:
        MohaqError: a file cannot be read.
    """
    path = Path(name)
    if not path.exists():
        return {"built-in": name}
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    return {
        p.name if path.is_dir() else p.suffix: sha256_of(p)
        for p in files
        if p.suffix in {".safetensors", ".npz"}
    }


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes.

    Raises:
        MohaqError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MohaqError("cannot read this file", where=str(path), why=error.strerror) from None
