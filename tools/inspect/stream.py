"""Reading emitted files piece by piece, so that memory does not grow with them."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from mohaq.compiler.diagnostics import MohaqError

LONGEST = 1 << 16
"""Characters of a line that are kept; tables of constants may have longer ones."""

WINDOW = 1 << 12
"""Words that are held at a time."""

_OPERATION = re.compile(r'\s*(?:%[^=]*= )?"?([A-Za-z_]\w*\.[\w.$]+)')
_LAYER = re.compile(r'\blayer = "((?:[^"\\]|\\.)*)"')
_DECLARED = re.compile(r"\s*param\.declare @.* : tensor<((?:\d+x)*)([a-z]+)(\d+)>")


def text_lines(path: Path, longest: int = LONGEST) -> Iterator[str]:
    """Lines of a text file without their ends, each cut after `longest` characters.

    Raises:
        MohaqError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            while piece := file.readline(longest):
                yield piece.rstrip("\n")
                while piece and not piece.endswith("\n"):
                    piece = file.readline(longest)
    except (OSError, UnicodeDecodeError) as error:
        raise MohaqError("cannot read this file", where=str(path), why=str(error)) from None


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn what goes wrong with a damaged file's content into one message.

    Raises:
        MohaqError: something is missing in it or is of another kind.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise MohaqError(f"this {what} is damaged", where=str(path), why=why) from None


def array_items(path: Path, key: str, what: str) -> Iterator[Any]:
    """Items of a list at the top of a JSON file as this project writes it, one at a time.

    Raises:
        MohaqError: the file cannot be read, has no such list or is damaged.
    """
    lines = iter(text_lines(path, 1 << 22))
    head = f'  "{key}": ['
    for line in lines:
        if line.startswith(head):
            break
    else:
        raise MohaqError(f"this {what} has no list '{key}'", where=str(path))
    if line.rstrip(",") == head + "]":
        return
    held: list[str] = []
    for line in lines:
        if line in {"  ]", "  ],"}:
            if held:
                break
            return
        held.append(line)
        # Items stand four columns in; whatever belongs to one stands further in.
        if line[:4] == "    " and line[4:5] not in {" ", ""} and line[4:] not in {"{", "["}:
            text = "\n".join(held).rstrip(",")
            try:
                item = json.loads(text)
            except json.JSONDecodeError as error:
                raise MohaqError(
                    f"this {what} is damaged", where=f"{path}: {key}", why=str(error)
                ) from None
            held = []
            yield item
    raise MohaqError(f"this {what} is damaged", where=str(path), why=f"the list '{key}' is cut off")


class Words(Sequence[int]):
    """Little-endian 32-bit words of a file, a window of them in memory.

    Raises:
        MohaqError: the file cannot be read or is no whole number of words.
    """

    def __init__(self, path: Path) -> None:
        try:
            size = path.stat().st_size
            self._file = path.open("rb")
        except OSError as error:
            raise MohaqError("cannot read this file", where=str(path), why=str(error)) from None
        if size % 4:
            raise MohaqError("the file is no whole number of words", where=str(path))
        self._count = size // 4
        self._first, self._held = 0, list[int]()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> list[int]: ...

    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        place = index - self._first
        if not 0 <= place < len(self._held):
            # Half a window behind: an instruction is looked at again from its start.
            self._first = max(0, index - WINDOW // 2)
            self._file.seek(4 * self._first)
            self._held = np.frombuffer(self._file.read(4 * WINDOW), dtype="<u4").tolist()
            place = index - self._first
        return self._held[place]

    def __enter__(self) -> Words:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class TextCounts:
    """What the text of a program holds, counted line by line and not verified.

    operations: {name: how many}; layers: {layer: operations that name it}; parameters: number,
    elements and bits of what is declared.

    Raises:
        MohaqError: the file cannot be read or holds no operation.
    """

    def __init__(self, path: Path) -> None:
        self.operations: Counter[str] = Counter()
        self.layers: Counter[str] = Counter()
        self.parameters, self.elements, self.bits = 0, 0, 0
        for line in text_lines(path):
            if found := _OPERATION.match(line):
                self.operations[found[1]] += 1
            if found := _LAYER.search(line):
                self.layers[found[1]] += 1
            if found := _DECLARED.match(line):
                count = 1
                for extent in found[1].split("x")[:-1]:
                    count *= int(extent)
                self.parameters += 1
                self.elements += count
                self.bits += count * int(found[3])
        if not self.operations:
            raise MohaqError("this text holds no operations", where=str(path))


def structural(name: str) -> bool:
    """Whether an operation only holds a program together."""
    return name.startswith(("builtin.", "func.", "param."))
