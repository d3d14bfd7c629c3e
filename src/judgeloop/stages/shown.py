"""What is shown of a stage's rows as soon as they exist: its answers, its judgements. Read in the driver, so nothing
heavy is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from judgeloop.jsonl import each_row, read_objects
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.records import Candidate, Judgement, Prompt
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.samples import Answer, Sample, Samples, draw, last_turn
from judgeloop.stages.context import Context, evaluation_prompts

_FIRST = 2  # answers that are shown while the others are being generated
_ANSWERS = 3
_CANDIDATES = 4
_MEASURED = ("checker", "win_rate", "agreement")  # what the run ends with, too


def samples_of(context: Context, *, finished: bool) -> Samples | None:
    """What the step's stage shows, finished or while it runs; None if that is nothing (yet). Whatever goes wrong in
    looking is no fault of the run: it is said in place of the samples."""
    shows = context.step.stage.shows
    if shows is None:
        return None
    try:
        found: Samples | None = shows(context, finished)
    except Exception as error:
        return Samples(f"{context.step.name}: its samples cannot be shown ({type(error).__name__}: {error})", ())
    return found


def of_evaluation(context: Context, finished: bool) -> Samples | None:
    """The first answers while it runs; at its end its figures and answers with their scores, unless the user's own
    code is asked too: then they come when it has spoken."""
    if not finished:
        return _first_answers(context)
    if context.config.evaluation.checker is not None:
        return None
    return _answers(context.step.model, read_json(context.output()), {})


def of_checks(context: Context, finished: bool) -> Samples | None:
    """The evaluation's figures and samples, with what the user's own code says of all and of each."""
    if not finished:
        return None
    said = {str(row["id"]): row["measures"] for _, row in read_objects(context.output("checks.jsonl"))}
    return _answers(context.step.model, context.json("evaluation"), said, read_json(context.output()).get("metrics"))


def of_judgements(context: Context, finished: bool) -> Samples | None:
    """One prompt with its candidates, the best first."""
    if not finished:
        return None
    found = read_json(context.output("judge"))
    rows: dict[str, list[Candidate]] = {}
    for row in context.each_row("candidates", Candidate):
        rows.setdefault(row.prompt_id, []).append(row)
    drawn = draw(rows, context.config.seed, 1)
    if not drawn:
        return None
    name = drawn[0]
    (prompt,) = (prompt for prompt in context.each_row("prompts", Prompt) if prompt.id == name)
    mine = {row.id for row in rows[name]}
    given = [row for row in each_row(context.output(), Judgement) if row.candidate_id in mine]
    scores = mean_scores(given, context.config.judge.min_valid)
    ordered = sorted(rows[name], key=lambda row: -_or_least(scores.get(row.id)))
    shown = ordered if len(ordered) <= _CANDIDATES else [*ordered[: _CANDIDATES // 2], *ordered[-_CANDIDATES // 2 :]]
    how_many = f"{'its' if shown is ordered else 'the best and the worst of its'} {len(ordered)} candidates"
    answers = [Answer("candidate", row.text, scores.get(row.id)) for row in shown]
    title = f"{context.step.model}: one of {len(rows)} judged prompts, drawn at random, with {how_many}"
    return Samples(
        title, [Sample(last_turn(prompt.messages), answers)], found.get("judge"), _scale(found.get("health"))
    )


def _or_least(score: float | None) -> float:
    return float("-inf") if score is None else score


def _first_answers(context: Context) -> Samples | None:
    path = context.output("eval.responses")
    if not path.exists():
        return None
    data = path.read_bytes()
    firsts: dict[str, str] = {}
    for line in data[: data.rfind(b"\n") + 1].splitlines():  # the last one may be half written
        row = json.loads(line)
        firsts.setdefault(row["prompt_id"], row["text"])
    prompts = {prompt.id: prompt for prompt in evaluation_prompts(context)} if len(firsts) >= _FIRST else {}
    drawn = draw(firsts.keys() & prompts.keys(), context.config.seed, _FIRST)
    if len(drawn) < _FIRST:
        return None
    which = f"{_FIRST} of {len(firsts)}, drawn at random; " if len(firsts) > _FIRST else ""
    title = f"{context.step.model}: its first answers, {which}not judged yet"
    return Samples(
        title,
        [Sample(last_turn(prompts[name].messages), [Answer("answer", firsts[name], judged=False)]) for name in drawn],
    )


def _answers(
    model: str,
    evaluation: Mapping[str, Any],
    said: Mapping[str, Mapping[str, float]],
    checked: Mapping[str, Any] | None = None,
) -> Samples | None:
    kept = (evaluation.get("samples") or [])[:_ANSWERS]
    if not kept:
        return None
    samples = [
        Sample(
            row["prompt"],
            [Answer("answer", row["response"], row["score"], measures=said.get(str(row.get("id")), {}))],
        )
        for row in kept
    ]
    title = f"{model}: answers to {len(samples)} of {evaluation['prompts']} evaluation prompts, drawn at random"
    metrics = {**evaluation.get("metrics", {}), **(checked or {})}
    measured = [metrics[name] for name in _MEASURED if (metrics.get(name) or {}).get("value")]
    return Samples(title, samples, evaluation.get("judge"), _scale(evaluation.get("judge_health")), measured)


def _scale(health: Mapping[str, Any] | None) -> tuple[int, int] | None:
    scale = (health or {}).get("scale")
    return (scale[0], scale[1]) if scale else None
