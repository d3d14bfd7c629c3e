"""What a user should know of a model before a run: what it is, what will run it, what it needs, what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from judgeloop.config.tree import Thinking
from judgeloop.errors import InputError
from judgeloop.models.auto_class import also_sees
from judgeloop.models.chat import Chat
from judgeloop.models.check_folder import check_folder, training_problems
from judgeloop.models.facts import max_positions, parameters, quantisation, read_config, sliding_window
from judgeloop.models.resolve import find
from judgeloop.models.tokenizer import TOKENIZER_FAILS

# Bytes a parameter takes, activations aside. Full training: weights, gradient and AdamW's two moments in float32. LoRA:
# the frozen weights in bfloat16, and a fifth more for the adapters.
_RUN, _LORA, _FULL = 2, 2 * 1.2, 16
_SEES = "it also sees: it is used for its text, and what sees stays as it is in the models that are trained"


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model's facts. `positions` are tokens, `memory` GiB by what is done; what is unknown is None."""

    name: str
    folder: str
    architecture: str | None = None
    parameters: int | None = None
    quantised: str | None = None
    positions: int | None = None
    sliding_window: int | None = None
    template: str | None = None
    thinking: str | None = None
    date_in_prompt: bool | None = None
    system_message: Literal["its own", "folded into the user's turn"] | None = None
    engine: str | None = None
    memory: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def report(
    model: str,
    engine: Callable[[Path], str],
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    chat_template: str | None = None,
    thinking: Thinking = "auto",
) -> ModelReport:
    """Look a model up and at it. `engine` says what will run a folder on this machine. Raises InputError if it is not
    found at all; whatever is wrong with what is found is in `problems`."""
    folder = find(model, revision=revision, trust_remote_code=trust_remote_code)
    problems: list[str] = []
    try:
        check_folder(folder)
    except InputError as error:
        problems.append(str(error).removeprefix(f"{folder}: "))
    if not (folder / "config.json").is_file():
        return ModelReport(name=model, folder=str(folder), problems=problems)
    found = _weights(folder, problems, trust_remote_code)
    told = _template(folder, chat_template, thinking, trust_remote_code, problems)
    found |= {**told, "notes": [*found.get("notes", ()), *told.get("notes", ())]}
    if found.get("architecture") and not problems:
        try:
            found["engine"] = engine(folder)
        except InputError as error:
            problems.append(str(error))
    return ModelReport(name=model, folder=str(folder), problems=problems, **found)


def _weights(folder: Path, problems: list[str], trust_remote_code: bool) -> dict[str, Any]:
    try:
        config = read_config(folder)
        positions = max_positions(folder)
    except InputError:
        return {}  # check_folder has said it
    found: dict[str, Any] = {
        "architecture": next(iter(config.get("architectures") or ()), config.get("model_type")),
        "notes": [_SEES] if also_sees(config.get("model_type")) else [],
        "quantised": quantisation(config),
        "positions": positions,
        "sliding_window": sliding_window(config),
    }
    try:
        problems += training_problems(folder, trust_remote_code=trust_remote_code)
        count = parameters(folder)
    except InputError:
        return found  # check_folder has said it
    gib = 2**30
    found["parameters"] = count
    found["memory"] = {
        "generate": round(count * _RUN / gib, 1),
        "train, lora": round(count * _LORA / gib, 1),
        "train, full": round(count * _FULL / gib, 1),
    }
    return found


def _template(
    folder: Path, chat_template: str | None, thinking: Thinking, trust_remote_code: bool, problems: list[str]
) -> dict[str, Any]:
    try:
        chat = Chat.load(folder, chat_template=chat_template, trust_remote_code=trust_remote_code, thinking=thinking)
    except InputError as error:
        said = str(error).removeprefix(f"{folder}: ")
        if said not in problems and not (problems and TOKENIZER_FAILS in said):  # which then follows from them
            problems.append(said)
        return {}
    problems += chat.check()
    template = chat.template
    if not template.knows_thoughts():
        thoughts = "none"
    else:
        possible = "can be switched off" if template.can_switch_off else "cannot be switched off: it is split off"
        thoughts = f"{'on' if chat.thinks else 'off'}; {possible}"
    return {
        "template": chat_template or _family(template.source),
        "thinking": thoughts,
        "date_in_prompt": template.writes_date,
        "system_message": "folded into the user's turn" if "system" in template.refused else "its own",
        "notes": [f"the chat template {note}" for note in template.notes()],
    }


_FAMILIES = (
    ("<|start|>", "harmony (gpt-oss)"),
    ("<|start_header_id|>", "llama 3"),
    ("<start_of_turn>", "gemma"),
    ("<|turn>", "gemma 4"),
    ("<｜User｜>", "deepseek"),
    ("<|START_OF_TURN_TOKEN|>", "cohere"),
    ("[gMASK]", "glm"),
    ("[INST]", "mistral, llama 2"),
    ("<|im_start|>", "chatml"),
    ("<|user|>", "phi 3, zephyr"),
    ("<|start_of_role|>", "granite"),
)


def _family(source: str) -> str:
    return next((name for mark, name in _FAMILIES if mark in source), "its own")


def lines(found: ModelReport) -> list[str]:
    """The report in plain words, one fact a line."""
    told: list[tuple[str, object]] = [
        ("folder", found.folder),
        ("architecture", found.architecture),
        ("parameters", f"{found.parameters:,}" if found.parameters is not None else None),
        ("quantised", found.quantised),
        ("positions", f"{found.positions:,} tokens" if found.positions else None),
        ("sliding window", f"{found.sliding_window:,} tokens" if found.sliding_window else None),
        ("chat template", found.template),
        ("thinking", found.thinking),
        ("system message", found.system_message),
        ("date in the prompt", "yes; a run keeps the day it began" if found.date_in_prompt else None),
        ("engine", found.engine),
        (
            "memory, least",
            "; ".join(f"{what} {gib} GiB" for what, gib in found.memory.items()) + ", and activations"
            if found.memory
            else None,
        ),
    ]
    shown = [f"{name:<20} {value}" for name, value in told if value is not None]
    shown += [f"{'note':<20} {note}" for note in found.notes]
    shown += [f"{'PROBLEM':<20} {problem}" for problem in found.problems]
    return shown if found.problems else [*shown, "No problem found: it can be trained."]
