from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from judgeloop.config import JudgeSection, RefreshSection
from judgeloop.eft.contrast_rows import (
    DUPLICATE,
    LOW_SCORE,
    MAX_ANSWERS,
    NO_JUDGEMENT,
    NO_LOW_JUDGEMENT,
    NO_OTHER,
    NO_OTHER_SCORE,
    NO_SCORE,
    NOT_CLEAR,
    PER_PROMPT,
    SAME_ANSWER,
    UNFINISHED,
    Beside,
    contrast_rows,
    set_beside,
)
from judgeloop.errors import InputError
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.records import Candidate, Judgement, Prompt, SupervisedRow

RUBRIC = load_rubric("additive-5-short")
A, B, C = (Prompt(name, [{"role": "user", "content": f"Ask {name}."}], "test") for name in "abc")
OTHERS = {"a": [B, C], "b": [A, C], "c": []}


def answer(name: str, prompt: str = "a", text: str | None = None, finish: str = "stop") -> Candidate:
    return Candidate(name, prompt, f"Answer {name}." if text is None else text, [], finish)


def judged(name: str, *scores: float | None, text: str = "") -> list[Judgement]:
    return [Judgement(f"{name}.j{k}", name, k, text, score, None) for k, score in enumerate(scores)]


def said(name: str, *texts: tuple[str, float]) -> list[Judgement]:
    return [Judgement(f"{name}.j{k}", name, k, text, score, None) for k, (text, score) in enumerate(texts)]


def section(**changes: Any) -> RefreshSection:
    return RefreshSection(enabled=True, **changes)


def beside(
    answers: list[Candidate], scores: dict[str, float | None], **changes: Any
) -> tuple[list[tuple[str, str]], dict[str, int]]:
    dropped: Counter[str] = Counter()
    found = set_beside([A, B, C], answers, scores, OTHERS, section(**changes), 0, dropped)
    return [(one.answer.id, one.other.id) for one in found], {name: n for name, n in dropped.items() if n}


def test_the_best_finished_answers_are_set_beside_other_prompts_and_the_rest_is_counted() -> None:
    answers = [
        answer("best"), answer("good"), answer("low"), answer("cut", finish="length"), answer("empty", text=" "),
        answer("unread"), answer("only", "b"), answer("alone", "c"),
    ]  # fmt: skip
    scores = {"best": 4.5, "good": 3.0, "low": 2.99, "cut": 5.0, "empty": 5.0, "unread": None, "only": 4.0, "alone": 4}
    found, dropped = beside(answers, scores)
    assert found == [("best", "b"), ("only", "a")]
    assert dropped == {PER_PROMPT: 1, LOW_SCORE: 1, UNFINISHED: 2, NO_SCORE: 1, NO_OTHER: 1}
    found, dropped = beside(answers, scores, per_prompt=2)
    assert found == [("best", "b"), ("good", "c"), ("only", "a")]  # answers to one prompt take turns
    assert PER_PROMPT not in dropped


def test_an_answer_that_the_other_prompt_has_too_is_not_wrong_there() -> None:
    answers = [answer("one", text="Yes. "), answer("two", "b", "Yes."), answer("three", "b", "No.")]
    found, dropped = beside(answers, {"one": 4.0, "two": 3.0, "three": 4.0})
    assert found == [("three", "a")]
    assert dropped == {SAME_ANSWER: 1, PER_PROMPT: 1}


def test_a_number_of_answers_is_drawn_by_the_seed() -> None:
    prompts = [Prompt(f"p{k}", [{"role": "user", "content": str(k)}], "test") for k in range(20)]
    answers = [answer(f"c{k}", f"p{k}") for k in range(20)]
    others = {prompt.id: [prompts[place - 1]] for place, prompt in enumerate(prompts)}
    scores = dict.fromkeys([row.id for row in answers], 4.0)

    def drawn(seed: int) -> list[str]:
        dropped: Counter[str] = Counter()
        found = set_beside(prompts, answers, scores, others, section(max_answers=5), seed, dropped)
        assert dropped[MAX_ANSWERS] == 15
        return [one.answer.id for one in found]

    assert len(drawn(0)) == 5
    assert drawn(0) == drawn(0) != drawn(1)


