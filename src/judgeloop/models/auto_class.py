"""Which of transformers' classes a language model is loaded by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from judgeloop.models.facts import read_config

# Models that also see, loaded whole: transformers has no class for the language model alone, or one that would be saved
# without what sees. Without a picture each answers as its language model does. Each was tried, see docs/models.md.
_ALSO_SEE = frozenset({
    "aya_vision", "cohere2_vision", "gemma3", "gemma4", "gemma4_unified", "glm46v", "glm4v", "glm4v_moe",
    "idefics3", "internvl", "lfm2_vl", "llama4", "llava", "llava_next", "llava_onevision", "minimax_m3_vl",
    "mistral3", "mllama", "qwen2_5_vl", "qwen2_vl", "qwen3_5", "qwen3_5_moe", "qwen3_vl", "qwen3_vl_moe", "smolvlm",
})  # fmt: skip
# Models that keep what they have read within themselves, or in a cache of the family's own.
_OWN_STATE = frozenset({"minimax", "recurrent_gemma", "rwkv", "xlstm"})


def own_state(model_type: str | None, *, takes_cache: bool = True) -> str | None:
    """Why a loop of our own cannot generate with a model of this type; None if it can. `takes_cache`: whether it can be
    given what it has read."""
    if takes_cache and model_type not in _OWN_STATE:
        return None
    return f"a {model_type} model keeps what it has read in a way of its own, which this engine does not know"


def also_sees(model_type: str | None) -> bool:
    """Whether a model of this type is used for its text and saved with what sees."""
    return model_type in _ALSO_SEE


def writes_text(model_type: str | None) -> bool:
    """Whether transformers makes a language model of this type, without code of the model's own."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return also_sees(model_type) or model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def auto_class(folder: Path) -> Any:
    """The class whose `from_pretrained` and `from_config` make the language model in `folder`."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForImageTextToText if also_sees(read_config(folder).get("model_type")) else AutoModelForCausalLM
