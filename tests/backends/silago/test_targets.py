"""Target files: what ships, and files that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohaq.backends.silago.machine import FOLDER, fabric_of, load_target, shipped
from mohaq.compiler.diagnostics import MohaqError


def test_shipped_fabrics() -> None:
    fabrics = {name: fabric_of(load_target(name)) for name in shipped()}
    assert set(fabrics) == {"silago1-rtl", "silago1-nn", "silago-mohaq"}
    assert fabrics["silago1-rtl"].repairs == frozenset()
    assert fabrics["silago1-nn"].repairs == {"bw_latch", "lane_slice"}
    assert fabrics["silago1-nn"].numerics == "faithful"
    assert fabrics["silago-mohaq"].numerics == "wide_acc"
    for fabric in fabrics.values():
        assert fabric.tile_bytes == 65536
        assert [fabric.lanes(b) for b in (16, 8, 4)] == [1, 2, 4]
        assert fabric.rf_blocks == 4
        assert fabric.skew(1, 5) == 6
        assert fabric.refill_bits_per_cycle > 0
    with pytest.raises(MohaqError, match="no 2-bit lanes"):
        fabrics["silago1-nn"].lanes(2)


@pytest.mark.parametrize("name", ["silago1-rtl", "silago1-nn", "silago-mohaq"])
def test_every_constant_has_a_source(name: str) -> None:
    for key, constant in load_target(name).constants.items():
        assert constant.source, key
        assert constant.mark in {"verified", "assumed"}


def test_extension_is_marked() -> None:
    assert load_target("silago-mohaq").constants["numerics"].mark == "assumed"
    assert "extension" in load_target("silago-mohaq").constants["numerics"].source


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('backend = "silago"', 'backend = "bitfusion"', "not a SiLago target"),
        ("mohaq.target/1", "mohaq.target/2", "not a SiLago target"),
        ("[constants.cols]\nvalue = 8", "[constants.cols]\nvalue = 0", "must be positive"),
        ("[constants.cols]\nvalue = 8", "[constants.cols]\nvalue = 8.5", "must be whole"),
        ("[constants.cols]\nvalue = 8", "[constants.cols]\nvalue = true", "must be a number"),
        ("[constants.cols]\nvalue = 8", "[constants.cols]\nvalue = 65", "at most 64"),
        ("[constants.rows]\nvalue = 2", "[constants.rows]\nvalue = 3", "must be 2"),
        ("[constants.tile_depth]\nvalue = 128", "[constants.tile_depth]\nvalue = 256", "at most"),
        ("[constants.numerics]\nvalue = 0", "[constants.numerics]\nvalue = 3", "below 3"),
        ("[constants.clock]\nvalue = 0", "[constants.clock]\nvalue = -1", "not be negative"),
        ("[constants.clock]\nvalue = 0", "[constants.clock]\nvalue = nan", "not be negative"),
        ("constants.cols", "constants.columns", "unknown constant 'columns'"),
        ('mark = "verified"', 'mark = "sure"', "must be one of"),
        ('unit = "cell"', 'unit = ""', "must be texts"),
        ('name = "silago1-rtl"', "name = 1", "must be texts"),
        ("description", "colour", "unknown key"),
    ],
)
def test_wrong_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (FOLDER / "silago1-rtl.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(MohaqError, match=message):
        load_target(str(path))


def test_files_that_are_no_target(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no SiLago target 'silago2'"):
        load_target("silago2")
    path = tmp_path / "broken.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(MohaqError, match="cannot read"):
        load_target(str(path))
    text = (FOLDER / "silago1-rtl.toml").read_text(encoding="utf-8")
    start = text.index("[constants.cols]")
    path.write_text(text[:start] + text[text.index("[constants.imem_words]") :], encoding="utf-8")
    with pytest.raises(MohaqError, match="does not define 'cols'"):
        load_target(str(path))
