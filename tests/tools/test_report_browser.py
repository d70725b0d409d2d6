"""The search report in a headless browser: everything is drawn, nothing fails."""

import html
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fronts import front_data, write_front

from mohaq.tools.report.load import load_report
from mohaq.tools.report.page import render

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1600",
    "--virtual-time-budget=8000",
    "--dump-dom",
)
HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)


@pytest.fixture(scope="module")
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("no chromium, chromium-browser or google-chrome on the path")


def dom(chromium: str, tmp_path: Path, data: dict[str, Any], script: str = "") -> str:
    """The document after its scripts, and after `script`."""
    report = load_report(write_front(tmp_path / "run", data), chosen="s01")
    return show(chromium, tmp_path, render(report), script)


def show(chromium: str, tmp_path: Path, text: str, script: str) -> str:
    page = tmp_path / "report.html"
    page.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
    done = subprocess.run(
        [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def opening(document: str) -> str:
    return document[document.index("<html") : document.index("<head")]


def drawn(document: str) -> None:
    assert 'data-ready="true"' in opening(document)
    assert "data-errors" not in opening(document)


def test_everything_is_drawn(chromium: str, tmp_path: Path) -> None:
    found = dom(chromium, tmp_path, front_data())
    drawn(found)
    assert found.count('class="main-svg"') >= 3
    for point in ("s00", "s01", "s02", "float", "uniform 4", "uniform 16"):
        assert f'data-point="{point}"' in found
    assert "--assignment" in found
    assert "assignments/s01.json" in found
    assert 'class="w4"' in found


def test_picking_a_row_and_sorting(chromium: str, tmp_path: Path) -> None:
    script = """
    document.querySelector('tr[data-point="s02"]').dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
    document.querySelectorAll("#front th button")[1].click();
    document.querySelectorAll("#front th button")[1].click();
    [...document.querySelectorAll("#tabs button")].at(-1).click();
    """
    found = dom(chromium, tmp_path, front_data(), script)
    drawn(found)
    assert "assignments/s02.json" in found
    assert 'aria-sort="descending"' in found
    assert found.index('data-point="s02"') < found.index('data-point="s00"')
    assert 'class="subplot x6y6"' in found


def test_picking_in_the_plots(chromium: str, tmp_path: Path) -> None:
    script = """
    const gd = (id) => document.getElementById(id);
    gd("pareto").emit("plotly_click", { points: [{ customdata: gd("pareto").data[1].customdata[2] }] });
    document.body.dataset.first = document.querySelector("tr.picked").dataset.point;
    gd("bits").emit("plotly_click", { points: [{ customdata: gd("bits").data[0].customdata[0][0] }] });
    """
    found = dom(chromium, tmp_path, front_data(), script)
    drawn(found)
    assert 'data-first="s02"' in found
    assert "assignments/s00.json" in found


def test_hostile_names_do_nothing(chromium: str, tmp_path: Path) -> None:
    found = dom(chromium, tmp_path, front_data((HOSTILE, "pr1"), model=HOSTILE))
    drawn(found)
    assert "<title>taken" not in found
    assert "<img src=" not in found
    assert html.escape(HOSTILE, quote=False) in found


@pytest.mark.parametrize("names", [("size",), ("size", "error")])
def test_few_objectives(chromium: str, tmp_path: Path, names: tuple[str, ...]) -> None:
    data = front_data()
    data["objectives"] = [{"name": n, "unit": {"size": "bytes"}.get(n, "share")} for n in names]
    drawn(dom(chromium, tmp_path, data))


def test_the_slider_goes_back_in_time(chromium: str, tmp_path: Path) -> None:
    """In generation 0 one point was known; a better one and the rest came in generation 1."""
    data = front_data()
    data["evaluated"][2]["generation"] = 0
    script = """
    const slider = document.getElementById("generation"), gd = document.getElementById("pareto");
    const shown = () => gd.data[1].customdata.join(" ");
    document.body.dataset.last = shown();
    slider.value = 0;
    slider.dispatchEvent(new Event("input"));
    document.body.dataset.first = shown();
    document.body.dataset.lines = document.getElementById("parallel").data[1].customdata.join(" ");
    """
    found = dom(chromium, tmp_path, data, script)
    drawn(found)
    assert 'data-last="s00 s01 s02"' in found
    assert 'data-first="s02"' in found
    assert f'data-lines="{" ".join(["s02"] * 6)} "' in found
    assert "0 of 1: 1 on the front, 0 behind it, hypervolume 0.5000" in found


def test_parallel_coordinates(chromium: str, tmp_path: Path) -> None:
    """An axis an objective and two of mean bits; the best value is at the lower end."""
    script = """
    const gd = document.getElementById("parallel"), front = gd.data[1];
    document.body.dataset.axes = gd.layout.xaxis.ticktext.join("|");
    const first = front.y.slice(0, 6).map((y) => y.toFixed(2)).join(" ");
    document.body.dataset.line = first;
    gd.emit("plotly_click", { points: [{ customdata: "s02" }] });
    """
    data = front_data()
    data["objectives"][1] = {"name": "latency", "unit": "s", "direction": "max"}
    found = dom(chromium, tmp_path, data, script)
    drawn(found)
    axes = "FER [%]|latency (higher is better) [µs]|energy [µJ]|size [KiB]"
    assert f'data-axes="{axes}|mean weight bits|mean input bits"' in found
    # s00: 8 and 4 bits, 0.19; the axes run from the float error and to the uniform 16.
    line = (0.01 / 0.17, 1 - (12 - 6) / 26, (144 - 36) / (1024 - 36), 6 / 26, 3 / 13, 3 / 13)
    assert f'data-line="{" ".join(f"{v:.2f}" for v in line)}"' in found
    assert "assignments/s02.json" in found


def test_a_point_with_a_beacon_compiles_the_retrained_program(
    chromium: str, tmp_path: Path
) -> None:
    data = front_data()
    data["beacons"] = [{"hash": "77" * 32, "program": "beacons/7777777777777777"}]
    data["front"][1]["beacon"] = "77" * 32
    found = dom(chromium, tmp_path, data)
    drawn(found)
    assert f"mohaq compile {tmp_path}/run/beacons/7777777777777777" in found
    assert "of a beacon" in found


def test_the_costs_of_a_point_by_layer(chromium: str, tmp_path: Path) -> None:
    """The tables change with the point; one without an estimate says so."""
    folder = write_front(tmp_path / "run", front_data())
    costs = {"cycles": 100, "seconds": 4e-5, "joules": 6e-6, "counters": {"mac_passes": 7}}
    half = {"cycles": 50, "seconds": 2e-5, "joules": 3e-6, "counters": {"mac_passes": 3}}
    estimate = {
        "workload": {"frames": 258},
        "size_bytes": 2048,
        "total": costs,
        "layers": {"l0": half, "pr1": half},
        "weight_bytes": {"l0": 1024.0, "pr1": 512.0},
        "latency_unit": "s",
    }
    report = load_report(folder, chosen="s01", estimates={"s01": estimate})
    script = """
    document.body.dataset.table = [...document.querySelectorAll("#breakdown .estimate tr")]
      .map((row) => [...row.children].map((c) => c.textContent).join(" ")).join("|");
    document.body.dataset.counts = document.querySelector("#breakdown details table").textContent;
    document.querySelector('tr[data-point="s02"]').click();
    """
    found = show(chromium, tmp_path, render(report), script)
    drawn(found)
    rows = "l0 20.00 50.00 3.000 1.000|pr1 20.00 50.00 3.000 0.5000|all 40.00 100.0 6.000 1.500"
    head = "layer latency [µs] share [%] energy [µJ] weights [KiB]"
    assert f'data-table="{head}|{rows}"' in found
    assert 'data-counts="layermac passesl03pr13all7"' in found
    assert "s02: no estimate by layer" in found
