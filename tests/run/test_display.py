"""What a run says while it works, where it is read from a file and on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from judgeloop.run.display import TerminalDisplay
from judgeloop.run.samples import Answer, Sample, Samples
from judgeloop.run.stage import Step
from judgeloop.stages.generation import CANDIDATES
from judgeloop.stages.prompts import PROMPTS
from judgeloop.stages.training import SFT as FINE_TUNING

SFT = Step("M1", FINE_TUNING)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until its `now` is set."""
    found = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("judgeloop.run.display.time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def test_a_log_file_hears_of_a_long_stage_once_a_minute(clock: SimpleNamespace) -> None:
    written = io.StringIO()
    display = TerminalDisplay(Console(file=written, width=100))
    display.started(SFT, resumed=False)
    for step in range(1, 13):  # one step in ten seconds
        clock.now += 10
        display.progress(step, 84, f"loss {2 - step / 10:.3f}")
    assert written.getvalue().splitlines() == [
        "M1  supervised fine-tuning: 6 of 84 after 60 s, loss 1.400",
        "M1  supervised fine-tuning: 12 of 84 after 120 s, loss 0.800",
    ]


def test_each_stage_has_a_minute_of_its_own_and_short_ones_say_nothing_more(clock: SimpleNamespace) -> None:
    written = io.StringIO()
    display = TerminalDisplay(Console(file=written, width=100))
    for stage in (PROMPTS, CANDIDATES):
        display.started(Step("M2", stage), resumed=False)
        clock.now += 50
        display.progress(3, None, "")
    assert written.getvalue() == ""
    clock.now += 15
    display.progress(7, None, "")
    assert written.getvalue() == "M2  candidates: 7 after 65 s\n"


def test_a_terminal_has_its_bar_instead(clock: SimpleNamespace) -> None:
    written = io.StringIO()
    display = TerminalDisplay(Console(file=written, width=100, force_terminal=True))
    display.started(SFT, resumed=True)
    clock.now += 200
    display.progress(20, 84, "loss 1.000")
    display.finished(SFT, {"seconds": 210.0})
    assert "after 200 s" not in written.getvalue()
    assert "M1  supervised fine-tuning (resumed)" in written.getvalue()


@pytest.mark.parametrize("width", [60, 80])
def test_the_line_of_a_finished_step_and_what_it_yields_fit(width: int) -> None:
    written = io.StringIO()
    display = TerminalDisplay(Console(file=written, width=width))
    titles = [
        "seed",
        "a stage with a title that is longer than the others",
        "把下面这句话翻译成英文把下面这句话翻译成英文",
    ]
    for title in titles:
        display.finished(
            Step("M1", replace(FINE_TUNING, title=title)),
            {
                "rows": 1819,
                "seconds": 967.4,
                "yields": ["150 IFT rows, 1669 EFT rows, 39 sets held out; " * 3, "\x1b[2J"],
            },
        )
    lines = written.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "\x1b" not in written.getvalue()
    assert all("1819 rows" in "".join(lines[k : k + 2]) for k, line in enumerate(lines) if line.startswith("M1"))
    assert lines[0] == f"{'M1  seed':<43}"[: width - 21] + " 1819 rows    967.4 s"
    assert all(line.startswith("      ") for line in lines if "IFT" in line or "held" in line)


@pytest.mark.parametrize("terminal", [True, False])
def test_samples_are_shown_while_a_stage_runs(terminal: bool) -> None:
    written = io.StringIO()
    display = TerminalDisplay(Console(file=written, width=80, force_terminal=terminal))
    display.started(SFT, resumed=False)
    display.samples(SFT, Samples("M1: one answer", [Sample("What falls?", [Answer("answer", "Rain.", 4.0)])], "M1"))
    display.progress(7, 84, "loss 1.000")
    display.finished(SFT, {"seconds": 1.0})
    for said in ("M1: one answer; scored by M1 itself", "What falls?", "answer 4.00", "Rain."):
        assert said in written.getvalue()
