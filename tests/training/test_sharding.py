"""Two processes that hold a half of the weights each train what one process does."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from judgeloop.training import collectives, distributed, trainer
from judgeloop.training.sharding import is_sharded, shard, trained_weights
from judgeloop.training.weights import load_model

from .cases import PEFT_WARNS, assert_same_change
from .test_collectives import assert_same, run_two, train

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "replay": ("train", {"eft_replay": 0.4, "nll_weight": 0.5, "gradient_checkpointing": True}),
    "stopped": ("train", {"loss": "cringe", "cringe": {"top_k": 1}, "early_stopping": {"every": 1}}),
}
RESUMED: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("sft", {}),
    "adapters": ("train", {"method": "lora", "max_grad_norm": 0.01}),
}


class Stopped(Exception):
    """Stands for a kill."""


def stop_at(step: int) -> Any:
    def progress(done: int, _total: int) -> None:
        if done == step:
            raise Stopped

    return progress


def resumed(initial: Path, folder: Path, stage: str, keys: dict[str, Any]) -> dict[str, Any]:
    """A training stopped at its third step, and gone on with from the checkpoint after the second."""
    options = {"checkpoint_steps": 2, **keys}
    try:
        train(initial, folder / "model", stage, on_progress=stop_at(3), **options)
    except Stopped:
        collectives.wait_for_all()
    if distributed.is_main():
        shutil.copytree(folder / "checkpoints", folder / "kept" / "checkpoints")
    return train(initial, folder / "model", stage, **options)


def sizes(initial: Path) -> dict[str, Any]:
    """Numbers of elements that this process holds of a model, its gradients and its optimiser, and all there are."""
    collectives.join()
    model = load_model(initial, by_layer=True)
    empty = all(parameter.is_meta for parameter in model.parameters())
    every = sum(parameter.numel() for parameter in model.parameters())
    shard(model, bf16=False)
    optimizer = torch.optim.AdamW(model.parameters())
    model(input_ids=torch.tensor([[1, 2, 3]])).logits.sum().backward()
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values() if value.ndim]
    whole = trained_weights(model)
    return {
        "all": every,
        "empty": empty,
        "weights": sum(parameter.to_local().numel() for parameter in model.parameters()),
        "gradients": sum(parameter.grad.to_local().numel() for parameter in model.parameters()),
        "states": sum(value.to_local().numel() for value in states if isinstance(value, DTensor)),
        "plain": sum(not isinstance(value, DTensor) for value in states),
        "whole": None if whole is None else sum(value.numel() for value in whole.values()),
    }


def main() -> None:
    """What each of the two processes runs."""
    distributed.take_over()
    distributed.shard_weights("fsdp")
    initial, folder = map(Path, sys.argv[1:])
    trainer.BACKWARD_TOKENS = 48  # so small that the two have parts of different number
    said: dict[str, Any] = {"sizes": sizes(initial)}
    for case, (stage, keys) in CASES.items():
        said[case] = train(initial, folder / case / "model", stage, **keys)
    for case, (stage, keys) in RESUMED.items():
        said[case] = resumed(initial, folder / case, stage, keys)
    said["bf16"] = train(initial, folder / "bf16" / "model", "train", precision="bf16")
    (folder / f"said.{distributed.rank()}.json").write_text(json.dumps(said))


def hybrid() -> None:
    """What each of four processes runs that are, for all they know, on two machines."""
    os.environ["LOCAL_WORLD_SIZE"] = "2"
    distributed.take_over()
    distributed.shard_weights("hsdp")
    initial, folder = map(Path, sys.argv[1:])
    said = {"sizes": sizes(initial), "sft": train(initial, folder / "sft" / "model", "sft")}
    (folder / f"said.{distributed.rank()}.json").write_text(json.dumps(said))


@pytest.mark.long
def test_two_copies_in_halves_do_what_one_whole_does(model_folder: Path, tmp_path: Path) -> None:
    run_two("test_sharding", model_folder, tmp_path, function="hybrid", count=4)
    alone = train(model_folder, tmp_path / "model", "sft")
    found = [json.loads((tmp_path / f"said.{rank}.json").read_text()) for rank in range(4)]
    for first in (0, 2):
        assert sum(found[rank]["sizes"]["weights"] for rank in (first, first + 1)) == found[0]["sizes"]["all"]
    assert_same([found[0]["sft"], found[3]["sft"]], alone)
    assert_same_change(tmp_path / "sft" / "model", tmp_path / "model", model_folder)


@pytest.fixture(scope="module")
def halves(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have trained."""
    folder = tmp_path_factory.mktemp("halves")
    run_two("test_sharding", model_folder, folder)
    return folder


