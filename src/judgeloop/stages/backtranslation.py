"""Instruction Backtranslation in a run: texts to segments, two kinds of models, and rows for M1 (arXiv 2308.06259)."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from judgeloop.config import BacktranslationSection, JudgeSamplingSection, JudgeSection
from judgeloop.engines.base import Engine
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
from judgeloop.jsonl import RowLog, read_objects, read_rows, write_rows_atomically
from judgeloop.judging.likelihood import gains
from judgeloop.judging.pointwise import ToJudge, judge, judgement_id, judgements_each
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.chat import Chat
from judgeloop.pairs import mean_scores
from judgeloop.records import Candidate, Judgement, Prompt, SupervisedRow
from judgeloop.run.directory import read_json, write_json
from judgeloop.stages.contamination import evaluated_on, evaluation_sets
from judgeloop.stages.context import Context, Outcome, last_words, sampling
from judgeloop.stages.generation import respond
from judgeloop.stages.training import fine_tune


def segments(context: Context) -> Outcome:
    """Read the texts, cut them into segments, keep those that may serve as a response."""
    section = context.config.backtranslation
    found = segments_of(section.texts, section.text_key, section.segments, context.config.seed)
    write_rows_atomically(context.folder / "segments.jsonl", [dataclasses.asdict(row) for row in found.kept])
    write_json(context.folder / "segments.json", found.account)
    return Outcome(("segments.jsonl",), {"rows": len(found.kept)})


def backward(context: Context) -> Outcome:
    """The backward model: SFT of M0 on the seed's IFT rows turned round."""
    section = context.config.backtranslation
    rows, dropped = reversed_rows(_seed_rows(context), section.language)
    outcome = _train(context, rows)
    return Outcome(outcome.files, {**outcome.account, "not_reversed": dropped})


def labels(context: Context) -> Outcome:
    """The backward model writes instructions for every segment."""
    section = context.config.backtranslation
    chat = context.chat()
    asked = []
    for segment in read_segments(context.folder / "segments.jsonl"):
        messages = backward_messages(segment.text, section.language)
        asked.append((Prompt(segment.id, messages, segment.source), tuple(chat.prompt_ids(messages))))
    path = context.folder / "labels.jsonl"
    tokens = respond(
        context,
        path,
        lambda: _engine(context, "backward", chat),
        asked,
        section.samples,
        sampling(section.sampling),
        purpose="labels",
    )
    read = sum(len(ids) for _, ids in asked)
    return Outcome(("labels.jsonl",), {"rows": len(asked) * section.samples, "tokens": tokens, "prompt_tokens": read})


def labelled(context: Context) -> Outcome:
    """Filter the instructions; what is left makes a pair with its segment."""
    config, folder = context.config, context.folder
    seed = [last_words(row.prompt) for row in _seed_rows(context)]
    gate = Gate(config.prompts, avoid=evaluated_on(context), evaluation_sets=evaluation_sets(context))
    texts = {segment.id: (segment.text, segment.source) for segment in read_segments(folder / "segments.jsonl")}
    written = read_rows(folder / "labels.jsonl", Candidate)
    rows, account = labelled_rows(written, texts, gate, config.backtranslation, seed)
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in account["dropped"].items())
        raise InputError(
            f"backtranslation: no instruction is left of {len(written)} ({reasons}); "
            "raise backtranslation.samples, give more seed rows, or train the backward model longer"
        )
    write_rows_atomically(folder / "labelled.jsonl", rows)
    write_json(folder / "labelled.json", account)
    return Outcome(("labelled.jsonl",), {"rows": len(rows)})


def forward(context: Context) -> Outcome:
    """The forward model of a round: SFT of M0 on the seed's IFT rows and what the round before kept."""
    seed_prompt = system_prompts(context.config.backtranslation)[0]
    rows = [with_system(row, seed_prompt) for row in _seed_rows(context)]
    done = _number(context)
    if done:
        rows += read_rows(context.folder / f"curated.{done}.jsonl", SupervisedRow)
    return _train(context, rows)


