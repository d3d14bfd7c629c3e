"""Processes with shards of the weights that are killed, or were other processes before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from judgeloop.errors import StageFailed
from judgeloop.training import distributed
from judgeloop.training.shard_checkpoints import holds_parts, read_weights
from judgeloop.training.weights import load_model

from .cases import assert_same_change
from .test_collectives import assert_same, torchrun, train, variables
from .test_sharding import Stopped, said, stop_at

KEYS: dict[str, Any] = {"checkpoint_steps": 2}


def killed_at(step: int, mark: Path) -> Any:
    """A process that is killed after so many steps, if it has not been before."""

    def progress(done: int, _total: int) -> None:
        if done == step and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return progress


def main() -> None:
    """What each of the two processes runs: rank 1 is killed, torchrun starts both again; then both go on with what one
    process began."""
    distributed.take_over()
    distributed.shard_weights("fsdp", offload=True)
    initial, folder = map(Path, sys.argv[1:])
    mark = folder / "killed"
    on_progress = killed_at(3, mark) if distributed.rank() else lambda _done, _total: None
    if mark.exists() and distributed.is_main():
        for copy in ("kept/checkpoints", "spare"):
            shutil.copytree(folder / "two" / "checkpoints", folder / copy)
    found = {"two": train(initial, folder / "two" / "model", "sft", on_progress=on_progress, **KEYS)}
    found["one"] = train(initial, folder / "one" / "model", "sft", **KEYS)
    (folder / f"said.{distributed.rank()}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def killed(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    with pytest.raises(Stopped):
        train(model_folder, folder / "one" / "model", "sft", on_progress=stop_at(3), **KEYS)
    options = ["--standalone", "--max-restarts", "1"]
    command = torchrun("test_shard_checkpoints", "main", model_folder, folder, options=options)
    done = subprocess.run(command, env=variables(), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (folder / "killed").exists()
    return folder


def test_a_killed_process_costs_the_steps_since_the_checkpoint_and_nothing_else(
    killed: Path, model_folder: Path, tmp_path: Path
) -> None:
    alone = train(model_folder, tmp_path / "model", "sft", **KEYS)
    for case in ("two", "one"):  # killed and started again, and gone on with what one process had begun
        assert_same(said(killed, case), alone)
        assert_same_change(killed / case / "model", tmp_path / "model", model_folder)
    kept = killed / "kept"
    begun: list[int] = []
    one = train(model_folder, kept / "model", "sft", on_progress=lambda done, _: begun.append(done), **KEYS)
    assert begun == [2, 3, 4]
    assert_same([one, {"asked": []}], alone)
    assert_same_change(kept / "model", tmp_path / "model", model_folder)


def test_a_checkpoint_of_another_model_is_refused(killed: Path, model_folder: Path) -> None:
    model = load_model(model_folder)
    (folder,) = (killed / "spare").glob("checkpoint-*")
    assert holds_parts(folder)
    read_weights(model, folder)
    embedding = model.get_input_embeddings()
    embedding.weight = torch.nn.Parameter(embedding.weight[1:].detach().clone())
    with pytest.raises(StageFailed, match=r"the checkpoint holds no model/.*of this shape"):
        read_weights(model, folder)
