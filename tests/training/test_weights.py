import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PretrainedConfig

from judgeloop.config import LoraSection, SftSection, TrainSection
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.convert import merged_adapter
from judgeloop.models.template import CHATML
from judgeloop.training.preference import train_preference
from judgeloop.training.sft import train_sft
from judgeloop.training.weights import load_model, load_policy, lora_config, save_model, with_dropout

from .cases import PEFT_WARNS, make_pair, make_row

IDS = torch.arange(3, 40).view(1, -1)


@PEFT_WARNS
def test_merged_adapters_compute_what_the_adapted_model_did(model_folder: Path, tmp_path: Path, chat: Chat) -> None:
    base = load_model(model_folder)
    before = base(input_ids=IDS).logits.detach()
    config = lora_config(TrainSection(method="lora", lora=LoraSection(rank=4, alpha=8)), base, dropout=0.0)
    adapted = get_peft_model(base, config)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
        expected = adapted(input_ids=IDS).logits
    save_model(adapted, tmp_path / "out", initial=model_folder, chat=chat)
    with torch.no_grad():
        found = AutoModelForCausalLM.from_pretrained(str(tmp_path / "out"))(input_ids=IDS).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (found - before).abs().max() > 0.1
    assert not list((tmp_path / "out").glob("adapter*"))
    with torch.no_grad():  # it can be trained on
        torch.testing.assert_close(adapted(input_ids=IDS).logits, expected)


@PEFT_WARNS
@pytest.mark.parametrize("stage", ["sft", "train"])
def test_kept_adapters_on_the_initial_model_are_the_merged_model(
    model_folder: Path, tmp_path: Path, chat: Chat, stage: str
) -> None:
    lora = {"method": "lora", "lora": {"rank": 4, "keep_adapter": True}, "learning_rate": 1e-2, "precision": "f32"}
    given = {
        "initial": model_folder, "output": tmp_path / "model", "chat": chat, "seed": 0, "threads": None,
        "on_progress": lambda _done, _total: None, "on_metrics": lambda _values: None,
    }  # fmt: skip
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "old").touch()
    if stage == "sft":
        train_sft([make_row(i) for i in range(4)], config=SftSection(**lora), **given)
    else:
        pairs = [make_pair(i) for i in range(4)]
        train_preference(pairs, reference=model_folder, token_ids={}, config=TrainSection(**lora), **given)
    adapted = PeftModel.from_pretrained(load_model(model_folder), str(tmp_path / "adapter"))
    with torch.no_grad():
        found = adapted(input_ids=IDS).logits
        merged = load_model(tmp_path / "model")(input_ids=IDS).logits
        before = load_model(model_folder)(input_ids=IDS).logits
    torch.testing.assert_close(found, merged, atol=1e-4, rtol=1e-4)
    assert (merged - before).abs().max() > 0.05
    assert not (tmp_path / "model" / "adapter").exists()
    assert not (tmp_path / "adapter" / "old").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("key", "value", "instead"),
    [("method", "qlora", "lora"), ("attention", "flash_attention_2", "auto"), ("kernels", "liger", "torch")],
)
def test_what_needs_a_gpu_is_refused_before_anything_is_read(
    tmp_path: Path, chat: Chat, key: str, value: str, instead: str
) -> None:
    with pytest.raises(InputError, match=rf"{key}: {value} needs a GPU with CUDA.*set {key}: {instead}"):
        train_sft(
            [], initial=tmp_path / "none", output=tmp_path / "model", chat=chat, config=SftSection(**{key: value}),
            seed=0, threads=None, on_progress=lambda _done, _total: None, on_metrics=lambda _values: None,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_the_saved_folder_is_an_ordinary_one(model_folder: Path, tmp_path: Path, chat: Chat) -> None:
    model = load_model(model_folder)
    model.config.pad_token_id = 7  # as a trainer might
    save_model(model, tmp_path / "out", initial=model_folder, chat=chat)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= names
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["pad_token_id"] == 0
    assert str(model_folder) not in json.dumps(config)
    assert GenerationConfig.from_pretrained(str(tmp_path / "out")).eos_token_id == chat.close_id
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    assert tokenizer.chat_template == chat.tokenizer.chat_template
    again = Chat.load(tmp_path / "out")
    assert again.prompt_ids([{"role": "user", "content": "Hi"}]) == chat.prompt_ids([{"role": "user", "content": "Hi"}])


def test_the_template_and_ends_in_use_are_saved(model_folder: Path, tmp_path: Path) -> None:
    chat = Chat.load(model_folder, chat_template="chatml")
    chat.end_ids = (*chat.end_ids, 0)
    save_model(load_model(model_folder), tmp_path / "out", initial=model_folder, chat=chat)
    assert AutoTokenizer.from_pretrained(str(tmp_path / "out")).chat_template == CHATML
    assert GenerationConfig.from_pretrained(str(tmp_path / "out")).eos_token_id == [2, 0]


def test_a_generation_config_that_contradicts_itself_does_not_stop_the_saving(
    model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    model = load_model(model_folder)
    model.generation_config.temperature = 0.3  # with do_sample false
    save_model(model, tmp_path / "out", initial=model_folder, chat=chat)
    assert GenerationConfig.from_pretrained(str(tmp_path / "out")).eos_token_id == 2


def test_modules_that_cannot_be_adapted_are_refused(model_folder: Path) -> None:
    model = load_model(model_folder)

    def modules(names: str) -> object:
        section = TrainSection(method="lora", lora=LoraSection(target_modules=names))
        return lora_config(section, model, dropout=0.0).target_modules

    assert modules("q_proj, v_proj") == {"q_proj", "v_proj"}
    for wrong in ("q_pro", "lm_head", "q_proj,lm_head", " "):
        with pytest.raises(InputError, match=r"lora\.target_modules"):
            modules(wrong)
    assert lora_config(TrainSection(), model, dropout=0.0) is None


def test_a_folder_without_weights_is_refused(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be loaded as a language model"):
        load_model(tmp_path / "m")


def test_a_config_that_fits_nothing_is_refused_in_shards_too(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model_folder, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "hidden_act": "none of these"}))
    monkeypatch.setattr("judgeloop.training.distributed.sharded", lambda: True)
    with pytest.raises(InputError, match="cannot be loaded as a language model"):
        load_model(tmp_path / "m", by_layer=True)


def test_dropout_is_set_wherever_the_model_has_it(model_folder: Path) -> None:
    model = load_model(model_folder)
    model.extra = torch.nn.Dropout(0.5)
    with_dropout(model, 0.25, "sft.dropout")
    attention = [m.attention_dropout for m in model.modules() if hasattr(m, "attention_dropout")]
    assert set(attention) == {0.25}
    assert model.extra.p == 0.25


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("opt", {"ffn_dim": 16, "word_embed_proj_dim": 16, "dropout": 0.5, "layerdrop": 0.5}),
        ("gpt_bigcode", {"n_embd": 16, "attn_pdrop": 0.5}),
        ("mpt", {"d_model": 16, "n_heads": 2, "n_layers": 2, "resid_pdrop": 0.5}),
    ],
)
def test_dropout_is_found_by_whatever_name_a_family_has_for_it(kind: str, options: dict[str, Any]) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "n_layer": 2, "n_head": 2}
    config = AutoConfig.for_model(
        kind, vocab_size=32, bos_token_id=0, eos_token_id=1, pad_token_id=None, **sizes, **options
    )
    model = AutoModelForCausalLM.from_config(config).train()
    ids = torch.tensor([[3, 4, 5, 6]])
    first, second = (with_dropout(model, 0.0, "sft.dropout")(ids).logits for _ in range(2))
    assert first.equal(second)
    first, second = (with_dropout(model, 0.3, "sft.dropout")(ids).logits for _ in range(2))
    assert not first.equal(second)
    assert not any(getattr(module, "layerdrop", 0.0) for module in model.modules())


