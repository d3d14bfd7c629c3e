"""A JSON artifact that was damaged ends a command with one line that names the file, the key and what to do."""

from __future__ import annotations

import copy
import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from bad_input import contents, write, write_seed
from bad_models import run_of

from judgeloop.artifacts import SHAPES, damage
from judgeloop.cli import main
from judgeloop.config import parse
from judgeloop.errors import InputError
from judgeloop.judging.rubric import load_rubric
from judgeloop.loop import method
from judgeloop.models.run_note import FILE, RunNote
from judgeloop.report.concerns import headline
from judgeloop.report.figures import figures
from judgeloop.report.summary import summarise
from judgeloop.report.terminal import summary_table
from judgeloop.run import stopping
from judgeloop.run.directory import RunDirectory
from judgeloop.stages.run_note import ASKED
from report.make_run import make_run

MARKER = {"fingerprint": "f", "settings": {}, "inputs": {}, "seconds": 1.0, "files": {}}
DECISION = {"stopped": True, "at": "M3/eval", "reason": "enough", "best": "M2", "why_best": "it is the best"}
# Artifact of a run → a key that it must have.
KEYS = {
    "run.json": "started", "decision.json": "best", "M2/.judge.done.json": "seconds", "M0/model.json": "hash",
    "M2/train.json": "hash", "M2/judge.json": "health", "M2/eval.json": "judge_health", "M2/checks.json": "measures",
    "M2/pairs.json": "pairs",
}  # fmt: skip
OF_STATUS = ("run.json", "decision.json", "M2/.judge.done.json")
DAMAGES = ("empty", "missing", "wrong", "torn", "list")


