"""Can a model folder be used as it is? Everything that is wrong is said in one line, before anything is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.models.auto_class import writes_text
from judgeloop.models.facts import (
    WEIGHTS_INDEX,
    packed_type,
    quantisation,
    read_config,
    require_no_pointers,
    text_config,
    tokenizer_problem,
    weight_problems,
)
from judgeloop.models.finite import finite_problem
from judgeloop.models.hub import rest_of

# Classes that score or classify text, or fill gaps in it. The library would make language models of their bodies.
_NO_WRITER = re.compile(
    r"For(?:Sequence|Token)Classification|ForMaskedLM|ForQuestionAnswering|ForMultipleChoice|ForScore|Reward"
    r"|EncoderModel"
)
_PICKLES = ("*.bin", "*.pt", "*.pth")
# What holds weights in another form, and what makes a model folder of it.
_OTHER_WEIGHTS = (
    ("*.gguf", "in a GGUF file; give that one ({})"),
    ("global_step*", "a DeepSpeed checkpoint ({}); run its zero_to_fp32.py with --safe_serialization"),
    ("pytorch_model_fsdp*", "an FSDP checkpoint ({}); run `accelerate merge-weights {} FOLDER`"),
    ("*/*.distcp", "a checkpoint in parts ({}); save the model whole, as `accelerate merge-weights` does"),
    ("openvino_model.xml", "for OpenVINO ({}); give the folder that it was made from"),
    ("**/*.onnx", "for ONNX ({}); give the folder that it was made from"),
    ("*.msgpack", "Flax's ({}); load them with from_flax=True of an older transformers and save them"),
    ("*.h5", "TensorFlow's ({}); load them with from_tf=True of an older transformers and save them"),
)


def check_folder(folder: Path) -> None:
    """Raise InputError unless the folder has a config, a tokenizer, and complete safetensors weights that fit both."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: the model folder has no config.json; {_instead(folder)}")
    config = read_config(folder)
    if (folder / "modules.json").is_file():  # of sentence-transformers
        raise InputError(f"{folder}: is a model of sentence embeddings, which writes no text; give a language model")
    if problem := _no_writer(config):
        raise InputError(f"{folder}: {problem}")
    weights = sorted(path.name for path in folder.glob("*.safetensors"))
    if not weights:
        other = _other_weights(folder)
        if other is None and any(any(folder.glob(pattern)) for pattern in _PICKLES):
            raise InputError(
                f"{folder}: its weights are pickle files, which can run code; save them as safetensors "
                "(save_pretrained of transformers does)"
            )
        other = other or rest_of(folder) or "copy the model's weights into it"
        raise InputError(f"{folder}: the model folder has no safetensors weights; {other}")
    if not _has_weights(folder):
        raise InputError(
            f"{folder}: has {weights[0]} and neither model.safetensors nor {WEIGHTS_INDEX}, by which the library finds "
            "weights; copy what is missing, or rename the file if it holds all of them by the library's names"
        )
    if problem := tokenizer_problem(folder):
        raise InputError(f"{folder}: {problem}")
    require_no_pointers(folder)
    problems = weight_problems(folder)
    if problem := finite_problem(folder):
        problems.append(problem)
    if problems:
        raise InputError(f"{folder}: {'; also: '.join(problems)}")


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("model.safetensors", WEIGHTS_INDEX))


def _instead(folder: Path) -> str:
    """What to give in place of a folder that is no model: what lies in it, if a model does."""
    inside = sorted(
        path.parent
        for pattern in ("*/config.json", "*/adapter_config.json", "snapshots/*/config.json")
        for path in folder.glob(pattern)
    )
    inside.sort(
        key=lambda path: [int(digits) for digits in re.findall(r"\d+", path.name)][-1:], reverse=True
    )  # last one
    inside += sorted(folder.glob("*.gguf"))
    return f"give {inside[0]}" if inside else "give the folder of a Hugging Face model"


def _other_weights(folder: Path) -> str | None:
    """What to do about a folder whose weights are in another form than safetensors; None if none is known there."""
    for pattern, said in _OTHER_WEIGHTS:
        if place := next(iter(sorted(folder.glob(pattern))), None):
            return "its weights are " + said.replace("{}", str(place.relative_to(folder)))
    return None


def _no_writer(config: Mapping[str, Any]) -> str | None:
    """Why a model of this config writes no text; None if it may."""
    name = next(iter(config.get("architectures") or ()), config.get("model_type"))
    if config.get("is_encoder_decoder"):
        return f"is a model of encoder and decoder ({name}); give one that continues a text, as chat models do"
    if _NO_WRITER.search(str(name)):
        return f"is a {name}, which scores text and writes none; give a language model"
    return None


def training_problems(folder: Path, *, trust_remote_code: bool = False) -> list[str]:
    """What keeps a usable model from being trained, each in one line."""
    config = read_config(folder)
    if problem := loading_problem(config, trust_remote_code=trust_remote_code):
        return [problem]
    method = quantisation(config) or packed_type(folder)
    if method is None and writes_text(config.get("model_type")):
        return _loading_problems(folder)
    if method is None:  # code of the model's own is run only where it must be
        return []
    return [
        f"its weights are quantised ({method}) and cannot be trained further; give the model's unquantised folder "
        "(train.method: qlora quantises it while it trains)"
    ]


def _loading_problems(folder: Path) -> list[str]:
    """What would come up when the weights are loaded, found out without reading them; nothing that is said already."""
    from judgeloop.models.whole_model import require_loading

    if not _has_weights(folder) or weight_problems(folder):
        return []
    try:
        require_loading(folder)
    except InputError as error:
        return [str(error).removeprefix(f"{folder}: ")]
    return []


def require_trainable(folder: Path, *, trust_remote_code: bool = False) -> None:
    """Raise InputError with what keeps a usable model from being trained, if anything does."""
    if problems := training_problems(folder, trust_remote_code=trust_remote_code):
        raise InputError(f"{folder}: {'; also: '.join(problems)}")


def loading_problem(config: Mapping[str, Any], *, trust_remote_code: bool = False) -> str | None:
    """Why transformers cannot load a language model of this config; None if it can."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    kind = config.get("model_type")
    name = next(iter(config.get("architectures") or ()), kind)
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.get("is_decoder"):
        return f"is an encoder ({name}), which sees what it should write; give a language model"
    if writes_text(kind) or (trust_remote_code and config.get("auto_map")):
        return None
    if config.get("auto_map"):
        return f"is a {name}, whose code comes with the model; read it, and set trust_remote_code: true"
    if kind is None:
        return "its config.json has no model_type; restore the config that belongs to these weights"
    if kind in CONFIG_MAPPING_NAMES:
        return f"is a {name}, which transformers does not load as a language model; give one that is only that"
    return f"its model_type is '{kind}', which this transformers does not know; upgrade transformers"


def require_layers(folder: Path, frozen: Mapping[str, int]) -> None:
    """Raise InputError if the model has no more layers than are to stay as they are. `frozen`: key → their number."""
    config = text_config(read_config(folder))
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    for key, number in frozen.items():
        if isinstance(layers, int) and number >= layers:
            raise InputError(
                f"{key} is {number}, and the model in {folder} has {layers} layers, of which one at least must be "
                "trained; lower it"
            )
