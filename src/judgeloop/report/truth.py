"""What the user's own code measured, model by model, as a table; and how right the judge is by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from judgeloop.report.wording import difference, interval, judge_in_words, points

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
    who, change = judge_in_words(model["judge"]["name"], model["name"]), _change(now, earlier)
    said = f"{who} is right about {interval(now, as_percent=True)} of the pairs of its answers that"
    said += f" {model['truth']['measure']} tells apart"
    if change is not None and change["high"] < 0:
        return [("judge against truth", f"{said}, {_in_words(change)}: what it prefers says less.")]
    if now["n"] >= MIN_COMPARISONS and now["low"] <= CHANCE:
        return [("judge against truth", f"{said}, which is not above chance (50%).{remedy(model)}")]
    return []


def remedy(model: Mapping[str, Any]) -> str:
    """What to try against a judge that is not above chance, after a space. M1's was made by SFT alone, and a small one
    mostly lacks steps (docs/evidence.md)."""
    return " Train M1 longer first: sft.epochs: 2, or a smaller sft.batch_size." if model["name"] == "M1" else ""


def judge_right(evaluated: Sequence[dict[str, Any]]) -> str | None:
    """The sentence beside the headline: how well the judge tells the last model's answers apart, and by how much that
    differs from the best judge before."""
    last, now = evaluated[-1], _accuracy(evaluated[-1])
    if now is None:
        return None
    who, change = judge_in_words(last["judge"]["name"], last["name"]), _change(now, evaluated[:-1])
    said = f"By the same code {who} is right about {interval(now, as_percent=True)} of the pairs of {last['name']}'s"
    chance = ", which is not above chance" if now["low"] <= CHANCE else ""
    if change is None:
        return f"{said} answers{chance} (chance: 50%)."
    clear = "clear of 0" if change["high"] < 0 or change["low"] > 0 else "not clear of 0"
    return f"{said} answers{chance} (chance: 50%), {_in_words(change)}, {clear}."


def _accuracy(model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = (model.get("truth") or {}).get("judge_accuracy")
    return found


def _change(now: Mapping[str, Any], earlier: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The difference to the earlier trained model's judge that was most surely right, with its interval, that model's
    name (`of`) and figure (`was`). The models' answers differ, and so do the pairs that can be told apart: nothing can
    be paired."""
    known = [(found, m["name"]) for m in earlier if m["name"] != "M0" and (found := _accuracy(m)) is not None]
    if not known:
        return None
    best, name = max(known, key=lambda entry: float(entry[0]["low"]))
    return {**difference(now, best), "of": name, "was": best}


def _in_words(change: Mapping[str, Any]) -> str:
    """ "−18.0 (−26.9 to −9.2) points against 85% (79–90%) on M1's"."""
    return f"{points(change)} points against {interval(change['was'], as_percent=True)} on {change['of']}'s"
