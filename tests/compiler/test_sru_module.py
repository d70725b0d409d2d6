"""The SRU operator: compiled against plain PyTorch, gradients, export, shapes refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.compiler.modules import SRU, SpeechOptions, SpeechSRU, SRUOptions
from mohaq.compiler.modules.sru_op import ACTIVATIONS, DIRECTIONS, SKIPS, reference, sru, sru_train

KINDS = [
    SRUOptions(direction, skip, 1.0 if skip == "none" else 1.5, activation)
    for direction in DIRECTIONS
    for skip in SKIPS
    for activation in ACTIVATIONS
]


def make(
    kind: SRUOptions,
    inputs: int = 8,
    hidden: int = 4,
    steps: int = 6,
    batch: int = 3,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[Any, Any]:
    torch.manual_seed(seed)
    if kind.skip == "identity":
        inputs = hidden * len(DIRECTIONS[kind.direction])
    layer = SRU(inputs, hidden, kind).to(dtype)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(steps, batch, inputs, dtype=dtype, requires_grad=True)
    c0 = torch.randn(layer.directions, batch, hidden, dtype=dtype, requires_grad=True)
    tensors = [x, c0, layer.weight, layer.vector, layer.bias]
    return tensors, (kind.direction, kind.skip, kind.skip_scale, kind.activation)


def with_gradients(outputs: Any, tensors: Any) -> Any:
    y, c = outputs
    grads = torch.autograd.grad((y.sin().sum() + (c * c).sum()), tensors)
    return [y.detach(), c.detach(), *grads]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.direction}-{k.skip}-{k.activation}")
@pytest.mark.parametrize("lengths", [None, (6, 1, 4)], ids=["whole", "padded"])
def test_compiled_equals_the_plain_loop(kind: Any, lengths: Any) -> None:
    tensors, options = make(kind)
    count = None if lengths is None else torch.tensor(lengths)
    arguments: list[Any] = [*tensors, *options]
    padded: list[Any] = [*arguments, count]
    wanted = with_gradients(reference(*padded), tensors)
    run = sru(*arguments) if count is None else sru_train(*padded)
    for found, want in zip(with_gradients(run, tensors), wanted, strict=True):
        torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    hidden=st.integers(1, 70),
    steps=st.integers(1, 12),
    batch=st.integers(1, 9),
    seed=st.integers(0, 999),
)
def test_any_size(kind: Any, hidden: int, steps: int, batch: int, seed: int) -> None:
    tensors, options = make(kind, 5, hidden, steps, batch, seed)
    with torch.no_grad():
        for found, want in zip(sru(*tensors, *options), reference(*tensors, *options), strict=True):
            torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-5)


def test_large_enough_for_threads() -> None:
    tensors, options = make(SRUOptions("bidirectional"), 16, 64, 60, 9)
    wanted = with_gradients(reference(*tensors, *options), tensors)
    for found, want in zip(with_gradients(sru(*tensors, *options), tensors), wanted, strict=True):
        torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("skip", SKIPS)
def test_gradients_are_derivatives(skip: str) -> None:
    kind = SRUOptions("bidirectional", skip, 1.3, "tanh")
    tensors, options = make(kind, 3, 2, 4, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *t: sru(*t, *options), tensors)


def test_operator_registration_is_complete() -> None:
    tensors, options = make(SRUOptions("bidirectional", "projected"))
    # The compiled-graph check needs a compiler toolchain; the others cover schema, fakes, autograd.
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(sru, (*tensors, *options), test_utils=checks)


def test_equations_by_hand() -> None:
    one = torch.ones
    weight = torch.tensor([[[[0.5]], [[0.2]], [[-0.3]]]])
    vector, bias = torch.tensor([[[0.1], [0.4]]]), torch.tensor([[[0.3], [-0.2]]])
    x, c0 = torch.tensor([[[2.0]]]), torch.tensor([[[0.7]]])
    f = torch.sigmoid(torch.tensor(0.2 * 2 + 0.1 * 0.7 + 0.3))
    r = torch.sigmoid(torch.tensor(-0.3 * 2 + 0.4 * 0.7 - 0.2))
    c = f * 0.7 + (1 - f) * 1.0
    h = r * torch.tanh(c) + (1 - r) * 1.5 * 2.0
    y, last = sru(x, c0, weight, vector, bias, "forward", "identity", 1.5, "tanh")
    torch.testing.assert_close(y, h * one(1, 1, 1))
    torch.testing.assert_close(last, c * one(1, 1, 1))


def test_reverse_is_forward_on_time_turned_round() -> None:
    tensors, options = make(SRUOptions("reverse", "projected", 1.0, "relu"))
    x, *rest = tensors
    y, c = sru(x, *rest, *options)
    turned, last = sru(x.flip(0), *rest, "forward", *options[1:])
    torch.testing.assert_close(y, turned.flip(0))
    torch.testing.assert_close(c, last)


def test_chunks_with_carried_state_equal_the_whole() -> None:
    tensors, options = make(SRUOptions("forward", "projected"), steps=9)
    x, c0, *rest = tensors
    whole, last = sru(x, c0, *rest, *options)
    first, state = sru(x[:4], c0, *rest, *options)
    second, end = sru(x[4:], state, *rest, *options)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = SpeechSRU(SpeechOptions(5, 8, 6, 4)).eval()
    a, b = torch.randn(7, 1, 5), torch.randn(4, 1, 5)
    both = torch.zeros(7, 2, 5)
    both[:, :1], both[:4, 1:] = a, b
    both[4:, 1] = 99.0  # what is in the padding must not matter
    found = model(both, torch.tensor([7, 4]))
    torch.testing.assert_close(found[:, :1], model(a), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[:4, 1:], model(b), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", [SRUOptions("bidirectional"), SRUOptions("forward", "projected")])
def test_export_keeps_one_node_with_symbolic_time_and_batch(kind: Any) -> None:
    layer = SRU(6, 4, kind)
    sizes = {0: torch.export.Dim("T", min=1), 1: torch.export.Dim("B", min=1)}
    program = torch.export.export(layer, (torch.randn(5, 3, 6),), dynamic_shapes={"x": sizes})
    calls = [n for n in program.graph.nodes if n.target == torch.ops.mohaq.sru.default]
    assert len(calls) == 1
    value = calls[0].meta["val"][0]
    assert not isinstance(value.shape[0], int)
    assert not isinstance(value.shape[1], int)
    for steps, batch in ((1, 1), (11, 2)):
        x = torch.randn(steps, batch, 6)
        for found, want in zip(program.module()(x), layer(x), strict=True):
            torch.testing.assert_close(found, want)


def test_export_of_the_network_keeps_its_layers() -> None:
    model = SpeechSRU(SpeechOptions(5, 8, 6, 4)).eval()
    sizes = {0: torch.export.Dim("T", min=1), 1: torch.export.Dim("B", min=1)}
    program = torch.export.export(model, (torch.randn(5, 2, 5),), dynamic_shapes={"x": sizes})
    targets = [n.target for n in program.graph.nodes]
    assert targets.count(torch.ops.mohaq.sru.default) == 4
    assert targets.count(torch.ops.aten.linear.default) == 4
    assert {name.split(".")[0] for name in program.state_dict} == {
        "l0", "pr1", "l1", "pr2", "l2", "pr3", "l3", "fc",
    }  # fmt: skip
    x = torch.randn(9, 3, 5)
    torch.testing.assert_close(program.module()(x), model(x))


@pytest.mark.parametrize(("preset", "count"), [("default", 230_704), ("paper", 5_569_004)])
def test_sizes_are_the_papers(preset: str, count: int) -> None:
    with torch.device("meta"):
        model = SpeechSRU(preset)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction": "backwards"}, "direction 'backwards' is not one of"),
        ({"skip": "highway"}, "skip 'highway'"),
        ({"activation": "gelu"}, "activation 'gelu'"),
    ],
)
def test_unknown_options_are_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SRU(4, 4, SRUOptions(**change))  # type: ignore[arg-type]
    tensors, options = make(SRUOptions())
    names = dict(zip(("direction", "skip", "skip_scale", "activation"), options, strict=True))
    with pytest.raises(ValueError, match=message):
        sru(*tensors, *{**names, **change}.values())


@pytest.mark.parametrize("which", range(5))
def test_wrong_shapes_are_refused(which: int) -> None:
    tensors, options = make(SRUOptions("bidirectional"))
    tensors = [t.detach() for t in tensors]
    tensors[which] = tensors[which][..., :-1]
    with pytest.raises(ValueError, match="sru: "):
        sru(*tensors, *options)
    with pytest.raises(ValueError, match="identity skip"):
        SRU(5, 4, SRUOptions(skip="identity"))


def test_other_number_formats_use_the_loop() -> None:
    tensors, options = make(SRUOptions("bidirectional"))
    half = [t.detach().to(torch.bfloat16).requires_grad_() for t in tensors]
    y, c = sru(*half, *options)
    assert y.dtype == c.dtype == torch.bfloat16
    assert all(g.dtype == torch.bfloat16 for g in torch.autograd.grad(y.sum() + c.sum(), half))


def test_a_state_for_another_batch_is_refused() -> None:
    layer = SRU(3, 4)
    with pytest.raises(ValueError, match="c0 should be"):
        layer(torch.zeros(5, 2, 3), torch.zeros(1, 1, 4))
