"""PyTorch models through torch.export, stopped before decomposition (DESIGN D3).

A recurrent layer stays one node. torch.export freezes the sizes that recurrent layers see, so a
module is exported at two sets of sizes that appear nowhere else in it: numbers that are such a
size (or a multiple) mean the symbol, and both programs must come out equal. That is the proof
that nothing depends on the sizes of the example.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.fx import Node

import mohaq.compiler.frontends.pytorch.attention
import mohaq.compiler.frontends.pytorch.choice
import mohaq.compiler.frontends.pytorch.dense
import mohaq.compiler.frontends.pytorch.elementwise
import mohaq.compiler.frontends.pytorch.norms
import mohaq.compiler.frontends.pytorch.own
import mohaq.compiler.frontends.pytorch.recurrent
import mohaq.compiler.frontends.pytorch.shape
import mohaq.compiler.frontends.pytorch.windows
import mohaq.compiler.frontends.pytorch.written_cells
import mohaq.compiler.modules  # noqa: F401  registers torch.ops.mohaq.*
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.frontends.pytorch.archive import check_archive
from mohaq.compiler.frontends.pytorch.chains import WRITTEN
from mohaq.compiler.frontends.pytorch.importer import (
    BECOMES,
    Importer,
    Sizes,
)
from mohaq.compiler.frontends.pytorch.nodes import layer_path, operation_name, source_of
from mohaq.compiler.frontends.pytorch.reroll import Rolled, reroll
from mohaq.compiler.frontends.pytorch.sizes import Free, Signature, find_free, resized
from mohaq.compiler.frontends.pytorch.sru_package import exchanged
from mohaq.compiler.frontends.pytorch.tracing import export_module, first_line
from mohaq.compiler.frontends.refuse import refuse, shown
from mohaq.compiler.program import Program

WHOLE = (torch.int64, torch.int32)
"""Inputs of whole numbers; truth values are real numbers 0 and 1 in a program."""

RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu", WRITTEN, "mohaq.")


def import_module(module: torch.nn.Module, example_inputs: tuple[Any, ...]) -> Program:
    """Export and import a module.

    Weights of other float types become float32, and so does the arithmetic.

    Args:
        module: put in evaluation mode for the export.
        example_inputs: as the module is called with: tensors, also in tuples, lists and dicts;
            numbers, texts and None are fixed. Which sizes may vary is found by trying.

    Raises:
        MohaqError: torch.export refuses the module, it has an operation that we do not import, or
            something in it depends on the sizes of the example.
    """
    signature = Signature.of(tuple(example_inputs))
    with _evaluating(module), exchanged(module) as ready:
        _check_call(ready, example_inputs)
        free = find_free(ready, signature)
        sized = [resized(signature.tensors, free, which) for which in (0, 1)]
        exported = [export_module(ready, signature.arguments(inputs)) for inputs in sized]
        rolled = [reroll(one.graph) for one in exported]
        _refuse_loops(*rolled)
        first, second = (
            _import(exported[which], rolled[which], _sizes(free, which)) for which in (0, 1)
        )
    if first.text() != second.text():
        raise MohaqError(
            "the model depends on the sizes of its input",
            where=type(module).__name__,
            why=_difference(first.text(), second.text()),
            hint="write it for any length and batch, or export it as .pt2 with fixed sizes",
        )
    return first


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one in training:
            one.training = True


def _check_call(module: torch.nn.Module, inputs: Sequence[Any]) -> None:
    layers = [(n, m) for n, m in module.named_modules() if isinstance(m, torch.nn.RNNBase)]
    hooks = [m.register_forward_pre_hook(_refuse_packed(name)) for name, m in layers]
    try:
        module(*inputs)
    except MohaqError:
        raise
    except Exception as error:
        raise MohaqError(
            "the module does not run on the example inputs",
            where=type(module).__name__,
            why=f"{type(error).__name__}: {first_line(error)}",
        ) from error
    finally:
        for hook in hooks:
            hook.remove()


def _refuse_packed(name: str) -> Callable[[torch.nn.Module, tuple[Any, ...]], None]:
    def check(layer: torch.nn.Module, given: tuple[Any, ...]) -> None:
        if given and isinstance(given[0], torch.nn.utils.rnn.PackedSequence):
            raise refuse(
                f"torch.nn.{type(layer).__name__} on packed sequences",
                name=name or type(layer).__name__,
                why="which step of which sequence comes where is data, not part of the program",
                instead="the padded tensor, or one sequence at a time",
            )

    return check


def _sizes(free: Sequence[Free], which: int) -> Sizes:
    return Sizes(
        {
            number: sympy.Symbol(f"@{n}", integer=True, positive=True) / divisor
            for n, f in enumerate(free)
            for number, divisor in f.parts(which)
        }
    )


def _refuse_loops(one: Rolled, other: Rolled) -> None:
    """Name the loop over the input that could not become one operation, if there is one.

    Raises:
        MohaqError: there is.
    """
    for a, b in zip(one.irregular, other.irregular, strict=False):
        if a.count != b.count:
            raise refuse(
                f"loop over {operation_name(a.call)}",
                name=layer_path(a.call) or a.call.name,
                why=a.why,
                source=source_of(a.call),
                instead="one step of the input for one step of the output, in order",
            )
    counts = [
        Counter(source_of(n) for n in rolled.graph.nodes if n.op == "call_function")
        for rolled in (one, other)
    ]
    if counts[0].total() != counts[1].total():
        difference = (
            counts[1] - counts[0]
            if counts[1].total() > counts[0].total()
            else (counts[0] - counts[1])
        )
        (line, _), *_ = difference.most_common(1)
        raise refuse(
            "loop over the input",
            name="forward",
            why=f"it makes {counts[0].total()} operations at one length and "
            f"{counts[1].total()} at another",
            source=line,
            instead="torch.nn.LSTM, GRU or RNN, or their cells in the loop",
        )


def _difference(a: str, b: str) -> str:
    for one, two in zip(a.splitlines(), b.splitlines(), strict=False):
        if one != two:
            return f"'{one.strip()[:160]}' at one size, '{two.strip()[:160]}' at another"
    return "it makes another number of operations at another size"


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
            why=f"{type(error).__name__}: {first_line(error)}",
        ) from error
    try:
        return import_exported(exported)
    except MohaqError:
        raise
    except Exception as error:  # a graph that torch reads may still make no sense
        raise MohaqError(
            "damaged .pt2 file",
            where=str(path),
            why=f"{type(error).__name__}: {first_line(error)}",
        ) from error


def import_exported(exported: ExportedProgram) -> Program:
    """Import an exported program.

    Sizes that were exported as symbolic stay so. Where torch.export froze time and batch, as
    it does for recurrent layers, they are lifted: the first two extents of inputs of rank 3, and of
    rank 2 where they are places in an embedding.

    Raises:
        MohaqError: an operation that we do not import, named with its place in the source.
    """
    return _import(exported, reroll(exported.graph), Sizes())


def _import(exported: ExportedProgram, rolled: Rolled, sizes: Sizes) -> Program:
    work = Importer(sizes)
    kinds = {s.arg.name: s for s in exported.graph_signature.input_specs if hasattr(s.arg, "name")}
    frozen = not sizes.symbols and any(
        operation_name(n).startswith(RECURRENT) for n in exported.graph.nodes
    )
    # A file shows loops at one length only, which proves nothing about others.
    kept = rolled.lengths if frozen else frozenset()
    held = {**exported.state_dict, **exported.constants}
    result: Node | None = None
    for node in rolled.graph.nodes:
        if node.op == "placeholder":
            spec = kinds[node.name]
            if isinstance(spec.arg, ConstantArgument):
                work.values[node.name] = spec.arg.value
            elif spec.kind is InputKind.USER_INPUT:
                _argument(work, node, frozen, kept)
            else:
                tensor = held.get(spec.target)
                if not isinstance(tensor, torch.Tensor):
                    raise MohaqError(
                        f"the exported model has no data for '{shown(str(spec.target))}'"
                    )
                work.values[node.name] = tensor
                work.titles[node.name] = str(spec.target)
        elif node.op == "call_function":
            work.run(node)
        elif node.op == "output":
            result = node
        else:
            raise refuse(f"{node.op} node", name=node.name)
    return _finish(work, result)


def _argument(work: Importer, node: Node, frozen: bool, kept: Collection[int]) -> None:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.dtype not in (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.bool,
    ):
        raise refuse("input", name=node.name, why="it is no tensor of real or whole numbers")
    shape: list[int] = []
    names: list[str | None] = []
    for place, size in enumerate(value.shape):
        lifted: Any = (
            str(size.node.expr) if isinstance(size, torch.SymInt) else work.sizes.lift(size)
        )
        if isinstance(lifted, sympy.Symbol):
            lifted = lifted.name.removeprefix("@")
        elif frozen and not isinstance(size, torch.SymInt) and place < 2 and _is_sequence(node):
            known = size in kept or (place == 0 and _is_state(node))
            lifted = size if known else f"{node.name}.{place}"
        symbolic = isinstance(lifted, str)
        shape.append(DYNAMIC if symbolic else int(lifted))
        names.append(lifted if symbolic else None)
    made = work.net.argument(shape, name=node.name, indices=value.dtype in WHOLE)
    work.extents.name(made, names)
    for extent, size in zip(work.extents.of(made), value.shape, strict=True):
        if isinstance(extent, sympy.Symbol) and isinstance(size, int):
            work.sizes.hints[extent] = size
    work.values[node.name] = made


def _is_sequence(node: Node) -> bool:
    """Whether the first two extents of an input are time and batch."""
    rank = node.meta["val"].dim()
    return rank == 3 or (
        rank == 2 and any(operation_name(u).startswith("aten.embedding") for u in node.users)
    )


def _is_state(node: Node) -> bool:
    """Whether an input is (part of) the initial state of a recurrent layer."""
    for user in node.users:
        name = operation_name(user)
        if name.startswith("mohaq.") and node in user.args[1:3]:
            return True
        if name.startswith(RECURRENT[:-1]) and len(user.args) > 1:
            hx = user.args[1]
            if hx is node or (isinstance(hx, (list, tuple)) and node in hx):
                return True
    return False


def _finish(work: Importer, result: Node | None) -> Program:
    from mohaq.compiler.frontends.pytorch.importer import Call

    outputs: Any = result.args[0] if result is not None else ()
    outputs = outputs if isinstance(outputs, (list, tuple)) else (outputs,)
    values = []
    for output in outputs:
        if output is None:
            continue
        assert result is not None
        held = work.resolve(output)
        values.append(work.as_value(Call(work, result), held, "result"))
    if not values:
        raise MohaqError("the model returns nothing")
    program = work.net.finish(values)
    program.prune_parameters()
    return program


LAYERS = {
    "torch.nn.RNN": "nn.rnn",
    "torch.nn.LSTM": "nn.lstm",
    "torch.nn.GRU": "nn.gru",
    "torch.nn.RNNCell, also in loops": "nn.rnn",
    "torch.nn.LSTMCell, also in loops": "nn.lstm",
    "torch.nn.GRUCell, also in loops": "nn.gru",
    "mohaq.compiler.modules.SRU": "nn.sru",
    "mohaq.compiler.modules.LiGRU": "nn.ligru",
    "mohaq.compiler.modules.QRNN": "nn.qrnn",
    "sru.SRU": "nn.sru",
    "sru.SRUCell": "nn.sru",
}
"""Modules that users know by these names -> what each of their layers becomes."""


def supported() -> dict[str, str]:
    """Layers by their names in PyTorch and operations of the exported graph -> what they become."""
    return LAYERS | BECOMES
