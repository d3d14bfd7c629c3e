"""A seed of plain chats from which a model makes its own EFT rows, in a run directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, parse
from judgeloop.eft.contrast_rows import LOW_SCORE, NOT_CLEAR
from judgeloop.errors import InputError
from judgeloop.jsonl import read_rows
from judgeloop.loop import method
from judgeloop.records import Candidate, Judgement, SupervisedRow, stable_id
from judgeloop.report.summary import summarise
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.json_artifacts import read_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from tiny import make_tiny_model

TOPICS = ("rain", "bread", "owls", "chess", "drums")
SCRIPT = [
    *({"match": f"(?s)<response>[^<]*{t}.*request: .*about {t}", "scores": [0, 0, 0, 0, 0, 1]} for t in TOPICS),
    {"match": "(?s)<response>", "scores": [0, 0.5, 0.5, 0, 0, 0]},
    *({"match": f"about {t}", "reply": [f"All about {t}.", f"More of {t}."]} for t in TOPICS),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def config(folder: Path, model: Path, **eft: Any) -> Config:
    chats = [{"prompt": f"Tell me about {topic}.", "response": f"It is {topic}."} for topic in TOPICS]
    for name, rows in (("seed", chats), ("script", SCRIPT), ("held", [{"prompt": "Why is it so?"}])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tree = {
        "model": str(model), "threads": 1, "iterations": 0,
        "engine": {"kind": "scripted", "script": str(folder / "script.jsonl")},
        "seed_data": {"ift": str(folder / "seed.jsonl"), "eft": {"source": "contrast", "samples": 2, **eft,
                              "contrast": {"draw": "near", **eft.get("contrast", {})}}},
        "judge": {"rubric": "additive-5-short"},
        "sft": {"learning_rate": 1e-3, "batch_size": 8, "max_length": 2000, "precision": "f32"},
        "evaluation": {"prompts": str(folder / "held.jsonl"), "base": False},
    }  # fmt: skip
    return parse(tree, "test")


def carried_out(folder: Path, found: Config, *names: str) -> RunDirectory:
    run = RunDirectory(folder / "run", found, method(found))
    run.path.mkdir(exist_ok=True)
    describe(run)
    for name in names:
        run_stage(Context(run, run.steps[name], lambda *_: None))
    return run


def test_a_seed_of_plain_chats_learns_to_judge(model: Path, tmp_path: Path) -> None:
    found = config(tmp_path, model)
    names = ("M0/model", "M1/seed", "M1/rows", "M1/writer", "M1/answers", "M1/contrast_eft", "M1/sft")
    run = carried_out(tmp_path, found, *names)
    assert tuple(run.steps) == (*names, "M1/eval")
    folder = run.folder("M1")
    answers = read_rows(folder / "answers.jsonl", Candidate)
    rows = read_rows(folder / "eft.jsonl", SupervisedRow)
    assert len(answers) == 2 * len(TOPICS)
    assert len(read_rows(folder / "eft.judgements.jsonl", Judgement)) == len(answers)
    assert len(read_rows(folder / "eft.others.jsonl", Judgement)) == len(TOPICS)
    seed = {stable_id("p", row.prompt) for row in read_rows(folder / "ift.jsonl", SupervisedRow)}
    assert len(rows) == 2 * len(TOPICS)
    assert {row.prompt_id for row in rows} <= seed
    assert sorted(row.completion[0]["content"] for row in rows) == ["Score: 1"] * 5 + ["Score: 5"] * 5
    account = read_json(folder / "eft.json")
    assert (account["eft"], account["eft_scores"]) == (10, [0, 5, 0, 0, 0, 5])
    assert account["eft_contrast"]["mean_other_score"] == 1.5
    assert read_json(folder / "train.json")["rows"] == len(TOPICS) + len(rows)
    assert summarise(run.path)["models"][1]["accounts"]["seed"]["eft"] == 10


def test_as_many_instructions_are_answered_as_are_wanted(model: Path, tmp_path: Path) -> None:
    found = config(tmp_path, model, writer="M0", contrast={"max_prompts": 3, "per_prompt": 2})
    run = carried_out(tmp_path, found, "M0/model", "M1/seed", "M1/answers", "M1/contrast_eft")
    assert "M1/writer" not in run.steps
    assert len({row.prompt_id for row in read_rows(run.folder("M1") / "answers.jsonl", Candidate)}) == 3
    assert len(read_rows(run.folder("M1") / "eft.jsonl", SupervisedRow)) == 12


@pytest.mark.parametrize(("limit", "reason"), [({"min_score": 5.5}, LOW_SCORE), ({"min_gap": 4.0}, NOT_CLEAR)])
def test_no_row_at_all_is_an_error(model: Path, tmp_path: Path, limit: dict[str, float], reason: str) -> None:
    found = config(tmp_path, model, writer="M0", contrast=limit)
    with pytest.raises(InputError, match=rf"source contrast leaves no row of 10 answers \(.*{reason}.*min_gap"):
        carried_out(tmp_path, found, "M0/model", "M1/seed", "M1/answers", "M1/contrast_eft")


def test_it_needs_instructions_and_no_ranks() -> None:
    parse({"seed_data": {"ift": "x.jsonl", "eft": {"source": "contrast"}}}, "test")
    with pytest.raises(InputError, match=r"neither ift nor ranked names a file of instructions"):
        parse({"seed_data": {"eft_files": "x.jsonl", "eft": {"source": "contrast"}}}, "test")
