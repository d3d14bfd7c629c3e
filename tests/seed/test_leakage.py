from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from beside import shared
from judgeloop.config import SeedSection
from judgeloop.data.readers import read_ranked
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import Message, RankedSet, stable_id
from judgeloop.seed.build import SeedData, build_seed
from judgeloop.seed.leakage import Known, clusters

TREES = shared("data", "oasst_en_100_trees.jsonl")
needs_trees = pytest.mark.skipif(not TREES.is_file(), reason="the Open Assistant sample is not beside the project")
RUBRIC = load_rubric("additive-5")


def asked(*texts: str) -> list[Message]:
    """A conversation of these user turns, answered in between."""
    messages: list[Message] = []
    for text in texts:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]
    return messages[:-1]


def ranked(messages: list[Message], group: str = "") -> RankedSet:
    name = f"r-{messages}"
    return RankedSet(name, messages, [{"text": "a", "rank": 0}, {"text": "b", "rank": 1}], "file:1", group)


def sides(sets: list[RankedSet], near: float) -> set[frozenset[int]]:
    return {frozenset(cluster) for cluster in clusters(sets, near)[0]}


A = "Why do cats purr when they are stroked by people they know?"
NEARLY_A = "why do cats purr, when they are stroked by someone they know"
BETWEEN = "why do cats purr when they are held by someone they know"
OTHER = "Why do dogs bark at night?"


def test_near_prompts_form_one_cluster_and_so_do_those_they_link() -> None:
    sets = [ranked(asked(text)) for text in (A, OTHER, BETWEEN, NEARLY_A)]
    assert sides(sets, 0.7) == {frozenset({0, 2, 3}), frozenset({1})}
    assert clusters(sets, 0.7)[1] == 2
    # Two words of twelve differ, 0.83: too far apart but for the last, which differs in one from either.
    assert sides([sets[0], sets[2]], 0.85) == {frozenset({0}), frozenset({1})}
    assert sides(sets, 0.85) == {frozenset({0, 2, 3}), frozenset({1})}
    assert sides(sets, 1.0) == {frozenset({i}) for i in range(4)}
    assert clusters(sets, 1.0)[1] == 0


def test_a_conversation_stays_with_what_it_nearly_begins_with() -> None:
    sets = [ranked(asked(A)), ranked(asked(NEARLY_A, "And when they sleep?")), ranked(asked(OTHER, "And cats?"))]
    assert sides(sets, 0.75) == {frozenset({0, 1}), frozenset({2})}


def test_groups_and_equal_texts_join_without_the_near_search() -> None:
    sets = [ranked(asked(A), "t"), ranked(asked(OTHER), "t"), ranked(asked(A.upper() + "!!"))]
    assert sides(sets, 1.0) == {frozenset({0, 1, 2})}


def test_known_prompts_are_found_exactly_nearly_and_by_their_beginnings() -> None:
    known = Known(0.75)
    known.add(asked(A), "held-out")
    known.add(asked(OTHER, "And cats?"), "EFT")
    assert known.same(asked(A.lower())) == "held-out"
    assert known.same(asked(A, "And?")) == "held-out"  # goes on from it
    assert known.same(asked(OTHER)) == "EFT"  # begins it
    assert known.same(asked(NEARLY_A)) is None
    assert known.near(asked(NEARLY_A)) == "held-out"
    assert known.near(asked(NEARLY_A, "And when asleep?")) == "held-out"
    assert known.near(asked("Why do the dogs bark at night?")) == "EFT"
    assert known.near(asked("What is the Moon made of?")) is None
    exact = Known(1.0)
    exact.add(asked(A), "held-out")
    assert exact.near(asked(NEARLY_A)) is None
    assert exact.same(asked(A.lower())) == "held-out"


# An independent check, with code of its own, on real trees ---------------------------------------------------------


def words(messages: list[Message]) -> list[str]:
    """What the user said, as words: the test's own idea of it."""
    return re.findall(r"\w+", " ".join(m["content"] for m in messages if m["role"] == "user").lower())


