"""Which architectures work: a tiny model of each with random weights, its family's chat template, a tokenizer made by
code, through everything that a run does with a model.

    python benchmarks/matrix.py                 # all, a table in Markdown (docs/models.md)
    python benchmarks/matrix.py qwen3 gemma2    # some

Columns: `check` (weights, tokenizer and template, as before a run), `logits` (log-probabilities of options equal those
of plain transformers), `greedy` (generated ids equal those of plain transformers), `score` (an expected score between 0
and 5), `SFT` and `DPO` (one step, full and LoRA, the saved model loads and has changed).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from tiny import write_tokenizer  # type: ignore[import-not-found]

TEMPLATES = "trl.chat_templates"
SMOLLM3 = (
    "{{ '<|im_start|>system\\nToday Date: ' + strftime_now('%d %B %Y') + '\\nReasoning Mode: ' }}"
    "{{ '/no_think' if enable_thinking is defined and not enable_thinking else '/think' }}{{ '<|im_end|>\\n' }}"
    "{% for m in messages %}{% if m['role'] == 'assistant' and enable_thinking is defined and not enable_thinking %}"
    "{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n' }}{% endif %}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
GRANITE = (
    "{% for m in messages %}"
    "{{ '<|start_of_role|>' + m['role'] + '<|end_of_role|>' + m['content'] + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}"
)
OLMO = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}{{ '<|assistant|>\\n' + m['content'] + eos_token }}"
    "{% else %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
MOE = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
MLA = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
DEEPSEEK = {
    **MLA,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}


@dataclass(frozen=True)
class Architecture:
    """A family: transformers' model type, its template (a file of TRL's, a Jinja text, or one that ships here), its
    closing token and what its config needs besides the sizes."""

    model_type: str
    template: str
    eos: str = "</s>"
    extra: dict[str, Any] = field(default_factory=dict)


ARCHITECTURES = {
    "Llama 2 (base)": Architecture("llama", "plain"),
    "Llama 3.2": Architecture("llama", "llama3_2", "<|eot_id|>", {"tie_word_embeddings": True}),
    "Qwen2.5": Architecture("qwen2", "qwen2_5", "<|im_end|>"),
    "Qwen3": Architecture("qwen3", "qwen3", "<|im_end|>", {"head_dim": 16}),
    "Qwen3-MoE": Architecture("qwen3_moe", "qwen3", "<|im_end|>", {**MOE, "head_dim": 16, "decoder_sparse_step": 1}),
    "Gemma 2": Architecture("gemma2", "gemma", "<end_of_turn>", {"head_dim": 8, "sliding_window": 64}),
    "Gemma 3": Architecture("gemma3_text", "gemma3", "<end_of_turn>", {"head_dim": 8, "sliding_window": 64}),
    "Mistral": Architecture("mistral", MISTRAL, extra={"sliding_window": 64}),
    "Mixtral": Architecture("mixtral", MISTRAL, extra=MOE),
    "Phi-3": Architecture("phi3", "phi3", "<|end|>", {"sliding_window": 64}),
    "SmolLM3": Architecture("smollm3", SMOLLM3, "<|im_end|>"),
    "gpt-oss": Architecture("gpt_oss", "gptoss", "<|return|>", {**MOE, "head_dim": 8, "sliding_window": 64}),
    "DeepSeek-V3": Architecture("deepseek_v3", "deepseekv3", "<｜end▁of▁sentence｜>", {**MOE, **DEEPSEEK}),
    "GLM 4 MoE": Architecture("glm4_moe", "glm4moe", "<|user|>", {**MOE, "n_routed_experts": 4, "head_dim": 8}),
    "OLMo 2": Architecture("olmo2", OLMO),
    "Granite": Architecture("granite", GRANITE),
    "Cohere": Architecture("cohere", "cohere", "<|END_OF_TURN_TOKEN|>", {"tie_word_embeddings": True}),
    "GPT-NeoX (base)": Architecture("gpt_neox", "plain"),
    "Falcon (base)": Architecture(
        "falcon", "plain", extra={"alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2}
    ),
    "LFM2": Architecture("lfm2", "lfm2", "<|im_end|>", {"layer_types": ["conv", "full_attention"]}),
}


def make(name: str, folder: Path) -> str | None:
    """Write a tiny model of the architecture to the folder; return the config's `chat_template` for it."""
    import torch
    import trl
    from transformers import AutoConfig, AutoModelForCausalLM

    made = ARCHITECTURES[name]
    file = Path(trl.__file__).parent / "chat_templates" / f"{made.template}.jinja"
    shipped = made.template == "plain"
    text = None if shipped else file.read_text(encoding="utf-8") if len(made.template) < 40 else made.template
    size = write_tokenizer(folder, text, eos=made.eos)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())
    end = next(token["id"] for token in vocabulary["added_tokens"] if token["content"] == made.eos)
    torch.manual_seed(0)
    ids = {"eos_token_id": end, "pad_token_id": end, "bos_token_id": 0}
    config = AutoConfig.for_model(made.model_type, vocab_size=size, **{**SIZES, **ids, **made.extra})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    return "plain" if shipped else None


