"""Values between blocks stay on chip where they fit: same bits, less traffic, never slower."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from family import Drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import tensor

from mohaq.backends.base import Options, Target, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.counters import INDEX, joules
from mohaq.backends.bitfusion.isa.blocks import Block
from mohaq.backends.bitfusion.isa.decode import decode_program
from mohaq.backends.bitfusion.isa.encode import encode_all, header
from mohaq.backends.bitfusion.isa.instructions import BlockEnd, Hold, Instruction
from mohaq.backends.bitfusion.machine import machine_of
from mohaq.backends.bitfusion.module import read_module
from mohaq.backends.bitfusion.schedule.counts import count_block, walk_block
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.network import Network
from mohaq.passes.lower_to_qnn import lower_to_qnn

from .programs import Built, Spec, build, check_run, nn_program, qnn_program, random_inputs
from .test_execute import run_all, tiny
from .test_mutation import rewrite
from .test_recurrent import run

TARGET = BACKEND.load_target("bitfusion-e")
SPECS = [Spec("sru", 6, 4, 8, "bidirectional"), Spec("fc", 5, 8, 4), Spec("sru", 7, 16, 2)]


def sized(**values: int) -> Target:
    """`tiny` with other constants."""
    target = tiny()
    changed = {n: replace(target.constants[n], value=v) for n, v in values.items()}
    return replace(target, constants={**target.constants, **changed})


def blocks_of(built: Built) -> tuple[Block, ...]:
    return read_module(built.lowered.module).blocks


def test_a_short_run_moves_only_weights_inputs_and_results(tmp_path: Path) -> None:
    program = qnn_program(9, SPECS, 1)
    built = build(program, TARGET, tmp_path)
    inputs = random_inputs(program, 20, 1, 0)
    run, _ = check_run(built, TARGET, inputs, Workload(20))
    counters = run.measured.total.counters
    regions = json.loads((tmp_path / "manifest.json").read_text())["regions"]
    # Every block fetches its own table; both directions use one, each layer two or one scans.
    tables = [r["bits"] for r in regions if r["name"].startswith("sigmoid")]
    constants = sum(r["bits"] for r in regions if r["constant"]) - sum(tables)
    scans = sum(block.is_scan for block in blocks_of(built))
    assert counters["dram_read_bits"] == constants + scans * sum(tables) + 20 * 9 * 16
    assert counters["dram_write_bits"] == 20 * 7 * 16
    assert counters["chip_bits"] > 0


def test_values_leave_the_chip_when_they_no_longer_fit(tmp_path: Path) -> None:
    """At its limit a value is on chip, one row further it is in DRAM, for any T B."""
    target = sized(ibuf_bytes=96, wbuf_bytes=512)
    specs = [Spec("fc", 6, 8, 4), Spec("sru", 5, 4, 4, "bidirectional"), Spec("fc", 3, 4, 4)]
    built = build(qnn_program(4, specs, 2), target, tmp_path)
    limits = sorted({h.rows for block in blocks_of(built) for h in block.holds if h.rows < 120})
    assert limits
    for limit in limits:
        at, over = (
            run_of(specs, tmp_path / f"{limit}_{more}", target, limit + more) for more in (0, 1)
        )
        assert over["chip_bits"] / (limit + 1) < at["chip_bits"] / limit
        assert over["dram_write_bits"] / (limit + 1) > at["dram_write_bits"] / limit


def run_of(specs: list[Spec], folder: Path, target: Target, steps: int) -> dict[str, int]:
    """Counters of a run that agrees with reference, estimate and cost model."""
    network = nn_program(4, specs, 2)
    qnn = lower_to_qnn(network)
    built = build(qnn, target, folder)
    run, estimate = check_run(built, target, random_inputs(qnn, steps, 1, 0), Workload(steps))
    table = layer_table(network)
    space = BACKEND.space(table, target)
    widths = {Slot(f"l{n}", "input"): s.a for n, s in enumerate(specs)}
    widths |= {Slot(f"l{n}", "weight"): s.w for n, s in enumerate(specs)}
    model = BACKEND.cost_model(table, space, target)
    cost = model.cost(space.encode(widths)[None], Workload(steps), Options())
    assert cost["latency"].tolist() == [estimate.total.seconds]
    assert cost["energy"].tolist() == [estimate.total.joules]
    return dict(run.measured.total.counters)


SPEC = st.builds(
    Spec,
    st.sampled_from(["fc", "sru"]),
    st.integers(1, 9),
    st.sampled_from([2, 4, 8, 16]),
    st.sampled_from([2, 4, 8, 16]),
    st.sampled_from(["forward", "reverse", "bidirectional"]),
    st.sampled_from(["none", "projected"]),
)
SIZES = {
    "ibuf_bytes": st.integers(48, 400),
    "wbuf_bytes": st.integers(64, 2000),
    "obuf_bytes": st.integers(96, 400),
    "pbuf_bytes": st.integers(4096, 6000),
}


@settings(max_examples=12, deadline=None)
@given(
    st.lists(SPEC, min_size=1, max_size=3),
    st.integers(1, 60),
    st.integers(1, 3),
    st.fixed_dictionaries(SIZES),
)
def test_chained_or_not(
    tmp_path_factory: pytest.TempPathFactory,
    specs: list[Spec],
    steps: int,
    batch: int,
    sizes: dict[str, int],
) -> None:
    """What does not stay moves as before; all together is never slower and takes less energy."""
    target = sized(**sizes)
    run_all(specs, tmp_path_factory.mktemp("p"), target=target, steps=steps, batch=batch)
    machine = machine_of(target)
    lowered = BACKEND.lower(
        BACKEND.legalize(qnn_program(9, specs, steps), target), target, Options()
    )
    workload = Workload(steps, batch)
    for block in read_module(lowered.module).blocks:
        ours = count_block(block, workload, machine)
        apart = count_block(replace(block, holds=()), workload, machine)
        moved = [INDEX["dram_read_bits"], INDEX["dram_write_bits"]]
        assert ours[moved].sum() + ours[INDEX["chip_bits"]] == apart[moved].sum()
        assert ours[INDEX["cycles"]] <= apart[INDEX["cycles"]]
        assert joules(ours, machine) <= joules(apart, machine)
        for name in ("array_cycles", "ppu_cycles", "ppu_ops", "macs"):
            assert ours[INDEX[name]] == apart[INDEX[name]]


WIDE_SPEC = st.builds(
    Spec,
    st.sampled_from(["fc", "sru"]),
    st.integers(8, 130),
    st.sampled_from([4, 8, 16]),
    st.sampled_from([4, 8, 16]),
    st.sampled_from(["forward", "bidirectional"]),
)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(WIDE_SPEC, min_size=1, max_size=3),
    st.data(),
    st.sampled_from([1, 7, 20, 100]),
    st.sampled_from(["bitfusion-e", "bitfusion-s"]),
)
def test_fewer_bits_never_cost_more(
    specs: list[Spec], data: st.DataObject, steps: int, name: str
) -> None:
    """Of whole programs with what stays on chip, up to the first fill of the blocks."""
    target = BACKEND.load_target(name)
    machine = machine_of(target)
    place = data.draw(st.integers(0, len(specs) - 1))
    one = specs[place]
    field = data.draw(st.sampled_from(["a", "w"]))
    narrow = [
        *specs[:place],
        replace(one, **{field: getattr(one, field) // 2}),
        *specs[place + 1 :],
    ]
    spent: list[int] = []
    for these in (specs, narrow):
        legal = BACKEND.legalize(qnn_program(9, these, 0), target)
        blocks = read_module(BACKEND.lower(legal, target, Options()).module).blocks
        slots = [walk_block(block, Workload(steps), machine)[1].length for block in blocks]
        spent.append(sum(int(s.sum()) for s in slots))
    fill = sum(int(s[:2].sum()) for s in slots)
    assert spent[1] <= spent[0] + fill


def emitted(folder: Path) -> tuple[list[list[Instruction]], list[np.ndarray]]:
    """Instructions of each block of an emitted program, and inputs for 20 steps."""
    program = qnn_program(9, SPECS, 1)
    built = build(program, TARGET, folder)
    return [list(b.instructions(0)) for b in blocks_of(built)], random_inputs(program, 20, 1, 0)


def write(folder: Path, blocks: list[list[Instruction]]) -> None:
    """Encode instructions with their block-end addresses."""
    at, words = 2, list[int]()
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        body = encode_all(block[:-1])
        end = at + len(body) + 1
        words += [*body, *encode_all([BlockEnd(0 if last else end)])]
        at = end
    data = np.array([*header(len(words) + 2), *words], dtype="<u4").tobytes()
    rewrite(folder, "program", data)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["program"]["bytes"] = len(data)
    path.write_text(json.dumps(manifest))


CHANGES: dict[str, tuple[Callable[[Hold], Hold | None], str]] = {
    "dropped": (lambda _: None, "declared in other blocks"),
    "fewer rows": (lambda h: replace(h, rows=h.rows - 1), "in different ways"),
    "another place": (lambda h: replace(h, pad=(h.pad + 1) % 4), "in different ways"),
    "wider rows": (lambda h: replace(h, pitch=h.pitch * 2), "different ways|overlap"),
    "moved": (
        lambda h: replace(h, address=h.address + 16),
        "other rows|overlap|other blocks|not stored",
    ),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_wrong_chain_raises(change: str, tmp_path: Path) -> None:
    blocks, inputs = emitted(tmp_path)
    how, message = CHANGES[change]
    write(tmp_path, blocks)
    BACKEND.simulate(tmp_path, inputs, Options())  # unchanged words run
    places = [
        (b, n) for b, block in enumerate(blocks) for n, i in enumerate(block) if isinstance(i, Hold)
    ]
    assert len(places) >= 6
    for b, n in places:
        changed = [list(block) for block in blocks]
        one = changed[b][n]
        assert isinstance(one, Hold)
        new = how(one)
        changed[b][n : n + 1] = [] if new is None else [new]
        write(tmp_path, changed)
        with pytest.raises(MohaqError, match=message):
            BACKEND.simulate(tmp_path, inputs, Options())


def test_values_that_overflow_a_scratchpad_raise(tmp_path: Path) -> None:
    """The simulator checks what is held beside the tiles, whatever the words promise."""
    target = sized(ibuf_bytes=96, wbuf_bytes=512)
    specs = [Spec("fc", 6, 8, 4), Spec("sru", 5, 4, 4), Spec("fc", 3, 4, 4)]
    program = qnn_program(4, specs, 2)
    blocks = blocks_of(build(program, target, tmp_path))
    lowest = min((h for block in blocks for h in block.holds), key=lambda h: h.rows)
    more = [
        [
            replace(i, rows=i.rows + 1)
            if isinstance(i, Hold) and i.address == lowest.address
            else i
            for i in block.instructions(0)
        ]
        for block in blocks
    ]
    write(tmp_path, more)
    BACKEND.simulate(tmp_path, random_inputs(program, lowest.rows, 1, 0), Options())
    with pytest.raises(MohaqError, match="held values overflow"):
        BACKEND.simulate(tmp_path, random_inputs(program, lowest.rows + 1, 1, 0), Options())


@pytest.mark.parametrize("shape", ["fork", "returned"])
def test_results_that_others_need_as_well_go_to_memory(shape: str, tmp_path: Path) -> None:
    """Two layers read one result, or the program returns it: costs still agree."""
    rng = np.random.default_rng(4)
    net = Network()
    x = net.sequence(6, name="x")
    w, v, b = (
        net.parameter(n, tensor(rng, 1, *s))
        for n, s in {"w": (3, 8, 6), "v": (2, 8), "b": (2, 8)}.items()
    )
    sru = nn.SruOp("sru", x, w, v, b)
    net.add(sru)
    heads = [
        nn.LinearOp(f"fc{n}", sru.results[0], net.parameter(f"f{n}", tensor(rng, 5, 8)))
        for n in range(2 if shape == "fork" else 1)
    ]
    results = [net.add(head) for head in heads]
    program = net.finish(results if shape == "fork" else [sru.results[0], *results])
    drawn = Drawn(program, [tensor(rng, 9, 1, 6)], {"kind": shape})
    run(drawn, TARGET, [1, 2, 0, 1], tmp_path, bricks=False)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    words = np.frombuffer((tmp_path / "program.bin").read_bytes(), dtype="<u4").tolist()
    held = {i.address for i in decode_program(words)[0] if isinstance(i, Hold)}
    assert held  # what stays inside the layers
    size = 8 * 16
    addresses = {r["address"]: r["bits"] // manifest["max_rows"] for r in manifest["regions"]}
    assert size not in {addresses[at] for at in held}


def test_copies_of_arguments_belong_to_the_layer_that_reads_them(tmp_path: Path) -> None:
    """Zeros behind a projected state stand between the blocks of its layer, not of another."""
    rng = np.random.default_rng(3)
    net = Network()
    x, h, c = net.sequence(2, name="x"), net.state(2, 2, name="h"), net.state(2, 5, name="c")
    shapes = {"w": (2, 4, 5, 2), "r": (2, 4, 5, 2), "b": (2, 4, 5), "q": (2, 2, 5)}
    w, r, b, q = (net.parameter(n, tensor(rng, *s)) for n, s in shapes.items())
    cell = nn.LstmOp(
        "cell", x, w, r, b, projection=q, initial_h=h, initial_c=c, direction="bidirectional"
    )
    net.add(cell)
    inputs = [tensor(rng, 6, 1, 2), tensor(rng, 2, 1, 2), tensor(rng, 2, 1, 5)]
    drawn = Drawn(net.finish(list(cell.results)), inputs, {"kind": "lstm"})
    run(drawn, TARGET, [1, 2], tmp_path, bricks=False)
    assert json.loads((tmp_path / "manifest.json").read_text())["layers"] == ["cell"]
