"""The architectures of the matrix: a tiny model of each with random weights, its family's chat template, and a
tokenizer made by code that splits text as the family's does."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from tiny import write_tokenizer  # type: ignore[import-not-found]

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
    "initializer_range": 0.4,  # large enough that adapters alone can make a token likely
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
_CONV = {"layer_types": ["conv", "full_attention"]}


@dataclass(frozen=True)
class Architecture:
    """A family: transformers' model type, its template (a file of TRL's, a Jinja text, or one that ships here), its
    closing token, what its config needs besides the sizes, how its tokenizer splits text (`tiny.Splitting`), and, of a
    model that also sees, the config of that part."""

    model_type: str
    template: str
    eos: str = "</s>"
    extra: dict[str, Any] = field(default_factory=dict)
    splitting: str = "bytes"
    sees: dict[str, Any] | None = None

    @property
    def template_name(self) -> str:
        return self.template if len(self.template) < 40 else "as the family's"


ARCHITECTURES = {
    "Llama 2 (base)": Architecture("llama", "plain", splitting="llama"),
    "Llama, Unigram (base)": Architecture("llama", "plain", splitting="unigram"),
    "Llama 3.2": Architecture("llama", "llama3_2", "<|eot_id|>", {"tie_word_embeddings": True}),
    "Qwen2.5": Architecture("qwen2", "qwen2_5", "<|im_end|>"),
    "Qwen3": Architecture("qwen3", "qwen3", "<|im_end|>", {"head_dim": 16}),
    "Qwen3-MoE": Architecture("qwen3_moe", "qwen3", "<|im_end|>", {**MOE, "head_dim": 16, "decoder_sparse_step": 1}),
    "Gemma 2": Architecture("gemma2", "gemma", "<end_of_turn>", {"head_dim": 8, "sliding_window": 64}, "gemma"),
    "Gemma 3": Architecture("gemma3_text", "gemma3", "<end_of_turn>", {"head_dim": 8, "sliding_window": 64}, "gemma"),
    "Mistral": Architecture("mistral", MISTRAL, extra={"sliding_window": 64}, splitting="llama"),
    "Mixtral": Architecture("mixtral", MISTRAL, extra=MOE, splitting="llama"),
    "Phi-3": Architecture("phi3", "phi3", "<|end|>", {"sliding_window": 64}, "llama"),
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
    "LFM2": Architecture("lfm2", "lfm2", "<|im_end|>", _CONV),
}

_MIXER = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_chunk_size": 16}
ARCHITECTURES |= {  # with layers of another kind than attention
    "Mamba 2 (base)": Architecture(
        "mamba2", "plain", extra={"state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 16}
    ),
    "Falcon-H1 (base)": Architecture("falcon_h1", "plain", extra={**_MIXER, "mamba_d_ssm": 64, "head_dim": 8}),
    "Granite 4 hybrid": Architecture(
        "granitemoehybrid",
        GRANITE,
        extra={
            **_MIXER,
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 48,
        },
    ),
}

_SEES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "depth": 1, "num_attention_heads": 2,
    "num_heads": 2, "image_size": 28, "patch_size": 14, "out_hidden_size": 32, "vision_output_dim": 32,
    "fullatt_block_indexes": [0], "deepstack_visual_indexes": [0],
}  # fmt: skip
_MROPE: dict[str, Any] = {
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
    "head_dim": 8,
}
_CLIP, _SIGLIP = ({**_SEES, "model_type": kind} for kind in ("clip_vision_model", "siglip_vision_model"))
_QWEN, _COMMAND = ("qwen2_5", "<|im_end|>"), ("cohere", "<|END_OF_TURN_TOKEN|>")
_GLM = {
    "rope_parameters": {**_MROPE["rope_parameters"], "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 0]},
    "head_dim": 8,
    "n_routed_experts": 4,
}
_MIXED = ["linear_attention", "full_attention"]
_GEMMA = {"head_dim": 8, "sliding_window": 64, "model_type": "gemma3_text"}
_GEMMA4 = {  # whose layers have heads of two sizes
    "head_dim": 8, "global_head_dim": 16, "sliding_window": 64, "pad_token_id": 0, "hidden_size_per_layer_input": 0,
    "num_kv_shared_layers": 0,
}  # fmt: skip
ARCHITECTURES |= {
    "Mistral 3 (Small 3.2)": Architecture(
        "mistral3", MISTRAL, extra={"model_type": "mistral", "head_dim": 8}, sees=_SEES
    ),
    "Ministral 3": Architecture("mistral3", MISTRAL, extra={"model_type": "ministral3", "head_dim": 8}, sees=_SEES),
    "Qwen2-VL": Architecture("qwen2_vl", *_QWEN, _MROPE, sees=_SEES),
    "Qwen2.5-VL": Architecture("qwen2_5_vl", *_QWEN, _MROPE, sees=_SEES),
    "Qwen3-VL": Architecture("qwen3_vl", "qwen3", "<|im_end|>", _MROPE, sees=_SEES),
    "Qwen3-VL-MoE": Architecture("qwen3_vl_moe", "qwen3", "<|im_end|>", {**MOE, **_MROPE}, sees=_SEES),
    "Qwen3.5": Architecture("qwen3_5", "qwen3", "<|im_end|>", {"layer_types": _MIXED, "head_dim": 8}, sees=_SEES),
    "Qwen3.5-MoE": Architecture(
        "qwen3_5_moe", "qwen3", "<|im_end|>", {**MOE, "layer_types": _MIXED, "head_dim": 8}, sees=_SEES
    ),
    "GLM 4.1V": Architecture("glm4v", OLMO, extra=_MROPE, sees=_SEES),
    "GLM 4.6V Flash": Architecture("glm46v", OLMO, extra=_MROPE, sees=_SEES),
    "GLM 4.5V": Architecture("glm4v_moe", OLMO, extra={**MOE, **_GLM}, sees=_SEES),
    "InternVL": Architecture("internvl", *_QWEN, {"model_type": "qwen2"}, sees=_SEES),
    "LLaVA": Architecture("llava", "plain", extra={"model_type": "llama"}, sees=_CLIP),
    "LLaVA-NeXT": Architecture("llava_next", "plain", extra={"model_type": "mistral"}, sees=_CLIP),
    "LLaVA-OneVision": Architecture("llava_onevision", *_QWEN, {"model_type": "qwen2"}, sees=_SIGLIP),
    "SmolVLM": Architecture("smolvlm", *_QWEN, {"model_type": "llama"}, sees=_SEES),
    "Idefics 3": Architecture("idefics3", *_QWEN, {"model_type": "llama"}, sees=_SEES),
    "LFM2-VL": Architecture("lfm2_vl", "lfm2", "<|im_end|>", {"model_type": "lfm2", **_CONV}, sees=_SEES),
    "Aya Vision": Architecture("aya_vision", *_COMMAND, {"model_type": "cohere2"}, sees=_SEES),
    "Command A Vision": Architecture("cohere2_vision", *_COMMAND, {"model_type": "cohere2"}, sees=_SEES),
    "Gemma 3, with vision": Architecture("gemma3", "gemma3", "<end_of_turn>", _GEMMA, "gemma", sees=_SEES),
    "Gemma 4": Architecture("gemma4", "gemma4", "<turn|>", _GEMMA4, "gemma", sees=_SEES),
    "Gemma 4 Unified": Architecture("gemma4_unified", "gemma4", "<turn|>", _GEMMA4, "gemma", sees=_SEES),
    "Mistral 4": Architecture(
        "mistral3", MISTRAL, extra={**MOE, **DEEPSEEK, "head_dim": 16, "model_type": "mistral4"}, sees=_SEES
    ),
    "MiniMax M3": Architecture("minimax_m3_vl", OLMO, sees=_SEES),
    "Llama 4": Architecture("llama4", "llama3_2", "<|eot_id|>", {**MOE, "head_dim": 8}, sees=_SEES),
    "Llama 3.2 Vision": Architecture("mllama", "llama3_2", "<|eot_id|>", sees=_SEES),
}


def make(name: str, folder: Path) -> str | None:
    """Write a tiny model of the architecture to the folder; return the config's `chat_template` for it."""
    import torch
    import trl
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    made = ARCHITECTURES[name]
    file = Path(trl.__file__).parent / "chat_templates" / f"{made.template}.jinja"
    shipped = made.template == "plain"
    text = None if shipped else file.read_text(encoding="utf-8") if len(made.template) < 40 else made.template
    size = write_tokenizer(folder, text, eos=made.eos, splitting=made.splitting)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())
    end = next(token["id"] for token in vocabulary["added_tokens"] if token["content"] == made.eos)
    torch.manual_seed(0)
    # No padding token of the model's own: its embedding is all zeros, and if it were the end token, none would end.
    ids = {"eos_token_id": end, "pad_token_id": None, "bos_token_id": 0}
    values = {"vocab_size": size, **SIZES, **ids, **made.extra}
    if made.sees is not None:  # saved whole, with what sees
        config = AutoConfig.for_model(made.model_type, text_config=values, vision_config=made.sees)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    else:
        config = AutoConfig.for_model(made.model_type, **values)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for weight in model.parameters():  # what float16 holds exactly, so that a GGUF file computes the same
        weight.data = weight.data.half().float()
    model.save_pretrained(folder)
    return "plain" if shipped else None
