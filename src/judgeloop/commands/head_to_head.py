"""Two sides, each a model that answers or a file of responses, compared prompt by prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.commands.players import Player, check_model, find_model
from judgeloop.commands.progress import bar
from judgeloop.data.answered import ModelResponse, read_responses
from judgeloop.engines.base import Sampling
from judgeloop.errors import InputError
from judgeloop.evaluation.collect import Pairing, PromptToAnswer, ResumableRows, answers, duels, scored_duels
from judgeloop.evaluation.statistics import as_dict
from judgeloop.evaluation.win_rates import Outcome, length_controlled_rate, win_rate
from judgeloop.judging.reasons import grouped
from judgeloop.records import Message

Prompts = dict[str, list[Message]]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: the option's name, and a model or a file of its responses."""

    option: str
    model: str | None
    file: Path | None

    @property
    def name(self) -> str:
        return self.model if self.model is not None else self.file.stem if self.file is not None else self.option


@dataclass(frozen=True, slots=True)
class Answered:
    """A side's responses by prompt; how many were cut off, if that is known."""

    texts: Mapping[str, str]
    cut_off: int | None


def head_to_head(
    model: Side,
    against: Side,
    judge: Player,
    *,
    prompts: Path | None,
    limit: int | None,
    how: Sampling,
    engine: Mapping[str, Any],
    seed: int,
    resamples: int,
    out: Path | None,
    scored: int | None = None,
) -> dict[str, Any]:
    """Answer, judge in both orders, count; or with `scored` score both responses, each by so many judgements, as a run
    does with `evaluation.compare: scores`. With `out` the responses a model writes are beside it
    (`OUT.model.jsonl`, `OUT.against.jsonl`), so that an interrupted comparison goes on. Raises InputError where a side
    is missing, or where the two have no prompt in common."""
    sides = (model, against)
    _check(sides, prompts)
    left_out: Counter[str] = Counter()
    given = None if prompts is None else _from_file(prompts, left_out)
    files = {side.option: _file(side, given, left_out) for side in sides if side.file is not None}
    asked = _of_responses(files, left_out) if given is None else given
    for side in sides:
        if side.option in files:
            missing = [name for name in asked if name not in files[side.option]]
            left_out.update({f"prompts that {side.name} has no response to": len(missing)} if missing else {})
            asked = {name: messages for name, messages in asked.items() if name in files[side.option]}
    if not asked:
        raise InputError("the two sides have no prompt in common; let both answer the same prompts, word for word")
    asked = dict(list(asked.items())[:limit])

    seconds, answered = 0.0, {}
    for side in sides:
        if side.option in files:
            answered[side.option] = Answered({name: files[side.option][name].text for name in asked}, None)
        else:
            answered[side.option], spent = _answers(side, asked, how, engine, seed, out)
            seconds += spent
    pairings = [
        Pairing(
            name,
            messages,
            answered["model"].texts[name],
            answered["against"].texts[name],
            *_names(name, files.get("model", {}), files.get("against", {})),
        )
        for name, messages in asked.items()
    ]
    settings = {**judge.identity, "compared": [_identity(side, answered[side.option]) for side in sides]}
    with ResumableRows(out, settings) as work, bar("judging", loading=judge.loading) as progress:
        if scored is None:
            rows = list(duels(work, judge.open, pairings, progress).values())
        else:
            rows = list(scored_duels(work, judge.open, pairings, scored, progress).values())
    return {
        "model": model.name,
        "against": against.name,
        "judge": judge.name,
        "compare": "pairwise" if scored is None else "scores",
        **measured(rows, seed, resamples),
        "cut_off": {option: found.cut_off for option, found in answered.items()},
        "left_out": dict(left_out),
        "endpoint": judge.after(),
        "seconds": round(seconds + work.seconds, 1),
        "resumed": work.resumed,
    }


