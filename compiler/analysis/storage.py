"""Which grid each value of a program is held in, for given widths.

One rule for the passes and for the search, so that both see the same program:
- the program's input and every recurrent output are held in 16 bits (an output that cannot
  leave [-1, 1] in Q0.15);
- the result of a linear layer is held in the input grid of its single consumer (one rounding),
  otherwise in 16 bits;
- a layer whose input slot has 16 bits reads a 16-bit value as it is, and so does a recurrent
  product whose hidden slot has 16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from xdsl.dialects.builtin import DictionaryAttr

from mohaq.compiler.analysis.layers import Layer, LayerTable, layer_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr
from mohaq.compiler.program import Program

CLIPS_KEY = "quant.clips"
"""Attribute of an entry argument that holds its calibrated clips."""

STORED_WIDTH = 16
"""Width of values that no layer's input grid fixes (MOHAQ: 16 bits outside the products)."""

GATE_GRID = GridAttr.of(16, 2.0**-11)
"""Q4.11: gate pre-activations in [-16, 16), the domain of the sigmoid table."""

UNIT_GRID = GridAttr.of(16, 2.0**-15)
"""Q0.15: results of the function tables, and states and outputs that they bound."""


@dataclass(frozen=True)
class ScaleRule:
    """What scales a target can take in a layer (`Legality` of its backend).

    per_channel: weights may have a step for each row. power_of_two: every scale is a power of
    two, so that every requantization is a shift.
    """

    per_channel: bool = True
    power_of_two: bool = False


@dataclass(frozen=True)
class LayerGrids:
    """All grids of one layer under an assignment.

    `stored_input` and `stored_output` are how its input arrives and its result leaves;
    `slots` are the grids of its precision slots.
    """

    slots: Mapping[str, GridAttr]
    stored_input: GridAttr
    stored_output: GridAttr


@dataclass(frozen=True)
class CalibratedTable:
    """The layer table of a calibrated program with all its clips: pure numbers, no IR."""

    table: LayerTable
    clips: Mapping[str, Mapping[str, Mapping[int, float]]]
    """layer -> slot -> width -> clip."""
    input_clips: Mapping[str, float]
    """Layer fed by a program argument -> 16-bit clip of that argument."""
    rows: Mapping[tuple[str, str, int], str] = field(default_factory=dict)
    """(layer, slot, width) -> parameter with the steps of the weight's rows, where they differ."""
    given: Mapping[tuple[str, str, int], GridAttr] = field(default_factory=dict)
    """(layer, slot, width) -> grid that the model came with; it stands at its width."""
    rules: Mapping[str, ScaleRule] = field(default_factory=dict)
    """Layer -> what its target can take; without one everything goes."""

    def obeying(self, rules: Mapping[str, ScaleRule]) -> CalibratedTable:
        """The table for a target.

        Where a target has one scale for a tensor, rows of a calibrated weight lose theirs; where
        it only shifts, scales are rounded up to powers of two.
        """
        return replace(self, rules=dict(rules))

    def searched(self) -> list[Slot]:
        """All searched slots in program order."""
        return [Slot(layer.name, slot) for layer in self.table for slot in layer.slots]

    def grid(self, layer: str, slot: str, width: int) -> GridAttr:
        """Grid of a slot at a width.

        Raises:
            MohaqError: the slot was not calibrated for this width, or the model came with a
                grid that the target cannot take.
        """
        if slot == "gate":
            return GATE_GRID
        if slot in self.table[layer].unit:
            return UNIT_GRID
        key, rule = (layer, slot, width), self.rules.get(layer, ScaleRule())
        if key in self.given:
            return _permitted(self.given[key], rule, f"{layer}.{slot}")
        known = self.clips.get(layer, {}).get(slot, {})
        if width not in known:
            have = ", ".join(map(str, known)) or "no widths"
            raise MohaqError(
                f"slot '{layer}.{slot}' is not calibrated for {width} bits",
                why=f"calibrated for {have}",
                hint="run calibrate with these widths first",
            )
        rows = self.rows.get(key, "") if rule.per_channel else ""
        return _shifted(GridAttr.from_clip(width, known[width], rows=rows), rule)

    def layer_grids(self, widths: Mapping[Slot, int]) -> dict[str, LayerGrids]:
        """Grids of every layer for complete widths of the searched slots."""
        slots = {layer.name: self._slots(layer, widths) for layer in self.table}
        stored: dict[str, GridAttr] = {}
        found: dict[str, LayerGrids] = {}
        for layer in self.table:
            if layer.source is None:
                before = GridAttr.from_clip(STORED_WIDTH, self.input_clips[layer.name])
                before = _shifted(before, self.rules.get(layer.name, ScaleRule()))
            else:
                before = stored[layer.source]
            mine = dict(slots[layer.name])
            if mine["input"].bits == STORED_WIDTH == before.bits:
                mine["input"] = before
            if "hidden" in mine and mine["hidden"].bits == STORED_WIDTH:
                mine["hidden"] = mine[layer.held]
            direct = layer.direct
            after = mine[layer.held] if direct is None else slots[direct]["input"]
            stored[layer.name] = after
            found[layer.name] = LayerGrids(mine, before, after)
        return found

    def _slots(self, layer: Layer, widths: Mapping[Slot, int]) -> dict[str, GridAttr]:
        return {
            **{s: self.grid(layer.name, s, widths[Slot(layer.name, s)]) for s in layer.slots},
            **{s: self.grid(layer.name, s, STORED_WIDTH) for s in layer.fixed},
        }


