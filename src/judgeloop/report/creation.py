"""How instructions were made: the diversity of seed and new prompts side by side, and samples of kept and dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from judgeloop.report.reading import RunFiles
from judgeloop.report.wording import NOTHING, number, percent

_SHOWN_WORDS = 6
SAMPLE_KEYS = ("samples", "kept_samples", "dropped_samples")


def diversity_columns(models: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """("seed", figures) and then (model, figures of its new prompts) of each model that has them."""
    measured = [(m["name"], m["diversity"]) for m in models if m["diversity"]]
    return [("seed", found["seed"]) for _, found in measured[:1]] + [(n, found["generated"]) for n, found in measured]


def diversity_table(models: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """`{"columns": names, "rows": [(label, values)], "compared": "64"}`, None if nothing was measured."""
    columns = diversity_columns(models)
    if not columns:
        return None
    rows = [
        ("prompts", [str(found["prompts"]) for _, found in columns]),
        ("words a prompt (characters in Chinese, …): mean (10th to 90th percentile)", [_sizes(f) for _, f in columns]),
        ("characters a prompt, mean", [number(found["characters"], 0) for _, found in columns]),
        *((f"distinct-{n}", [number(found["distinct"][n - 1]) for _, found in columns]) for n in (1, 2, 3)),
        ("ROUGE-L with the nearest other prompt, mean", [number(found["nearest"]) for _, found in columns]),
        ("ROUGE-L with the nearest seed prompt, mean", [number(found.get("nearest_seed")) for _, found in columns]),
        ("opening words, as many as if equally frequent", [number(f["openings"]["effective"], 1) for _, f in columns]),
        ("most frequent opening words", [_words(found["openings"]["top"]) for _, found in columns]),
        (
            "content words, as many as if equally frequent",
            [number(f["content_words"]["effective"], 0) for _, f in columns],
        ),
        ("most frequent content words", [_words(found["content_words"]["top"]) for _, found in columns]),
        ("languages", [_shares(found["languages"].items()) for _, found in columns]),
    ]
    counts = sorted({m["diversity"]["compared"] for m in models if m["diversity"]})
    compared = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return {"columns": [name for name, _ in columns], "rows": rows, "compared": compared}


def creation_samples(files: RunFiles) -> list[dict[str, Any]]:
    """Of each account that has samples: `{"title", "kept": texts, "dropped": [(reason, how many, texts)]}`."""
    found = []
    for name in files.models():
        prompts = files.json(f"{name}/prompts.json")
        if prompts is not None:
            found.append(_samples(f"{name}, new prompts", prompts))
        made = files.json(f"{name}/backtranslation.json")
        if made is not None:
            parts = [("segments", made.get("segments")), ("instructions", made.get("labels"))]
            parts += [(f"round {t}", account) for t, account in enumerate(made.get("rounds") or [], 1)]
            found += [
                _samples(f"{name}, backtranslation: {part}", account)
                for part, account in parts
                if isinstance(account, dict)
            ]
    return [samples for samples in found if samples["kept"] or samples["dropped"]]


def without_samples(account: Mapping[str, Any]) -> dict[str, Any]:
    """An account's counts, without samples and diversity, which are shown apart."""
    return {key: value for key, value in account.items() if key not in (*SAMPLE_KEYS, "diversity")}


def _samples(title: str, account: Mapping[str, Any]) -> dict[str, Any]:
    samples = account.get("samples")
    samples = samples if isinstance(samples, dict) else {}
    kept = samples.get("kept") or account.get("kept_samples") or []
    dropped = samples.get("dropped") or account.get("dropped_samples") or {}
    counts = account.get("dropped")
    counts = counts if isinstance(counts, dict) else {}
    return {
        "title": title,
        "kept": [_text(sample) for sample in kept],
        "dropped": [
            (reason, counts.get(reason), [_text(sample) for sample in some]) for reason, some in dropped.items()
        ],
    }


def _text(sample: object) -> str:
    """A sample as one text; of one with fields a line for each that is not empty."""
    if not isinstance(sample, dict):
        return str(sample)
    return "\n".join(f"{key}: {value}" for key, value in sample.items() if value not in (None, "", [], {}))


def _sizes(found: Mapping[str, Any]) -> str:
    sizes = found["tokens"]
    return NOTHING if sizes is None else f"{sizes['mean']:.1f} ({sizes['p10']:g} to {sizes['p90']:g})"


def _words(top: Sequence[Sequence[Any]]) -> str:
    return _shares((word, share) for word, share in top[:_SHOWN_WORDS])


def _shares(shares: Any) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in shares) or NOTHING
