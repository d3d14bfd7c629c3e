"""Models that also see: their language model is checked, asked and trained, and what sees stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageTextToText

from judgeloop.config import EngineSection, LoraSection, SftSection
from judgeloop.engines.base import Request, Sampling
from judgeloop.engines.transformers import TransformersEngine
from judgeloop.models.chat import Chat
from judgeloop.models.resolve import resolve
from judgeloop.models.show import report
from judgeloop.records import SupervisedRow
from judgeloop.training.sft import train_sft
from judgeloop.training.weights import load_model, lora_config
from tiny import make_tiny_model

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing:FutureWarning", "ignore:lora.dropout is left out:UserWarning"
)
_TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8,
    "num_key_value_heads": 2, "max_position_embeddings": 2048, "initializer_range": 0.4,
}  # fmt: skip
_VISION = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "depth": 1, "num_attention_heads": 2,
    "num_heads": 2, "image_size": 28, "patch_size": 14, "out_hidden_size": 32, "vision_output_dim": 32,
    "fullatt_block_indexes": [0],
}  # fmt: skip
_OF_KIND: dict[str, dict[str, Any]] = {
    "mistral3": {"model_type": "mistral"},
    "qwen2_5_vl": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    },
    "llama4": {"num_local_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip


@pytest.fixture(params=_OF_KIND)
def seeing(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model with a vision tower and random weights."""
    folder = make_tiny_model(tmp_path / "model")
    plain = AutoConfig.from_pretrained(folder)
    ids = {name: getattr(plain, name) for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    text = {**_TEXT, **ids, **_OF_KIND[request.param]}
    config = AutoConfig.for_model(request.param, text_config=text, vision_config=_VISION)
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder


def test_it_is_used_for_its_text(seeing: Path, tmp_path: Path) -> None:
    folder = resolve(str(seeing)).path
    (note,) = report(str(seeing), lambda _: "transformers").notes
    assert note.startswith("it also sees: it is used for its text")
    chat = Chat.load(folder)
    assert chat.check() == []
    prompt = chat.prompt_ids([{"role": "user", "content": "Why is the Moon round?"}])
    engine = TransformersEngine(EngineSection(kind="transformers", precision="f32"), folder, chat)
    (written,) = engine.generate([Request("r", tuple(prompt), Sampling(8))])
    plain = AutoModelForImageTextToText.from_pretrained(folder).eval()
    ids = torch.tensor([prompt])
    out = plain.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False,
        eos_token_id=list(chat.end_ids), pad_token_id=chat.pad_id,
    )  # fmt: skip
    assert list(written.token_ids) == out[0, len(prompt) :].tolist()

    config = SftSection(method="lora", lora=LoraSection(rank=4, alpha=8), epochs=1, batch_size=2, learning_rate=1e-2)
    rows = [
        SupervisedRow(f"r{n}", "ift", f"p{n}", [{"role": "user", "content": "Say Moon."}],
                      [{"role": "assistant", "content": "Moon."}], "made")
        for n in range(2)
    ]  # fmt: skip
    train_sft(
        rows, config=config, initial=folder, output=tmp_path / "M1", chat=chat, seed=0, threads=1,
        on_progress=lambda _done, _total: None, on_metrics=lambda _values: None,
    )  # fmt: skip
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "M1" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed
    assert not [name for name in changed if "vis" in name or "projector" in name]


def test_no_adapter_is_beside_the_text(seeing: Path) -> None:
    from peft import get_peft_model

    adapted = get_peft_model(load_model(seeing), lora_config(SftSection(method="lora"), load_model(seeing), dropout=0))
    names = [name for name, _ in adapted.named_parameters() if "lora_" in name]
    assert names
    assert not [name for name in names if "vis" in name or "projector" in name or "router" in name]
