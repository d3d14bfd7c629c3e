"""A judge behind an endpoint that does not answer every row: what is left out has no score, and says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from asking import endpoint_judge, engine, pairs, rows
from endpoint import Answer, Asked, fails, says, serving
from judgeloop.errors import InputError

pytestmark = pytest.mark.usefixtures("endpoint_key")
TOP = {"4": -0.5, "3": -1.2}
FILTER = fails(400, "Your input was flagged by the content filter")


def begun(asked: Asked) -> bool:
    return bool(asked.body["messages"][-1]["role"] == "assistant")


def about(asked: Asked, text: str) -> bool:
    return any(text in message["content"] for message in asked.body["messages"])


def goes_on(asked: Asked) -> Answer:
    return says("4", tokens=[("4", TOP)], finish="length") if begun(asked) else says("Score: 4")


def test_a_row_that_is_refused_has_no_score_and_the_others_have() -> None:
    with serving(lambda asked: FILTER if about(asked, "hello 1") else says("Score: 4")) as server:
        found = {row.id: row for row in endpoint_judge(engine(server.url)).scores(rows())}
    assert {name: row.score for name, row in found.items()} == {"r0.j0": 4, "r1.j0": None, "r2.j0": 4}
    assert found["r1.j0"].reason == "refused by the endpoint: its content filter"


def test_a_pair_that_is_refused_has_no_verdict_and_the_others_have() -> None:
    with serving(lambda asked: FILTER if about(asked, "hello 1") else says("Better: A")) as server:
        found = {row.id: row.better for row in endpoint_judge(engine(server.url)).verdicts(pairs())}
    assert found == {"r0": "first", "r1": None, "r2": "first"}


def test_rows_that_are_refused_do_not_settle_how_scores_are_read() -> None:
    """The first four rows are refused: that says nothing about begun lines, and the rest is read after them."""
    settled: list[str] = []
    with serving(
        lambda asked: FILTER if any(about(asked, f"hello {n}") for n in range(4)) else goes_on(asked)
    ) as server:
        judge = replace(endpoint_judge(engine(server.url), "expected"), settled=settled.append)
        found = list(judge.scores(rows(9)))
    assert settled == ["always"]
    assert sum(row.score is None for row in found) == 4
    assert all(begun(asked) for asked in server.asked)
    assert len(server.asked) == 9


def test_a_judge_that_refuses_every_row_is_an_error_said_early() -> None:
    with serving(lambda asked: fails(400, "maximum context length is 10 tokens")) as server:
        with pytest.raises(InputError, match=r"answers none of 100 rows.*maximum context length is 10"):
            list(endpoint_judge(engine(server.url)).scores(rows(400)))
        with pytest.raises(InputError, match="answers none of 5 rows"):
            list(endpoint_judge(engine(server.url), "expected").scores(rows(5)))
    assert len(server.asked) < 150


def test_rows_that_are_left_after_others_were_answered_may_all_be_refused() -> None:
    with serving(lambda asked: FILTER if about(asked, "hello 1") else says("Score: 4")) as server:
        judge = endpoint_judge(engine(server.url))
        before = list(judge.scores(rows(1)))
        (left,) = judge.going_on(before).scores(rows(2)[1:])
    assert left.score is None


@pytest.mark.parametrize(
    ("message", "finish", "reason"),
    [
        ({"content": "Fine. Score: 4"}, "content_filter", "stopped by the endpoint's content filter"),
        ({"content": None, "refusal": "Score: 5"}, "stop", "the model refuses to answer"),
        ({"content": None, "tool_calls": [{}]}, "tool_calls", "a tool call in place of an answer"),
        ({"content": None, "reasoning_content": "Score: 5"}, "stop", "a thought and no answer"),
        ({"content": "<think>Score: 5"}, "stop", "a thought and no answer"),
        ({"content": "", "reasoning": "Score: 5"}, "MAX_TOKENS", "cut off in its thought; raise"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scoring", ["sampled", "expected"])
def test_what_is_no_answer_has_no_score_and_no_verdict(
    message: dict[str, Any], finish: str, reason: str, scoring: str
) -> None:
    sent = Answer({"choices": [{"message": message, "finish_reason": finish}]})
    with serving(lambda asked: sent) as server:
        judge = endpoint_judge(engine(server.url), scoring)
        judged, compared = list(judge.scores(rows())), list(judge.verdicts(pairs()))
    assert [(row.score, (row.reason or "")[: len(reason)]) for row in judged] == [(None, reason)] * 3
    assert [(row.better, (row.reason or "")[: len(reason)]) for row in compared] == [(None, reason)] * 3


@pytest.mark.parametrize(
    "refused",
    [
        fails(400, "Could not finish the message because max_tokens or model output limit was reached."),
        fails(400, "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1."),
        fails(500, "Assistant response prefill is incompatible with enable_thinking."),
        fails(404, "No endpoints found that support assistant prefill"),
        fails(500, "Internal Server Error"),
        says("<think>", tokens=[("<think>", {"<think>": -0.01, "4": -6.0})], finish="length"),
    ],
)
def test_the_judge_writes_its_line_where_a_begun_one_is_refused_in_any_way(refused: Answer) -> None:
    with serving(lambda asked: refused if begun(asked) else says("Score: 4")) as server:
        asked = engine(server.url, attempts=2)
        found = list(endpoint_judge(asked, "expected").scores(rows(5)))
    assert [row.score for row in found] == [4] * 5
    assert sum("does not go on with a begun score line" in note for note in asked.notes) == 1
