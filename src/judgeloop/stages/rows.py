"""Every row is rendered before anything is trained: what a chat template refuses and what is too long is counted and
said now, not after hours. Nothing is read from here: each stage leaves out what it cannot use itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.config import Config
from judgeloop.config.user_functions import load_function
from judgeloop.data.readers import read_prompts
from judgeloop.errors import InputError
from judgeloop.judging.function_judge import FUNCTION, SIGNATURE
from judgeloop.judging.pointwise import tokens_written
from judgeloop.models.chat import Chat
from judgeloop.models.check_rows import RowCheck, check_rows
from judgeloop.records import Message, Prompt, RankedSet, SupervisedRow
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Remote, Stage
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome, evaluation_prompts
from judgeloop.stages.contrast import cost, judge_keys, there_are_others
from judgeloop.stages.judges import loop_rubric
from judgeloop.stages.keys import RUBRIC, of
from judgeloop.stages.prompts import shares

Row = tuple[str, list[Message], str]


@dataclass(frozen=True, slots=True)
class _Checked:
    """One kind of rows: the config key that they come from, what they are, what came of them, and what to do if none
    can be used."""

    key: str
    what: str
    rows: int
    found: RowCheck
    remedy: str


def rows(context: Context) -> Outcome:
    """Render the seed, the evaluation's and the config's prompts, and the judge prompts they lead to; write rows.json.

    Raises InputError if of one kind of rows none is left, if `judge.function` cannot be had, or if a score to be taught
    is none of the rubric's.
    """
    _negative_scores_are_on_the_scale(context)
    lines: list[str] = []
    account: dict[str, Any] = {}
    total = 0
    if (function := context.config.judge.function) is not None:
        load_function(Path(function), SIGNATURE, FUNCTION)
    chats = _Chats(context)
    of_files = _of_files(context.config)
    evaluated = evaluation_prompts(context) if _evaluates(context) else ()
    if of_files:
        unlike = {prompt.id for prompt in of_files} - {prompt.id for prompt in evaluated}
        lines += shares(context.config.prompts, len(unlike), context.config.iterations)
    there_are_others(context.config, of_files, evaluated)
    for checked in [*_trained(context, chats), *_asked(context, chats, of_files), *_judged(context, chats, of_files)]:
        if not checked.rows:
            continue
        total += checked.rows
        reasons = checked.found.reasons
        if not checked.found.usable:
            told = "; ".join(f"{count} {reason}" for reason, count in reasons.items())
            raise InputError(f"{checked.key}: none of {checked.rows} {checked.what} is left: {told}; {checked.remedy}")
        lines += [
            f"{checked.key}: {count} of {checked.rows} {checked.what} will be left out: {reason}"
            for reason, count in reasons.items()
        ]
        if (system := checked.found.folded.get("system")) is not None:
            lines.append(
                f"{checked.key}: {system} of {checked.rows} {checked.what} have their system message in the user's "
                "turn, since the chat template takes none"
            )
        account[f"{checked.key}: {checked.what}"] = {
            "rows": checked.rows, "left_out": reasons, "folded": checked.found.folded,
        }  # fmt: skip
    if (said := cost(context.config)) is not None:
        lines.append(said)
    write_json(context.output(), account)
    return Outcome({"rows": total, **({"yields": lines} if lines else {})})


def _negative_scores_are_on_the_scale(context: Context) -> None:
    eft, refresh = context.config.seed_data.eft, context.config.judge.refresh
    taught = [("judge.refresh", refresh.negative_score)] if refresh.enabled else []
    taught += [("seed_data.eft.contrast", eft.contrast.negative_score)] if eft.source == "contrast" else []
    for key, score in taught:
        rubric = loop_rubric(context)
        if score not in rubric.scores:
            raise InputError(
                f"{key}.negative_score: {score} is no score of the rubric '{rubric.name}', whose scale is {rubric.low}-"
                f"{rubric.high}; set one of these, below {key}.min_score"
            )


def _trained(context: Context, chats: _Chats) -> Iterator[_Checked]:
    """The seed's rows as SFT takes them."""
    given = [*context.rows("ift", SupervisedRow), *context.rows("eft", SupervisedRow)]
    found = check_rows(
        chats.policy(),
        [(str(place), row.prompt, row.completion[0]["content"]) for place, row in enumerate(given)],
        max_length=context.config.sft.max_length,
        key="sft.max_length",
    )
    yield _Checked("seed_data", "rows for M1", len(given), found, "raise sft.max_length or give shorter rows")


