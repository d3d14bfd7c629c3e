"""Folders that are no language model to train, or only look as if they were none: one line with the cause, or used."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from judgeloop.cli import app
from judgeloop.config import EngineSection
from judgeloop.engines.base import Request, Sampling
from judgeloop.engines.transformers import TransformersEngine
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.check_folder import check_folder
from judgeloop.models.resolve import resolve
from judgeloop.models.show import report


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))


def edit(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def config(**keys: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **keys)


def renamed(weights: str) -> Callable[[Path], None]:
    return lambda folder: shutil.move(folder / "model.safetensors", folder / weights)


def rewritten(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        path = folder / "model.safetensors"
        save_file(change(load_file(path)), path, metadata={"format": "pt"})

    return harm


def packed(weights: dict[str, Any]) -> dict[str, Any]:
    """Matrices as GPTQ and MLX pack them: eight numbers in one."""
    return {
        name: np.zeros((tensor.shape[0], tensor.shape[1] // 8), np.uint32) if tensor.ndim == 2 else tensor
        for name, tensor in weights.items()
    }


def wrapped(weights: dict[str, Any]) -> dict[str, Any]:
    return {f"_orig_mod.{name}": tensor for name, tensor in weights.items()}


def mlx(folder: Path) -> None:
    rewritten(packed)(folder)
    config(quantization={"group_size": 64, "bits": 4}, quantization_config={"group_size": 64, "bits": 4})(folder)


def untied(folder: Path) -> None:
    config(tie_word_embeddings=False)(folder)


def embeds(folder: Path) -> None:
    (folder / "modules.json").write_text("[]")


def own_code(folder: Path) -> None:
    classes = {"AutoConfig": "configuration_own.Own", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    config(model_type="own", architectures=["OwnForCausalLM"], auto_map=classes)(folder)


def own_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "tiktoken.model")
    (folder / "tokenization_own.py").write_text("")
    edit(
        folder / "tokenizer_config.json",
        tokenizer_class="Own",
        auto_map={"AutoTokenizer": ["tokenization_own.Own", None]},
    )


def tekken(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "tekken.json")


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (
            config(architectures=["LlamaForSequenceClassification"]),
            "is a LlamaForSequenceClassification, which scores text",
        ),
        (config(architectures=["Qwen2ForProcessRewardModel"]), "is a Qwen2ForProcessRewardModel, which scores text"),
        (config(architectures=["BertForMaskedLM"], model_type="bert"), "is a BertForMaskedLM, which scores text"),
        (config(architectures=["BertModel"], model_type="bert"), r"is an encoder \(BertModel\)"),
        (embeds, "is a model of sentence embeddings"),
        (
            config(architectures=["T5ForConditionalGeneration"], model_type="t5", is_encoder_decoder=True),
            r"is a model of encoder and decoder \(T5ForConditionalGeneration\)",
        ),
        (
            config(architectures=["PaliGemmaForConditionalGeneration"], model_type="paligemma"),
            "is a PaliGemmaForConditionalGeneration, which transformers does not load as a language model",
        ),
        (config(model_type="qwen99"), "its model_type is 'qwen99', which this transformers does not know"),
        (config(model_type=None), r"its config\.json has no model_type"),
        (own_code, "is a OwnForCausalLM, whose code comes with the model; .*trust_remote_code: true"),
        (own_tokenizer, "its tokenizer is code that comes with the model; .*trust_remote_code: true"),
        (tekken, r"its only tokenizer is in Mistral's own form \(tekken\.json\)"),
        (renamed("consolidated.00.pth"), "its weights are pickle files"),
        (
            renamed("model-00001-of-00001.safetensors"),
            r"neither model\.safetensors nor model\.safetensors\.index\.json",
        ),
        (renamed("consolidated.safetensors"), r"has consolidated\.safetensors and neither"),
        (mlx, r"its weights are quantised \(mlx, 4 bits\)"),
        (rewritten(packed), r"its weights are quantised \(U32\)"),
        (rewritten(wrapped), "as a wrapper saved them"),
        (untied, r"the weights have none \(lm_head\)"),
    ],
)
def test_it_is_said_when_the_model_is_first_read(folder: Path, harm: Callable[[Path], None], expected: str) -> None:
    harm(folder)
    found = report(str(folder), lambda _: "none")
    assert any(re.search(expected, problem) for problem in found.problems), found.problems


@pytest.mark.parametrize(
    ("made", "inside"),
    [("one", "checkpoint-9"), ("hub", "snapshots/abc"), ("file", "model-Q8_0.gguf")],
)
def test_a_folder_around_a_model_names_what_to_give(folder: Path, tmp_path: Path, made: str, inside: str) -> None:
    outer = tmp_path / made
    (outer / inside).parent.mkdir(parents=True)
    if made == "file":
        (outer / inside).write_bytes(b"GGUF")
    else:
        shutil.copytree(folder, outer / inside)
    with pytest.raises(InputError, match=f"no config.json; give {outer / inside}"):
        check_folder(outer)


def test_what_sees_or_hears_or_predicts_ahead_has_layers_of_its_own(folder: Path) -> None:
    names = ("visual.blocks", "audio_tower.layers", "mtp.layers")
    more = {f"{name}.{n}.weight": np.zeros((2, 2), np.float32) for name in names for n in range(9)}
    rewritten(lambda weights: {**weights, **more})(folder)
    check_folder(folder)


def test_an_embedding_may_be_narrower_than_the_layers(folder: Path) -> None:
    config(hidden_size=128, word_embed_proj_dim=64)(folder)  # OPT-350m
    check_folder(folder)


def test_a_padding_token_of_the_tokenizers_own_does_not_end_a_batch(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    check_folder(folder)
    chat = Chat.load(folder)
    assert chat.check() == []
    engine = TransformersEngine(EngineSection(kind="transformers"), folder, chat)
    texts = ("Hi", "Name the colour of the sea.")
    prompts = [tuple(chat.prompt_ids([{"role": "user", "content": text}])) for text in texts]
    rows = list(engine.generate([Request(str(n), ids, Sampling(2)) for n, ids in enumerate(prompts)]))
    assert len(rows) == 2


def test_the_command_says_it_too(folder: Path) -> None:
    config(architectures=["LlamaForSequenceClassification"])(folder)
    shown = CliRunner().invoke(app, ["models", "show", str(folder)])
    assert (shown.exit_code, "which scores text and writes none" in shown.stdout) == (2, True)


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    made = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(folder), made).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_beside_its_bases_config_is_an_adapter(folder: Path, adapter: Path) -> None:
    shutil.copy(folder / "config.json", adapter)
    assert resolve(str(adapter)).path != adapter


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_for_another_task_is_refused(adapter: Path) -> None:
    edit(adapter / "adapter_config.json", task_type="SEQ_CLS")
    with pytest.raises(InputError, match=r"is an adapter for another task \(SEQ_CLS\)"):
        resolve(str(adapter))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning")
@pytest.mark.parametrize(
    ("other", "said"), [("layers.7", "the base has no place for 2 of its tensors"), (None, "its file lacks 2 of its")]
)
def test_an_adapter_that_only_partly_fits_the_base_is_refused(adapter: Path, other: str | None, said: str) -> None:
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    moved = {
        name.replace("layers.1", other or ""): tensor for name, tensor in weights.items() if other or "s.1" not in name
    }
    save_file({**weights, **moved} if other else moved, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=rf"cannot be merged into .*{said}.*: it belongs to another base"):
        resolve(str(adapter))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_that_changes_no_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    made = PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=2, token_dim=64, num_layers=2, num_attention_heads=4
    )
    get_peft_model(AutoModelForCausalLM.from_pretrained(folder), made).save_pretrained(tmp_path / "prompt")
    with pytest.raises(InputError, match=r"it is of the kind PROMPT_TUNING, which changes no weights"):
        resolve(str(tmp_path / "prompt"))


def test_a_tokenizer_that_needs_sentencepiece_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"\n\x0e")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "sentencepiece" else found(name, *more)
    )
    with pytest.raises(InputError, match=r"which needs sentencepiece; run `pip install sentencepiece"):
        Chat.load(folder)


def test_copies_of_the_weights_are_not_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: dict[str, Any] = {}

    def fetched(name: str, **options: Any) -> str:
        asked.update(options)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    resolve("owner/name")
    assert {"consolidated*", "original/*"} <= set(asked["ignore_patterns"])
    assert not {"*.py", "*.tiktoken"} & set(asked["allow_patterns"])
    resolve("owner/name", trust_remote_code=True)
    assert {"*.py", "*.tiktoken"} <= set(asked["allow_patterns"])
