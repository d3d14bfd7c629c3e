"""Whatever a user can get wrong ends with one line, exit code 2, no traceback, and nothing written over."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from bad_configs import CONFIGS
from bad_data import DATA
from bad_input import Case, contents, prepare
from bad_models import MODELS

from judgeloop.cli import main
from judgeloop.run.directory import RunDirectory

CASES = [*CONFIGS, *DATA, *MODELS]
AFTER_TRAINING = ("function fails",)  # what a function says of M1's answers nobody knows before there are any
WHOLE_PROCESS = (
    "config has a key twice", "unknown option", "plugin fails in many lines", "seed is a web page",
    "status with an unknown method",
)  # fmt: skip


def test_the_table_is_large_and_its_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 80
    assert {*AFTER_TRAINING, *WHOLE_PROCESS} < {case.name for case in CASES}


def check(case: Case, folder: Path, before: dict[str, bytes], code: object, said: str, told: str) -> None:
    assert code == 2, said
    assert len(said.strip().splitlines()) == 1, said
    assert said.startswith("judgeloop: "), said
    assert "Traceback" not in said + told
    for word in case.words:
        assert word in said, said
    for secret in case.environment.values():
        assert secret not in said
    after = contents(folder)
    assert {name: after.get(name) for name in before} == before
    assert case.name in AFTER_TRAINING or not (folder / "run" / "M1" / "model").exists()


@pytest.mark.usefixtures("without_children")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_one_line(
    case: Case, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(RunDirectory._take_lock, "__defaults__", (0.0,))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    prepare(tmp_path, case, tiny_model)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["judgeloop", *shlex.split(case.command)])
    before = contents(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    check(case, tmp_path, before, ended.value.code, said.err, said.out)


@pytest.mark.parametrize("name", WHOLE_PROCESS)
def test_one_line_of_a_whole_process(
    name: str, tmp_path: Path, tiny_model: Path, judgeloop: Callable[..., CompletedProcess[str]]
) -> None:
    (case,) = (case for case in CASES if case.name == name)
    prepare(tmp_path, case, tiny_model)
    before = contents(tmp_path)
    done = judgeloop(*shlex.split(case.command))
    check(case, tmp_path, before, done.returncode, done.stderr, done.stdout)


@pytest.mark.usefixtures("without_children")
def test_no_pairs_says_which_keys_to_turn(
    make_config: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    config = make_config(pairs={"margin": 5.0, "unfinished": "as_judged"})
    monkeypatch.setattr(sys, "argv", ["judgeloop", "run", str(config), "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pairs.margin" in line
