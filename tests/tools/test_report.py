"""The search report: reading front.json, the page's data, the page's text."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fronts import front_data, write_front
from programs import calibrated
from searches import labelled
from typer.testing import CliRunner

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.search import search
from mohaq.tools.cli import app
from mohaq.tools.report.load import load_report
from mohaq.tools.report.model import Objective, Point, Report
from mohaq.tools.report.page import render, script_safe

HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_front(tmp_path / "run", front_data())


def test_payload_has_readable_units(run: Path) -> None:
    data = load_report(run).payload()
    assert [(o["label"], o["unit"]) for o in data["objectives"]] == [
        ("FER", "%"),
        ("latency", "µs"),
        ("energy", "µJ"),
        ("size", "KiB"),
    ]
    first = data["front"][0]
    assert first["values"] == pytest.approx([19.0, 120.0, 144.0, 24.0])
    assert first["interval"] == pytest.approx([18.0, 40.0])
    assert data["slots"] == [["l0", "weight"], ["l0", "input"], ["pr1", "weight"], ["pr1", "input"]]
    assert first["bits"] == [8, 8, 4, 4]
    assert data["hypervolume"] == [[0, 0.5], [1, 0.6]]


def test_points_behind_the_front_are_feasible_and_listed_once(run: Path) -> None:
    data = load_report(run).payload()
    assert [p["bits"] for p in data["evaluated"]] == [[16, 16, 16, 16]]
    assert any("1 evaluated candidates broke" in note for note in data["notes"])


def test_float_has_an_error_only(run: Path) -> None:
    row = load_report(run).payload()["references"][0]
    assert row["name"] == "float"
    assert row["values"] == [pytest.approx(18.0), None, None, None]
    assert set(row["bits"]) == {None}


def test_layers_may_have_dots_in_their_names(tmp_path: Path) -> None:
    run = write_front(tmp_path, front_data(("encoder.layers.0", "b")))
    assert load_report(run).front[0].bits == {
        "encoder.layers.0": {"weight": 8, "input": 8},
        "b": {"weight": 4, "input": 4},
    }


def test_assignments_are_named_by_the_run_folder(run: Path) -> None:
    assert load_report(run).front[1].assignment == (run / "assignments/s01.json").as_posix()


def test_chosen_and_extra_errors(run: Path) -> None:
    extra = {"s01": {"test fer": 0.25}, "uniform 4": {"test fer": 0.3}, "other": {"test fer": 0.4}}
    data = load_report(run, chosen="s01", extra=extra).payload()
    assert data["chosen"] == "s01"
    assert data["extra"] == ["test fer [%]"]
    shown = {p["name"]: p["extra"] for p in (*data["front"], *data["references"]) if p["extra"]}
    assert shown == {
        "s01": {"test fer [%]": 25.0},
        "uniform 4": {"test fer [%]": 30.0},
        "other": {"test fer [%]": 40.0},
    }
    with pytest.raises(MohaqError, match="no point 's9'"):
        load_report(run, chosen="s9")


def test_other_metrics_are_no_percentages() -> None:
    assert Objective.of("error", "share", 0.1, "mse") == Objective("error", "error (mse)", "")
    assert Objective.of("error", "share", 0.1, "per") == Objective("error", "PER", "%", 100.0)


def test_units_of_small_and_zero_values() -> None:
    assert Objective.of("latency", "s", 0.02).unit == "ms"
    assert Objective.of("energy", "J", 3.0).unit == "J"
    assert Objective.of("energy", "J", 0.0).unit == "J"
    assert Objective.of("energy", "J", 1e-20).unit == "pJ"


def test_values_must_be_finite() -> None:
    objective = Objective("error", "error", "")
    bad = Point("a", {"error": float("nan")}, {})
    with pytest.raises(MohaqError, match="not finite"):
        Report("t", (), (objective,), (bad,)).payload()
    with pytest.raises(MohaqError, match="front is empty"):
        Report("t", (), (objective,), ()).payload()


def _put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        at: Any = data
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


def _drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        at: Any = data
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_put("schema", value="mohaq.front/2"), "no search result"),
        (_drop("schema"), "no search result"),
        (_drop("metric"), "has no 'metric'"),
        (_put("metric", value="fer"), "metric must be an object"),
        (_put("front", value={}), "front must be a list"),
        (_put("front", value=[]), "found no feasible point"),
        (_put("front", 0, value=7), r"front\[0\] must be an object"),
        (_drop("front", 1, "id"), r"front\[1\] has no 'id'"),
        (_put("front", 1, "id", value="s00"), "two points are called 's00'"),
        (_drop("front", 0, "objectives", "energy"), r"front\[0\].objectives has no 'energy'"),
        (_put("front", 0, "objectives", "size", value="big"), "size must be a number"),
        (_put("front", 0, "objectives", "size", value=True), "size must be a number"),
        (_put("front", 0, "objectives", "size", value=float("nan")), "size must be finite"),
        (_put("front", 0, "objectives", "size", value=10**400), "size must be finite"),
        (_put("front", 0, "widths", value={"l0": 4}), 'must be named "layer.slot"'),
        (_put("front", 0, "widths", "l0.weight", value=4.5), "must be a whole number"),
        (_put("front", 0, "widths", "l0.weight", value=0), "at least 1 bit"),
        (_put("front", 0, "error_interval", value=[0.1]), "must have two ends"),
        (_put("front", 0, "assignment", value=3), "assignment must be a text"),
        (_put("objectives", value=[]), "objectives is empty"),
        (_put("generations", 0, "hypervolume", value=None), "hypervolume must be a number"),
        (_put("seed", value="3"), "seed must be a whole number"),
    ],
)
def test_malformed_results(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    data = front_data()
    change(data)
    with pytest.raises(MohaqError, match=message):
        load_report(write_front(tmp_path, data))


@pytest.mark.parametrize("data", [[], "text", None, 3, {}])
def test_other_json(tmp_path: Path, data: Any) -> None:
    with pytest.raises(MohaqError, match=r"must be an object|no search result"):
        load_report(write_front(tmp_path, data))


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no such search result"):
        load_report(tmp_path)
    (tmp_path / "front.json").write_text("{")
    with pytest.raises(MohaqError, match="not JSON"):
        load_report(tmp_path)


class Elements(HTMLParser):
    """Start tags with their attributes, and what scripts hold."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    found = Elements()
    found.feed(page)
    return found.tags