def _asked(context: Context, chats: _Chats, of_files: Sequence[Prompt]) -> Iterator[_Checked]:
    """The prompts that models answer."""
    config = context.config

    def checked(key: str, what: str, prompts: Iterable[Prompt], new_tokens: int, knob: str) -> _Checked:
        named = [(prompt.id, prompt.messages, "") for prompt in prompts]
        found = check_rows(chats.policy(), named, new_tokens=new_tokens)
        return _Checked(key, what, len(named), found, f"lower {knob} or give shorter prompts")

    section = config.evaluation
    if _evaluates(context):
        key = "evaluation.prompts" if section.prompts else "seed_data, held out"
        knob = "evaluation.sampling.max_new_tokens"
        yield checked(key, "prompts", evaluation_prompts(context), section.sampling.max_new_tokens, knob)
        if section.ifeval is not None:
            from judgeloop.evaluation.ifeval_prompts import read_verifiable

            verifiable = read_verifiable(section.ifeval)[: section.ifeval_count]
            prompts = [Prompt(row.id, [{"role": "user", "content": row.prompt}], "IFEval") for row in verifiable]
            knob = "evaluation.ifeval_max_new_tokens"
            yield checked("evaluation.ifeval", "prompts", prompts, section.ifeval_max_new_tokens, knob)
    tokens = config.candidates.sampling.max_new_tokens
    yield checked("prompts.files", "prompts", of_files, tokens, "candidates.sampling.max_new_tokens")


def _judged(context: Context, chats: _Chats, of_files: Sequence[Prompt]) -> Iterator[_Checked]:
    """Judge prompts: of the held-out sets, and of the config's prompts as far as they are known before they are
    answered."""
    if _evaluates(context) and (chat := chats.of("evaluator")) is not None:
        ranked = context.rows("held_out", RankedSet)
        asked = [
            (f"{one.id}.{place}", one.messages, str(response["text"]))
            for one in ranked
            for place, response in enumerate(one.responses)
        ]
        yield _judge_prompts(context, chat, "seed_data, held out", asked)
    if context.config.judge.function is None and (chat := chats.of("judge")) is not None:
        asked = [(prompt.id, prompt.messages, "") for prompt in of_files]
        yield _judge_prompts(context, chat, "prompts.files", asked)


class _Chats:
    """The chat templates of the models, each loaded once; None for one behind an endpoint."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, Chat] = {}

    def of(self, role: str) -> Chat | None:
        if not self._context.has(role) or isinstance(self._context.role(role), Remote):
            return None
        model = self._context.model(role)
        if model.name not in self._known:
            self._known[model.name] = model.chat()
        return self._known[model.name]

    def policy(self) -> Chat:
        found = self.of("policy")
        assert found is not None
        return found


def _judge_prompts(context: Context, chat: Chat, key: str, asked: Iterable[Row]) -> _Checked:
    rubric = loop_rubric(context)
    named = [(name, rubric.messages(prompt, response), "") for name, prompt, response in asked]
    found = check_rows(chat, named, new_tokens=tokens_written(context.config.judge))
    what = "judge prompts" if all(response for *_, response in asked) else "judge prompts, the responses apart,"
    return _Checked(key, what, len(named), found, "choose a shorter rubric (judge.rubric) or a model of more positions")


def _of_files(config: Config) -> list[Prompt]:
    """The prompts of prompts.files; none if a model writes them."""
    if config.prompts.source != "file":
        return []
    return [prompt for path in config.prompts.files for prompt in read_prompts(Path(path))[0]]


def _evaluates(context: Context) -> bool:
    return any(step.stage.measures for step in context.run.steps.values())


def _keys(config: Config) -> tuple[str, ...]:
    return (
        "sft.max_length",
        "iterations",
        *of("prompts", "source", "files", "count", "later_counts"),
        *of("evaluation", "prompts", "count", "sampling", "ifeval", "ifeval_count", "ifeval_max_new_tokens"),
        *of("judge", "function", "scoring", "sampling"),
        *judge_keys(config),
        *(("judge.role", "seed", "evaluation.contrast") if config.judge.contrast.others else ()),
        *of("judge.refresh", "enabled", "negative_score"),
        *of("seed_data.eft", "source", "contrast.negative_score"),
        "candidates.sampling",
        *RUBRIC,
    )


ROWS = Stage(
    "rows",
    "render every row",
    run=rows,
    cost=costs.rows,
    reads=("policy", "ift", "held_out"),
    may_read=("eft", "judge", "evaluator"),
    only_checks=True,
    writes=("rows.json",),
    keys=_keys,
)