def rouge(left: list[str], right: list[str]) -> float:
    """ROUGE-L F by the textbook's table."""
    row = [0] * (len(right) + 1)
    for word in left:
        diagonal = 0
        for j, other in enumerate(right, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return 2 * row[-1] / (len(left) + len(right))


def shared(left: list[list[str]], right: list[list[str]], threshold: float) -> list[tuple[str, str]]:
    """Pairs above the threshold; those that share too few words, in any order, are not looked at."""
    found = []
    for one in left:
        counts = Counter(one)
        for other in right:
            most = 2 * (counts & Counter(other)).total() / max(1, len(one) + len(other))
            if most > threshold and rouge(one, other) > threshold:
                found.append((" ".join(one), " ".join(other)))
    return found


def prompts_of(data: SeedData, conversations: dict[str, list[Message]]) -> dict[str, list[list[Message]]]:
    return {
        "held_out": [row.messages for row in data.held_out],
        "eft": [conversations[name] for name in dict.fromkeys(row.prompt_id for row in data.eft)],
        "ift": [row.prompt for row in data.ift],
    }


def check_nothing_is_shared(parts: dict[str, list[list[Message]]], threshold: float) -> None:
    """Whole prompts, and their beginnings, of each part against those of the others."""
    texts = {
        name: [words(m[: end + 1]) for m in part for end, turn in enumerate(m) if turn["role"] == "user"]
        for name, part in parts.items()
    }
    whole = {name: [words(m) for m in part] for name, part in parts.items()}
    for one in parts:
        for other in parts:
            if one != other:
                assert not shared(whole[one], texts[other], threshold), (one, other)
    assert all(parts.values())


def prompt_id(messages: list[Message]) -> str:
    return stable_id("p", messages)


def mutated(text: str, rng: random.Random) -> str:
    """The text with one word in ten (at least one) replaced or left out."""
    pieces = text.split()
    for place in rng.sample(range(len(pieces)), max(1, len(pieces) // 10)):
        pieces[place] = rng.choice(["", "thing", "Please,"])
    return " ".join(piece for piece in pieces if piece)


@needs_trees
@pytest.mark.parametrize("turns", ["first", "all"])
def test_no_prompt_of_the_real_trees_is_shared(turns: str) -> None:
    config = SeedSection.model_validate({"ranked": str(TREES), "ift": str(TREES), "turns": turns})
    data = build_seed(config, RUBRIC, True, 0)
    sets, _ = read_ranked(TREES, "all" if turns == "all" else "first", "en")
    conversations = {prompt_id(ranked.messages): ranked.messages for ranked in sets}
    check_nothing_is_shared(prompts_of(data, conversations), 0.7)


@needs_trees
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_near_duplicates_end_in_one_part_or_are_dropped(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    sets, _ = read_ranked(TREES, "first", "en")
    long = [ranked for ranked in sets if len(ranked.messages[0]["content"].split()) >= 8]
    planted: list[dict[str, Any]] = []
    for one in long:
        prompt = mutated(one.messages[0]["content"], rng)
        planted.append({"prompt": prompt, "responses": [{"text": f"x {prompt}", "rank": 0}, {"text": "y", "rank": 1}]})
    ranked_file, ift_file = tmp_path / "ranked.jsonl", tmp_path / "ift.jsonl"
    ranked_file.write_text("".join(json.dumps(row) + "\n" for row in planted), encoding="utf-8")
    ift = [{"prompt": mutated(one.messages[0]["content"], rng), "response": "z"} for one in long]
    ift_file.write_text("".join(json.dumps(row) + "\n" for row in ift), encoding="utf-8")
    config = SeedSection.model_validate({"ranked": (str(TREES), str(ranked_file)), "ift": str(ift_file)})
    data = build_seed(config, RUBRIC, True, seed)
    conversations = {prompt_id([{"role": "user", "content": r["prompt"]}]): asked(r["prompt"]) for r in planted}
    conversations |= {prompt_id(one.messages): one.messages for one in sets}
    check_nothing_is_shared(prompts_of(data, conversations), 0.7)
    assert data.account["near_duplicates"] >= 0.9 * len(long)
    dropped = data.account["dropped"]
    assert dropped["IFT row close to a held-out prompt"] > 5
    assert dropped["IFT row close to an EFT prompt"] > 5
