from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from beside import shared
from judgeloop.data.readers import read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError

TREES = shared("data", "oasst_en_100_trees.jsonl")
needs_trees = pytest.mark.skipif(not TREES.is_file(), reason="the Open Assistant sample is not beside the project")


def message(text: str, role: str = "assistant", *replies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"text": text, "role": role, "lang": "en", "replies": list(replies), **fields}


def ask(text: str, *replies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return message(text, "prompter", *replies, **fields)


def trees(tmp_path: Path, *prompts: dict[str, Any]) -> Path:
    path = tmp_path / "trees.jsonl"
    rows = [{"message_tree_id": f"t{i}", "prompt": prompt} for i, prompt in enumerate(prompts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


DEEP = ask(
    "first",
    message("best", "assistant", ask("then", message("b", rank=1), message("a", rank=0)), rank=0),
    message("second best", rank=1),
)


def test_turns_choose_between_first_and_all(tmp_path: Path) -> None:
    path = trees(tmp_path, DEEP)
    (first,), _ = read_ranked(path, "first", "en")
    both, account = read_ranked(path, "all", "en")
    assert [r["text"] for r in first.responses] == ["best", "second best"]
    assert [[m["content"] for m in row.messages] for row in both] == [["first"], ["first", "best", "then"]]
    assert [m["role"] for m in both[1].messages] == ["user", "assistant", "user"]
    assert {row.group for row in both} == {"t0"}
    assert (account.detected, account.taken, account.dropped) == ("Open Assistant trees", 2, {})


def test_what_cannot_serve_is_counted_by_reason(tmp_path: Path) -> None:
    good = (message("a", rank=0), message("b", rank=1))
    path = trees(
        tmp_path,
        ask("fine", *good, message("machine", rank=2, synthetic=True), message("", rank=3, deleted=True)),
        ask("unranked", message("a"), message("b")),
        ask("one", message("a", rank=0)),
        ask("ties", message("a", rank=1), message("b", rank=1)),
        ask("synthetic", *good, synthetic=True),
        ask("spam", *good, review_result=False),
        ask("hallo", *good, lang="de"),
        ask("mixed", *good, message("zwei", rank=2, lang="de")),
    )
    rows, account = read_ranked(path, "all", "en")
    assert [row.messages[0]["content"] for row in rows] == ["fine", "mixed"]
    assert [r["text"] for r in rows[0].responses] == ["a", "b"]
    assert account.dropped == {
        "deleted message": 1,
        "message in another language": 1,
        "reply without a rank": 2,
        "set whose replies all tie": 1,
        "set with fewer than two ranked replies": 2,
        "synthetic message": 1,
        "synthetic tree": 1,
        "tree in another language": 1,
        "tree that reviewers rejected": 1,
    }


def test_a_table_of_text(tmp_path: Path) -> None:
    def flat(name: str, parent: str, text: str, rank: str = "", **fields: str) -> dict[str, str]:
        said = {"message_id": name, "parent_id": parent, "text": text, "role": "assistant" if parent else "prompter"}
        return {
            **said,
            "lang": "en",
            "rank": rank,
            "deleted": "False",
            "synthetic": "False",
            "review_result": "",
            **fields,
        }

    rows = [
        flat("m", "", "first"),
        flat("a", "m", "best", "0.0", review_result="True"),
        flat("b", "m", "second", "1"),
        flat("c", "m", "unranked"),
        flat("d", "m", "gone", "2.0", deleted="True"),
        flat("e", "m", "machine", "3.0", synthetic="true"),
        flat("f", "m", "spam", "4.0", review_result="False"),
    ]
    path = tmp_path / "messages.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (row,), account = read_ranked(path, "first", "en")
    assert [response["text"] for response in row.responses] == ["best", "second"]
    assert account.dropped == {
        "deleted message": 1,
        "message that reviewers rejected": 1,
        "reply without a rank": 1,
        "synthetic message": 1,
    }


def test_a_region_belongs_to_its_language(tmp_path: Path) -> None:
    replies = (message("a", rank=0, lang="pt-BR"), message("b", rank=1, lang="pt-BR"))
    path = trees(tmp_path, ask("oi", *replies, lang="pt-BR"))
    assert len(read_ranked(path, lang="pt")[0]) == len(read_ranked(path, lang=None)[0]) == 1
    with pytest.raises(InputError, match="1 tree in another language"):
        read_ranked(path, lang="p")


def test_supervised_rows_are_the_replies_of_rank_0(tmp_path: Path) -> None:
    path = trees(tmp_path, DEEP, ask("unranked", message("x"), message("y")))
    rows, account = read_supervised(path, "all", "en")
    assert [row.completion[0]["content"] for row in rows] == ["best", "a"]
    assert account.dropped == {"set without a reply of rank 0": 1}


def test_prompts_are_the_first_messages(tmp_path: Path) -> None:
    rows, _ = read_prompts(trees(tmp_path, DEEP, ask("two")))
    assert [row.messages[0]["content"] for row in rows] == ["first", "two"]


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        (message("x"), "does not begin with a prompter"),
        (ask("x", {"role": "bot"}), "has the role 'bot'"),
        (ask("x", message("a", rank="first")), "'rank' is text, not a whole number"),
        (ask("x", message("a", rank="0.5")), "'rank' is a number, not a whole number"),
        (ask("x", message("a", rank=0), deleted="maybe"), "'deleted' is 'maybe', neither true nor false"),
        ({"role": "prompter", "text": "x", "lang": "en", "replies": {"a": 1}}, "not a list"),
    ],
)
def test_a_malformed_tree_is_an_error_with_its_line(tmp_path: Path, prompt: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=rf"trees\.jsonl:2: .*{problem}"):
        read_ranked(trees(tmp_path, DEEP, prompt), "first", "en")


@needs_trees
def test_the_real_trees_give_the_sets_they_hold() -> None:
    first, account = read_ranked(TREES, "first", "en")
    every, _ = read_ranked(TREES, "all", "en")
    assert len(first) == account.taken == 94  # 99 with ranks, of which 5 trees begin with a synthetic message
    assert len(every) == 207
    assert account.dropped["synthetic tree"] == 5
    assert all(len(row.responses) >= 2 and row.responses[0]["rank"] == 0 for row in every)
    assert all(row.messages[-1]["role"] == "user" for row in every)
