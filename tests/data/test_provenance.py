"""Taken and dropped account for every row, whatever the rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from judgeloop.data.provenance import Account
from judgeloop.data.readers import read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError

TEXT = st.one_of(st.sampled_from(["", " ", "a", "b", "é 漢字", "a\0b"]), st.text(max_size=6).filter(str.isprintable))
MAYBE = st.one_of(st.none(), TEXT)
SPEAKER = st.sampled_from(["system", "user", "assistant", "tool"])
TURNS = st.lists(st.fixed_dictionaries({"role": SPEAKER, "content": MAYBE}), max_size=5)
SHARED = st.lists(
    st.fixed_dictionaries({"from": st.sampled_from(["human", "gpt", "system", "observation"]), "value": MAYBE}),
    max_size=5,
)
RANKS = st.fixed_dictionaries({"text": MAYBE, "rank": st.integers(0, 3)})
PROMPT = st.one_of(MAYBE, TURNS)
FORMATS = {
    "chat messages": st.fixed_dictionaries({"messages": st.one_of(st.none(), TURNS)}),
    "ShareGPT conversations": st.fixed_dictionaries({"conversations": SHARED, "system": MAYBE}),
    "prompt and response": st.fixed_dictionaries({"prompt": PROMPT, "response": MAYBE}),
    "Alpaca rows": st.fixed_dictionaries({"instruction": MAYBE, "input": MAYBE, "output": MAYBE}),
    "ranked responses": st.fixed_dictionaries({"prompt": PROMPT, "responses": st.lists(RANKS, max_size=4)}),
    "preference pairs": st.fixed_dictionaries({"prompt": MAYBE, "chosen": MAYBE, "rejected": MAYBE}),
    "prompts": st.fixed_dictionaries({"prompt": PROMPT}),
    "instructions": st.fixed_dictionaries({"instruction": MAYBE, "input": MAYBE}),
}
PARTS = {"empty response in a set", "response with NUL characters in a set"}
READERS = {"prompts": read_prompts, "supervised": read_supervised, "ranked": read_ranked}


def read(reader: Callable[..., Any], *arguments: Any) -> tuple[list[Any], dict[str, int], Account | None]:
    """What was taken and dropped; the reasons are those of the error where nothing could be taken."""
    try:
        found, account = reader(*arguments)
    except InputError as error:
        listed = str(error).partition("no usable row (")[2].rpartition(")")[0]
        counts = [entry.split(" ", 1) for entry in listed.split("; ")]
        return [], {reason: int(count) for count, reason in counts}, None
    return found, account.dropped, account


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_row_is_accounted_for(tmp_path: Path, name: str, data: st.DataObject) -> None:
    rows: list[dict[str, Any]] = data.draw(st.lists(FORMATS[name], min_size=1, max_size=8))
    path = tmp_path / "rows"
    if data.draw(st.booleans()):
        path.write_text(json.dumps(rows, indent=data.draw(st.sampled_from([None, 1]))), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    readers = {
        "prompts": ["prompts"],
        "instructions": ["prompts"],
        "ranked responses": list(READERS),
        "preference pairs": list(READERS),
    }
    for reader in readers.get(name, ["prompts", "supervised"]):
        found, dropped, account = read(READERS[reader], path)
        assert len(found) + sum(count for reason, count in dropped.items() if reason not in PARTS) == len(rows)
        assert len({row.id for row in found}) == len(found)
        if account is not None:
            assert (account.detected, account.rows, account.taken) == (name, len(rows), len(found))


MESSAGE = st.fixed_dictionaries(
    {
        "text": MAYBE,
        "rank": st.one_of(st.none(), st.integers(0, 3)),
        "lang": st.sampled_from(["en", "de"]),
        "deleted": st.booleans(),
        "synthetic": st.booleans(),
        "role": st.sampled_from(["assistant", "prompter"]),
    }
)
TREES = st.recursive(
    MESSAGE.map(lambda m: {**m, "replies": []}),
    lambda inner: st.builds(lambda m, replies: {**m, "replies": replies}, MESSAGE, st.lists(inner, max_size=3)),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(roots=st.lists(TREES, min_size=1, max_size=4), turns=st.sampled_from(["first", "all"]))
def test_no_tree_is_lost_silently(tmp_path: Path, roots: list[dict[str, Any]], turns: Any) -> None:
    trees = [{"message_tree_id": str(n), "prompt": {**root, "role": "prompter"}} for n, root in enumerate(roots)]
    path = tmp_path / "trees.jsonl"
    path.write_text("".join(json.dumps(tree) + "\n" for tree in trees), encoding="utf-8")
    for reader in (read_ranked, read_supervised):
        found, dropped, account = read(reader, path, turns, "en")
        assert sum(dropped.values()) >= len(trees) - len({row.source for row in found})
        assert account is None or (account.rows, account.taken) == (len(trees), len(found))
