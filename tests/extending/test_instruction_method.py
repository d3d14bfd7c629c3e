"""A method of a user's own that makes instructions: one file, named in `plugins`, does in `judgeloop instruct` and in
the loop what the shipped ones do."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from e2e.conftest import command, environment, judgeloop, make_config, tiny_model  # noqa: F401
from judgeloop.cli import app
from judgeloop.config.choices import INSTRUCTION_METHODS
from judgeloop.errors import InputError
from judgeloop.run import children, driver
from judgeloop.run.directory import RunDirectory
from judgeloop.run.stage import Step
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from process_tree import process_tree

PLUGIN = '''
"""Questions, one a request, each with the model's answer."""

import time

from judgeloop.config.choices import INSTRUCTION_METHODS
from judgeloop.engines.base import Sampling
from judgeloop.instructions.search import CUT_OFF, Draft, Method, Shown
from judgeloop.records import Task


@INSTRUCTION_METHODS.register("questions")
class Questions(Method):
    name = "questions"

    def batch_size(self):
        return 2

    def show(self, number):
        time.sleep(0.1)
        own = [task.instruction for task in self.kept[-2:]]
        return Shown("Ask something.", " / ".join([*own, "Question:"]), Sampling(40, temperature=0.9))

    def read(self, completion):
        task = Task.of(completion.text.strip(), "", "", completion.name)
        return [Draft(task, None if completion.finished else CUT_OFF)]

    def follow_up(self, drafts):
        sampling = Sampling(40)
        asked = [self.prompter.answer(d.task.source, d.task.messages(), sampling, "answers") for d in drafts]
        answers = self.prompter.generate(asked, "answers")
        for draft in super().follow_up(drafts):
            (answer,) = answers[draft.task.source]
            draft.rows = [Task.of(draft.task.instruction, "", answer.text, draft.task.source)]
            yield draft
'''
COUNT = 6


@pytest.fixture
def config(make_config: Callable[..., Path], tmp_path: Path) -> Path:  # noqa: F811
    (tmp_path / "questions.py").write_text(PLUGIN, encoding="utf-8")
    return make_config(
        plugins=["questions.py"],
        iterations=1,
        engine={"kind": "scripted"},
        prompts={"source": "questions", "count": COUNT},
    )


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages run in this process: a child for each costs seconds of imports."""

    def stage(run: RunDirectory, step: Step, display: driver.Display, _server: object) -> None:
        run_stage(Context(run, step, display.progress))

    monkeypatch.setattr(children, "carry_out_in_child", stage)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def in_process(no_children: None) -> Callable[..., str]:
    """The command, in this process."""

    def call(*arguments: object) -> str:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    return call


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def kill_in_the_middle(arguments: tuple[str, ...], account: Path) -> None:
    """Start the command and kill it once some batches are stored and some are not."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    while not account.exists():
        assert process.poll() is None
        time.sleep(0.01)
    for one in process_tree(process.pid):
        os.kill(one, signal.SIGKILL)
    process.wait()
    assert 0 < read(account)["rows"] < COUNT


def test_instruct_writes_by_it_and_goes_on_after_a_kill(
    config: Path, in_process: Callable[..., str], tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    output = in_process("instruct", config, "--out", whole)
    rows = [json.loads(line) for line in whole.read_text().splitlines()]
    assert len(rows) == len({row["prompt"] for row in rows}) == COUNT
    assert all(row["source"].startswith("questions:") and row["response"] for row in rows)
    account = read(tmp_path / "whole.jsonl.json")
    assert (account["source"], account["kept"], account["stopped"]) == ("questions", COUNT, "count reached")
    assert account["got"] == account["requests"] == COUNT + sum(account["dropped"].values())
    assert set(account["tokens_by_step"]) == {"instructions", "answers"}
    assert f"{COUNT} kept" in output

    kill_in_the_middle(("instruct", str(config), "--out", str(killed)), tmp_path / "killed.work/M1/prompts.json")
    in_process("instruct", config, "--out", killed)
    assert killed.read_bytes() == whole.read_bytes()
    timed = ("seconds", "seconds_by_step", "seconds_of_steps", "started", "sha256")
    again = read(tmp_path / "killed.jsonl.json")
    assert {k: v for k, v in again.items() if k not in timed} == {k: v for k, v in account.items() if k not in timed}


def test_the_loop_asks_by_it_shows_it_and_knows_its_file(
    config: Path,
    in_process: Callable[..., str],
    judgeloop: Callable[..., subprocess.CompletedProcess[str]],  # noqa: F811
    tmp_path: Path,
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    in_process("run", config, "--out", whole)
    kill_in_the_middle(("run", str(config), "--out", str(killed)), killed / "M2/prompts.json")
    in_process("run", config, "--out", killed)
    for name in ("tasks.jsonl", "prompts.jsonl", "candidates.jsonl", "pairs.jsonl"):
        assert (killed / "M2" / name).read_bytes() == (whole / "M2" / name).read_bytes()
    assert read(killed / "M2/train.json")["hash"] == read(whole / "M2/train.json")["hash"]

    account = read(whole / "M2/prompts.json")
    assert (account["source"], account["kept"], account["rows"]) == ("questions", COUNT, COUNT)
    shown = read(whole / "summary.json")["models"][-1]["accounts"]["prompts"]
    assert (shown["source"], shown["kept"]) == ("questions", COUNT)
    assert account["samples"]["kept"][0] in (whole / "report.html").read_text(encoding="utf-8")

    (tmp_path / "questions.py").write_text(PLUGIN.replace("Ask something.", "Ask a question."), encoding="utf-8")
    done = judgeloop("run", str(config), "--out", str(whole))
    assert done.returncode == 2
    assert "M2/prompts is stale" in done.stderr
    assert re.search(r'prompts\.source was "questions \(sha256:\w+\)", is "questions \(sha256:', done.stderr)


def test_the_method_of_the_documentation_works(config: Path, in_process: Callable[..., str], tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "instructions.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert code.startswith("# questions.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(INSTRUCTION_METHODS, "_added", {})  # the name belongs to another file in this process
        (tmp_path / "mine" / "questions.py").parent.mkdir()
        (tmp_path / "mine" / "questions.py").write_text(code, encoding="utf-8")
        plugin = f'plugins=["{tmp_path}/mine/questions.py"]'
        in_process("instruct", config, "--out", tmp_path / "new.jsonl", "--count", 3, "--set", plugin)
    account = read(tmp_path / "new.jsonl.json")
    assert (account["source"], account["kept"]) == ("questions", 3)


def test_a_name_that_nothing_registers_is_refused(config: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["instruct", str(config), "--out", str(tmp_path / "x.jsonl"), "--source", "riddles"])
    assert "'questions'" in str(done.exception)
    assert "(given: 'riddles')" in str(done.exception)


def test_a_method_that_calls_itself_something_else_is_refused(
    config: Path, no_children: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(INSTRUCTION_METHODS, "_added", {})
    other = tmp_path / "other" / "questions.py"
    other.parent.mkdir()
    other.write_text(PLUGIN.replace('name = "questions"', 'name = "riddles"'), encoding="utf-8")
    out = str(tmp_path / "x.jsonl")
    done = CliRunner().invoke(app, ["instruct", str(config), "--out", out, "--set", f'plugins=["{other}"]'])
    assert isinstance(done.exception, InputError)
    assert "is no Method of that name; set its `name`" in str(done.exception)
