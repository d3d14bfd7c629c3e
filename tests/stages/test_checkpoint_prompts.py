"""Early stopping chooses on prompts that no model is evaluated on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from judgeloop.config import Config, parse
from judgeloop.errors import InputError
from judgeloop.records import RankedSet
from judgeloop.stages.checkpoint_prompts import checkpoint_prompts
from judgeloop.stages.context import kept_from_training

WORDS = ("rain", "bread", "cats", "trains", "tea", "maps", "owls", "soap", "chess", "snow")


def config(path: Path, texts: list[str], *, wanted: int, count: int = 4, seed: int = 0) -> Config:
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    tree = {
        "seed": seed, "seed_data": {"ift": "x.jsonl"}, "evaluation": {"prompts": str(path), "count": count},
        "train": {"early_stopping": {"every": 1, "prompts": wanted}},
    }  # fmt: skip
    return parse(tree, "test")


def sets(*texts: str) -> list[RankedSet]:
    return [RankedSet(text, [{"role": "user", "content": text}], [], "file:1", "") for text in texts]


def test_they_are_disjoint_from_the_evaluated_ones_and_drawn_by_the_seed(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    texts = [f"Say {word} twice" for word in WORDS]
    drawn = []
    for seed in (0, 0, 7):
        found = config(file, texts, wanted=4, seed=seed)
        evaluated = {prompt.id for prompt in kept_from_training(found, [])[:4]}
        chosen = {prompt.id for prompt in checkpoint_prompts(found, sets("Who held this out?"))}
        assert len(chosen) == 4
        assert not chosen & evaluated
        drawn.append(chosen)
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_is_near_an_evaluated_prompt_does_not_count_and_too_few_are_refused(tmp_path: Path) -> None:
    asked = "Why do old ships of the north creak so loudly on calm nights?"
    texts = [asked, asked.replace("loudly", "softly"), "What is rain?"]
    found = config(tmp_path / "p.jsonl", texts, wanted=1, count=1)
    assert [p.messages[0]["content"] for p in checkpoint_prompts(found, [])] == ["What is rain?"]
    more = config(tmp_path / "p.jsonl", texts, wanted=2, count=1)
    with pytest.raises(InputError, match=r"2 held-out prompts are wanted .* 1 are left \(1 more are near"):
        checkpoint_prompts(more, [])
    assert len(checkpoint_prompts(more, sets("Who held this out?"))) == 2
