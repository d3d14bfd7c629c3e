"""Ground truth of every evaluated model by the user's own code (evaluation.checker).

A step of its own, in a process of its own: what generates, judges or trains never imports the user's file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from judgeloop.config.user_functions import function_of, load_module
from judgeloop.data.readers import read_prompt_rows
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects, write_rows_atomically
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.records import Candidate, Judgement, Prompt, RankedSet
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Stage
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.keys import of
from judgeloop.stages.shown import of_checks

if TYPE_CHECKING:
    from judgeloop.evaluation.ground_truth import CheckedResponse, ResponseChecker

KEY = "evaluation.checker"
Prompts = Mapping[str, tuple[str, dict[str, Any]]]


def checks(context: Context) -> Outcome:
    """Check each response of the model's evaluation, and compare with the model before and with the judge."""
    from judgeloop.evaluation.ground_truth import ground_truth, prompt_means
    from judgeloop.evaluation.metrics import Measured, metric_block

    started = time.monotonic()
    config = context.config
    prompts = prompt_rows(context)
    try:
        checker = load_checker(Path(str(config.evaluation.checker)))
        rows = _checked(context, checker, prompts)
    except InputError:
        # Nothing was made yet. A mended file is another file: the marker would call what it makes stale.
        context.run.marker(context.step, "begun").unlink(missing_ok=True)
        raise
    write_rows_atomically(context.output("checks.jsonl"), [row.as_dict() for row in rows])

    previous = context.maker("previous")
    groups = None if checker.group is None else _groups(prompts, checker.group)
    figures = ground_truth(
        rows,
        seed=config.seed,
        resamples=config.evaluation.bootstrap,
        previous=_read(context.path("previous")) if previous is not None else (),
        scores=mean_scores(context.rows("judgements", Judgement), config.judge.min_valid),
        groups=groups,
    )
    measured = Measured(
        {**figures, "previous": previous},
        previous_model=previous,
        seed=config.seed,
        resamples=config.evaluation.bootstrap,
        numbers={"checker": prompt_means(rows, figures["headline"])},
    )
    write_json(
        context.output(),
        {
            "model": context.step.model,
            "checker": checker.path.name,
            "previous": previous,
            "judge": context.json("evaluation").get("judge"),
            "group": checker.group,
            **figures,
            "metrics": metric_block("checks", measured, config.evaluation.metrics),
            "seconds": round(time.monotonic() - started, 2),
        },
    )
    return Outcome({"rows": len(rows)})


def load_checker(path: Path) -> ResponseChecker:
    """The user's file: its function `check`, and its `GROUP` where it has one. Raises InputError if it is no
    checker."""
    from judgeloop.evaluation.ground_truth import ResponseChecker

    module = load_module(path, KEY)
    check, group = function_of(module, path, "check(prompt, response, finished)", KEY), getattr(module, "GROUP", None)
    if group is not None and not isinstance(group, str):
        raise InputError(f"{KEY}: GROUP in {path} is {group!r}; give the name of a field of the prompts, or leave it")
    return ResponseChecker(path, check, group)


def prompt_rows(context: Context) -> Prompts:
    """Prompt id → where the evaluation prompt is and its row there; id and messages of one held out of the seed."""
    files = context.config.evaluation.prompts
    if not files:
        found = {}
        for ranked in context.rows("held_out", RankedSet):
            # The id is that of the prompt, as the responses name it.
            prompt = Prompt.of(ranked.messages, "held out")
            found[prompt.id] = (f"held_out.jsonl, {ranked.id}", {"id": prompt.id, "messages": ranked.messages})
        return found
    rows: dict[str, tuple[str, dict[str, Any]]] = {}
    for file in files:
        for name, (place, row) in read_prompt_rows(Path(file)).items():
            rows.setdefault(name, (place.source, row))
    return rows


def _checked(context: Context, checker: ResponseChecker, prompts: Prompts) -> list[CheckedResponse]:
    from judgeloop.evaluation.ground_truth import CheckedResponse, check_response, same_measures

    responses = sorted(context.rows("responses", Candidate), key=lambda row: row.id)
    done: list[CheckedResponse] = []
    for response in responses:
        where, prompt = prompts[response.prompt_id]
        finished = response.finish_reason == "stop"
        found = check_response(checker, prompt, response.text, finished=finished, where=where)
        if done:
            same_measures(checker, list(done[0].measures), found, where)
        done.append(CheckedResponse(response.id, response.prompt_id, finished, found))
        context.progress(len(done), len(responses), "")
    return done


def _groups(prompts: Prompts, field: str) -> dict[str, str]:
    """Prompt id → its row's value of the field, as text; prompts without the field are left out."""
    return {
        name: value if isinstance(value := row[field], str) else json.dumps(value, ensure_ascii=False)
        for name, (_, row) in prompts.items()
        if field in row
    }


def _read(path: Path) -> list[CheckedResponse]:
    from judgeloop.evaluation.ground_truth import CheckedResponse

    return [
        CheckedResponse(row["id"], row["prompt_id"], row["finished"], row["measures"]) for _, row in read_objects(path)
    ]


CHECKS = Stage(
    "checks",
    "ground truth by your own code",
    run=checks,
    cost=costs.checks,
    reads=("evaluation", "responses", "judgements", "held_out"),
    may_read=("previous",),
    writes=("checks.json", "checks.jsonl"),
    keys=("seed", *of("evaluation", "checker", "prompts", "bootstrap", "metrics"), "judge.min_valid"),
    measures=True,
    shows=of_checks,
)
