"""What the attention and kernels keys do, as far as a machine without a GPU can tell."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from judgeloop.config import TrainSection
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.hardware import has_cuda, require_gpu_settings
from judgeloop.training.liger import fuse
from judgeloop.training.preference import train_preference
from judgeloop.training.weights import load_model

from .cases import make_pair


@pytest.mark.usefixtures("smooth_steps")
def test_eager_attention_trains_what_token_trees_train(model_folder: Path, tmp_path: Path, chat: Chat) -> None:
    losses: dict[str, list[float]] = {}
    for attention in ("sdpa", "eager"):
        steps: list[float] = []
        config = TrainSection(attention=attention, precision="f32", learning_rate=1e-3, batch_size=2, epochs=2)
        train_preference(
            [make_pair(i) for i in range(4)], initial=model_folder, reference=model_folder,
            output=tmp_path / attention, chat=chat, token_ids={}, config=config, seed=0, threads=None,
            on_progress=lambda _done, _total: None, on_metrics=lambda values, steps=steps: steps.append(values["loss"]),
        )  # fmt: skip
        losses[attention] = steps
    assert len(losses["sdpa"]) == 4
    assert losses["eager"] == pytest.approx(losses["sdpa"], abs=1e-4)


def test_the_attention_asked_for_is_the_models(model_folder: Path) -> None:
    assert load_model(model_folder, attention="eager").config._attn_implementation == "eager"
    assert load_model(model_folder).config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("driver", "usable"), [(True, True), (True, False), (False, True)])
def test_there_is_cuda_where_a_driver_is_and_torch_can_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: bool, usable: bool
) -> None:
    device = tmp_path / "kfd"
    monkeypatch.setattr("judgeloop.models.hardware._DRIVERS", (str(tmp_path / "nvidiactl"), str(device)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    if driver:
        device.touch()
    assert has_cuda() is (driver and usable)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judgeloop.models.hardware.has_cuda", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"kernels: liger needs liger-kernel; run `pip install liger-kernel`"):
        require_gpu_settings(TrainSection(kernels="liger"))
    require_gpu_settings(TrainSection())


def test_a_model_that_liger_does_not_know_is_refused(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patches = ModuleType("liger_kernel.transformers.monkey_patch")
    patches.MODEL_TYPE_TO_APPLY_LIGER_FN = {"mistral": None}  # type: ignore[attr-defined]
    for name in ("liger_kernel", "liger_kernel.transformers"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, patches.__name__, patches)
    with pytest.raises(InputError, match="kernels: liger has none for models of type 'llama'"):
        fuse(load_model(model_folder))