def rows(
    own: dict[str, list[Judgement]], others: dict[str, list[Judgement]], rubric: Rubric = RUBRIC, **judge: Any
) -> tuple[list[SupervisedRow], dict[str, int]]:
    """Of answers to prompt a beside prompt b: `own` and `others` are their judgements by the answer's name."""
    wanted = judge.pop("section", section())
    scores = {name: [row.score for row in given if row.score is not None] for name, given in own.items()}
    asked = [Beside(answer(name), A, B, sum(given) / len(given)) for name, given in scores.items()]
    dropped: Counter[str] = Counter()
    made = contrast_rows(
        asked, [row for given in own.values() for row in given], [row for given in others.values() for row in given],
        rubric, wanted, JudgeSection(**judge), "refresh", dropped,
    )  # fmt: skip
    return [row for _, row in made.rows], {name: count for name, count in dropped.items() if count}


def texts(made: list[SupervisedRow]) -> list[str]:
    return [row.completion[0]["content"] for row in made]


def test_a_judge_read_by_its_probabilities_is_taught_its_own_score_rounded_and_a_low_one() -> None:
    made, dropped = rows({"x": judged("x", 3.6)}, {"x": judged("x@b", 2.4)})
    assert dropped == {}
    assert texts(made) == ["Score: 4", "Score: 1"]
    assert [row.kind for row in made] == ["eft", "eft"]
    assert [row.source for row in made] == ["refresh:x", "refresh:x@b"]
    assert [row.prompt for row in made] == [RUBRIC.messages(p.messages, "Answer x.") for p in (A, B)]
    assert [row.prompt_id for row in made] == [Prompt.of(p.messages, "").id for p in (A, B)]
    assert texts(rows({"x": judged("x", 3.4)}, {"x": judged("x@b", 1.0)}, section=section(negative_score=2))[0]) == [
        "Score: 3", "Score: 2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("own", "other", "reason"),
    [(4.0, 3.5, NOT_CLEAR), (4.0, 3.49, None), (4.0, 4.5, NOT_CLEAR), (4.0, None, NO_OTHER_SCORE)],
)
def test_only_what_the_judge_sees_itself_is_taught(own: float, other: float | None, reason: str | None) -> None:
    made, dropped = rows({"x": judged("x", own)}, {"x": judged("x@b", other)})
    assert (len(made), dropped) == ((0, {reason: 1}) if reason else (2, {}))


def test_a_judge_that_writes_is_taught_what_it_wrote_itself() -> None:
    own = said("x", ("Bad. Score: 1", 1.0), ("Fine.\n\nScore: 5", 5.0), ("<think>Hm.</think>Good. Score: 4\nSo.", 4.0))
    low = said("x@b", ("Off.\nScore: 0", 0.0), ("Beside the point. Score: 1", 1.0), ("Nice. Score: 2", 2.0))
    made, dropped = rows({"x": own}, {"x": low}, scoring="sampled")
    assert dropped == {}
    assert texts(made) == ["Good. Score: 4", "Beside the point. Score: 1"]  # the mean is 3.3; no thought, no more words
    made, dropped = rows({"x": own}, {"x": low[2:]}, scoring="sampled")
    assert (made, dropped) == ([], {NO_LOW_JUDGEMENT: 1})
    made, dropped = rows({"x": said("x", ("What a score!", 4.0))}, {"x": low}, scoring="sampled")
    assert (made, dropped) == ([], {NO_JUDGEMENT: 1})  # no score would be read from it


def test_a_justification_is_taught_with_the_expected_score_after_it() -> None:
    own = said("x", ("It does.\n\n**", 3.7), ("", 3.9), ("It tries.", 2.0))
    low = said("x@b", ("It misses.", 1.2), ("It is off.", 0.4))
    made, dropped = rows({"x": own}, {"x": low}, scoring="expected", justification=True)
    assert dropped == {}
    assert texts(made) == ["It does.\n\nScore: 4", "It misses.\n\nScore: 1"]


def test_equal_answers_make_the_same_rows_once() -> None:
    asked = [Beside(answer(name, text="Same."), A, B, 4.0) for name in ("x", "y")]
    dropped: Counter[str] = Counter()
    under = [*judged("x@b", 1.0), *judged("y@b", 1.0)]
    made = contrast_rows(asked, [], under, RUBRIC, section(), JudgeSection(), "refresh", dropped)
    assert (len(made.rows), dropped[DUPLICATE], made.own, made.others) == (2, 1, 4.0, 1.0)


def test_a_wrong_answer_is_taught_less_than_a_right_one() -> None:
    from judgeloop.config import parse

    with pytest.raises(InputError, match=r"negative_score \(3\) is not below min_score \(3\)"):
        parse({"seed_data": {"ift": "x.jsonl"}, "judge": {"refresh": {"negative_score": 3}}}, "test")
