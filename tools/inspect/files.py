"""Writing pictures and pages."""

from __future__ import annotations

from pathlib import Path

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import write_bytes


def check_output(path: Path) -> None:
    """Check that a file can be written there, before anything is worked out.

    Raises:
        MohaqError: it is a folder, or lies in something that is none.
    """
    if path.is_dir():
        raise MohaqError("the output must be a file, this is a folder", where=str(path))
    above = next((p for p in path.absolute().parents if p.exists()), None)
    if above is not None and not above.is_dir():
        raise MohaqError("the output lies in something that is no folder", where=str(path))


def write_output(path: Path, data: bytes) -> None:
    """Write a file, complete or not at all.

    Raises:
        MohaqError: it cannot be written.
    """
    try:
        write_bytes(path, data)
    except OSError as error:
        raise MohaqError("cannot write this file", where=str(path), why=str(error)) from None
