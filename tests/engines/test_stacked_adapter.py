"""Adapters of successive models as one on the first: it makes the same model, and what does not is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from adapted import adapted_model
from judgeloop.engines.stacked_adapter import lineage, stack, write_empty
from judgeloop.errors import InputError
from judgeloop.training.weights import load_model
from tiny import make_tiny_model
from training.cases import PEFT_WARNS

pytestmark = PEFT_WARNS
IDS = torch.tensor([[1, 40, 41, 42, 43, 44]])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "M0", "qwen3", end_bias=0)


@pytest.fixture(scope="module")
def chain(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    run = tmp_path_factory.mktemp("run")
    models = [base]
    for number, (rank, targets) in enumerate([(4, "all-linear"), (8, ["q_proj", "down_proj"]), (2, "all-linear")], 1):
        models.append(adapted_model(models[-1], run / f"M{number}", rank, targets, seed=number))
    return models


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    model = load_model(folder)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_adapter_on_the_base_is_the_model_after_several_trainings(
    base: Path, chain: list[Path], tmp_path: Path, number: int
) -> None:
    adapters = lineage(chain[number], base)
    assert adapters == [model.parent / "adapter" for model in chain[1 : number + 1]]
    stack(adapters, base, chain[number], tmp_path / "one")
    torch.testing.assert_close(logits(base, tmp_path / "one"), logits(chain[number]), atol=1e-4, rtol=1e-4)
    assert (logits(chain[number]) - logits(chain[number - 1])).abs().max() > 0.05
    config = json.loads((tmp_path / "one" / "adapter_config.json").read_text())
    assert config["r"] == [4, 12, 14][number - 1]


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")  # it is on the first layer alone
def test_the_base_itself_has_no_adapters_and_gets_one_that_changes_nothing(base: Path, tmp_path: Path) -> None:
    assert lineage(base, base) == []
    write_empty(tmp_path / "none", base, 16, ["all-linear"])
    assert torch.equal(logits(base, tmp_path / "none"), logits(base))
    names = {name.split(".")[-3] for name in load_file(tmp_path / "none" / "adapter_model.safetensors")}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    write_empty(tmp_path / "some", base, 16, ["q_proj, v_proj"])
    assert len(load_file(tmp_path / "some" / "adapter_model.safetensors")) == 4
    with pytest.raises(InputError, match=r"lora\.target_modules: no weight"):
        write_empty(tmp_path / "other", base, 16, ["query"])


def test_an_adapter_that_does_not_make_the_model_is_refused(base: Path, chain: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not what its adapters make of"):
        stack(lineage(chain[1], base), base, chain[2], tmp_path / "one")
    assert not (tmp_path / "one").exists()


def test_a_model_without_an_adapter_is_refused_with_what_to_do(base: Path, tmp_path: Path) -> None:
    other = make_tiny_model(tmp_path / "M1" / "model", "qwen3", seed=5)
    with pytest.raises(InputError, match=r"has no adapter beside it.*lora\.keep_adapter: true.*engine\.kind: vllm"):
        lineage(other, base)


def test_a_base_that_is_gone_is_named(base: Path, tmp_path: Path) -> None:
    before = make_tiny_model(tmp_path / "M0", "qwen3", seed=3)
    model = adapted_model(before, tmp_path / "M1", 4)
    before.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"was trained on {before}, which is not there"):
        lineage(model, base)


@pytest.mark.parametrize("key", ["use_rslora", "modules_to_save", "rank_pattern"])
def test_more_than_plain_adapters_are_refused(base: Path, tmp_path: Path, key: str) -> None:
    model = adapted_model(base, tmp_path / "M1", 4)
    path = tmp_path / "M1" / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: {"q_proj": 8}}))
    with pytest.raises(InputError, match="no plain low-rank adapter"):
        stack(lineage(model, base), base, model, tmp_path / "one")


def test_a_weight_changed_beside_the_adapters_is_noticed(base: Path, tmp_path: Path) -> None:
    model = adapted_model(base, tmp_path / "M1", 4)
    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"][3] += 0.01
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"its model\.norm\.weight is not what"):
        stack(lineage(model, base), base, model, tmp_path / "one")
