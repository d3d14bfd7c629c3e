from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beside import shared
from judgeloop.data.readers import read_supervised
from judgeloop.records import Message, SupervisedRow
from judgeloop.seed.tasks import tasks_of

DATA = shared("data")


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_seed_tasks_keep_their_inputs_and_their_marks(tmp_path: Path) -> None:
    instances = [{"input": "1, 2", "output": "3"}, {"input": "4, 5", "output": "9"}]
    spam = [{"input": "Win now", "output": "yes"}]
    source = write(
        tmp_path / "tasks.jsonl",
        [
            {"instruction": "Add these numbers.", "instances": instances, "is_classification": False},
            {"instruction": "Is it spam?", "instances": spam, "is_classification": True},
            {"instruction": "Name a tree.", "instances": [{"input": "", "output": "Oak"}]},
        ],
    )  # fmt: skip
    rows, _ = read_supervised(source)
    assert [(task.instruction, task.input, task.output, task.classification) for task in tasks_of(rows, [source])] == [
        ("Add these numbers.", "1, 2", "3", False),
        ("Add these numbers.", "4, 5", "9", False),
        ("Is it spam?", "Win now", "yes", True),
        ("Name a tree.", "", "Oak", None),
    ]
    assert [task.source for task in tasks_of(rows, [source])][2] == "tasks.jsonl:2"
    held_back = [row for row in rows if "4, 5" not in row.prompt[0]["content"]]
    assert "4, 5" not in [task.input for task in tasks_of(held_back, [source])]


def test_rows_of_other_formats_are_tasks_without_input(tmp_path: Path) -> None:
    alpaca = write(tmp_path / "a.jsonl", [{"instruction": "Translate.", "input": "chat", "output": "cat"}])
    pairs = write(tmp_path / "p.jsonl", [{"prompt": "Translate.\n\nchien", "response": "dog"}])
    rows = [row for source in (alpaca, pairs) for row in read_supervised(source)[0]]
    assert [(task.instruction, task.input, task.output) for task in tasks_of(rows, [alpaca, pairs])] == [
        ("Translate.", "chat", "cat"),
        ("Translate.\n\nchien", "", "dog"),
    ]


def test_conversations_are_no_tasks() -> None:
    def row(*turns: Message) -> SupervisedRow:
        return SupervisedRow("i", "ift", "p", list(turns), [{"role": "assistant", "content": "Yes."}], "x:1")

    hello: Message = {"role": "user", "content": "Hello"}
    system: Message = {"role": "system", "content": "Be kind."}
    answer: Message = {"role": "assistant", "content": "Hi"}
    found = tasks_of([row(system, hello), row(hello, answer, hello)], [])
    assert [(task.instruction, task.output) for task in found] == [("Hello", "Yes.")]


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")
def test_the_seed_tasks_of_self_instruct() -> None:
    source = str(DATA / "self_instruct_seed_tasks.jsonl")
    tasks = tasks_of(read_supervised(source)[0], [source])
    assert len(tasks) == 175
    assert sum(task.classification is True for task in tasks) == 26
    assert sum(bool(task.input) for task in tasks) == 125
