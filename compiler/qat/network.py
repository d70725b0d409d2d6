"""A program as a torch network that computes with rounded values and can be trained.

The graph is that of `program.to_fx()`. Shadow parameters hold the real values; before every run
each use of one is rounded to its slot's grid (M. Courbariaux et al., "BinaryConnect", 2015).

Rounded like the integer program: searched weights, exactly; layer inputs and what recurrent
products read; states between steps, results of layers, 16-bit vectors, peepholes and
projections. Not modelled, each below a few steps of 16 bits: biases, sums of gates, tables.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from mohaq.compiler.analysis.storage import LayerGrids
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn as ops
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.fx.cells import Lstm, Qrnn, Recurrent
from mohaq.compiler.modules import SRU
from mohaq.compiler.program import Program
from mohaq.compiler.qat.fake import ValueGrid, WeightGrid, at_16_bits
from mohaq.compiler.qat.slots import Grids

SEARCHED_WEIGHTS = ("weight", "recurrent")
WHOLE_WEIGHTS = ("vector", "peephole", "projection")
STATISTICS = ("norm", "mean", "var")
"""Operands that normalizations have measured."""

Rounding = WeightGrid | None


class QuantizedNetwork(nn.Module):
    """Quantization in the loop.

    Args:
        program: calibrated `nn` program, left alone.
        grids: of its layers with integers.
        trained: symbols of the parameters that get gradients; None: see `trainable`.

    Raises:
        MohaqError: an operation without a torch form.
    """

    def __init__(
        self, program: Program, grids: Grids, trained: frozenset[str] | None = None
    ) -> None:
        super().__init__()
        self._program = program
        self._graph = (program.to_fx(),)  # in a tuple: its parameters are not ours
        self._layers = {op.label: op for op in program.layers()}
        chosen = trainable(program) if trained is None else trained
        self.symbols: list[str] = []
        self.shadows = nn.ParameterList()
        self._uses: list[tuple[str, int, str, str]] = []
        """(place in the graph, number of the shadow, layer, slot)."""
        self._values: dict[str, dict[str, ValueGrid]] = {}
        """{layer: {role of a value: its rounding}}."""
        self._collect(chosen)
        self._insert(grids)
        self.set_grids(grids)

    def forward(self, *values: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, ...]:
        """Results of the program.

        Args:
            values: its arguments.
            lengths: [B], of padded sequences; recurrent layers stop there.
        """
        rounded: dict[str, Tensor] = {}
        for (place, number, _, slot), grid in zip(self._uses, self._roundings, strict=True):
            shadow: Tensor = self.shadows[number]
            if grid is not None:
                shadow = grid(shadow)
            elif slot in WHOLE_WEIGHTS:
                shadow = at_16_bits(shadow)
            rounded[place] = shadow
        made = functional_call(self._graph[0], rounded, values, {"lengths": lengths})
        return made if isinstance(made, tuple) else (made,)

    def set_grids(self, grids: Grids) -> None:
        """Take other grids for the same layers (after calibration)."""
        self._roundings = [
            self._rounding(grids, layer, slot, self.shadows[number])
            for _, number, layer, slot in self._uses
        ]
        for label, found in grids.layers.items():
            for role, module in self._values[label].items():
                module.grid = _grid_of(role, found)

    def clamp(self) -> None:
        """Bring shadow weights back between the ends of their grids."""
        ends: dict[int, list[WeightGrid]] = {}
        for (_, number, _, _), grid in zip(self._uses, self._roundings, strict=True):
            if grid is not None:
                ends.setdefault(number, []).append(grid)
        with torch.no_grad():
            for number, found in ends.items():
                shadow = self.shadows[number]
                low, high = found[0].low, found[0].high
                for other in found[1:]:
                    low, high = torch.minimum(low, other.low), torch.maximum(high, other.high)
                shadow.clamp_(low.to(shadow.dtype), high.to(shadow.dtype))

    def values(self) -> dict[str, npt.NDArray[np.float32]]:
        """{symbol: shadow values}."""
        return {
            symbol: shadow.detach().float().numpy().copy()
            for symbol, shadow in zip(self.symbols, self.shadows, strict=True)
        }

    def rounded_values(self) -> dict[str, npt.NDArray[np.float32]]:
        """{symbol: values as the integer program has them}, of searched weights on grids."""
        found: dict[str, npt.NDArray[np.float32]] = {}
        for (_, number, _, _), grid in zip(self._uses, self._roundings, strict=True):
            if grid is not None:
                found[self.symbols[number]] = grid(self.shadows[number].detach()).float().numpy()
        return found

    def load(self, values: Mapping[str, npt.NDArray[Any] | Tensor]) -> None:
        """Take shadow values of every symbol."""
        with torch.no_grad():
            for symbol, shadow in zip(self.symbols, self.shadows, strict=True):
                shadow.copy_(torch.as_tensor(values[symbol]))

    def _shadow(self, symbol: str, chosen: frozenset[str]) -> int:
        """Number of a symbol's shadow."""
        if symbol not in self.symbols:
            data = torch.from_numpy(self._program.parameters[symbol].copy())
            self.symbols.append(symbol)
            self.shadows.append(nn.Parameter(data, requires_grad=symbol in chosen))
        return self.symbols.index(symbol)

    def _collect(self, chosen: frozenset[str]) -> None:
        """Every float parameter of the graph becomes a use of a shadow."""
        graph = self._graph[0]
        for node in graph.graph.nodes:
            if node.op == "get_attr" and isinstance(getattr(graph, node.target), nn.Parameter):
                number = self._shadow(node.meta["parameter"], chosen)
                self._uses.append((node.target, number, "", ""))
            elif node.op == "call_module":
                op = self._layers[node.meta["layer"]]
                for slot, _ in graph.get_submodule(node.target).named_parameters(recurse=False):
                    owner = getattr(op, slot).owner
                    assert isinstance(owner, LoadOp)
                    number = self._shadow(owner.symbol, chosen)
                    self._uses.append((f"{node.target}.{slot}", number, op.label, slot))

    def _rounding(self, grids: Grids, layer: str, slot: str, shadow: Tensor) -> Rounding:
        if layer not in grids.layers or slot not in SEARCHED_WEIGHTS:
            return None
        grid = grids.layers[layer].slots[slot]
        steps = grids.core.parameters[grid.rows] if grid.rows else None
        return WeightGrid(grid, tuple(shadow.shape), steps)

    def _insert(self, grids: Grids) -> None:
        """Roundings of values around every layer with integers, and lengths into every cell."""
        module = self._graph[0]
        graph = module.graph
        sources = {layer.name: layer.source for layer in grids.table.table}
        last = [n for n in graph.nodes if n.op == "placeholder"][-1]
        with graph.inserting_after(last):
            lengths = graph.placeholder("lengths", default_value=None)
        for node in list(graph.nodes):
            label = node.meta.get("layer")
            if label is None:
                continue
            if node.op == "call_module":
                _pass_lengths(node, module.get_submodule(node.target), lengths)
            found = grids.layers.get(label)
            if found is None:
                continue
            if node.op != "call_module":
                raise MohaqError(
                    "this layer cannot be retrained", where=f"layer '{label}'", why="no module"
                )
            self._around(node, label, found, first=sources[label] is None)
        graph.lint()
        module.recompile()

    def _around(self, node: fx.Node, label: str, found: LayerGrids, *, first: bool) -> None:
        graph, op = node.graph, self._layers[label]
        self._values[label] = {}
        x = node.args[0]
        with graph.inserting_before(node):
            for role in ("stored_input", "input"):
                if role == "input" or first:
                    x = graph.call_module(self._add(label, role), (x,))
        node.args = (x, *node.args[1:])
        results = [node]
        if len(op.results) > 1:
            results = [u for u in node.users if u.target is operator.getitem and u.args[1] == 0]
        for result in results:
            with graph.inserting_after(result):
                made = graph.call_module(self._add(label, "stored_output"), (result,))
            for user in list(result.users):
                if user is not made:
                    user.replace_input_with(result, made)
        cell = self._graph[0].get_submodule(str(node.target))
        if isinstance(cell, Recurrent):
            held = ("output", "state") if isinstance(cell, Lstm) else ("state",)
            cell.held = tuple(self._made(label, role) for role in held)
            if "hidden" in found.slots:
                cell.feed = self._made(label, "hidden")

    def _add(self, label: str, role: str) -> str:
        """A rounding as a module of the graph; gives its name."""
        name = f"grid_{len(self._values)}_{role}"
        self._graph[0].add_module(name, self._made(label, role))
        return name

    def _made(self, label: str, role: str) -> ValueGrid:
        """The rounding of a value; its grid comes with `set_grids`."""
        return self._values[label].setdefault(role, ValueGrid())


