"""Instruction Backtranslation in a run: texts to segments, two kinds of models, and rows for M1 (arXiv 2308.06259)."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from judgeloop.config import BacktranslationSection, JudgeSamplingSection, JudgeSection
from judgeloop.errors import InputError
from judgeloop.instructions.backtranslation.curation import curate
from judgeloop.instructions.backtranslation.labelled_rows import labelled_rows
from judgeloop.instructions.backtranslation.segments import read_segments, segments_of
from judgeloop.instructions.backtranslation.training_rows import (
    backward_messages,
    empty_request,
    reversed_rows,
    system_prompts,
    with_system,
)
from judgeloop.instructions.gate import Gate
from judgeloop.jsonl import append_missing, read_objects, read_rows, write_rows_atomically
from judgeloop.judging.likelihood import gains
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pointwise import ToJudge, judge, judgement_id, judgements_each
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.records import Candidate, Judgement, Prompt, SupervisedRow
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.run.stage import Artifact, Stage
from judgeloop.stages import costs
from judgeloop.stages.contamination import evaluated_on, evaluation_sets
from judgeloop.stages.context import Context, Outcome, last_words, sampling
from judgeloop.stages.fitting import fitting
from judgeloop.stages.generation import respond
from judgeloop.stages.keys import ENGINE, FILTERS, of
from judgeloop.stages.training import fine_tune, recover


def segments(context: Context) -> Outcome:
    """Read the texts, cut them into segments, keep those that may serve as a response."""
    section = context.config.backtranslation
    found = segments_of(section.texts, section.text_key, section.segments, context.config.seed)
    write_rows_atomically(context.output(), [dataclasses.asdict(row) for row in found.kept])
    write_json(context.output("segments.json"), found.account)
    return Outcome({"rows": len(found.kept)})


def backward(context: Context) -> Outcome:
    """The backward model: SFT of M0 on the seed's IFT rows turned round."""
    section = context.config.backtranslation
    rows, dropped = reversed_rows(context.rows("ift", SupervisedRow), section.language)
    outcome = recover(context) or fine_tune(context, rows, section.sft)
    return Outcome({**outcome.account, "not_reversed": dropped})


def labels(context: Context) -> Outcome:
    """The backward model writes instructions for every segment."""
    section = context.config.backtranslation
    model = context.model("backward")
    chat = model.chat()
    orders = [
        Prompt(segment.id, backward_messages(segment.text, section.language), segment.source)
        for segment in read_segments(context.path("segments"))
    ]
    what = f"{context.step.name}: segments"
    asked, left_out = fitting(model.name, chat, orders, section.sampling.max_new_tokens, what)
    tokens = respond(
        context,
        context.output(),
        lambda: model.open(chat),
        chat,
        asked,
        section.samples,
        sampling(section.sampling),
        purpose="labels",
    )
    read = sum(len(ids) for _, ids in asked)
    rows = len(asked) * section.samples
    account = {"rows": rows, "tokens": tokens, "prompt_tokens": read}
    return Outcome({**account, **({"segments_left_out": left_out} if left_out else {})})


def labelled(context: Context) -> Outcome:
    """Filter the instructions; what is left makes a pair with its segment."""
    config = context.config
    seed = [last_words(row.prompt) for row in context.rows("ift", SupervisedRow)]
    gate = Gate(config.prompts, avoid=evaluated_on(context), evaluation_sets=evaluation_sets(context))
    texts = {segment.id: (segment.text, segment.source) for segment in read_segments(context.path("segments"))}
    written = context.rows("labels", Candidate)
    rows, account = labelled_rows(written, texts, gate, config.backtranslation, seed)
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in account["dropped"].items())
        raise InputError(
            f"backtranslation: no instruction is left of {len(written)} ({reasons}); "
            "raise backtranslation.samples, give more seed rows, or train the backward model longer"
        )
    write_rows_atomically(context.output(), rows)
    write_json(context.output("labelled.json"), account)
    return Outcome({"rows": len(rows)})


