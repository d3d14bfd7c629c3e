from __future__ import annotations

import pytest

from judgeloop.instructions.contamination import Contamination

MATHS = "A train leaves the station at noon and travels at sixty miles an hour towards the coast."
SHORT = "Who wrote Hamlet?"
CHINESE = "小明有三个苹果，他又买了五个苹果，后来吃掉了两个，请问现在还剩几个？"


@pytest.fixture
def guard() -> Contamination:
    return Contamination({"maths.jsonl": [MATHS], "quiz.jsonl": [SHORT, CHINESE]}, 0.7)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Solve: a train leaves the station at noon, then stops.", None),  # seven words in a row
        (
            "Solve this. A TRAIN leaves the station at noon, and it stops at every town on its way. Why would it?",
            ("maths.jsonl", "shares 8 words in a row with"),
        ),
        ("who wrote hamlet", ("quiz.jsonl", "too close to")),
        ("Who wrote Hamlet, and why did nobody print it while he lived?", None),
        ("题目：小明有三个苹果，他又买了五支铅笔", None),  # twelve characters in a row
        ("题目：小明有三个苹果，他又买了五个，问一共多少", ("quiz.jsonl", "shares 13 characters in a row with")),
        ("为什么天空是蓝色的？", None),
    ],
)
def test_runs_and_rouge_l_each_name_the_set(guard: Contamination, text: str, found: tuple[str, str] | None) -> None:
    assert guard.sign(text) == found


def test_a_near_copy_without_a_common_run_is_found_by_rouge_l() -> None:
    guard = Contamination({"set": ["one two three four five six seven eight nine ten eleven twelve"]}, 0.7)
    text = "one two three four five six seven X nine ten eleven twelve"
    assert guard.sign(text) == ("set", "too close to")


def test_a_phrase_of_the_seed_is_no_sign_and_is_counted() -> None:
    phrase = "Answer in exactly three lines that all start with a dash"
    asked = [f"Why do cats purr at night? {phrase}.", "What is rain?"]
    new = f"Name some uses of copper in old ships and houses. {phrase}."
    assert Contamination({"set": asked}, 0.7).sign(new) == ("set", "shares 8 words in a row with")
    guard = Contamination(
        {"set": asked}, 0.7, seed=[f"Describe a bee in a garden full of flowers and trees. {phrase}.", "Sing a song"]
    )
    assert guard.sign(new) is None
    assert guard.account() == {"set": {"prompts": 2, "seed_prompts_that_share_a_run": 1, "seed_prompts_in_it": 0}}
    # What is not the seed's phrase still counts.
    assert guard.sign("So, why do cats purr at night? One word, please") is None
    assert guard.sign("Tell me why do cats purr at night answer in exactly one word please") == (
        "set",
        "shares 8 words in a row with",
    )


def test_without_sets_nothing_is_contaminated() -> None:
    guard = Contamination({}, 0.7, seed=["Describe a bee"])
    assert guard.sign("Describe a bee") is None
    assert guard.account() == {}


def test_a_leak_of_the_evaluation_into_the_seed_does_not_switch_the_gate_off() -> None:
    asked = "Why do old ships of the north creak so loudly on calm nights?"
    new = "So why do old ships of the north creak? Answer as a sailor who has seen them all would, in a short poem."
    leaks = [asked, asked.replace("loudly", "softly"), f"Here comes question one of the many that I have. {asked} Go."]
    for leak in leaks:
        guard = Contamination({"set": [asked]}, 0.7, seed=[leak])
        assert guard.sign(new) == ("set", "shares 8 words in a row with"), leak
        assert guard.account()["set"]["seed_prompts_in_it"] == 1