def scores(context: Context) -> Outcome:
    """The round's forward model scores every pair."""
    config, folder, t = context.config, context.folder, _number(context)
    section = config.backtranslation
    rows = read_rows(folder / "labelled.jsonl", SupervisedRow)
    items = [ToJudge(row.id, row.prompt, row.completion[0]["content"]) for row in rows]
    # The scorer is asked as an assistant, under the system prompt that its seed rows had.
    chat = context.chat(system_prompt=system_prompts(section)[0])
    how = None if section.curation.scoring == "likelihood" else _judge_section(section)
    rubric = _rubric(how) if how is not None else None
    samples = judgements_each(how) if how is not None else 1
    path = folder / f"scores.{t}.jsonl"
    with RowLog(path) as log:
        have = {row.id for row in read_rows(path, Judgement)}
        owed = [item for item in items if any(judgement_id(item.id, k) not in have for k in range(samples))]
        done, total = len(have), len(items) * samples
        if owed:
            engine = _engine(context, f"forward.{t - 1}", chat)
            if how is not None and rubric is not None:
                given = judge(engine, chat, rubric, how, owed, config.seed)
            else:
                given = gains(engine, chat, owed, empty_request(section.language))
            for row in given:
                if row.id in have:
                    continue
                log.append([row])
                done += 1
                context.progress(done, total, "")
            engine.close()
    found = read_rows(path, Judgement)
    missing = Counter(row.reason for row in found if row.score is None)
    return Outcome((path.name,), {"rows": len(found), "without_score": dict(missing)})


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
    folder, t = context.folder, _number(context)
    rows = read_rows(folder / "labelled.jsonl", SupervisedRow)
    given = mean_scores(read_rows(folder / f"scores.{t}.jsonl", Judgement))
    kept, account = curate(rows, given, context.config.backtranslation)
    if not kept:
        found = account["quantiles"].get("most")
        raise InputError(
            f"backtranslation: no pair was kept in round {t} of {account['scored']} scored (rule: {account['rule']}; "
            f"highest score: {'none' if found is None else f'{found:g}'}); lower backtranslation.threshold, "
            "or set backtranslation.keep: top_share"
        )
    name = f"curated.{t}.jsonl"
    write_rows_atomically(folder / name, [{**dataclasses.asdict(pair.row), "score": pair.score} for pair in kept])
    return Outcome((name,), {**account, "rows": len(kept)})


def backtranslated(context: Context) -> Outcome:
    """Hand over the last round's rows, write the account of the whole method, and remove the weights that served it
    where the config says so."""
    run, folder, section = context.run, context.folder, context.config.backtranslation
    rows = [row for _, row in read_objects(folder / f"curated.{section.rounds}.jsonl")]
    markers = {
        name: read_json(run.marker(step, "done"))
        for name, step in run.steps.items()
        if step.model == context.step.model and run.marker(step, "done").exists()
    }

    def marker(stage: str) -> dict[str, Any]:
        return markers[f"{context.step.model}/{stage}"]

    trained = ["backward", *(f"forward.{t}" for t in range(section.rounds))]
    rounds = range(1, section.rounds + 1)
    stages = ["segments", "labels", "labelled", *trained]
    stages += [f"{stage}.{t}" for stage in ("scores", "curate") for t in rounds]
    account = {
        "segments": read_json(folder / "segments.json"),
        "labels": {**read_json(folder / "labelled.json"), "prompt_tokens": marker("labels")["prompt_tokens"]},
        "not_reversed": marker("backward")["not_reversed"],
        "rounds": [{**_numbers(marker(f"curate.{t}")), "scoring": _numbers(marker(f"scores.{t}"))} for t in rounds],
        "kept": len(rows),
        "models": {
            name: {key: read_json(folder / name / "train.json")[key] for key in ("rows", "dropped", "steps", "tokens")}
            for name in trained
        },
        "seconds": {stage: marker(stage)["seconds"] for stage in stages},
    }
    for name in trained:
        account["models"][name] |= {"megabytes": _megabytes(folder / name), "weights_kept": section.keep_models}
    write_rows_atomically(folder / "backtranslated.jsonl", rows)
    write_json(folder / "backtranslation.json", account)
    if not section.keep_models:
        for name in trained:
            shutil.rmtree(folder / name / "model", ignore_errors=True)
            shutil.rmtree(folder / name / "engine", ignore_errors=True)
    return Outcome(("backtranslated.jsonl", "backtranslation.json"), {"rows": len(rows)})


def _seed_rows(context: Context) -> list[SupervisedRow]:
    return read_rows(context.folder / "ift.jsonl", SupervisedRow)


def _number(context: Context) -> int:
    """The number in the step's name: 2 for scores.2."""
    return int(context.step.stage.partition(".")[2])


def _train(context: Context, rows: list[SupervisedRow]) -> Outcome:
    """A model of the method's own, in a folder named after its step."""
    folder = context.folder / context.step.artifact
    folder.mkdir(exist_ok=True)
    return fine_tune(context, rows, folder, context.config.backtranslation.sft)


def _engine(context: Context, name: str, chat: Chat) -> Engine:
    """A model of the method's own, loaded."""
    from judgeloop.engines import open_engine

    folder = context.folder / name
    if not (folder / "model" / "config.json").is_file():
        raise InputError(
            f"{folder}: its weights were removed (backtranslation.keep_models is false) and are needed again; "
            f"make them anew with --redo {context.step.model}/{name}"
        )
    return open_engine(
        context.config.engine,
        folder / "model",
        chat,
        work_dir=folder / "engine",
        threads=context.config.threads,
        seed=context.config.seed,
        trust_remote_code=context.config.trust_remote_code,
    )


def _numbers(marker: dict[str, Any]) -> dict[str, Any]:
    """A done-marker's account, without what every marker has."""
    common = ("stage", "fingerprint", "settings", "inputs", "finished", "files", "rows")
    return {key: value for key, value in marker.items() if key not in common}


def _megabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)
