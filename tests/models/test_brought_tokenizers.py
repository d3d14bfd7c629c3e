"""A tokenizer whose class in tokenizer_config.json is not what its tokenizer.json describes: the file is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from judgeloop.models.chat import Chat
from judgeloop.models.merge import add_chatml_tokens
from judgeloop.models.template import PLAIN
from judgeloop.models.tokenizer import load_tokenizer
from tiny import Splitting, make_tiny_model, write_tokenizer

TEXT = "The fox's 123 jumps!\n\n  over it"


def called(folder: Path, name: str, **keys: Any) -> Path:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": name, **keys}))
    return folder


def described(folder: Path, text: str = TEXT) -> list[int]:
    return list(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize(
    ("splitting", "name"),
    [
        ("bytes", "GemmaTokenizer"),
        ("bytes", "CodeLlamaTokenizerFast"),
        ("bytes", "T5Tokenizer"),  # cannot be made of such a vocabulary
        ("bytes", "MistralCommonBackend"),  # needs a package of its own
        ("llama", "Qwen2Tokenizer"),
        ("gemma", "GPT2Tokenizer"),
        ("unigram", "LlamaTokenizer"),
        ("unigram", "GemmaTokenizer"),
    ],
)
def test_text_is_split_as_the_file_says(splitting: Splitting, name: str, tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "a", PLAIN, splitting=splitting)
    chat = Chat.load(called(tmp_path / "a", name))
    assert chat.check() == []
    assert chat.text_ids(TEXT) == described(tmp_path / "a")
    assert chat.decode(chat.text_ids(TEXT)).strip() == TEXT
    chat.tokenizer.save_pretrained(tmp_path / "b")
    assert Chat.load(tmp_path / "b").text_ids(TEXT) == described(tmp_path / "b") == described(tmp_path / "a")


@pytest.mark.parametrize(("splitting", "name"), [("llama", "LlamaTokenizer"), ("gemma", "GemmaTokenizer")])
def test_a_class_that_fits_is_kept(splitting: Splitting, name: str, tmp_path: Path) -> None:
    write_tokenizer(tmp_path, PLAIN, splitting=splitting)
    assert type(load_tokenizer(called(tmp_path, name))).__name__ == name


def test_a_model_with_tokens_added_keeps_its_splitting(tmp_path: Path) -> None:
    folder = called(make_tiny_model(tmp_path / "model"), "GemmaTokenizer")
    add_chatml_tokens(str(folder), str(tmp_path / "made"))
    assert described(tmp_path / "made") == described(folder)
