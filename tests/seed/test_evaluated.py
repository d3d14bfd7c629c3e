"""Seed rows that are, contain or are near an evaluation prompt are not trained on, in whatever part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import SeedSection
from judgeloop.errors import InputError
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import Message
from judgeloop.seed.build import SeedData, build_seed
from judgeloop.seed.evaluated import sentence
from judgeloop.stages.seed import yields

RUBRIC = load_rubric("additive-5")
ASKED = "Why do old ships of the north creak so loudly on calm nights?"
LEAKS = [
    ASKED,
    ASKED.upper(),
    ASKED.replace("loudly", "softly"),
    f"Here is the first of the many questions that a friend of mine wants answered today. {ASKED} Thanks.",
]
CLEAN = ["Name three uses of copper.", "What is rain?"]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def built(**config: Any) -> SeedData:
    asked: list[list[Message]] = [[{"role": "user", "content": ASKED}]]
    return build_seed(SeedSection.model_validate(config), RUBRIC, True, 0, {"test.jsonl": asked})


@pytest.mark.parametrize("near", [0.7, 1.0])
def test_ift_rows_are_left_out_counted_and_named(tmp_path: Path, near: float) -> None:
    rows = [{"prompt": text, "response": "Because."} for text in (*LEAKS, *CLEAN)]
    data = built(ift=write(tmp_path / "ift.jsonl", rows), near_duplicate=near)
    kept = [row.prompt[0]["content"] for row in data.ift]
    assert kept == (CLEAN if near < 1 else [LEAKS[2], *CLEAN])  # at 1, equal texts alone are the same prompt
    removed = data.account["in_evaluation"]
    assert [entry["why"] for entry in removed] == [
        "equal", "equal", *(["near"] if near < 1 else []), "contains it",
    ]  # fmt: skip
    assert removed[0]["row"].endswith("ift.jsonl:1")
    assert data.account["dropped"]["row with an evaluation prompt, or close to one"] == len(removed)
    (said,) = [line for line in yields(data.account) if "not trained on" in line]
    assert said.startswith(f"{len(removed)} seed rows are not trained on")
    assert "test.jsonl" in said
    assert "ift.jsonl:1" in said


def test_ranked_sets_are_neither_judged_nor_imitated(tmp_path: Path) -> None:
    ranked = [
        {"prompt": text, "responses": [{"text": "Good.", "rank": 0}, {"text": "Bad.", "rank": 1}]}
        for text in (*LEAKS, *CLEAN)
    ]
    file = write(tmp_path / "ranked.jsonl", ranked)
    for share, source in ((1.0, "ranks"), (0.0, "ranks"), (1.0, "written")):
        data = built(ranked=file, held_out_share=0.0, eft_share=share, eft={"source": source})
        trained = json.dumps([[row.prompt for row in (*data.ift, *data.eft)], [s.messages for s in data.eft_sets]])
        assert "ships" not in trained.lower()
        assert "copper" in trained
        assert len(data.account["in_evaluation"]) == len(LEAKS)


def test_a_judgement_of_a_file_about_an_evaluation_prompt_is_left_out(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"e{n}", "kind": "eft", "prompt_id": f"p{n}", "source": "mine:1",
            "prompt": [{"role": "user", "content": f"Judge the answer to this. Question: {text} Answer: Yes."}],
            "completion": [{"role": "assistant", "content": "Fine.\nScore: 4"}],
        }
        for n, text in enumerate((ASKED, CLEAN[0]))
    ]  # fmt: skip
    data = built(eft_files=write(tmp_path / "eft.jsonl", rows))
    assert len(data.eft) == 1
    assert data.account["in_evaluation"][0]["part"] == "EFT"


def test_where_nothing_else_is_left_it_says_so(tmp_path: Path) -> None:
    rows = [{"prompt": text, "response": "Because."} for text in LEAKS]
    with pytest.raises(InputError, match=r"no row is left to train on: 4 seed rows.*test\.jsonl.*ift\.jsonl:1"):
        built(ift=write(tmp_path / "ift.jsonl", rows))


def test_without_a_leak_nothing_is_said() -> None:
    assert sentence([]) is None
