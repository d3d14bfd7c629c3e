"""The prompts of an evaluation, written beside the answers to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judgeloop.jsonl import write_rows_atomically
from judgeloop.records import EvaluationPrompt, Message, Prompt, RankedSet
from judgeloop.stages.context import Context
from judgeloop.stages.ground_truth import prompt_rows

_LONGEST_FIELD = 200  # characters of a field as JSON: tags and rules are short, texts and answers are not


def write_asked(context: Context, path: Path, prompts: Sequence[Prompt]) -> None:
    """Write what the model was asked: text, source and the short fields of each prompt's row."""
    held_out = {} if context.config.evaluation.prompts else _sources(context)
    rows = {} if held_out else prompt_rows(context)
    write_rows_atomically(
        path,
        [
            EvaluationPrompt(prompt.id, prompt.messages, held_out[prompt.id])
            if held_out
            else EvaluationPrompt(
                prompt.id, prompt.messages, prompt.source, short_fields(rows[prompt.id][1], prompt.messages)
            )
            for prompt in prompts
        ],
    )


def _sources(context: Context) -> dict[str, str]:
    """Where each prompt that the seed held out is from."""
    return {Prompt.of(ranked.messages, "").id: ranked.source for ranked in context.rows("held_out", RankedSet)}


def short_fields(row: Mapping[str, Any], messages: Sequence[Message]) -> dict[str, Any]:
    """The fields of a row that are a short text, a number, or a short list of these, but for what is asked."""
    asked = [message["content"] for message in messages]
    return {name: value for name, value in row.items() if _plain(value) and value not in asked}


def _plain(value: object) -> bool:
    if isinstance(value, list):
        return all(_plain(each) and not isinstance(each, list) for each in value) and _length(value) <= _LONGEST_FIELD
    return isinstance(value, (str, int, float)) and _length(value) <= _LONGEST_FIELD


def _length(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False))
