"""Seed rows as tasks: instruction, input and output told apart where their file does, and whether the task is a
classification where it says so (the format of Self-Instruct's seed tasks)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from judgeloop.data.sources import open_source
from judgeloop.records import SupervisedRow, Task


def tasks_of(rows: Sequence[SupervisedRow], sources: Sequence[str]) -> list[Task]:
    """One task for each IFT row of a single turn, in order. `sources` are the files that the rows were read from.

    A row whose source line has an instruction with inputs is the task of that line; any other row is a task without
    input, its prompt the instruction. Conversations of several turns are not tasks and are left out.
    """
    written: dict[tuple[str, str], Task] = {}
    for source in sources:
        written.update(((task.source, task.messages()[0]["content"]), task) for task in _tasks_in(source))
    found = []
    for row in rows:
        turns = [message for message in row.prompt if message["role"] != "system"]
        if len(turns) != 1:
            continue
        asked, answer = turns[0]["content"], row.completion[0]["content"]
        found.append(written.get((row.source, asked)) or Task.of(asked, "", answer, row.source))
    return found


def _tasks_in(source: str) -> Iterator[Task]:
    """Tasks of the lines that have an `instruction`: one for each instance, or one with the line's own input."""
    for place, row in open_source(source).rows:
        instruction = row.get("instruction")
        if not isinstance(instruction, str):
            return  # another format, on every line: the file was read once before
        instances = row.get("instances")
        for instance in instances if isinstance(instances, list) else [row]:
            yield _task(instruction, instance, row.get("is_classification"), place.source)


def _task(instruction: str, instance: Mapping[str, Any], classification: object, source: str) -> Task:
    given, output = instance.get("input"), instance.get("output", instance.get("response"))
    return Task.of(
        instruction,
        given if isinstance(given, str) else "",
        output if isinstance(output, str) else "",
        source,
        classification=classification if isinstance(classification, bool) else None,
    )
