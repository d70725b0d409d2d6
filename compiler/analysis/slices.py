"""Single-layer slices of a program, so that the search can lower layers one by one."""

from __future__ import annotations

from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, DictionaryAttr, ModuleOp, i32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from mohaq.compiler.analysis.storage import LayerGrids
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import GridAttr, row_parameters
from mohaq.compiler.parameters import ParameterStore, tensor_type
from mohaq.compiler.program import ENTRY, GRID_KEY, Program

SEGMENTS = "operandSegmentSizes"


def slice_layer(program: Program, label: str, grids: LayerGrids) -> Program:
    """An `nn` program of one layer, annotated, with its borders held as in the whole program.

    Lowering it gives the same operations as lowering the whole program does for that layer.
    Initial states are left out: they are zero in evaluation.

    Raises:
        MohaqError: no layer of that name.
    """
    op = next((o for o in program.layers() if o.label == label), None)
    if op is None:
        raise MohaqError(f"the program has no layer '{label}'")
    block = Block(arg_types=[op.operands[0].type])
    mapping: dict[SSAValue, SSAValue] = {op.operands[0]: block.args[0]}
    declared: list[DeclareOp] = []
    parameters = ParameterStore()
    operands: list[SSAValue] = [block.args[0]]
    for value in op.operands[1:]:
        if not isinstance(value.owner, LoadOp):
            continue  # an initial state
        load = value.owner
        if value not in mapping:
            fresh = load.clone()
            block.add_op(fresh)
            mapping[value] = fresh.result
            declared.append(DeclareOp(load.symbol, load.result.type))
            parameters[load.symbol] = program.parameters[load.symbol]
        operands.append(mapping[value])
    quant = DictionaryAttr(dict(grids.slots))
    attributes = {k: v for k, v in op.attributes.items() if k not in {"calibration", "given"}}
    for name in sorted(row_parameters({"quant": quant})):
        declared.append(DeclareOp(name, tensor_type(program.parameters[name])))
        parameters[name] = program.parameters[name]
    copy = type(op).create(
        operands=operands,
        result_types=[r.type for r in op.results],
        attributes={**attributes, "quant": quant},
        properties={**op.properties, **_segments(op, set(mapping))},
    )
    assert isinstance(copy, LayerOp)
    block.add_op(copy)
    block.add_op(ReturnOp(copy.results[0]))
    function = FuncOp(
        ENTRY,
        ([block.args[0].type], [copy.results[0].type]),
        Region(block),
        arg_attrs=_grid(grids.stored_input),
        res_attrs=_grid(grids.stored_output),
    )
    return Program(ModuleOp([*declared, function]), parameters)


def _segments(op: LayerOp, kept: set[SSAValue]) -> dict[str, Attribute]:
    """Sizes of the operand segments when only the `kept` operands stay."""
    held = op.properties.get(SEGMENTS)
    if not isinstance(held, DenseArrayBase):
        return {}
    rest = iter(op.operands)
    sizes = [sum(next(rest) in kept for _ in range(int(n))) for n in held.get_values()]
    return {SEGMENTS: DenseArrayBase.from_list(i32, sizes)}


def _grid(grid: GridAttr) -> ArrayAttr[DictionaryAttr]:
    return ArrayAttr([DictionaryAttr({GRID_KEY: grid})])
