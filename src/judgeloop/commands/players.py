"""The models that a command's options name: a judge (loaded here, or behind an endpoint), and models that answer.

Whatever holds weights is loaded when it is first needed, so a command that has all its rows already loads nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from judgeloop.commands.arguments import Language, Scoring
from judgeloop.commands.engine_choice import engine_for, identity
from judgeloop.commands.learnt import judge_section, learnt_judge
from judgeloop.config import EndpointSection, JudgeSection, validated
from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.judging.endpoint_judge import EndpointJudge
from judgeloop.judging.judges import Judge, LocalJudge
from judgeloop.judging.pairwise import SIDES
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.chat import Chat


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model by name, found but not loaded: `identity` tells its weights and its engine apart, `load` opens it."""

    identity: Mapping[str, Any]
    load: Callable[[], tuple[Engine, Chat]]


@dataclass(frozen=True, slots=True)
class Player:
    """A judge that is opened when it is first asked. `rubric` is the one it scores by; `identity` tells what made its
    judgements; `after` says what an endpoint had to be asked again, could not do, and used. `loading` is what has to be
    loaded first, if anything."""

    name: str
    rubric: Rubric
    identity: Mapping[str, Any]
    open: Callable[[], Judge]
    after: Callable[[], dict[str, Any] | None]
    loading: str | None = None


def find_model(name: str, given: Mapping[str, Any], seed: int, stack: ExitStack) -> FoundModel:
    """Find a model (folder, hub id, alias), which the engine runs that options (`given`) say, or its run. It stays
    loaded until the stack is closed."""
    from judgeloop.models.resolve import resolve
    from judgeloop.models.run_note import read_note

    found = resolve(name)
    engine = engine_for(read_note(found.path), given)

    def load() -> tuple[Engine, Chat]:
        from judgeloop.engines.open_model import loaded

        if not sys.stderr.isatty():  # it draws bars of its own while it loads weights
            from transformers.utils import logging

            logging.disable_progress_bar()
        opened = stack.enter_context(loaded(name, engine=engine, seed=seed))
        return opened.engine, opened.chat

    return FoundModel({"model": name, "hash": found.hash, **identity(engine)}, load)


def check_model(name: str, rubric: Rubric | None = None) -> None:
    """Raise InputError unless the model's folder is whole and its chat template can be used, and the verdicts of a
    `rubric` can be told apart: said before others answer for an hour."""
    from judgeloop.engines.open_model import chat_of
    from judgeloop.judging.score_distribution import option_problems
    from judgeloop.models.resolve import resolve

    found = resolve(name)
    chat = chat_of(found.path)
    problems = [*chat.check(), *(option_problems(chat, rubric.score_line, SIDES) if rubric is not None else ())]
    if problems:
        raise InputError(f"{found.path}: {'; also: '.join(problems)}")


def find_judge(
    name: str | None,
    stack: ExitStack,
    *,
    config: JudgeSection,
    compares: bool,
    endpoint: EndpointSection | None,
    engine: Mapping[str, Any],
    seed: int,
    written: bool = False,
) -> Player:
    """The judge that options name; `engine` are the keys of that section that they name. Raises InputError where there
    is none."""
    if name is None:
        raise InputError("no judge: name a model folder, a hub id or an alias, or a model of --endpoint")
    learnt = learnt_judge(name, endpoint=endpoint is not None)
    rubric = load_rubric(config.rubric, config.language) if learnt is None else learnt.rubric_for(config)
    pairwise = load_rubric("pairwise", config.language)
    if learnt is not None and not compares:
        learnt.contradict(config)
    decides = pairwise if compares else rubric
    settings: dict[str, Any] = {
        "rubric": decides.name,
        "template": decides.template,
        "min_mass": config.min_mass,
        "max_new_tokens": config.sampling.max_new_tokens,
        "seed": seed,
    }
    if compares:
        settings["written"] = written
    else:
        settings["scoring"] = config.scoring
        if config.justification:
            settings["justification"] = True
        if config.scoring == "sampled" or config.justification:
            settings |= {"samples": config.samples, "temperature": config.sampling.temperature,
                         "top_p": config.sampling.top_p}  # fmt: skip
    if endpoint is not None:
        from judgeloop.engines.openai import OpenAiEngine

        remote = OpenAiEngine(endpoint, name)
        stack.callback(remote.close)
        judge = EndpointJudge(name, remote, rubric, pairwise, config, seed, written, endpoint.begin_score)
        made_by = {"judge": name, "endpoint": remote.url, **settings}

        return Player(name, rubric, made_by, lambda: judge, remote.account)
    model = find_model(name, engine, seed, stack)
    if compares:
        check_model(name, None if written else pairwise)

    def open_local() -> Judge:
        opened, chat = model.load()
        return LocalJudge(name, opened, chat, rubric, pairwise, config, seed, written)

    made_by = {"judge": name, **{key: value for key, value in model.identity.items() if key != "model"}, **settings}
    return Player(name, rubric, made_by, open_local, lambda: None, loading=name)


def judge_config(
    model: str | None = None,
    endpoint: str | None = None,
    *,
    scoring: Scoring | None = None,
    rubric: str | None = None,
    language: Language | None = None,
    samples: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    max_new_tokens: int | None = None,
    min_mass: float | None = None,
    justification: bool | None = None,
) -> JudgeSection:
    """A judge's settings: a command's options; where they are None, what the model (unless behind the `endpoint`)
    learnt in its run; else the defaults, with the rubric that fits the scoring."""
    given = {
        "scoring": scoring, "rubric": rubric, "language": language, "samples": samples, "min_mass": min_mass,
        "justification": justification,
    }  # fmt: skip
    how = {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens}
    sampling = {key: value for key, value in how.items() if value is not None}
    learnt = learnt_judge(model, endpoint=endpoint is not None)
    section = judge_section(learnt, given)
    return validated(JudgeSection, **{**section, "sampling": {**section.get("sampling", {}), **sampling}})


def endpoint_of(url: str | None, key_variable: str, concurrency: int, timeout: float) -> EndpointSection | None:
    """The endpoint that options name, None without a URL."""
    if url is None:
        return None
    return validated(EndpointSection, url=url, key_variable=key_variable, concurrency=concurrency, timeout=timeout)
