"""The host program against a small fake of the eSDK's library: calls in order, bytes in place."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from epiphany_sample import Array, Sample, write_sample

from mohaq.backends.epiphany.simulator import missing_tools

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason="needs a C compiler and make")

FAKE = Path(__file__).parents[2] / "data" / "epiphany_ehal"
CORES, UNITS = 16, 64


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    sample = write_sample(tmp_path_factory.mktemp("host"), 4, 4)
    home = sample.folder / "esdk" / "tools" / "host"
    (home / "lib").mkdir(parents=True)
    (home / "include").symlink_to(FAKE)
    compile_ = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", str(FAKE / "fake.c")]
    subprocess.run([*compile_, "-o", str(home / "lib" / "libe-hal.so")], check=True)
    subprocess.run(
        [*compile_[:3], "-x", "c", "/dev/null", "-o", str(home / "lib" / "libe-loader.so")],
        check=True,
    )
    subprocess.run(
        ["make", "-s", "-C", str(sample.folder), "host", f"EPIPHANY_HOME={sample.folder}/esdk"],
        check=True,
    )
    (sample.folder / "build" / "device.elf").write_bytes(b"")
    return sample


def run(
    sample: Sample, tmp_path: Path, *words: str, **fake: int
) -> tuple[subprocess.CompletedProcess[str], tuple[Array, Array]]:
    x, h0 = sample.inputs(2, 1)
    header = np.array([2, 1], "<u4").tobytes()
    data = header + x.astype("<i4").tobytes() + h0.astype("<i4").tobytes()
    (tmp_path / "in.bin").write_bytes(data)
    environment = {**os.environ, "EPIPHANY_HOME": f"{sample.folder}/esdk", "FAKE_ROWS": "4"}
    environment |= {name: str(value) for name, value in fake.items()}
    command = [f"{sample.folder}/run.sh", str(tmp_path / "in.bin"), str(tmp_path / "out.bin")]
    done = subprocess.run(
        ["sh", *command, *words], capture_output=True, text=True, check=False, env=environment
    )
    return done, (x, h0)


def test_calls_come_in_order_and_bytes_arrive(built: Sample, tmp_path: Path) -> None:
    x_plane = 128 + UNITS * UNITS
    y_plane = x_plane + 2 * UNITS * (2 + 1)
    share = 2 * 2 * UNITS // CORES
    fake = {"FAKE_FROM": x_plane, "FAKE_TO": y_plane, "FAKE_BYTES": share}
    done, (x, _) = run(built, tmp_path, "--verbose", **fake)
    assert done.returncode == 0, done.stderr
    order = ["init", "reset", "alloc", "open", "load", "write dram", "write core", "start", "go"]
    lines = done.stdout.splitlines()
    assert lines[: len(order)] == order
    assert lines[-4:] == ["stop", "close", "free", "finalize"]
    assert "0 clock cycles on core 15, the slowest" in lines
    out = np.fromfile(tmp_path / "out.bin", "<i4")
    np.testing.assert_array_equal(out[: x.size], x.ravel())
    assert not out[x.size :].any()  # planes that no core wrote are zero


def test_a_fault_is_reported(built: Sample, tmp_path: Path) -> None:
    done, _ = run(built, tmp_path, "--timeout", "1", FAKE_FAULT=1)
    assert done.returncode == 2
    assert "core 0: memory fault at 0x" in done.stderr


def test_silence_is_reported(built: Sample, tmp_path: Path) -> None:
    done, _ = run(built, tmp_path, "--timeout", "1", FAKE_MUTE=1)
    assert done.returncode == 2
    assert "no end after 1 s: 16 of 16 cores still run" in done.stderr


def test_a_small_chip_is_refused(built: Sample, tmp_path: Path) -> None:
    done, _ = run(built, tmp_path, FAKE_ROWS=2)
    assert done.returncode == 2
    assert "the chip has 2 x 2 cores, the program is for 4 x 4" in done.stderr


def test_a_missing_program_and_counters_are_refused(built: Sample, tmp_path: Path) -> None:
    done, _ = run(built, tmp_path, "--program", "nowhere.elf")
    assert (done.returncode, "cannot read 'nowhere.elf'" in done.stderr) == (2, True)
    done, _ = run(built, tmp_path, "--counters", "c.json")
    assert (done.returncode, "only the stand-in counts" in done.stderr) == (2, True)


def test_run_sh_says_how(built: Sample) -> None:
    done = subprocess.run(
        ["sh", f"{built.folder}/run.sh"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "usage:" in done.stderr
