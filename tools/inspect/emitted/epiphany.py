"""Epiphany: stages of each layer with their kernels and places, and the C file of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.inspect.blocks import Block, Listing, Table
from mohaq.tools.inspect.stream import array_items, reading, text_lines

PLAN, WHAT, DEVICE = "plan.json", "Epiphany plan", "device"


def summary(folder: Path) -> list[Block]:
    """Stages, cores and kernels of each layer.

    Raises:
        MohaqError: a file is missing or damaged.
    """
    rows = []
    for stage in _stages(folder):
        kernels = dict.fromkeys(str(p["kernel"]) for p in stage["products"])
        rows.append(
            (
                stage["layer"],
                stage["name"],
                ", ".join(kernels),
                stage["cores"],
                stage["steps_at_once"],
                len(stage["exchanges"]),
            )
        )
    columns = ("layer", "stage", "kernels", "cores", "steps at once", "exchanges")
    return [Table("Kernel calls", columns, rows, text=3)]


def layer(folder: Path, number: int, name: str) -> list[Block]:  # noqa: ARG001  found by name
    """Products and memory of a layer's stages, and what the cores are given to run.

    Raises:
        MohaqError: a file is missing or damaged.
    """
    stages = [stage for stage in _stages(folder) if stage["layer"] == name]
    products = [
        (
            stage["name"],
            product["weights"],
            product["kernel"],
            stage["cores"],
            stage["steps_at_once"],
            product["rows"],
            " + ".join(f"{n} of {columns}" for n, columns in product["tiles"]),
            product["accumulator"],
            product["blocks_at_once"],
            "yes" if product["resident"] else "no",
        )
        for stage in stages
        for product in stage["products"]
    ]
    columns = (
        "stage", "weights", "kernel", "cores", "steps at once", "rows a core", "tiles of columns",
        "sum bits", "blocks at once", "weights stay",
    )  # fmt: skip
    blocks: list[Block] = [Table("Schedule", columns, products, text=3)]
    names = {str(stage["name"]) for stage in stages}
    places = ("stage", "field", "bank", "bytes")
    blocks.append(Table("Local memory of a core", places, _memory(folder, names, name), text=2))
    kernels = sorted({str(p["kernel"]) for stage in stages for p in stage["products"]})
    for stage in sorted(names):
        if Path(stage).name != stage:
            raise _damaged(folder, f"stage '{stage}'")
        path = folder / DEVICE / f"{stage}.c"
        blocks.append(Listing(f"Kernel calls of {stage}", _reader(path)))
    blocks += [
        Listing(f"Kernel mohaq_{kernel}", _kernel_reader(folder, f"mohaq_{kernel}"))
        for kernel in kernels
    ]
    return blocks


def _reader(path: Path) -> Any:
    return lambda: text_lines(path)


def _kernel_reader(folder: Path, kernel: str) -> Any:
    return lambda: _kernel(folder / DEVICE / "mohaq_kernels.S", kernel)


def _kernel(path: Path, kernel: str) -> Iterator[str]:
    """The assembly of a kernel: its section up to the next one."""
    inside = False
    for line in text_lines(path):
        if line.lstrip().startswith(".section"):
            if inside:
                return
            inside = f".text.{kernel}," in line
        if inside:
            yield line


def _stages(folder: Path) -> Iterator[dict[str, Any]]:
    """Stages in order; what this file reads of them is there."""
    with reading(folder / PLAN, WHAT):
        for stage in array_items(folder / PLAN, "stages", WHAT):
            for product in stage["products"]:
                _ = [(n, columns) for n, columns in product["tiles"]], product["accumulator"]
                _ = product["weights"], product["kernel"], product["rows"], product["resident"]
                _ = product["blocks_at_once"]
            _ = str(stage["name"]), stage["layer"], stage["cores"], stage["steps_at_once"]
            _ = len(stage["exchanges"])
            yield stage


def _memory(folder: Path, stages: set[str], layer: str) -> list[tuple[object, ...]]:
    """Fields of a core's banks: of the stages, then weights that stay."""
    rows: list[tuple[object, ...]] = []
    stay: list[tuple[object, ...]] = []
    with reading(folder / PLAN, WHAT):
        for bank in array_items(folder / PLAN, "memory", WHAT):
            number = bank["bank"]
            rows += [
                (one["stage"], name, number, f"{size:,}")
                for one in bank["layers"]
                if one["stage"] in stages
                for name, size in one["fields"].items()
            ]
            stay += [
                ("", f"{one['weights']}, stay", number, f"{one['bytes']:,}")
                for one in bank["resident"]
                if one["layer"] == layer
            ]
    return [*rows, *stay]


def _damaged(folder: Path, why: str) -> MohaqError:
    return MohaqError(f"this {WHAT} is damaged", where=str(folder / PLAN), why=why)
