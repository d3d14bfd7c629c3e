"""What is printed fits the terminal, whatever a model wrote."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from judgeloop.report.bars import bar_columns
from judgeloop.report.printing import clipped, print_samples, say
from judgeloop.run.samples import Answer, Sample, Samples, draw, last_turn

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = "\x1b[2J\x1b[1;1Howned\x1b]0;title\x07 [bold]not markup[/bold] :smile: \u202ereversed \x9b31m"
CHINESE = "把下面这句话翻译成英文：昨天晚上下了一场大雨，今天早上天晴了，我们去公园散步。" * 2


def printed(width: int, colour: bool, text: str, **how: str) -> list[str]:
    written = io.StringIO()
    say(Console(file=written, width=width, force_terminal=colour), text, **how)  # type: ignore[arg-type]
    return COLOUR.sub("", written.getvalue()).splitlines()


def test_a_long_line_breaks_between_words_under_its_beginning() -> None:
    yields = "150 IFT rows, 1669 EFT rows, 39 sets held out; 353 sets for EFT; 203 dropped: IFT row above max_ift_rows"
    lines = printed(80, False, yields, lead="      ")
    assert lines == [
        "      150 IFT rows, 1669 EFT rows, 39 sets held out; 353 sets for EFT; 203",
        "      dropped: IFT row above max_ift_rows",
    ]


@pytest.mark.parametrize("colour", [True, False], ids=["terminal", "file"])
@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("text", [HOSTILE * 3, CHINESE, "x" * 300, "two words " * 40 + CHINESE, ""])
def test_every_line_fits_and_controls_nothing(width: int, colour: bool, text: str) -> None:
    written = io.StringIO()
    sample = Sample(text, [Answer("candidate", text, 3.25), Answer("rejected", text, None, measures={"passes": 1.0})])
    found = Samples(f"M2: {text}", [sample], "M1", (0, 5))
    print_samples(Console(file=written, width=width, force_terminal=colour), "M2", found)
    plain = COLOUR.sub("", written.getvalue()) if colour else written.getvalue()
    lines = plain.split("\n")
    assert max(map(cell_len, lines)) <= width
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", plain)
    assert all(line == line.rstrip() for line in lines)
    if text.startswith(HOSTILE):
        assert "[bold]not markup[/bold] :smile:" in " ".join(plain.split())


def test_what_was_measured_is_said_before_the_answers() -> None:
    written = io.StringIO()
    passes = {"value": 0.5344, "low": 0.4812, "high": 0.5854, "n": 240}
    gained = {"value": 0.1354, "low": 0.0886, "high": 0.1823, "n": 240}
    won = {"value": 0.6917, "low": 0.6292, "high": 0.7542, "n": 240}
    right = {"value": 0.85, "low": 0.79, "high": 0.92, "n": 39}
    measured = [
        {"label": "ground truth", "share": True, "value": passes,
         "versus": {"model": "M1", "value": gained, "even": 0.0}},
        {"label": "win rate", "share": True, "value": won, "versus": {"model": "M1", "value": won, "even": 0.5}},
        {"label": "agreement", "share": True, "value": right},
    ]  # fmt: skip
    found = Samples("M2: answers", [Sample("Why?", [Answer("answer", "So.", 3.0)])], measured=measured)
    print_samples(Console(file=written, width=80), "M2", found)
    assert written.getvalue().splitlines()[:5] == [
        "",
        "M2  ground truth: 53% (48–59%); +13.5 (8.9 to 18.2) vs M1",
        "M2  win rate: 69% (63–75%) vs M1",
        "M2  agreement: 85% (79–92%)",
        "",
    ]


def test_a_sample_says_what_it_is() -> None:
    written = io.StringIO()
    measures = {"passes": 1.0, "on topic": 0.0, "share": 0.5}
    answers = [Answer("answer", "Rain.", 4.4839, measures=measures), Answer("answer", " ", None),
               Answer("answer", "Snow.", judged=False)]  # fmt: skip
    found = Samples("M1: one answer", [Sample("What falls?", answers)], "M1", (0, 5))
    print_samples(Console(file=written, width=80), "M1", found)
    assert written.getvalue().splitlines() == [
        "",
        "M1: one answer; scored from 0 to 5 by M1 itself",
        "",
        "  prompt          What falls?",
        "  answer 4.48     Rain.",
        "                  ✓ passes   ✗ on topic   share 0.50",
        "  answer –        (empty)",
        "  answer          Snow.",
        "",
    ]


def test_what_is_cut_off_is_counted() -> None:
    text = "word " * 200
    shown = clipped(text, characters=50)
    said = re.fullmatch(r"((?:word )+)… \((\d+) more characters\)", shown)
    assert said is not None
    assert len(said[1]) - 1 + int(said[2]) == len(text.strip())
    assert clipped("a\n" * 20, lines=3) == "a\na\na … (34 more characters)"
    assert clipped(CHINESE, characters=10).startswith(CHINESE[:10] + " …")


def test_samples_are_drawn_by_the_seed_and_not_from_the_top() -> None:
    names = [f"p-{k}" for k in range(100)]
    drawn = draw(names, 0, 3)
    assert drawn == draw(reversed(names), 0, 3)
    assert drawn != draw(names, 1, 3)
    assert drawn != names[:3]
    assert draw([*drawn, "p-other"], 0, 4)[:3] == [n for n in draw([*drawn, "p-other"], 0, 4) if n in drawn][:3]
    assert draw(names[:2], 0, 3) == draw(names[:2], 0, 2)


def test_the_last_turn_says_that_there_were_others() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    assert last_turn([turns[0]]) == "Hi"  # type: ignore[list-item]
    assert last_turn([*turns, {"role": "user", "content": "Go on"}]) == "(after 2 messages) Go on"  # type: ignore[list-item]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("label", ["M1  supervised fine-tuning (resumed)", "M0  find the weights, check the tokenizer"])
def test_a_bar_is_one_line_and_shows_how_far_it_is(width: int, label: str) -> None:
    from rich.progress import Progress

    written = io.StringIO()
    console = Console(file=written, width=width, force_terminal=True)
    bar = Progress(*bar_columns(width, label, "{task.percentage:>3.0f}%", 4), console=console, auto_refresh=False)
    bar.add_task(label, total=84, completed=42, note="loss 1.234, 812 tok/s")
    console.print(bar.get_renderable())
    (line,) = COLOUR.sub("", written.getvalue()).splitlines()
    assert cell_len(line) <= width
    assert "50%" in line
    assert "left -:--:--" in line
    if width >= 80:
        assert label in line
    if width >= 80 and label.startswith("M1"):
        assert "loss 1.234, 812 tok/s" in line
