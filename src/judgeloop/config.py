"""The typed configuration tree: YAML in, `--set key=value` on top, resolved YAML out. Imports nothing else of ours
but the errors, and nothing heavy.

Each field's description is its documentation; unknown keys are refused with a suggestion.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from judgeloop.errors import InputError


class Section(BaseModel):
    """A frozen section that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _one_or_many(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else (value,)


Paths = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


class SamplingSection(Section):
    """How text is sampled."""

    temperature: float = Field(0.7, ge=0, description="0 is greedy")
    top_p: float = Field(0.9, gt=0, le=1, description="nucleus sampling; 1 switches it off")
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 switches it off")
    max_new_tokens: int = Field(512, gt=0, description="tokens a generation may have at most")


class PromptSamplingSection(SamplingSection):
    """How new prompts are sampled (Self-Rewarding Language Models, section 3.1.3: temperature 0.6, top-p 0.9)."""

    temperature: float = Field(0.6, ge=0, description="0 is greedy")
    max_new_tokens: int = Field(256, gt=0, description="tokens a generation may have at most")


class JudgeSamplingSection(SamplingSection):
    """How judgements are sampled."""

    max_new_tokens: int = Field(200, gt=0, description="tokens a judgement may have at most")


class EngineSection(Section):
    """What runs the model for generation and judging."""

    kind: Literal["auto", "openvino", "transformers", "scripted"] = Field(
        "auto", description="auto: openvino on a CPU for the model families it knows, else transformers"
    )
    precision: Literal["default", "f32"] = Field(
        "default", description="default: the engine's fastest (bf16 where the machine has it); f32: full precision"
    )
    cache_gib: float = Field(2.0, gt=0, description="memory for the KV cache; openvino takes whole GiB")
    max_sequences: int = Field(128, gt=0, description="sequences that run at once")
    max_batched_tokens: int = Field(1024, gt=0, description="tokens of one engine step (openvino)")
    batch_tokens: int = Field(6144, gt=0, description="padded tokens of one batch (transformers)")
    script: str | None = Field(None, description="JSONL file of replies for the scripted engine")


class EftSection(Section):
    """How evaluation fine-tuning rows (judge prompt → judgement) are made from ranked responses."""

    max_rows: int | None = Field(None, gt=0, description="at most this many EFT rows; null: all")
    max_share: float = Field(
        1.0, gt=0, le=1, description="no score holds more than this share of the rows; the surplus is dropped, counted"
    )
    ift_overlap: bool = Field(
        False, description="may an instruction serve both IFT and EFT? The paper keeps them apart; tiny seeds cannot"
    )


class SeedSection(Section):
    """Where M1 comes from: instructions with responses (IFT), and ranked responses (EFT, held-out agreement)."""

    ift: Paths = Field((), description="JSONL files of chat messages or prompt/response rows")
    ranked: Paths = Field((), description="files with several ranked responses a prompt, or Open Assistant trees")
    turns: Literal["first", "all"] = Field("first", description="Open Assistant trees: first turns only, or every turn")
    lang: str | None = Field("en", description="Open Assistant trees: keep this language; null keeps all")
    held_out_share: float = Field(0.25, ge=0, lt=1, description="share of ranked prompts kept for evaluation only")
    eft_share: float = Field(
        0.5, ge=0, le=1, description="share of the remaining ranked prompts used for EFT, the others' best go to IFT"
    )
    max_ift_rows: int | None = Field(None, gt=0, description="at most this many IFT rows; null: all")
    eft: EftSection = Field(default_factory=EftSection)


class PromptsSection(Section):
    """New instructions for each iteration."""

    source: Literal["few_shot", "file"] = Field("few_shot", description="made by the model itself, or read from a file")
    files: Paths = Field((), description="JSONL with 'prompt' or 'messages' (source: file)")
    count: int = Field(200, gt=0, description="new prompts an iteration")
    seed_demonstrations: int = Field(6, gt=0, description="demonstrations drawn from the seed")
    own_demonstrations: int = Field(2, ge=0, description="demonstrations drawn from prompts already generated")
    max_rouge_l: float = Field(
        0.7, gt=0, le=1, description="drop a prompt whose ROUGE-L F with any other is above this"
    )
    min_words: int = Field(3, ge=1, description="drop shorter prompts")
    max_words: int = Field(150, gt=0, description="drop longer prompts")
    sampling: PromptSamplingSection = Field(default_factory=PromptSamplingSection)
    max_requests: int | None = Field(None, gt=0, description="give up after this many generations; null: 20 per prompt")


class CandidatesSection(Section):
    """Responses to each new prompt."""

    count: int = Field(4, ge=2, description="N, responses a prompt")
    sampling: SamplingSection = Field(default_factory=SamplingSection)


class JudgeSection(Section):
    """How the model judges responses."""

    rubric: str = Field("additive-5", description="a rubric that ships with judgeloop, or the path of a template file")
    language: Literal["en", "zh"] = Field("en", description="language of the shipped rubric")
    scoring: Literal["sampled", "expected"] = Field(
        "expected", description="sampled: K written judgements, mean score; expected: mean over the score tokens"
    )
    justification: bool = Field(
        False, description="ask for a short justification before the score (needs scoring: sampled)"
    )
    samples: int = Field(3, gt=0, description="K, judgements a candidate (scoring: sampled)")
    sampling: JudgeSamplingSection = Field(default_factory=JudgeSamplingSection)
    min_valid: int = Field(1, gt=0, description="valid judgements a candidate needs (scoring: sampled)")
    min_mass: float = Field(
        0.5, ge=0, le=1, description="probability the score tokens need, or there is no score (scoring: expected)"
    )
    role: str = Field("current", description="who judges: current, M0, M1, …, or the folder of a frozen model")

    @model_validator(mode="after")
    def _expected_has_no_text(self) -> JudgeSection:
        if self.scoring == "expected" and self.justification:
            raise ValueError("expected scoring reads the score directly; set justification: false or scoring: sampled")
        return self


class PairsSection(Section):
    """How judged candidates become preference pairs."""

    margin: float = Field(0.0, ge=0, description="best and worst must differ by more than this")
    finished_only: bool = Field(True, description="answers cut off by length make no pair")


class LoraSection(Section):
    """Low-rank adapters instead of full fine-tuning; merged before the next iteration."""

    rank: int = Field(16, gt=0, description="rank of the adapters")
    alpha: int = Field(32, gt=0, description="scale of the adapters")
    dropout: float = Field(0.05, ge=0, lt=1, description="dropout on the adapters' input")
    target_modules: str = Field("all-linear", description="which modules get an adapter")


class TrainingSection(Section):
    """What SFT and preference training share."""

    method: Literal["full", "lora"] = Field("full", description="train all weights, or low-rank adapters")
    lora: LoraSection = Field(default_factory=LoraSection)
    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate")
    lr_min: float = Field(0.1, ge=0, le=1, description="the cosine ends at this share of the peak")
    warmup: float = Field(0.1, ge=0, le=1, description="share of the steps that warm up")
    epochs: float = Field(1.0, gt=0, description="passes over the data")
    batch_size: int = Field(16, gt=0, description="sequences (SFT) or pairs (preference training) a step")
    micro_batch_size: int = Field(8, gt=0, description="sequences or pairs at once; gradients are accumulated")
    max_length: int = Field(
        1024, gt=1, description="tokens of prompt and response; longer rows are dropped and counted"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decay")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    precision: Literal["auto", "bf16", "f32"] = Field(
        "auto", description="auto: bf16 autocast where the machine has it"
    )
    gradient_checkpointing: bool = Field(False, description="less memory, more time")
    report_to: tuple[str, ...] = Field((), description="trackers: tensorboard, wandb, mlflow, trackio")


class SftSection(TrainingSection):
    """M1 = SFT of M0 on IFT and EFT rows, loss on the response's tokens only."""

    weighting: Literal["token", "row"] = Field(
        "row", description="token: every target token counts the same; row: every row does, so short scores are heard"
    )


class TrainSection(TrainingSection):
    """M_{t+1} = preference training of M_t on its pairs, with M_t as the reference."""

    learning_rate: float = Field(1e-6, gt=0, description="peak learning rate")
    loss: Literal["dpo"] = Field("dpo", description="the preference loss")
    beta: float = Field(0.1, gt=0, description="DPO's β")
    nll_weight: float = Field(0.0, ge=0, description="weight of the chosen response's mean token NLL beside the loss")


class EvaluationSection(Section):
    """What is measured on every model, on prompts that nothing was trained on."""

    prompts: Paths = Field((), description="JSONL with 'prompt' or 'messages'; null: the held-out seed prompts")
    count: int = Field(64, gt=0, description="held-out prompts used at most")
    samples: int = Field(2, gt=0, description="responses a prompt; with two or more, ties of the judge are seen")
    base: bool = Field(True, description="evaluate M0 too")
    sampling: SamplingSection = Field(default_factory=SamplingSection)
    judge: str = Field("current", description="who judges the evaluation: current, M0, M1, …, or a model folder")
    bootstrap: int = Field(1000, gt=0, description="resamples of the intervals")


class Config(Section):
    """A whole run."""

    model: str = Field("smollm2-135m-instruct", description="M0: a local folder, a hub id, or an alias")
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    trust_remote_code: bool = Field(False, description="run code that comes with the model")
    chat_template: str | None = Field(
        None, description="a Jinja file, or 'chatml', for models that bring no chat template"
    )
    system_prompt: str | None = Field(None, description="system message before every prompt; null: the template's own")
    seed: int = Field(0, ge=0, description="every random choice derives from it")
    iterations: int = Field(2, ge=0, description="preference-training iterations after M1 (2 gives M1, M2, M3)")
    out: str | None = Field(None, description="run directory; null: runs/<name of the config file>")
    threads: int | None = Field(None, gt=0, description="CPU threads; null: all cores")
    engine: EngineSection = Field(default_factory=EngineSection)
    seed_data: SeedSection = Field(default_factory=SeedSection)
    sft: SftSection = Field(default_factory=SftSection)
    prompts: PromptsSection = Field(default_factory=PromptsSection)
    candidates: CandidatesSection = Field(default_factory=CandidatesSection)
    judge: JudgeSection = Field(default_factory=JudgeSection)
    pairs: PairsSection = Field(default_factory=PairsSection)
    train: TrainSection = Field(default_factory=TrainSection)
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)

    @model_validator(mode="after")
    def _sources_are_named(self) -> Config:
        if self.prompts.source == "file" and not self.prompts.files:
            raise ValueError("prompts.source is 'file' but prompts.files names none")
        if not self.seed_data.ift and not self.seed_data.ranked:
            raise ValueError("seed_data names neither ift nor ranked files, so there is nothing to make M1 from")
        return self

    def resolved_yaml(self) -> str:
        """The whole tree, defaults included, as YAML that `load` reads back to an equal tree."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


_NAME_OR_PATH_KEYS = ("model", "chat_template", "judge.rubric", "judge.role", "evaluation.judge")
_A_ROLE = re.compile(r"current|M\d+")
_PATH_KEYS = ("seed_data.ift", "seed_data.ranked", "prompts.files", "evaluation.prompts", "engine.script")


def known_keys(section: type[Section] = Config, prefix: str = "") -> list[str]:
    """All dotted keys of the tree, sections included."""
    keys = []
    for name, info in section.model_fields.items():
        keys.append(prefix + name)
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            keys += known_keys(inner, f"{prefix}{name}.")
    return keys


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML config and apply `key=value` overrides. Relative data paths are resolved: those of the file against
    its folder, those of the overrides against the working directory.

    Raises InputError (exit code 2) naming file and key where anything is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError.at(path, None, f"the config cannot be read ({reason})", "check the path") from error
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        problem = f"broken YAML ({getattr(error, 'problem', None) or 'cannot be parsed'})"
        raise InputError.at(path, line, problem, "mend the line") from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise InputError.at(path, None, "is not a mapping of keys", "write 'key: value' lines")
    _resolve_paths(tree, path.resolve().parent)
    for override in overrides:
        _apply(tree, override)
    return parse(tree, str(path))


def parse(tree: Mapping[str, Any], origin: str) -> Config:
    """Validate a tree of plain values; `origin` names it in errors."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{origin}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """The first thing wrong, in one line (fixing the first often fixes the others)."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        keys = known_keys()
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
        if not near:
            near = [k for k in keys if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]][:1]
        hint = f"did you mean '{near[0]}'?" if near else "docs/configuration.md lists the keys"
        return f"unknown key '{key}'; {hint}"
    message = first["msg"].removeprefix("Value error, ")
    where = f"key '{key}': " if key else ""
    given = "" if isinstance(first["input"], (dict, BaseModel)) else f" (given: {first['input']!r})"
    return f"{where}{message}{given}"


