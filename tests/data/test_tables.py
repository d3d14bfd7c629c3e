"""Parquet, folders of `datasets.save_to_disk`, and the hub (offline: a folder stands in for it)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from judgeloop.data.hub import HubId
from judgeloop.data.readers import read_prompts, read_ranked, read_supervised
from judgeloop.errors import InputError

datasets = pytest.importorskip("datasets")

USER = {"role": "user", "content": "Name a colour."}
ASSISTANT = {"role": "assistant", "content": "Blue."}
CHATS = [[USER, ASSISTANT], [USER, {"role": "assistant", "content": "Red."}], None]


def table(path: Path, columns: dict[str, Any]) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_nested_columns_of_a_parquet_file(tmp_path: Path) -> None:
    rows, account = read_supervised(table(tmp_path / "a.parquet", {"messages": CHATS, "prompt": ["x", "y", "z"]}))
    assert [row.completion[0]["content"] for row in rows] == ["Blue.", "Red."]
    assert rows[1].source == "a.parquet:row 2"
    assert (account.container, account.rows, account.detected) == ("Parquet", 3, "chat messages")
    assert account.dropped == {"empty conversation": 1}


def test_arrays_and_missing_numbers_of_a_frame(tmp_path: Path) -> None:
    responses = np.array([{"text": "a", "rank": 1.0}, {"text": "b", "rank": 0.0}], dtype=object)
    frame = pd.DataFrame(
        {"prompt": ["x", "y", None], "responses": [responses, responses, None], "note": [float("nan")] * 3}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    rows, account = read_ranked(tmp_path / "a.parquet")
    assert [r["text"] for r in rows[0].responses] == ["b", "a"]
    assert [type(r["rank"]) for r in rows[0].responses] == [int, int]
    assert account.dropped == {"empty prompt": 1}


def test_scores_that_are_missing_are_no_scores(tmp_path: Path) -> None:
    kind = pa.list_(pa.struct([("text", pa.string()), ("rank", pa.float64()), ("score", pa.float32())]))
    responses = [[{"text": "a", "rank": 0, "score": float("nan")}, {"text": "b", "rank": 1, "score": 2.5}]]
    (row,), _ = read_ranked(table(tmp_path / "a.parquet", {"prompt": ["x"], "responses": pa.array(responses, kind)}))
    assert row.responses == [{"text": "a", "rank": 0}, {"text": "b", "rank": 1, "score": 2.5}]


def test_text_as_bytes(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.parquet", {"prompt": ["ä".encode(), b"y"], "response": [b"z", b"z"], "digest": [b"\xff", b""]}
    )
    assert [row.prompt[0]["content"] for row in read_supervised(path)[0]] == ["ä", "y"]
    path = table(tmp_path / "b.parquet", {"prompt": [b"x", b"\xff"], "response": ["a", "b"]})
    with pytest.raises(InputError, match=r"b\.parquet:row 2: 'prompt' is bytes;"):
        read_supervised(path)


def test_text_that_is_not_utf_8_is_named_by_its_row(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(np.array([0, 1, 2, 3], dtype=np.int32)), pa.py_buffer(b"x\xffz")]
    )
    with pytest.raises(InputError, match=r"a\.parquet:row 2: is not UTF-8; mend the row"):
        read_prompts(table(tmp_path / "a.parquet", {"prompt": text}))


def test_dates_are_left_aside(tmp_path: Path) -> None:
    far = pa.array([2**40], pa.timestamp("s"))
    assert read_prompts(table(tmp_path / "a.parquet", {"made": far, "prompt": ["x"]}))[1].taken == 1


def test_columns_that_hold_json_and_columns_of_lists(tmp_path: Path) -> None:
    features = datasets.Features({"messages": datasets.List(datasets.Json())})
    datasets.Dataset.from_dict({"messages": CHATS[:2]}, features=features).to_parquet(tmp_path / "json.parquet")
    text = datasets.Value("string")
    turned = datasets.Features({"conversations": datasets.Sequence({"from": text, "value": text})})
    talk = {"conversations": [{"from": ["human", "gpt"], "value": ["Name a colour.", "Blue."]}]}
    datasets.Dataset.from_dict(talk, features=turned).to_parquet(tmp_path / "lists.parquet")
    assert len(read_supervised(tmp_path / "json.parquet")[0]) == 2
    (row,), _ = read_supervised(tmp_path / "lists.parquet")
    assert (row.prompt, row.completion) == ([USER], [ASSISTANT])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["x"], "label": [1]}, r"a\.parquet:row 1: a row of no known format \(its keys: text, label\)"),
        ({"prompt": ["x"], "responses": ["y"]}, r"a\.parquet:row 1: 'responses' is text, not a list"),
        ({"prompt": pa.array([], pa.string())}, r"a\.parquet: has no rows"),
        ({"prompt": [7]}, r"a\.parquet:row 1: 'prompt' is a number"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = table(tmp_path / "a.parquet", columns)
    with pytest.raises(InputError, match=message):
        read_ranked(path) if "responses" in columns else read_prompts(path)


def test_damaged_parquet_is_one_line(tmp_path: Path) -> None:
    whole = table(tmp_path / "a.parquet", {"prompt": [f"number {n}" for n in range(5000)]}).read_bytes()
    for data in (whole[:-100], whole[:4], whole[:200] + bytes(400) + whole[600:]):
        (tmp_path / "b.parquet").write_bytes(data)
        with pytest.raises(InputError, match=r"b\.parquet: broken Parquet") as caught:
            read_prompts(tmp_path / "b.parquet")
        assert "\n" not in str(caught.value)


def test_a_folder_that_datasets_saved(tmp_path: Path) -> None:
    data = datasets.Dataset.from_list([{"instruction": f"Say {n}.", "output": str(n)} for n in range(9)])
    data.filter(lambda row: row["output"] != "3", load_from_cache_file=False).save_to_disk(tmp_path / "one")
    rows, account = read_supervised(tmp_path / "one")
    assert [row.completion[0]["content"] for row in rows] == list("01245678")
    assert (rows[3].source, account.container) == ("one:row 4", "datasets folder")
    datasets.DatasetDict(train=data, test=data.select([1])).save_to_disk(tmp_path / "two")
    with pytest.raises(InputError, match=r"two: holds 2 splits; name one: .*two/train, .*two/test"):
        read_supervised(tmp_path / "two")
    assert len(read_supervised(tmp_path / "two" / "test")[0]) == 1
    datasets.DatasetDict(train=data).save_to_disk(tmp_path / "three")
    assert len(read_supervised(tmp_path / "three")[0]) == 9


def test_a_damaged_folder_of_datasets_is_one_line(tmp_path: Path) -> None:
    datasets.Dataset.from_list([{"prompt": "x"}]).save_to_disk(tmp_path / "saved")
    next((tmp_path / "saved").glob("*.arrow")).write_bytes(b"nothing")
    with pytest.raises(InputError, match="saved: cannot be read by datasets") as caught:
        read_prompts(tmp_path / "saved")
    assert "\n" not in str(caught.value)


def flat(name: str, parent: str | None, role: str, text: str, **fields: Any) -> dict[str, Any]:
    shown = {"rank": None, "lang": "en", "deleted": False, "synthetic": False, "review_result": True, **fields}
    return {"message_id": name, "parent_id": parent, "message_tree_id": "t", "role": role, "text": text, **shown}


def test_open_assistant_messages_become_trees(tmp_path: Path) -> None:
    messages = [
        flat("a", None, "prompter", "Ask?"),
        flat("c", "a", "assistant", "worse", rank=1.0),
        flat("b", "a", "assistant", "better", rank=0.0),
        flat("d", "b", "prompter", "And?"),
        flat("e", "d", "assistant", "so", rank=0.0),
        flat("f", "d", "assistant", "not so", rank=1.0),
        flat("f", "d", "assistant", "the id again", rank=2.0),
        flat("x", "nowhere", "assistant", "lost", rank=0.0),
        flat("y", "x", "prompter", "lost too"),
    ]
    pd.DataFrame(messages).to_parquet(tmp_path / "a.parquet")
    rows, account = read_ranked(tmp_path / "a.parquet", "all", "en")
    assert [[m["content"] for m in row.messages] for row in rows] == [["Ask?"], ["Ask?", "better", "And?"]]
    assert [r["text"] for r in rows[1].responses] == ["so", "not so"]
    assert {row.group for row in rows} == {"t"}
    assert (account.detected, account.rows) == ("Open Assistant messages", 9)
    assert account.dropped == {"message whose id occurred before": 1, "message without a way to a first message": 2}
    assert [row.completion[0]["content"] for row in read_supervised(tmp_path / "a.parquet", "all", "en")[0]] == [
        "better",
        "so",
    ]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `datasets` takes for the data set org/name, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE"):
        monkeypatch.setattr(datasets.config, name, str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "org" / "name"
    folder.mkdir(parents=True)
    return folder


def test_a_data_set_of_the_hub(hub: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for split, count in (("train", 3), ("test", 2)):
        lines = [json.dumps({"messages": [{**USER, "content": f"{split} {n}"}, ASSISTANT]}) for n in range(count)]
        (hub / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="hf:org/name: has 2 splits; name one: hf:org/name@train, hf:org/name@test"):
        read_supervised("hf:org/name")
    rows, account = read_supervised(Path("hf:org/name@train"))
    assert [row.prompt[0]["content"] for row in rows] == ["train 0", "train 1", "train 2"]
    assert rows[2].source == "hf:org/name@train:row 3"
    assert account.sentence("hf:org/name@train").startswith(
        "hf:org/name@train (hub data set, split train, 3 rows): chat messages, 3 taken"
    )
    assert len(read_prompts("hf:org/name@test[:1]")[0]) == 1
    with pytest.raises(InputError, match=r'hf:org/name@valid: cannot be loaded \(Unknown split "valid"') as caught:
        read_supervised("hf:org/name@valid")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"hf:org/name:extra@train: cannot be loaded .*'extra' not found"):
        read_supervised("hf:org/name:extra@train")
    assert capfd.readouterr() == ("", "")


def test_a_data_set_with_one_split_needs_no_name(hub: Path) -> None:
    (hub / "data.jsonl").write_text('{"prompt": "x"}\n', encoding="utf-8")
    (row,), _ = read_prompts("hf:org/name")
    assert row.source == "hf:org/name@train:row 1"


def test_the_hub_out_of_reach_is_said(hub: Path) -> None:
    with pytest.raises(InputError, match=r"^hf:else/where: the hub cannot be reached \(offline\?\); go online"):
        read_prompts("hf:else/where")


def test_a_data_set_that_is_not_there_is_said(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> list[str]:
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'else/where' doesn't exist\non the Hub")

    monkeypatch.setattr(datasets, "get_dataset_split_names", missing)
    with pytest.raises(InputError, match=r"^hf:else/where: not found on the hub, or not open to you; check the id"):
        read_prompts("hf:else/where")


def test_ids_of_the_hub() -> None:
    assert HubId.of("hf:org/name") == HubId("org/name", None, None)
    assert HubId.of("hf:org/na-me.v2:con fig@train[:10%]") == HubId("org/na-me.v2", "con fig", "train[:10%]")
    assert HubId.of("hf:squad@train") == HubId("squad", None, "train")
    assert HubId.of("hf:org/name:c").at("test") == "hf:org/name:c@test"
    for wrong in ("hf:", "hf:a/b/c", "hf:org/name@", "hf:org/name:", "hf://org/name"):
        with pytest.raises(InputError, match="is no data set id; write hf:org/name"):
            HubId.of(wrong)
