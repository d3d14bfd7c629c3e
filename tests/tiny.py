"""A model folder with random weights, made in about a second: for tests that need a model, not a good one.

The weights are numbers that float16 holds exactly, so a float16 file of them computes the same as the folder. The end
token has a raised probability (`end_bias`), so that sampled generations finish.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

Family = Literal["llama", "qwen2", "qwen3"]
Splitting = Literal["bytes", "llama", "gemma", "unigram"]

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END_ID = 2
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SENTENCES = (
    "The quick brown fox jumps over the lazy dog while the cat watches from the window.",
    "Write a short answer about rain, bread, the Moon and the sea. Score: 3 points of 5.",
    "system user assistant instruction response judge prompt candidate preference pair",
    "What is the capital of France? The capital of France is Paris, a city on the Seine.",
    "Explain why the sky is blue in one sentence, then give an example of it.",
    "0 1 2 3 4 5 6 7 8 9 and some more words: it is what they would have done there.",
)

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
HIDDEN, LAYERS, HEADS, KV_HEADS, INNER = 64, 2, 4, 2, 128
HEAD_SIZE = {"llama": 16, "qwen2": 16, "qwen3": 32}  # qwen3 heads need not add up to the hidden size


def make_tiny_model(folder: Path, family: Family = "llama", seed: int = 0, end_bias: float = 16.0) -> Path:
    """Write a random-weight model folder (config, tokenizer, safetensors) and return it.

    Byte-level BPE with single digits, ChatML template, 2 layers, grouped-query attention; llama and qwen3 tie their
    embeddings, qwen2 does not. `end_bias` raises the end token's probability.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(folder)
    tied = family != "qwen2"
    config = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_SIZE[family],
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": tied,
        "bos_token_id": 1,
        "eos_token_id": END_ID,
        "pad_token_id": 0,
        "dtype": "float32",
    }
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": END_ID, "pad_token_id": 0})
    tensors = _tensors(family, vocabulary, tied, np.random.default_rng(seed), end_bias)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def make_base_model(
    folder: Path, family: Family = "llama", template: str | None = None, tokens: Sequence[str] = ()
) -> Path:
    """A tiny model whose tokenizer has the template given, or none as base models have none, and knows no token of
    ChatML unless the template writes it."""
    make_tiny_model(folder, family)
    size = write_tokenizer(folder, template, tokens=tokens)
    for name in ("config.json", "generation_config.json"):
        values = json.loads((folder / name).read_text(encoding="utf-8"))
        values |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
        _write_json(folder / name, {**values, "vocab_size": size} if "vocab_size" in values else values)
    weights = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in weights:
            weights[name] = np.resize(weights[name], (size, HIDDEN))
            weights[name][[1, END_ID]] = weights[name][[END_ID, 1]]  # the end token's raised probability goes along
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


CONTROL = re.compile(
    r"<[|｜][^<>{}\n'\"]+?[|｜]>|<\|[a-z_]+>|<[a-z_]+\|>|</?think>|</?tool_\w+>|\[gMASK\]|<sop>|\[/?INST\]"
    r"|<(?:start|end)_of_turn>"
)
NOT_SPECIAL = re.compile(r"</?think>|<｜(?:User|Assistant)｜>|</?tool_\w+>")  # as Qwen3 and DeepSeek have them


