"""Parser, scoreboard and cycle counts of the Epiphany analyzer."""

import pytest

from mohaq.backends.epiphany.analyzer import (
    KERNELS,
    Executor,
    Fault,
    Memory,
    Scoreboard,
    Timing,
    annotate,
    kernel_bytes,
    kernel_cycles,
    kernel_program,
    parse,
    parse_instruction,
)
from mohaq.backends.epiphany.analyzer.kernels import KernelError, kernel_text, measure, steps
from mohaq.backends.epiphany.analyzer.parser import ParseError


def issue_cycles(*lines: str, timing: Timing | None = None) -> list[int]:
    board = Scoreboard(timing)
    return [board.issue(parse_instruction(line)).cycle for line in lines]


# Expected cycles are read off the latency table of facts/epiphany.md section 1.
@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("add.l r16,r17,r18", "add.l r19,r16,r18", 1),
        ("add.l r16,r17,r18", "imadd.l r19,r16,r18", 2),
        ("mov.l r16,r17", "str.l r16,[r0]", 1),
        ("ldr.l r16,[r0]", "add.l r17,r16,r16", 2),
        ("ldr.l r16,[r0]", "ldr.l r17,[r16]", 2),
        ("ldrb.l r16,[r0]", "imadd.l r17,r16,r18", 3),
        ("ldrd.l r16,[r0]", "imadd.l r18,r17,r19", 3),
        ("ldrd.l r16,[r0]", "strd.l r16,[r1]", 1),
        ("ldr.l r16,[r0],#1", "ldr.l r17,[r0],#1", 1),
        ("imadd.l r16,r17,r18", "imadd.l r16,r17,r18", 5),
        ("imul.l r16,r17,r18", "add.l r19,r16,r16", 5),
        ("imul.l r16,r17,r18", "str.l r16,[r0]", 4),
        ("imadd.l r16,r17,r18", "imadd.l r19,r17,r18", 1),
        ("imadd.l r16,r17,r18", "ldrb.l r19,[r0]", 0),
        ("imadd.l r16,r17,r18", "ldrb.l r17,[r0]", 0),
        ("ldrb.l r19,[r0]", "imadd.l r16,r17,r18", 0),
        ("imul.l r16,r17,r18", "movfs.l r19,status", 1),
        ("sub.l r16,r16,#1", "mov.l r17,r18", 1),
    ],
)
def test_latencies_and_pairs(first: str, second: str, distance: int) -> None:
    start, end = issue_cycles(first, second)
    assert end - start == distance


def test_truncation_shortens_the_fpu() -> None:
    pair = ("imadd.l r16,r17,r18", "imadd.l r16,r17,r18")
    assert issue_cycles(*pair, timing=Timing(fpu=4, fpu_to_store=3)) == [0, 4]


def test_five_accumulators_keep_the_fpu_full() -> None:
    def cycles(count: int) -> int:
        lines = [f"imadd.l r{16 + n % count},r50,r51" for n in range(40)]
        return issue_cycles(*lines)[-1] + 1

    assert cycles(5) == 40
    assert cycles(4) == 40 + 9


def test_taken_branches_cost_bubbles_and_loops_none() -> None:
    source = """
    f:  mov.l r16,#3
    .Lloop:
        sub.l r16,r16,#1
        bne.l .Lloop
        rts
    """
    program = parse(source)
    for bubbles in (2, 3):
        board = Scoreboard(Timing(taken_branch=bubbles))
        core = Executor(program)
        totals = board.run((s.instruction, s.taken, s.loop_end) for s in core.call("f", ()))
        assert totals.cycles == 1 + 3 * 2 + 1 + 3 * bubbles
        assert totals.stalls["branch"] == 2 * bubbles


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_inner_loops_have_no_stall(name: str) -> None:
    """At steady state cycles are the larger of FPU and other instructions."""
    program = kernel_program()
    start = program.labels[f".L{name.removeprefix('mohaq_')}_loop"]
    last = program.labels[f".L{name.removeprefix('mohaq_')}_last"]
    body = [program.instructions[a] for a in range(start, last + 4, 4)]
    fpu = sum(i.name == "imadd" for i in body)
    board = Scoreboard()
    ends = []
    for _ in range(6):
        for i in body:
            board.issue(i, loop_end=i is body[-1])
        ends.append(board.totals.cycles)
    assert ends[-1] - ends[-2] <= max(fpu, len(body) - fpu)