def damaged(path: Path, how: str, key: str) -> str:
    """Damage a file; return the word that has to be said of it."""
    text = path.read_text(encoding="utf-8")
    value = json.loads(text)
    if how == "torn":
        path.write_text(text[: len(text) // 2], encoding="utf-8")
        return "damaged"
    if how == "missing":
        del value[key]
    elif how == "wrong":
        value[key] = ["wrong"]
    path.write_text(json.dumps({"empty": {}, "list": [1]}.get(how, value)), encoding="utf-8")
    return {"empty": "has no", "missing": f"has no '{key}'", "wrong": f"'{key}' is [\"wrong\"], not ", "list": ""}[how]


def said_by(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The one line with which the command ends, with exit code 2."""
    monkeypatch.setattr(sys, "argv", ["judgeloop", *shlex.split(command)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert ended.value.code == 2, told.out + told.err
    assert len(told.err.strip().splitlines()) == 1, told.err
    assert told.err.startswith("judgeloop: "), told.err
    return told.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("finished") / "run", checked=True)
    (run / "decision.json").write_text(json.dumps(DECISION))
    return run


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", KEYS)
def test_status_and_report(
    name: str, how: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    word = damaged(run / name, how, KEYS[name])
    for command in ("status", "report") if name in OF_STATUS else ("report",):
        if command == "report" and how == "torn" and name == "run.json":
            continue  # as `status`
        said = said_by(f"{command} {run}", capsys, monkeypatch)
        assert name.rpartition("/")[2] in said
        assert word in said
        assert "restore it" in said


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["run.json", "decision.json", "M0/.model.done.json", "M0/.model.begun.json"])
def test_run(
    name: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_seed(tmp_path / "seed.jsonl")
    for file, content in {**run_of(), "run/decision.json": DECISION}.items():
        write(tmp_path / file, content)
    if name.startswith("M0"):
        write(tmp_path / "run" / name, MARKER)
        write(tmp_path / "run/M0/model.json", {"path": "model", "hash": "h", "name": "tiny"})
    key = {"run.json": "started", "decision.json": "stopped"}.get(name, "fingerprint")
    word = damaged(tmp_path / "run" / name, how, key)
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    said = said_by("run run/config.yaml --out run", capsys, monkeypatch)
    assert f"run/{name}" in said
    assert word in said
    assert ("--redo M0/model" if name.startswith("M0") else "restore it") in said
    after = contents(tmp_path)
    assert {file: after[file] for file in before} == before


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["eval", "judge"])
def test_what_decides(name: str, how: str, finished: Path, tmp_path: Path) -> None:
    """`judgeloop run` decides by these after a step; its row files are sealed, so here they are read directly."""
    config = parse({"seed_data": {"ift": "x.jsonl"}, "iterations": 2}, "test")
    run = RunDirectory(Path(shutil.copytree(finished, tmp_path / "run")), config, method(config))
    damaged(tmp_path / "run" / "M2" / f"{name}.json", how, KEYS[f"M2/{name}.json"])
    (tmp_path / "run/M2/judgements.jsonl").touch()
    with pytest.raises(InputError, match=rf"M2/{name}\.json: .*; restore it or redo"):
        stopping.decide(run, run.steps[f"M2/{name}"])


NOTE = ("judge --model {m} --in rows.jsonl --out o.jsonl", "eval agreement --model {m} --in ranked.jsonl",
        "eval winrate --responses a.jsonl --against-responses a.jsonl --judge {m} --compare scores")  # fmt: skip


@pytest.mark.parametrize("key", ["judge", "judge.rubric", "judge.rubric.template", "judge.scoring", "thinking"])
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("command", NOTE)
def test_judge_and_eval(
    command: str, how: str, key: str, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = parse({"seed_data": {"ift": "x.jsonl"}}, "test").judge
    judge = {"rubric": asdict(load_rubric(config.rubric, "en")), **config.model_dump(mode="json", exclude=ASKED)}
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    RunNote("M2", "0", None, None, "auto", judge).write(model)
    value = json.loads((model / FILE).read_text())
    *outer, last = key.split(".")
    node = value
    for part in outer:
        node = node[part]
    if how in ("missing", "wrong"):
        node[last] = 7
        if how == "missing":
            del node[last]
    text = json.dumps({"empty": {}, "list": [1]}.get(how, value))
    (model / FILE).write_text(text[:-9] if how == "torn" else text)
    for name in ("rows.jsonl", "a.jsonl"):
        write(tmp_path / name, [{"prompt": "Say 1.", "response": "1"}])
    write_seed(tmp_path / "ranked.jsonl", 2)
    monkeypatch.chdir(tmp_path)
    said = said_by(command.format(m=model), capsys, monkeypatch)
    assert FILE in said
    if how in ("missing", "wrong"):
        assert f"'{key}'" in said


def paths(value: object, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key at every depth; of a list the first item."""
    if here:
        yield here
    if isinstance(value, dict):
        for key in list(value)[:12]:
            yield from paths(value[key], (*here, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*here, 0))


@pytest.mark.parametrize("name", [*KEYS, "M2/prompts.json", "M1/seed.json"])
def test_no_key_at_any_depth_brings_the_report_down(name: str, finished: Path, tmp_path: Path) -> None:
    """What is of the wrong type, or gone, is a damaged file or no loss; never an error while a figure is made."""
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    whole = json.loads((run / name).read_text())
    assert damage(name.rpartition("/")[2], whole) is None
    tried = 0
    for path in paths(whole):
        for wrong in (..., ["wrong"], {"wrong": "wrong"}):
            value = copy.deepcopy(whole)
            node = value
            for key in path[:-1]:
                node = node[key]
            if wrong is ...:
                del node[path[-1]]
            else:
                node[path[-1]] = wrong
            if damage(name.rpartition("/")[2], value) is not None:
                continue  # it is named: read_json refuses it, the report goes without the file
            (run / name).write_text(json.dumps(value))
            summary = summarise(run)
            headline(summary)
            summary_table(summary)
            figures(summary["models"], [], None)
            tried += 1
    assert tried or name in SHAPES
