"""One way to read which of two responses is better, whoever asks."""

from __future__ import annotations

import pytest

from judgeloop.judging.meta import position_weights
from judgeloop.judging.pairwise import ToCompare, compare, read_comparison, weighed
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Comparison
from judging.test_pointwise import ASKED, FakeEngine
from tiny import make_tiny_model


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")))


def test_comparisons_are_read_in_the_order_shown(chat: Chat) -> None:
    items = [
        ToCompare("ab", ASKED, "Q-BLUE", "Q-RED"),
        ToCompare("ba", ASKED, "Q-RED", "Q-BLUE"),
        ToCompare("same", ASKED, "Q-RED", "Q-RED"),
    ]
    engine = FakeEngine(probabilities={"ab": [0.6, 0.2], "ba": [0.1, 0.3], "same": [0.4, 0.4]})
    found = {row.id: row for row in compare(engine, chat, load_rubric("pairwise"), items, 0.0)}
    assert {name: row.better for name, row in found.items()} == {"ab": "first", "ba": "second", "same": "neither"}
    assert found["ab"].first_probability == pytest.approx(0.75)
    assert found["ba"].first_probability == pytest.approx(0.25)
    shown = [chat.decode(request.prompt_ids) for request in engine.options]
    assert shown[0].index("Q-BLUE") < shown[0].index("Q-RED")
    assert shown[1].index("Q-RED") < shown[1].index("Q-BLUE")
    assert [chat.decode(option).strip() for option in engine.options[0].options] == ["A", "B"]


def test_a_judge_that_would_rather_say_something_else_prefers_neither_side(chat: Chat) -> None:
    items = [ToCompare(name, ASKED, "Blue.", "Red.") for name in ("sure", "unsure", "never")]
    engine = FakeEngine(probabilities={"sure": [0.4, 0.2], "unsure": [0.2, 0.1], "never": [0.0, 0.0]})
    found = {row.id: row for row in compare(engine, chat, load_rubric("pairwise"), items, 0.5)}
    assert found["sure"] == Comparison("sure", "first", 0.666667, "", None, 0.6)
    assert (found["unsure"].better, found["unsure"].mass) == (None, 0.3)
    assert found["unsure"].reason == "A and B have 30% of the probability"
    assert found["never"].better is None


def test_a_tie_is_neither_side() -> None:
    assert weighed("c", [-1.0, -1.0], 0.0).better == "neither"
    assert read_comparison(ToCompare("c", ASKED, "Blue.", "Red."), "Better: tie", "stop").better == "neither"
    # The meta-judge's weights count wins alone.
    assert position_weights(["first", "neither", None, "first", "second", "second"]) == (0.5, 0.5)


def test_a_written_comparison_keeps_its_text() -> None:
    item = ToCompare("c", ASKED, "Blue.", "Red.")
    assert read_comparison(item, "<think>Better: A</think>[[B]]", "stop").better == "second"
    cut = read_comparison(item, "<think>Better: A", "length")
    assert (cut.better, cut.text) == (None, "<think>Better: A")
    assert cut.reason == "the thought was never closed, cut off by length"


def test_a_verdict_that_was_cut_off_in_its_line_is_none() -> None:
    item = ToCompare("c", ASKED, "Blue.", "Red.")
    for said in ("Better: A", "Better: B", "It is short. Better: A", "[[A", "B"):  # "A and B are equal", "[[A=B]]"
        assert read_comparison(item, said, "length").better is None
        assert read_comparison(item, f"{said}\n", "stop").better in (None, "first", "second")
    for said in ("Better: A\n\nIt is", "[[A]]", "Better: A, because it is", "Better: tie"):
        assert read_comparison(item, said, "length").better == read_comparison(item, said, "stop").better is not None
