"""Every rule of the verifier is broken once, and the measured programs keep them all."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from silago_programs import fabric, random_programs, random_state

from mohaq.backends.silago.isa.text import assemble, read_bits
from mohaq.backends.silago.simulator.run import run
from mohaq.backends.silago.verify import Carried, check, require
from mohaq.backends.silago.verify.rules import STATIC, TEXT, TIMING
from mohaq.compiler.diagnostics import MohaqError

VECTORS = Path(__file__).parents[2] / "data/silago/vectors.json"

SOURCES = "SWB hb_index=2 v_index=2\nSWB src_port=1 hb_index=2 v_index=3\nSWB src_block=dpu hb_index=2 v_index=0\n"
READS = "REFI port_no=r0 l1_iter=3 init_delay=2\nREFI port_no=r1 l1_iter=3 init_delay=1\n"
"""After a DPU instruction: four pairs from its first live cycle on."""
FILL = "SWB hb_index=2 v_index=0\nREFI port_no=w0 l1_iter=63 init_delay=1\nWAIT cycle=70\n"
"""Store (zeros of r0) in every word."""
ROUTE = "ROUTE vertical_dir=n\n"
LOAD = "REFI port_no=w0 extra=2 init_delay=4 dimarch=y\n"

BROKEN: dict[str, tuple[str, str]] = {
    "cell": ("silago1-rtl", "CELL 0 8\nHALT"),
    "words": ("silago1-rtl", "CELL 0 0\n" + "WAIT cycle=0\n" * 65),
    "fixed": ("silago1-nn", "CELL 0 0\nDPU mode=mac shift=3"),
    "shift-mode": ("silago-mohaq", "CELL 0 0\nDPU mode=add shift=3"),
    "mode": ("silago1-rtl", "CELL 0 0\nDPU mode=expon"),
    "raccu-mode": ("silago1-rtl", "CELL 0 0\nRACCU mode=mult operand1=3 operand2=4 result=1"),
    "loop-count": ("silago1-rtl", "CELL 0 0\nLOOP endpc=1 iter=3 iter_sd=d\nWAIT cycle=0\nHALT"),
    "loop-link": (
        "silago1-rtl",
        "CELL 0 0\nLOOP endpc=2 iter=3 extra=1 link=1\nWAIT cycle=0\nHALT",
    ),
    "loop-end": ("silago1-rtl", "CELL 0 0\nLOOP endpc=9 iter=3\nWAIT cycle=0"),
    "loop-nest": (
        "silago1-rtl",
        "CELL 0 0\nLOOP endpc=2 iter=2\nLOOP endpc=3 iter=2 loopid=1\nWAIT cycle=0\nWAIT cycle=0\nHALT",
    ),
    "loop-jump": ("silago1-rtl", "CELL 0 0\nLOOP endpc=2 iter=2\nJUMP pc=3\nWAIT cycle=0\nHALT"),
    "target": ("silago1-rtl", "CELL 0 0\nJUMP pc=3\nREFI port_no=r0 extra=2\nHALT"),
    "compress": ("silago1-rtl", "CELL 0 0\nREFI port_no=w0 extra=2 compress=y"),
    "block-port": ("silago1-rtl", "CELL 0 0\nREFI port_no=w1 extra=2 dimarch=y"),
    "last-word": ("silago1-rtl", "CELL 0 0\nWAIT cycle=0\nJUMP pc=0"),
    "refi-dynamic": (
        "silago1-rtl",
        "CELL 0 0\nSWB hb_index=2 v_index=0\nWAIT cycle=2\nREFI port_no=w0 extra=2 l2_delay=3 l2_delay_sd=d",
    ),
    "step-sign": ("silago1-rtl", "CELL 0 0\nREFI port_no=w0 extra=2 l1_step_sign=-"),
    "register": ("silago1-rtl", "CELL 0 0\nREFI port_no=w0 init_addr=16 init_addr_sd=d"),
    "reach": ("silago1-rtl", "CELL 0 1\nSWB hb_index=0 v_index=0"),
    "source-row": ("silago1-rtl", "CELL 0 1\nSWB hb_index=2 v_index=0 send_to_other_row=y"),
    "repairs": ("silago1-rtl", "CELL 0 0\nBW_CONFIG bw=int4x4"),
    "route": ("silago1-rtl", "CELL 0 0\nROUTE vertical_dir=n vertical_hops=2"),
    "sram-dynamic": ("silago1-rtl", f"CELL 0 0\n{ROUTE}SRAM l2_iter_sd=d"),
    "write-hops": (
        "silago1-rtl",
        "CELL 0 0\nROUTE vertical_dir=n vertical_hops=1 direction=w\nSRAM rw=w hops=1",
    ),
    "branches": ("silago1-rtl", "CELL 0 0\nWAIT cycle=0\nJUMP pc=0\nHALT"),
    "port-reuse": (
        "silago1-rtl",
        (
            "CELL 0 0\nSWB hb_index=2 v_index=0\nWAIT cycle=3\nREFI port_no=w0 l1_iter=5\n"
            "REFI port_no=w0 init_addr=9"
        ),
    ),
    "read-before-write": ("silago1-rtl", "CELL 0 0\nREFI port_no=r0 init_addr=5"),
    "write-clash": (
        "silago1-rtl",
        (
            "CELL 0 0\nSWB hb_index=2 v_index=0\nSWB hb_index=2 v_index=1\nWAIT cycle=3\n"
            "REFI port_no=w0 init_delay=1\nREFI port_no=w1"
        ),
    ),
    "tile": (
        "silago1-rtl",
        (
            f"CELL 0 0\n{ROUTE}SRAM l1_iter=3\nREFI port_no=w0 extra=2 l1_iter=3 init_delay=4 dimarch=y\n"
            f"WAIT cycle=5\nSRAM\nREFI port_no=w0 extra=2 init_delay=4 dimarch=y"
        ),
    ),
    "tile-row": ("small", f"CELL 0 0\n{ROUTE}SRAM init_addr=99\n{LOAD}"),
    "block-edge": (
        "silago1-rtl",
        f"CELL 0 0\n{ROUTE}SRAM\nREFI port_no=w0 extra=2 init_delay=5 dimarch=y",
    ),
    "bus": (
        "silago1-rtl",
        (
            "CELL 0 0\nROUTE vertical_dir=n vertical_hops=1\nSRAM hops=1\n"
            "REFI port_no=w0 extra=2 init_delay=6 dimarch=y\n"
            "CELL 1 0\nROUTE vertical_dir=n select_drra_row=1\nSRAM\n"
            "REFI port_no=w0 extra=2 init_delay=5 dimarch=y"
        ),
    ),
    "driver": ("silago1-rtl", "CELL 0 0\nREFI port_no=w0"),
    "result": ("silago1-rtl", f"CELL 0 0\n{SOURCES}REFI port_no=w0 init_delay=4"),
    "cleared": (
        "silago1-rtl",
        (f"CELL 0 0\n{FILL}{SOURCES}DPU mode=add\n{READS}DPU mode=mult\nREFI port_no=w0\n"),
    ),
    "width-mix": (
        "silago1-nn",
        (
            f"CELL 0 0\n{FILL}{SOURCES}DPU mode=add\n{READS}REFI port_no=w0 l1_iter=3 init_delay=1\n"
            "BW_CONFIG bw=int8x2"
        ),
    ),
    "width": (
        "silago1-nn",
        (
            f"CELL 0 0\n{FILL}{SOURCES}BW_CONFIG bw=int8x2\nDPU mode=sigm\n{READS}"
            "REFI port_no=w0 l1_iter=3 init_delay=1"
        ),
    ),
    "second-lane": (
        "silago1-rtl",
        (
            f"CELL 0 0\n{FILL}{SOURCES}SWB src_block=dpu src_port=1 hb_index=2 v_index=1\nDPU mode=mult\n"
            f"{READS}REFI port_no=w1 l1_iter=3 init_delay=1"
        ),
    ),
    "ld-ir": ("silago1-rtl", "CELL 0 0\nDPU mode=ld_ir\nWAIT cycle=0\nDPU mode=mult_const"),
    "branch-status": ("silago1-rtl", "CELL 0 0\nDPU mode=add\nBRANCH mode=1 false_pc=2\nHALT"),
}
SMALL = fabric("silago1-rtl").__class__(**{**vars(fabric("silago1-rtl")), "tile_depth": 64})


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_is_found(rule: str) -> None:
    name, text = BROKEN[rule]
    made_for = SMALL if name == "small" else fabric(name)
    found, _ = check(made_for, assemble(text))
    assert [f.rule for f in found] == [rule] * len(found) != []
    with pytest.raises(MohaqError, match=rf"\[{rule}\]"):
        require(made_for, assemble(text), where="segment 3")


@pytest.mark.parametrize(
    "words",
    [(15 << 23,), (5 << 23 | 2 << 12,), (1,), (13 << 23,), (14 << 23, 0x1 << 23, 0x2000000)],
)
def test_words_that_break_the_encoding(words: tuple[int, ...]) -> None:
    found, _ = check(fabric("silago1-rtl"), {(0, 0): words})
    assert [f.rule for f in found][:1] == ["encoding"]


def test_immediate_bit() -> None:
    with pytest.raises(MohaqError, match="immediate"):
        read_bits("CELL 0 0\n0 " + "0" * 27)


def test_every_rule_has_a_test() -> None:
    assert {*BROKEN, "encoding"} == {*STATIC, *TIMING}
    assert set(TEXT) == {"immediate"}


IRREGULAR = {
    "pub-05-refineg": {"read-before-write"},
    "pub-32-branch": {"driver"},
    "pub-43-clash": {"write-clash"},
    "pub-44-sign": {"step-sign"},
}
"""Measured programs that show what happens beyond the rules."""


def test_measured_programs_keep_the_rules() -> None:
    for vector in json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]:
        programs = {
            tuple(c["cell"]): tuple(int(w, 16) for _, w in c["words"]) for c in vector["cells"]
        }
        found, _ = check(fabric(vector["profile"]), programs)
        assert {f.rule for f in found} == IRREGULAR.get(vector["id"], set()), vector["id"]


def test_facts_go_on_to_the_next_segment() -> None:
    made_for = fabric("silago1-rtl")
    first = assemble(f"CELL 0 0\n{FILL}{SOURCES}{ROUTE}DPU mode=add")
    second = assemble(f"CELL 0 0\nDPU mode=add\n{READS}REFI port_no=w0 l1_iter=3 init_delay=1")
    found, _ = check(made_for, second)
    assert {f.rule for f in found} == {"read-before-write", "driver"}
    after = require(made_for, first)
    assert after.written[0, 0] == (1 << 64) - 1
    assert require(made_for, second, after).key() == after.key()
    assert Carried().key() != after.key()


def test_both_ways_of_a_branch_are_checked() -> None:
    head = "CELL 0 0\nDPU mode=max_min\nWAIT cycle=5\nBRANCH mode=1 false_pc=4\nWAIT cycle=0\n"
    found, _ = check(fabric("silago1-rtl"), assemble(head + "REFI port_no=r0"))
    assert {f.edge for f in found} == {10, 11}
    many = (
        "CELL 0 0\nDPU mode=max_min\nWAIT cycle=5\n"
        + "".join(f"BRANCH mode=1 false_pc={pc}\n" for pc in range(3, 10))
        + "HALT"
    )
    found, _ = check(fabric("silago1-rtl"), assemble(many))
    assert [f.rule for f in found] == ["branches"]


def test_findings_say_where() -> None:
    found, _ = check(fabric("silago1-rtl"), assemble(BROKEN["port-reuse"][1]))
    assert str(found[0]) == (
        "cell (0, 0), word 3, edge 7: port w0 is busy until edge 12 (word 2) [port-reuse]"
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(["silago1-rtl", "silago1-nn", "silago-mohaq"]))
def test_programs_that_keep_the_rules_run(seed: int, name: str) -> None:
    random, made_for = Random(seed), fabric(name)
    programs = random_programs(random, made_for)
    found, _ = check(made_for, programs)
    if not found:
        run(made_for, programs, random_state(random, made_for))
    assert all(f.rule in {*STATIC, *TIMING} for f in found)
