"""Models as they come: what can be used is used, and what cannot be is said in one line before anything starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from judgeloop.cli import app
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.check_folder import check_folder, require_layers, training_problems
from judgeloop.models.contents import content_hash
from judgeloop.models.convert import with_chatml_tokens
from judgeloop.models.facts import max_positions, parameters, sliding_window, vocabulary_size
from judgeloop.models.gguf_export import write_gguf
from judgeloop.models.resolve import resolve
from tiny import make_base_model, make_tiny_model

pytestmark = pytest.mark.usefixtures("cache")


def edit(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_facts(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    assert parameters(folder) == sum(tensor.size for tensor in weights.values())
    assert max_positions(folder) == 4096
    assert vocabulary_size(folder) == weights["model.embed_tokens.weight"].shape[0]


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({}, None),
        ({"sliding_window": 8}, 8),
        ({"sliding_window": None}, None),
        ({"sliding_window": 8, "use_sliding_window": False}, None),
        ({"sliding_window": 8, "layer_types": ["full_attention"]}, None),
        ({"sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"]}, 8),
        ({"text_config": {"sliding_window": 8}}, 8),
    ],
)
def test_sliding_window(config: dict[str, Any], window: int | None) -> None:
    assert sliding_window(config) == window


def shard(folder: Path) -> None:
    """The same weights in two files with an index, as large models come."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    places = {name: f"model-0000{1 + (n % 2)}-of-00002.safetensors" for n, name in enumerate(names)}
    for file in set(places.values()):
        save_file({name: weights[name] for name in names if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("family", ["llama", "qwen2"])  # tied and untied
@pytest.mark.parametrize("sharded", [False, True])
def test_whole_and_sharded_tied_and_untied(family: Any, sharded: bool, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", family)
    if sharded:
        shard(folder)
    check_folder(folder)
    assert resolve(str(folder)).path == folder


def lose_a_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def point(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def grow_tokenizer(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["grown"])
    tokenizer.save_pretrained(folder)


def shrink_config(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=1)


def widen_config(folder: Path) -> None:
    edit(folder / "config.json", hidden_size=128)


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (
            lose_a_shard,
            r"model-00002-of-00002\.safetensors: is not there, and model\.safetensors\.index\.json names it",
        ),
        (point, r"model\.safetensors: is a git-lfs pointer, not the weights; run `git lfs pull`"),
        (cut, r"model\.safetensors: is cut off within '"),
        (grow_tokenizer, r"the tokenizer knows 1 tokens that the weights do not \(448 rows\), such as 'grown'"),
        (shrink_config, r"config\.json says 1 layers and the weights have 2"),
        (widen_config, r"config\.json says hidden_size 128 and the weights have 64"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(folder: Path, harm: Callable[[Path], None], expected: str) -> None:
    harm(folder)
    with pytest.raises(InputError, match=expected) as caught:
        resolve(str(folder))
    assert "\n" not in str(caught.value)
    shown = CliRunner().invoke(app, ["models", "show", str(folder)])
    assert shown.exit_code == 2
    assert "PROBLEM" in shown.stdout


def test_a_control_token_beyond_the_weights_that_nothing_writes_is_no_problem(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)  # as Gemma 3 of 1B has one for images
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image_soft_token>"]})
    tokenizer.save_pretrained(folder)
    assert len(tokenizer) == 449
    check_folder(folder)
    asked = [{"role": "user", "content": "See <image_soft_token>."}]
    assert max(Chat.load(folder).prompt_ids(asked)) < 448  # type: ignore[arg-type]


def test_weights_larger_than_the_tokenizer_are_usual(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    table = weights["model.embed_tokens.weight"]
    weights["model.embed_tokens.weight"] = np.concatenate([table, table[:8]])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edit(folder / "config.json", vocab_size=len(table) + 8)
    check_folder(folder)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, r"bitsandbytes, 4 bits"),
        ({"quant_method": "gptq", "bits": 4}, r"gptq, 4 bits"),
        ({"quant_method": "awq", "bits": 4}, r"awq, 4 bits"),
        ({"quant_method": "mxfp4"}, r"mxfp4"),
    ],
)
def test_quantised_weights_are_not_trained(folder: Path, config: dict[str, Any], expected: str) -> None:
    edit(folder / "config.json", quantization_config=config)
    (problem,) = training_problems(folder)
    assert f"its weights are quantised ({expected}) and cannot be trained further" in problem
    shown = CliRunner().invoke(app, ["models", "show", str(folder)])
    assert (shown.exit_code, "cannot be trained further" in shown.stdout) == (2, True)


def test_not_all_layers_can_be_frozen(folder: Path) -> None:
    layers = json.loads((folder / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
    require_layers(folder, {"sft.freeze_layers": layers - 1})
    with pytest.raises(InputError, match=f"train.freeze_layers is {layers}, and the model in .* has {layers} layers"):
        require_layers(folder, {"sft.freeze_layers": layers - 1, "train.freeze_layers": layers})


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_is_merged_into_its_base(folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder),
        LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False),
    )
    adapter = tmp_path / "adapter"
    model.save_pretrained(adapter)
    found = resolve(str(adapter))
    assert found.path != adapter
    ids = torch.tensor([[1, 5, 9, 40]])
    expected = model.eval()(input_ids=ids).logits
    merged = AutoModelForCausalLM.from_pretrained(found.path).eval()
    torch.testing.assert_close(merged(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)
    assert Chat.load(found.path).check() == []
    assert resolve(str(adapter)) == found
    edit(adapter / "adapter_config.json", base_model_name_or_path="nowhere at all")
    with pytest.raises(
        InputError, match="is an adapter of 'nowhere at all', and that base is not to be had: model: no"
    ):
        resolve(str(adapter))


def test_a_gguf_file_is_restored(folder: Path, tmp_path: Path) -> None:
    file = write_gguf(folder, tmp_path / "tiny.gguf")
    found = resolve(str(file))
    ids = torch.tensor([[1, 5, 9, 40]])
    ours, theirs = (
        AutoModelForCausalLM.from_pretrained(place).eval()(input_ids=ids).logits for place in (found.path, folder)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    text = "Rain 1234 and bread, it's the Moon."
    assert Chat.load(found.path).text_ids(text) == Chat.load(folder).text_ids(text)
    assert resolve(str(file)) == found
    (tmp_path / "no.gguf").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"no\.gguf: is not a GGUF file"):
        resolve(str(tmp_path / "no.gguf"))
    (tmp_path / "cut.gguf").write_bytes(file.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"cut\.gguf: cannot be restored from GGUF \(.+\); get it again"):
        resolve(str(tmp_path / "cut.gguf"))


def test_hub_ids_with_a_prefix_and_a_revision(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    import huggingface_hub

    asked: list[tuple[str, str | None]] = []

    def fetched(name: str, revision: str | None = None, **_: Any) -> str:
        asked.append((name, revision))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    assert resolve("hf:owner/name@v1").path == folder
    resolve("hf:owner/name", revision="main")
    resolve("owner/name")
    assert asked == [("owner/name", "v1"), ("owner/name", "main"), ("owner/name", None)]


def test_a_base_model_is_given_its_offer_and_chatml_tokens_if_asked(tmp_path: Path) -> None:
    folder = make_base_model(tmp_path / "base")
    shown = CliRunner().invoke(app, ["models", "show", str(folder)])
    assert shown.exit_code == 2
    assert "as base models have none; set chat_template: plain" in shown.stdout
    shown = CliRunner().invoke(app, ["models", "show", str(folder), "--chat-template", "plain", "--json"])
    facts = json.loads(shown.stdout)
    assert (shown.exit_code, facts["problems"], facts["template"], facts["positions"]) == (0, [], "plain", 4096)
    before = AutoModelForCausalLM.from_pretrained(folder)
    grown = with_chatml_tokens(folder, content_hash(folder))
    chat = Chat.load(grown, chat_template="chatml+tokens")
    assert chat.check() == []
    assert chat.tokenizer.decode([chat.close_id]) == "<|im_end|>"
    after = AutoModelForCausalLM.from_pretrained(grown)
    old, new = (model.get_input_embeddings().weight for model in (before, after))
    assert max(chat.control_tokens and chat.prompt_ids([{"role": "user", "content": "a"}])) < len(new)
    torch.testing.assert_close(new[: len(old)], old)
    assert with_chatml_tokens(grown, content_hash(grown)) == grown
    shutil.rmtree(grown)


def test_show_says_plainly_what_a_model_is(folder: Path) -> None:
    shown = CliRunner().invoke(app, ["models", "show", str(folder)])
    assert shown.exit_code == 0, shown.output
    for words in ("LlamaForCausalLM", "4,096 tokens", "chatml", "No problem found"):
        assert words in shown.stdout
