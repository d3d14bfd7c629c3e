"""Ground truth in summary, table and page: there where the user's own code measured it, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from plotly import graph_objects
from rich.console import Console

from judgeloop.report.figures import figures
from judgeloop.report.page import render
from judgeloop.report.summary import summarise
from judgeloop.report.terminal import summary_table
from judgeloop.report.truth import truth_table
from judgeloop.report.wording import points
from report.make_run import HOSTILE, make_run
from report.test_page import Page


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "checked", improving=False, checked=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "plain")


def table(run: Path) -> str:
    console = Console(width=110)
    with console.capture() as shown:
        console.print(summary_table(summarise(run)))
    return shown.get()


def test_percentage_points() -> None:
    assert points({"value": 0.061, "low": 0.029, "high": 0.094, "n": 64}) == "+6.1 (2.9 to 9.4)"
    assert points({"value": -0.5, "low": -0.5, "high": -0.5, "n": 1}) == "−50.0 (n = 1)"
    assert points(None) == "–"


def test_the_summary_has_the_headline_and_everything_beside_it(checked: Path) -> None:
    summary = summarise(checked)
    m0, m1, m2, _ = (model["truth"] for model in summary["models"])
    assert (m0["measure"], m0["previous"], m0["difference"]) == ("passes", None, None)
    assert m0["value"] == m0["measures"]["passes"]
    assert m1["previous"] == "M0"
    assert m1["difference"]["low"] > 0
    assert m2["difference"]["value"] == pytest.approx(m2["value"]["value"] - m1["value"]["value"])
    assert m2["judge_accuracy"]["low"] > 0.5
    assert list(m2["measures"]) == ["passes", "on topic"]
    assert len(m2["groups"]) == 2
    assert [w["model"] for w in summary["warnings"] if w["kind"] == "reward hacking"] == ["M2"]


def test_a_run_is_complete_when_its_checks_are(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", checked=True)
    assert summarise(run)["complete"] is True
    (run / "M3" / ".checks.done.json").unlink()
    summary = summarise(run)
    assert summary["complete"] is False
    (run / "M3" / "checks.json").write_text('{"measures": ', encoding="utf-8")
    damaged = summarise(run)
    assert damaged["models"][3]["truth"] is None
    assert "M3/checks.json is damaged." in [warning["text"] for warning in damaged["warnings"]]
    assert "–" in table(run)


def test_the_table_shows_value_and_difference(checked: Path) -> None:
    m1 = summarise(checked)["models"][1]["truth"]
    shown = table(checked)
    assert "(passes)" in shown
    assert f"{m1['value']['value']:.0%} (" in shown
    change, _, bounds = points(m1["difference"]).partition(" ")
    assert f"{change} vs M0" in shown
    assert bounds in shown
    assert "time" in shown  # the last column has room


def test_the_page_shows_table_and_figure(checked: Path) -> None:
    page = Page(render(checked))
    assert "truth: passes" in page.text
    assert "Ground truth by your own code" in page.text
    assert "judge against truth" in page.text
    assert f"passes, rule no comma {HOSTILE}" in page.text  # escaped: text, not a tag
    assert "while passes did not rise" in page.text
    (figure,) = [f for f in figures(summarise(checked)["models"], [], "dpo") if f["id"] == "truth"]
    graph_objects.Figure(data=figure["data"], layout=figure["layout"])
    truth, score = figure["data"]
    assert truth["x"] == score["x"] == ["M0", "M1", "M2", "M3"]
    assert truth["y"] == [model["truth"]["value"]["value"] for model in summarise(checked)["models"]]
    assert score["yaxis"] == "y2"
    assert all(high >= 0 for high in truth["error_y"]["array"])


def test_nothing_of_it_where_nothing_was_checked(plain: Path) -> None:
    models = summarise(plain)["models"]
    assert [model["truth"] for model in models] == [None] * 4
    assert truth_table(models) is None
    assert "truth" not in table(plain)
    assert "truth" not in [figure["id"] for figure in figures(models, [], "dpo")]
    assert "truth:" not in Page(render(plain)).text
