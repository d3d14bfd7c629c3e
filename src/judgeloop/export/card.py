"""The model card (README.md) of a model of a run: what it was made from and by whom it was judged, with the metadata
that the hub reads. From the run directory alone, so it can be written again at any moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from judgeloop.export.licence import Base
from judgeloop.jsonl import write_text_atomically
from judgeloop.report.reading import RunFiles
from judgeloop.report.summary import summary_of
from judgeloop.report.wording import interval, judge_name, percent, points, ranks_in_words

FILE = "README.md"
MARK = "<!-- written by judgeloop -->"
_ADAPTED = ("lora", "qlora")
CITATION = """@article{yuan2024selfrewarding,
  title   = {Self-Rewarding Language Models},
  author  = {Weizhe Yuan and Richard Yuanzhe Pang and Kyunghyun Cho and Xian Li and Sainbayar Sukhbaatar and Jing Xu and
             Jason Weston},
  journal = {arXiv preprint arXiv:2401.10020},
  year    = {2024}
}"""


def write_card(run: Path, model: str, folder: Path, base: Base) -> None:
    """Write a model's card into its folder, unless somebody wrote one of his own there. No seal covers it."""
    path = folder / FILE
    if path.is_file() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return
    text = card(RunFiles(run), model, base)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text_atomically(path, text)


def card(files: RunFiles, model: str, base: Base) -> str:
    """The whole card."""
    summary = summary_of(files)
    found = next((m for m in summary["models"] if m["name"] == model), {"name": model})
    config = files.config()
    front = yaml.safe_dump(_metadata(config, model, base), sort_keys=False, allow_unicode=True, width=1000)
    parts = [f"---\n{front}---\n{MARK}\n", f"# {files.path.resolve().name}, {model}\n"]
    for title, lines in (
        ("", _first(found, summary, base)),
        ("What it was made from", _origin(files, found, config, base)),
        ("Recipe", _recipe(files, found, config, model)),
        ("How it was measured", _measured(found, model)),
        ("Warnings", _warnings(summary, model)),
        ("What it must not be taken for", _limits(found, config)),
        ("Licence", _licence(config, base)),
    ):
        body = "\n".join(lines)
        if body:
            parts.append(f"## {title}\n\n{body}\n" if title else f"{body}\n")
    said = "The method is Self-Rewarding Language Models (arXiv 2401.10020):"
    parts.append(f"## Citation\n\n{said}\n\n```bibtex\n{CITATION}\n```\n")
    return "\n".join(parts)


def _metadata(config: Mapping[str, Any], model: str, base: Base) -> dict[str, Any]:
    """The keys that the hub knows."""
    licence = base.licence or "other"
    found: dict[str, Any] = {"license": licence}
    if licence == "other":
        found["license_name"] = base.licence_name or "unknown"
    if base.hub is not None:
        found |= {"base_model": base.hub, "base_model_relation": "finetune"}
    spoken = base.languages or tuple(filter(None, (_section(config, "seed_data").get("lang"),)))
    if spoken:
        found["language"] = list(spoken)
    tags = ["self-rewarding", "judgeloop", "llm-as-a-judge", "sft"]
    if model not in ("M0", "M1"):
        tags.append(str(_section(config, "train").get("loss", "dpo")))
    return {**found, "library_name": "transformers", "pipeline_tag": "text-generation", "tags": tags}


def _first(found: Mapping[str, Any], summary: Mapping[str, Any], base: Base) -> Iterator[str]:
    decision = summary.get("decision") or {}
    said = f"{base.hub or Path(base.name).name}, trained further by a Self-Rewarding loop of "
    yield f"{said}judgeloop: on examples, then on its own judgements of its own answers."
    if decision.get("best") == found["name"]:
        yield f"\nOf this run's models it is the one that the run recommends: {decision.get('why_best')}."
    elif decision.get("best"):
        yield f"\nThis run recommends another of its models, {decision['best']}: {decision.get('why_best')}."


def _origin(files: RunFiles, found: Mapping[str, Any], config: Mapping[str, Any], base: Base) -> Iterator[str]:
    initial, reference = found.get("initial") or {}, found.get("reference")
    m0 = files.json("M0/model.json") or {}
    yield f"- base model: `{base.hub or base.name}`, SHA-256 over its files `{m0.get('hash', 'unknown')}`"
    if initial:
        yield f"- initialised from {initial.get('name')} (`{initial.get('hash')}`)"
    if reference:
        yield f"- reference of its preference training: {reference.get('name')} (`{reference.get('hash')}`)"
    yield f"- this model: `{found.get('hash')}` when it was made"
    version, begun = files.run.get("judgeloop", ""), files.run.get("started", "")
    yield f"- judgeloop {version}, seed {config.get('seed')}, begun {begun}"
    for key, name in _data_files(config):
        path = Path(name)
        digest = f"SHA-256 `{_digest(path)}`" if path.is_file() else "no longer where it was when this was written"
        yield f"- {key}: `{path.name}`, {digest}"