def write_tokenizer(
    folder: Path,
    template: str | None,
    *,
    bos: str | None = "<s>",
    eos: str = "</s>",
    tokens: Sequence[str] = (),
    splitting: Splitting = "bytes",
) -> int:
    """A tokenizer that knows the control tokens a template writes (and `tokens`), with that template. Returns the size
    of its vocabulary.

    `splitting` is how text becomes tokens. "bytes": byte-level BPE. The others are SentencePiece's ways, with `▁` for
    a space and bytes for characters that the vocabulary lacks: "llama" (BPE, `▁` before the first word; also Mistral
    and Phi-3), "gemma" (BPE, nothing before it), "unigram" (the likeliest pieces, `▁` before each word).
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = dict.fromkeys([*([bos] if bos else []), eos, *tokens, *CONTROL.findall(template or "")])
    names = {**({"bos_token": bos} if bos else {}), "eos_token": eos, "pad_token": eos}
    if splitting != "bytes":
        names["unk_token"] = "<unk>"
        found |= dict.fromkeys(("<unk>", "<mask>"))
    special = [AddedToken(token, special=not NOT_SPECIAL.fullmatch(token), normalized=False) for token in found]
    tokenizer = _trained(special) if splitting == "bytes" else _sentencepiece(special, splitting)
    tokenizer.save(str(folder / "tokenizer.json"))
    classes = {"llama": "LlamaTokenizer", "gemma": "GemmaTokenizer"}
    settings = {
        **names,
        "tokenizer_class": classes.get(splitting, "PreTrainedTokenizerFast"),
        "model_max_length": 4096,
    }
    if template is not None:
        settings["chat_template"] = template
    _write_json(folder / "tokenizer_config.json", settings)
    return int(tokenizer.get_vocab_size())


def _sentencepiece(special: Sequence[AddedToken], splitting: Splitting) -> Tokenizer:
    """As transformers converts a SentencePiece model of the family."""
    first = [token for token in special if token.special]
    unspace, join = decoders.Replace("▁", " "), [decoders.ByteFallback(), decoders.Fuse()]
    if splitting == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=first, unk_token="<unk>", show_progress=False)
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
        space = normalizers.Replace(" ", "▁")
        prepended = splitting == "llama"
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), space]) if prepended else space
        # For the training alone: no piece may be longer than a word.
        tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=first, show_progress=False)
    tokenizer.decoder = decoders.Sequence(
        [unspace, *join, *([] if splitting == "gemma" else [decoders.Strip(content=" ", left=1)])]
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    written = json.loads(tokenizer.to_str())
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = written["model"]["vocab"]
    if splitting == "unigram":
        vocabulary += [[token, -30.0] for token in bytes_]
    else:
        vocabulary |= {token: len(vocabulary) + number for number, token in enumerate(bytes_)}
        written["pre_tokenizer"] = None
    written["model"]["byte_fallback"] = True
    tokenizer = Tokenizer.from_str(json.dumps(written))
    tokenizer.add_tokens([token for token in special if not token.special])
    return tokenizer


def _trained(special: Sequence[AddedToken]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=448,
        special_tokens=[token for token in special if token.special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_tokens([token for token in special if not token.special])
    return tokenizer


def _write_tokenizer(folder: Path) -> int:
    tokenizer = _trained([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"unk_token": SPECIAL[0], "bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "pad_token": SPECIAL[0]}
    _write_json(
        folder / "tokenizer_config.json",
        {
            **names,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 4096,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    return int(tokenizer.get_vocab_size())


def _tensors(
    family: Family, vocabulary: int, tied: bool, random: np.random.Generator, end_bias: float
) -> dict[str, NDArray[np.float32]]:
    head = HEAD_SIZE[family]

    def normal(*shape: int, scale: float) -> NDArray[np.float32]:
        return random.normal(0.0, scale, shape).astype(np.float16).astype(np.float32)

    def norm(size: int) -> NDArray[np.float32]:
        return 1 + normal(size, scale=0.1)

    embedding = normal(vocabulary, HIDDEN, scale=0.12)
    embedding[:, 0] = 1.0  # the same for every token, so this direction of the last hidden state is a constant
    output = embedding if tied else normal(vocabulary, HIDDEN, scale=0.12)
    tensors = {"model.embed_tokens.weight": embedding, "model.norm.weight": norm(HIDDEN)}
    tensors["model.norm.weight"][0] = 1.0
    for index in range(LAYERS):
        layer = f"model.layers.{index}"
        shapes = {
            "self_attn.q_proj": (HEADS * head, HIDDEN),
            "self_attn.k_proj": (KV_HEADS * head, HIDDEN),
            "self_attn.v_proj": (KV_HEADS * head, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HEADS * head),
            "mlp.gate_proj": (INNER, HIDDEN),
            "mlp.up_proj": (INNER, HIDDEN),
            "mlp.down_proj": (HIDDEN, INNER),
        }
        for name, shape in shapes.items():
            tensors[f"{layer}.{name}.weight"] = normal(*shape, scale=0.2)
            if name.endswith(("o_proj", "down_proj")):
                tensors[f"{layer}.{name}.weight"][0] = 0.0  # nothing but the embedding writes direction 0
            if family == "qwen2" and name.endswith(("q_proj", "k_proj", "v_proj")):
                tensors[f"{layer}.{name}.bias"] = normal(shape[0], scale=0.2)
        if family == "qwen3":
            tensors[f"{layer}.self_attn.q_norm.weight"] = norm(head)
            tensors[f"{layer}.self_attn.k_norm.weight"] = norm(head)
        tensors[f"{layer}.input_layernorm.weight"] = norm(HIDDEN)
        tensors[f"{layer}.post_attention_layernorm.weight"] = norm(HIDDEN)
    output[END_ID, 0] += end_bias if tied else end_bias / 2
    if not tied:
        tensors["lm_head.weight"] = output
    return tensors
