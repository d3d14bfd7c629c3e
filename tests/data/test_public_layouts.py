"""The files that failed once, as a new user brings them: each gives what is right, and nothing else is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beside import shared
from judgeloop.cli import app
from judgeloop.data.readers import read_both, read_supervised

CASES = shared("cases", "data")
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the project (shared/cases/data)")
GOOD, BAD = "Here is a helpful answer about {}: it is worth knowing well.", "No idea about {}, sorry."
TOPICS = ("rain", "bread", "the Moon", "cats", "trains", "tea", "maps", "owls", "soap", "chess")
FIRST = "Why does rain smell so good?"
EARLIER = ["Hello, who are you?", "An assistant."]
RANKED = {
    "arena-55k.train.csv": [FIRST],
    "arena-55k.train.jsonl": [FIRST],
    "conversations-beside-prompt.mixed.jsonl": [*EARLIER, FIRST],
    "distilabel.ratings.jsonl": [FIRST],
    "helpsteer2.train.jsonl": [FIRST],
    "hh-rlhf.hh.jsonl": [FIRST, "Which thing?", "Any."],
    "kto.kto.jsonl": [FIRST],
    "lf-dpo-alpaca.dpo.json": [FIRST],
    "lf-dpo-sharegpt.dpo_sharegpt.json": [FIRST],
    "ranked-sets.nectar.jsonl": [FIRST],
    "ranked-sets.pku.jsonl": [FIRST],
}
ALONE = ("reasoning-data.reasoning_content.jsonl", "text-only.guanaco.jsonl", "text-only.qa.jsonl")
UNREAD = {
    "arena-55k.train.jsonl": {"model_a": 10, "model_b": 10},
    "distilabel.ratings.jsonl": {"rationales": 10, "model_name": 10},
    "helpsteer2.train.jsonl": {"correctness": 21, "coherence": 21, "complexity": 21, "verbosity": 21},
    "ranked-sets.nectar.jsonl": {"turns": 10, "num_responses": 10, "source": 10, "good_natured": 10},
    "kto.kto.jsonl": {},
}


def test_every_case_is_tried() -> None:
    assert {path.name for path in CASES.iterdir()} == {*RANKED, *ALONE}


@pytest.mark.parametrize("name", RANKED)
def test_ranked_sets(name: str) -> None:
    sets, more, account = read_both(CASES / name)
    assert [[r["text"] for r in s.responses] for s in sets] == [[GOOD.format(t), BAD.format(t)] for t in TOPICS]
    assert [message["content"] for message in sets[0].messages] == RANKED[name]
    assert [message["role"] for message in sets[0].messages] == ["user", "assistant", "user"][-len(RANKED[name]) :]
    assert account.taken == len(sets) + len(more)
    assert account.unread == UNREAD.get(name, account.unread)
    if name != "helpsteer2.train.jsonl":
        assert more == []
        return
    (oak,) = more  # split at <extra_id_1>, and alone with its prompt
    said = ["Who are you?", "An assistant.", "Good. Name a tree."]
    assert [message["content"] for message in oak.prompt] == said
    assert oak.completion[0]["content"] == "An oak."


@pytest.mark.parametrize("name", [*RANKED, *ALONE])
def test_only_good_answers_are_learnt(name: str) -> None:
    rows, _ = read_supervised(CASES / name)
    learnt = [row.completion[0]["content"] for row in rows]
    assert [text for text in learnt if text != "An oak."] == [GOOD.format(topic) for topic in TOPICS]


def test_thoughts_are_left_out_and_counted_or_trained_on() -> None:
    path = CASES / "reasoning-data.reasoning_content.jsonl"
    _, account = read_supervised(path)
    assert account.thoughts == 10
    assert account.sentence(path).endswith("10 thoughts left out")
    rows, account = read_supervised(path, thoughts="train")
    assert rows[0].completion[0]["content"] == f"<think>\nThey ask about it.\n</think>\n\n{GOOD.format('rain')}"
    assert account.sentence(path).endswith("10 thoughts trained on")


@pytest.mark.parametrize("name", [*RANKED, *ALONE])
def test_the_command_makes_a_seed_of_it(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["seed", str(CASES / name), "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    account: dict[str, Any] = json.loads(done.stdout)
    more = name == "helpsteer2.train.jsonl"
    counts = (10, 0, 0) if name in ALONE else (4 + more, 8, 2)
    assert (account["ift"], account["eft"], account["held_out"]) == counts
    assert account["taken"] == 10 + more