def _grid_of(role: str, found: LayerGrids) -> GridAttr | None:
    """Grid of a value; None where it has been rounded to the same one just before."""
    match role:
        case "stored_input":
            return found.stored_input
        case "stored_output":
            return found.stored_output
        case "input":
            return None if found.slots["input"] == found.stored_input else found.slots["input"]
        case "hidden":
            held = found.slots.get("output", found.slots["state"])
            return None if found.slots["hidden"] == held else found.slots["hidden"]
    return found.slots[role]


def _pass_lengths(node: fx.Node, module: nn.Module, lengths: fx.Node) -> None:
    """Give a recurrent layer the lengths of a padded batch, unless it has its own."""
    if isinstance(module, SRU | Qrnn):
        count = 2 if isinstance(module, SRU) else 3
        node.args = (*node.args, *(None,) * (count - len(node.args)), lengths)
    elif isinstance(module, Recurrent) and node.args[-1] is None:
        node.args = (*node.args[:-1], lengths)


def trainable(program: Program, layers: frozenset[str] | None = None) -> frozenset[str]:
    """Symbols of weights, biases and the like: not of statistics, constants or start states.

    Args:
        program: an `nn` program.
        layers: only parameters of these layers; None: of everything.
    """
    found: set[str] = set()
    for op in program.entry.body.block.ops:
        if not isinstance(op, ops.LayerOp) or (layers is not None and op.label not in layers):
            continue
        fixed: list[Any] = list(op.state_operands().values())
        fixed += [getattr(op, name, None) for name in STATISTICS]
        values = [v for v in op.operands if v not in fixed]
        found |= {v.owner.symbol for v in values if isinstance(v.owner, LoadOp)}
    return frozenset(found)
