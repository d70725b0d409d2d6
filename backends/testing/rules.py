"""What every legality and every target file has to be."""

from __future__ import annotations

import math

from mohaq.backends.base import Backend, Legality, Target
from mohaq.compiler.analysis.layers import Layer
from mohaq.compiler.analysis.storage import CalibratedTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.dialects.quant import MAX_WIDTH, MIN_WIDTH

KINDS = ("linear", "sru", "lstm", "gru", "rnn", "ligru", "qrnn")
"""Kinds of layers that have an integer form."""


def check_legality(layer: Layer, legal: Legality) -> None:
    """Every searched slot in one group; choices distinct and sorted from narrow to wide."""
    where = f"legality of layer '{layer.name}' ({layer.kind})"
    assert legal.groups, f"{where}: no groups"
    slots = [slot for group in legal.groups for slot in group.slots]
    wanted = {Slot(layer.name, slot) for slot in layer.slots}
    assert len(slots) == len(set(slots)), f"{where}: a slot is in two groups"
    assert set(slots) == wanted, f"{where}: slots {slots}, searched are {sorted(map(str, wanted))}"
    for group in legal.groups:
        assert group.choices, f"{where}: group '{group.name}' has no choices"
        assert len(set(group.choices)) == len(group.choices), f"{where}: a choice stands twice"
        for choice in group.choices:
            assert len(choice) == len(group.slots), f"{where}: {choice} is not one width a slot"
            assert all(MIN_WIDTH <= w <= MAX_WIDTH for w in choice), f"{where}: widths {choice}"
        bits = [sum(choice) for choice in group.choices]
        assert bits == sorted(bits), f"{where}: choices are not sorted from narrow to wide"
    assert legal.scale_kind in {"dyadic", "power-of-two"}, where
    assert legal.granularity in {"per-tensor", "per-channel"}, where
    assert legal.multiplier_bits >= 1, where


def check_obeyed(table: CalibratedTable, layer: Layer, legal: Legality) -> None:
    """The scales that a search would use are ones that the target says it can take."""
    for group in legal.groups:
        for choice in group.choices:
            for slot, width in zip(group.slots, choice, strict=True):
                grid = table.grid(layer.name, slot.slot, width)
                where = f"{slot} at {width} bits"
                if legal.granularity == "per-tensor":
                    assert not grid.rows, f"{where}: a scale for each row"
                if legal.scale_kind == "power-of-two":
                    assert math.log2(grid.step) % 1 == 0, f"{where}: scale {grid.step}"


def check_target(backend: Backend, name: str, target: Target) -> None:
    """Name, backend, and a source and a mark for every constant."""
    assert target.name == name
    assert target.backend == backend.name
    assert target.description
    for key, constant in target.constants.items():
        assert constant.mark in {"verified", "remembered", "assumed"}, key
        assert constant.unit, f"{key} has no unit"
        assert constant.source, f"{key} has no source"
    assert backend.latency_unit(target) in {"s", "cycles"}
    if target.path is not None:
        assert backend.load_target(str(target.path)) == target, "by path it is another target"
