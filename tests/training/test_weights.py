import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from judgeloop.chat import CHATML, Chat
from judgeloop.config import LoraSection, TrainSection
from judgeloop.errors import InputError
from judgeloop.training.weights import load_model, lora_config, save_model

from .cases import PEFT_WARNS

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
