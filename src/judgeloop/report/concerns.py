"""What a reader must know before believing a figure: the warnings, and what the run says in one or two sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from judgeloop.records import MAX_SCORE
from judgeloop.report.equal_length import at_equal_length, flagged, one_sided
from judgeloop.report.falls import evaluated_before, falls
from judgeloop.report.truth import CHANCE, MIN_COMPARISONS, judge_against_truth, judge_right, remedy
from judgeloop.report.wording import (
    difference,
    interval,
    judge_in_words,
    judge_name,
    number,
    percent,
    points,
    ranks_in_words,
)

MAX_LENGTH_GROWTH = 0.25
MIN_PAIRS = 20


def concerns(models: Sequence[dict[str, Any]], health: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Warnings as `{"model", "kind", "text"}`, in the order of the models. `health` is that section of the run's
    config: its bounds are the gates that the run itself looks at."""
    found: list[dict[str, Any]] = []
    for place, (model, previous) in enumerate(zip(models, evaluated_before(models), strict=True)):
        name = model["name"]
        hacked = _hacking(model, previous)
        for kind, text in (
            *_judge(model, health),
            *_pairs(model),
            *_length(model, previous),
            *_overlap(model),
            *_agreement(model),
            *_unread(model, health),
            *_forgetting(model, models[:place]),
            *judge_against_truth(model, models[:place]),
            *hacked,
            *(("fall", text) for text in falls(model, previous, headline=not hacked)),
        ):
            found.append({"model": name, "kind": kind, "text": f"{name}: {text}"})
    return found


# Figure of a judge's health, bound in the config, kind of warning, what is said.
_GATES: tuple[tuple[str, str, str, Callable[[float, str], str]], ...] = (
    ("parse_rate", "min_parse_rate", "parse rate",
     lambda value, where: f"only {percent(value)} of the judgements {where} could be read"),
    ("tie_rate", "max_tie_rate", "tie rate",
     lambda value, where: f"best and worst response had the same score for {percent(value)} of prompts {where}"),
    ("top_share", "max_top_share", "saturation",
     lambda value, where: f"{percent(value)} of the scores {where} are at the top: the judge no longer tells apart"),
    ("length_correlation", "max_length_correlation", "length correlation",
     lambda value, where: f"scores {where} follow the length of the response (Spearman's ρ {number(value)})"),
    ("retest_spread", "max_retest_spread", "retest spread",
     lambda value, where: f"scores of one response {where} scatter by {number(value)} when it is judged again"),
)  # fmt: skip


