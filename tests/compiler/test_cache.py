"""The compile cache: what comes out is what went in, whoever else writes, dies or damages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohaq.compiler.driver import fingerprint as prints
from mohaq.compiler.driver.cache import CONTENT, ENTRY, LEFT_OVER, Cache, key_of
from mohaq.compiler.driver.fingerprint import fingerprint, tree_hash

KEY = key_of("test", {"a": 1})


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, told: list[str]) -> Cache:
    return Cache(tmp_path / "cache", 10_000, told.append)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "sub").mkdir(parents=True)
    (made / "a.txt").write_text("a")
    (made / "sub/b.bin").write_bytes(bytes(range(256)))
    (made / "sub/run.sh").write_text("true")
    (made / "sub/run.sh").chmod(0o755)
    return made


def contents(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), os.access(p, os.X_OK))
        for p in folder.rglob("*")
        if p.is_file()
    }


def empty(tmp_path: Path, name: str = "into") -> Path:
    shutil.rmtree(tmp_path / name, ignore_errors=True)
    (tmp_path / name).mkdir()
    return tmp_path / name


def entry_of(cache: Cache, key: str = KEY) -> Path:
    return cache.root / "entries" / key


def test_what_comes_out_is_what_went_in(cache: Cache, folder: Path, tmp_path: Path) -> None:
    assert cache.facts(KEY) is None
    assert not cache.fetch(KEY, empty(tmp_path))
    assert cache.put(KEY, folder, {"program": "p"})
    assert cache.facts(KEY) == {"program": "p"}
    assert cache.fetch(KEY, empty(tmp_path))
    assert contents(tmp_path / "into") == contents(folder)
    assert not cache.fetch(key_of("test", {"a": 2}), empty(tmp_path))


@pytest.mark.parametrize("what", ["file", "missing", "facts", "no entry", "json", "other"])
def test_damage_is_noticed(
    cache: Cache, folder: Path, tmp_path: Path, told: list[str], what: str
) -> None:
    cache.put(KEY, folder, {"program": "p"})
    held = entry_of(cache)
    match what:
        case "file":
            data = bytearray((held / CONTENT / "sub/b.bin").read_bytes())
            data[100] ^= 1
            (held / CONTENT / "sub/b.bin").write_bytes(data)
        case "missing":
            (held / CONTENT / "a.txt").unlink()
        case "facts":
            text = (held / ENTRY).read_text()
            (held / ENTRY).write_text(text.replace('"program": "p"', '"program": "q"'))
        case "no entry":
            (held / ENTRY).unlink()
        case "json":
            (held / ENTRY).write_text('{"schema"')
        case "other":
            shutil.copytree(held, entry_of(cache, "0" * 64))
    key = "0" * 64 if what == "other" else KEY
    assert not cache.fetch(key, empty(tmp_path))
    assert not list((tmp_path / "into").iterdir())
    assert len(told) == 1
    assert "damaged" in told[0]
    assert not entry_of(cache, key).exists()
    # It can be stored again.
    assert cache.put(key, folder, {})
    assert cache.fetch(key, empty(tmp_path))


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 2_500, print)
    data = tmp_path / "data"
    data.mkdir()
    (data / "kilo").write_bytes(bytes(1000))
    now = time.time()
    for age, name in enumerate("abc"):
        key = key_of(name, {})
        if name == "c":
            assert cache.fetch(key_of("a", {}), empty(tmp_path))  # b is the older one now
        cache.put(key, data, {})
        if name != "c":
            os.utime(entry_of(cache, key) / ENTRY, (now - 100 + age, now - 100 + age))
    held = {name for name in "abc" if cache.facts(key_of(name, {})) is not None}
    assert held == {"a", "c"}
    (data / "more").write_bytes(bytes(3000))
    assert cache.put(key_of("d", {}), data, {})  # too large to be kept, and pushes nothing out
    assert cache.facts(key_of("d", {})) is None
    assert cache.facts(key_of("a", {})) is not None


def test_left_overs_of_killed_processes_go(cache: Cache, folder: Path) -> None:
    old, new = cache.root / "work/old", cache.root / "work/new"
    for place in (old, new):
        place.mkdir(parents=True)
        (place / "part").write_text("x")
    past = time.time() - 2 * LEFT_OVER
    os.utime(old, (past, past))
    cache.put(KEY, folder, {})
    assert not old.exists()
    assert new.exists()


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, folder: Path, told: list[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file/cache", 10_000, told.append)
    assert cache.facts(KEY) is None
    assert not cache.fetch(KEY, empty(tmp_path))
    assert not cache.put(KEY, folder, {})
    assert len(told) == 1
    assert "cannot write" in told[0]


HAMMER = """
import shutil, sys
from pathlib import Path
from mohaq.compiler.driver.cache import Cache, key_of
root, folder, into = map(Path, sys.argv[1:])
def contents(place):
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob('*') if p.is_file()}
told, expected, found = [], contents(folder), 0
cache = Cache(root, 1_000, told.append)
for n in range(60):
    key = key_of('hammer', {'n': n % 4})
    cache.put(key, folder, {})
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    if cache.fetch(key, into):
        found += 1
        assert contents(into) == expected
    else:
        assert not list(into.iterdir())
