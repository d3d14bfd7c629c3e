"""A few preference pairs of each iteration with what the judge said, for reading."""

from __future__ import annotations

from typing import Any

from judgeloop.report.reading import RunFiles


def pair_samples(files: RunFiles, model: str, count: int = 5) -> list[dict[str, Any]]:
    """Up to `count` pairs spread evenly over `pairs.jsonl`, so that every rendering shows the same.

    Each is `{"prompt": messages, "sides": [chosen, rejected]}`, a side `{"label", "text", "score", "judgements"}`.
    """
    pairs = list(files.rows(f"{model}/pairs.jsonl"))
    taken = [pairs[k * len(pairs) // min(count, len(pairs))] for k in range(min(count, len(pairs)))]
    wanted = {pair.get(side) for pair in taken for side in ("chosen_id", "rejected_id")}
    judgements: dict[str, list[dict[str, Any]]] = {}
    if taken:
        for row in files.rows(f"{model}/judgements.jsonl"):
            name, _, other = str(row.get("candidate_id")).partition("@")  # under another prompt: the response@prompt
            if name in wanted:
                judgements.setdefault(name, []).append({**row, "under": other} if other else row)
    return [
        {
            "prompt": pair.get("prompt") or [],
            "sides": [_side(pair, side, judgements) for side in ("chosen", "rejected")],
        }
        for pair in taken
    ]


def _side(pair: dict[str, Any], side: str, judgements: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    messages = pair.get(side) or []
    return {
        "label": side,
        "text": "\n\n".join(str(message.get("content", "")) for message in messages),
        "score": pair.get(f"{side}_score"),
        "judgements": judgements.get(str(pair.get(f"{side}_id")), []),
    }
