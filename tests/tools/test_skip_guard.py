"""The guard itself: an unlisted skip fails a strict run, a listed one does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("listed", "strict", "code"), [(False, True, 1), (True, True, 0), (False, False, 0)]
)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_unlisted_skip_fails(
    tmp_path: Path, listed: bool, strict: bool, code: int, workers: str
) -> None:
    shutil.copy(HERE / "conftest.py", tmp_path)
    (tmp_path / "test_a.py").write_text(
        "import pytest\ndef test_a(): pytest.skip('no luck')\ndef test_b(): pass\n"
    )
    (tmp_path / "allowed_skips.txt").write_text("test_a.py::test_a # reason\n" if listed else "")
    env = {k: v for k, v in os.environ.items() if k not in {"CI", "MOHAQ_STRICT_SKIPS"}}
    if strict:
        env["MOHAQ_STRICT_SKIPS"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", workers, "."],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    assert ("no luck" in done.stdout) is not listed
