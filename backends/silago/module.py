"""A lowered program read back: its phases as tasks, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Block, Operation

from mohaq.backends.silago.dialect_phases import MatrixOp, VectorOp
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.schedule.tasks import MatrixTask, VectorTask
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_width, shape_of
from mohaq.compiler.program import Program


def task_of(op: MatrixOp | VectorOp, fabric: Fabric) -> MatrixTask | VectorTask:
    """The phase of an operation on a fabric.

    Raises:
        MohaqError: it does not fit the tiles.
    """
    if isinstance(op, MatrixOp):
        rows, features = shape_of(op.weight)
        return MatrixTask(fabric, rows, features, int_width(op.weight)[0], op.grouped())
    return VectorTask(fabric, op.extent, op.code(), op.results_kept(), _fixed(op))


def _fixed(op: VectorOp) -> frozenset[int]:
    """Inputs that a loop does not change, if nothing but this phase uses tiles in its body."""
    block = op.parent_block()
    if block is None or not isinstance(block.parent_op(), qnn.ScanOp):
        return frozenset()
    if any(isinstance(o, qnn.ScanOp) for o in block.ops) or list(phases(block)) != [op]:
        return frozenset()
    owners = [v.owner for v in op.inputs]
    inside = {n for n, o in enumerate(owners) if o is block or o in block.ops}
    count = len(op.inputs) + len(op.constant_values())
    return frozenset(range(count)) - inside


def layer_of(op: Operation) -> str:
    """Name of the layer that an operation belongs to."""
    mark = op.attributes.get("layer")
    if not isinstance(mark, StringAttr):
        raise MohaqError(f"'{op.name}' says no layer", hint="lower a legalized program")
    return mark.data


def phases(block: Block) -> Iterator[MatrixOp | VectorOp]:
    """The phases of a block, without those of loops inside."""
    return (op for op in block.ops if isinstance(op, (MatrixOp, VectorOp)))


def keeps_program(block: Block, fabric: Fabric) -> bool:
    """Whether the body of a loop needs one program only, so that it is loaded once."""
    found = list(phases(block))
    inner = any(isinstance(op, qnn.ScanOp) for op in block.ops)
    return len(found) == 1 and not inner and task_of(found[0], fabric).programs == 1


def layers(program: Program) -> tuple[str, ...]:
    """Names of the layers, in the order of their first phases."""
    found = (layer_of(op) for op in program.entry.walk() if isinstance(op, (MatrixOp, VectorOp)))
    return tuple(dict.fromkeys(found))


def sizes(program: Program) -> dict[str, tuple[int, int]]:
    """layer -> (bytes of weights, bytes of 16-bit vectors); a shared parameter counts once."""
    weights: dict[str, dict[str, int]] = {}
    vectors: dict[str, dict[str, int]] = {}
    for op in program.entry.walk():
        if isinstance(op, MatrixOp) and isinstance(op.weight.owner, LoadOp):
            rows, features = shape_of(op.weight)
            size = -(-rows * features * int_width(op.weight)[0] // 8)
            weights.setdefault(layer_of(op), {})[op.weight.owner.symbol] = size
        elif isinstance(op, VectorOp):
            for value in op.inputs:
                if isinstance(value.owner, LoadOp):
                    extent = shape_of(value)[-1]
                    vectors.setdefault(layer_of(op), {})[value.owner.symbol] = 2 * extent
    return {
        name: (sum(weights.get(name, {}).values()), sum(vectors.get(name, {}).values()))
        for name in layers(program)
    }