def _data_files(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    seed, prompts = _section(config, "seed_data"), _section(config, "prompts")
    for key, names in (
        ("seed_data.ift", seed.get("ift")), ("seed_data.ranked", seed.get("ranked")),
        ("seed_data.eft_files", seed.get("eft_files")),
        ("prompts.files", prompts.get("files") if prompts.get("source") == "file" else ()),
        ("backtranslation.texts", _section(config, "backtranslation").get("texts")),
    ):  # fmt: skip
        for name in names or ():
            yield key, str(name)


def _recipe(files: RunFiles, found: Mapping[str, Any], config: Mapping[str, Any], model: str) -> Iterator[str]:
    trained = found.get("training") or {}
    section = "train" if model not in ("M0", "M1") else "sft"
    values = _section(config, section)
    seed = ((found.get("accounts") or {}).get("seed")) or {}
    if model == "M0":
        yield "Nothing was trained: this is the base model as the run found it."
        return
    if section == "sft":
        rows = f"{seed.get('ift', '?')} instructions with answers (IFT) and {seed.get('eft', '?')} judgements (EFT)"
        yield f"Supervised fine-tuning on {rows}."
    else:
        judge = (found.get("loop_judge") or {}).get("name")
        judged = f", judged by {judge_name(judge, model)}" if judge else ""
        pairs = f"{found.get('pairs')} pairs of its predecessor's own answers{judged}"
        yield f"Preference training ({values.get('loss')}) on {pairs}."
    keys = ["method", "learning_rate", "epochs", "batch_size", "max_length", "precision"]
    for_pairs = ["beta", "nll_weight", "eft_replay", "ift_replay", "solved_replay"]
    keys += for_pairs if section == "train" else ["eft_loss", "eft_weight"]
    yield "\n| key | value |\n|---|---|"
    yield from (f"| `{section}.{key}` | {values[key]} |" for key in keys if key in values)
    if trained:
        yield f"| steps | {trained.get('steps')} |\n| tokens | {trained.get('tokens')} |"
    if values.get("method") in _ADAPTED:
        yield "\nIts adapters are merged into the weights."
    yield f"\nThe run's `config.yaml` has every other key; SHA-256 `{_digest(files.path / 'config.yaml')}`."


def _measured(found: Mapping[str, Any], model: str) -> Iterator[str]:
    """Every figure with its 95% interval over prompts."""
    judge = (found.get("judge") or {}).get("name")
    rows = []
    truth, agreement = found.get("truth") or {}, found.get("agreement") or {}
    if truth.get("value"):
        rows.append((f"ground truth by code: {truth['measure']}", interval(truth["value"], as_percent=True)))
        if truth.get("difference"):
            rows.append((f"the same against {truth['previous']}, in points", points(truth["difference"])))
    if agreement.get("pairwise_ties_half"):
        ranks = ranks_in_words(agreement)
        rows.append(
            (
                f"agreement of its judge with {ranks}, pairwise",
                interval(agreement["pairwise_ties_half"], as_percent=True),
            )
        )
    if truth.get("judge_accuracy"):
        rows.append(
            ("how often its judge prefers the answer that is right", interval(truth["judge_accuracy"], as_percent=True))
        )
    win = found.get("win_rate_vs_previous") or {}
    if win.get("rate"):
        rows.append((f"win rate against {win['previous']}", interval(win["rate"], as_percent=True)))
        controlled = win.get("length_controlled")
        if controlled:
            rows.append(("the same at equal length", interval(controlled, as_percent=True)))
    scores = (found.get("judge") or {}).get("mean_score_interval")
    if scores:
        rows.append(("mean score by the judge", interval(scores)))
    if found.get("length") and found["length"].get("mean_tokens") is not None:
        rows.append(("mean tokens of an answer", f"{found['length']['mean_tokens']:.0f}"))
        rows.append(("answers cut off by length", percent(found["length"].get("truncated_share"))))
    if not rows:
        yield "It has not been measured."
        return
    who = judge_name(judge, model) if judge else "unknown"
    yield f"On prompts that nothing was trained on, with 95% intervals. The judge is {who}.\n"
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in rows)


def _warnings(summary: Mapping[str, Any], model: str) -> Iterator[str]:
    for warning in summary.get("warnings") or ():
        if warning.get("model") in (None, model):
            yield f"- {warning['text']}"


def _limits(found: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    judge, model = (found.get("judge") or {}).get("name"), found.get("name")
    yield "- Not a safe model: nothing here trained it to refuse, and nothing measured what it refuses."
    yield "- Not a source of facts: its training rewarded what its judge liked, not what is true."
    if judge == model:
        yield (
            "- Win rates and scores above are its own opinion of its own answers. They say that it pleases its judge; "
            "only ground truth and the agreement with people say that it got better."
        )
    if not found.get("truth"):
        yield "- No ground truth was measured: whether it is better than its base, this run does not know."
    if _section(config, "judge").get("function") is None:
        yield "- Not a judge of other tasks than its seed's: agreement was measured on held-out rows of the same files."


def _licence(config: Mapping[str, Any], base: Base) -> Iterator[str]:
    if base.licence:
        yield f"- base model: {base.licence}; its text is in this folder and holds for these weights too."
    else:
        yield "- base model: its folder names no licence. Look it up before you pass these weights on."
    if any(_data_files(config)):
        yield "- data: the files above are the user's; look their licences up before you publish."


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return "unknown"


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name)
    return value if isinstance(value, dict) else {}