def test_the_page_loads_nothing(run: Path) -> None:
    page = render(load_report(run))
    assert 'src="http' not in page
    assert "%%" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    for tag, attributes in elements(page):
        assert tag not in {"link", "iframe", "img", "object", "embed"}
        assert not {"src", "href"} & set(attributes)
    policy = next(a["content"] for t, a in elements(page) if "http-equiv" in a and t == "meta")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    plain = render(load_report(write_front(tmp_path / "a", front_data())))
    data = front_data((HOSTILE, "%%JS%%"), model=HOSTILE)
    page = render(load_report(write_front(tmp_path / "b", data)))
    assert [t for t, _ in elements(page)] == [t for t, _ in elements(plain)]
    assert HOSTILE not in page
    assert page.count('"use strict";\nconst data') == 1


def test_script_safe() -> None:
    assert script_safe('"<!--&\u2028"') == '"\\u003c!--\\u0026\\u2028"'


def test_the_command_writes_the_page_of_a_search(tmp_path: Path) -> None:
    program = calibrated()
    data = labelled(program)
    run = tmp_path / "run"
    found = search(
        program,
        target="reference",
        data=data,
        out=run,
        generations=2,
        population=6,
        offspring=4,
        objectives=("error", "size"),
    )
    done = CliRunner().invoke(app, ["report", str(run), "--chosen", "s00"])
    assert done.exit_code == 0, done.output
    assert "report.html" in done.output
    assert (run / "report.html").stat().st_size > 1_000_000
    estimates = json.loads((run / "estimates.json").read_text())
    assert len(estimates["points"]) == len(found.front)
    for row, point in zip(estimates["points"], found.front, strict=True):
        assert row["estimate"]["size_bytes"] == point.objectives["size"]
        assert list(row["estimate"]["layers"]) == [op.label for op in program.layers()]
    before = (run / "estimates.json").read_bytes()
    again = CliRunner().invoke(app, ["report", str(run)])  # from the file
    assert again.exit_code == 0
    assert "estimate point" not in again.output
    assert (run / "estimates.json").read_bytes() == before
    (run / "target.toml").write_text("nothing")
    assert CliRunner().invoke(app, ["report", str(run), "--no-estimates"]).exit_code == 0
    report = load_report(run)
    assert len(report.front) == len(found.front)
    assert list(report.front[0].bits) == [op.label for op in program.layers()]


def test_the_command_explains_what_is_missing(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 2
    assert "no such search result" in done.output


def test_generations_and_beacons_are_in_the_payload(tmp_path: Path) -> None:
    data = front_data()
    data["beacons"] = [{"hash": "77" * 32, "program": "beacons/77"}]
    data["front"][0]["beacon"] = "77" * 32
    data["evaluated"][3]["generation"] = 0
    found = load_report(write_front(tmp_path, data)).payload()
    assert [p["generation"] for p in (*found["front"], *found["evaluated"])] == [1, 1, 1, 0]
    assert found["front"][0]["program"] == (tmp_path / "beacons/77").as_posix()
    assert ["beacons", "1"] in found["facts"]
    data["front"][0]["beacon"] = "88" * 32
    with pytest.raises(MohaqError, match=r"front\[0\].beacon is none of the beacons"):
        load_report(write_front(tmp_path, data))
