from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from judgeloop.config import JudgeSection
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.judging.pointwise import ToJudge, judge, judgement_id
from judgeloop.judging.rubric import load_rubric
from judgeloop.judging.score_distribution import answer_options, normalise
from judgeloop.models.chat import Chat
from judgeloop.records import Message, derive_seed
from tiny import make_tiny_model

ASKED: list[Message] = [{"role": "user", "content": "Name a colour."}]
ITEMS = [ToJudge("c-1", ASKED, "Blue. Score: 5"), ToJudge("c-2", ASKED, "Red.")]
EXPECTED = JudgeSection(scoring="expected", min_mass=0.5)


@dataclass
class FakeEngine:
    """Gives what it was told, and keeps what it was asked."""

    texts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    probabilities: dict[str, list[float]] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    options: list[OptionRequest] = field(default_factory=list)
    name: str = "fake"

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        self.asked += requests
        for request in reversed(requests):  # engines answer in any order
            for k, (text, finish) in reversed(list(enumerate(self.texts[request.id]))):
                yield Generation(request.id, k, (5,), text, "stop" if finish == "stop" else "length")

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        self.options += requests
        for request in reversed(requests):
            values = self.probabilities[request.id]
            yield OptionLogprobs(request.id, tuple(math.log(p) if p else -math.inf for p in values))

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")))


def test_the_expected_score_is_the_mean_over_the_score_tokens(chat: Chat) -> None:
    # 0.8 of the probability is on scores: (2 * .2 + 3 * .4 + 5 * .2) / .8 = 3.25
    engine = FakeEngine(probabilities={"c-1": [0, 0, 0.2, 0.4, 0, 0.2], "c-2": [0.5, 0.5, 0, 0, 0, 0]})
    found = {row.candidate_id: row for row in judge(engine, chat, load_rubric("additive-5-direct"), EXPECTED, ITEMS, 0)}
    assert found["c-1"].score == pytest.approx(3.25, abs=1e-6)
    assert found["c-1"].mass == pytest.approx(0.8, abs=1e-6)
    assert found["c-1"].distribution == pytest.approx([0, 0, 0.25, 0.5, 0, 0.25], abs=1e-6)
    assert found["c-2"].score == pytest.approx(0.5, abs=1e-6)
    assert [(row.id, row.k, row.text, row.reason) for row in found.values()] == [
        ("c-2.j0", 0, "", None),
        ("c-1.j0", 0, "", None),
    ]


@pytest.mark.parametrize(("mass", "is_scored"), [(0.49, False), (0.51, True), (1e-30, False), (0.0, False)])
def test_without_enough_probability_on_scores_there_is_none(mass: float, is_scored: bool, chat: Chat) -> None:
    engine = FakeEngine(probabilities={"c-1": [0, 0, 0, 0, mass, 0]})
    (row,) = judge(engine, chat, load_rubric("additive-5-direct"), EXPECTED, ITEMS[:1], 0)
    assert row.mass == pytest.approx(mass, abs=1e-6)
    if is_scored:
        assert row.score == pytest.approx(4)
        assert row.reason is None
    else:
        assert row.score is None
        assert row.reason == f"scores have {mass:.0%} of the probability"


def test_the_judge_is_asked_right_after_its_score_line(chat: Chat) -> None:
    rubric = load_rubric("additive-5-direct")
    engine = FakeEngine(probabilities={"c-1": [0.1] * 6})
    list(judge(engine, chat, rubric, EXPECTED, ITEMS[:1], 0))
    (request,) = engine.options
    prompt = chat.prompt_ids(rubric.messages(ASKED, ITEMS[0].response))
    assert list(request.prompt_ids[: len(prompt)]) == prompt
    for score, option in enumerate(request.options):
        written = [*request.prompt_ids[len(prompt) :], *option]
        assert written == chat.text_ids(rubric.target(score))  # as SFT trains it
    assert len(set(request.options)) == 6


