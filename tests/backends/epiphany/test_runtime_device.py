"""The runtime compiled for the real instruction set, and how it lies in a core's memory."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from epiphany_sample import write_sample
from epiphany_toolchain import DeviceProgram, compile_device, requires_toolchain

from mohaq.backends.epiphany.analyzer.disassembly import cross_tool

pytestmark = requires_toolchain


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> DeviceProgram:
    folder = tmp_path_factory.mktemp("device")
    write_sample(folder, 4, 4)
    return compile_device(folder, folder / "build")


def test_sections_lie_where_loader_host_and_banks_want_them(program: DeviceProgram) -> None:
    sections = program.sections()
    fixed = {
        "ivt_reset": (0x00, 0x28),
        "workgroup_cfg": (0x28, 40),
        "ext_mem_cfg": (0x50, 8),
        "loader_cfg": (0x58, 16),
        ".mohaq_mailbox": (0x100, 64),
    }
    assert {name: sections[name] for name in fixed} == fixed
    assert sections[".text"][0] == 0x140
    assert sections[".bss"][1] == 0
    assert sections[".data_bank1"] == (0x2000, 4 * 64)
    assert sections[".data_bank2"] == (0x4000, 2 * 2 * 64)
    assert sections[".data_bank3"][0] == 0x6000
    loaded = [s for name, s in sections.items() if not name.startswith(".debug")]
    assert max(address + size for address, size in loaded) <= 0x8000 - 1024


def test_the_program_is_one_that_the_loader_takes(program: DeviceProgram) -> None:
    data = program.path.read_bytes()
    assert data[:4] == b"\x7fELF"
    assert int.from_bytes(data[16:18], "little") == 2  # an executable
    assert int.from_bytes(data[18:20], "little") == 0x1223  # for Epiphany
    assert int.from_bytes(data[24:28], "little") == 0  # from the reset entry on


def test_code_of_the_runtime_is_small(program: DeviceProgram) -> None:
    names = program.symbols()
    assert names["_mohaq_mailbox"] == 0x100
    assert names["_mohaq_group"] == 0x28
    assert program.sections()[".text"][1] < 2500


def test_no_function_switches_the_arithmetic_mode(program: DeviceProgram) -> None:
    functions = program.functions()
    switching = {n for n, code in functions.items() if any("movts config" in c for c in code)}
    assert switching == {"_mohaq_reset"}


def test_start_up_masks_interrupts_and_idles_at_the_end(program: DeviceProgram) -> None:
    text = "\n".join(program.functions()["_mohaq_reset"])
    assert "movts imask" in text
    assert re.search(r"movts iret,r0\nrti\n", text)
    assert re.search(r"idle\nb ", text)
    assert "mov sp,0x7ff0" in text


def test_pushes_are_double_word_stores(program: DeviceProgram) -> None:
    code = program.functions()["_mohaq_push"]
    assert sum(i.startswith("ldrd") for i in code) == 5  # four at once, then single ones
    assert sum(i.startswith("strd") for i in code) == 5


def test_the_barrier_stores_bytes_and_compares_words(program: DeviceProgram) -> None:
    code = program.functions()["_mohaq_barrier"]
    assert sum(i.startswith("strb") for i in code) >= 1
    # It goes to every core at 1 MB and 64 MB distances, and waits without calls or products.
    assert any("movt" in i and i.endswith("0x400") for i in code)
    assert not any(i.startswith(("jalr", "bl ", "imul", "fmul")) for i in code)


def test_dma_starts_by_its_register(program: DeviceProgram) -> None:
    code = program.functions()["_mohaq_dma_start"]
    assert any(i.endswith("0x463") for i in code)  # enable, master, double words, message mode
    assert any(i.endswith("0x500") for i in code)  # of DMA0CONFIG at 0xF0500
    assert any(i.startswith("mov") and i.endswith(",0xf") for i in code)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("bank1 {\n    int8_t more[8192];", "bank 1 overflows"),
        ("bank3 {\n    int8_t more[8160 - 16];", "do not fit bank 3"),
    ],
)
def test_what_does_not_fit_is_not_linked(tmp_path: Path, field: str, message: str) -> None:
    write_sample(tmp_path, 4, 4)
    memory = tmp_path / "device" / "memory.h"
    name = field.partition(" ")[0]
    memory.write_text(memory.read_text().replace(f"{name} {{", field))
    done = _make(tmp_path)
    assert done.returncode != 0
    assert message in done.stderr


def test_too_much_code_is_not_linked(tmp_path: Path) -> None:
    write_sample(tmp_path, 4, 4)
    main = tmp_path / "device" / "main.c"
    main.write_text(
        main.read_text().replace(
            "    mohaq_phase(0);\n", '    __asm__ volatile(".skip 8192");\n    mohaq_phase(0);\n', 1
        )
    )
    done = _make(tmp_path)
    assert done.returncode != 0
    assert "do not fit MOHAQ_CODE_BYTES" in done.stderr


def test_64_cores_and_bigger_banks(tmp_path: Path) -> None:
    write_sample(tmp_path, 8, 8)
    model = tmp_path / "device" / "model.h"
    model.write_text(model.read_text().replace("BANK_BYTES 8192", "BANK_BYTES 16384"))
    sections = compile_device(tmp_path, tmp_path / "build").sections()
    assert sections[".data_bank2"] == (0x8000, 2 * 2 * 256)


def test_a_compiler_without_underscores(tmp_path: Path) -> None:
    """As the eSDK's of 2016: C symbols carry no prefix."""
    write_sample(tmp_path, 4, 4)
    done = _make(tmp_path, f"E_GCC={cross_tool('gcc')} -fno-leading-underscore")
    assert done.returncode == 0, done.stderr
    names = DeviceProgram(tmp_path / "build" / "device.elf").symbols()
    assert names["mohaq_mailbox"] == 0x100
    assert "_mohaq_main" not in names


def _make(folder: Path, compiler: str = "") -> subprocess.CompletedProcess[str]:
    command = ["make", "-s", "-C", str(folder), "device", compiler or f"E_GCC={cross_tool('gcc')}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