# Goals of the backend, in cycles per multiply-accumulate over many columns.
@pytest.mark.parametrize(
    ("name", "goal"),
    [("mohaq_mv8_w8", 1.3), ("mohaq_tile4_w8", 1.15), ("mohaq_swar_w4a8", 1.0)],
)
def test_goals(name: str, goal: float) -> None:
    macs = 512 * KERNELS[name].macs
    assert (kernel_cycles(name, 1024) - kernel_cycles(name, 512)) / macs <= goal


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_extrapolated_cycles_equal_executed_ones(name: str) -> None:
    call = 1 + Timing().taken_branch
    for k in (768, 1036):
        assert kernel_cycles(name, k) == measure(kernel_program(), name, k).cycles + call


def test_a_changed_kernel_changes_the_estimate() -> None:
    name = "mohaq_mv8_w8"
    before = measure(kernel_program(), name, 64).cycles
    start = kernel_text().index(".Lmv8_w8_loop:")
    at = kernel_text().index("\n", start) + 1
    slower = kernel_text()[:at] + "\tmov.l r26,#0\n\tmov.l r26,#1\n" + kernel_text()[at:]
    after = measure(parse(slower), name, 64).cycles
    assert after - before == 2 * (64 // 4 - 1)


def test_code_sizes() -> None:
    for name in KERNELS:
        assert 200 < kernel_bytes(name) < 1024


def test_listing_names_labels_pairs_and_totals() -> None:
    name = "mohaq_tile4_w8"
    program = kernel_program()
    listing = annotate(program, list(steps(program, name, 16)))
    totals = measure(program, name, 16)
    assert ".Ltile4_w8_loop:" in listing
    assert "15x  imadd.l" in listing
    assert f"{totals.cycles} cycles, {totals.instructions} instructions" in listing


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frob.l r1,r2", "unknown instruction 'frob'"),
        ("add r1,r2,r3", "needs the suffix .l"),
        ("add.l r1,r2", "operands do not fit"),
        ("add.l r1,r2,#2000", "outside -1024..1023"),
        ("add.l r1,r64,r2", "not a register"),
        ("ldrd.l r17,[r0]", "even register"),
        ("ldr.l r1,r2", "not an address"),
        ("movts.l ctimer0,r1", "not one of config"),
        (".word 3", "directive '.word' is outside"),
        ("b.l nowhere", "label 'nowhere' is not defined"),
        ("mov.l r16,%low(f)", "takes no suffix"),
        ("nop.l", "takes no suffix"),
    ],
)
def test_lines_outside_the_subset_are_refused(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=r"k\.S:2") as error:
        parse(f"f:\n\t{text}\n", "k.S")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("imul.l r16,r16,r16", "outside integer mode"),
        ("ldr.l r16,[r0]", "not aligned"),
        ("mov.l r0,#0xfff8\n ldrd.l r16,[r0]", "outside the allowed memory"),
        ("movts.l status,r0", "no write of STATUS"),
        ("b.l .Lend\n .Lend:", "no instruction at"),
    ],
)
def test_faults_name_the_instruction(body: str, message: str) -> None:
    core = Executor(parse(f"f:\n {body}\n"), Memory())
    with pytest.raises(Fault, match=message):
        list(core.call("f", (2,)))


def _loop(body: list[str], *, align: str = ".balign 8", off: str = "gid\n nop") -> str:
    lines = "\n ".join(body[:-1])
    return f"""
    f: {off}
     mov.l r16,#3
     movts.l lc,r16
     mov r17,%low(.Lstart)
     movts.l ls,r17
     mov r17,%low(.Lend)
     movts.l le,r17
     {align}
    .Lstart:
     {lines}
    .Lend: {body[-1]}
     rts
    """


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (_loop(["add.l r0,r0,#1"] * 8), None),
        (_loop(["add.l r0,r0,#1"] * 6), "the least is 8"),
        (_loop(["add.l r0,r0,#1"] * 9), "last but one"),
        (_loop(["add.l r0,r0,#1"] * 8, align=".balign 8\n add.l r1,r1,#0"), "not on 8 bytes"),
        (_loop(["add.l r0,r0,#1"] * 8, off=""), "interrupts on"),
        (_loop([*["add.l r0,r0,#1"] * 8, "nop", "nop", "add.l r0,r0,#1"]), "16-bit encoding"),
    ],
)
def test_rules_of_hardware_loops(source: str, message: str | None) -> None:
    core = Executor(parse(source))
    if message is None:
        list(core.call("f", (0,)))
        assert core.registers[0] == 24
        return
    with pytest.raises(Fault, match=message):
        list(core.call("f", (0,)))


def test_unknown_kernels_and_odd_counts_are_refused() -> None:
    with pytest.raises(KernelError, match="mohaq_mv8_w3"):
        kernel_cycles("mohaq_mv8_w3", 8)
    with pytest.raises(KernelError, match="multiple of 4"):
        kernel_cycles("mohaq_mv8_w8", 6)