def forward(context: Context) -> Outcome:
    """The forward model of a round: SFT of M0 on the seed's IFT rows and what the round before kept."""
    section = context.config.backtranslation
    seed_prompt = system_prompts(section)[0]
    rows = [with_system(row, seed_prompt) for row in context.rows("ift", SupervisedRow)]
    return fine_tune(context, [*rows, *context.rows("curated", SupervisedRow)], section.sft)


def scores(context: Context) -> Outcome:
    """The round's forward model scores every pair."""
    config = context.config
    section = config.backtranslation
    rows = context.rows("labelled", SupervisedRow)
    items = [ToJudge(row.id, row.prompt, row.completion[0]["content"]) for row in rows]
    # The scorer is asked as an assistant, under the system prompt that its seed rows had.
    model = context.model("forward")
    chat = model.chat(system_prompt=system_prompts(section)[0])
    how = None if section.curation.scoring == "likelihood" else _judge_section(section)
    rubric = _rubric(how) if how is not None else None
    samples = judgements_each(how) if how is not None else 1

    def scored(owed: Sequence[ToJudge]) -> Iterator[Judgement]:
        engine = model.open(chat)
        if how is not None and rubric is not None:
            yield from judge(engine, chat, rubric, how, owed, config.seed)
        else:
            yield from gains(engine, chat, owed, empty_request(section.language))
        engine.close()

    append_missing(
        context.output(),
        Judgement,
        items,
        lambda item: [judgement_id(item.id, k) for k in range(samples)],
        scored,
        lambda done, total: context.progress(done, total, ""),
    )
    found = read_rows(context.output(), Judgement)
    missing = Counter(row.reason for row in found if row.score is None)
    return Outcome({"rows": len(found), "without_score": dict(missing)})


def _judge_section(section: BacktranslationSection) -> JudgeSection:
    """The curation's keys as the judge takes them."""
    wanted = section.curation
    return JudgeSection(
        rubric=wanted.rubric,
        language=section.language,
        scoring="sampled" if wanted.scoring == "sampled" else "expected",
        samples=wanted.samples,
        sampling=JudgeSamplingSection(**wanted.sampling.model_dump()),
        min_mass=wanted.min_mass,
    )


def _rubric(how: JudgeSection) -> Rubric:
    rubric = load_rubric(how.rubric, how.language)
    if (rubric.low, rubric.high) != (1, 5):
        raise InputError(
            f"backtranslation.curation.rubric: '{how.rubric}' scores {rubric.low} to {rubric.high}, not 1 to 5; choose "
            "curation-5-direct, curation-5, or a template with '#: scores = 1-5'"
        )
    return rubric


def curated(context: Context) -> Outcome:
    """Keep the best pairs of a round."""
    rows = context.rows("labelled", SupervisedRow)
    given = mean_scores(context.rows("scores", Judgement))
    kept, account = curate(rows, given, context.config.backtranslation)
    if not kept:
        found = account["quantiles"].get("most")
        raise InputError(
            f"backtranslation: no pair was kept in round {context.step.number} of {account['scored']} scored "
            f"(rule: {account['rule']}; "
            f"highest score: {'none' if found is None else f'{found:g}'}); lower backtranslation.threshold, "
            "or set backtranslation.keep: top_share"
        )
    write_rows_atomically(context.output(), [{**dataclasses.asdict(pair.row), "score": pair.score} for pair in kept])
    return Outcome({**account, "rows": len(kept)})


TOLD = ("rows", "dropped", "steps", "tokens")  # of a training, in the account of the whole method


