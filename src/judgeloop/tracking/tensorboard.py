"""TensorBoard: event files in the run directory, written without torch or TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import yaml

from judgeloop.tracking.base import Table, TrackedRun, Tracker, TrackerKind


class _TensorBoard:
    def __init__(self, run: TrackedRun, handle: str | None) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = run.folder / "tensorboard"
        self.handle = str(folder.name)
        self.where = f"tensorboard --logdir {run.folder.parent}"
        self._writer: Any = EventFileWriter(str(folder))
        if handle is None:
            self.text("config", "```yaml\n" + yaml.safe_dump(dict(run.config), sort_keys=False) + "```")

    def numbers(self, axis: str, at: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write(Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()]), at)

    def table(self, table: Table) -> None:
        lines = [table.columns, ["---"] * len(table.columns), *table.rows]
        rows = ("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)
        self.text(table.name, "\n".join(rows), table.at)

    def text(self, name: str, text: str, at: int = 0) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.plugins.text.metadata import create_summary_metadata

        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        metadata = create_summary_metadata(display_name=None, description=None)
        self._write(Summary(value=[Summary.Value(tag=name, tensor=tensor, metadata=metadata)]), at)

    def close(self, *, finished: bool) -> None:
        self._writer.close()

    def _write(self, summary: Any, at: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=at, summary=summary))


def _cell(value: object) -> str:
    """A cell of a Markdown table: on one line, without the table's own sign."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value).replace("|", "\\|").replace("\n", "<br>")


def _open(run: TrackedRun, handle: str | None) -> Tracker:
    return _TensorBoard(run, handle)


TENSORBOARD = TrackerKind("tensorboard", _open)
