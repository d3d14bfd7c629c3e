"""What a run ends with on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

import judgeloop
from judgeloop.report.metrics import headline_metrics
from judgeloop.report.plot import print_plot
from judgeloop.report.summary import summarise
from judgeloop.report.terminal import print_ending
from report.make_run import HOSTILE, leave_unfinished, make_run
from report.test_printing import COLOUR

DECISION = {"stopped": True, "at": "M3/eval", "reason": "no gain", "best": "M2", "why_best": "M3 is worse by checker"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_run(tmp_path_factory.mktemp("runs") / "checked", checked=True)
    (made / "decision.json").write_text(json.dumps(DECISION), encoding="utf-8")
    pairs = made / "M3/pairs.jsonl"
    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["rejected"] = [{"role": "assistant", "content": "\x1b[2J\x9b1m owned " + "很长的回答" * 100}]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return made


def ending(run: Path, width: int, colour: bool) -> str:
    written = io.StringIO()
    print_ending(Console(file=written, width=width, force_terminal=colour, highlight=False), run)
    return COLOUR.sub("", written.getvalue()) if colour else written.getvalue()


@pytest.mark.parametrize("colour", [True, False], ids=["terminal", "file"])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_and_has_table_plot_pairs_path_and_decision(run: Path, width: int, colour: bool) -> None:
    text = ending(run, width, colour)
    lines = [line for line in text.split("\n") if "report.html" not in line]
    assert max(map(cell_len, lines)) <= width
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    said = " ".join(text.split())
    parts = ["M3", "ground truth by evaluation.checker", "●", "agreement with the seed's ranks", "length of the resp",
             "M3: 3 of its 118 preference pairs, drawn at random", "report: ",
             "The run stopped after M3/eval: no gain.", "Best model: M2 (M3 is worse by checker)."]  # fmt: skip
    places = [said.index(part) for part in parts]
    assert places == sorted(places)
    assert said.count(" prompt ") == said.count(" chosen ") == said.count(" rejected ") == 3
    assert "more characters)" in said
    assert f"report: {run / 'report.html'}\n" in text  # whole, to be copied


def test_where_the_table_does_not_fit_its_figures_are_said(run: Path) -> None:
    narrow, wide = (" ".join(ending(run, width, False).split()) for width in (60, 80))
    for figure in re.findall(r"\d+% \(\d+–\d+%\)", wide.partition("ground truth")[0]):
        assert figure in narrow.partition("ground truth")[0]
    assert "parse rate 100%" in narrow


def test_no_cell_of_the_table_is_cut_off(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", checked=True)
    marker = run / "M3/.train.done.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "seconds": 12345.0}), encoding="utf-8")
    for model in summarise(run)["models"]:
        assert f" {sum(model['seconds'].values()):.0f} s\n" in ending(run, 80, False)
    assert re.search(r"\(-?\d+\.\d to -?\d+\.\d\)", ending(run, 80, False))  # points on one line


def test_an_unfinished_run_ends_with_what_there_is(tmp_path: Path) -> None:
    text = ending(leave_unfinished(make_run(tmp_path / "run")), 80, False)
    assert "not finished yet" in text
    assert "M2: 3 of its 104 preference pairs" in text
    assert "win rate against the model before" in text
    assert "Best model" not in text
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/run.json").write_text('{"models": ["M0", "M1"]}')
    assert "report: " in ending(tmp_path / "bare", 80, False)


def test_a_plot_draws_the_interval_at_its_place() -> None:
    value = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 40}
    size = {"value": 118.0, "low": 110.0, "high": 126.4, "n": 9}
    sizes = {"mean_characters": 118.0, "mean_characters_interval": size}
    block = {"win_rate": {"label": "win rate", "better": "higher", "share": True, "value": value}}
    models = [{"name": "M1", "metrics": {}, "length": {"mean_characters": 60.0}},
              {"name": "M2", "metrics": block, "length": sizes}]  # fmt: skip
    written = io.StringIO()
    print_plot(Console(file=written, width=200), headline_metrics(models))
    drawn = written.getvalue().splitlines()
    labels = [line for line in drawn if line[:1].isalpha()]
    assert labels == ["win rate", "length of the responses in characters"]
    rate = next(line for line in drawn if line.startswith("  M2"))
    bar = rate[6 : 6 + 61]
    assert (bar.index("├"), bar.index("●"), bar.index("┤")) == (15, 30, 45)
    assert rate.endswith("50% (25–75%)")
    first, second = [line for line in drawn if line.startswith("  M")][1:]
    assert first.endswith("  60")  # an earlier version measured no interval
    assert "├" not in first
    assert second.endswith("118 (110–126)")
    assert drawn[-1].split() == ["0", "35", "70", "105", "140"]


def test_the_report_alone_is_light(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    code = (
        "import sys, yaml\n"
        "seen = []\n"
        "load = yaml.safe_load\n"
        "yaml.safe_load = lambda *a: (seen.append(1), load(*a))[1]\n"
        "from judgeloop.cli import app\n"
        f"app(['report', {str(run)!r}], standalone_mode=False)\n"
        "heavy = {'numpy', 'scipy', 'plotly.graph_objects', 'judgeloop.loop', 'judgeloop.judging.parse_verdict'}\n"
        "print(sorted(heavy & sys.modules.keys()), len(seen))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(judgeloop.__file__).parent.parent)}
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "format": 2}))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[] 1"
    assert HOSTILE not in (run / "report.html").read_text(encoding="utf-8")