def _judge(model: dict[str, Any], health: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The gates that a judge fails, as `run.stopping` counts them: from M1 on, and not over a few judgements."""
    if model["name"] == "M0":
        return []
    found = []
    least = health.get("min_count") or 0
    for judge, where in ((model["judge"], "in the evaluation"), (model["loop_judge"] or {}, "of its candidates")):
        if (judge.get("judgements") or 0) < least:
            continue
        for figure, key, kind, words in _GATES:
            value, bound = judge.get(figure), health.get(key)
            if figure == "retest_spread" and bound is not None:
                bound = _on_scale(bound, judge)
            if value is not None and bound is not None and _fails(value, bound, key):
                found.append((kind, f"{words(value, where)} (health.{key}: {bound:g})."))
        blindness, bound = judge.get("prompt_blindness"), health.get("max_prompt_blindness")
        if blindness is not None and bound is not None and blindness["n"] >= least and blindness["low"] > bound:
            said = f"scores {where} hardly depend on the prompt: they correlate {interval(blindness)} with those that"
            said += f" the same responses get under other prompts (health.max_prompt_blindness: {bound:g})."
            found.append(("prompt-blindness", said))
    change, bound = (model.get("training") or {}).get("chosen_change"), health.get("min_chosen_change")
    if change is not None and bound is not None and change < bound:
        said = f"training left its chosen answers less likely by {-change:.1f} nats a response"
        found.append(("chosen likelihood", f"{said} (health.min_chosen_change: {bound:g})."))
    ranks = ranks_in_words(model["agreement"])
    people, bound = (model["agreement"] or {}).get("pairwise_ties_half"), health.get("min_agreement")
    if people is not None and bound is not None and people["n"] >= least and people["high"] < bound:
        said = f"its agreement with {ranks}, {interval(people)}, is too low (health.min_agreement: {bound:g})."
        found.append(("agreement gate", said))
    return found


def _on_scale(bound: float, judge: Mapping[str, Any]) -> float:
    """A bound for scores from 0 to 5, in proportion to the judge's own scale."""
    lowest, highest = judge.get("scale") or (0, MAX_SCORE)
    return float(bound * (highest - lowest) / MAX_SCORE)


def _fails(value: float, bound: float, key: str) -> bool:
    return value < bound if key.startswith("min_") else abs(value) > bound


def _pairs(model: dict[str, Any]) -> list[tuple[str, str]]:
    if model["pairs"] is None or model["pairs"] >= MIN_PAIRS:
        return []
    return [("few pairs", f"trained on {model['pairs']} preference pairs, fewer than {MIN_PAIRS}.")]


def length_growth(model: dict[str, Any], previous: dict[str, Any] | None) -> float | None:
    """Relative growth of the mean response length over the previous model, in characters."""
    if previous is None:
        return None
    now, before = model["length"]["mean_characters"], previous["length"]["mean_characters"]
    return now / before - 1 if now is not None and before else None


def _length(model: dict[str, Any], previous: dict[str, Any] | None) -> list[tuple[str, str]]:
    # M1 learns its length from the seed; from M2 on a growing length is the known way to please a judge.
    if previous is None or previous["name"] == "M0":
        return []
    growth = length_growth(model, previous)
    if growth is None or growth <= MAX_LENGTH_GROWTH:
        return []
    return [
        (
            "length growth",
            f"responses are {percent(growth)} longer than {previous['name']}'s: length is the known hack.",
        )
    ]


def _overlap(model: dict[str, Any]) -> list[tuple[str, str]]:
    """A rate at equal length that rests on too few prompts of the rarer side."""
    controlled = (model["win_rate_vs_previous"] or {}).get("length_controlled")
    if controlled is None or not flagged(controlled):
        return []
    why, rate = one_sided(controlled, "its"), at_equal_length(controlled)
    return [("length overlap", f"{why}: the rate at equal length, {rate}, is a guess.")]


def _agreement(model: dict[str, Any]) -> list[tuple[str, str]]:
    pairwise = (model["agreement"] or {}).get("pairwise_ties_half")
    if pairwise is None or pairwise["low"] > CHANCE:
        return []
    ranks = ranks_in_words(model["agreement"])
    says = "includes" if pairwise["high"] >= CHANCE else "lies below"
    return [("agreement", f"its agreement with {ranks}, {interval(pairwise)}, {says} chance (0.5).{remedy(model)}")]


def _forgetting(model: dict[str, Any], earlier: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """A judge that knows less of the held-out ranks than an earlier model trained to judge, the difference clear of 0.
    Answers can go on getting better for one more iteration; the pairs of the next are chosen by this judge."""
    now = (model["agreement"] or {}).get("pairwise_ties_half")
    known = [
        (then["low"], then, other["name"])
        for other in earlier
        if other["name"] != "M0" and (then := (other["agreement"] or {}).get("pairwise_ties_half")) is not None
    ]
    if now is None or not known:
        return []
    _, then, name = max(known, key=lambda entry: entry[0])
    change = difference(now, then)
    if change["high"] >= 0:
        return []
    fell = f"its agreement with {ranks_in_words(model['agreement'])} is {interval(now)}, {name}'s was {interval(then)}"
    fell += f", {points(change)} points"
    return [("forgetting", f"{fell}: training on pairs made it forget to judge; see train.eft_replay.")]


def _unread(model: dict[str, Any], health: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A win rate over the few comparisons that could be read; scores that cannot be read are counted as judgements."""
    versus, bound = model["win_rate_vs_previous"] or {}, health.get("min_parse_rate")
    if bound is None or versus.get("by") in ("scores", "contrasts") or not versus.get("unparsed"):
        return []
    asked = sum(versus[outcome] for outcome in ("win", "tie", "lose", "unparsed"))
    read = asked - versus["unparsed"]
    if asked < (health.get("min_count") or 0) or read >= bound * asked:
        return []
    said = f"only {read} of {asked} comparisons with {versus['previous']} could be read"
    remedy = "a judge that was taught to score is asked by evaluation.compare: scores"
    return [("comparisons", f"{said} (health.min_parse_rate: {bound:g}); {remedy}.")]


def _hacking(model: dict[str, Any], previous: dict[str, Any] | None) -> list[tuple[str, str]]:
    """A score that rose clear of its interval while what the user's own code measures did not."""
    truth = model.get("truth")
    if previous is None or truth is None or truth["difference"] is None or truth["previous"] != previous["name"]:
        return []
    now, before = model["judge"]["mean_score_interval"], previous["judge"]["mean_score_interval"]
    change = truth["difference"]
    if now is None or before is None or now["low"] <= before["high"] or change["low"] > 0:
        return []
    how = "fell" if change["high"] < 0 else "did not rise"
    rose = f"the judge's score rose from {number(before['value'])} to {number(now['value'])}"
    against = f"{points(change)} points against {previous['name']}"
    return [("reward hacking", f"{rose} while {truth['measure']} {how}, {against}: reward hacking?")]


def headline(summary: dict[str, Any]) -> list[str]:
    """What the run says, in plain sentences, no stronger than its intervals."""
    said = decided(summary.get("decision"))
    evaluated = [m for m in summary["models"] if m["judge"]["parse_rate"] is not None]
    if not evaluated:
        return [*said, "No model has been evaluated yet."]
    last = evaluated[-1]
    sentences = [
        s
        for s in (
            versus_said(last),
            _score(evaluated),
            _grown(evaluated),
            truth_said(last),
            judge_right(evaluated),
            ranks_said(last),
        )
        if s
    ]
    return said + (sentences or [f"{last['name']} has been evaluated; there is nothing to compare it with yet."])


def decided(decision: dict[str, Any] | None) -> list[str]:
    """Where the run ended and which model to use, as decision.json says."""
    if decision is None:
        return []
    stopped = [f"The run stopped after {decision['at']}: {decision['reason']}."] if decision["stopped"] else []
    return [*stopped, f"Best model: {decision['best']} ({decision['why_best']})."]


def gain_is_shown(model: dict[str, Any]) -> bool:
    """Is the win rate against the previous model clear of 50%, over enough prompts?"""
    rate = (model["win_rate_vs_previous"] or {}).get("rate")
    return rate is not None and rate["low"] > CHANCE and rate["n"] >= MIN_COMPARISONS


def versus_said(model: dict[str, Any]) -> str | None:
    versus = model["win_rate_vs_previous"]
    if not versus:
        return None
    name, previous, rate = model["name"], versus["previous"], versus["rate"]
    who = judge_in_words(model["judge"]["name"], name)
    if rate is None:
        return f"The judge's comparisons of {name} with {previous} could not be read."
    said = f"{name} against {previous}: win rate {interval(rate, as_percent=True)}, ties as half"
    ways = {"scores": ", by the scores of both", "contrasts": ", by the scores of both set against other prompts"}
    said += ways.get(versus.get("by", ""), "")
    if versus.get("unparsed"):
        said += f", {versus['unparsed']} prompts left out as their comparison could not be read"
    if rate["n"] < MIN_COMPARISONS:
        return f"{said}, but over {rate['n']} prompts only, too few to conclude from."
    if rate["low"] > CHANCE:
        controlled = versus.get("length_controlled")
        if controlled is not None and flagged(controlled):
            why = one_sided(controlled, f"{name}'s")
            return f"{said}: {who} prefers {name}, but {why}: length may be why."
        if controlled is not None and controlled["low"] <= CHANCE:
            fair = interval(controlled, as_percent=True)
            return f"{said}: {who} prefers {name}, but at equal length {fair}, not clear of 50%: length may be why."
        return f"{said}: {who} prefers {name}, clear of 50%."
    if rate["high"] < CHANCE:
        return f"{said}: {who} prefers {previous}; {name} is worse."
    return f"{said}: not clear of 50%, so no gain over {previous} is shown."


def _score(evaluated: Sequence[dict[str, Any]]) -> str | None:
    trained = [m for m in evaluated if m["name"] != "M0" and m["judge"]["mean_score"] is not None]
    if len(trained) < 2:
        return None
    first, last = trained[0], trained[-1]
    before, after = first["judge"]["mean_score_interval"], last["judge"]["mean_score_interval"]
    judges = {model["name"]: model["judge"]["name"] for model in (first, last)}
    who = "each by its own judge"
    if len(set(judges.values())) == 1:
        who = f"by {last['judge']['name']}"
    elif any(judge != name for name, judge in judges.items()):
        who = ", ".join(f"{name}'s by {judge_name(str(judge), name)}" for name, judge in judges.items())
    span = f"The mean score ({who}) goes from {number(before['value'])} ({first['name']}) to {number(after['value'])} "
    span += f"({last['name']})"
    if after["low"] > before["high"]:
        if gain_is_shown(last):
            return f"{span}, clear of their intervals."
        doubt = "take it for a more generous judge, not for better responses"
        return f"{span}; as the win rate does not bear it out, {doubt}."
    if after["high"] < before["low"]:
        return f"{span}: it fell."
    return f"{span}, but their intervals overlap."


def _grown(evaluated: Sequence[dict[str, Any]]) -> str | None:
    trained = [m for m in evaluated if m["name"] != "M0"]
    growth = length_growth(trained[-1], trained[0]) if len(trained) > 1 else None
    if growth is None or growth <= MAX_LENGTH_GROWTH:
        return None
    return f"{trained[-1]['name']}'s responses are {percent(growth)} longer than {trained[0]['name']}'s."


def truth_said(model: dict[str, Any]) -> str | None:
    truth = model.get("truth")
    if truth is None or truth["value"] is None:
        return None
    said = f"By your own code ({truth['measure']}), {model['name']} is at {interval(truth['value'], as_percent=True)}"
    change = truth["difference"]
    if change is None:
        return f"{said}."
    clear = "clear of 0" if change["low"] > 0 or change["high"] < 0 else "not clear of 0"
    return f"{said}, {points(change)} points against {truth['previous']}, {clear}."


def ranks_said(model: dict[str, Any]) -> str | None:
    pairwise = (model["agreement"] or {}).get("pairwise_ties_half")
    if pairwise is None:
        return None
    rate = interval(pairwise, as_percent=True)
    said = (
        f"{model['name']}'s scores order response pairs as {ranks_in_words(model['agreement'])} do in {rate} of cases"
    )
    if pairwise["low"] <= CHANCE:
        return f"{said}, which is not above chance: what this judge prefers is no evidence of quality."
    if pairwise["n"] < MIN_COMPARISONS:
        return f"{said}, but over {pairwise['n']} prompts only, too few to conclude from."
    return f"{said} (chance: 50%)."
