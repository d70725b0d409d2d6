"""PyTorch models through torch.export, stopped before decomposition (DESIGN D3).

A recurrent layer stays one node. Time and batch are exported as symbolic where the model
allows it; the sizes that torch.export froze for the example are lifted back to `?`, which is
right because every supported operation treats all time steps and sequences alike.
"""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node
from xdsl.ir import SSAValue

import mohaq.compiler.modules.sru_op  # noqa: F401  registers torch.ops.mohaq.sru
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.pytorch.archive import check_archive
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program

PASSED_THROUGH = {
    "aten.alias.default",
    "aten.clone.default",
    "aten.contiguous.default",
    "aten.detach.default",
    "aten.detach_.default",
    "aten.dropout.default",
    "aten.lift_fresh_copy.default",
}
"""Nodes without effect on values at inference."""

ZEROS = {"aten.new_zeros.default", "aten.zeros.default", "aten.zeros_like.default"}

BOOKKEEPING = {"aten.sym_size.int", "aten._assert_scalar.default"}
"""Nodes about symbolic sizes; T and B are symbolic in the IR anyway."""

SUPPORTED = ("torch.ops.mohaq.sru (mohaq.compiler.modules.SRU)", "aten.linear", "dropout")


def import_module(module: torch.nn.Module, example_inputs: tuple[Any, ...]) -> Program:
    """Export and import a module.

    Args:
        module: put in evaluation mode for the export.
        example_inputs: float32 tensors; sequences are [T, B, F] with T and B of at least 2
            (torch.export specialises sizes 0 and 1).

    Raises:
        MohaqError: torch.export refuses the module, or it has an operation that we do not import.
    """
    was_training = module.training
    module.eval()
    try:
        exported = _export(module, example_inputs)
    finally:
        module.train(was_training)
    return import_exported(exported)


def _export(module: torch.nn.Module, example_inputs: tuple[Any, ...]) -> ExportedProgram:
    batch = Dim("batch", min=1)
    shapes: list[dict[int, Any] | None] = []
    for number, value in enumerate(example_inputs):
        if not isinstance(value, torch.Tensor) or value.dim() != 3:
            raise MohaqError("example inputs are tensors of rank 3", where=f"input {number}")
        # Sequences are [T, B, F]; states, which follow them, [D, B, H].
        shapes.append({0: Dim("time", min=1), 1: batch} if number == 0 else {1: batch})
    try:
        return torch.export.export(module, example_inputs, dynamic_shapes=tuple(shapes))
    except Exception as dynamic:  # noqa: BLE001  torch.export raises many kinds
        try:
            return torch.export.export(module, example_inputs)
        except Exception as error:  # noqa: BLE001
            raise MohaqError(
                "torch.export cannot export this module",
                where=type(module).__name__,
                why=str(error).strip().splitlines()[0] if str(error) else repr(error),
            ) from dynamic


def import_file(path: Path) -> Program:
    """Import a `.pt2` file written by `torch.export.save`.

    Raises:
        MohaqError: missing, damaged, or holding pickled objects (refused, never loaded).
    """
    path = Path(path)
    if not path.is_file():
        raise MohaqError("no such model", where=str(path))
    check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.load(path)
    except Exception as error:
        raise MohaqError(
            "torch cannot load this .pt2 file",
            where=str(path),
            why=f"{type(error).__name__}: {str(error).strip()[:200]}",
        ) from error
    return import_exported(exported)


@dataclass
class _Importer:
    exported: ExportedProgram
    net: Network = field(default_factory=Network)
    values: dict[str, Any] = field(default_factory=dict)
    """Node name -> SSA value, tensor (parameters), tuple of values, or None (zeros)."""
    sequences: int = 0


def import_exported(exported: ExportedProgram) -> Program:
    """Import an exported program.

    Raises:
        MohaqError: an operation that we do not import, named with its place in the source.
    """
    work = _Importer(exported)
    kinds = {s.arg.name: s for s in exported.graph_signature.input_specs if hasattr(s.arg, "name")}
    state_users = _state_inputs(exported)
    results: list[SSAValue] = []
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            spec = kinds[node.name]
            if spec.kind is InputKind.USER_INPUT:
                work.values[node.name] = _argument(work, node, state_users)
            else:
                work.values[node.name] = _tensor(exported, spec.target)
        elif node.op == "call_function":
            work.values[node.name] = _call(work, node)
        elif node.op == "output":
            results = [_result(work, arg) for arg in node.args[0]]
        else:
            raise _refuse(node, f"graph node '{node.op}'")
    if not results:
        raise MohaqError("the model returns nothing")
    program = work.net.finish(results)
    if not any(program.layers()):
        raise MohaqError("the model has no layers")
    return program


