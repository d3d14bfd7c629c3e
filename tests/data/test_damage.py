"""Damaged files of every format and container: always rows or one clear line, never another exception."""

from __future__ import annotations

import copy
import gzip
import json
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from judgeloop.data.detection import detect
from judgeloop.data.readers import read_judgements, read_prompts, read_ranked, read_supervised
from judgeloop.eft.existing_eft import has_score
from judgeloop.errors import InputError
from judgeloop.judging.rubric import load_rubric

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.+?)\n```", PAGE.read_text(encoding="utf-8"))]
RUBRIC = load_rubric("additive-5")
READERS: tuple[Callable[[Path], object], ...] = (
    read_prompts,
    lambda path: read_supervised(path, "all"),
    lambda path: read_ranked(path, "all"),
    lambda path: read_judgements(path, partial(has_score, rubric=RUBRIC)),
    detect,
)
WRONG = (
    None, [], {}, 1, -1, 1.5, float("nan"), True, "", "x", "\0", [None], [1], ["x"], [[]], [{}], {"a": 1}, 10**30,
    {"role": "user"}, {"role": ["user"], "content": ["x"]}, {"from": "gpt", "value": "x"}, {"text": [], "rank": []},
)  # fmt: skip
BYTES = (b"null", b"[]", b"{}", b"1e999", b"NaN", b"\xff", b"\0", b"\\ud800", b'""', b"{", b"]", b",", b"\n", b"")


def read_all(path: Path) -> int:
    """How many readers took it; every other must have refused it in one line."""
    taken = 0
    for read in READERS:
        try:
            read(path)
            taken += 1
        except InputError as error:
            problem = str(error)
            if "\n" in problem or path.name not in problem:
                pytest.fail(f"not one line that names the file: {problem!r}")
    return taken


def with_damage(row: Any, rng: random.Random) -> Any:
    """The row with one value replaced or one field removed."""
    places: list[tuple[Any, Any]] = []
    rest = [row]
    while rest:
        node = rest.pop()
        inside = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
        places += [(node, key) for key, _ in inside]
        rest += [value for _, value in inside if isinstance(value, (dict, list))]
    node, key = rng.choice(places)
    if isinstance(node, dict) and rng.random() < 0.2:
        del node[key]
    else:
        node[key] = copy.deepcopy(rng.choice(WRONG))
    return row


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: ",".join(example)[:40])
def test_rows_with_wrong_values(tmp_path: Path, example: dict[str, Any]) -> None:
    path, rng, taken = tmp_path / "damaged", random.Random(0), 0
    for _ in range(150):
        rows = [copy.deepcopy(example), with_damage(copy.deepcopy(example), rng), copy.deepcopy(example)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows[rng.randrange(2) :]), encoding="utf-8")
        taken += read_all(path)
    assert taken > 0


@pytest.mark.parametrize("kind", ["lines", "array", "packed"])
def test_files_with_wrong_bytes(tmp_path: Path, kind: str) -> None:
    path, rng, taken = tmp_path / "damaged", random.Random(1), 0
    whole = {}
    for example in EXAMPLES:
        rows = [{**example, "number": n} for n in range(5)]
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        whole[id(example)] = {
            "lines": lines, "array": json.dumps(rows, indent=1).encode(), "packed": gzip.compress(lines),
        }[kind]  # fmt: skip
    for _ in range(400):
        data = whole[id(rng.choice(EXAMPLES))]
        start = rng.randrange(len(data))
        end = len(data) if rng.random() < 0.2 else start + rng.randint(0, 12)
        path.write_bytes(data[:start] + rng.choice(BYTES) + data[end:])
        taken += read_all(path)
    assert kind == "packed" or taken > 0
