"""`judgeloop eval`: a judge against ranks, two models head to head, instructions that a program can check."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from judgeloop.commands.arguments import (
    AsJson,
    Concurrency,
    Endpoint,
    EngineKeys,
    EngineName,
    JudgeLanguage,
    JudgeRubric,
    JudgeScoring,
    KeyVariable,
    Scoring,
    Timeout,
)
from judgeloop.errors import InputError

if TYPE_CHECKING:
    from judgeloop.commands.players import Player
    from judgeloop.records import Judgement, RankedSet

eval_app = typer.Typer(help="Measure a judge or a model.", no_args_is_help=True)

Out = Annotated[Path | None, typer.Option(help="rows as they finish; given again, the command goes on with them")]
Limit = Annotated[int | None, typer.Option(min=1, help="use only the first N prompts")]
Seed = Annotated[int, typer.Option(help="every random choice derives from it")]
Resamples = Annotated[int, typer.Option(min=1, help="bootstrap resamples of the intervals")]
MinMass = Annotated[
    float | None, typer.Option(min=0, max=1, help="probability that the possible answers need together [0.5]")
]
Temperature = Annotated[float, typer.Option(min=0, help="0 is greedy")]
TopP = Annotated[float, typer.Option(min=0.001, max=1, help="nucleus sampling; 1 switches it off")]


@eval_app.command()
def agreement(
    in_: Annotated[Path, typer.Option("--in", help="ranked responses a line, or Open Assistant trees")],
    model: Annotated[str | None, typer.Option(help="the judge: a folder, a hub id, an alias, or an endpoint's")] = None,
    scored: Annotated[bool, typer.Option(help="the responses hold a 'score' already: no judge is asked")] = False,
    scoring: JudgeScoring = None,
    samples: Annotated[int | None, typer.Option(min=1, help="K, judgements a response (sampled) [3]")] = None,
    rubric: JudgeRubric = None,
    language: JudgeLanguage = None,
    limit: Limit = None,
    turns: Annotated[Literal["first", "all"], typer.Option(help="of trees: the first turn, or all")] = "first",
    lang: Annotated[str | None, typer.Option(help="of trees: messages of this language only, such as en")] = None,
    perfect: Annotated[
        float | None,
        typer.Option(help="score from which a response counts as a 5; default: the highest; expected: 0.5 below"),
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="of written judgements; 0 is greedy [0.7]")] = None,
    top_p: Annotated[float | None, typer.Option(min=0.001, max=1, help="nucleus sampling; 1 is without [0.9]")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="tokens of a written judgement [200]")] = None,
    min_mass: MinMass = None,
    engine: EngineName = None,
    overrides: EngineKeys = None,
    endpoint: Endpoint = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    concurrency: Concurrency = 8,
    timeout: Timeout = 120.0,
    seed: Seed = 0,
    resamples: Resamples = 1000,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """A judge against ranked responses: pairwise accuracy, 5-best, exact match, Spearman, Kendall, with intervals."""
    from judgeloop.commands.engine_choice import engine_options
    from judgeloop.commands.evaluation_text import print_agreement
    from judgeloop.commands.players import endpoint_of, find_judge, judge_config
    from judgeloop.evaluation.agreement import agreement as measure
    from judgeloop.evaluation.health import near_top
    from judgeloop.judging.pointwise import judgements_each
    from judgeloop.judging.reasons import grouped
    from judgeloop.records import MAX_SCORE

    config = judge_config(
        None if scored else model, endpoint, scoring=scoring, rubric=rubric, language=language, samples=samples,
        temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens, min_mass=min_mass,
    )  # fmt: skip
    running = engine_options(engine, overrides)
    about: dict[str, Any] = {"eval": "agreement", "input": str(in_)}
    if scored:
        from judgeloop.data.answered import read_scored

        if model is not None or endpoint is not None:
            raise InputError("--scored: the scores are in the file, so no judge is asked; leave out --model")
        sets = read_scored(in_)[:limit]
        rows = [(entry.scores, entry.ranks) for entry in sets]
        about |= {"judge": "the scores in the file"}
        scale, expected = (0, MAX_SCORE), False
    else:
        from judgeloop.data.readers import read_ranked

        ranked, account = read_ranked(in_, turns, lang)
        ranked = ranked[:limit]
        with ExitStack() as stack:
            place = endpoint_of(endpoint, key_variable, concurrency, timeout)
            player = find_judge(model, stack, config=config, compares=False, endpoint=place, engine=running, seed=seed)
            given, more = _scores(player, ranked, judgements_each(config), out)
        scores = _means(given)
        rows = [
            (
                [scores.get(f"{entry.id}.{k}") for k in range(len(entry.responses))],
                [float(response["rank"]) for response in entry.responses],
            )
            for entry in ranked
        ]
        unread = grouped(row.reason for row in given)
        about |= {"judge": player.name, "made_by": _shown(player.identity), "dropped": account.dropped, **more}
        about |= {"judgements": len(given), "unread": unread}
        scale, expected = (player.rubric.low, player.rubric.high), config.scoring == "expected"
    if perfect is None:
        perfect = near_top(scale) if expected else float(scale[1])
    measured = measure(rows, seed=seed, resamples=resamples, perfect=perfect).as_dict()
    counts = {key: measured.pop(key) for key in ("prompts", "responses", "missing")}
    found = {**about, "perfect": perfect, **counts, "metrics": measured}
    _answer(found, as_json, print_agreement)


@eval_app.command()
def winrate(
    model: Annotated[str | None, typer.Option(help="a model that answers the prompts")] = None,
    against: Annotated[str | None, typer.Option(help="the model it is compared with")] = None,
    responses: Annotated[
        Path | None, typer.Option(help="instead of --model: its responses, {prompt, response}")
    ] = None,
    against_responses: Annotated[Path | None, typer.Option(help="instead of --against: its responses")] = None,
    prompts: Annotated[Path | None, typer.Option(help="prompts to answer; default: those of the responses")] = None,
    judge: Annotated[str | None, typer.Option(help="who judges: a folder, a hub id, an alias, an endpoint's")] = None,
    compare: Annotated[
        Literal["pairwise", "scores"],
        typer.Option(help="show the judge both responses, in both orders; or let it score each by itself"),
    ] = "pairwise",
    written: Annotated[bool, typer.Option(help="read the verdict from what a judge writes, not its odds")] = False,
    scoring: Annotated[Scoring | None, typer.Option(help="scores: expected (default: as learnt), or K written")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="scores: K, judgements a response if written")] = None,
    rubric: Annotated[str | None, typer.Option(help="scores: a shipped rubric or a file [as learnt]")] = None,
    justification: Annotated[bool, typer.Option(help="scores: the judge justifies itself before the score")] = False,
    judge_temperature: Annotated[float | None, typer.Option(min=0, help="scores: of written judgements")] = None,
    judge_top_p: Annotated[float | None, typer.Option(min=0.001, max=1, help="scores: of written judgements")] = None,
    language: JudgeLanguage = None,
    limit: Limit = None,
    temperature: Temperature = 0.7,
    top_p: TopP = 0.9,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="tokens of a response")] = 512,
    verdict_tokens: Annotated[int, typer.Option(min=1, help="tokens of a written verdict")] = 200,
    min_mass: MinMass = None,
    engine: EngineName = None,
    overrides: EngineKeys = None,
    endpoint: Endpoint = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    concurrency: Concurrency = 8,
    timeout: Timeout = 120.0,
    seed: Seed = 0,
    resamples: Resamples = 1000,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Two models head to head, in both orders or by their scores: win, tie, lose, and the rate at equal length."""
    from judgeloop.commands.engine_choice import engine_options
    from judgeloop.commands.evaluation_text import advice, nothing_read, print_win_rate
    from judgeloop.commands.head_to_head import Side, head_to_head
    from judgeloop.commands.players import endpoint_of, find_judge, judge_config
    from judgeloop.engines.base import Sampling
    from judgeloop.judging.pointwise import judgements_each

    by_scores = compare == "scores"
    of_scores = {"--scoring": scoring, "--samples": samples, "--rubric": rubric, "--justification": justification,
                 "--judge-temperature": judge_temperature, "--judge-top-p": judge_top_p}  # fmt: skip
    unused = [option for option, value in of_scores.items() if value not in (None, False)]
    if unused and not by_scores:
        raise InputError(f"{unused[0]}: a judge that compares two responses gives no scores; add --compare scores")
    if written and by_scores:
        raise InputError("--written: is about verdicts; with --compare scores say --scoring sampled")
    config = judge_config(
        judge, endpoint, scoring=scoring, rubric=rubric, language=language, samples=samples,
        temperature=judge_temperature, top_p=judge_top_p, max_new_tokens=verdict_tokens, min_mass=min_mass,
        justification=justification or None,
    )  # fmt: skip
    running = engine_options(engine, overrides)
    with ExitStack() as stack:
        place = endpoint_of(endpoint, key_variable, concurrency, timeout)
        player = find_judge(
            judge, stack, config=config, compares=not by_scores, endpoint=place, engine=running, seed=seed,
            written=written,
        )  # fmt: skip
        found = head_to_head(
            Side("model", model, responses),
            Side("against", against, against_responses),
            player,
            prompts=prompts,
            limit=limit,
            how=Sampling(max_new_tokens, temperature, top_p),
            engine=running,
            seed=seed,
            resamples=resamples,
            out=out,
            scored=judgements_each(config) if by_scores else None,
        )
    told = {"eval": "winrate", **found, "advice": advice(found), "made_by": _shown(player.identity)}
    _answer(told, as_json, print_win_rate)
    if found["rate"] is None:
        raise InputError(nothing_read(found))


