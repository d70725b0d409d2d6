"""The log: round trips, damage, foreign files, other settings, two processes, a full disk."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.engine import Evaluation, Failure, Job, Outcome
from mohaq.compiler.search.record import (
    RECORD_FILE,
    GenerationRow,
    Record,
    context_hash,
    evaluation_key,
    read_evaluations,
    read_header,
)

HEADER = {"model": "abc", "seed": "1", "pymoo": "0.6.2"}
JOB = Job("k1", ((Slot("l0", "weight"), 4),))
GOOD = Outcome("k1", Evaluation((1.0, 0.1 + 0.2), (10.0, 3.0), 1.3 / 13), 2, 0.5)


def test_outcomes_come_back_exactly(tmp_path: Path) -> None:
    bad = Outcome("k2", Failure("raised", "ValueError: é"), 1, 0.1)
    with Record(tmp_path, HEADER) as record:
        record.put(1, JOB, GOOD)
        record.put(1, Job("k2", ()), bad)
        record.end_generation(GenerationRow(1, ((0, 1), (1, 1)), 2, 0.25))
    with Record(tmp_path, HEADER) as record:
        assert record.get("k1") == GOOD
        assert record.get("k2") == bad
        assert record.get("k3") is None
        assert record.count() == 2
    assert read_header(tmp_path / RECORD_FILE) == HEADER
    assert [row[2] for row in read_evaluations(tmp_path / RECORD_FILE)] == ["ok", "raised"]


def test_keys_depend_on_widths_and_context() -> None:
    widths = {Slot("a", "weight"): 4, Slot("a", "input"): 8}
    key = evaluation_key("c", widths)
    assert key == evaluation_key("c", dict(reversed(widths.items())))
    assert key != evaluation_key("d", widths)
    assert key != evaluation_key("c", {**widths, Slot("a", "input"): 4})
    assert context_hash({"a": "1", "b": "2"}) == context_hash({"b": "2", "a": "1"})


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    Record(tmp_path, HEADER).close()
    with pytest.raises(MohaqError) as caught:
        Record(tmp_path, {**HEADER, "seed": "2"})
    assert "seed was 1, now 2" in str(caught.value)
    assert "another output folder" in str(caught.value)
    Record(tmp_path, HEADER).close()  # the lock was given back


def test_a_replay_that_differs_is_refused(tmp_path: Path) -> None:
    with Record(tmp_path, HEADER) as record:
        record.end_generation(GenerationRow(1, ((0,),), 1, 0.5))
        record.end_generation(GenerationRow(1, ((0,),), 1, 0.5))
        with pytest.raises(MohaqError, match="left the recorded path in generation 1"):
            record.end_generation(GenerationRow(1, ((1,),), 1, 0.5))


@pytest.mark.parametrize("content", [b"not a database at all" * 50, b"\x00" * 5000])
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD_FILE).write_bytes(content)
    with pytest.raises(MohaqError, match="damaged"):
        Record(tmp_path, HEADER)


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    with Record(tmp_path, HEADER) as record:
        for n in range(300):
            record.put(1, Job(f"k{n}", ()), Outcome(f"k{n}", GOOD.result))
    path = tmp_path / RECORD_FILE
    data = bytearray(path.read_bytes())
    assert len(data) > 20000
    data[8192:16384] = b"\xff" * 8192
    path.write_bytes(bytes(data))
    with pytest.raises(MohaqError, match="damaged"):
        Record(tmp_path, HEADER)


def test_a_foreign_base_is_refused(tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / RECORD_FILE)
    base.execute("CREATE TABLE mine (x)")
    base.commit()
    base.close()
    with pytest.raises(MohaqError, match="not the log of a search"):
        Record(tmp_path, HEADER)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    Record(tmp_path, HEADER).close()
    base = sqlite3.connect(tmp_path / RECORD_FILE)
    base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(MohaqError, match="schema 99"):
        Record(tmp_path, HEADER)


def test_an_empty_file_is_a_fresh_log(tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).touch()
    with Record(tmp_path, HEADER) as record:
        assert record.count() == 0


def test_a_log_killed_before_its_tables_is_a_fresh_log(tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / RECORD_FILE)
    base.execute("PRAGMA journal_mode = WAL")
    base.close()
    assert (tmp_path / RECORD_FILE).stat().st_size > 0
    with Record(tmp_path, HEADER) as record:
        assert record.count() == 0
    assert read_header(tmp_path / RECORD_FILE) == HEADER


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from mohaq.compiler.search.record import Record\n"
        "from mohaq.compiler.diagnostics import MohaqError\n"
        "try:\n    Record(Path(sys.argv[1]), {})\n"
        "except MohaqError as error:\n    print(error); sys.exit(7)\n"
    )
    with Record(tmp_path, HEADER):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 7
    assert "another search is running" in done.stdout
    Record(tmp_path, HEADER).close()


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    def fill(record: Record) -> None:
        for n in range(2000):
            record.put(1, Job(f"k{n}", ()), Outcome(f"k{n}", GOOD.result))

    with Record(tmp_path, HEADER) as record:
        record._base.execute("PRAGMA max_page_count = 12")
        with pytest.raises(MohaqError, match="cannot write the log") as caught:
            fill(record)
    assert "full" in str(caught.value)
    assert "make room" in str(caught.value)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MohaqError, match="cannot write into the run folder"):
        Record(tmp_path / "file" / "run", HEADER)
