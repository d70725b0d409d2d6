"""Annotated listing: each executed instruction beside its issue cycle, pair and stall."""

from mohaq.backends.epiphany.analyzer.executor import Step
from mohaq.backends.epiphany.analyzer.parser import Program
from mohaq.backends.epiphany.analyzer.scoreboard import Scoreboard, Timing


def annotate(program: Program, steps: list[Step], timing: Timing | None = None) -> str:
    """Listing of a run, one line an instruction at its first execution.

    Columns: address, issue cycle, `+` where it joined the pair of the line above, stall cycles
    and their reason, times executed, text.
    """
    board = Scoreboard(timing)
    first: dict[int, str] = {}
    count: dict[int, int] = {}
    for step in steps:
        issue = board.issue(step.instruction, taken=step.taken, loop_end=step.loop_end)
        count[step.address] = count.get(step.address, 0) + 1
        if step.address not in first:
            stall = f"{issue.stall} {issue.reason}" if issue.stall else ""
            mark = "+" if issue.paired else " "
            first[step.address] = f"{step.address:#06x} {issue.cycle:6d} {mark} {stall:16s}"
    names: dict[int, list[str]] = {}
    for label, address in program.labels.items():
        names.setdefault(address, []).append(label)
    lines = []
    for address in sorted(first):
        lines += [f"{label}:" for label in names.get(address, [])]
        text = program.instructions[address].text
        lines.append(f"{first[address]} {count[address]:6d}x  {text}")
    t = board.totals
    stalls = ", ".join(f"{reason} {cycles}" for reason, cycles in sorted(t.stalls.items()))
    lines.append(
        f"{t.cycles} cycles, {t.instructions} instructions ({t.fpu} FPU), {t.pairs} pairs, "
        f"stalls: {stalls or 'none'}"
    )
    return "\n".join(lines) + "\n"
