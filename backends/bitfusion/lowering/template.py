"""The `qnn` code of one layer without data: what the cost model lowers.

Same operations, in the same order, as `lower-to-qnn` and `legalize-for-bitfusion` give for the
layer; multipliers and bounds are placeholders, because blocks do not depend on them. Tests hold
this against the real lowering.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from mohaq.compiler.analysis.layers import Layer
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE
from mohaq.compiler.dialects.types import DYNAMIC, int_tensor, shape_of
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import ENTRY, Program

TABLE = "sigmoid"
BOUND = 1 << 20
"""Any bound below 2^31; sums that need cutting along K have K > 65793 and are refused."""

MAX_K = ((1 << 31) - 1) // (255 * 255)


def template(
    layer: Layer, a_bits: int, w_bits: int, out_bits: int, in_bits: int, *, carried: bool = False
) -> Program:
    """A program of one layer.

    Args:
        layer: shape and kind.
        a_bits: width of its slot `input`.
        w_bits: width of its slot `weight`.
        out_bits: width that its result is stored in.
        in_bits: width that its input arrives in.
        carried: recurrent states come in and go out.

    Raises:
        MohaqError: a layer kind or size without a template.
    """
    if layer.inputs > MAX_K:
        raise MohaqError(f"layer '{layer.name}' reduces over more than {MAX_K} inputs")
    build = _Template(layer, in_bits, carried=carried)
    if layer.kind == "linear":
        results = build.linear(a_bits, w_bits, out_bits)
    elif layer.kind == "sru":
        results = build.sru(a_bits, w_bits)
    else:
        raise MohaqError(
            f"Bit Fusion has no costs for layers of kind '{layer.kind}'",
            where=f"layer '{layer.name}'",
        )
    return build.program(results)


class _Template:
    def __init__(self, layer: Layer, in_bits: int, *, carried: bool) -> None:
        self.layer = layer
        self.in_bits = in_bits
        types = [int_tensor([DYNAMIC, DYNAMIC, layer.inputs], in_bits)]
        if carried and layer.hidden:
            types.append(int_tensor([layer.directions, DYNAMIC, layer.hidden], 16))
        self.block = Block(arg_types=types)
        self.tables: list[Operation] = []

    def program(self, results: Sequence[SSAValue]) -> Program:
        """The module around what was built."""
        self.block.add_op(ReturnOp(*results))
        types: list[Attribute] = [r.type for r in results]
        function = FuncOp(ENTRY, ([a.type for a in self.block.args], types), Region(self.block))
        return Program(ModuleOp([*self.tables, function]), ParameterStore())

    def _put(self, op: Operation) -> SSAValue:
        self.block.add_op(op)
        return op.results[0]

    def _load(self, name: str, shape: list[int], width: int, *, signed: bool = True) -> SSAValue:
        return self._put(LoadOp(name, int_tensor(shape, width, signed=signed)))

    def _product(self, a_bits: int, w_bits: int) -> SSAValue:
        """Requantize where needed, split what has 16 bits, multiply, join, add the bias."""
        layer = self.layer
        x: SSAValue = self.block.args[0]
        if self.in_bits != a_bits:
            x = self._put(qnn.RequantizeOp(x, [1], [0], a_bits))
        acts = [(x, 0)]
        if a_bits == 16:
            cut = qnn.SplitOp(x)
            self.block.add_op(cut)
            acts = [(cut.high, 8), (cut.low, 0)]
        weights = [("w", w_bits, True, 0)]
        if w_bits == 16:
            weights = [("w.hi", 8, True, 8), ("w.lo", 8, False, 0)]
        total: SSAValue | None = None
        for act, act_shift in acts:
            for name, width, signed, weight_shift in weights:
                w = self._load(name, [layer.outputs, layer.inputs], width, signed=signed)
                acc = qnn.AccAttr.proved(32, BOUND)
                part = self._put(qnn.MatmulOp(act, w, acc))
                if act_shift + weight_shift:
                    part = self._put(qnn.ShlOp(part, act_shift + weight_shift))
                total = part if total is None else self._put(qnn.AddOp(total, part))
        assert total is not None
        if layer.bias:
            total = self._put(qnn.BiasOp(total, self._load("bias", [layer.outputs], 16), 0, 0))
        return total

    def linear(self, a_bits: int, w_bits: int, out_bits: int) -> list[SSAValue]:
        """Product, bias, one rounding."""
        total = self._product(a_bits, w_bits)
        return [self._put(qnn.RequantizeOp(total, [1], [0], out_bits))]

    def sru(self, a_bits: int, w_bits: int) -> list[SSAValue]:
        """One product for all gates, then one recurrence a direction."""
        layer = self.layer
        u = self._put(qnn.RequantizeOp(self._product(a_bits, w_bits), [1], [0], 16))
        skip: SSAValue | None = None
        if layer.skip == "identity":
            skip = self._put(qnn.RequantizeOp(self.block.args[0], [1], [0], 16))
        hidden = layer.hidden
        outputs: list[SSAValue] = []
        finals: list[SSAValue] = []
        for d in range(layer.directions):
            streams = [
                self._put(qnn.SliceOp(u, (d * layer.gates + g) * hidden, hidden))
                for g in range(layer.gates)
            ]
            if skip is not None:
                streams.append(self._put(qnn.SliceOp(skip, d * hidden, hidden)))
            vectors = [self._load(f"v{d}{row}", [hidden], 16) for row in range(2)]
            init = [self._put(qnn.SelectOp(s, d)) for s in self.block.args[1:]]
            scan = self._scan(streams, init, *vectors)
            outputs.append(self._put(scan))
            finals.append(scan.results[1])
        if layer.directions > 1:
            outputs = [self._put(qnn.ConcatOp(outputs))]
        if len(self.block.args) > 1:
            outputs.append(self._put(qnn.StackOp(finals)))
        return outputs

    def _scan(
        self, streams: list[SSAValue], init: list[SSAValue], v_f: SSAValue, v_r: SSAValue
    ) -> qnn.ScanOp:
        hidden = shape_of(v_f)[0]
        step = int_tensor([DYNAMIC, hidden], 16)
        block = Block(arg_types=[step] * (len(streams) + 1))
        u_x, u_f, u_r, *rest = block.args
        skip, before = (rest[0], rest[1]) if len(rest) == 2 else (None, rest[0])
        shown = self.layer.functions[1] if self.layer.functions else "identity"
        if not self.tables:
            names = (TABLE, "tanh") if shown == "tanh" else (TABLE,)
            self.tables += [qnn.TableOp(n, [0] * TABLE_SIZE) for n in names]

        def put(op: Operation) -> SSAValue:
            block.add_op(op)
            return op.results[0]

        def squash(u: SSAValue, v: SSAValue) -> SSAValue:
            term = put(qnn.RequantizeOp(put(qnn.MulOp(v, before)), [1], [0], 16))
            return put(qnn.LookupOp(put(qnn.SaturateOp(put(qnn.AddOp(u, term)), 16)), TABLE))

        def applied(value: SSAValue) -> SSAValue:
            if shown == "tanh":
                return put(qnn.LookupOp(put(qnn.RequantizeOp(value, [1], [0], 16)), "tanh"))
            if shown == "relu":
                for _ in range(2):
                    value = put(qnn.SaturateOp(put(qnn.RsubOp(value, (1 << 15) - 1)), 16))
            return value

        def blend(
            gate: SSAValue, on: SSAValue, off: SSAValue | None, *, table: bool = False
        ) -> SSAValue:
            total = put(qnn.MulOp(gate, on))
            if table:
                # Brought to the state's steps, which no power of two divides (docs/targets).
                total = put(qnn.RequantizeOp(total, [1], [0], 34))
            if off is not None:
                rest = put(qnn.MulOp(put(qnn.RsubOp(gate, 1 << 15)), off))
                total = put(qnn.AddOp(total, rest))
            return put(qnn.RequantizeOp(total, [1], [15], 16))

        forget, reset = squash(u_f, v_f), squash(u_r, v_r)
        state = blend(forget, before, u_x)
        output = blend(reset, applied(state), skip, table=shown == "tanh")
        block.add_op(qnn.YieldOp([output, state]))
        results: list[TensorType[Attribute]] = [int_tensor([DYNAMIC, DYNAMIC, hidden], 16), step]
        return qnn.ScanOp(streams, init, block, results)
