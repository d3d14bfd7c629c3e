"""Before anything is trained a run says which rows its model cannot be given; with none left it stops there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trl

from judgeloop.jsonl import read_rows
from judgeloop.records import PreferencePair, SupervisedRow
from tiny import make_base_model

Command = Callable[..., subprocess.CompletedProcess[str]]
GEMMA = Path(trl.__file__).parent / "chat_templates" / "gemma.jinja"  # takes no system role, wants turns to alternate
REFUSES = (
    "{% for m in messages %}{% if 'forbidden' in m['content'] %}{{ raise_exception('no such words') }}{% endif %}"
    "{% endfor %}"
)
POSITIONS = 700
LONG = "water " * POSITIONS
RUBRIC = "{more}Rate it.\n<task>{{instruction}}</task>\n<response>{{response}}</response>\nEnd with: Score: <0-5>\n"


@pytest.fixture
def gemma(tmp_path: Path) -> Path:
    template = REFUSES + GEMMA.read_text(encoding="utf-8")
    folder = make_base_model(tmp_path / "gemma", template=template, tokens=["<end_of_turn>"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": POSITIONS}))
    return folder


def chat(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def ranked(prompt: str, best: str) -> dict[str, Any]:
    return {"prompt": prompt, "responses": [{"text": best, "rank": 0}, {"text": "What?", "rank": 1}]}


def test_rows_that_cannot_be_used_are_counted_and_the_run_goes_on(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path, gemma: Path
) -> None:
    seed = [
        chat(("system", "Be brief."), ("user", "What is rain?"), ("assistant", "Water.")),
        chat(("user", "What is tea?"), ("assistant", "A drink.")),
        chat(("user", "What is forbidden?"), ("assistant", "Water.")),
        chat(("user", "What is soap?"), ("assistant", LONG)),
        chat(("user", "Tell me all about owls."), ("assistant", "Who? " * 120)),
    ]
    sets = [ranked(f"Tell me thing {n}.", f"Here is thing {n}.") for n in range(8)]
    prompts = [*({"prompt": f"What is number {n}?"} for n in range(4)), {"prompt": LONG}]
    held_out = [*({"prompt": f"Why is {n} a number?"} for n in range(2)), {"prompt": LONG + "why?"}]
    script = write(tmp_path / "script.jsonl", [{"match": "(?s).", "reply": ["One.", "Another, longer.", "A third."]}])
    out = tmp_path / "run"
    config = make_config(
        model=str(gemma), iterations=1, engine={"kind": "scripted", "script": script},
        seed_data={"ift": write(tmp_path / "my-seed.jsonl", seed), "ranked": write(tmp_path / "sets.jsonl", sets),
                   "eft_share": 1.0, "held_out_share": 0.25, "eft": {"ift_overlap": True}},
        sft={"learning_rate": 1e-3, "batch_size": 8, "max_length": 250},
        prompts={"source": "file", "files": [write(tmp_path / "my-prompts.jsonl", prompts)], "count": 5},
        pairs={"unfinished": "as_judged", "margin": 0.001},
        judge={"rubric": write_rubric(tmp_path), "min_mass": 0.0},
        evaluation={"prompts": [write(tmp_path / "held.jsonl", held_out)], "samples": 1, "bootstrap": 20,
                    "base": False, "sampling": {"max_new_tokens": 8}},
    )  # fmt: skip
    done = in_process("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    account = json.loads((out / "M1" / "seed.json").read_text())
    refused = [reason for reason in account["dropped"] if "the chat template refuses it" in reason]
    assert len(refused) == 1
    assert "no such words" in refused[0]
    assert account["dropped"][f"IFT row: longer than the model's {POSITIONS} positions"] == 1
    assert account["folded"]["system"] >= 1
    texts = [row.prompt[-1]["content"] for row in read_rows(out / "M1" / "ift.jsonl", SupervisedRow)]
    assert {"What is rain?", "What is tea?"} < set(texts)
    assert not {"What is forbidden?", "What is soap?"} & set(texts)
    checks = json.loads((out / "M1" / "rows.json").read_text())
    assert checks["seed_data: rows for M1"]["left_out"] == {"longer than sft.max_length (250 tokens)": 1}
    assert list(checks["prompts.files: prompts"]["left_out"].values()) == [1]
    assert list(checks["evaluation.prompts: prompts"]["left_out"].values()) == [1]
    said = done.stdout + done.stderr
    assert "prompts.files: 1 of 5 prompts will be left out: longer than the model's" in said
    assert "rows for M1 have their system message in the user's turn" in said
    assert json.loads((out / "M1" / "train.json").read_text())["dropped"] == {"too long": 1}
    assert read_rows(out / "M2" / "pairs.jsonl", PreferencePair)


def write_rubric(folder: Path) -> str:
    (folder / "rubric.txt").write_text(RUBRIC.format(more=""), encoding="utf-8")
    return str(folder / "rubric.txt")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed_data": {"ift": [chat(("user", "What is forbidden?"), ("assistant", "So."))]}},
         "seed_data: no row can be put to"),
        ({"sft": {"max_length": 4}}, "seed_data: none of 1 rows for M1 is left: 1 longer than sft.max_length (4"),
        ({"evaluation": {"prompts": [{"prompt": LONG}]}}, "evaluation.prompts: none of 1 prompts is left"),
        ({"prompts": {"source": "file", "files": [{"prompt": LONG}]}}, "prompts.files: none of 1 prompts is left"),
        ({"judge": {"rubric": RUBRIC.format(more=LONG)}},
         "prompts.files: none of 1 judge prompts, the responses apart, is left"),
        ({"iterations": 2}, "prompts.files: none of 1 usable prompts is left for M3; lower prompts.count"),
    ],
    ids=["refused", "max_length", "evaluation", "prompts", "rubric", "iterations"],
)  # fmt: skip
def test_if_no_row_is_left_nothing_is_trained(
    make_config: Callable[..., Path],
    in_process: Command,
    tmp_path: Path,
    gemma: Path,
    changes: dict[str, Any],
    told: str,
) -> None:
    sections: dict[str, Any] = {
        "iterations": 1,
        "seed_data": {"ift": [chat(("user", "What is tea?"), ("assistant", "A drink."))]},
        "evaluation": {"prompts": [{"prompt": "Why?"}]},
        "prompts": {"source": "file", "files": [{"prompt": "How?"}]},
        **changes,
    }
    for section, key in (("seed_data", "ift"), ("evaluation", "prompts"), ("prompts", "files")):
        sections[section] = {**sections[section], key: write(tmp_path / f"my-{section}.jsonl", sections[section][key])}
    if "judge" in sections:
        (tmp_path / "rubric.txt").write_text(sections["judge"]["rubric"], encoding="utf-8")
        sections["judge"] = {"rubric": str(tmp_path / "rubric.txt")}
    out = tmp_path / "run"
    done = in_process("run", str(make_config(model=str(gemma), **sections)), "--out", str(out))
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (out / "M0" / "eval.json").exists()
    assert not (out / "M1" / "model").exists()
