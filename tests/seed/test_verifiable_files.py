"""The shipped files of the verifiable track: what the track's checkers say of them, and that no part knows another."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from judgeloop.config.user_functions import load_module
from judgeloop.data.readers import read_prompts, read_ranked

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "configs" / "verifiable"
PROMPT_FILES = ("prompts", "development", "held_out_development", "test", "held_out_test")


@pytest.fixture(scope="module")
def track() -> ModuleType:
    return load_module(FILES / "verifiable_track.py", "evaluation.checker")


@pytest.fixture(scope="module")
def misses() -> ModuleType:
    return load_module(FILES / "verifiable_misses.py", "misses")


@pytest.fixture(scope="module")
def topics() -> dict[str, set[str]]:
    lists = load_module(FILES / "verifiable_topics.py", "topics")
    names = ("SEED", "LOOP", "DEVELOPMENT", "TEST")
    return {name: set(lists.topics(getattr(lists, name))) for name in names}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FILES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_scores_are_the_checkers_and_ranks_follow_them(track: ModuleType) -> None:
    for row in rows("seed"):
        task, responses = track.task_of(row["prompt"]), row["responses"]
        for response in responses:
            assert response["score"] in {track.points(task, response["text"], done) for done in (True, False)}
        order = [(r["rank"], -r["score"]) for r in responses]
        assert order == sorted(order)
        assert responses[0]["score"] > responses[-1]["score"]


def test_files_read_cleanly_and_share_no_topic(track: ModuleType, topics: dict[str, set[str]]) -> None:
    assert sum(path.stat().st_size for path in FILES.glob("*.jsonl")) < 700_000
    ranked, account = read_ranked(FILES / "seed.jsonl")
    assert account.dropped == {}
    assert len(ranked) > 250
    for one, other in combinations(topics.values(), 2):
        assert not one & other
    found = {name: [track.task_of(row["prompt"]) for row in rows(name)] for name in ("seed", *PROMPT_FILES)}
    for name, tasks in found.items():
        split = {"prompts": "LOOP"}.get(name, name.split("_")[-1].upper())
        assert {task.topic for task in tasks} <= topics[split]
        assert all((task.rule == "postscript") == name.startswith("held_out") for task in tasks)
    for name in PROMPT_FILES:
        assert read_prompts(FILES / f"{name}.jsonl")[1].dropped == {}
    assert min(Counter(task.rule for task in found["test"]).values()) >= 20


def test_rows_tell_their_check_and_the_loops_prompts_do_not(track: ModuleType) -> None:
    for name in PROMPT_FILES:
        for row in rows(name):
            task = track.task_of(row["prompt"])
            expected = {"topic": task.topic, "rule": task.rule, "args": task.args} if name != "prompts" else {}
            assert row == {"prompt": row["prompt"], **expected}


def test_a_prompt_of_another_kind_is_none_of_the_tracks(track: ModuleType) -> None:
    with pytest.raises(ValueError, match="no prompt of the track: Name a river"):
        track.task_of("Name a river.")


@pytest.mark.parametrize(
    ("rule", "args", "kept", "broken"),
    [
        ("lowercase", {}, "otters like to hold hands.", "Otters like to hold hands."),
        ("capitals", {}, "OTTERS LIKE TO HOLD HANDS.", "OTTERS like to hold hands."),
        ("bullets", {"count": 2}, "- Otters swim.\n- They eat fish.", "- Otters swim.\nThey eat fish."),
        ("bullets", {"count": 2}, "- Otters swim.\n- They eat fish.", "- Otters swim.\n- They eat.\n- Fish too."),
        ("include", {"word": "ribbon"}, "Otters wear no Ribbon at all.", "Otters wear no rib bon at all."),
        ("no_commas", {}, "Otters swim and eat fish.", "Otters swim, and eat fish."),
        ("ending", {"sentence": "Now you know."}, "Otters eat fish. Now you know.", "Now you know."),
        ("ending", {"sentence": "Now you know."}, "Otters eat fish. Now you know.", "Now you know. Otters eat fish."),
        ("quotes", {}, '"Otters like to hold hands."', '"Otters" like to hold hands.'),
        ("first_word", {"word": "Well"}, "Well, otters like fish.", "Wellness is what otters like."),
        ("title", {}, "<<Otters>>\nThey like to eat fish.", "Otters\n<<They like to eat fish>>"),
        ("highlight", {}, "Otters *like* to eat fish.", "Otters like to eat * fish."),
        ("postscript", {}, "Otters eat fish.\nP.S. They swim too.", "Otters eat fish. PS they swim."),
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
    for task in track.make_tasks(["otters"], 60, 1):
        text = track.mended(task, answer, random.Random(0))
        assert text is None or track.points(task, text) == 5
        assert text is not None or task.args.get("count") == 3
    with pytest.raises(ValueError, match="no 5000 different tasks over 1 topics"):
        track.make_tasks(["otters"], 5000, 1)


def test_answers_made_hard_to_judge_do_not_do_as_told(track: ModuleType, misses: ModuleType) -> None:
    answer = "Otters swim in rivers and eat fish. They hold hands and like to play. Otters can swim very well."
    made: Counter[tuple[str, str]] = Counter()
    for number, task in enumerate(track.make_tasks(["otters"], 60, 1)):
        keeps = track.mended(task, answer, random.Random(0))
        near, other = (
            misses.nearly(task, keeps, random.Random(number)),
            misses.crossed(task, answer, random.Random(number)),
        )
        for kind, text in (("near", near), ("other", other)):
            if text is not None:
                assert track.points(task, text) == misses.IGNORED
                assert text != keeps
                made[task.rule, kind] += 1
        if near is not None and task.rule in ("no_commas", "highlight", "quotes"):
            assert len(near) < len(keeps) + 4
    assert len({rule for rule, _ in made}) == 10
    assert all(made[rule, kind] for rule, _ in made for kind in ("near", "other"))


def test_points_are_given_for_topic_completeness_and_rule(track: ModuleType) -> None:
    task = track.Task("otters", "Tell me about otters.", "no_commas", "Do not use commas.")
    assert track.points(task, "Otters swim and eat fish.") == 5
    assert track.points(task, "Badgers dig and eat worms.") == 4
    assert track.points(task, "Otters swim and eat a lot", finished=False) == 1
    assert track.points(task, "Otters, they swim and eat fish.") == 2
    assert track.points(task, "Badgers, too") == 0
    assert not track.complete("so it goes so it goes so it goes so it goes")


def test_the_oracle_is_right(track: ModuleType) -> None:
    messages = [{"role": "user", "content": "Tell me briefly about wolves. Do not use commas."}]
    assert track.score(messages, "Wolves live in packs and howl.", True) == 5
    assert track.score(messages, "Wolves live in packs and howl.", False) == 0
    assert track.score(messages, "Wolves, they live in packs.", True) == 0


def test_degenerate_responses_do_not_pass(track: ModuleType) -> None:
    tasks = track.make_tasks(["otters"], 80, 5)
    answer = "Otters swim in rivers and eat the fish that they find there."
    made = [track.degenerate(task, answer, random.Random(task.prompt)) for task in tasks]
    finished = dict(made)
    assert finished["Otters swim in rivers and eat"] is False
    assert finished["Now you know."] is True
    for task, (text, done) in zip(tasks, made, strict=True):
        assert text == task.question or not track.passes(task, text, done)
