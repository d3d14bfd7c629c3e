"""Rows of tasks.jsonl through kills: whole batches stay, everything else is asked for again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from judgeloop.stages.task_log import write_tasks

from judgeloop.config import parse
from judgeloop.instructions.gate import Gate
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.loop import INSTRUCTIONS, METHODS
from judgeloop.records import Prompt, SupervisedRow, Task
from judgeloop.run.directory import RunDirectory, read_json, write_json
from judgeloop.stages.context import Context
from tiny import make_tiny_model

COUNT = 7


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def context(tmp_path: Path, model: Path) -> Context:
    tree = {"model": str(model), "engine": {"kind": "scripted"}, "seed_data": {"ift": str(tmp_path / "x.jsonl")}}
    config = parse({**tree, "prompts": {"source": "self_instruct", "count": COUNT}}, "test")
    run = RunDirectory(tmp_path / "run", config, METHODS[INSTRUCTIONS](config))
    write_json(run.folder("M0") / "model.json", {"path": str(model), "hash": "x", "name": "tiny"})
    row = SupervisedRow("i", "ift", "p", [{"role": "user", "content": "Say so."}],
                        [{"role": "assistant", "content": "So."}], "x.jsonl:1")  # fmt: skip
    write_rows_atomically(run.folder("M1") / "ift.jsonl", [row])
    (tmp_path / "x.jsonl").write_text('{"prompt": "Say so.", "response": "So."}\n')
    return Context(run, run.steps["M1/prompts"], lambda *_: None)


class TwoAtATime:
    """A method that writes two tasks a batch; killed in batch `die_in`, after its rows were written or before."""

    def __init__(self, die_in: int | None = None, *, after_rows: bool = False) -> None:
        self.die_in, self.after_rows = die_in, after_rows
        self.given: list[str] = []

    def __call__(
        self,
        engine: Any,
        chat: Any,
        seed_tasks: Sequence[Task],
        config: Any,
        seed: int,
        existing: Sequence[Task],
        on_tasks: Callable[[list[Task], dict[str, Any]], None],
        *,
        gate: Gate,
        account: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        assert [task.instruction for task in seed_tasks] == ["Say so."]
        self.given = [task.instruction for task in existing]
        kept, requests = len(existing), 0 if account is None else account["requests"]
        assert requests == (kept + 1) // 2
        while kept < COUNT:
            if self.die_in == requests and not self.after_rows:
                raise KeyboardInterrupt
            new = [Task.of(f"Do {kept + k}", "it", "ok", f"test:{requests}") for k in range(min(2, COUNT - kept))]
            kept, requests = kept + len(new), requests + 1
            if self.die_in == requests - 1:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("judgeloop.stages.task_log.write_json", interrupt)
                    on_tasks(new, {"kept": kept, "requests": requests})
            on_tasks(new, {"kept": kept, "requests": requests})
        return {"kept": kept, "requests": requests}


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def run(context: Context, method: TwoAtATime) -> dict[str, Any]:
    return write_tasks(context, "M0", Gate(context.config.prompts), method)


def done(context: Context) -> list[str]:
    return [task.instruction for task in read_rows(context.folder / "tasks.jsonl", Task)]


def test_tasks_become_prompts(context: Context) -> None:
    assert run(context, TwoAtATime()) == {"kept": 7, "requests": 4, "rows": 7}
    prompts = read_rows(context.folder / "prompts.jsonl", Prompt)
    assert [prompt.messages[0]["content"] for prompt in prompts] == [f"Do {k}\n\nit" for k in range(7)]
    assert [prompt.source for prompt in prompts] == [f"test:{k // 2}" for k in range(7)]
    assert read_json(context.folder / "prompts.json") == {"kept": 7, "requests": 4, "rows": 7}


@pytest.mark.parametrize("after_rows", [False, True])
@pytest.mark.parametrize("die_in", [0, 1, 2])
def test_a_killed_attempt_goes_on_behind_its_last_whole_batch(context: Context, die_in: int, after_rows: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(context, TwoAtATime(die_in, after_rows=after_rows))
    assert len(done(context)) == 2 * die_in + 2 * after_rows
    assert not (context.folder / "prompts.jsonl").exists()
    again = TwoAtATime()
    run(context, again)
    assert again.given == [f"Do {k}" for k in range(2 * die_in)]
    assert done(context) == [f"Do {k}" for k in range(7)]


def test_a_torn_row_and_a_lost_one_are_asked_for_again(context: Context) -> None:
    run(context, TwoAtATime())
    path = context.folder / "tasks.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    again = TwoAtATime()
    run(context, again)
    assert again.given == []  # the account covers a row that is not there: nothing of it can be trusted
    assert path.read_bytes() == whole
    assert json.loads(whole.splitlines()[-1])["source"] == "test:3"
    finished = TwoAtATime()
    run(context, finished)
    assert finished.given == [f"Do {k}" for k in range(7)]