assert told == [], told
assert found
"""


def test_processes_share_it(tmp_path: Path, folder: Path) -> None:
    """Three entries fit, four are wanted, so that both push out what the other reads."""
    words = [str(tmp_path / "cache"), str(folder)]
    workers = [
        subprocess.Popen([sys.executable, "-c", HAMMER, *words, str(tmp_path / f"into{n}")])
        for n in range(2)
    ]
    assert [worker.wait(120) for worker in workers] == [0, 0]


WRITER = """
import sys
from pathlib import Path
from mohaq.compiler.driver.cache import Cache, key_of
n = 0
while True:
    Cache(Path(sys.argv[1]), 10_000_000, print).put(key_of('k', {'n': n}), Path(sys.argv[2]), {})
    n += 1
    print(n, flush=True)
"""


def test_kill_9_leaves_whole_entries(tmp_path: Path, folder: Path, told: list[str]) -> None:
    root = tmp_path / "cache"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 20:
                process.send_signal(signal.SIGKILL)
                break
    cache = Cache(root, 10_000_000, told.append)
    held = sorted((root / "entries").iterdir())
    assert len(held) >= 20
    for place in held:
        assert cache.fetch(place.name, empty(tmp_path))
        assert contents(tmp_path / "into") == contents(folder)
    assert told == []


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=1, max_size=4))
def test_a_key_holds_everything_in_any_order(made_from: dict[str, int]) -> None:
    key = key_of("a", made_from)
    assert key == key_of("a", dict(reversed(made_from.items())))
    assert key != key_of("b", made_from)
    for name in made_from:
        assert key != key_of("a", {**made_from, name: made_from[name] + 1})


def test_names_and_contents_make_the_hash_of_a_tree(folder: Path) -> None:
    first = tree_hash(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/a.pyc").write_text("x")
    assert tree_hash(folder) == first
    (folder / "a.txt").rename(folder / "c.txt")
    renamed = tree_hash(folder)
    (folder / "c.txt").write_text("A")
    assert len({first, renamed, tree_hash(folder)}) == 3


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package outside mohaq that registers a backend."""
    made = tmp_path / "site/plug_for_test"
    made.mkdir(parents=True)
    (made / "__init__.py").write_text("raise RuntimeError('nobody imports this')\n")
    (made / "unit.toml").write_text("a = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    entry = EntryPoint("plug", "plug_for_test:BACKEND", "mohaq.backends")
    monkeypatch.setattr(prints, "entry_points", lambda: EntryPoints([entry]))
    yield made
    sys.modules.pop("plug_for_test", None)


def test_the_code_of_plugins_counts(plugin: Path) -> None:
    first = fingerprint()
    assert fingerprint() == first
    (plugin / "unit.toml").write_text("a = 2\n")
    second = fingerprint()
    (plugin / "new.py").write_text("")
    assert len({first, second, fingerprint()}) == 3


def test_code_that_cannot_be_read_never_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_place: Path) -> str:
        raise PermissionError(13, "not yours")

    monkeypatch.setattr(prints, "tree_hash", broken)
    assert fingerprint() != fingerprint()


def test_versions_of_libraries_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpyish-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    first = fingerprint()
    (tmp_path / "numpyish-1.0.dist-info").rename(tmp_path / "numpyish-1.1.dist-info")
    assert fingerprint() != first


def test_an_entry_says_what_it_is(cache: Cache, folder: Path) -> None:
    cache.put(KEY, folder, {"program": "p"})
    entry = json.loads((entry_of(cache) / ENTRY).read_text())
    assert entry["schema"] == "mohaq.cache/1"
    assert set(entry["files"]) == {"a.txt", "sub/b.bin", "sub/run.sh"}
