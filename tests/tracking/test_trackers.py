"""Each tracker with the package itself: what it wrote is read back by the tracker's own means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judgeloop.tracking.base import Table, TrackedRun, Tracker, kind_of

TABLE = Table("samples/M2.pairs", 2, ["prompt", "chosen", "score"], [["a | b\n", "<b>\u0001", 1.5], ["c", "d", None]])


def run_at(folder: Path, name: str = "mine-1") -> TrackedRun:
    folder.mkdir(parents=True, exist_ok=True)
    return TrackedRun(f"id-{name}", name, "judgeloop", folder, {"seed": 3, "sft": {"epochs": 2.0}})


def tell(tracker: Tracker, steps: range) -> None:
    for step in steps:
        tracker.numbers("train/M2/step", step, {"train/M2/loss": 1 / step})
    tracker.numbers("model", 2, {"evaluation/agreement": 0.75, "more/checks/measures/通过 (%)": 0.5})
    tracker.table(TABLE)
    tracker.text("decision", '```json\n{"best": "M2"}```')
    tracker.close(finished=True)


def told_twice(name: str, folder: Path) -> Tracker:
    """A run whose tracker was opened again in its middle."""
    first = kind_of(name).open(run_at(folder), None)
    tell(first, range(1, 3))
    second = kind_of(name).open(run_at(folder), first.handle)
    tell(second, range(3, 5))
    return second


LOSSES = [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3)), (4, 0.25)]


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told_twice("tensorboard", tmp_path)
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("train/M2/loss")] == LOSSES
    assert found.Scalars("evaluation/agreement")[0].value == 0.75
    (text,) = found.Tensors("samples/M2.pairs")[0].tensor_proto.string_val
    assert text.decode().splitlines()[2:] == ["| a \\| b<br> | <b>\u0001 | 1.5 |", "| c | d |  |"]
    assert b"seed: 3" in found.Tensors("config")[0].tensor_proto.string_val[0]


def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trackio: Any = pytest.importorskip("trackio", reason="trackio is not installed")
    from trackio.sqlite_storage import SQLiteStorage

    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path)
    told_twice("trackio", tmp_path / "run")
    other = kind_of("trackio").open(run_at(tmp_path / "other", "mine-2"), None)
    tell(other, range(1, 2))
    assert sorted(run.name for run in trackio.Api().runs("judgeloop")) == ["mine-1", "mine-2"]
    rows = SQLiteStorage.get_logs("judgeloop", "mine-1")
    assert [(row["step"], row["train/M2/loss"]) for row in rows if "train/M2/loss" in row] == LOSSES
    assert [row["evaluation/agreement"] for row in rows if "evaluation/agreement" in row] == [0.75, 0.75]
    table = next(row["samples/M2.pairs"] for row in rows if "samples/M2.pairs" in row)
    assert table["_value"][0] == {"prompt": "a | b\n", "chosen": "<b>\u0001", "score": 1.5}


@pytest.mark.filterwarnings("ignore")  # of its own imports
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow: Any = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    told_twice("mlflow", tmp_path / "run")
    tell(kind_of("mlflow").open(run_at(tmp_path / "other", "mine-2"), None), range(1, 2))
    client = mlflow.MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("judgeloop").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["mine-1", "mine-2"]
    mine = next(run for run in runs if run.info.run_name == "mine-1")
    assert mine.info.status == "FINISHED"
    history = client.get_metric_history(mine.info.run_id, "train/M2/loss")
    assert [(point.step, point.value) for point in history] == LOSSES
    assert mine.data.metrics["more/checks/measures/通过 ___"] == 0.5
    assert mine.data.params == {"seed": "3", "sft.epochs": "2.0"}
    assert [file.path for file in client.list_artifacts(mine.info.run_id, "samples")] == ["samples/M2.pairs.json"]


@pytest.mark.filterwarnings("ignore")  # of its own imports
def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = told_twice("wandb", tmp_path)
    rows = [row for path in sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb")) for row in _history(path)]
    told = [(row["train/M2/step"], row["train/M2/loss"]) for row in rows if "train/M2/loss" in row]
    assert told == LOSSES
    steps = [row["_step"] for row in rows]
    assert steps == sorted(set(steps))  # both parts count on, so that the server takes both
    assert tracker.handle == f"id-mine-1 {len(rows)}"


def _history(path: Path) -> list[dict[str, Any]]:
    """The rows of an offline file: records in blocks of 32 KiB, each with checksum, length and kind before it."""
    import json
    import struct

    from wandb.proto import wandb_internal_pb2

    data, at, part, rows = path.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            part = b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items})
    return rows
