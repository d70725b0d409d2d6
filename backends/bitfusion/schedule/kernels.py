"""Compiled inner loop of `overlap`: the timeline of one product under one schedule."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Sizes = npt.NDArray[np.int64]


@njit(cache=True)
def timeline(
    rows: Sizes,
    columns: Sizes,
    inner: Sizes,
    by_columns: bool,
    spill: bool,
    ahead: bool,
    a_bits: int,
    w_bits: int,
    read_bits: int,
    write_bits: int,
    reach: int,
    width: int,
    passes: int,
    lanes: int,
    port: int,
    fill: int,
    limit: float,
) -> tuple[float, int, int, int]:
    """(cycles, weight bits, activation bits, output bits read and written) of a schedule.

    `rows`, `columns`, `inner` are tile sizes; with `spill` K is the outermost loop and partial
    sums of 32 bits go to DRAM and back; with `ahead` the next tile of the outer loop is loaded
    in parts during the current one. Each buffer has two banks; a bank keeps its tile
    until the other one was used and it is needed for another tile. A schedule that takes more than `limit` cycles is given up (infinity). See `overlap` for the rules.
    """
    held = np.full((3, 2), -1, dtype=np.int64)
    free = np.zeros((3, 2))  # when a bank was used for the last time
    ready = np.zeros((3, 2))  # when its tile is complete
    first = np.zeros((3, 2))  # when the first chunk of its tile is there
    used = np.zeros(3, dtype=np.int64)
    moved = np.zeros(3, dtype=np.int64)
    at = 0.0  # the port
    array = 0.0
    post = 0.0
    wait = np.zeros(2)  # stores that wait for the port: when they are ready, their bits
    size = np.zeros(2, dtype=np.int64)
    outer, middle, depth, rounds = rows, columns, len(inner), 1
    if by_columns:
        outer, middle = columns, rows
    if spill:
        depth, rounds = 1, len(inner)
    stage = 0
    last_store = 0.0
    tile = 0
    for each in range(rounds):
        reads = read_bits if each == 0 else 32
        writes = write_bits if each == rounds - 1 else 32
        for i in range(len(outer)):
            for step in range(len(middle)):
                j = step if i % 2 == 0 else len(middle) - 1 - step
                r, c = (j, i) if by_columns else (i, j)
                if max(at, array) > limit:
                    return np.inf, 0, 0, 0
                bank = tile % 2
                # The last loads go before older stores, so that the port is never idle.
                final = each == rounds - 1 and i == len(outer) - 1 and step == len(middle) - 1
                for turn in range(depth):
                    k = each
                    if not spill:
                        k = turn if tile % 2 == 0 else depth - 1 - turn
                    chunks = -(-inner[k] // reach)
                    work = float(rows[r] * -(-columns[c] // width) * chunks * passes)
                    begin, end = array, 0.0
                    for turned in range(3):
                        # Sums that are read go first: the array waits for all of them.
                        stream = 2 - turned if reads else turned
                        if stream == 2:
                            if turn:
                                continue
                            # The bank of sums must have been drained.
                            if size[bank]:
                                start = max(at, wait[bank])
                                at = start + size[bank] / port
                                free[2, bank] = at
                                size[bank] = 0
                            key, bits, slot = tile, rows[r] * columns[c] * reads, bank
                        else:
                            if stream == 0:
                                key, bits = c * len(inner) + k, columns[c] * inner[k] * w_bits
                            else:
                                key, bits = r * len(inner) + k, rows[r] * inner[k] * a_bits
                            slot = -1
                            for one in range(2):
                                if held[stream, one] == key:
                                    slot = one
                            if slot >= 0:
                                begin = max(begin, first[stream, slot])
                                end = max(end, ready[stream, slot])
                                used[stream] = slot
                                continue
                            slot = 1 - used[stream] if stage else 0
                        start = max(at, free[stream, slot])
                        # A finished tile goes out while the load could not start anyway, or before it.
                        for one in range(2):
                            if not final and size[one] and wait[one] <= start:
                                at = max(at, wait[one]) + size[one] / port
                                free[2, one] = at
                                last_store = max(last_store, at)
                                size[one] = 0
                                start = max(at, free[stream, slot])
                        moved[stream] += bits
                        if bits:
                            at = start + bits / port
                            part = chunks if stream < 2 else 1
                            first[stream, slot] = start + bits / port / part
                            ready[stream, slot] = at
                        else:
                            first[stream, slot] = start
                            ready[stream, slot] = start
                        held[stream, slot] = key
                        used[stream] = slot
                        begin = max(begin, first[stream, slot])
                        end = max(end, ready[stream, slot])
                    if ahead and depth == 1 and step and i + 1 < len(outer):
                        # A part of the next outer tile, into the bank that nobody reads.
                        stream = 0 if by_columns else 1
                        slot = 1 - used[stream]
                        if by_columns:
                            whole = columns[i + 1] * inner[k] * w_bits
                        else:
                            whole = rows[i + 1] * inner[k] * a_bits
                        parts = len(middle) - 1
                        bits = whole * step // parts - whole * (step - 1) // parts
                        at = max(at, free[stream, slot]) + bits / port
                        moved[stream] += bits
                        held[stream, slot] = -1
                        if step == parts:
                            held[stream, slot] = (i + 1) * len(inner) + k
                            first[stream, slot] = at
                            ready[stream, slot] = at
                    begin = max(begin, array)
                    if stage == 0:
                        begin += fill
                    array = max(begin + work, end + work / chunks)
                    free[0, used[0]] = array
                    free[1, used[1]] = array
                    stage += 1
                done = array
                if lanes and each == rounds - 1:
                    post = max(post, array) + -(-(rows[r] * columns[c]) // lanes)
                    done = post
                wait[bank] = done
                size[bank] = rows[r] * columns[c] * writes
                moved[2] += size[bank]
                free[2, bank] = done
                tile += 1
    for turn in range(2):
        one = (tile + turn) % 2
        if size[one]:
            at = max(at, wait[one]) + size[one] / port
            last_store = max(last_store, at)
    return max(last_store, array, post), moved[0], moved[1], moved[2]
