"""Schedulers over the scoreboard's rules: straight-line list scheduling and modulo scheduling.

Both take instructions with registers already assigned, so every read-after-write,
write-after-read and write-after-write order is an edge of the dependence graph and any schedule
that keeps the edges computes the same. Modulo scheduling after Rau, "Iterative Modulo Scheduling"
(MICRO-27, 1994).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx

from mohaq.backends.epiphany.analyzer.instructions import (
    CONFIG,
    FLAGS,
    FPU_FLAGS,
    LOADS,
    STORES,
    Instruction,
    Slot,
)
from mohaq.backends.epiphany.analyzer.scoreboard import Scoreboard

_BOARD = Scoreboard()


def _write_latency(i: Instruction) -> int:
    return _BOARD.timing.fpu if i.slot is Slot.FPU else _BOARD.timing.load if i.name in LOADS else 1


def _disjoint(a: Instruction, b: Instruction) -> bool:
    """Both accesses use one unmodified base register and different bytes."""
    p, q = a.address, b.address
    if p is None or q is None or p.base != q.base or p.post or q.post:
        return False
    if p.index is not None or q.index is not None:
        return False
    return (
        p.displacement + a.access <= q.displacement or q.displacement + b.access <= p.displacement
    )


def order_latency(first: Instruction, second: Instruction, flags: bool) -> int | None:
    """Least cycles between issues when `second` follows `first`; None when they are free.

    0 means that both may issue in one cycle with `first` leading the pair.
    """
    waits: list[int] = []
    for register in first.writes:
        if register in {FLAGS, FPU_FLAGS} and not flags:
            continue
        modified = first.address is not None and first.address.post
        base = first.address.base if first.address is not None and modified else None
        writer = (first.slot, first.name in LOADS and register != base)
        if register in second.data:
            waits.append(_BOARD.latency(writer, "data"))
        if register in second.reads:
            consumer = "fpu" if second.slot is Slot.FPU else "int"
            waits.append(1 if register >= FLAGS else _BOARD.latency(writer, consumer))
        if register in second.writes:
            waits.append(max(1, _write_latency(first) - _write_latency(second) + 1))
    kept = set(second.writes) - (set() if flags else {FLAGS, FPU_FLAGS})
    if not kept.isdisjoint((*first.reads, *first.data)):
        waits.append(0)
    stores = first.name in STORES or second.name in STORES
    if stores and first.access and second.access and not _disjoint(first, second):
        waits.append(1)
    if first.slot is Slot.FPU and CONFIG in second.writes:
        waits.append(_BOARD.timing.fpu)  # no change of mode while results are on their way
    if first.slot is Slot.ALONE and second.slot is Slot.ALONE:
        waits.append(1)
    return max(waits) if waits else None


def _reads_flags(code: Sequence[Instruction]) -> bool:
    return any(not {FLAGS, FPU_FLAGS}.isdisjoint(i.reads) for i in code)


def _issue_order(
    code: Sequence[Instruction], times: dict[int, int], leads: set[tuple[int, int]]
) -> list[int]:
    """Indices by cycle; in one cycle the leader of an order of latency 0 comes first."""
    result: list[int] = []
    for index in sorted(times, key=lambda n: (times[n], code[n].slot is not Slot.FPU, n)):
        if result and times[result[-1]] == times[index] and (index, result[-1]) in leads:
            result.insert(-1, index)
        else:
            result.append(index)
    return result


def list_schedule(code: Sequence[Instruction]) -> list[Instruction]:
    """Reorder straight-line code; the last instruction stays last when it is a branch."""
    flags = _reads_flags(code)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(code)))
    for u, first in enumerate(code):
        for v in range(u + 1, len(code)):
            latency = order_latency(first, code[v], flags)
            if code[v].is_branch:
                latency = max(latency or 0, 1)
            if latency is not None:
                graph.add_edge(u, v, latency=latency)
    height: dict[int, int] = {}
    for u in reversed(list(nx.topological_sort(graph))):
        height[u] = max((height[v] + graph.edges[u, v]["latency"] for v in graph[u]), default=0)
    times: dict[int, int] = {}
    cycle = 0
    while len(times) < len(code):
        used: set[Slot] = set()
        chosen: list[int] = []
        for u in sorted(set(graph) - set(times), key=lambda n: (-height[n], n)):
            ready = all(
                p in times and times[p] + graph.edges[p, u]["latency"] <= cycle
                for p in graph.predecessors(u)
            )
            alone = code[u].slot is Slot.ALONE
            if not ready or code[u].slot in used or Slot.ALONE in used or (alone and used):
                continue
            times[u] = cycle
            used.add(code[u].slot)
            chosen.append(u)
        cycle += 1
    leads = {(u, v) for u, v, d in graph.edges(data=True) if d["latency"] == 0}
    return [code[n] for n in _issue_order(code, times, leads)]


@dataclass(frozen=True)
class Pipeline:
    """A software-pipelined loop of two stages.

    `body` runs stage 1 of one iteration with stage 0 of the next; `prologue` is stage 0 alone and
    `epilogue` stage 1 alone, in program order (to be list-scheduled with their surroundings).
    """

    interval: int
    prologue: list[Instruction]
    body: list[Instruction]
    epilogue: list[Instruction]


class SchedulingError(ValueError):
    """No schedule of two stages within the interval."""


def modulo_schedule(code: Sequence[Instruction], interval: int) -> Pipeline:
    """Overlap iterations of a loop body so that one starts each `interval` cycles.

    Raises:
        SchedulingError: none was found.
    """
    edges = _loop_edges(code)
    times = _iterate(code, edges, interval)
    first = min(times.values())
    times = {u: t - first for u, t in times.items()}
    stage = {u: t // interval for u, t in times.items()}
    if max(stage.values()) > 1:
        raise SchedulingError(f"{max(stage.values()) + 1} stages at interval {interval}")
    slots = {u: t % interval for u, t in times.items()}
    leads = {
        (u, v) for u, v, wait, far in edges if wait == 0 and times[v] + far * interval == times[u]
    }
    body = [code[n] for n in _issue_order(code, slots, leads)]
    prologue = [i for n, i in enumerate(code) if stage[n] == 0]
    epilogue = [i for n, i in enumerate(code) if stage[n] == 1]
    return Pipeline(interval, prologue, body, epilogue)


def _loop_edges(code: Sequence[Instruction]) -> list[tuple[int, int, int, int]]:
    """(from, to, latency, iterations between) of all orders within one and to the next pass."""
    edges = []
    for u, first in enumerate(code):
        for v, second in enumerate(code):
            wait = order_latency(first, second, flags=False)
            if wait is None:
                continue
            if u < v:
                edges.append((u, v, wait, 0))
            edges.append((u, v, wait, 1))
    return edges


def _iterate(
    code: Sequence[Instruction], edges: list[tuple[int, int, int, int]], interval: int
) -> dict[int, int]:
    """Rau's loop: place by priority, evict what the placement contradicts, until all stand."""
    count = len(code)
    out: dict[int, list[tuple[int, int, int]]] = {n: [] for n in range(count)}
    into: dict[int, list[tuple[int, int, int]]] = {n: [] for n in range(count)}
    for u, v, wait, far in edges:
        out[u].append((v, wait, far))
        into[v].append((u, wait, far))
    height = dict.fromkeys(range(count), 0)
    for _ in range(count):
        for u in range(count):
            for v, wait, far in out[u]:
                height[u] = max(height[u], height[v] + wait - far * interval)
    times: dict[int, int] = {}
    last = dict.fromkeys(range(count), -1)
    for _ in range(60 * count):
        if len(times) == count:
            return times
        u = max((n for n in range(count) if n not in times), key=lambda n: (height[n], -n))
        early = max(
            [0, *(times[p] + w - far * interval for p, w, far in into[u] if p in times and p != u)]
        )
        taken = {times[n] % interval: n for n in times if code[n].slot is code[u].slot}
        free = [t for t in range(early, early + interval) if t % interval not in taken]
        at = free[0] if free else max(early, last[u] + 1)
        if at % interval in taken:
            del times[taken[at % interval]]
        times[u] = last[u] = at
        for v, wait, far in out[u]:
            if v != u and v in times and times[v] < at + wait - far * interval:
                del times[v]
        for p, wait, far in into[u]:
            if p != u and p in times and at < times[p] + wait - far * interval:
                del times[p]
    raise SchedulingError(f"no schedule at interval {interval}")
