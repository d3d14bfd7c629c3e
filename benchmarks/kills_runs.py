"""Two runs on a tiny model that have every stage between them, and what must be equal in two of the same.

`real` generates and judges with the model's own probabilities and trains adapters; `scripted` writes what a random
model cannot: judgements in words, instructions, judgements of judgements.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from tiny import CHAT_TEMPLATE, make_tiny_model  # type: ignore[import-not-found]

RUNS = ("real", "scripted")
TOPICS = ("rain", "bread", "the Moon", "cats", "trains", "tea", "maps", "owls", "soap", "chess", "snow", "drums")
TEXTS = ("Rain", "Bread", "Moon", "Honey", "Glass")
DATED = "{{ '<|im_start|>system\nToday is ' + strftime_now('%Y-%m-%d') + '.<|im_end|>\n' }}"
_FIRST = " Describe the old harbour at night\nTask 10: Shorten the following sentence\nTask 11: Draw a cat on the wall"
_SECOND = " Name three soups for winter\nTask 10: Explain how bees find home\nTask 11: Plan a picnic for rainy days"
_RULES: list[dict[str, Any]] = [
    *(
        {"match": f"(?s){topic} is what.*Write that request", "reply": [f"What is {topic} good for?"]}
        for topic in TEXTS
    ),
    *(
        {"match": f"(?s)<response>{topic} is what", "scores": [0.05, 0.05, 0.1, 0.2, 0.6 - 0.05 * number]}
        for number, topic in enumerate(TEXTS)
    ),
    {"match": r"Task 1: Tell me [\s\S]*[02468] about[\s\S]*Task \d+:$", "reply": _SECOND},
    {"match": r"Task \d+:$", "reply": _FIRST},
    {"match": r"Classification:$", "scores": [0.1, 0.8]},
    {"match": r"\nInput:$", "reply": " The ferry, which was late, left at nine."},
    {"match": r"<response>Here is[^<]*</response>", "reply": ["Full answer.\n\nScore: 5", "Good. Score: 4"]},
    {"match": r"<response>[^<]* fine[^<]*</response>", "reply": ["Fair.\n\nScore: 3", "Fair. Score: 3"]},
    {"match": r"<response>What\?", "reply": ["Says nothing.\n\nScore: 0", "Empty.\n\nScore: 1"]},
    {"match": r"<response>[BMRS]", "reply": ["Good.\n\nScore: 4", "Rather good.\n\nScore: 3"]},
    {"match": r"<response>", "reply": ["Poor.\n\nScore: 1", "Weak.\n\nScore: 2"]},
    # Made-up answers would follow from the whole prompt, and so from the day in it: on some days none makes a pair.
    {"match": r"(harbour|soups|bees|picnic|sentence|cat on)", "reply": ["Here is one.", "It is fine.", "What?"]},
]
_UNEQUAL = {"seconds", "seconds_by_step", "seconds_of_steps", "peak_memory_mib"}

ASKED = (
    "Why is the sky dark at night?",
    "How do bees find their way home again?",
    "Name a colour that warns people.",
    "Which tool cuts glass?",
    "Give one use of old newspapers.",
    "Where does honey come from?",
)


def prepare(kind: str, place: Path) -> Path:
    """Write the model, the data and the config of a run that takes seconds; return the config."""
    place.mkdir(parents=True, exist_ok=True)
    model = place / "model"
    make_tiny_model(model)
    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["chat_template"] = DATED + CHAT_TEMPLATE
    (model / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    ranked = [
        {
            "prompt": f"Tell me thing {number} about {topic}.",
            "responses": [
                {"text": f"Here is a full answer about {topic}, number {number}.", "rank": 0},
                {"text": f"{topic} is fine.", "rank": 1},
                {"text": "What?", "rank": 2},
            ],
        }
        for number, topic in enumerate(TOPICS)
    ]
    common: dict[str, Any] = {
        "model": str(model), "threads": 1,
        "seed_data": {"ranked": _write(place / "seed.jsonl", ranked), "eft_share": 1.0, "eft": {"ift_overlap": True}},
        "sft": {"learning_rate": 1e-3, "batch_size": 4, "max_length": 2000, "checkpoint_steps": 2},
        "judge": {"rubric": "additive-5-short", "min_mass": 0.0},
        "pairs": {"unfinished": "as_judged", "anchor": "M0"},
        "train": {"learning_rate": 1e-3, "batch_size": 1, "max_length": 2000, "checkpoint_steps": 1},
        "evaluation": {"count": 3, "samples": 2, "bootstrap": 50, "sampling": {"max_new_tokens": 8}},
        "candidates": {"count": 3, "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12}},
        "health": {"stop_on": []},
    }  # fmt: skip
    tree = _real(common, place) if kind == "real" else _scripted(common, place)
    path = place / "config.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML
    return path


def _real(tree: dict[str, Any], place: Path) -> dict[str, Any]:
    prompts = [{"prompt": f"What would {topic} be in year {number}?"} for number, topic in enumerate(TOPICS)]
    lora = {"rank": 4, "keep_adapter": True}
    stopping = {"every": 2, "prompts": 2}  # of the evaluation's prompts those beyond its count
    asked = [{"prompt": text} for text in ASKED]
    return {
        **tree,
        "evaluation": {**tree["evaluation"], "prompts": [_write(place / "asked.jsonl", asked)]},
        "engine": {"kind": "transformers", "precision": "f32"},
        "prompts": {"source": "file", "files": [_write(place / "prompts.jsonl", prompts)], "count": 4},
        "sft": {**tree["sft"], "method": "lora", "lora": lora},
        "train": {
            **tree["train"], "method": "lora", "lora": lora, "eft_replay": 0.3, "early_stopping": stopping,
            "consistency": True,
        },
    }  # fmt: skip


def _scripted(tree: dict[str, Any], place: Path) -> dict[str, Any]:
    (place / "texts").mkdir(exist_ok=True)
    texts = "\n\n".join(
        f"{t} is what this paragraph is about, and it says what {t.lower()} is good for." for t in TEXTS
    )
    (place / "texts" / "a.txt").write_text(texts, encoding="utf-8")
    seed = tree["seed_data"]
    training = {"learning_rate": 1e-3, "batch_size": 4, "max_length": 400, "checkpoint_steps": 1}
    return {
        **tree,
        "iterations": 1,
        "engine": {"kind": "scripted", "script": _write(place / "script.jsonl", _RULES)},
        "seed_data": {**seed, "eft": {**seed["eft"], "source": "written", "samples": 2}},
        "prompts": {"source": "self_instruct", "count": 3, "max_requests": 24},
        "candidates": {"count": 3, "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 40}},
        "judge": {
            **tree["judge"], "scoring": "sampled", "samples": 2, "justification": True, "meta": {"enabled": True},
        },
        "backtranslation": {
            "texts": str(place / "texts"), "segments": {"min_words": 5, "target_words": 5, "max_overlap": 0.9},
            "keep": "threshold", "threshold": 3.0, "sft": training,
        },
    }  # fmt: skip


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def facts(run: Path) -> dict[str, Any]:
    """File → what two runs of one config must share: rows (in whatever order they finished), models' hashes,
    references, metrics, evaluations; times and memory left out."""
    found: dict[str, Any] = {}
    for path in sorted(run.glob("M*/**/*")):
        name = path.relative_to(run).as_posix()
        if path.suffix == ".safetensors":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            continue
        inside = {"model", "engine", "adapter"} & set(path.relative_to(run).parts)
        if inside or not path.is_file() or path.name.startswith("."):
            continue
        if path.suffix == ".jsonl":
            found[name] = _rows(path)
        else:
            found[name] = _equal(json.loads(path.read_text(encoding="utf-8")))
    return {**found, "metrics.jsonl": _rows(run / "metrics.jsonl")}


def _rows(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return sorted(json.dumps(_equal(json.loads(line)), sort_keys=True) for line in lines)


def _equal(value: Any) -> Any:
    """The value without what need not be equal in two runs."""
    if isinstance(value, dict):
        return {name: _equal(each) for name, each in value.items() if name not in _UNEQUAL}
    return [_equal(each) for each in value] if isinstance(value, list) else value


def differences(whole: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of the files that are not equal."""
    return [name for name in sorted({*whole, *other}) if whole.get(name) != other.get(name)]
