"""`judgeloop judge`: the judge alone, on the user's own rows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from judgeloop.commands.arguments import (
    AsJson,
    Concurrency,
    Endpoint,
    EngineName,
    JudgeLanguage,
    JudgeRubric,
    JudgeScoring,
    KeyVariable,
    Overrides,
    Timeout,
)
from judgeloop.errors import InputError

if TYPE_CHECKING:
    from judgeloop.config import Config
    from judgeloop.engines.base import Engine
    from judgeloop.engines.openai import OpenAiEngine
    from judgeloop.judging.endpoint_judge import EndpointJudge
    from judgeloop.judging.rubric import Rubric
    from judgeloop.judging.score_rows import Summary
    from judgeloop.models.chat import Chat

_SECTIONS = ("judge", "engine", "endpoint")
_KEYS = ("seed", "threads", "revision", "trust_remote_code", "chat_template", "system_prompt")
_OF_RUNS = ("judge.role", "judge.meta")


def judge(
    model: Annotated[str, typer.Option(help="the judge: a folder, a hub id, an alias, or an endpoint's")],
    in_: Annotated[Path, typer.Option("--in", help="rows with a prompt and an answer: JSONL, JSON, CSV, Parquet …")],
    out: Annotated[Path, typer.Option(help="the rows with score and samples; an unfinished one goes on")],
    scoring: JudgeScoring = None,
    samples: Annotated[int | None, typer.Option(min=1, help="K, judgements a row if they are written [3]")] = None,
    rubric: JudgeRubric = None,
    language: JudgeLanguage = None,
    justification: Annotated[
        bool | None,
        typer.Option("--justification/--no-justification", help="expected: after a written justification"),
    ] = None,
    engine: EngineName = None,
    endpoint: Endpoint = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    concurrency: Concurrency = 8,
    timeout: Timeout = 120.0,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Score rows of prompt and response with a model: adds score and samples, keeps the other fields and the order.

    A model that a run made judges as it learnt there: what is learnt is in judgeloop_run.json of its folder.

    Started again after a stop, it goes on. --set takes the keys of a run's sections judge, engine and endpoint,
    and seed, threads, revision, trust_remote_code, chat_template, system_prompt.
    """
    from contextlib import ExitStack

    from judgeloop.commands.engine_choice import engine_of_run
    from judgeloop.commands.learnt import judge_section, learnt_judge
    from judgeloop.commands.progress import bar
    from judgeloop.engines.open_model import Loaded, loaded
    from judgeloop.judging.rubric import load_rubric
    from judgeloop.judging.score_rows import read_input, score_rows
    from judgeloop.models.resolve import resolve

    learnt = learnt_judge(model, endpoint=endpoint is not None or _sets(overrides, "endpoint.url"))
    given = {"scoring": scoring, "justification": justification, "samples": samples, "rubric": rubric,
             "language": language}  # fmt: skip
    said: dict[str, object] = {f"judge.{key}": value for key, value in judge_section(learnt, given).items()}
    if learnt is not None:
        asked = [override.partition("=")[0].strip().removeprefix("engine.") for override in overrides or []]
        of_run = engine_of_run(learnt.note, [*asked, *(["kind"] if engine is not None else [])])
        said |= {"system_prompt": learnt.system_prompt, **{f"engine.{name}": value for name, value in of_run.items()}}
    said |= {} if engine is None else {"engine.kind": engine}
    if endpoint is not None:
        said |= {
            "endpoint.url": endpoint,
            "endpoint.key_variable": key_variable,
            "endpoint.concurrency": concurrency,
            "endpoint.timeout": timeout,
        }
    config = _config(said, overrides or [])
    if learnt is not None:
        learnt.contradict(config.judge)
        chosen = learnt.rubric_for(config.judge)
    else:
        chosen = load_rubric(config.judge.rubric, config.judge.language)
    rows = read_input(in_)
    if in_.resolve() == out.resolve():
        raise InputError(f"--out {out}: is the input; choose another file")
    remote = _remote(model, config, chosen) if config.endpoint.url is not None else None
    with ExitStack() as stack:
        progress = stack.enter_context(bar("judging", loading=model if remote is None else None))
        if remote is None:  # found, hashed and loaded: seconds without a sign otherwise
            weights = resolve(model, revision=config.revision, trust_remote_code=config.trust_remote_code).hash
            settings = _settings(config, chosen, weights)
            settings |= {"date": learnt.date} if learnt is not None else {}
        else:
            settings = _settings(config, chosen, model) | {"endpoint": remote.engine.url}
        opened: list[Loaded] = []

        def load() -> tuple[Engine, Chat]:
            if not opened:
                opened.append(
                    stack.enter_context(
                        loaded(
                            model,
                            engine=config.engine,
                            seed=config.seed,
                            threads=config.threads,
                            revision=config.revision,
                            trust_remote_code=config.trust_remote_code,
                            chat_template=config.chat_template,
                            system_prompt=config.system_prompt,
                        )
                    )
                )
            return opened[0].engine, opened[0].chat

        summary = score_rows(
            rows,
            out,
            settings=settings,
            opened=load,
            rubric=chosen,
            config=config.judge,
            seed=config.seed,
            on_progress=progress,
            remote=remote.judge if remote is not None else None,
        )
    account = remote.engine.account() if remote is not None else None
    if as_json:
        typer.echo(json.dumps(_as_dict(summary, out, account), indent=2))
    else:
        _print(summary, chosen, out, account)


