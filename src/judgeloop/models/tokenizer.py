"""A model folder's tokenizer, with the chat template that it is used with, and the tokens at which the model ends."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError, first_line
from judgeloop.models.facts import (
    read_config,
    read_json_object,
    require_no_pointers,
    text_config,
    tokenizer_problem,
)
from judgeloop.models.template import CHATML, PLAIN

TOKENIZER_FAILS = "its tokenizer cannot be loaded"
_READ_BESIDE = ("config.json", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json")
_MARKED = re.compile(r"\w.*\W|\W.*\w")  # "<pad>", "[PAD]": no word
_SAMPLE = "The quick brown fox's 12345 jumps!\n\n  def f(x):\n\treturn x+1  # h\u00e9llo \u4f60\u597d don't   WE'LL\n"
_OF_MODELS = ("unk_token", "byte_fallback", "fuse_unk", "ignore_merges", "unk_id")
SHIPPED = {"chatml": CHATML, "chatml+tokens": CHATML, "plain": PLAIN}


def load_tokenizer(folder: Path, chat_template: str | None = None, *, trust_remote_code: bool = False) -> Any:
    """The folder's tokenizer. `chat_template`: the name of a shipped template, or a Jinja file; the model's own if
    None. Raises InputError if there is no tokenizer or it cannot be used."""
    if problem := tokenizer_problem(folder):
        raise InputError(f"{folder}: {problem}")
    require_no_pointers(folder)
    try:
        tokenizer = published_tokenizer(folder, trust_remote_code=trust_remote_code, **_pad_of_its_own(folder))
    except Exception as error:  # the libraries raise many kinds; each means the same to the user
        if "trust_remote_code" in str(error):
            raise InputError(
                f"{folder}: its tokenizer is code that comes with the model; read it, and set trust_remote_code: true"
            ) from error
        alone = (folder / "tokenizer.model").is_file() and not (folder / "tokenizer.json").is_file()
        if alone and importlib.util.find_spec("sentencepiece") is None:
            raise InputError(
                f"{folder}: its only tokenizer is tokenizer.model, which needs sentencepiece; run `pip install "
                "sentencepiece protobuf`, or copy the model's tokenizer.json into it"
            ) from error
        for name in _READ_BESIDE:  # the library does not always name the file that it could not read
            if (folder / name).is_file():
                read_json_object(folder / name)
        if (folder / "chat_template.jinja").is_file():
            _read_template(str(folder / "chat_template.jinja"))
        raise InputError(f"{folder}: {TOKENIZER_FAILS} ({first_line(error)}); mend the folder") from error
    if tokenizer.eos_token_id is None and (ends := end_tokens(folder)):
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    if chat_template in SHIPPED:
        if chat_template != "plain" and not {"<|im_start|>", "<|im_end|>"} <= tokenizer.get_vocab().keys():
            raise InputError(
                f"{folder}: its tokenizer has no <|im_start|> and <|im_end|>, which chatml needs; set "
                "chat_template: plain, or chatml+tokens to have the two tokens added (they have to be learnt)"
            )
        tokenizer.chat_template = SHIPPED[chat_template]
    elif chat_template is not None:
        tokenizer.chat_template = _read_template(chat_template)
    elif not tokenizer.chat_template:
        tokenizer.chat_template = _processors_template(folder)
    return tokenizer


def _processors_template(folder: Path) -> Any:
    """The chat template where models that also see have theirs, which transformers reads with their processor alone: a
    text, or several by their names."""
    for name in ("chat_template.json", "processor_config.json"):
        found = read_json_object(folder / name).get("chat_template") if (folder / name).is_file() else None
        if isinstance(found, list):
            found = {each["name"]: each["template"] for each in found if isinstance(each, dict) and len(each) == 2}
        if found:
            return found
    return None


def published_tokenizer(folder: Path, **options: Any) -> Any:
    """The tokenizer that the folder's tokenizer.json describes, if there is one. The library makes one anew of the
    vocabulary, as the class in tokenizer_config.json splits text, or as it did when the class had been written: another
    tokenizer than the model was trained with where the class is only a name (Qwen's for a vocabulary of its own), or
    none where the class needs packages or another kind of vocabulary. `options`: those of `from_pretrained`."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    described = folder / "tokenizer.json"
    try:
        made = AutoTokenizer.from_pretrained(str(folder), **options)
    except Exception as error:  # the libraries raise many kinds
        if not described.is_file() or "trust_remote_code" in str(error):
            raise
        with contextlib.suppress(Exception):  # the first error says more than a second one
            return PreTrainedTokenizerFast.from_pretrained(str(folder), **options)
        raise
    if described.is_file() and getattr(made, "is_fast", False) and _splits_otherwise(made.backend_tokenizer, described):
        return PreTrainedTokenizerFast.from_pretrained(str(folder), **options)
    return made


def _splits_otherwise(made: Any, described: Path) -> bool:
    """Whether a tokenizer gives a text other tokens than a tokenizer.json describes, or tokens another text. What it
    writes before a text is left to it: there are settings for that."""
    from tokenizers import Tokenizer

    spec = read_json_object(described)
    model = spec.get("model", {})
    empty = {"type": "BPE", "vocab": {}, "merges": []}  # to read the steps alone takes a hundredth of the time
    steps = Tokenizer.from_str(json.dumps({**spec, "model": empty, "added_tokens": [], "post_processor": None}))
    alike = type(made.model).__name__ == model.get("type") and all(
        getattr(made.model, name, None) == model.get(name) for name in _OF_MODELS
    )
    if alike and _steps(made) == _steps(steps):
        return False
    own = Tokenizer.from_file(str(described))
    second = own.encode(_SAMPLE, add_special_tokens=False).ids
    try:
        first = made.encode(_SAMPLE, add_special_tokens=False).ids
    except Exception:  # Rust's, where the vocabulary lacks what the class takes for its unknown token
        return True
    inner = min(len(first), len(second)) - 3
    return bool(first[-inner:] != second[-inner:] or made.decode(second) != own.decode(second))


def _steps(of: Any) -> tuple[Any, ...]:
    """What a tokenizer makes of a text before and after its vocabulary."""
    text = of.normalizer.normalize_str(_SAMPLE) if of.normalizer else _SAMPLE
    pieces = [piece for piece, _ in of.pre_tokenizer.pre_tokenize_str(text)] if of.pre_tokenizer else [text]
    return pieces, of.decoder.decode(pieces) if of.decoder else None


def _pad_of_its_own(folder: Path) -> dict[str, str]:
    """EOS as the padding token, if the folder names a word of the vocabulary ("!") as that: the library would make a
    control token of it, and leave it out of every answer."""
    config, vocabulary = folder / "tokenizer_config.json", folder / "tokenizer.json"
    settings = read_json_object(config) if config.is_file() else {}
    pad, eos = (_name(settings.get(key)) for key in ("pad_token", "eos_token"))
    if pad is None or eos is None or _MARKED.search(pad) or not vocabulary.is_file():
        return {}
    added = {token["content"] for token in read_json_object(vocabulary).get("added_tokens", ())}
    return {} if pad in added else {"pad_token": eos}


def _name(token: Any) -> str | None:
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def _read_template(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError.at(
            path,
            None,
            f"the chat template cannot be read ({reason})",
            f"set chat_template to {', '.join(SHIPPED)} or a Jinja file",
        ) from error


def end_tokens(folder: Path) -> list[int]:
    """The tokens at which the model's generation config ends, or its config where that names none."""
    found: Any = None
    if (folder / "generation_config.json").is_file():
        found = read_json_object(folder / "generation_config.json").get("eos_token_id")
    if found in (None, []) and (folder / "config.json").is_file():
        config = read_config(folder)
        inner = text_config(config).get("eos_token_id")  # null there if only the outer config names one
        found = config.get("eos_token_id") if inner is None else inner
    named = [token for token in (found if isinstance(found, list) else [found]) if token is not None]
    if not all(str(token).isdecimal() for token in named):
        raise InputError(f"{folder}: its eos_token_id is {found!r}; give a token's number, or a list of them")
    return [int(token) for token in named]
