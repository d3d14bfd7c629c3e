"""The transfer benchmark on tiny models: what is asked, resumed and refused, and how runs are taken together."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from judgeloop.config.user_functions import load_module
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects
from tiny import make_tiny_model

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def transfer() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return load_module(BENCHMARKS / "transfer.py", "transfer")


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    for number, name in enumerate(("M1", "M2")):
        make_tiny_model(tmp_path / "run-s1" / name / "model", seed=number)
    questions = ("Why is rain wet?", "Name a loaf of rye.", "Who owns the Moon and its dust?")
    ifeval = write(tmp_path / "ifeval.jsonl", [
        {"key": k, "prompt": text, "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
        for k, text in enumerate(questions)
    ])  # fmt: skip
    ranked = write(tmp_path / "ranked.jsonl", [
        {"prompt": text, "responses": [{"text": f"Good {text}", "rank": 0}, {"text": "No", "rank": 1}]}
        for text in questions
    ])  # fmt: skip
    asked = write(tmp_path / "asked.jsonl", [{"prompt": text} for text in questions])
    return [str(tmp_path / "run-s1"), "--models", "M1", "M2", "--ifeval", ifeval, "--agreement", ranked, "--mt-bench",
            asked, "--max-new-tokens", "8", "--others", "1", "--threads", "1",
            "--out", str(tmp_path / "out")]  # fmt: skip


def test_everything_is_measured_and_asked_once(
    transfer: ModuleType, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["transfer.py", *arguments])
    monkeypatch.setattr(transfer, "engine_for", lambda *_: transfer_engine())
    monkeypatch.setattr(transfer, "judge_config", lambda *_: without_mass())
    transfer.main()
    shown = capsys.readouterr().out
    folder = tmp_path / "out" / "run-s1" / "M2"
    assert len([*read_objects(folder / "ifeval.jsonl")]) == 3
    assert len([*read_objects(folder / "agreement.jsonl")]) == 3 * 2 * 2  # under one other prompt too
    assert len([*read_objects(folder / "mt_bench.judged.jsonl")]) == 3 * 2
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in shown.splitlines() if line.startswith("| ")}
    assert rows["IFEval strict, prompts, %"][1:3] == ["1", "3"]
    assert len(rows["agreement by contrasts, %"]) == 6  # title, runs, prompts, M1, M2, M2 − M1
    assert "agreement, contrasts − scores, points" in rows
    assert "MT-Bench, mean contrast" in rows
    before = {path: path.read_bytes() for path in folder.glob("*.jsonl")}
    (folder / "ifeval.jsonl").write_bytes(before[folder / "ifeval.jsonl"].splitlines(keepends=True)[0])
    transfer.main()  # goes on after a kill
    assert capsys.readouterr().out == shown
    assert sorted((folder / "ifeval.jsonl").read_bytes().splitlines()) == sorted(
        before[folder / "ifeval.jsonl"].splitlines()
    )

    monkeypatch.setattr(sys, "argv", ["transfer.py", *arguments, "--max-new-tokens", "9"])
    with pytest.raises(SystemExit, match=r"settings\.json: rows here were made with another max_new_tokens"):
        transfer.main()
    make_tiny_model(tmp_path / "run-s1" / "M2" / "model", seed=7)
    with pytest.raises(InputError, match=r"M2.weights\.json: rows here were made with another hash"):
        transfer.measure(transfer.parsed(arguments))


def transfer_engine() -> object:
    from judgeloop.config import EngineSection

    return EngineSection(kind="transformers", precision="f32")


def without_mass() -> object:
    from judgeloop.config import JudgeSection

    return JudgeSection(rubric="additive-5-short", min_mass=0.0)


def test_a_model_that_is_not_there_is_named(transfer: ModuleType, arguments: list[str]) -> None:
    options = transfer.parsed([*arguments, "--models", "M1", "M3"])
    options.parts = []
    with pytest.raises(InputError, match=r"M3.model: is no model folder; make the run with --keep-weights"):
        transfer.measure(options)


def test_runs_are_paired_prompt_by_prompt(transfer: ModuleType) -> None:
    one = {"a": {"p": (1.0, 2.0), "q": (2.0, 2.0)}, "b": {"p": (2.0, 2.0), "q": (0.0, 2.0), "r": (1.0, 1.0)}}
    other = {"a": {"p": (0.0, 2.0), "q": (2.0, 2.0)}}
    assert transfer.together(one).value == 5 / 8
    assert transfer.together(one, other).value == 1 / 4  # the run that both have
    assert transfer.together({}, other) is None
