"""The shipped quickstart files: what the track's checkers say of them, and that nothing is shared between them."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from judgeloop.instructions.tokens import rouge_l, tokens_of
from judgeloop.seed.readers import read_prompts, read_ranked

ROOT = Path(__file__).resolve().parents[2]
SEED, EVAL = ROOT / "configs" / "quickstart_seed.jsonl", ROOT / "configs" / "quickstart_eval.jsonl"


@pytest.fixture(scope="module")
def track() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verifiable_track", ROOT / "benchmarks" / "verifiable_track.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_scores_are_the_checkers_and_ranks_follow_them(track: ModuleType) -> None:
    tasks = {task.prompt: task for task in track.make_tasks(track.topics(track.SEED_TOPICS), 20)}
    for row in rows(SEED):
        task, responses = tasks[row["prompt"]], row["responses"]
        assert responses[0]["score"] == 5
        assert track.passes(task, responses[0]["text"])
        assert 2 <= len(responses) <= 5
        for response in responses:
            assert response["score"] in {track.points(task, response["text"], done) for done in (True, False)}
        order = [(r["rank"], -r["score"]) for r in responses]
        assert order == sorted(order)


def test_files_are_small_read_cleanly_and_share_no_topic(track: ModuleType) -> None:
    assert SEED.stat().st_size + EVAL.stat().st_size < 200_000
    ranked, account = read_ranked(SEED)
    prompts, evaluation = read_prompts(EVAL)
    assert (account.dropped, evaluation.dropped) == ({}, {})
    assert (len(ranked), len(prompts)) == (109, 48)
    assert not set(track.topics(track.SEED_TOPICS)) & set(track.topics(track.EVAL_TOPICS))
    for prompt in prompts:
        nearest = max(
            rouge_l(tokens_of(prompt.messages[0]["content"]), tokens_of(row.messages[0]["content"])) for row in ranked
        )
        assert nearest < 1


def test_evaluation_rows_name_their_check(track: ModuleType) -> None:
    for row in rows(EVAL):
        wordings = [wording.format(**row["args"]) for wording in track.RULES[row["rule"]].wordings]
        assert row["topic"] in row["prompt"]
        assert any(row["prompt"].endswith(wording) for wording in wordings)


@pytest.mark.parametrize(
    ("rule", "args", "kept", "broken"),
    [
        ("lowercase", {}, "otters like to hold hands.", "Otters like to hold hands."),
        ("capitals", {}, "OTTERS LIKE TO HOLD HANDS.", "OTTERS like to hold hands."),
        ("bullets", {"count": 2}, "- Otters swim.\n- They eat fish.", "- Otters swim.\nThey eat fish."),
        ("include", {"word": "ribbon"}, "Otters wear no Ribbon at all.", "Otters wear no ribbons at all."),
        ("no_commas", {}, "Otters swim and eat fish.", "Otters swim, and eat fish."),
        ("ending", {"sentence": "Now you know."}, "Otters eat fish. Now you know.", "Now you know."),
        ("quotes", {}, '"Otters like to hold hands."', '"Otters" like to hold hands.'),
        ("first_word", {"word": "Well"}, "Well, otters like fish.", "Wellness is what otters like."),
        ("title", {}, "<<Otters>>\nThey like to eat fish.", "Otters\n<<They like to eat fish>>"),
    ],
)
def test_checkers_tell_kept_from_broken(
    track: ModuleType, rule: str, args: dict[str, Any], kept: str, broken: str
) -> None:
    task = track.Task("otters", "Tell me about otters.", rule, "", args)
    assert track.follows(task, kept)
    assert not track.follows(task, broken)
    assert not track.follows(task, " ")


def test_every_rule_can_be_mended(track: ModuleType) -> None:
    answer = (
        "Here is one: a fact. Otters, who live in rivers, eat fish. They hold hands, too. Otters can swim very well."
    )
    for task in track.make_tasks(["otters"] * 18, 1):
        text = track.mended(task, answer, random.Random(0))
        assert text is None or track.points(task, text) == 5
        assert text is not None or task.args.get("count") == 3


def test_points_are_given_for_topic_completeness_and_rule(track: ModuleType) -> None:
    task = track.Task("otters", "Tell me about otters.", "no_commas", "Do not use commas.")
    assert track.points(task, "Otters swim and eat fish.") == 5
    assert track.points(task, "Badgers dig and eat worms.") == 4
    assert track.points(task, "Otters swim and eat", finished=False) == 4
    assert track.points(task, "Otters, they swim and eat fish.") == 2
    assert track.points(task, "Badgers, too") == 0
    assert not track.complete("so it goes so it goes so it goes so it goes")