@eval_app.command()
def ifeval(
    model: Annotated[str, typer.Option(help="a folder, a hub id or an alias")],
    prompts: Annotated[
        Path | None, typer.Option(help="prompts in IFEval's format; default: IFEval from the hub")
    ] = None,
    limit: Limit = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="tokens of a response")] = 1024,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    engine: EngineName = None,
    overrides: EngineKeys = None,
    seed: Seed = 0,
    resamples: Resamples = 1000,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Instructions that a program can check (IFEval): strict and loose, by prompt and by instruction."""
    from judgeloop.commands.engine_choice import engine_options
    from judgeloop.commands.evaluation_text import print_ifeval
    from judgeloop.commands.players import find_model
    from judgeloop.commands.progress import bar
    from judgeloop.engines.base import Sampling
    from judgeloop.evaluation.collect import PromptToAnswer, ResumableRows, answers
    from judgeloop.evaluation.verifiable import InstructionChecker, published, summarise
    from judgeloop.jsonl import write_rows_atomically

    checker = InstructionChecker()
    if prompts is None:
        asked = published()
    else:
        from judgeloop.evaluation.ifeval_prompts import read_verifiable

        asked = read_verifiable(prompts)
    asked = asked[:limit]
    how = Sampling(max_new_tokens, temperature, top_p)
    with ExitStack() as stack:
        player = find_model(model, engine_options(engine, overrides), seed, stack)
        settings = {**player.identity, **_sampling(how), "seed": seed}
        questions = [PromptToAnswer(entry.id, [{"role": "user", "content": entry.prompt}]) for entry in asked]
        with ResumableRows(out, settings) as work, bar("answering", loading=model) as progress:
            given = answers(work, player.load, questions, how, seed, progress)
        seconds, resumed = work.seconds, work.resumed
    checked = [checker.check(entry, given[entry.id]["response"]) for entry in asked]
    if out is not None:
        write_rows_atomically(out, (
            {**given[entry.id], "prompt": entry.prompt, "instructions": [c.as_dict() for c in row]}
            for entry, row in zip(asked, checked, strict=True)
        ))  # fmt: skip
    found = {
        "eval": "ifeval",
        "model": model,
        **summarise(checked, seed=seed, resamples=resamples),
        "max_new_tokens": max_new_tokens,
        "cut_off": sum(row["finish_reason"] == "length" for row in given.values()),
        "tokens": sum(row["tokens"] for row in given.values()),
        "made_by": settings,
        "seconds": round(seconds, 1),
        "resumed": resumed,
    }
    _answer(found, as_json, print_ifeval)


def _scores(
    player: Player, ranked: Iterable[RankedSet], each: int, out: Path | None
) -> tuple[list[Judgement], dict[str, Any]]:
    """The judge's judgements of all responses, and how they came about."""
    from judgeloop.commands.progress import bar
    from judgeloop.evaluation.collect import ResumableRows, judgements
    from judgeloop.judging.pointwise import ToJudge

    items = [
        ToJudge(f"{entry.id}.{k}", entry.messages, response["text"])
        for entry in ranked
        for k, response in enumerate(entry.responses)
    ]
    with ResumableRows(out, player.identity) as work, bar("judging", loading=player.loading) as progress:
        given = judgements(work, player.open, items, each, progress)
    return given, {"seconds": round(work.seconds, 1), "resumed": work.resumed, "endpoint": player.after()}


def _means(rows: Iterable[Judgement]) -> dict[str, float]:
    """Mean over the judgements of a response that could be read."""
    valid: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None:
            valid.setdefault(row.candidate_id, []).append(row.score)
    return {name: sum(values) / len(values) for name, values in valid.items()}


def _sampling(how: Any) -> dict[str, Any]:
    return {"max_new_tokens": how.max_new_tokens, "temperature": how.temperature, "top_p": how.top_p}


def _shown(identity: Any) -> dict[str, Any]:
    """What made the rows, the rubric's text left out."""
    return {key: value for key, value in identity.items() if key != "template"}


def _answer(found: dict[str, Any], as_json: bool, show: Any) -> None:
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        show(found)