def _state_inputs(exported: ExportedProgram) -> set[str]:
    """Placeholders that are initial states of an SRU."""
    found = set()
    for node in exported.graph.nodes:
        if _name(node) == "mohaq.sru.default" and isinstance(node.args[1], Node):
            found.add(node.args[1].name)
    return found


def _argument(work: _Importer, node: Node, states: set[str]) -> SSAValue:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.dtype != torch.float32 or value.dim() != 3:
        raise _refuse(node, "a model input that is no float32 tensor of rank 3")
    if node.name in states:
        return work.net.state(int(value.shape[0]), int(value.shape[2]))
    work.sequences += 1
    if work.sequences > 1:
        raise _refuse(node, "a second sequence input")
    return work.net.sequence(int(value.shape[2]))


def _tensor(exported: ExportedProgram, target: str | None) -> torch.Tensor:
    held = {**exported.state_dict, **exported.constants}
    if target is None or not isinstance(held.get(target), torch.Tensor):
        raise MohaqError(f"the exported model has no data for '{target}'")
    found = held[target]
    assert isinstance(found, torch.Tensor)
    return found


def _name(node: Node) -> str:
    return str(node.target) if node.op == "call_function" else ""


def _call(work: _Importer, node: Node) -> Any:
    name = _name(node)
    if node.target is operator.getitem:
        return _before(work, node)[node.args[1]]
    if name in PASSED_THROUGH:
        if name == "aten.dropout.default" and len(node.args) > 2 and node.args[2]:
            raise _refuse(node, "dropout in training mode")
        return _before(work, node)
    if name in ZEROS or name in BOOKKEEPING or node.target in (operator.mul, operator.add):
        return None
    handler = HANDLERS.get(name)
    if handler is None:
        raise _refuse(node, f"operation '{name}'")
    return handler(work, node)


def _before(work: _Importer, node: Node) -> Any:
    """Value of the node's first operand."""
    source = node.args[0]
    if not isinstance(source, Node):
        raise _refuse(node, f"operand '{source}'")
    return work.values[source.name]


def _value(work: _Importer, node: Node, argument: Any) -> SSAValue:
    found = work.values.get(argument.name) if isinstance(argument, Node) else None
    if not isinstance(found, SSAValue):
        raise _refuse(node, f"operand '{argument}', which is not computed by a layer or an input")
    return found


def _data(work: _Importer, node: Node, argument: Any) -> Any:
    found = work.values.get(argument.name) if isinstance(argument, Node) else None
    if not isinstance(found, torch.Tensor):
        raise _refuse(node, f"'{argument}' as weights, which is not a parameter")
    return found.detach().to(torch.float32).numpy()


def _layer_name(work: _Importer, node: Node) -> str:
    """Module path of the layer, from the export's stack; unique in the program."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack.values()))[0] if stack else ""
    base = re.sub(r"[^A-Za-z0-9_.]", "_", path.removeprefix("L['self'].")).strip(".") or node.name
    taken = set(work.values.get("#names", ()))
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    work.values["#names"] = (*taken, name)
    return name


def _linear(work: _Importer, node: Node) -> SSAValue:
    x, weight, *bias = node.args
    name = _layer_name(work, node)
    given = bias[0] if bias else node.kwargs.get("bias")
    return work.net.linear(
        name,
        _value(work, node, x),
        _data(work, node, weight),
        None if given is None else _data(work, node, given),
    )


def _sru(work: _Importer, node: Node) -> tuple[SSAValue, SSAValue]:
    x, c0, weight, vector, bias, direction, skip, skip_scale, activation = node.args
    held = work.values.get(c0.name) if isinstance(c0, Node) else None
    if held is not None and not isinstance(held, SSAValue):
        raise _refuse(node, "an initial state that is a parameter")
    return work.net.sru(
        _layer_name(work, node),
        _value(work, node, x),
        _data(work, node, weight),
        _data(work, node, vector),
        _data(work, node, bias),
        held,
        direction=str(direction),
        skip=str(skip),
        skip_scale=float(skip_scale),  # type: ignore[arg-type]
        activation=str(activation),
    )


HANDLERS: dict[str, Callable[[_Importer, Node], Any]] = {
    "aten.linear.default": _linear,
    "mohaq.sru.default": _sru,
}


def _result(work: _Importer, argument: Any) -> SSAValue:
    found = work.values.get(argument.name) if isinstance(argument, Node) else None
    if not isinstance(found, SSAValue):
        raise MohaqError(f"result '{argument}' of the model is not computed by a layer")
    return found


def _refuse(node: Node, what: str) -> MohaqError:
    trace = (node.meta.get("stack_trace") or "").strip().splitlines()
    place = trace[-2].strip() if len(trace) > 1 else None
    return MohaqError(
        f"cannot import {what}",
        where=f"node '{node.name}'",
        why=place,
        hint=f"supported today: {', '.join(SUPPORTED)}",
    )
