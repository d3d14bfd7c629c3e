"""What the `eval` commands print: tables, and what their figures show, in words no stronger than the intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from judgeloop.report.equal_length import at_equal_length, flagged, one_sided
from judgeloop.report.printing import say
from judgeloop.report.wording import interval, number, percent

METRICS = {
    "pairwise_ties_half": "pairwise accuracy, the judge's ties half",
    "pairwise_ties_wrong": "pairwise accuracy, the judge's ties wrong",
    "five_best": "5-best",
    "exact_match": "exact match",
    "spearman": "Spearman's ρ",
    "kendall": "Kendall's τ-b",
}
LEVELS = {
    "prompt_strict": "prompts, strict",
    "prompt_loose": "prompts, loose",
    "instruction_strict": "instructions, strict",
    "instruction_loose": "instructions, loose",
}


def print_agreement(found: Mapping[str, Any]) -> None:
    """The metrics with intervals and the number of prompts that define each."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", box=SIMPLE_HEAD, header_style="bold")
    for heading in ("value (95%)", "prompts"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, label in METRICS.items():
        value = found["metrics"][name]
        table.add_row(label, interval(value), "0" if value is None else str(value["n"]))
    console = Console(highlight=False, emoji=False, markup=False)
    what = f"{found['prompts']} prompts, {found['responses']} responses"
    say(console, f"{found['judge']} against the ranks in {PurePath(found['input']).name}: {what}")
    console.print(table)
    _print_lines(console, agreement_words(found))


def agreement_words(found: Mapping[str, Any]) -> list[str]:
    """Whether the judge agrees with the ranks better than chance, and what was missing."""
    lines = []
    pairwise = found["metrics"]["pairwise_ties_half"]
    if pairwise is None:
        lines.append("No pair of responses has two scores and different ranks: nothing can be said.")
    elif pairwise["low"] > 0.5:
        lines.append("Pairs are ordered as the ranks order them more often than chance (0.5) would.")
    else:
        says = "includes" if pairwise["high"] >= 0.5 else "lies below"
        lines.append(f"The interval of pairwise accuracy {says} chance (0.5): no agreement with the ranks is shown.")
    if found["missing"]:
        lines.append(f"{found['missing']} of {found['responses']} responses have no score: they are left out.")
    return [
        *lines,
        *_reasons("judgements without a score", found.get("unread")),
        *endpoint_lines(found.get("endpoint")),
    ]


def print_win_rate(found: Mapping[str, Any]) -> None:
    """Wins, ties and losses, the rate and the rate at equal length."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, header_style="bold")
    for heading in ("win", "tie", "lose", "unparsed", "win rate (95%)", "at equal length"):
        table.add_column(heading, justify="right", no_wrap=True)
    total = max(1, found["prompts"] - found["unparsed"])
    table.add_row(
        *(f"{found[key]} ({percent(found[key] / total)})" for key in ("win", "tie", "lose")),
        str(found["unparsed"]),
        interval(found["rate"], as_percent=True),
        at_equal_length(found["length_controlled"]),
    )
    console = Console(highlight=False, emoji=False, markup=False)
    say(console, f"{found['model']} against {found['against']}, {_how_judged(found)}")
    console.print(table)
    _print_lines(console, win_rate_words(found))


def win_rate_words(found: Mapping[str, Any]) -> list[str]:
    """Whether one model is shown to be better, at its own length and at equal length."""
    controlled = found["length_controlled"]
    equal = _clear(controlled, found["model"], found["against"])
    if controlled is not None and flagged(controlled):
        why = one_sided(controlled, f"{found['model']}'s")
        equal = f"{at_equal_length(controlled)}, a guess from which nothing follows: {why}."
    lines = [f"Win rate: {_clear(found['rate'], found['model'], found['against'])}", f"At equal length: {equal}"]
    lengths = [number(found["mean_characters"][side], 0) for side in ("model", "against")]
    lines.append(f"Mean length in characters: {lengths[0]} against {lengths[1]}.")
    if found["first_preferred"] is not None:
        lines.append(f"The response shown first was preferred in {percent(found['first_preferred'])} of the verdicts.")
    cut = {side: found["cut_off"].get(side) for side in ("model", "against")}
    lines += [f"{count} responses of {found[side]} were cut off by length." for side, count in cut.items() if count]
    lines += [f"{count} left out: {reason}." for reason, count in found["left_out"].items()]
    return [
        *lines,
        *_reasons(f"{_asked(found)} that could not be read", found.get("unread")),
        *([found["advice"]] if found["advice"] else []),
        *endpoint_lines(found.get("endpoint")),
    ]


_OTHER_WAY = (
    "Most verdicts could not be read. A judge that was taught to score responses one by one has none to give: "
    "--compare scores asks it for scores, as a run does with evaluation.compare: scores (with the run's --rubric)."
)


def _asked(found: Mapping[str, Any]) -> str:
    return "judgements" if found["compare"] == "scores" else "verdicts"


def _how_judged(found: Mapping[str, Any]) -> str:
    by_scores = found["compare"] == "scores"
    return f"{'scored' if by_scores else 'judged'} by {found['judge']}{'' if by_scores else ' in both orders'}"


def _needs_scores(found: Mapping[str, Any]) -> bool:
    return bool(found["compare"] == "pairwise" and 2 * found["unparsed"] > found["prompts"])


def advice(found: Mapping[str, Any]) -> str | None:
    """What to try if most verdicts could not be read."""
    return _OTHER_WAY if _needs_scores(found) else None


def nothing_read(found: Mapping[str, Any]) -> str:
    """The error of a comparison of which nothing could be read: why, and what to do."""
    reasons = "; ".join(f"{count} {reason}" for reason, count in found["unread"].items())
    remedy = "ask it for scores with --compare scores" if _needs_scores(found) else "choose another judge or --rubric"
    return f"none of the {found['prompts']} comparisons could be read ({_asked(found)}: {reasons}); {remedy}"


def _clear(rate: Mapping[str, Any] | None, model: str, against: str) -> str:
    if rate is None:
        return "not to be had from these responses."
    if rate["n"] < 2:
        return f"{interval(rate, as_percent=True)}, one prompt only."
    said = interval(rate, as_percent=True)
    if rate["low"] > 0.5:
        return f"{said}, clear of 50%: {model} is preferred."
    if rate["high"] < 0.5:
        return f"{said}, clear of 50%: {against} is preferred."
    return f"{said}, not clear of 50%: no difference is shown."


def print_ifeval(found: Mapping[str, Any]) -> None:
    """The four accuracies, and each kind of instruction."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("level", box=SIMPLE_HEAD, header_style="bold")
    table.add_column("followed (95%)", justify="right", no_wrap=True)
    for name, label in LEVELS.items():
        table.add_row(label, interval(found[name], as_percent=True))
    kinds = Table("instruction", box=SIMPLE_HEAD, header_style="bold")
    for heading in ("strict", "loose", "checked"):
        kinds.add_column(heading, justify="right", no_wrap=True)
    for name, value in found["by_kind"].items():
        kinds.add_row(
            name, percent(value["strict"]["value"]), percent(value["loose"]["value"]), str(value["strict"]["n"])
        )
    console = Console(highlight=False, emoji=False, markup=False)
    say(
        console,
        f"{found['model']} on IFEval: {found['prompts']} prompts, {found['instructions']} instructions, "
        f"{found['instructions_checked']} of them checked",
    )
    console.print(table)
    console.print(kinds)
    lines = [f"{found['cut_off']} of {found['prompts']} responses were cut off at {found['max_new_tokens']} tokens."]
    _print_lines(console, [*lines, *_reasons("instructions that could not be checked", found["unchecked"])])


def _reasons(what: str, reasons: Mapping[str, int] | None) -> list[str]:
    if not reasons:
        return []
    listed = "; ".join(f"{count} {reason}" for reason, count in reasons.items())
    return [f"{sum(reasons.values())} {what}: {listed}."]


def endpoint_lines(account: Mapping[str, Any] | None) -> list[str]:
    """What an endpoint had to be asked again, what it used and cost, and what it could not do."""
    if not account:
        return []
    used = account.get("tokens") or {}
    lines = [f"Note: {note}." for note in account.get("notes", ())]
    if "cost" in account:
        lines.append(
            f"{used.get('prompt_tokens', 0)} tokens of prompts and {used.get('completion_tokens', 0)} of answers "
            f"cost {account['cost']:.4f}."
        )
    return [*_reasons("requests asked again", account.get("retries")), *lines]


def _print_lines(console: Any, lines: list[str]) -> None:
    for line in lines:
        say(console, line)
