"""Rows with one prompt and one answer, none left out: what a judge is given, and what two models wrote.

They are read as seeds are, from any container and any layout that has one answer a row. But no row may be dropped, for
each is owed a score: what cannot serve is an error, and an empty answer is an answer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.data.control_tokens import without_tokens_around
from judgeloop.data.conversations import answered_in_chat, prompt_of, reply
from judgeloop.data.detection import checked_rows
from judgeloop.data.intake import Intake
from judgeloop.data.layouts import ALPACA, CHAT, PAIRS, RATED, RATED_CHAT, RATED_TRANSCRIPTS, SHAREGPT, TRANSCRIPTS
from judgeloop.data.messages import messages_of
from judgeloop.data.provenance import Place, Unusable
from judgeloop.data.sources import open_source
from judgeloop.data.thoughts import split_thought
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects, read_rows
from judgeloop.records import Candidate, Message, stable_id

_ONE_ANSWER = (PAIRS, ALPACA, CHAT, SHAREGPT, RATED, RATED_CHAT, RATED_TRANSCRIPTS, TRANSCRIPTS)
_TALKS = (CHAT, SHAREGPT, RATED_CHAT, RATED_TRANSCRIPTS, TRANSCRIPTS)


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """A row with all its fields, where it is, and what it says: the prompt and the answer, its thought left out."""

    place: Place
    fields: dict[str, Any]
    prompt: list[Message]
    text: str


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """What a model answered to a prompt. `id` is the prompt's; `name` is the response's own id if it is of a run."""

    id: str
    messages: list[Message]
    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class ScoredSet:
    """Responses to one prompt as they were ranked (0 is best) and as a judge scored them (None: no score)."""

    id: str
    ranks: list[float]
    scores: list[float | None]


def read_answered(source: str | Path) -> list[AnsweredRow]:
    """Every row of a source, in order. Raises InputError with file and row if one has no prompt or no answer."""
    found = []
    form, rows = checked_rows(source, _ONE_ANSWER)
    for place, columns, row in rows:
        intake = Intake(place, Counter(), columns=columns)
        try:
            if form in _TALKS:
                (answer,) = answered_in_chat(row, intake, learnt=False)
                prompt, text = answer.prompt, answer.text
            else:
                (prompt,) = prompt_of(row, intake)
                text = _text(row, intake)
        except Unusable as unusable:
            raise place.error(
                unusable.reason, "every row needs a prompt and an answer; mend or remove it"
            ) from unusable
        found.append(AnsweredRow(place, row, prompt, text))
    return found


def _text(row: dict[str, Any], intake: Intake) -> str:
    """The answer, which may be empty."""
    key = intake.key("response")
    value = row[key]
    if isinstance(value, str):
        return split_thought(without_tokens_around(value))[0]
    if value is None:
        raise intake.place.error(f"'{key}' is null", "write the response as a string")
    return reply(value, key, intake, {})[0]


def read_responses(
    source: str | Path, prompts: Mapping[str, list[Message]] | None = None
) -> tuple[dict[str, ModelResponse], Counter[str]]:
    """A model's responses by prompt, and what was left out. A run's own files (`eval.responses.jsonl`) name their
    prompts by id: those of `prompts`, by id, say what was asked; of several responses to one prompt the first counts,
    as in the run. Raises InputError if a row has no prompt or no response."""
    if is_of_a_run(source):
        return _of_a_run(Path(source), prompts)
    found: dict[str, ModelResponse] = {}
    dropped: Counter[str] = Counter()
    for row in read_answered(source):
        name = stable_id("p", row.prompt)
        if name in found:
            dropped["another response to the same prompt"] += 1
        else:
            found[name] = ModelResponse(name, row.prompt, row.text)
    return found, dropped


def is_of_a_run(source: str | Path) -> bool:
    """Whether a file holds responses as a run writes them, which name their prompts by id."""
    path = Path(source)
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    first = next((row for _, row in read_objects(path)), {})
    return {"prompt_id", "text", "token_ids"} <= set(first)


def _of_a_run(path: Path, prompts: Mapping[str, list[Message]] | None) -> tuple[dict[str, ModelResponse], Counter[str]]:
    if prompts is None:
        raise InputError.at(path, None, "names its prompts by id alone", "give the run's prompts with --prompts")
    found: dict[str, ModelResponse] = {}
    dropped: Counter[str] = Counter()
    for row in sorted(read_rows(path, Candidate), key=lambda row: row.id):
        if row.prompt_id in found:
            dropped["another response to the same prompt"] += 1
        elif row.prompt_id not in prompts:
            dropped["prompt that is not in the file of the prompts"] += 1
        else:
            found[row.prompt_id] = ModelResponse(row.prompt_id, prompts[row.prompt_id], row.text, row.id)
    return found, dropped


def read_scored(source: str | Path) -> list[ScoredSet]:
    """Rows `{"prompt", "responses": [{"rank", "score"}, …]}` that hold the scores of another judge, null for none. They
    are not ranked sets to learn from: a better rank may have the lower score, which is what is measured."""
    found = []
    for place, row in open_source(source).rows:
        intake = Intake(place, Counter())
        try:
            messages = messages_of(row.get("prompt", row.get("messages")), "prompt", intake)
        except Unusable as unusable:
            raise place.error(unusable.reason, "every row needs a prompt; mend or remove it") from unusable
        responses = row.get("responses")
        if not isinstance(responses, list) or not responses:
            raise place.error("a row without 'responses'", 'write [{"text": …, "rank": 0, "score": 3.5}, …]')
        ranks, scores = [], []
        for number, response in enumerate(responses):
            here = f"responses[{number}]"
            if not isinstance(response, dict) or "score" not in response:
                raise place.error(f"'{here}' has no 'score'", "give every response a score, null if there is none")
            rank, score = _number(response.get("rank")), _number(response["score"])
            if rank is None:
                raise place.error(
                    f"'{here}.rank' is no number", "rank every response with a number, the lowest is best"
                )
            if score is None and response["score"] is not None:
                raise place.error(f"'{here}.score' is no number", "give a number, or null if there is none")
            ranks.append(rank)
            scores.append(score)
        found.append(ScoredSet(stable_id("s", messages, place.number), ranks, scores))
    if not found:
        raise InputError.at(source, None, "has no rows", "add rows or name another file")
    return found


def _number(value: object) -> float | None:
    """A finite number as float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond any float
        return None