def test_sampled_judgements_are_k_rows_a_candidate(chat: Chat) -> None:
    engine = FakeEngine(
        texts={
            "c-1": [("Fine.\nScore: 3", "stop"), ("Hm.", "stop"), ("Score: 3 and", "length")],
            "c-2": [("Score: 4/5", "stop"), ("It goes on", "length"), ("Score: 9", "stop")],
        }
    )
    config = JudgeSection(scoring="sampled", samples=3)
    rows = list(judge(engine, chat, load_rubric("additive-5"), config, ITEMS, 7))
    assert {row.id: (row.candidate_id, row.k, row.score, row.reason) for row in rows} == {
        "c-1.j0": ("c-1", 0, 3.0, None),
        "c-1.j1": ("c-1", 1, None, "no score line"),
        "c-1.j2": ("c-1", 2, 3.0, None),
        "c-2.j0": ("c-2", 0, 4.0, None),
        "c-2.j1": ("c-2", 1, None, "no score line, cut off by length"),
        "c-2.j2": ("c-2", 2, None, "score 9 outside 0-5"),
    }
    assert {row.id: row.text for row in rows}["c-1.j1"] == "Hm."  # "Score: 5" in the response is not the judge's
    assert all(row.mass is None and row.distribution is None for row in rows)
    assert [request.n for request in engine.asked] == [3, 3]
    assert [request.seed for request in engine.asked] == [
        derive_seed(7, "judge", "c-1"),
        derive_seed(7, "judge", "c-2"),
    ]
    assert engine.asked[0].sampling.max_new_tokens == config.sampling.max_new_tokens
    assert engine.asked[0].sampling.temperature == config.sampling.temperature


def test_what_is_asked_of_one_item_does_not_depend_on_the_others(chat: Chat) -> None:
    rubric, config = load_rubric("additive-5"), JudgeSection(scoring="sampled")
    texts = {item.id: [("Score: 1", "stop")] for item in ITEMS}
    alone, both = FakeEngine(texts), FakeEngine(texts)
    list(judge(alone, chat, rubric, config, ITEMS[1:], 7))
    list(judge(both, chat, rubric, config, ITEMS, 7))
    assert alone.asked == both.asked[1:]


def test_judgement_ids() -> None:
    assert judgement_id("c-1", 2) == "c-1.j2"


class WordsChat:
    """A tokenizer of the kind that keeps the space before a digit apart, or joins it to the digit."""

    def __init__(self, joined: bool) -> None:
        self.joined = joined

    def response_ids(self, text: str, *, finished: bool = False) -> list[int]:
        assert not finished
        if self.joined:
            text = text.replace(" ", "\0")
        pieces: list[str] = []
        for character in text:
            if self.joined and pieces and pieces[-1] == "\0":
                pieces[-1] += character
            else:
                pieces.append(character)
        return [sum(ord(c) << (8 * k) for k, c in enumerate(piece)) for piece in pieces]


@pytest.mark.parametrize(("joined", "lead"), [(False, 7), (True, 6)])
def test_options_follow_the_tokenizers_way_with_spaces(joined: bool, lead: int) -> None:
    chat: Any = WordsChat(joined)
    shared, options = answer_options(chat, "Score: ", [str(score) for score in range(6)])
    assert len(shared) == lead
    assert [len(option) for option in options] == [1] * 6
    for score, option in enumerate(options):
        assert [*shared, *option] == chat.response_ids(f"Score: {score}")


def test_options_keep_at_least_one_token() -> None:
    chat: Any = WordsChat(False)
    shared, options = answer_options(chat, "", ["1", "10", "100"])
    assert shared == ()
    assert [len(option) for option in options] == [1, 2, 3]


def test_normalise() -> None:
    shares, mass = normalise([math.log(0.1), math.log(0.3)])
    assert shares == pytest.approx([0.25, 0.75])
    assert mass == pytest.approx(0.4)
    shares, mass = normalise([-2000.0, -2000.0])  # too small for a float, and still equal
    assert shares == [0.5, 0.5]
    assert mass == 0.0
    assert normalise([-math.inf, -math.inf]) == ([0.5, 0.5], 0.0)
    assert normalise([1e-7, -50.0])[1] == 1.0
