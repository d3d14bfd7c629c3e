"""Prompts that a model cannot answer are left out of generation and evaluation, counted and said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from judgeloop.config import parse
from judgeloop.errors import InputError
from judgeloop.jsonl import read_rows, to_line
from judgeloop.loop import method
from judgeloop.records import Candidate, Prompt
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.context import Context
from judgeloop.stages.evaluation import evaluate
from judgeloop.stages.generation import candidates
from tiny import CHAT_TEMPLATE, make_tiny_model

SHORT = Prompt.of([{"role": "user", "content": "Name three things."}], "test")
LONG = Prompt.of([{"role": "user", "content": "7 " * 300}], "test")
ODD = Prompt.of([{"role": "user", "content": "forbidden"}], "test")
REFUSES = "{% for m in messages %}{% if m['content'] == 'forbidden' %}{{ raise_exception('no such words') }}{% endif %}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = make_tiny_model(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 128}))
    return folder


def run_of(folder: Path, model: Path, prompts: list[Prompt], **changes: object) -> RunDirectory:
    (folder / "seed.jsonl").write_text('{"prompt": "Why?", "response": "So."}\n')
    asked = folder / "asked.jsonl"
    asked.write_text("".join(json.dumps({"prompt": p.messages[0]["content"]}) + "\n" for p in prompts))
    how = {"max_new_tokens": 16}
    tree = {
        "model": str(model), "threads": 1, "iterations": 1, "engine": {"kind": "scripted"},
        "seed_data": {"ift": str(folder / "seed.jsonl")}, "candidates": {"count": 2, "sampling": how},
        "evaluation": {"prompts": [str(asked)], "sampling": how}, **changes,
    }  # fmt: skip
    config = parse(tree, "config")
    run = RunDirectory(folder / "run", config, method(config))
    for name in ("M0", "M1", "M2"):
        run.folder(name).mkdir(parents=True)
    write_json(run.folder("M0") / "model.json", {"name": "M0", "path": str(model), "hash": "h0"})
    write_json(run.folder("M1") / "train.json", {"hash": "h1"})
    (run.folder("M1") / "model").symlink_to(model)
    (run.folder("M1") / "held_out.jsonl").write_text("")
    (run.folder("M2") / "prompts.jsonl").write_text("".join(map(to_line, prompts)))
    return run


def context(run: RunDirectory, step: str) -> Context:
    return Context(run, run.steps[step], lambda done, total, note: None)


def test_too_long_and_refused_prompts_get_no_candidates(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = REFUSES + CHAT_TEMPLATE.removeprefix("{% for message in messages %}").replace("message[", "m[")
    (tmp_path / "refuses.jinja").write_text(template)
    run = run_of(tmp_path, model, [SHORT, LONG, ODD], chat_template=str(tmp_path / "refuses.jinja"))
    account = candidates(context(run, "M2/candidates")).account
    rows = read_rows(run.folder("M2") / "candidates.jsonl", Candidate)
    assert [row.prompt_id for row in rows] == [SHORT.id, SHORT.id]
    assert sorted(account["prompts_left_out"].values()) == [1, 1]
    said = capsys.readouterr().out
    assert "1 of 3 left out: longer than the model's 128 positions, with 16 new tokens" in said
    assert "no such words" in said


def test_if_no_prompt_is_left_one_line_says_so(tmp_path: Path, model: Path) -> None:
    run = run_of(tmp_path, model, [LONG])
    with pytest.raises(InputError, match=r"M2/candidates: prompts: no prompt can be put to M1: 1 longer than .* 128"):
        candidates(context(run, "M2/candidates"))


def test_evaluation_leaves_out_what_is_too_long(tmp_path: Path, model: Path) -> None:
    run = run_of(tmp_path, model, [SHORT, LONG])
    account = evaluate(context(run, "M0/eval")).account
    rows = read_rows(run.folder("M0") / "eval.responses.jsonl", Candidate)
    assert {row.prompt_id for row in rows} == {SHORT.id}
    assert list(account["prompts_left_out"].values()) == [1]
    assert read_json(run.folder("M0") / "eval.json")["model"] == "M0"
