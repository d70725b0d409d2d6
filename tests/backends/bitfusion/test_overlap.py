"""Schedules of single products: bounds, the published simulator's cycles, more of everything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.backends.bitfusion.machine import Machine, load_target, machine_of
from mohaq.backends.bitfusion.schedule.compat import Product, evaluate, search
from mohaq.backends.bitfusion.schedule.overlap import (
    CONVENTIONS,
    roofline,
    schedule,
    traffic_floor,
)
from mohaq.compiler.diagnostics import MohaqError

MACHINE = machine_of(load_target("bitfusion-e"))
WIDTHS = st.sampled_from([2, 4, 8, 16])


@st.composite
def products(draw: st.DrawFn) -> Product:
    sizes = [draw(st.integers(1, top)) for top in (120, 700, 900)]
    return Product(sizes[0], sizes[1], sizes[2], draw(WIDTHS), draw(WIDTHS))


@settings(max_examples=25, deadline=None)
@given(products(), st.sampled_from(CONVENTIONS))
def test_no_schedule_beats_its_bounds(product: Product, convention: str) -> None:
    found = schedule(product, MACHINE, convention)
    assert found.cycles >= roofline(product, MACHINE, convention)
    moved = found.dram_read_bits + found.dram_write_bits
    assert moved >= traffic_floor(product, convention)
    # The port moves everything within the time.
    assert moved <= found.cycles * MACHINE.port


@settings(max_examples=25, deadline=None)
@given(products())
def test_hardly_ever_slower_than_the_published_scheduler(product: Product) -> None:
    """Its model keeps any number of tiles of a stream, ours two of them: a few per cent at most.

    On the shapes that were measured it is never slower (docs/targets/bitfusion.md).
    """
    theirs = search(product, MACHINE)
    ours = schedule(product, MACHINE, "refconv", at_most=theirs.total_cycles)
    assert ours.cycles <= 1.05 * theirs.total_cycles


def test_where_the_published_model_keeps_more_tiles() -> None:
    product = Product(65, 211, 96, 4, 16)
    theirs = search(product, MACHINE).total_cycles
    ours = schedule(product, MACHINE, "refconv", at_most=theirs).cycles
    assert theirs < ours <= 1.05 * theirs


@settings(max_examples=15, deadline=None)
@given(products())
def test_the_published_choice_is_the_best_of_its_space(product: Product) -> None:
    best = search(product, MACHINE)
    again = evaluate(product, best.tiling, MACHINE)
    assert again == best
    assert best.total_cycles == best.compute_cycles + best.mem_stall_cycles


@settings(max_examples=12, deadline=None)
@given(products(), st.sampled_from(CONVENTIONS), st.booleans())
def test_fewer_bits_never_cost_more(product: Product, convention: str, weights: bool) -> None:
    """Up to the first fill: the tiles that nothing hides."""
    bits = product.w_bits if weights else product.a_bits
    if bits == 2:
        return
    narrow = replace(product, **{"w_bits" if weights else "a_bits": bits // 2})
    wide = schedule(product, MACHINE, convention)
    found = schedule(narrow, MACHINE, convention)
    tile = found.ic * (found.oc * narrow.w_bits + found.b * narrow.a_bits)
    fill = -(-tile // MACHINE.port) + MACHINE.rows + MACHINE.columns
    assert found.cycles <= wide.cycles + fill


def test_a_layer_that_streams_reaches_the_roofline() -> None:
    product = Product(16, 4096, 4096, 2, 2)
    assert schedule(product, MACHINE, "refconv").cycles == roofline(product, MACHINE, "refconv")


def test_bad_requests() -> None:
    with pytest.raises(MohaqError, match="unknown traffic convention"):
        schedule(Product(1, 1, 1, 2, 2), MACHINE, "other")
    with pytest.raises(MohaqError, match="2, 4, 8 or 16"):
        Product(1, 1, 1, 3, 2)
    small = Machine({**MACHINE.constants, "obuf_bytes": 8})
    with pytest.raises(MohaqError, match="no tile"):
        schedule(Product(4, 4, 64, 8, 8), small, "refconv")
    with pytest.raises(MohaqError, match="no tile"):
        search(Product(4, 4, 64, 8, 8), small)
