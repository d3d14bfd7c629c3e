"""New prompts by the methods that write whole tasks: rows of tasks.jsonl, and the prompts they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Engine
from judgeloop.instructions.gate import Gate
from judgeloop.jsonl import RowLog, read_rows, write_rows_atomically
from judgeloop.models.chat import Chat
from judgeloop.records import Prompt, SupervisedRow, Task, derive_seed
from judgeloop.run.directory import read_json, write_json
from judgeloop.seed.tasks import tasks_of
from judgeloop.stages.context import Context
from judgeloop.stages.models import Model


class TaskMethod(Protocol):
    """A method that writes tasks: in batches, and so that a killed attempt goes on where it was."""

    def __call__(
        self,
        engine: Engine,
        chat: Chat,
        seed_tasks: Sequence[Task],
        config: PromptsSection,
        seed: int,
        existing: Sequence[Task],
        on_tasks: Callable[[list[Task], dict[str, Any]], None],
        *,
        gate: Gate,
        account: dict[str, Any] | None = None,
    ) -> dict[str, Any]: ...


def write_tasks(context: Context, model: Model, gate: Gate, method: TaskMethod) -> dict[str, Any]:
    """Let `model` write tasks by the method; append them to tasks.jsonl as they are made, and make prompts.jsonl of
    them at the end. Returns the method's account, with the number of rows."""
    section = context.config.prompts
    path, stored = context.output("tasks"), context.output("prompts.json")
    account = _whole_batches(path, stored)
    chat = model.chat()
    engine = model.open(chat)
    with RowLog(path) as log:
        existing = read_rows(path, Task)
        written = len(existing)

        def keep(tasks: list[Task], account: dict[str, Any]) -> None:
            nonlocal written
            log.append(tasks)
            written += len(tasks)
            write_json(stored, {**account, "rows": written})  # last: it says that the batch is whole
            context.progress(int(account["kept"]), section.count, f"{account['requests']} requests")

        made = method(
            engine,
            chat,
            seed_tasks(context),
            section,
            derive_seed(context.config.seed, "prompts", context.step.model),
            existing,
            keep,
            gate=gate,
            account=account,
        )
    engine.close()
    prompts = {row.id: row for row in (Prompt.of(task.messages(), task.source) for task in read_rows(path, Task))}
    write_rows_atomically(context.output(), prompts.values())
    return {**made, "rows": written}


def _whole_batches(path: Path, stored: Path) -> dict[str, Any] | None:
    """The account of an attempt that was killed. The rows of a batch that it does not cover are taken away: the batch
    is asked for again, and gives them again."""
    RowLog(path).close()  # cuts a torn last line
    rows = read_rows(path, Task)
    account = read_json(stored) if stored.exists() else None
    whole = int(account["rows"]) if account is not None else 0
    if whole > len(rows):  # the machine lost power between the two
        account, whole = None, 0
    if whole < len(rows):
        write_rows_atomically(path, rows[:whole])
    return account


def seed_tasks(context: Context) -> list[Task]:
    """The run's IFT rows as tasks, to be shown as examples; held-out and EFT prompts are not among them."""
    return tasks_of(context.rows("ift", SupervisedRow), context.config.seed_data.ift)
