"""What a run says while it works, where it is read from a file and on a terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from judgeloop.run.display import TerminalDisplay
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