@dataclass(frozen=True, slots=True)
class _Remote:
    engine: OpenAiEngine
    judge: EndpointJudge


def _remote(model: str, config: Config, rubric: Rubric) -> _Remote:
    """The judge behind the config's endpoint."""
    from judgeloop.engines.openai import OpenAiEngine
    from judgeloop.judging.endpoint_judge import EndpointJudge
    from judgeloop.judging.rubric import load_rubric

    if config.judge.max_samples is not None:
        raise InputError("judge.max_samples: a judge behind an endpoint gives K judgements a row; leave it out")
    engine = OpenAiEngine(config.endpoint, model)
    pairwise = load_rubric("pairwise", config.judge.language)
    begin = config.endpoint.begin_score
    return _Remote(engine, EndpointJudge(model, engine, rubric, pairwise, config.judge, config.seed, begin_score=begin))


def _sets(overrides: list[str] | None, key: str) -> bool:
    return any(override.partition("=")[0].strip() == key for override in overrides or [])


def _config(said: dict[str, object], overrides: list[str]) -> Config:
    """The defaults with what the options say; `--set` goes last. Raises InputError for keys that only runs have."""
    from judgeloop.config import configure

    for override in overrides:
        key = override.partition("=")[0].strip()
        section = key.partition(".")[0]
        if (section not in _SECTIONS and key not in _KEYS) or key.startswith(_OF_RUNS):
            known = ", ".join([*(f"{name}.…" for name in _SECTIONS), *_KEYS])
            raise InputError(f"--set {override}: has no part in judging rows; the keys are {known}")
    given = [f"{key}={json.dumps(value)}" for key, value in said.items() if value is not None]
    return configure([*given, *overrides], "judgeloop judge", seedless=True)


def _settings(config: Config, rubric: Rubric, model: str) -> dict[str, object]:
    """What shapes a judgement: rows made with other settings are not to be mixed."""
    judge = config.judge.model_dump(mode="json", exclude={"role", "meta", "min_valid", "rubric"})
    return {
        "model": model,
        "rubric": rubric.name,
        "template": rubric.template,
        "scores": f"{rubric.low}-{rubric.high}",
        **{f"judge.{key}": value for key, value in judge.items()},
        **{f"engine.{key}": value for key, value in config.engine.model_dump(include={"kind", "precision"}).items()},
        "seed": config.seed,
        "chat_template": config.chat_template,
        "system_prompt": config.system_prompt,
    }


def _as_dict(summary: Summary, out: Path, endpoint: dict[str, object] | None) -> dict[str, object]:
    found = {"out": str(out), **asdict(summary)}
    return found if endpoint is None else {**found, "endpoint": endpoint}


def _print(summary: Summary, rubric: Rubric, out: Path, endpoint: dict[str, object] | None) -> None:
    """A few lines for a person."""
    from judgeloop.commands.evaluation_text import endpoint_lines
    from judgeloop.text.printable import printable

    unread = summary.rows - summary.scored
    typer.echo(f"{summary.scored} of {summary.rows} rows scored" + (f", {unread} without a score" if unread else ""))
    if summary.parse_rate is not None:
        typer.echo(f"{summary.judgements} judgements, {summary.parse_rate:.1%} of them with a score")
    for reason, count in summary.reasons.items():
        typer.echo(f"  {count} × {printable(reason)}")
    if summary.mean is not None:
        typer.echo(f"mean {summary.mean:.2f} on a scale from {rubric.low} to {rubric.high}")
        most = max(summary.histogram.values())
        for score, count in summary.histogram.items():
            typer.echo(f"{score:>4} {count:>7} {'█' * round(40 * count / most)}".rstrip())
    if summary.judgements_per_second is not None:
        written = f", {summary.tokens_per_second:.0f} tok/s" if summary.tokens_per_second is not None else ""
        typer.echo(f"{summary.seconds:.1f} s, {summary.judgements_per_second:.1f} judgements/s{written}")
    for line in endpoint_lines(endpoint):
        typer.echo(line)
    typer.echo(out)
