"""Weights in and out of training: load a model folder, describe adapters, save an ordinary model folder."""

from __future__ import annotations

import copy
import re
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from transformers.dynamic_module_utils import custom_object_save

from judgeloop.config import LoraSection, TrainingSection
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.check_folder import require_layers
from judgeloop.models.model_parts import beside_text, dropouts
from judgeloop.models.permissions import follow_umask
from judgeloop.models.whole_model import faults_named, load_whole_model
from judgeloop.training import distributed
from judgeloop.training.liger import fuse
from judgeloop.training.shard_loading import empty_model
from judgeloop.training.sharding import is_sharded, trained_weights
from judgeloop.training.weight_files import can_merge_by_layer, write_weights

ADAPTER = "adapter"


def load_model(
    folder: Path,
    *,
    attention: str = "auto",
    kernels: str = "torch",
    trust_remote_code: bool = False,
    by_layer: bool = False,
) -> Any:
    """Load a causal language model with float32 weights (safetensors only). `attention`, `kernels`: as in the config.
    `by_layer`: its weights are read when they are cut into shards, if it is a model with which that can be done.

    Raises InputError if the folder holds none.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    how = {"attn_implementation": None if attention == "auto" else attention, "trust_remote_code": trust_remote_code}
    model = None
    if by_layer and distributed.sharded():
        with faults_named(folder):
            model = empty_model(folder, dtype=torch.float32, **how)
    if model is None:
        model = load_whole_model(folder, dtype=torch.float32, use_safetensors=True, **how)
    return fuse(model) if kernels == "liger" else model


def load_policy(
    config: TrainingSection, folder: Path, *, trust_remote_code: bool = False, by_layer: bool = False
) -> Any:
    """The model to train: float32 weights, or with `qlora` weights of 4 bits (NF4 with double quantisation, QLoRA,
    arXiv 2305.14314) that adapters are trained beside, see `judgeloop.models.hardware`."""
    if config.method != "qlora":
        model = load_model(
            folder,
            attention=config.attention,
            kernels=config.kernels,
            trust_remote_code=trust_remote_code,
            by_layer=by_layer and config.method == "full",  # adapters begin with the numbers of one process
        )
        for name in beside_text(model):
            model.get_submodule(name).requires_grad_(False)
        if config.freeze_embeddings:
            model.get_input_embeddings().weight.requires_grad_(False)
        if config.freeze_layers:
            require_layers(folder, {"freeze_layers": config.freeze_layers})
            freeze_first_layers(model, config.freeze_layers)
        return model
    from transformers import BitsAndBytesConfig

    compute = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    model = load_whole_model(
        folder,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        ),
        device_map={"": torch.cuda.current_device()},
        use_safetensors=True,
        attn_implementation=None if config.attention == "auto" else config.attention,
        trust_remote_code=trust_remote_code,
    )
    return fuse(model) if config.kernels == "liger" else model


def freeze_first_layers(model: Any, number: int) -> None:
    """Leave the first so many decoder layers as they are. Raises InputError if it is not clear which they are."""
    total = model.config.get_text_config().num_hidden_layers
    stacks = [m for m in model.get_decoder().modules() if isinstance(m, torch.nn.ModuleList) and len(m) == total]
    if not stacks:
        raise InputError(f"freeze_layers: the layers of a {model.config.model_type} model are not found; set it to 0")
    for layer in stacks[0][:number]:
        layer.requires_grad_(False)


def with_dropout(model: Any, probability: float, key: str) -> Any:
    """Set every dropout inside the model, that of attention included, which is mostly no module of its own.

    Raises InputError, naming the config's `key`, if dropout is asked for and the model has no place for it.
    """
    places = 0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability
            places += 1
        for name in dropouts(module):
            whole_layers = name == "layerdrop"  # which leaves out layers, not numbers
            setattr(module, name, 0.0 if whole_layers else probability)
            places += not whole_layers
    if probability and not places:
        raise InputError(f"{key}: this model ({model.config.model_type}) has no dropout to set; set it to 0")
    return model


def lora_config(config: TrainingSection, model: Any, *, dropout: float) -> Any:
    """PEFT's description of the adapters, or None for full fine-tuning.

    `lora.target_modules` is "all-linear" or names separated by commas. Raises InputError if a name fits no module,
    or is the output head (log-probabilities are computed from its plain weight).
    """
    if config.method == "full":
        return None
    from peft import LoraConfig

    fused = any(weight.ndim == 3 and "experts" in name for name, weight in model.named_parameters())
    if dropout and fused and config.lora.target_modules == "all-linear":
        warnings.warn("lora.dropout is left out: PEFT has none for the fused experts of this model", stacklevel=2)
        dropout = 0.0
    return LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=dropout,
        target_modules=_target_modules(config.lora, model),
        exclude_modules=_without_adapters(model),
        task_type="CAUSAL_LM",
    )


def _without_adapters(model: Any) -> str | None:
    """An expression for the names of modules that get none: those that no text goes through, linear layers that
    compute more than a product (Llama 4's router), and the output projections of Mamba's layers, whose kernels read
    their weights and would pass adapters over. Those of gated delta nets (Qwen3.5) are products like any other."""
    marks = ("A_log", "D", "out_proj")
    names = [rf"{re.escape(name)}(\..*)?" for name in beside_text(model)]
    for name, module in model.named_modules():
        if all(hasattr(module, mark) for mark in marks):
            names.append(rf"{re.escape(name)}\.out_proj")
        elif isinstance(module, torch.nn.Linear) and type(module).__module__.startswith("transformers.models."):
            names.append(re.escape(name))
    return "|".join(names) or None


def _target_modules(lora: LoraSection, model: Any) -> str | list[str]:
    if lora.target_modules == "all-linear":
        return lora.target_modules
    known = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    head = {name for name, module in model.named_modules() if module is model.get_output_embeddings()}
    names = [name.strip() for name in lora.target_modules.split(",") if name.strip()]
    for name in names or [lora.target_modules]:
        if name not in known - head:
            choices = ", ".join(sorted(known - head))
            raise InputError(f"lora.target_modules: no module '{name}' to adapt; choose all-linear, or from {choices}")
    return names


def save_model(
    model: Any,
    output: Path,
    *,
    initial: Path,
    chat: Chat,
    keep_adapter: bool = False,
    trust_remote_code: bool = False,
    save_dtype: Literal["f32", "bf16"] = "f32",
) -> None:
    """Write an ordinary Hugging Face folder: safetensors, tokenizer with the chat template in use, generation config
    that stops at every token that ends a turn. Adapters are merged into the weights of `initial`; the trained model
    itself stays as it is. `keep_adapter`: they are written too, to the folder `adapter` in `output`. `save_dtype`: how
    the numbers are rounded. Of several processes the first one writes; if weights are in shards, all must call, and
    they come together a layer at a time."""
    in_shards = is_sharded(model)
    by_layer = in_shards and can_merge_by_layer(model)
    trained = trained_weights(model) if in_shards and (keep_adapter or not by_layer) else None
    if not distributed.is_main():
        if by_layer:
            write_weights(model, output)
        return
    output.mkdir(parents=True, exist_ok=True)
    if keep_adapter:
        for described in model.peft_config.values():
            described.base_model_name_or_path = str(initial.resolve())  # found from whatever folder it is read
        model.save_pretrained(str(output / ADAPTER), state_dict=trained)
    if by_layer or save_dtype == "bf16":
        whole = model if by_layer else _merged(model, trained, initial, trust_remote_code)
        bare = whole.get_base_model() if hasattr(whole, "peft_config") else whole
        dtype = torch.bfloat16 if save_dtype == "bf16" else None
        write_weights(whole, output, dtype=dtype)
        config = _config(copy.deepcopy(bare.config), initial, trust_remote_code)
        config.dtype = str(dtype or bare.dtype).removeprefix("torch.")
        config.architectures = [type(bare).__name__.removeprefix("FSDP")]
        if bare.is_remote_code():
            custom_object_save(bare, str(output), config=config)
        config.save_pretrained(str(output))
        _generation_config(bare, chat).save_pretrained(str(output))
    else:
        model = _merged(model, trained, initial, trust_remote_code)
        model.config = _config(model.config, initial, trust_remote_code)
        model.generation_config = _generation_config(model, chat)
        model.save_pretrained(str(output))
    chat.tokenizer.save_pretrained(str(output))
    if trust_remote_code:
        for source in initial.glob("*.py"):
            if not (output / source.name).exists():
                shutil.copyfile(source, output / source.name)
    follow_umask(output)


def _config(config: Any, initial: Path, trust_remote_code: bool) -> Any:
    """The config with what the trainers change as it was: the padding token, no cache of keys and values, and that a
    mixture of experts computes its router's loss, with which it could not generate."""
    from transformers import AutoConfig

    published = AutoConfig.from_pretrained(str(initial), trust_remote_code=trust_remote_code)
    before, after = published.get_text_config(), config.get_text_config()
    after.pad_token_id = before.pad_token_id
    for saved, other in ((config, published), (after, before)):
        if hasattr(other, "use_cache"):
            saved.use_cache = other.use_cache
    if hasattr(after, "output_router_logits"):
        after.output_router_logits = before.output_router_logits
    return config


def _generation_config(model: Any, chat: Chat) -> Any:
    from transformers import GenerationConfig

    ends = list(chat.end_ids)
    generation = copy.deepcopy(model.generation_config)
    generation.eos_token_id = ends if len(ends) > 1 else ends[0]
    generation.pad_token_id = chat.pad_id
    try:
        generation.validate(strict=True)
    except ValueError:  # a published config that contradicts itself could not be saved
        return GenerationConfig(
            bos_token_id=generation.bos_token_id, eos_token_id=generation.eos_token_id, pad_token_id=chat.pad_id
        )
    return generation


def keeps_adapter(config: TrainingSection) -> bool:
    """Whether the training makes adapters and the config wants them kept."""
    return config.method != "full" and config.lora.keep_adapter


def set_adapter_aside(output: Path) -> None:
    """Move the adapters that `save_model` kept in `output` beside it, replacing what is there."""
    inside, beside = output / ADAPTER, output.parent / ADAPTER
    if inside.exists():
        shutil.rmtree(beside, ignore_errors=True)
        inside.rename(beside)


def _merged(model: Any, trained: dict[str, torch.Tensor] | None, initial: Path, trust_remote_code: bool) -> Any:
    """The model in one piece and without adapters (`trained`: what was trained of a model in shards). They are merged
    into the float32 weights of `initial`: right also if the adapters were trained beside weights of four bits, and
    the model can be trained on."""
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        if trained is None:
            return model
        plain = load_model(initial, trust_remote_code=trust_remote_code)
        parameters = dict(plain.named_parameters())  # a tied head is listed once, under its name in `trained`
        for name, tensor in trained.items():
            parameters[name].data = tensor
        return plain
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, state_dict=trained)
        base = load_model(initial, trust_remote_code=trust_remote_code)
        return PeftModel.from_pretrained(base, folder).merge_and_unload()