def said(folder: Path, case: str) -> list[Any]:
    return [json.loads((folder / f"said.{rank}.json").read_text())[case] for rank in range(2)]


def test_each_process_holds_a_half(halves: Path) -> None:
    first, second = said(halves, "sizes")
    for name, copies in (("weights", 1), ("gradients", 1), ("states", 2)):
        assert first[name] + second[name] == copies * first["all"]
        assert first[name] == pytest.approx(copies * first["all"] / 2, rel=0.01)
    assert first["plain"] == second["plain"] == 0
    assert first["empty"]  # no process had the whole model before it was cut
    assert (first["whole"], second["whole"]) == (first["all"], None)


@pytest.mark.parametrize("case", list(CASES))
def test_two_halves_do_what_one_whole_does(halves: Path, model_folder: Path, tmp_path: Path, case: str) -> None:
    stage, keys = CASES[case]
    alone = train(model_folder, tmp_path / "model", stage, **keys)
    assert_same(said(halves, case), alone)
    assert (alone["summary"]["replayed"] > 0) == (case == "replay")
    assert alone["asked"] == ([1, 2] if case == "stopped" else [])
    assert_same_change(halves / case / "model", tmp_path / "model", model_folder)
    assert not (halves / case / "checkpoints").exists()


@PEFT_WARNS
@pytest.mark.parametrize("case", list(RESUMED))
def test_a_checkpoint_is_gone_on_with_by_two_or_by_one(
    halves: Path, model_folder: Path, tmp_path: Path, case: str
) -> None:
    stage, keys = RESUMED[case]
    alone = train(model_folder, tmp_path / "model", stage, **keys)
    assert_same(said(halves, case), alone)
    assert_same_change(halves / case / "model", tmp_path / "model", model_folder)
    kept = halves / case / "kept"
    (found,) = kept.glob("checkpoints/checkpoint-*")
    assert found.name == "checkpoint-2"
    assert not list(found.glob("*.safetensors"))
    assert sorted(path.name for path in (found / "parts").iterdir()) == [".metadata", "__0_0.distcp", "__1_0.distcp"]
    begun: list[int] = []
    one = train(
        model_folder, kept / "model", stage, on_progress=lambda done, _: begun.append(done), checkpoint_steps=2, **keys
    )
    assert begun == [2, 3, 4]
    assert_same([one, {"asked": []}], alone)
    assert_same_change(kept / "model", tmp_path / "model", model_folder)


def test_in_bf16_the_weights_kept_are_float32(halves: Path, model_folder: Path) -> None:
    first, _ = said(halves, "bf16")
    assert first["metrics"][0]["dpo_loss"] == pytest.approx(math.log(2), abs=2e-3)
    assert first["metrics"][-1]["dpo_loss"] < 0.69
    after, before = (load_file(path / "model.safetensors") for path in (halves / "bf16" / "model", model_folder))
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    changes = [float((after[name] - before[name]).abs().max()) for name in before]
    assert min(changes) > 0
    assert max(changes) < 0.01
    config = json.loads((halves / "bf16" / "model" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]


def test_a_whole_model_is_not_sharded(model_folder: Path) -> None:
    model = load_model(model_folder)
    assert not is_sharded(model)
    assert trained_weights(model) is None
