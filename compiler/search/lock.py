"""One writer for each run folder, by a lock that the system frees when its holder dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mohaq.compiler.diagnostics import MohaqError

LOCK_FILE = "search.lock"


class RunLock:
    """An exclusive lock on a folder, held until `release` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        self._path = Path(folder) / LOCK_FILE
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting.

        Raises:
            MohaqError: another process has it, or the folder cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise MohaqError(
                "cannot write into the run folder", where=str(self._path.parent), why=str(error)
            ) from None
        try:
            _lock(handle)
        except OSError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise MohaqError(
                "another search is running in this folder",
                where=str(self._path.parent),
                why=f"process {holder} holds it",
                hint="wait for it, or choose another output folder",
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle

    def release(self) -> None:
        """Give the lock back; the file stays."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
