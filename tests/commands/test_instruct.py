"""`judgeloop instruct` as a user calls it, on scripted replies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from judgeloop.cli import app
from judgeloop.data.readers import read_prompts, read_supervised
from judgeloop.errors import InputError
from judgeloop.instructions.self_instruct.task_form import shipped_tasks
from judgeloop.jsonl import read_objects
from judgeloop.run import children, driver
from judgeloop.run.directory import RunDirectory
from judgeloop.run.stage import Step
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from process_tree import process_tree
from tiny import make_tiny_model

FIRST = " Describe the old harbour at night\nTask 10: Shorten the following sentence\nTask 11: Draw a cat on the wall"
SECOND = " Name three soups for winter\nTask 10: Explain how bees find home\nTask 11: Plan a picnic for rainy days"
RULES: list[dict[str, Any]] = [
    {"match": r"Task 1: Tell me 1?[02468] [\s\S]*Task \d+:$", "reply": SECOND},
    {"match": r"Task \d+:$", "reply": FIRST},
    {"match": r"Classification:$", "scores": [0.1, 0.8]},
    {"match": r"\nInput:$", "reply": " The ferry, which was late, left at nine."},
    {
        "match": r"list of \d+ different requests",
        "reply": [" Write about the clock tower\n10. Ask me about my journey"],
    },
    {"match": "", "reply": "Here is what you asked for."},
]
SEED = [
    {
        "instruction": f"Tell me {n} things about the given animal number {n}",
        "instances": [{"input": f"a fox with {n} tails", "output": f"It runs {n} miles."}],
        "is_classification": n % 3 == 0,
    }
    for n in range(12)
]


QUESTIONS = [
    "Why does bread rise in the oven?",
    "Write a short poem about a lighthouse.",
    "List five things to pack for a week in the mountains.",
    "What is the difference between a lake and a pond?",
    "How do I keep basil alive on a windowsill?",
    "Explain what a bank does.",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def files(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    for name, rows in (("seed", SEED), ("script", RULES)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return write_config(tmp_path, model=str(model))


def write_config(folder: Path, **changes: Any) -> Path:
    tree: dict[str, Any] = {
        "engine": {"kind": "scripted", "script": "script.jsonl"},
        "seed_data": {"ift": "seed.jsonl"},
        "prompts": {"source": "self_instruct", "max_requests": 16},
        "sft": {"learning_rate": 1e-3, "batch_size": 8, "max_length": 500},
        "threads": 1,
        **changes,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


@pytest.fixture
def config(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stages run in this process: a child for each costs seconds of imports, and one test below has them."""

    def stage(run: RunDirectory, step: Step, display: driver.Display, _server: object) -> None:
        run_stage(Context(run, step, display.progress))

    monkeypatch.setattr(children, "carry_out_in_child", stage)
    return files


def call(config: Path, out: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["instruct", str(config), "--out", str(out), *map(str, arguments)])


def ok(config: Path, out: Path, *arguments: object) -> str:
    done = call(config, out, *arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def refused(config: Path, out: Path, *arguments: object) -> str:
    error = call(config, out, *arguments).exception
    assert isinstance(error, InputError), error
    assert "\n" not in str(error)
    return str(error)


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_objects(path)]