def test_dropout_that_a_model_has_no_place_for_is_refused(model_folder: Path) -> None:
    model = load_model(model_folder)
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            del module.attention_dropout
    assert with_dropout(model, 0.0, "sft.dropout") is model
    with pytest.raises(InputError, match=r"sft.dropout: this model \(llama\) has no dropout"):
        with_dropout(model, 0.1, "sft.dropout")


def one_layer_short(folder: Path, target: Path) -> Path:
    """The model's folder with a config that describes a layer more than its weights have."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    config["num_hidden_layers"] += 1
    config.pop("layer_types", None)
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_weights_that_lack_tensors_are_trained_with_no_method(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would draw them at random. Weights of four bits need a GPU: here they are loaded without."""
    folder = one_layer_short(model_folder, tmp_path / "short")
    whole = AutoModelForCausalLM.from_pretrained

    def plain(path: str, *, quantization_config: object = None, device_map: object = None, **more: Any) -> Any:
        return whole(path, **more)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", plain)
    monkeypatch.setattr("transformers.BitsAndBytesConfig", lambda **_options: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_options: False)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    for method in ("full", "lora", "qlora"):
        with pytest.raises(InputError, match=r"short: its weights lack \d+ tensors of a .*restore the config"):
            load_policy(TrainSection(method=method), folder)
    assert load_policy(TrainSection(method="qlora"), model_folder) is not None


@PEFT_WARNS
def test_adapters_are_not_merged_into_weights_that_lack_tensors(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    base = load_model(model_folder)
    config = lora_config(TrainSection(method="lora", lora=LoraSection(rank=4, alpha=8)), base, dropout=0.0)
    get_peft_model(base, config).save_pretrained(str(tmp_path / "adapter"))
    short = one_layer_short(model_folder, tmp_path / "short")
    with pytest.raises(InputError, match=rf"cannot be merged into {short} \({short}: its weights lack \d+ tensors"):
        merged_adapter(tmp_path / "adapter", short, "sha256:short")
    assert not (tmp_path / "cache" / "models").exists() or not list((tmp_path / "cache" / "models").glob("merged-*/*"))
    assert (merged_adapter(tmp_path / "adapter", model_folder, "sha256:whole") / "model.safetensors").is_file()


def test_adapters_leave_out_what_mambas_kernels_read() -> None:
    mamba, delta_net = torch.nn.Module(), torch.nn.Module()
    for mixer in (mamba, delta_net):
        mixer.A_log, mixer.out_proj = torch.nn.Parameter(torch.zeros(2)), torch.nn.Linear(2, 2)
        mixer.in_proj = torch.nn.Linear(2, 2)
    mamba.D = torch.nn.Parameter(torch.zeros(2))
    model = torch.nn.ModuleDict({"mamba": mamba, "delta_net": delta_net})
    model.config = PretrainedConfig()
    described = lora_config(TrainSection(method="lora"), model, dropout=0.0)
    assert described.exclude_modules == r"mamba\.out_proj"
