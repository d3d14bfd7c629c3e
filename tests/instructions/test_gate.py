from __future__ import annotations

import pytest

from judgeloop.config import PromptsSection
from judgeloop.instructions.gate import Gate

CONFIG = PromptsSection()


@pytest.fixture
def gate() -> Gate:
    return Gate(
        CONFIG,
        seed=["Name three long rivers of Asia"],
        earlier=["Explain how a bicycle stays upright"],
        avoid=["Why do leaves turn red in autumn?"],
        evaluation_sets={"quiz.jsonl": ["Who painted the ceiling of the chapel in Rome, and in which four years?"]},
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Hm", "too short"),
        ("Name four long rivers of Asia", "too close to a seed prompt"),
        ("Explain why a bicycle stays upright", "too close to an earlier iteration's prompt"),
        ("Why do leaves turn yellow in autumn?", "too close to an evaluation prompt"),
        (
            "Tell me who painted the ceiling of the chapel in Rome, and whether he liked heights at all",
            "shares 8 words in a row with evaluation set quiz.jsonl",
        ),
        (
            "Who painted the ceiling of a chapel in Rome, and in what four years?",
            "too close to evaluation set quiz.jsonl",
        ),
        ("Suggest a name for a small bakery", None),
    ],
)
def test_each_refusal_says_why(gate: Gate, text: str, reason: str | None) -> None:
    assert gate.refusal(text) == reason
    assert gate.admit(text) == reason


def test_what_is_admitted_joins_and_what_is_refused_does_not(gate: Gate) -> None:
    assert gate.refusal("Suggest a name for a small bakery") is None
    assert gate.admit("Suggest a name for a small bakery") is None
    assert gate.admit("Suggest a name for a small brewery") == "too close to a prompt already kept"
    gate.add("Compare tea and coffee for a tired nurse")
    assert gate.refusal("Compare tea and coffee for a tired pilot") == "too close to a prompt already kept"


def test_where_all_nearness_is_allowed_the_same_prompt_is_still_no_new_one() -> None:
    """Or a small model's list of 250 prompts holds 87, and every one of their candidates several times."""
    config = PromptsSection(max_rouge_l=1.0)
    gate = Gate(config, seed=["Name three long rivers of Asia"], avoid=["Why do leaves turn red?"])
    assert gate.admit("Name three long rivers of Asia.") == "too close to a seed prompt"
    assert gate.admit("Why do leaves turn red?") == "too close to an evaluation prompt"
    assert gate.admit("Name four long rivers of Asia") is None
    assert gate.admit("Name  four long rivers of Asia") == "too close to a prompt already kept"
    assert gate.admit("Name four long rivers in Asia") is None


def test_contamination_is_asked_before_novelty_and_alone() -> None:
    gate = Gate(CONFIG, seed=["Why do leaves turn red in autumn?"], avoid=["Why do leaves turn red in spring?"])
    assert gate.refusal("Why do leaves turn red in autumn?") == "too close to an evaluation prompt"
    assert gate.contamination("Hm") is None
    assert Gate(CONFIG, seed=["Name three rivers"]).contamination("Name three rivers") is None


def test_the_account_names_what_was_compared_with(gate: Gate) -> None:
    assert gate.account() == {
        "evaluation_sets": {
            "evaluation": {"prompts": 1, "seed_prompts_that_share_a_run": 0, "seed_prompts_in_it": 0},
            "quiz.jsonl": {"prompts": 1, "seed_prompts_that_share_a_run": 0, "seed_prompts_in_it": 0},
        }
    }
    assert Gate(CONFIG).account() == {
        "evaluation_sets": {"evaluation": {"prompts": 0, "seed_prompts_that_share_a_run": 0, "seed_prompts_in_it": 0}}
    }
