import json
from pathlib import Path

import pytest

from judgeloop.errors import InputError
from judgeloop.evaluation.ifeval_prompts import read_verifiable


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_verifiable_prompts(tmp_path: Path) -> None:
    row = {"key": 1000, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    (found,) = read_verifiable(lines(tmp_path / "v.jsonl", row))
    assert (found.id, found.prompt, found.instructions, found.arguments) == (
        "1000",
        "No commas.",
        ["punctuation:no_comma"],
        [{}],
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"prompt": None}, "without 'prompt'"),
        ({"instruction_id_list": []}, "without 'instruction_id_list'"),
        ({"kwargs": None}, "'kwargs' is not a list"),
        ({"kwargs": [{}, {}]}, "1 instructions, 2 kwargs"),
    ],
)
def test_broken_verifiable_prompts_are_named(change: dict[str, object], problem: str, tmp_path: Path) -> None:
    row = {"key": 1, "prompt": "a", "instruction_id_list": ["x:y"], "kwargs": [{}], **change}
    with pytest.raises(InputError, match=problem):
        read_verifiable(lines(tmp_path / "v.jsonl", row))


def test_a_key_that_occurs_twice_is_named(tmp_path: Path) -> None:
    row = {"key": 1, "prompt": "a", "instruction_id_list": ["x:y"], "kwargs": [{}]}
    with pytest.raises(InputError, match="the key 1 occurs twice"):
        read_verifiable(lines(tmp_path / "v.jsonl", row, row))