def test_it_writes_rows_that_serve_as_a_seed_and_an_account(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.jsonl"
    output = ok(config, out, "--count", 2)
    first, second = rows(out)
    assert first == {
        "id": first["id"],
        "prompt": "Describe the old harbour at night",
        "response": "Here is what you asked for.",
        "instruction": "Describe the old harbour at night",
        "input": "",
        "constraints": "",
        "classification": False,
        "source": "self_instruct:0.0",
    }
    assert second["prompt"] == "Shorten the following sentence\n\nThe ferry, which was late, left at nine."
    assert second["input"] == "The ferry, which was late, left at nine."
    read, _ = read_supervised(out)
    assert [(row.prompt[0]["content"], row.completion[0]["content"]) for row in read] == [
        (row["prompt"], row["response"]) for row in (first, second)
    ]
    account = json.loads((tmp_path / "new.jsonl.json").read_text(encoding="utf-8"))
    assert (account["rows"], account["asked"], account["kept"], account["requests"]) == (2, 2, 2, 16)
    assert account["got"] == 48 == 2 + sum(account["dropped"].values())
    assert set(account["seconds_of_steps"]) == {"M0/model", "M1/seed", "M1/prompts"}
    assert account["evaluation_sets"]["evaluation"]["prompts"] == 0
    assert "48 written in 16 requests, 2 kept" in output
    assert output.splitlines()[-1].startswith(f"{out}: 2 rows; new.jsonl.json")
    assert rows(tmp_path / "new.work" / "M1" / "tasks.jsonl")[0]["id"] == first["id"]


def test_an_existing_file_is_refused_but_its_own_work_goes_on(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.jsonl"
    ok(config, out, "--count", 2)
    before = out.read_bytes()
    assert "3 finished steps" not in ok(config, out, "--count", 2)
    assert out.read_bytes() == before
    assert "prompts.count was 2, is 3" in refused(config, out, "--count", 3)
    assert out.read_bytes() == before
    ok(config, out, "--count", 3, "--redo", "M1/prompts")
    assert len(rows(out)) == 3
    with out.open("a", encoding="utf-8") as handle:
        handle.write('{"prompt": "mine"}\n')
    assert (
        refused(config, out, "--count", 3)
        == f"{out}: exists already; name another file, or replace it with --overwrite"
    )
    ok(config, out, "--count", 3, "--overwrite")
    assert len(rows(out)) == 3
    other = tmp_path / "other.jsonl"
    other.write_text("kept\n", encoding="utf-8")
    assert "exists already" in refused(config, other)
    assert not (tmp_path / "other.work").exists()
    assert "is a folder" in refused(config, tmp_path)


def test_a_lost_file_is_written_again_without_asking_the_model(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.jsonl"
    ok(config, out)
    before = out.read_bytes()
    out.unlink()
    (tmp_path / "script.jsonl").touch()
    ok(config, out)
    assert out.read_bytes() == before


def test_few_shot_prompts_have_no_response(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "prompts.jsonl"
    found = json.loads(ok(config, out, "--source", "few_shot", "--count", 2, "--json"))
    assert (found["source"], found["kept"], found["file"]) == ("few_shot", 2, str(out))
    assert [(row["prompt"], row["source"], "response" in row) for row in rows(out)] == [
        ("Write about the clock tower", "few_shot:0", False),
        ("Ask me about my journey", "few_shot:0", False),
    ]
    assert [prompt.messages[0]["content"] for prompt in read_prompts(out)[0]] == [row["prompt"] for row in rows(out)]


def test_a_file_makes_no_instructions(config: Path, tmp_path: Path, model: Path) -> None:
    path = write_config(tmp_path, model=str(model), prompts={"source": "file", "files": ["seed.jsonl"]})
    assert "reads prompts and makes none" in refused(path, tmp_path / "new.jsonl")
    assert "set backtranslation.top_share" in refused(
        path, tmp_path / "x.jsonl", "--source", "backtranslation", "--count", 3
    )
    assert "backtranslation.texts" in refused(path, tmp_path / "x.jsonl", "--source", "backtranslation")


def test_the_prompter_may_be_another_model_or_m1(config: Path, tmp_path: Path) -> None:
    other = make_tiny_model(tmp_path / "other", seed=1)
    out = tmp_path / "new.jsonl"
    ok(config, out, "--count", 2, "--set", f"prompts.role={other}")
    assert json.loads((tmp_path / "new.jsonl.json").read_text(encoding="utf-8"))["prompter"] == str(other)
    make_tiny_model(tmp_path / "other", seed=2)
    assert "prompts.role was" in refused(config, out, "--count", 2, "--set", f"prompts.role={other}")
    made = ok(config, tmp_path / "m1.jsonl", "--count", 2, "--set", "prompts.role=M1")
    assert "supervised fine-tuning" in made
    assert (tmp_path / "m1.work" / "M1" / "model" / "config.json").is_file()
    assert len(rows(tmp_path / "m1.work" / "M2" / "prompts.jsonl")) == 2
    assert "M3 does not exist yet" in refused(config, tmp_path / "x.jsonl", "--set", "prompts.role=M3")


def test_the_work_is_a_run_directory_of_its_own_kind(config: Path, tmp_path: Path) -> None:
    out, work = tmp_path / "new.jsonl", tmp_path / "new.work"
    ok(config, out, "--count", 2)
    done = CliRunner().invoke(app, ["status", str(work), "--json"])
    assert [step["step"] for step in json.loads(done.stdout)["steps"]] == ["M0/model", "M1/seed", "M1/prompts"]
    for command in (["run", str(config), "--out", str(work)], ["report", str(work)]):
        error = CliRunner().invoke(app, command).exception
        assert isinstance(error, InputError)
        assert "holds the steps of 'instructions', not of" in str(error)


def test_killed_and_started_again_it_gives_the_same_file(config: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    ok(config, whole, "--count", 5)
    assert len(rows(whole)) == 5
    command = [sys.executable, "-m", "judgeloop", "instruct", str(config), "--count", "5", "--out"]
    process = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun = tmp_path / "killed.work" / "M1" / ".prompts.begun.json"
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.01)
    for one in process_tree(process.pid):
        os.kill(one, signal.SIGKILL)
    process.wait()
    for _ in range(20):  # its child notices within a moment, and holds the folder until then
        done = subprocess.run([*command, str(out)], capture_output=True, text=True, check=False)
        if "another run is working" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    assert "2 finished steps found, going on at M1/prompts" in done.stdout
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.long
@pytest.mark.model
def test_the_real_model_writes_tasks(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGELOOP_CACHE")
    seed = [{"instruction": task.instruction, "output": task.output} for task in shipped_tasks("en") if not task.input]
    seed += [{"instruction": text, "output": "Gladly."} for text in QUESTIONS]
    (tmp_path / "seed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in seed), encoding="utf-8")
    path = write_config(
        tmp_path,
        model="smollm2-135m-instruct",
        engine={"kind": "openvino", "cache_gib": 1},
        prompts={
            "source": "self_instruct",
            "sampling": {"temperature": 0.7, "max_new_tokens": 96},
            "self_instruct": {"new_tasks": 3, "sampling": {"max_new_tokens": 96}},
        },
    )
    out = tmp_path / "new.jsonl"
    found = json.loads(ok(path, out, "--count", 4, "--json"))
    assert found["kept"] == len(rows(out)) == 4
    assert found["classification"]["asked"] >= 4
    assert all(len(row["instruction"].split()) >= 3 and row["response"] for row in rows(out))
