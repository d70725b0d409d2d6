"""The layers of `mohaq.compiler.modules`: one `nn` operation each."""

from __future__ import annotations

from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.frontends.pytorch.importer import Call, Held, Importer, handles
from mohaq.compiler.frontends.pytorch.recurrent import state_part


def _parameters(call: Call, label: str, *names: str) -> list[SSAValue | None]:
    """Parameters called as the operator's arguments; None for those that are not given."""
    return [
        call.work.named(f"{label}.{n}", call.constant(n, n)) if n in call else None for n in names
    ]


def _state(call: Call, label: str, name: str, directions: int) -> SSAValue | None:
    return state_part(call, call.raw(name), 0, directions, f"{label}.{name}")


@handles("mohaq.sru", to="nn.sru")
def sru(_: Importer, call: Call) -> Held:
    """mohaq.compiler.modules.SRU."""
    label = call.label()
    weight, vector, bias = (call.constant(n, n) for n in ("weight", "vector", "bias"))
    state = call.raw("c0")
    initial = state_part(call, state, 0, weight.shape[0], f"{label}.initial")
    op = nn.SruOp(
        label,
        call.tensor("x"),
        call.work.named(f"{label}.weight", weight),
        call.work.named(f"{label}.vector", vector),
        call.work.named(f"{label}.bias", bias),
        initial,
        direction=str(call.raw("direction")),
        skip=str(call.raw("skip")),
        skip_scale=call.real("skip_scale", 1.0),
        activation=str(call.raw("activation")),
    )
    call.add(op)
    return op.result, op.final_state


@handles("mohaq.ligru", to="nn.ligru")
def ligru(_: Importer, call: Call) -> Held:
    """mohaq.compiler.modules.LiGRU."""
    label = call.label()
    count = call.constant("weight", "weight").shape[0]
    weight, recurrent, bias, norm = _parameters(call, label, "weight", "recurrent", "bias", "norm")
    assert weight is not None
    assert recurrent is not None
    op = nn.LiGruOp(
        label,
        call.tensor("x"),
        weight,
        recurrent,
        bias,
        norm=norm,
        initial_state=_state(call, label, "h0", count),
        direction=str(call.raw("direction")),
        epsilon=call.real("epsilon", 1e-5),
    )
    call.add(op)
    return op.result, op.final_state


@handles("mohaq.qrnn", to="nn.qrnn")
def qrnn(_: Importer, call: Call) -> Held:
    """mohaq.compiler.modules.QRNN."""
    label = call.label()
    shape = call.constant("weight", "weight").shape
    weight, bias = _parameters(call, label, "weight", "bias")
    assert weight is not None
    op = nn.QrnnOp(
        label,
        call.tensor("x"),
        weight,
        bias,
        initial_state=_state(call, label, "c0", shape[0]),
        initial_input=_state(call, label, "before", shape[0]) if shape[3] == 2 else None,
        direction=str(call.raw("direction")),
        pooling=str(call.raw("pooling")),
    )
    call.add(op)
    return op.result, op.final_state, op.final_input