def measured(rows: list[dict[str, Any]], seed: int, resamples: int) -> dict[str, Any]:
    """The figures of duels: counts, win rate, the rate at equal length, mean lengths, how often the first was
    preferred."""
    outcomes: list[Outcome] = [row["outcome"] for row in rows]
    lengths, against = [row["characters"] for row in rows], [row["against_characters"] for row in rows]
    controlled = length_controlled_rate(outcomes, lengths, against, seed=seed, resamples=resamples)
    rate = win_rate(outcomes, seed=seed, resamples=resamples)
    verdicts = [row[order] for row in rows for order in ("shown_first", "shown_second") if order in row]
    reasons = [verdict["reason"] for verdict in verdicts if verdict["better"] is None]
    reasons += [reason for row in rows for reason in row.get("unread", ())]
    sided = [verdict["better"] for verdict in verdicts if verdict["better"] in ("first", "second")]
    return {
        "prompts": len(rows),
        "win": rate.win,
        "tie": rate.tie,
        "lose": rate.lose,
        "unparsed": rate.unparsed,
        "rate": as_dict(rate.rate),
        "length_controlled": None if controlled is None else controlled.as_dict(),
        "mean_characters": {"model": sum(lengths) / len(rows), "against": sum(against) / len(rows)},
        "first_preferred": sided.count("first") / len(sided) if sided else None,
        "unread": grouped(reasons),
    }


def _check(sides: tuple[Side, Side], prompts: Path | None) -> None:
    for side, file in zip(sides, ("responses", "against-responses"), strict=True):
        if (side.model is None) == (side.file is None):
            raise InputError(f"--{side.option}: name a model, or with --{file} a file of responses, and not both")
    if prompts is None and all(side.model is not None for side in sides):
        raise InputError("--prompts: two models need prompts to answer; name a file of them")
    for side in sides:
        if side.model is not None:
            check_model(side.model)


def _file(side: Side, prompts: Prompts | None, left_out: Counter[str]) -> dict[str, ModelResponse]:
    assert side.file is not None
    found, dropped = read_responses(side.file, prompts)
    left_out.update({f"{side.file.name}: {reason}": count for reason, count in dropped.items()})
    return found


def _from_file(path: Path, left_out: Counter[str]) -> Prompts:
    from judgeloop.data.readers import read_prompts

    found, account = read_prompts(path)
    left_out.update({f"{path.name}: {reason}": count for reason, count in account.dropped.items()})
    return {prompt.id: prompt.messages for prompt in found}


def _of_responses(files: Mapping[str, Mapping[str, ModelResponse]], left_out: Counter[str]) -> Prompts:
    """The prompts of the responses given (of the first side where both are files)."""
    first = next(iter(files.values()))
    for other in list(files.values())[1:]:
        alone = sum(name not in first for name in other)
        left_out.update({"responses of the other side to other prompts": alone} if alone else {})
    return {name: given.messages for name, given in first.items()}


def _names(prompt: str, ours: Mapping[str, ModelResponse], theirs: Mapping[str, ModelResponse]) -> tuple[str, str]:
    """What a run's judge called its two responses, if they are of one: so it draws what it writes from the same
    seeds."""
    model, against = (side[prompt].name if prompt in side else "" for side in (ours, theirs))
    return model, f"{against}.vs" if against else ""


def _answers(
    side: Side,
    asked: Mapping[str, list[Message]],
    how: Sampling,
    engine: Mapping[str, Any],
    seed: int,
    out: Path | None,
) -> tuple[Answered, float]:
    assert side.model is not None
    path = None if out is None else out.with_suffix(f".{side.option}.jsonl")
    with ExitStack() as stack:
        model = find_model(side.model, engine, seed, stack)
        settings = {**model.identity, "seed": seed, "max_new_tokens": how.max_new_tokens,
                    "temperature": how.temperature, "top_p": how.top_p}  # fmt: skip
        questions = [PromptToAnswer(name, messages) for name, messages in asked.items()]
        with ResumableRows(path, settings) as work, bar(f"answers of {side.name}", loading=side.model) as progress:
            rows = answers(work, model.load, questions, how, seed, progress)
    cut = sum(row["finish_reason"] == "length" for row in rows.values())
    return Answered({name: row["response"] for name, row in rows.items()}, cut), work.seconds


def _identity(side: Side, answered: Answered) -> dict[str, Any]:
    """Tells whether stored comparisons are of these responses."""
    from judgeloop.records import stable_id

    return {"name": side.name, "responses": stable_id("texts", sorted(answered.texts.items()))}
