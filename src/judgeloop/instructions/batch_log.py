"""Where a search keeps its rows and its account, and how it goes on after a kill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from judgeloop.errors import InputError
from judgeloop.jsonl import RowLog, read_rows, write_rows_atomically, write_text_atomically
from judgeloop.records import Demonstrations, Prompt, Task, request_of

PROMPTS, TASKS, ACCOUNT, SHOWN = "prompts.jsonl", "tasks.jsonl", "prompts.json", "demonstrations.jsonl"


class BatchLog:
    """The rows of a search in one folder, whole batches only.

    A batch's rows are appended first, then the account that covers them is replaced. So rows beyond the account belong
    to a batch that was broken off: they are cut, the batch is asked again, and gives the same rows. Methods that write
    whole tasks append to tasks.jsonl, the others to prompts.jsonl directly. What their requests showed the model is
    appended before them, to demonstrations.jsonl, and cut with them. It is written down and not worked out again
    later: what was drawn depends on what was kept before, on the filters, and on the version that drew it.
    """

    def __init__(self, folder: Path, *, whole_tasks: bool) -> None:
        self._whole_tasks = whole_tasks
        self._path = folder / (TASKS if whole_tasks else PROMPTS)
        self._prompts, self._account = folder / PROMPTS, folder / ACCOUNT
        self._before = self._whole_batches()
        self.rows = len(self._before[0])
        self._shown_path = folder / SHOWN
        self._shown = self._open_shown()
        self._log = RowLog(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._log.close()
        self._shown.close()
        if not self._shown_path.stat().st_size:  # a method that shows none, or names none
            self._shown_path.unlink()

    def resume(self) -> tuple[list[Task], dict[str, Any] | None]:
        """The rows of whole batches that an earlier attempt left, and the account that came with the last of them."""
        return self._before

    def append(self, rows: Sequence[Task], account: dict[str, Any], shown: Sequence[Demonstrations]) -> None:
        """Add the rows of one batch with what they were shown, and the account with the number of rows that it
        covers."""
        self._shown.append(shown)
        self._log.append(rows if self._whole_tasks else [_as_prompt(row) for row in rows])
        self.rows += len(rows)
        text = json.dumps({**account, "rows": self.rows}, ensure_ascii=False, indent=2) + "\n"
        write_text_atomically(self._account, text)

    def write_prompts(self) -> None:
        """Make prompts.jsonl of the tasks, each prompt once; to be called when the search is done."""
        if self._whole_tasks:
            prompts = {prompt.id: prompt for prompt in map(_as_prompt, read_rows(self._path, Task))}
            write_rows_atomically(self._prompts, prompts.values())

    def _open_shown(self) -> RowLog:
        path = self._shown_path
        RowLog(path).close()  # cuts a torn last line
        written = read_rows(path, Demonstrations)
        sources = {row.source for row in self._before[0]}
        covered = sources | {request_of(source) for source in sources}
        if any(row.id not in covered for row in written):
            write_rows_atomically(path, [row for row in written if row.id in covered])
        return RowLog(path)

    def _whole_batches(self) -> tuple[list[Task], dict[str, Any] | None]:
        RowLog(self._path).close()  # cuts a torn last line
        rows: Sequence[Prompt | Task] = read_rows(self._path, Task if self._whole_tasks else Prompt)
        account = self._read_account()
        covered = 0 if account is None else account.get("rows")
        if covered is None or covered > len(rows):  # the account of an older version, or rows lost with the power
            account, covered = None, 0
        if covered < len(rows):
            write_rows_atomically(self._path, rows[:covered])
        return [_as_task(row) for row in rows[:covered]], account

    def _read_account(self) -> dict[str, Any] | None:
        if not self._account.exists():
            return None
        try:
            account: dict[str, Any] = json.loads(self._account.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError.at(self._account, None, "cannot be read", "remove it to ask for all rows anew") from error
        return account


def _as_prompt(task: Task) -> Prompt:
    return Prompt.of(task.messages(), task.source)


def _as_task(row: Prompt | Task) -> Task:
    return row if isinstance(row, Task) else Task.of(row.messages[0]["content"], "", "", row.source)