def _shifted(grid: GridAttr, rule: ScaleRule) -> GridAttr:
    """The grid as the rule wants it: a scale rounded up never clips more."""
    if not rule.power_of_two:
        return grid
    if grid.rows:
        raise MohaqError(
            "a target that only shifts takes one scale for a weight",
            hint="calibrate it per tensor",
        )
    return GridAttr.of(grid.bits, 2.0 ** math.ceil(math.log2(grid.step)), zero=grid.zero)


def _permitted(grid: GridAttr, rule: ScaleRule, where: str) -> GridAttr:
    """A grid that the model came with, which nobody may change."""
    if grid.rows and not rule.per_channel:
        raise MohaqError(
            "the model has a scale for each row of this weight, the target takes one for all",
            where=where,
            hint="give the slot another width, or quantize the model per tensor",
        )
    if rule.power_of_two and math.log2(grid.step) % 1:
        raise MohaqError(
            f"the model has the scale {grid.step:g}, the target takes powers of two",
            where=where,
            hint="give the slot another width",
        )
    return grid


def calibrated_table(program: Program) -> CalibratedTable:
    """Read the layers and clips of a calibrated `nn` program.

    Raises:
        MohaqError: the program is not calibrated.
    """
    table = layer_table(program)
    clips = {
        op.label: {slot: op.clips(slot) for slot in (*op.SEARCHED_SLOTS, *op.FIXED_SLOTS)}
        for op in program.layers()
    }
    bare = [name for name, slots in clips.items() if not any(slots.values())]
    if bare:
        raise MohaqError(
            f"layer '{bare[0]}' has no calibration",
            hint="run the pass calibrate{data=...} first",
        )
    entry = program.entry
    attrs = entry.arg_attrs.data if entry.arg_attrs else ()
    inputs: dict[str, float] = {}
    for op in program.layers():
        for number, arg in enumerate(entry.args):
            if op.operands[0] is not arg:
                continue
            held = attrs[number] if number < len(attrs) else DictionaryAttr({})
            found = held.data.get(CLIPS_KEY)
            if not isinstance(found, ClipsAttr) or STORED_WIDTH not in found.clips():
                raise MohaqError(f"input {number} of the program has no 16-bit clip")
            inputs[op.label] = found.clips()[STORED_WIDTH]
    rows, given = {}, {}
    for op in program.layers():
        for slot in op.SEARCHED_SLOTS:
            for width, name in op.clip_rows(slot).items():
                rows[op.label, slot, width] = name
            grid = op.given_grid(slot)
            if grid is not None:
                given[op.label, slot, grid.bits] = grid
    return CalibratedTable(table, clips, inputs, rows, given)
