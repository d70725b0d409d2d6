"""`nn` programs as runnable torch.fx graphs (DESIGN D12).

Each layer is one `call_module` node whose `meta` carries what the passes wrote:
`meta["quant"]` = {slot: {"width", "scale"}}, `meta["calibration"]` = {slot: {width: clip}}.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp, LinearOp, SruOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.modules import SRU, SRUOptions
from mohaq.compiler.program import Program


def to_fx(program: Program) -> fx.GraphModule:
    """A GraphModule that computes what the `nn` interpreter does (within 1e-5).

    Raises:
        MohaqError: the program holds something that is no layer.
    """
    root = nn.Module()
    graph = fx.Graph()
    entry = program.entry
    nodes: dict[SSAValue, Any] = {
        arg: graph.placeholder("x" if n == 0 else f"state{n}") for n, arg in enumerate(entry.args)
    }
    for op in entry.body.block.ops:
        if isinstance(op, LoadOp):
            continue
        if isinstance(op, ReturnOp):
            results = tuple(nodes[v] for v in op.operands)
            graph.output(results[0] if len(results) == 1 else results)
        elif isinstance(op, LayerOp):
            _layer(program, op, root, graph, nodes)
        else:
            raise MohaqError(f"'{op.name}' has no torch.fx form")
    graph.lint()
    return fx.GraphModule(root, graph)


def _layer(
    program: Program, op: LayerOp, root: nn.Module, graph: fx.Graph, nodes: dict[SSAValue, Any]
) -> None:
    # Dots would make nested modules, which the layer's name does not promise to be.
    target = op.label.replace(".", "_")
    while hasattr(root, target):
        target += "_"
    if isinstance(op, LinearOp):
        root.add_module(target, _linear(program, op))
        node = graph.call_module(target, (nodes[op.input],))
        nodes[op.result] = node
    elif isinstance(op, SruOp):
        root.add_module(target, _sru(program, op))
        args = [nodes[op.input]] + ([nodes[op.initial_state]] if op.initial_state else [])
        node = graph.call_module(target, tuple(args))
        nodes[op.result] = graph.call_function(operator.getitem, (node, 0))
        nodes[op.final_state] = graph.call_function(operator.getitem, (node, 1))
    else:
        raise MohaqError(f"'{op.name}' has no torch.fx form", where=f"layer '{op.label}'")
    slots = (*op.SEARCHED_SLOTS, *op.FIXED_SLOTS)
    grids = {slot: grid for slot in slots if (grid := op.grid(slot)) is not None}
    node.meta["layer"] = op.label
    node.meta["quant"] = {s: {"width": g.bits, "scale": g.step} for s, g in grids.items()}
    node.meta["calibration"] = {s: c for s in slots if (c := op.clips(s))}


def _tensor(program: Program, value: SSAValue) -> torch.Tensor:
    assert isinstance(value.owner, LoadOp)
    return torch.from_numpy(program.parameters[value.owner.symbol].copy())


def _linear(program: Program, op: LinearOp) -> nn.Linear:
    outputs, inputs = shape_of(op.weight)
    made = nn.Linear(inputs, outputs, bias=op.bias is not None)
    with torch.no_grad():
        made.weight.copy_(_tensor(program, op.weight))
        if op.bias is not None:
            made.bias.copy_(_tensor(program, op.bias))
    return made


def _sru(program: Program, op: SruOp) -> SRU:
    _, _, hidden, inputs = shape_of(op.weight)
    options = SRUOptions(
        op.direction.data, op.skip.data, float(op.skip_scale.value.data), op.activation.data
    )
    made = SRU(inputs, hidden, options)
    with torch.no_grad():
        made.weight.copy_(_tensor(program, op.weight))
        made.vector.copy_(_tensor(program, op.vector))
        made.bias.copy_(_tensor(program, op.bias))
    return made
