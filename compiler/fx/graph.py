"""`nn` programs as runnable torch.fx graphs (DESIGN D12).

Layers are `call_module` nodes whose `meta` carries what the passes wrote:
`meta["quant"]` = {slot: {"width", "scale"}}, `meta["calibration"]` = {slot: {width: clip}}.
Parameters that are no module's are `get_attr` nodes with `meta["parameter"]` = symbol.
Other operations are `call_function` nodes; gradients flow through all of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from xdsl.dialects.builtin import IntegerType
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn as ops
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import element_of, shape_of
from mohaq.compiler.files import safe_name
from mohaq.compiler.fx import functions as f
from mohaq.compiler.fx.cells import Gru, Lstm, Qrnn, Recurrent, Simple
from mohaq.compiler.modules import SRU, SRUOptions
from mohaq.compiler.program import Program, argument_names


def to_fx(program: Program) -> fx.GraphModule:
    """A GraphModule that computes what the `nn` interpreter does (within 1e-5).

    Raises:
        MohaqError: the program holds an operation without a torch form, or a recurrent layer
            whose weights are computed.
    """
    return _Builder(program).build()


class _Builder:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.nodes: dict[SSAValue, Any] = {}
        self._taken: set[str] = set()

    def build(self) -> fx.GraphModule:
        """Arguments, operations, results."""
        entry = self.program.entry
        for n, (arg, name) in enumerate(zip(entry.args, argument_names(entry), strict=True)):
            self.nodes[arg] = self.graph.placeholder(
                self.name(name or ("x" if n == 0 else f"state{n}"))
            )
        for op in entry.body.block.ops:
            if isinstance(op, LoadOp):
                continue
            if isinstance(op, ReturnOp):
                results = tuple(self.node(v) for v in op.operands)
                self.graph.output(results[0] if len(results) == 1 else results)
            elif isinstance(op, ops.LayerOp):
                self.layer(op)
            else:
                self.nodes[op.results[0]] = self.function(op)
        self.graph.lint()
        return fx.GraphModule(self.root, self.graph)

    def name(self, text: str) -> str:
        """A Python identifier that nothing has yet."""
        base = "".join(c if c.isalnum() and c.isascii() else "_" for c in safe_name(text))
        base = base if base and not base[0].isdigit() else f"_{base}"
        found, number = base, 1
        while found in self._taken or hasattr(self.root, found):
            number += 1
            found = f"{base}_{number}"
        self._taken.add(found)
        return found

    def node(self, value: SSAValue) -> Any:
        """Node of a value; parameters become attributes of the root on first use."""
        if value not in self.nodes:
            owner = value.owner
            assert isinstance(owner, LoadOp)
            target = self.name(owner.symbol)
            data = self.tensor(value)
            if data.is_floating_point():
                self.root.register_parameter(target, nn.Parameter(data))
            else:
                self.root.register_buffer(target, data)
            self.nodes[value] = self.graph.get_attr(target)
            self.nodes[value].meta["parameter"] = owner.symbol
        return self.nodes[value]

    def tensor(self, value: SSAValue) -> torch.Tensor:
        """Data of a parameter.

        Raises:
            MohaqError: the value is computed.
        """
        if not isinstance(value.owner, LoadOp):
            raise MohaqError("a recurrent layer with computed weights has no torch.fx form")
        return torch.from_numpy(self.program.parameters[value.owner.symbol].copy())

    def optional(self, value: SSAValue | None) -> torch.Tensor | None:
        """Data of a parameter that may be absent."""
        return None if value is None else self.tensor(value)

    def call(self, function: Callable[..., Any], *arguments: Any) -> fx.Node:
        """A `call_function` node; values become nodes."""
        given = [self.node(a) if isinstance(a, SSAValue) else a for a in arguments]
        return self.graph.call_function(function, tuple(given))

    def layer(self, op: ops.LayerOp) -> None:
        """A layer: one `call_module` node, or a function of its parameters."""
        module = self.module(op)
        if module is None:
            node = self.function(op)
            self.nodes[op.results[0]] = node
        else:
            target = self.name(op.label)
            self.root.add_module(target, module)
            given = [op.operands[0], *_further(op)]
            arguments = tuple(None if v is None else self.node(v) for v in given)
            if isinstance(op, ops.SruOp) and op.initial_state is not None:
                # mohaq::sru takes a state for every sequence.
                arguments = (arguments[0], self.call(f.for_batch, op.initial_state, op.input))
            node = self.graph.call_module(target, arguments)
            if len(op.results) == 1:
                self.nodes[op.results[0]] = node
            else:
                for n, result in enumerate(op.results):
                    self.nodes[result] = self.graph.call_function(operator.getitem, (node, n))
        slots = (*op.SEARCHED_SLOTS, *op.FIXED_SLOTS)
        grids = {slot: grid for slot in slots if (grid := op.grid(slot)) is not None}
        node.meta["layer"] = op.label
        node.meta["quant"] = {s: g.facts() for s, g in grids.items()}
        node.meta["calibration"] = {s: c for s in slots if (c := op.clips(s))}

    def module(self, op: ops.LayerOp) -> nn.Module | None:
        """The module of a layer; None for layers that are functions here."""
        match op:
            case ops.LinearOp() if isinstance(op.weight.owner, LoadOp):
                return self._linear(op)
            case ops.SruOp():
                return self._sru(op)
            case ops.CellOp():
                return self._cell(op)
            case ops.QrnnOp():
                made = Qrnn([op.is_reverse(d) for d in range(op.directions)])
                made.hold("weight", self.tensor(op.weight))
                made.hold("bias", self.optional(op.bias))
                made.pooling = op.pooling.data
                return made
        return None

    def _linear(self, op: ops.LinearOp) -> nn.Linear:
        outputs, inputs = shape_of(op.weight)
        made = nn.Linear(inputs, outputs, bias=op.bias is not None)
        with torch.no_grad():
            made.weight.copy_(self.tensor(op.weight))
            if op.bias is not None:
                made.bias.copy_(self.tensor(op.bias))
        return made

    def _sru(self, op: ops.SruOp) -> SRU:
        _, _, hidden, inputs = shape_of(op.weight)
        options = SRUOptions(
            op.direction.data, op.skip.data, float(op.skip_scale.value.data), op.activation.data
        )
        made = SRU(inputs, hidden, options)
        with torch.no_grad():
            made.weight.copy_(self.tensor(op.weight))
            made.vector.copy_(self.tensor(op.vector))
            made.bias.copy_(self.tensor(op.bias))
        return made

    def _cell(self, op: ops.CellOp) -> Recurrent:
        count = range(op.directions)
        facts = ([op.is_reverse(d) for d in count], [op.functions(d) for d in count], op.limit)
        made: Recurrent
        match op:
            case ops.LstmOp():
                made = Lstm(*facts)
                made.coupled = bool(op.coupled.value.data)
                made.hold("peephole", self.optional(op.peephole))
                made.hold("projection", self.optional(op.projection))
            case ops.GruOp():
                made = Gru(*facts)
                made.reset_after = op.resets_after
                made.hold("recurrent_bias", self.optional(op.recurrent_bias))
            case ops.LiGruOp():
                made = Simple(*facts)
                made.epsilon = float(op.epsilon.value.data)
                made.hold("norm", self.optional(op.norm))
            case ops.RnnOp():
                made = Simple(*facts)
                made.hold("norm", None)
            case _:
                raise MohaqError(f"'{op.name}' has no torch.fx form", where=f"layer '{op.label}'")
        made.hold("weight", self.tensor(op.weight))
        made.hold("recurrent", self.tensor(op.recurrent))
        made.hold("bias", self.optional(op.bias))
        return made

    def function(self, op: Operation) -> fx.Node:
        """An operation as a `call_function` node.

        Raises:
            MohaqError: it has no torch form.
        """
        match op:
            case ops.LinearOp():
                return self.call(nn.functional.linear, op.input, op.weight, op.bias)
            case ops.Conv1dOp():
                numbers = [a.value.data for a in (op.stride, op.dilation, op.groups)]
                return self.call(f.conv1d, op.input, op.weight, op.bias, op.pads, *numbers)
            case ops.Pool1dOp():
                numbers = [op.kernel.value.data, op.stride.value.data]
                return self.call(f.pool1d, op.input, op.kind.data, *numbers)
            case ops.Conv2dOp():
                facts2 = (op.zeros, op.steps, op.reach, op.groups.value.data)
                return self.call(f.conv2d, op.input, op.weight, op.bias, *facts2)
            case ops.Pool2dOp():
                return self.call(f.pool2d, op.input, op.kind.data, op.window, op.steps)
            case ops.BatchNormOp():
                facts = (op.axis.value.data, float(op.epsilon.value.data))
                return self.call(f.batch_norm, op.input, op.gamma, op.beta, op.mean, op.var, *facts)
            case ops.LayerNormOp():
                facts = (op.axis.value.data, float(op.epsilon.value.data))
                return self.call(f.layer_norm, op.input, op.gamma, op.beta, *facts)
            case ops.EmbeddingOp():
                return self.call(nn.functional.embedding, op.indices, op.table)
            case ops.FakeQuantizeOp():
                places = (op.axis.value.data, *op.limits)
                return self.call(f.fake_quantize, op.input, op.scale, op.zero_point, *places)
            case ops.UnaryOp():
                kind, values = op.function.kind, op.function.values
                return self.call(f.TABLE[kind], op.input, *values)
            case ops.BinaryOp():
                return self.call(f.BINARY[op.kind.data], op.lhs, op.rhs)
            case ops.MatmulOp():
                return self.call(torch.matmul, op.lhs, op.rhs)
            case ops.SoftmaxOp():
                chosen = torch.log_softmax if op.log.value.data else torch.softmax
                return self.call(chosen, op.input, op.axis.value.data)
            case ops.ReduceOp():
                keep = bool(op.keep.value.data)
                return self.call(f.reduce, op.input, op.kind.data, op.axis_numbers, keep)
            case ops.CompareOp():
                return self.call(f.compare, op.lhs, op.rhs, op.relation.data)
            case ops.SelectOp():
                return self.call(f.select, op.condition, op.chosen, op.other)
            case ops.CastOp():
                whole = isinstance(element_of(op.result), IntegerType)
                return self.call(f.cast, op.input, whole)
            case ops.ArgReduceOp():
                arg = torch.argmax if op.kind.data == "max" else torch.argmin
                return self.call(arg, op.input, op.axis.value.data, bool(op.keep.value.data))
        return self._move(op)

    def _move(self, op: Operation) -> fx.Node:
        match op:
            case ops.TransposeOp():
                return self.call(torch.permute, op.input, op.order)
            case ops.ReshapeOp():
                return self.call(f.reshape, op.input, op.extents, op.like)
            case ops.UnsqueezeOp():
                return self.call(f.unsqueeze, op.input, op.axis_numbers)
            case ops.SqueezeOp():
                return self.call(f.squeeze, op.input, op.axis_numbers)
            case ops.SliceOp():
                r = op.range
                return self.call(f.cut, op.input, op.axis.value.data, r.start, r.stop, r.step)
            case ops.FlipOp():
                return self.call(torch.flip, op.input, (op.axis.value.data,))
            case ops.ConcatOp():
                parts = [self.node(p) for p in op.parts]
                return self.graph.call_function(torch.cat, (parts, op.axis.value.data))
            case ops.PadOp():
                numbers = (op.axis.value.data, op.before.value.data, op.after.value.data)
                value = float(op.value.value.data)
                return self.call(f.pad, op.input, *numbers, op.mode.data, value)
        raise MohaqError(f"'{op.name}' has no torch.fx form")


def _further(op: ops.LayerOp) -> list[SSAValue | None]:
    """Operands of a recurrent layer that its module takes after x."""
    match op:
        case ops.LstmOp():
            return [op.initial_h, op.initial_c, op.lengths]
        case ops.GruOp() | ops.RnnOp() | ops.LiGruOp():
            return [op.initial_state, op.lengths]
        case ops.QrnnOp():
            return [op.initial_state, op.initial_input]
        case ops.SruOp():
            return [] if op.initial_state is None else [op.initial_state]
    return []
