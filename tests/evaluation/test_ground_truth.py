"""Ground truth by the user's own code: what a checker may return, and the figures made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judgeloop.errors import InputError
from judgeloop.evaluation.ground_truth import (
    CheckedResponse,
    ResponseChecker,
    check_response,
    ground_truth,
    same_measures,
)


def checker(function: Callable[..., Any]) -> ResponseChecker:
    return ResponseChecker(Path("check.py"), function)


def asked(function: Callable[..., Any]) -> dict[str, float]:
    return check_response(checker(function), {"prompt": "Hi?"}, "Hello.", finished=True, where="prompts.jsonl:3")


def rows(**measures: list[list[float]]) -> list[CheckedResponse]:
    """`passes=[[1, 0], [1, 1]]`: two prompts of two responses."""
    shape = next(iter(measures.values()))
    return [
        CheckedResponse(f"r{p}.{k}", f"p{p}", True, {name: values[p][k] for name, values in measures.items()})
        for p, found in enumerate(shape)
        for k in range(len(found))
    ]


def figures(checked: list[CheckedResponse], **more: Any) -> dict[str, Any]:
    return ground_truth(checked, seed=0, resamples=200, **more)


def test_a_bool_is_one_measure_and_a_mapping_several() -> None:
    assert asked(lambda prompt, response, finished: finished) == {"passes": 1.0}
    assert asked(lambda prompt, response, finished: not finished) == {"passes": 0.0}
    found = asked(lambda prompt, response, finished: {"follows": True, "overlap": 0.25, "empty": 0})
    assert found == {"follows": 1.0, "overlap": 0.25, "empty": 0.0}
    assert next(iter(found)) == "follows"


def test_the_checker_sees_the_row_and_cannot_change_it() -> None:
    row = {"prompt": "Hi?", "gold": ["a"]}

    def check(prompt: dict[str, Any], response: str, finished: bool) -> bool:
        prompt["gold"].append(response)
        return prompt == {"prompt": "Hi?", "gold": ["a", "Hello."]} and not finished

    for _ in range(2):
        assert check_response(checker(check), row, "Hello.", finished=False, where="x") == {"passes": 1.0}
    assert row == {"prompt": "Hi?", "gold": ["a"]}


@pytest.mark.parametrize(
    "returned", [None, 1, 0.5, "yes", {}, {"a": 2}, {"a": -0.1}, {"a": float("nan")}, {"a": "1"}, {1: True}, {" ": 1}]
)
def test_anything_else_is_refused(returned: object) -> None:
    with pytest.raises(InputError, match=r"check\.py: check\(\) returns .* for a response to prompts\.jsonl:3; return"):
        asked(lambda prompt, response, finished: returned)


def test_a_checker_that_fails_is_named_with_row_and_reason() -> None:
    def broken(prompt: dict[str, Any], response: str, finished: bool) -> bool:
        raise KeyError("gold\nanswer")

    def leaves(prompt: dict[str, Any], response: str, finished: bool) -> bool:
        raise SystemExit(3)

    with pytest.raises(InputError) as error:
        asked(broken)
    assert "check() fails with KeyError ('gold\\nanswer') on a response to prompts.jsonl:3; mend it" in str(error.value)
    with pytest.raises(InputError, match="fails with SystemExit"):
        asked(leaves)


def test_every_response_has_the_same_measures() -> None:
    one = checker(lambda *_: True)
    same_measures(one, ["a", "b"], {"b": 1.0, "a": 0.0}, "x")
    with pytest.raises(InputError, match=r"names a for a response to prompts\.jsonl:4, and a, b for the first one"):
        same_measures(one, ["a", "b"], {"a": 1.0}, "prompts.jsonl:4")


def test_the_unit_is_the_prompt() -> None:
    found = figures(rows(passes=[[1, 0], [1, 1], [0, 0], [1, 1]], overlap=[[0.5, 0.5], [1, 0], [0, 0], [0, 0]]))
    assert (found["headline"], found["prompts"], found["responses"]) == ("passes", 4, 8)
    assert found["measures"]["passes"]["value"] == 0.625
    assert found["measures"]["passes"]["n"] == 4
    assert found["measures"]["passes"]["low"] < 0.625 < found["measures"]["passes"]["high"]
    assert found["measures"]["overlap"]["value"] == 0.25
    assert found["differences"] == {}
    assert found["groups"] == {}
    assert found["without_group"] is None


def test_the_difference_is_paired_by_prompt() -> None:
    now = rows(passes=[[1, 1], [0.5, 0.5], [0.75, 0.25], [1, 1]])
    before = rows(passes=[[0.75, 0.75], [0.25, 0.25], [0.25, 0.25]])  # the fourth prompt was not asked
    change = figures(now, previous=before)["differences"]["passes"]
    assert change is not None
    assert (change["value"], change["n"]) == (0.25, 3)
    assert -1 <= change["low"] < 0.25 < change["high"] <= 1  # three equal differences are not certain
    other = [CheckedResponse(row.id, row.prompt_id, True, {"else": 1.0}) for row in before]
    assert figures(now, previous=other)["differences"] == {"passes": None}


def test_how_well_the_judge_tells_better_from_worse() -> None:
    checked = rows(passes=[[1, 0], [0, 1], [1, 0], [1, 1], [1, 0]])
    scores = {
        "r0.0": 4.0, "r0.1": 2.0,  # right
        "r1.0": 4.0, "r1.1": 2.0,  # wrong
        "r2.0": 3.0, "r2.1": 3.0,  # a tie
        "r3.0": 5.0, "r3.1": 1.0,  # nothing to tell apart
        "r4.0": 5.0, "r4.1": None,  # no score
    }  # fmt: skip
    found = figures(checked, scores=scores)["judge_accuracy"]
    assert (found["value"], found["n"]) == (0.5, 3)
    assert figures(rows(passes=[[1, 1], [0, 0]]), scores=scores)["judge_accuracy"] is None


def test_the_headline_by_group() -> None:
    checked = rows(passes=[[1, 1], [0, 1], [0, 0]], other=[[0, 0], [0, 0], [0, 0]])
    found = figures(checked, groups={"p0": "rhyme", "p1": "rhyme"})
    assert list(found["groups"]) == ["rhyme"]
    assert (found["groups"]["rhyme"]["value"], found["groups"]["rhyme"]["n"]) == (0.75, 2)
    assert found["without_group"] == 1