def examine(name: str, folder: Path) -> dict[str, str]:
    """Each column's result: "yes", or what went wrong."""
    from judgeloop.errors import JudgeloopError

    found: dict[str, str] = {}
    template = make(name, folder)
    for column, look in COLUMNS.items():
        try:
            found[column] = look(folder, template)
        except (
            JudgeloopError,
            AssertionError,
            ValueError,
            RuntimeError,
            TypeError,
            IndexError,
            AttributeError,
        ) as error:
            found[column] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
    return found


def _chat(folder: Path, template: str | None) -> Any:
    from judgeloop.models.chat import Chat

    return Chat.load(folder, chat_template=template, date="2026-01-31")


def _engine(folder: Path, chat: Any) -> Any:
    from judgeloop.config import EngineSection
    from judgeloop.engines.transformers import TransformersEngine

    return TransformersEngine(EngineSection(kind="transformers", precision="f32"), folder, chat)


QUESTIONS = ("Why is the sky blue?", "What is the capital of France? Explain it in one sentence, then give an example.")


def _check(folder: Path, template: str | None) -> str:
    from judgeloop.models.resolve import resolve

    resolve(str(folder))
    problems = _chat(folder, template).check()
    assert not problems, problems[0]
    return "yes"


def _logits(folder: Path, template: str | None) -> str:
    import torch
    from transformers import AutoModelForCausalLM

    from judgeloop.engines.base import OptionRequest

    chat = _chat(folder, template)
    engine = _engine(folder, chat)
    options = tuple(tuple(chat.response_ids(word, finished=False)) for word in ("Score: 3", "Rain and bread"))
    prompts = [tuple(chat.prompt_ids([{"role": "user", "content": text}])) for text in QUESTIONS]
    requests = [OptionRequest(str(n), ids, options) for n, ids in enumerate(prompts)]
    ours = {row.request_id: row.logprobs for row in engine.option_logprobs(requests)}
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    worst = 0.0
    for request in requests:
        for option, logprob in zip(options, ours[request.id], strict=True):
            ids = torch.tensor([[*request.prompt_ids, *option]])
            with torch.no_grad():
                logprobs = plain(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)[0]
            places = range(len(request.prompt_ids) - 1, ids.shape[1] - 1)
            whole = sum(float(logprobs[n, ids[0, n + 1]]) for n in places)
            worst = max(worst, abs(whole - logprob))
    assert worst < 1e-3, f"log-probabilities differ by {worst:.2g}"
    return "yes"


def _greedy(folder: Path, template: str | None) -> str:
    import torch
    from transformers import AutoModelForCausalLM

    from judgeloop.engines.base import Request, Sampling

    chat = _chat(folder, template)
    engine = _engine(folder, chat)
    prompts = [tuple(chat.prompt_ids([{"role": "user", "content": text}])) for text in QUESTIONS]
    requests = [Request(str(n), ids, Sampling(12)) for n, ids in enumerate(prompts)]
    ours = {row.request_id: row.token_ids for row in engine.generate(requests)}
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for request in requests:
        ids = torch.tensor([request.prompt_ids])
        with torch.no_grad():
            out = plain.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
                eos_token_id=list(chat.end_ids), pad_token_id=chat.pad_id,
            )  # fmt: skip
        theirs = tuple(out[0, len(request.prompt_ids) :].tolist())
        assert ours[request.id] == theirs, "generated ids differ from plain transformers'"
    return "yes"


