from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgeloop.config import JudgeSection
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.judging.adaptive import judge_in_rounds, undecided
from judgeloop.judging.pointwise import ToJudge
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Judgement
from tiny import make_tiny_model

RUBRIC = load_rubric("additive-5")


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")))


def test_a_prompt_worked_by_hand() -> None:
    # Means 4, 3, 2; squares about them 2 + 2 + 2 over 6 degrees of freedom: s = 1. Best and worst differ by 2.
    scores = {"a": [5, 4, 3], "b": [4, 3, 2], "c": [3, 2, 1]}
    error = math.sqrt(1 / 3 + 1 / 3)  # standard error of a difference: 0.816
    assert not undecided(scores, 1.0)
    assert not undecided(scores, 2.0 / error - 0.01)
    assert undecided(scores, 2.0 / error + 0.01)
    # Without a spread between judgements a difference is a difference.
    assert not undecided({"a": [4, 4, 4], "b": [3, 3, 3]}, 5.0)


def test_counts_and_pooling_worked_by_hand() -> None:
    # s² = (4.5 + 0 + 4.5) / (1 + 19 + 1) = 3/7; best and worst differ by 1; error s · √(1/2 + 1/2) = 0.655.
    scores = {"a": [2, 5], "b": [3.0] * 20, "c": [1, 4]}
    assert not undecided(scores, 1.52)
    assert undecided(scores, 1.53)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_tie_is_always_undecided(noise: float) -> None:
    assert undecided({"a": [4, 4, 4], "b": [4, 4, 4]}, noise)
    assert undecided({"a": [5, 3], "b": [4, 4], "c": [3, 5]}, noise)


def test_what_could_not_be_read() -> None:
    assert undecided({"a": [None, None], "b": [4.0, None]}, 1.0)
    assert undecided({"a": [None], "b": [None]}, 1.0)
    assert not undecided({"a": [None], "b": [1.0, 1.0], "c": [5.0, 5.0]}, 1.0)
    assert undecided({"a": [None], "b": [3.0, 3.0], "c": [3.0, 3.0]}, 1.0)
    # One judgement each says nothing about noise.
    assert undecided({"a": [5.0], "b": [1.0]}, 1.0)
    assert not undecided({"a": [5.0], "b": [1.0]}, 0.0)


def test_one_response_alone_has_nobody_to_be_told_from() -> None:
    assert not undecided({"a": [None, 3.0]}, 1.0)
    assert not undecided({}, 1.0)


@given(
    st.dictionaries(st.sampled_from("abcde"), st.lists(st.one_of(st.none(), st.floats(0, 5)), max_size=6), max_size=5),
    st.floats(0, 3),
)
def test_more_noise_never_decides_more(scores: dict[str, list[float | None]], noise: float) -> None:
    assert undecided(scores, noise + 0.5) or not undecided(scores, noise)


@dataclass
class Noisy:
    """A judge that scores by the response's true worth plus noise of the request's seed."""

    worth: dict[str, float]
    asked: list[Request] = field(default_factory=list)
    name: str = "noisy"

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        self.asked += requests
        for request in requests:
            rng = random.Random(request.seed)
            for k in range(request.n):
                score = min(5, max(0, round(rng.gauss(self.worth[request.id], 1.0))))
                text = "No idea." if rng.random() < 0.1 else f"So it is.\n\nScore: {score}"
                yield Generation(request.id, k, (5,), text, "stop")

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        raise AssertionError("nothing is read from probabilities here")
        yield

    def close(self) -> None:
        pass


WORTH = {"p0.a": 4.5, "p0.b": 0.5, "p1.a": 3.0, "p1.b": 3.0, "p1.c": 2.9, "p2.a": 3.0, "alone": 1.0}
ITEMS = [
    ToJudge(name, [{"role": "user", "content": "Hm?"}], name, group=name.partition(".")[0] if "." in name else "")
    for name in WORTH
]
CONFIG = JudgeSection(scoring="sampled", samples=3, max_samples=8, noise=2.0)


def judged(
    chat: Chat,
    have: dict[str, Judgement] | None = None,
    config: JudgeSection = CONFIG,
    items: Sequence[ToJudge] = ITEMS,
) -> tuple[dict[str, Judgement], Noisy]:
    engine = Noisy(WORTH)
    scores = {name: row.score for name, row in (have or {}).items()}
    rows = list(judge_in_rounds(lambda: (engine, chat), RUBRIC, config, items, scores, 6))
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: row for row in rows}, engine


def counts(rows: dict[str, Judgement]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows.values():
        found[row.candidate_id] = found.get(row.candidate_id, 0) + 1
    return found


def test_only_undecided_prompts_get_more_up_to_the_bound(chat: Chat) -> None:
    rows, engine = judged(chat)
    found = counts(rows)
    assert found["p0.a"] == found["p0.b"] == 3  # told apart at once
    assert found["p1.a"] == found["p1.b"] == found["p1.c"] == 8
    assert found["p2.a"] == found["alone"] == 3  # nothing to compare with
    for name, count in found.items():
        assert sorted(row.k for row in rows.values() if row.candidate_id == name) == list(range(count))
    assert {request.n for request in engine.asked} == {3, 2}
    assert len({request.seed for request in engine.asked}) == len(engine.asked)
    assert counts(judged(chat, config=JudgeSection(scoring="sampled", samples=3))[0]) == dict.fromkeys(WORTH, 3)


def test_a_resumed_call_asks_for_what_is_missing_and_gets_the_same(chat: Chat) -> None:
    whole, _ = judged(chat)
    order = list(whole)
    for kept in range(0, len(order) + 1, 3):
        have = {name: whole[name] for name in order[:kept]}
        rows, _ = judged(chat, have)
        assert have | rows == whole
        assert not have.keys() & rows.keys()
    rows, engine = judged(chat, whole)
    assert rows == {}
    assert engine.asked == []


def test_one_prompts_judgements_do_not_hang_on_the_others(chat: Chat) -> None:
    whole, _ = judged(chat)
    alone, _ = judged(chat, items=[item for item in ITEMS if item.group == "p1"])
    assert alone == {name: row for name, row in whole.items() if row.candidate_id.startswith("p1")}


def test_nothing_owed_opens_no_engine(chat: Chat) -> None:
    def never() -> tuple[Noisy, Chat]:
        raise AssertionError("opened")

    whole = {name: row.score for name, row in judged(chat)[0].items()}
    assert list(judge_in_rounds(never, RUBRIC, CONFIG, ITEMS, whole, 5)) == []
    assert list(judge_in_rounds(never, RUBRIC, CONFIG, [], {}, 5)) == []
