"""What trackers hear of a run, when, and how often."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from judgeloop.config import load, parse
from judgeloop.config.choices import TRACKERS
from judgeloop.errors import InputError
from judgeloop.run.directory import RunDirectory
from judgeloop.run.display import TerminalDisplay
from judgeloop.run.driver import execute
from judgeloop.run.methods import METHODS
from judgeloop.run.stage import LOOP
from judgeloop.tracking.base import Table, TrackedRun, Tracker, TrackerKind
from judgeloop.tracking.tracked import FILE, Tracked
from report.make_run import make_run


@dataclass
class Recording:
    """A tracker that keeps what it hears; `fails`: from that row on it cannot be reached."""

    run: TrackedRun
    opened_with: str | None
    fails: int = 10**9
    heard: list[tuple[str, int, Mapping[str, float]]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    closed: bool | None = None
    handle = "number 7"
    where = "look there"

    def numbers(self, axis: str, at: int, values: Mapping[str, float]) -> None:
        if len(self.heard) >= self.fails:
            raise ConnectionError("no route to host")
        self.heard.append((axis, at, values))

    def table(self, table: Table) -> None:
        self.tables.append(table)

    def text(self, name: str, text: str) -> None:
        self.texts[name] = text

    def close(self, *, finished: bool) -> None:
        self.closed = finished

    def values(self, name: str) -> list[tuple[int, float]]:
        return [(at, values[name]) for _, at, values in self.heard if name in values]


opened: list[Recording] = []


@pytest.fixture(autouse=True)
def recording(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    """The trackers of the test, in the order in which they were opened."""

    def open_one(run: TrackedRun, handle: str | None) -> Tracker:
        opened.append(Recording(run, handle))
        return opened[-1]

    opened.clear()
    monkeypatch.setitem(TRACKERS._added, "recording", (TrackerKind("json", open_one), None))
    return opened


def run_of(path: Path, **changes: object) -> RunDirectory:
    """A finished run of M0 to M3, seen through its config with these changes."""
    if not path.exists():
        make_run(path, checked=True)
    config = load(path / "config.yaml", [f"{key}={json.dumps(value)}" for key, value in changes.items()])
    return RunDirectory(path, config, METHODS[LOOP](config))


def tell_all(run: RunDirectory, fails: int = 10**9) -> tuple[Recording, str]:
    """Go through the finished steps as the driver does when nothing is left to do."""
    written = io.StringIO()
    tracked = Tracked(TerminalDisplay(Console(file=written, width=200)), run)
    opened[-1].fails = fails
    for step in run.steps.values():
        tracked.skipped(step)
    tracked.close(finished=True)
    return opened[-1], written.getvalue()


def test_a_tracker_hears_metrics_stages_losses_and_samples(tmp_path: Path) -> None:
    run = run_of(tmp_path / "mine", report_to=["recording"])
    (run.path / "decision.json").write_text('{"best": "M3"}', encoding="utf-8")
    heard, said = tell_all(run)
    evaluations = [json.loads((run.path / f"M{k}" / "eval.json").read_text()) for k in range(4)]
    agreement = [(k, found["metrics"]["agreement"]["value"]) for k, found in enumerate(evaluations)]
    assert heard.values("evaluation/agreement") == [(k, value["value"]) for k, value in agreement]
    assert heard.values("evaluation/agreement_low") == [(k, value["low"]) for k, value in agreement]
    truth = [json.loads((run.path / f"M{k}" / "checks.json").read_text())["metrics"]["checker"] for k in (2, 3)]
    assert heard.values("evaluation/checker")[-2:] == [(k, truth[k - 2]["value"]["value"]) for k in (2, 3)]
    assert heard.values("evaluation/checker_change")[-1] == (3, truth[1]["versus"]["value"]["value"])
    assert [k for k, _ in heard.values("evaluation/win_rate")] == [1, 2, 3]
    assert not heard.values("evaluation/win_rate_change")  # it is the comparison itself
    assert heard.values("more/pairs/pairs") == [(2, 104.0), (3, 118.0)]
    assert [k for k, _ in heard.values("sft/M1/loss")] == list(range(1, 55))
    assert {axis for axis, _, values in heard.heard if "train/M3/loss" in values} == {"train/M3/step"}
    stages = heard.values("stages/seconds")
    assert len(stages) == len({at for at, _ in stages}) > 10
    names = {table.name for table in heard.tables}
    assert {"samples/M3.pairs", "samples/M2.pairs"} <= names
    pairs = next(table for table in heard.tables if table.name == "samples/M3.pairs")
    assert pairs.columns == ["prompt", "chosen", "chosen score", "rejected", "rejected score"]
    assert all(isinstance(row[2], float) and row[2] > row[4] for row in pairs.rows)
    assert "M3" in heard.texts["decision"]
    assert heard.closed is True
    assert said.startswith(f"recording: judgeloop / mine-{heard.run.id[:6]}; look there")
    assert heard.run.config["iterations"] == 2


def test_a_run_that_goes_on_goes_on_in_its_tracker_and_repeats_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path / "mine", report_to=["recording"])
    first, _ = tell_all(run)
    again, _ = tell_all(run)
    assert (first.opened_with, again.opened_with) == (None, "number 7")
    assert again.run.id == first.run.id
    assert (again.heard, again.tables, again.texts) == ([], [], {})

    marker = run.path / "M3" / ".eval.done.json"  # made anew
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "finished": "later"}), encoding="utf-8")
    third, _ = tell_all(run)
    assert {at for _, at, _ in third.heard} == {3, json.loads(marker.read_text())["order"]}
    assert third.values("evaluation/agreement")


def test_losses_of_a_training_that_is_made_anew_are_told_anew(tmp_path: Path) -> None:
    run = run_of(tmp_path / "mine", report_to=["recording"])
    tell_all(run)
    run.supersede([run.steps["M3/train"]])
    tracked = Tracked(TerminalDisplay(Console(file=io.StringIO())), run)
    step = run.steps["M3/train"]
    tracked.started(step, False)
    with (run.path / "metrics.jsonl").open("a", encoding="utf-8") as log:
        for at in (1, 2):
            log.write(json.dumps({"model": "M3", "stage": "train", "loss": 0.5 / at, "epoch": 1, "step": at}) + "\n")
            log.flush()
            tracked.progress(at, 2, "")
        log.write('{"model": "M3", "stage": "train", "lo')  # still being written
        log.flush()
        tracked.progress(2, 2, "")
    tracked.close(finished=False)
    assert opened[-1].values("train/M3/loss") == [(1, 0.5), (2, 0.25)]
    assert opened[-1].closed is False


def test_two_run_directories_of_one_name_are_two_runs(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / place / "mine", report_to=["recording"]) for place in ("here", "there")]
    first, second = (tell_all(run)[0].run for run in runs)
    assert first.name != second.name
    assert first.id != second.id
    assert first.name.startswith("mine-")
    named = run_of(
        tmp_path / "here" / "mine", report_to=["recording"], **{"tracking.name": "one", "tracking.project": "p"}
    )
    found = tell_all(named)[0].run
    assert (found.name, found.project, found.id) == ("one", "p", first.id)


def test_a_training_may_have_trackers_of_its_own(tmp_path: Path) -> None:
    heard, _ = tell_all(run_of(tmp_path / "mine", **{"sft.report_to": ["recording"]}))
    assert heard.values("sft/M1/loss")
    assert not heard.values("train/M2/loss")
    assert not heard.values("evaluation/agreement")


def test_a_tracker_that_fails_is_told_the_rest_another_time_and_ends_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path / "mine", report_to=["recording"])
    heard, said = tell_all(run, fails=5)
    assert len(heard.heard) == 5
    assert said.count("hears no more of this run (no route to host)") == 1
    rest, _ = tell_all(run)
    assert rest.opened_with == "number 7"
    assert {k for k, _ in heard.values("evaluation/agreement") + rest.values("evaluation/agreement")} == {0, 1, 2, 3}


def test_what_is_not_installed_is_named_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("judgeloop.tracking.base.find_spec", lambda _: None)
    for key in ("report_to", "train.report_to", "backtranslation.sft.report_to"):
        tree: dict[str, object] = {"seed_data": {"ift": "seed.jsonl"}}
        *sections, name = key.split(".")
        value: object = {name: ["trackio"]}
        for section in reversed(sections):
            value = {section: value}
        config = parse(tree | dict(value), "test")  # type: ignore[call-overload]
        wanted = "^report_to: the tracker 'trackio' needs the package trackio, .*; pip install trackio, or leave"
        with pytest.raises(InputError, match=wanted):
            execute(config, tmp_path / "run", TerminalDisplay(Console(file=io.StringIO())))
    assert list(tmp_path.iterdir()) == []


def test_unknown_trackers_are_refused() -> None:
    for section in ({"report_to": ["excel"]}, {"sft": {"report_to": ["excel"]}}):
        with pytest.raises(InputError, match="report_to': Input should be 'tensorboard', 'wandb', 'mlflow'"):
            parse({"seed_data": {"ift": "seed.jsonl"}, **section}, "test")


def test_a_tracker_that_cannot_be_opened_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: TrackedRun, handle: str | None) -> Tracker:
        raise ConnectionError("no\nroute")

    monkeypatch.setitem(TRACKERS._added, "recording", (TrackerKind("json", refuse), None))
    with pytest.raises(InputError, match=r"^report_to: recording cannot be opened \(no route\)"):
        tell_all(run_of(tmp_path / "mine", report_to=["recording"]))


def test_without_trackers_nothing_is_written(tmp_path: Path) -> None:
    run = run_of(tmp_path / "mine")
    tracked = Tracked(TerminalDisplay(Console(file=io.StringIO())), run)
    for step in run.steps.values():
        tracked.skipped(step)
    tracked.close(finished=True)
    assert not (run.path / FILE).exists()
    assert opened == []