def _score(folder: Path, template: str | None) -> str:
    from judgeloop.config import JudgeSection
    from judgeloop.judging.pointwise import ToJudge, judge
    from judgeloop.judging.rubric import load_rubric

    chat = _chat(folder, template)
    items = [ToJudge("c", [{"role": "user", "content": QUESTIONS[0]}], "Because of the air.")]
    config = JudgeSection(scoring="expected", min_mass=0.0)
    (row,) = judge(_engine(folder, chat), chat, load_rubric(config.rubric), config, items, 0)
    assert row.score is not None, row.reason
    assert 0 <= row.score <= 5, row.score
    return "yes"


def _trained(folder: Path, template: str | None, kind: str) -> str:
    from safetensors.torch import load_file

    from judgeloop.config import SftSection, TrainSection
    from judgeloop.records import Message, PreferencePair, SupervisedRow
    from judgeloop.training.preference import train_preference
    from judgeloop.training.sft import train_sft

    chat = _chat(folder, template)
    prompt: list[list[Message]] = [[{"role": "user", "content": text}] for text in QUESTIONS]
    answer: list[list[Message]] = [[{"role": "assistant", "content": text}] for text in ("The Moon and sea.", "Bread.")]
    for method in ("full", "lora"):
        output = folder / f"{kind}-{method}"
        options: dict[str, Any] = {
            "initial": folder, "output": output, "chat": chat, "seed": 0, "threads": 1,
            "on_progress": lambda _done, _total: None, "on_metrics": lambda _values: None,
        }  # fmt: skip
        keys = {
            "method": method,
            "epochs": 1,
            "batch_size": 2,
            "learning_rate": 1e-2,
            "max_length": 1024,
            "warmup": 0.0,
        }
        if kind == "sft":
            rows = [SupervisedRow(f"r{n}", "ift", f"p{n}", prompt[n], answer[n], "made") for n in (0, 1)]
            train_sft(rows, config=SftSection(**keys), **options)
        else:
            pairs = [
                PreferencePair(f"x{n}", f"p{n}", prompt[n], answer[0], answer[1], f"a{n}", f"b{n}", 4.0, 1.0)
                for n in (0, 1)
            ]
            train_preference(pairs, config=TrainSection(**keys), reference=folder, token_ids={}, **options)
        before, after = (load_file(place / "model.safetensors") for place in (folder, output))
        assert before.keys() == after.keys(), "the saved model has other tensors"
        assert any(not before[name].equal(after[name]) for name in before), f"{method}: nothing was learnt"
        assert _chat(output, None).prompt_ids(prompt[0]) == chat.prompt_ids(prompt[0])
    return "yes"


COLUMNS: dict[str, Callable[[Path, str | None], str]] = {
    "check": _check,
    "logits": _logits,
    "greedy": _greedy,
    "score": _score,
    "SFT": lambda folder, template: _trained(folder, template, "sft"),
    "DPO": lambda folder, template: _trained(folder, template, "dpo"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="architectures, or their model types; all if none is given")
    chosen = {name.lower() for name in parser.parse_args().names}
    warnings.simplefilter("ignore")
    print("| architecture | model type | template | " + " | ".join(COLUMNS) + " | seconds |")
    print("|---|---|---|" + "---|" * (len(COLUMNS) + 1))
    for name, made in ARCHITECTURES.items():
        if chosen and not {name.lower(), made.model_type} & chosen:
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = examine(name, Path(folder) / "model")
        template = made.template if len(made.template) < 40 else "as the family's"
        print(f"| {name} | `{made.model_type}` | {template} | " + " | ".join(found.values())
              + f" | {time.monotonic() - started:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
