"""What the evidence benchmark makes of its rows: means, paired differences, intervals over prompts and seeds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from judgeloop.config.user_functions import load_module

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return load_module(BENCHMARKS / "evidence_tables.py", "evidence")


def row(model: str, prompt: str, passes: bool, seed: int = 1, arm: str = "main", **changes: Any) -> dict[str, Any]:
    given = {"arm": arm, "seed": seed, "model": model, "prompt": prompt, "rule": "title", "passes": passes}
    return {**given, "passes on topic": passes, "finished": True, "tokens": 10, "score": 3.0, **changes}


def test_means_are_over_the_responses_of_a_prompt(tables: ModuleType) -> None:
    rows = [row("M1", "a", True), row("M1", "a", False), row("M1", "b", True), row("M1", "c", True, rule="postscript")]
    assert tables.cells(rows, "passes") == {("main", "M1"): {1: {"a": 0.5, "b": 1.0}}}
    assert tables.cells(rows, "held-out rule") == {("main", "M1"): {1: {"c": 1.0}}}
    off = [row("M1", "a", True, **{"passes on topic": False}), row("M1", "a", True)]
    assert tables.cells(off, "passes on topic") == {("main", "M1"): {1: {"a": 0.5}}}


def test_intervals_by_hand(tables: ModuleType) -> None:
    found = tables.over_seeds([0.5, 0.7])  # mean 0.6, standard error 0.1, t = 12.706 with one degree of freedom
    assert (found.value, found.n) == (pytest.approx(0.6), 2)
    assert (found.low, found.high) == (pytest.approx(0.6 - 1.2706, abs=1e-4), pytest.approx(0.6 + 1.2706, abs=1e-4))
    assert tables.over_seeds([0.5]) is None
    both = tables.over_prompts({1: {"a": 0.0, "b": 1.0}, 2: {"a": 0.5, "b": 1.0}})
    assert (both.value, both.n) == (0.625, 2)
    assert 0.25 <= both.low < both.high <= 1
    assert tables.difference({1: {"a": 1.0}, 2: {"a": 1.0}}, {1: {"a": 0.25}}) == {1: {"a": 0.75}}


def test_the_tables_pair_models_and_lend_m1(
    tables: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        row(model, f"p{number}", number < passing, seed, arm)
        for arm, model, passing in (("main", "M1", 5), ("main", "M2", 8), ("random", "M2", 5))
        for seed in (1, 2)
        for number in range(10)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    known = {(r["arm"], r["seed"], r["model"]) for r in rows}
    models = [
        {
            "arm": arm, "seed": seed, "model": model, "judge_accuracy": None, "parse_rate": 1.0, "tie_rate": 0.0,
            "mean_score": {"value": 3.0}, "distinct_openings": 0.5, "pairs": None,
        }
        for arm, seed, model in sorted(known)
    ]  # fmt: skip
    (tmp_path / "models.jsonl").write_text("".join(json.dumps(m) + "\n" for m in models), encoding="utf-8")
    tables.show(tmp_path, {"main": "the loop", "random": "a coin"}.__getitem__)
    lines = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    first = {(cells[1].strip(), cells[2].strip()): cells for cells in reversed(lines) if len(cells) == 9}
    assert first["main", "M2"][4].strip().startswith("0.800 (")
    assert first["main", "M2"][5].strip() == "0.800 (0.800 to 0.800)"
    assert first["main", "M2"][6].strip().startswith("+30.0 (")
    assert first["random", "M2"][6].strip().startswith("+0.0 (")
    compared = {cells[1].strip(): cells for cells in lines if len(cells) == 7 and "−" in cells[1]}
    assert set(compared) == {"main M2 − main M1", "random M2 − random M1", "main M2 − random M2"}
    ours = compared["main M2 − random M2"]
    assert (ours[2].strip(), ours[3].strip()[:7]) == ("2", "+30.0 (")
    assert ours[4].strip() == "+30.0 (+30.0 to +30.0)"
    assert ours[5].strip().startswith("1: +30.0 (")
    assert "; 2: +30.0 (" in ours[5]
    assert (tmp_path / "evidence.html").stat().st_size > 1_000_000  # draws without the network


def test_a_mean_over_fewer_seeds_is_no_point_of_a_line(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Any] = []
    monkeypatch.setattr("plotly.graph_objects.Figure.write_html", lambda self, *_, **__: figures.append(self))
    low, high = {"a": 0.2, "b": 0.4}, {"a": 0.8, "b": 1.0}
    found = {
        ("main", "M0"): {1: low}, ("main", "M1"): {1: low, 2: low}, ("main", "M2"): {1: low, 2: high},
        ("imitation", "M2"): {1: low, 2: high}, ("imitation", "M3"): {2: high}, ("oracle", "M2"): {1: high},
    }  # fmt: skip
    arms = {"main": "the loop", "imitation": "no contrast", "oracle": "the checkers"}
    tables.draw(found, list(arms), arms.__getitem__, tmp_path / "evidence.html")
    lines = {trace.name: [round(x) for x in trace.x] for trace in figures[0].data if trace.name}
    assert lines == {"main: the loop": [0, 1, 2], "imitation: no contrast": [0, 1, 2]}


def test_an_arm_is_lent_the_first_models_of_its_own_seeds(tables: ModuleType) -> None:
    one, two = {"a": 0.5}, {"a": 1.0}
    found = {("main", "M1"): {1: one, 2: two}, ("random", "M2"): {2: two}, ("oracle", "M2"): {3: one}}
    lent = tables.with_first_models(found, ["main", "random", "oracle"], "main")
    assert lent["random", "M1"] == {2: two}
    assert ("oracle", "M1") not in lent
    assert lent["main", "M1"] == {1: one, 2: two}


def test_the_judge_is_right_where_it_scores_the_passing_response_higher(tables: ModuleType) -> None:
    rows = [
        row("M1", "a", True, score=4.0), row("M1", "a", False, score=1.0), row("M1", "a", False, score=4.0),
        row("M1", "b", True, score=1.0), row("M1", "b", True, score=2.0),  # nothing to tell apart
        row("M1", "c", False, score=None), row("M1", "c", True, score=1.0),
        row("M1", "a", False, score=0.0, seed=2),  # another seed's response is not compared with those
    ]  # fmt: skip
    assert tables.judge_right(rows) == {("main", "M1"): 0.75}


def test_models_that_arms_have_in_common_are_read_for_each(tables: ModuleType, tmp_path: Path) -> None:
    """And the tenth model comes after the second, compared with the ninth."""
    rows = [row(f"M{t}", "a", t > 5, 1, "plain") for t in (1, 2, 9, 10)] + [row("M2", "a", True, 1, "best_only")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    models = [{"arm": "scir", "seed": 1, "model": "M9", "same_as": "plain"}]
    (tmp_path / "models.jsonl").write_text("".join(json.dumps(m) + "\n" for m in models), encoding="utf-8")
    found, _ = tables.read_measured(tmp_path)
    passing = tables.cells(found, "passes")
    assert passing["scir", "M9"] == {1: {"a": 1.0}}
    assert passing["imitation", "M2"] == {1: {"a": 1.0}}


def test_the_tenth_model_follows_the_ninth(
    tables: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(f"M{t}", name, t > 9 or name == "b", 1, "plain") for t in (1, 2, 9, 10) for name in "abc"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    (tmp_path / "models.jsonl").touch()
    tables.show(tmp_path, lambda arm: arm)
    shown = capsys.readouterr().out.splitlines()
    order = [line.split(" | ")[1] for line in shown if line.startswith("| plain | M")]
    assert order[:4] == ["M1", "M2", "M9", "M10"]
    assert any(line.startswith("| plain M10 − plain M9 | 1 | +66.7 ") for line in shown)
    with pytest.raises(SystemExit, match="--against other"):
        tables.show(tmp_path, lambda arm: arm, "other")


def test_some_arms_alone_are_shown_with_what_they_share(
    tables: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(model, name, True, 1, arm) for arm in ("plain", "scir") for model in ("M1", "M2") for name in "abc"]
    rows = [found for found in rows if (found["arm"], found["model"]) != ("scir", "M1")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    shared = {"arm": "scir", "seed": 1, "model": "M1", "same_as": "plain"}
    score: dict[str, Any] = {"judge_accuracy": None, "mean_score": None, "pairs": None, "parse_rate": 1.0}
    score |= {"tie_rate": None, "distinct_openings": 0.5}
    (tmp_path / "models.jsonl").write_text(json.dumps({**shared, **score}) + "\n", encoding="utf-8")
    tables.show(tmp_path, lambda arm: arm, only=["scir"])
    shown = capsys.readouterr().out
    assert "| scir | M1 | 1 |" in shown
    assert "plain" not in shown
