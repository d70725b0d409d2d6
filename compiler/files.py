"""Writing files so that a failure leaves the old ones in place, and safe names."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mohaq.compiler.diagnostics import MohaqError


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file to a temporary name, flush it to disk and move it into position."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def dump_json(value: Any) -> str:
    """JSON as this project writes it: indented, in given order, newline at the end."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file.

    Raises:
        MohaqError: missing, unreadable or not JSON; the message names `what` it should be.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MohaqError(f"no such {what}", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MohaqError(f"cannot read this {what}", where=str(path), why=str(error)) from None
    except json.JSONDecodeError as error:
        raise MohaqError(f"this {what} is not JSON", where=str(path), why=str(error)) from None


@contextlib.contextmanager
def replacing_folder(target: Path, *, marker: str) -> Iterator[Path]:
    """Fill a temporary folder; on success it takes the place of `target`.

    An existing target is replaced only when it is empty or holds the file `marker`, so that a
    mistyped path never destroys somebody's data.

    Raises:
        MohaqError: `target` exists and is not ours.
    """
    target = Path(target)
    if target.exists() and not target.is_dir():
        raise MohaqError("the output must be a folder, this is a file", where=str(target))
    if target.is_dir() and any(target.iterdir()) and not (target / marker).exists():
        raise MohaqError(
            "this folder is not empty and was not written by mohaq",
            where=str(target),
            why=f"it has no {marker}",
            hint="choose another output folder",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield work
        mask = os.umask(0)
        os.umask(mask)
        work.chmod(0o777 & ~mask)
        if target.exists():
            old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
            target.replace(old / "was")
            work.replace(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            work.replace(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def safe_name(name: str, *, limit: int = 64) -> str:
    """A name from a model made safe for paths, identifiers and listings.

    Only letters, digits and underscores remain, the first is a letter, and it is short.
    Different names may collide; callers that need unique names add a number.
    """
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", name)[:limit]
    return cleaned if cleaned[:1].isalpha() else f"n{cleaned}"[:limit]
