"""Read what users bring to be measured: responses of a model, responses that another judge scored, IFEval prompts.

Rows are JSON objects, one a line, or all in one JSON array (as AlpacaEval writes them). A broken row is an InputError
with file and line; what is well formed and cannot serve is counted.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.evaluation.verifiable import VerifiablePrompt
from judgeloop.jsonl import read_objects
from judgeloop.records import Message, stable_id

_PROMPT_NAMES = ("prompt", "instruction", "question")
_ROLES = ("system", "user", "assistant")
_RESPONSE_NAMES = ("response", "output", "completion", "answer")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, or an entry of an array."""

    path: Path
    line: int

    def error(self, problem: str, remedy: str) -> InputError:
        return InputError.at(self.path, self.line, problem, remedy)


@dataclass(frozen=True, slots=True)
class Given:
    """One response to one prompt. `id` is the prompt's."""

    id: str
    messages: list[Message]
    text: str


@dataclass(frozen=True, slots=True)
class ScoredSet:
    """Responses to one prompt as humans ranked them (0 is best) and as a judge scored them (None: no score)."""

    id: str
    ranks: list[float]
    scores: list[float | None]


def read_responses(path: Path) -> tuple[dict[str, Given], Counter[str]]:
    """Responses by prompt, and what was left out. A row is `{"prompt", "response"}` (also AlpacaEval's `instruction`
    and `output`, or `completion`, `answer`), or `{"messages"}` whose last turn is the assistant's."""
    found: dict[str, Given] = {}
    dropped: Counter[str] = Counter()
    for place, row in records(path):
        messages, text = _answered(row, place)
        prompt = stable_id("p", messages)
        if prompt in found:
            dropped["another response to the same prompt"] += 1
        else:
            found[prompt] = Given(prompt, messages, text)
    if not found:
        raise InputError.at(path, None, "has no rows", "add rows or name another file")
    return found, dropped


def _answered(row: Mapping[str, Any], place: Place) -> tuple[list[Message], str]:
    if "messages" in row and not any(name in row for name in _RESPONSE_NAMES):
        messages = _messages(row["messages"], "messages", place)
        if messages[-1]["role"] != "assistant" or len(messages) < 2:
            raise place.error("'messages' do not end with an answer", "let the last turn be the assistant's")
        return messages[:-1], messages[-1]["content"]
    name = next((name for name in (*_PROMPT_NAMES, "messages") if row.get(name) is not None), None)
    if name is None:
        raise place.error(f"a row without a prompt (its keys: {_keys(row)})", "write prompt and response")
    messages = _messages(row[name], name, place)
    extra = row.get("input")
    if name == "instruction" and isinstance(extra, str) and extra.strip():
        messages = [{"role": "user", "content": f"{messages[-1]['content']}\n\n{extra.strip()}"}]
    answer = next((name for name in _RESPONSE_NAMES if row.get(name) is not None), None)
    if answer is None:
        raise place.error(f"a row without a response (its keys: {_keys(row)})", "write prompt and response")
    value = row[answer]
    if isinstance(value, list):
        turns = _messages(value, answer, place)
        if len(turns) != 1:
            raise place.error(f"'{answer}' is not one message", "put earlier turns into the prompt")
        return messages, turns[0]["content"]
    if not isinstance(value, str):
        raise place.error(f"'{answer}' is not text", "write the response as a string")
    return messages, value  # an empty answer is an answer


def read_scored(path: Path) -> list[ScoredSet]:
    """Rows `{"prompt", "responses": [{"rank", "score"}, …]}` that hold the scores of another judge, null for none."""
    found = []
    for place, row in records(path):
        messages = _messages(row.get("prompt"), "prompt", place)
        responses = row.get("responses")
        if not isinstance(responses, list) or not responses:
            raise place.error("a row without 'responses'", 'write [{"text": …, "rank": 0, "score": 3.5}, …]')
        ranks, scores = [], []
        for number, response in enumerate(responses):
            here = f"responses[{number}]"
            if not isinstance(response, dict) or "score" not in response:
                raise place.error(f"'{here}' has no 'score'", "give every response a score, null where there is none")
            rank, score = _number(response.get("rank")), _number(response["score"])
            if rank is None:
                raise place.error(
                    f"'{here}.rank' is no number", "rank every response with a number, the lowest is best"
                )
            if score is None and response["score"] is not None:
                raise place.error(f"'{here}.score' is no number", "give a number, or null where there is none")
            ranks.append(rank)
            scores.append(score)
        found.append(ScoredSet(stable_id("s", messages, place.line), ranks, scores))
    if not found:
        raise InputError.at(path, None, "has no rows", "add rows or name another file")
    return found


def read_verifiable(path: Path) -> list[VerifiablePrompt]:
    """Prompts in IFEval's format: `{"key", "prompt", "instruction_id_list", "kwargs"}`."""
    found: dict[str, VerifiablePrompt] = {}
    for place, row in records(path):
        prompt = row.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise place.error("a row without 'prompt'", "bring prompts in IFEval's format")
        names, arguments = row.get("instruction_id_list"), row.get("kwargs")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise place.error("a row without 'instruction_id_list'", "bring prompts in IFEval's format")
        if not isinstance(arguments, list) or not all(isinstance(value, dict) for value in arguments):
            raise place.error("'kwargs' is not a list of objects", "give one object for each instruction")
        if len(arguments) != len(names):
            raise place.error(f"{len(names)} instructions, {len(arguments)} kwargs", "give one for each instruction")
        name = str(row.get("key", stable_id("v", prompt, names)))
        if name in found:
            raise place.error(f"the key {name} stands twice", "give each prompt a key of its own")
        found[name] = VerifiablePrompt(name, prompt, names, arguments)
    if not found:
        raise InputError.at(path, None, "has no rows", "add rows or name another file")
    return list(found.values())


def records(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The objects of a JSONL file or of a JSON array, each with where it stands (in an array: its number)."""
    if not _is_array(path):
        for line, row in read_objects(path):
            yield Place(path, line), row
        return
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError.at(path, None, "is not UTF-8", "save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise InputError.at(path, None, f"broken JSON ({error})", "mend the file") from error
    for number, value in enumerate(values, 1):
        place = Place(path, number)
        if not isinstance(value, dict):
            raise place.error("is not a JSON object", "let the array hold objects only")
        yield place, value


def _is_array(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(256).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
    except OSError as error:
        raise InputError.at(path, None, f"cannot be read ({error.strerror})", "check the path") from error


def _messages(value: object, name: str, place: Place) -> list[Message]:
    """Chat messages, or a string that stands for one user turn."""
    if isinstance(value, str) and value.strip():
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise place.error(f"'{name}' is neither text nor chat messages", 'write it as a string, or [{"role": …}, …]')
    for item in value:
        if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in ("role", "content")):
            raise place.error(f"'{name}' holds what is no chat message", 'write {"role": …, "content": …}')
        if item["role"] not in _ROLES:
            raise place.error(f"'{name}' has the role '{item['role']}'", f"use {', '.join(_ROLES)}")
    return [{"role": item["role"], "content": item["content"]} for item in value]


def _number(value: object) -> float | None:
    """A finite number as float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _keys(row: Mapping[str, Any]) -> str:
    return ", ".join(list(row)[:6]) or "none"
