"""Scores set against other prompts: which ones, under which names, and what comes of the scores."""

from __future__ import annotations

import random

import pytest

from judgeloop.config import ContrastSection
from judgeloop.errors import InputError
from judgeloop.judging.contrast import (
    contrasts,
    draw_others,
    measured_prompts,
    name_under,
    own,
    response_and_other,
    under_others,
)
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pointwise import ToJudge
from judgeloop.records import Judgement, Message, Prompt
from judgeloop.text.tokens import rouge_l, tokens_of


def prompt(text: str, *before: Message) -> Prompt:
    return Prompt.of([*before, {"role": "user", "content": text}], "test")


FROGS, TOADS, FROGS_TOO, SHIPS, LAWS = (
    prompt("Tell me about green frogs in one short line"),
    prompt("Tell me about green toads in one short line"),  # ROUGE-L 8/9 with the frogs
    prompt("Tell me about frogs without any comma please"),  # 8/17
    prompt("Why do ships float at all"),
    prompt("List three laws about frogs"),  # 4/14
)
ALL = (FROGS, TOADS, FROGS_TOO, SHIPS, LAWS)


def drawn(seed: int = 0, count: int = 1, prompts: tuple[Prompt, ...] = ALL, **section: object) -> dict[str, list[str]]:
    found = draw_others(prompts, ContrastSection.model_validate(section), seed, count=count)
    return {name: [other.messages[-1]["content"] for other in others] for name, others in found.items()}


def text(one: Prompt) -> str:
    return one.messages[-1]["content"]


def test_the_nearest_in_wording_that_is_no_near_duplicate() -> None:
    assert drawn(draw="near")[FROGS.id] == [text(FROGS_TOO)]
    assert drawn(draw="near", max_similarity=1)[FROGS.id] == [text(TOADS)]
    assert drawn(draw="near", count=3)[FROGS.id] == [text(FROGS_TOO), text(LAWS), text(SHIPS)]


def test_the_least_similar() -> None:
    assert drawn(draw="far", count=2)[FROGS.id] == [text(SHIPS), text(LAWS)]


@pytest.mark.parametrize("draw", ["random", "near", "far"])
def test_no_prompt_is_set_against_itself_its_equal_or_a_near_duplicate(draw: str) -> None:
    again = prompt(text(FROGS).upper())  # another id, the same words
    for seed in range(20):
        found = drawn(seed, 4, (*ALL, again), draw=draw)
        assert set(found[FROGS.id]) == {text(FROGS_TOO), text(SHIPS), text(LAWS)}  # fewer than four differ enough
        for one in ALL:
            alike = [rouge_l(tokens_of(text(one)), tokens_of(other)) for other in found[one.id]]
            assert all(likeness <= 0.7 for likeness in alike)
            assert len(set(found[one.id])) == len(found[one.id])


def test_random_draws_go_by_the_seed_and_not_by_the_order_of_the_prompts() -> None:
    many = tuple(prompt(f"word{n} is what number {n * 7} means to thing{n}") for n in range(40))
    shuffled = list(many)
    random.Random(3).shuffle(shuffled)
    assert drawn(5, 2, many) == drawn(5, 2, tuple(shuffled))
    assert drawn(5, 2, many) != drawn(6, 2, many)
    often = [other for others in drawn(5, 2, many).values() for other in others]
    assert len(set(often)) > 25  # not the same few for all


def test_a_conversation_is_compared_by_all_its_turns_and_not_by_its_system_message() -> None:
    system: Message = {"role": "system", "content": "You are a careful helper who always answers in one line of text."}
    turns: list[Message] = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A robot."}]
    talk, other = prompt("And why do ships float at all", system, *turns), prompt("Count some sheep", system)
    assert drawn(prompts=(talk, other, SHIPS), draw="near", count=2)[SHIPS.id] == [text(talk), text(other)]
    assert drawn(prompts=(talk, other))[talk.id] == [text(other)]


def test_too_few_prompts_or_none_that_differ_is_said() -> None:
    section = ContrastSection()
    with pytest.raises(InputError, match=r"judge\.contrast\.others: there are 2 prompts, and 2 others are wanted"):
        draw_others([FROGS, SHIPS], section, 0, count=2, required="judge.contrast.others")
    with pytest.raises(InputError, match=r"max_similarity: all prompts are alike \(ROUGE-L above 0\.7\)"):
        draw_others([FROGS, TOADS], section, 0, count=1, required="judge.contrast.others")
    assert draw_others([FROGS, TOADS], section, 0, count=2) == {FROGS.id: [], TOADS.id: []}  # only to measure


def test_all_responses_to_a_prompt_are_judged_under_the_same_others_by_names_of_their_own() -> None:
    asked = [(FROGS.id, ToJudge(f"M2.{FROGS.id}.{k}", FROGS.messages, f"r{k}", FROGS.id)) for k in range(2)]
    more = under_others(asked, {FROGS.id: [SHIPS, LAWS]})
    assert [(item.id, item.prompt, item.response, item.group) for item in more] == [
        (f"M2.{FROGS.id}.{k}@{other.id}", other.messages, f"r{k}", "") for k in range(2) for other in (SHIPS, LAWS)
    ]
    assert response_and_other(more[0].id) == (asked[0][1].id, SHIPS.id)
    assert response_and_other(asked[0][1].id) == (asked[0][1].id, None)


def judged(name: str, *scores: float | None) -> list[Judgement]:
    return [Judgement(f"{name}.j{k}", name, k, "", score, None) for k, score in enumerate(scores)]


def test_contrasts_by_hand_and_own_scores_that_nothing_else_gets_into() -> None:
    rows = [
        *judged("a", 4.0, 5.0), *judged("a@p", 3.0, None), *judged("a@q", 1.0, 2.0),
        *judged("b", 2.0), *judged("b@p", 0.0), *judged("b@q", 1.0),
        *judged("c", 5.0), *judged("c@p", None), *judged("c@q", 1.0),
        *judged("d", None), *judged("d@p", 1.0), *judged("d@q", 1.0),
        *judged("e", 3.0),
    ]  # fmt: skip
    means = mean_scores(rows)
    assert contrasts(means, 0.5) == {"a": 4.5 - 0.5 * 2.25, "b": 2.0 - 0.5 * 0.5, "c": None, "d": None, "e": None}
    assert contrasts(means, 0) == {"a": 4.5, "b": 2.0, "c": None, "d": None, "e": None}
    assert contrasts(mean_scores(rows, 2), 1)["b"] is None  # too few valid judgements
    assert [row.candidate_id for row in own(rows)] == ["a", "a", "b", "c", "d", "e"]
    assert mean_scores(own(rows)) == {name: means[name] for name in "abcde"}
    assert name_under("a", "p") == "a@p"


def test_the_measured_prompts_are_drawn_by_the_seed() -> None:
    names = [f"p{n}" for n in range(30)]
    few = measured_prompts(names, 5, 1)
    assert len(few) == 5
    assert few == measured_prompts(reversed(names), 5, 1) != measured_prompts(names, 5, 2)
    assert measured_prompts(names, 99, 1) == set(names)
