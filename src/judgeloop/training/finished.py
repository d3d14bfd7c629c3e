"""The record of a training that is over, so that a kill before its model counts as made does not cost the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from judgeloop.jsonl import sync, write_text_atomically

FINISHED = "finished.json"


def record_finished(output: Path, summary: dict[str, Any]) -> None:
    """Write the summary beside the model in `output` once the model is on the disk: with it, the model is whole."""
    sync(output)
    write_text_atomically(output.with_name(FINISHED), json.dumps(summary))
