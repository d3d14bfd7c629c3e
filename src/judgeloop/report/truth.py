"""What the user's own code measured, model by model, as a table; and how right the judge is by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from judgeloop.report.wording import interval, judge_in_words

MIN_COMPARISONS = 20  # fewer prompts say too little
CHANCE = 0.5
_JUDGE = "judge against truth"


def truth_table(models: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """`{"measure", "columns": models, "rows": [(label, [interval a model])], "judge", "group", "without"}`: the
    measures, the headline by group, and how well the judge tells better from worse. None if nothing was checked."""
    checked = [model for model in models if model["truth"]]
    if not checked:
        return None
    found = [model["truth"] for model in checked]
    last = found[-1]
    rows = [(name, [truth["measures"].get(name) for truth in found]) for name in last["measures"]]
    groups = sorted({name for truth in found for name in truth["groups"]})
    rows += [(f"{last['measure']}, {last['group']} {name}", [t["groups"].get(name) for t in found]) for name in groups]
    rows.append((_JUDGE, [truth["judge_accuracy"] for truth in found]))
    return {
        "measure": last["measure"],
        "columns": [model["name"] for model in checked],
        "rows": rows,
        "judge": _JUDGE,
        "group": last["group"],
        "without": last["without_group"],
    }


def judge_against_truth(model: dict[str, Any], earlier: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The warning that a judge tells better answers from worse ones less well than before, or no better than
    chance: what it prefers, and the pairs that it chooses, are worth less."""
    now = _accuracy(model)
    if now is None or model["name"] == "M0":
        return []
    who, before = judge_in_words(model["judge"]["name"], model["name"]), _fell_from(now, earlier)
    said = f"{who} is right about {interval(now, as_percent=True)} of the pairs of its answers that"
    said += f" {model['truth']['measure']} tells apart"
    if before is not None:
        return [("judge against truth", f"{said}, {before}: what it prefers says less.")]
    if now["n"] >= MIN_COMPARISONS and now["low"] <= CHANCE:
        return [("judge against truth", f"{said}, which is not above chance (50%).")]
    return []


def judge_right(evaluated: Sequence[dict[str, Any]]) -> str | None:
    """The sentence beside the headline: how well the judge tells the last model's answers apart, and whether that
    fell."""
    last, now = evaluated[-1], _accuracy(evaluated[-1])
    if now is None:
        return None
    who, before = judge_in_words(last["judge"]["name"], last["name"]), _fell_from(now, evaluated[:-1])
    said = f"By the same code {who} is right about {interval(now, as_percent=True)} of the pairs of {last['name']}'s"
    if before is not None:
        return f"{said} answers, {before}, clear of both intervals."
    return f"{said} answers{', which is not above chance' if now['low'] <= CHANCE else ''} (chance: 50%)."


def _accuracy(model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = (model.get("truth") or {}).get("judge_accuracy")
    return found


def _fell_from(now: Mapping[str, Any], earlier: Sequence[dict[str, Any]]) -> str | None:
    """ "down from 85% (79–90%) on M1's", if it lies below an earlier trained model's, clear of both intervals."""
    known = [(found, m["name"]) for m in earlier if m["name"] != "M0" and (found := _accuracy(m)) is not None]
    if not known:
        return None
    best, name = max(known, key=lambda entry: float(entry[0]["low"]))
    return f"down from {interval(best, as_percent=True)} on {name}'s" if now["high"] < best["low"] else None