def _resolve_paths(tree: dict[str, Any], folder: Path) -> None:
    """Paths in a file are relative to that file. What may be a name or a path is a path where such a thing exists."""

    def absolute(value: object) -> object:
        if isinstance(value, list):
            return [absolute(item) for item in value]
        return str((folder / Path(value).expanduser()).resolve()) if isinstance(value, str) else value

    for dotted in (*_PATH_KEYS, *_NAME_OR_PATH_KEYS):
        *sections, name = dotted.split(".")
        node: Any = tree
        for section in sections:
            node = node.get(section) if isinstance(node, dict) else None
        value = node.get(name) if isinstance(node, dict) else None
        if value is None:
            continue
        if dotted in _PATH_KEYS or (
            isinstance(value, str) and not _A_ROLE.fullmatch(value) and (folder / Path(value).expanduser()).exists()
        ):
            node[name] = absolute(value)


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, raw = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"--set {override}: is not key=value; write for example --set iterations=3")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise InputError(f"--set {override}: the value is not valid YAML; quote it") from error
    *sections, name = key.split(".")
    alone: dict[str, Any] = {name: value}
    for section in reversed(sections):
        alone = {section: alone}
    _resolve_paths(alone, Path.cwd())  # what is typed is relative to where it is typed
    for section in sections:
        alone = alone[section]
    node = tree
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise InputError(
                f"--set {override}: '{section}' is a value, not a section; docs/configuration.md lists keys"
            )
        node = child
    node[name] = alone[name]


def documentation(section: type[Section] = Config, prefix: str = "") -> list[tuple[str, str, str]]:
    """(dotted key, default, description) of every leaf: what docs/configuration.md is made from."""
    rows = []
    for name, info in section.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            rows += documentation(inner, f"{prefix}{name}.")
            continue
        default = info.get_default(call_default_factory=True)
        shown = yaml.safe_dump(list(default) if isinstance(default, tuple) else default).removesuffix("...\n").strip()
        rows.append((prefix + name, shown, info.description or ""))
    return rows
