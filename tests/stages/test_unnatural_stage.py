"""`prompts.source: unnatural` as a stage of the loop, on scripted replies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from judgeloop.config import parse
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.loop import method
from judgeloop.records import Prompt, SupervisedRow, Task
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from tiny import make_tiny_model

EXAMPLE = " Weigh the following stone\nInput: a grey flint\nConstraints: Only a number.\nOutput: 3"
RULES = [
    {"match": r"Example 4\s+Instruction:\s*$", "reply": EXAMPLE},
    {"match": r"Other wording:\s*$", "reply": [" How heavy is this stone? {INPUT}", " Is that so?"]},
    {"match": r"Weigh the following stone", "reply": "3"},
]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def run_prompts(folder: Path, model: Path) -> RunDirectory:
    """A run whose M1 stands, up to its first new prompts."""
    seed = [{"instruction": f"Say thing {k}.", "input": f"thing {k}", "output": "So."} for k in range(4)]
    (folder / "seed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in seed))
    (folder / "held_out.jsonl").write_text(json.dumps({"prompt": "What would you do about snow?"}) + "\n")
    (folder / "script.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in RULES))
    tree = {
        "model": str(model),
        "iterations": 1,
        "engine": {"kind": "scripted", "script": str(folder / "script.jsonl")},
        "seed_data": {"ift": str(folder / "seed.jsonl")},
        "evaluation": {"prompts": str(folder / "held_out.jsonl")},
        "prompts": {"source": "unnatural", "count": 1, "max_requests": 4, "unnatural": {"fields": "together"}},
    }
    config = parse(tree, "test")
    run = RunDirectory.prepare(folder / "run", config, method(config))
    try:
        rows = [
            SupervisedRow(f"i{k}", "ift", f"p{k}", [{"role": "user", "content": f"Say thing {k}."}],
                          [{"role": "assistant", "content": "So."}], f"seed.jsonl:{k + 1}")
            for k in range(4)
        ]  # fmt: skip
        write_rows_atomically(run.folder("M1") / "ift.jsonl", rows)
        write_rows_atomically(run.folder("M1") / "held_out.jsonl", [])
        write_json(run.folder("M0") / "model.json", {"path": str(model), "hash": "x", "name": "tiny"})
        (run.folder("M1") / "model").symlink_to(model)
        run_stage(Context(run, run.steps["M2/prompts"], lambda *_: None))
    finally:
        run.close()
    return run


def test_the_stage_leaves_tasks_prompts_and_an_account(tmp_path: Path, tiny_model: Path) -> None:
    run = run_prompts(tmp_path, tiny_model)
    folder = run.folder("M2")
    tasks = read_rows(folder / "tasks.jsonl", Task)
    assert [(task.instruction, task.input, task.output, task.source) for task in tasks] == [
        ("Weigh the following stone", "a grey flint", "3", "unnatural:0"),
        ("How heavy is this stone?", "a grey flint", "3", "unnatural:0.alt0"),
    ]
    prompts = read_rows(folder / "prompts.jsonl", Prompt)
    assert [(prompt.messages[0]["content"], prompt.source) for prompt in prompts] == [
        ("Weigh the following stone\n\na grey flint\n\nOnly a number.", "unnatural:0"),
        ("How heavy is this stone?\n\na grey flint\n\nOnly a number.", "unnatural:0.alt0"),
    ]
    account = read_json(folder / "prompts.json")
    assert (account["source"], account["kept"], account["requests"]) == ("unnatural", 1, 4)
    assert account["dropped"] == {"more than were wanted": 3}
    assert account["alternatives"]["dropped"] == {"lost the input": 1}
    assert account["seconds"] >= 0
    assert read_json(run.marker(run.steps["M2/prompts"], "done"))["rows"] == 2


def test_its_keys_are_part_of_what_the_prompts_are_made_from(tmp_path: Path, tiny_model: Path) -> None:
    run = run_prompts(tmp_path, tiny_model)
    for section in ({"alternatives": 0}, {"fields": "one_by_one"}, {"outputs": False}):
        tree = run.config.model_dump(mode="json")
        tree["prompts"]["unnatural"].update(section)
        config = parse(tree, "test")
        changed = RunDirectory(run.path, config, method(config))
        (key,) = section
        stale = [found for found in changed.stale(changed.steps.values()) if found.step.name == "M2/prompts"]
        assert [f"prompts.unnatural.{key}" in found.why for found in stale] == [True]