def backtranslated(context: Context) -> Outcome:
    """Hand over the last round's rows, write the account of the whole method, and remove the weights that served it
    where the config says so."""
    run, section = context.run, context.config.backtranslation
    rows = [row for _, row in read_objects(context.path("curated"))]
    making = [run.steps[given.step] for given in context.step.given["making"] if isinstance(given, Artifact)]
    markers = {step.label: read_json(run.marker(step, "done")) for step in making}
    trained = {step.label: run.weights(step) for step in making if step.weights is not None}
    labelled = next(run.artifact(step.name) for step in making if step.stage is LABELLED)
    segments = next(run.artifact(step.name) for step in making if step.stage is SEGMENTS)
    rounds = range(1, section.rounds + 1)
    account = {
        "segments": read_json(segments.with_suffix(".json")),
        "labels": {**read_json(labelled.with_suffix(".json")), "prompt_tokens": markers["labels"]["prompt_tokens"]},
        "not_reversed": markers["backward"]["not_reversed"],
        "rounds": [{**_numbers(markers[f"curate.{t}"]), "scoring": _numbers(markers[f"scores.{t}"])} for t in rounds],
        "kept": len(rows),
        "models": {
            name: {
                **{key: said[key] for key in TOLD},
                "megabytes": _megabytes(folder.parent),
                "weights_kept": section.keep_models,
            }
            for name, folder in trained.items()
            if (said := read_json(folder.with_name("train.json"), needs=TOLD))
        },
        "seconds": {name: marker["seconds"] for name, marker in markers.items()},
    }
    write_rows_atomically(context.output(), rows)
    write_json(context.output("backtranslation"), account)
    if not section.keep_models:
        for folder in trained.values():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(folder.with_name("engine"), ignore_errors=True)
    return Outcome({"rows": len(rows)})


def _numbers(marker: dict[str, Any]) -> dict[str, Any]:
    """A done-marker's account, without what every marker has."""
    common = ("stage", "title", "order", "fingerprint", "settings", "inputs", "finished", "files", "rows")
    return {key: value for key, value in marker.items() if key not in common}


def _megabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


SHARED = ("seed", *of("backtranslation", "language", "sft"))
PROMPTS = of("backtranslation", "language", "seed_system_prompt", "augmented_system_prompt")
SEGMENTS = Stage(
    "segments",
    "texts into segments",
    run=segments,
    cost=costs.segments,
    writes=("segments.jsonl", "segments.json"),
    keys=("seed", *of("backtranslation", "texts", "text_key", "segments")),
)
BACKWARD = Stage(
    "backward",
    "backward model: text to instruction",
    run=backward,
    cost=costs.backward,
    reads=("policy", "ift"),
    writes=("backward", "backward/train.json"),
    keys=SHARED,
    trains="backtranslation.sft",
    weights="backward/model",
)
LABELS = Stage(
    "labels",
    "instructions for the segments",
    run=labels,
    cost=costs.labels,
    reads=("segments", "backward"),
    writes=("labels.jsonl",),
    keys=("seed", *of("backtranslation", "language", "samples", "sampling"), *ENGINE),
)
LABELLED = Stage(
    "labelled",
    "filter instructions",
    run=labelled,
    cost=costs.labelled,
    reads=("segments", "labels", "ift", "held_out"),
    writes=("labelled.jsonl", "labelled.json"),
    keys=(*FILTERS, *of("evaluation", "prompts", "ifeval"), "backtranslation.max_copied"),
)
FORWARD = Stage(
    "forward",
    "forward model: scores pairs",
    run=forward,
    cost=costs.forward,
    reads=("policy", "ift"),
    may_read=("curated",),
    writes=("forward.{number}", "forward.{number}/train.json"),
    keys=(*SHARED, *of("backtranslation", "seed_system_prompt")),
    trains="backtranslation.sft",
    weights="forward.{number}/model",
    recover=recover,
)
SCORES = Stage(
    "scores",
    "scores of instruction and text",
    run=scores,
    cost=costs.scores,
    reads=("forward", "labelled"),
    writes=("scores.{number}.jsonl",),
    keys=("seed", "backtranslation.curation", *PROMPTS[:2], *ENGINE),
)
CURATE = Stage(
    "curate",
    "keep the best pairs",
    run=curated,
    cost=costs.curated,
    reads=("labelled", "scores"),
    writes=("curated.{number}.jsonl",),
    keys=(*of("backtranslation", "keep", "threshold", "top_share"), *PROMPTS),
    light=True,
)
BACKTRANSLATED = Stage(
    "backtranslated",
    "backtranslated rows",
    run=backtranslated,
    cost=costs.backtranslated,
    reads=("curated", "making"),
    writes=("backtranslated.jsonl", "backtranslation.json"),
    light=True,
)
