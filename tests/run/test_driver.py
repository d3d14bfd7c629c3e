"""The driver's order of things, without any stage at work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from judgeloop.config import parse
from judgeloop.errors import InputError
from judgeloop.loop import method
from judgeloop.run import children, driver, preflight, stopping
from judgeloop.run.directory import RunDirectory
from judgeloop.run.samples import Samples
from judgeloop.run.stage import Step


class Silent:
    def superseded(self, steps: Sequence[Step], where: Path) -> None: ...
    def planned(self, _lines: Sequence[str], /) -> None: ...
    def skipped(self, _step: Step, /) -> None: ...
    def started(self, step: Step, resumed: bool) -> None: ...
    def progress(self, done: int, total: int | None, note: str) -> None: ...
    def finished(self, step: Step, marker: Mapping[str, Any]) -> None: ...
    def failed(self) -> None: ...
    def samples(self, step: Step, found: Samples) -> None: ...
    def note(self, text: str) -> None: ...


@pytest.mark.parametrize(
    ("at", "last"), [("M2/judge", "M2/judge"), ("M2/eval", "M2/checks"), (None, "M3/checks")], ids=str
)
def test_a_run_that_is_stopped_still_checks_its_last_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str | None, last: str
) -> None:
    made: list[str] = []
    reported: list[str] = []
    recorded: list[stopping.Decision] = []
    end = stopping.Decision(True, str(at), "enough", "M1", "it is")

    def advance(_run: object, _steps: object, step: Step, *_rest: object) -> bool:
        made.append(step.name)
        return True

    monkeypatch.setattr(driver, "_advance", advance)
    monkeypatch.setattr(preflight, "look", lambda *_: None)
    monkeypatch.setattr(driver, "write_reports", lambda out: reported.append(made[-1]))
    monkeypatch.setattr(stopping, "decide", lambda run, step: end if step.name == at else None)
    monkeypatch.setattr(stopping, "record", lambda run, decision: recorded.append(decision))
    (tmp_path / "check.py").write_text("def check(prompt, response, finished):\n    return True\n", encoding="utf-8")
    checker = {"checker": str(tmp_path / "check.py")}
    config = parse({"seed_data": {"ift": "seed.jsonl"}, "evaluation": checker}, "test")
    driver.execute(config, tmp_path / "run", Silent())
    assert made[-1] == last
    assert {"M0/eval", "M0/checks", "M1/eval", "M1/checks"} <= set(reported)
    assert reported[-1] == last
    (decision,) = recorded
    assert decision.stopped is (at is not None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("section", ["sft", "train", "backtranslation.sft"])
@pytest.mark.parametrize(
    ("key", "value", "instead"),
    [("method", "qlora", "lora"), ("attention", "flash_attention_2", "auto"), ("kernels", "liger", "torch")],
)
def test_what_needs_a_gpu_is_refused_before_anything_is_made(
    tmp_path: Path, section: str, key: str, value: str, instead: str
) -> None:
    trained: dict[str, object] = {section: {key: value}}
    if section == "backtranslation.sft":
        trained = {"backtranslation": {"texts": "texts", "sft": {key: value}}}
    config = parse({"seed_data": {"ift": "seed.jsonl"}, **trained}, "test")
    wanted = rf"{section}\.{key}: {value} needs a GPU with CUDA.*set {section}\.{key}: {instead}$"
    with pytest.raises(InputError, match=wanted):
        driver.execute(config, tmp_path / "run", Silent())
    assert list(tmp_path.iterdir()) == []


def test_too_few_gpus_are_noticed_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(processes: int) -> None:
        raise InputError(f"{processes} asked for")

    monkeypatch.setattr(preflight, "require_gpus", none_left)
    config = parse({"seed_data": {"ift": "seed.jsonl"}, "compute": {"processes": 3}}, "test")
    with pytest.raises(InputError, match="3 asked for"):
        driver.execute(config, tmp_path / "run", Silent())
    assert list(tmp_path.iterdir()) == []


def test_weights_are_not_spread_over_one_process(tmp_path: Path) -> None:
    config = parse({"seed_data": {"ift": "seed.jsonl"}, "compute": {"sharding": "fsdp"}}, "test")
    with pytest.raises(InputError, match=r"compute\.sharding: fsdp needs two processes or more"):
        driver.execute(config, tmp_path / "run", Silent())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_model_trained_elsewhere_needs_no_gpu_until_it_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    monkeypatch.setattr(driver, "_advance", lambda *_given: False)
    monkeypatch.setattr(driver, "write_reports", lambda _out: None)
    monkeypatch.setattr(stopping, "decide", lambda _run, _step: stopping.Decision(True, "M2/eval", "", "M2", ""))
    monkeypatch.setattr(stopping, "with_best", lambda _run, decision: decision)
    monkeypatch.setattr(RunDirectory, "stale", lambda _run, _steps: [])
    monkeypatch.setattr(driver.seals, "gone", lambda _run, _steps: set())
    monkeypatch.setattr(driver.seals, "check", lambda _run, _step, _gone: None)
    config = parse({"seed_data": {"ift": "seed.jsonl"}, "iterations": 1, "train": {"kernels": "liger"}}, "test")
    (out / "M2" / "model").mkdir(parents=True)
    marker = {"fingerprint": "", "settings": {}, "inputs": {}, "files": {}, "seconds": 1.0}
    (out / "M2" / ".train.done.json").write_text(json.dumps(marker))
    (out / "M2" / "train.json").write_text(json.dumps({"hash": "h"}))
    (out / ".lock").touch()
    driver.execute(config, out, Silent())
    with pytest.raises(InputError, match="kernels: liger needs a GPU"):
        driver.execute(config, out, Silent(), redo=["M1/sft"])
    assert not (out / "superseded").exists()


def test_a_step_that_only_checks_is_carried_out_again_and_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def carry_out(run: RunDirectory, step: Step, *_: object) -> None:
        made.append(step.name)
        run.folder(step.model).mkdir(exist_ok=True)
        run.begin(step)
        artifact = run.artifact(step.name)
        if artifact.suffix:
            health = dict.fromkeys(("parse_rate", "tie_rate", "top_share", "length_correlation")) | {"judgements": 0}
            said = {"hash": "h", "path": "nowhere", "model": step.model, "judge": "M1", "judge_health": health,
                    "win_rate_vs_previous": None}  # fmt: skip
            artifact.write_text(json.dumps(said), encoding="utf-8")
        else:
            artifact.mkdir()
        run.finish(step, 0.0, {})

    monkeypatch.setattr(driver, "_carry_out", carry_out)
    monkeypatch.setattr(driver, "_present", lambda run, step: True)
    monkeypatch.setattr(driver.seals, "gone", lambda run, steps: set())
    monkeypatch.setattr(driver.seals, "check", lambda run, step, gone: None)
    monkeypatch.setattr(driver, "write_reports", lambda out: None)
    monkeypatch.setattr(stopping, "decide", lambda run, step: None)
    monkeypatch.setattr(stopping, "conclude", lambda run, step: None)
    monkeypatch.setattr(stopping, "with_best", lambda run, decision: stopping.Decision(False, "", "", "M1", ""))
    tree = {"seed_data": {"ift": "seed.jsonl"}, "iterations": 0}
    driver.execute(parse(tree, "test"), tmp_path / "run", Silent())
    assert made == ["M0/model", "M1/seed", "M1/rows", "M0/eval", "M1/sft", "M1/eval"]
    made.clear()
    longer = {**tree, "candidates": {"sampling": {"max_new_tokens": 77}}}
    driver.execute(parse(longer, "test"), tmp_path / "run", Silent())
    assert made == ["M1/rows"]
    with pytest.raises(InputError, match=r"M1/sft is stale.*sft\.max_length"):
        driver.execute(parse({**longer, "sft": {"max_length": 77}}, "test"), tmp_path / "run", Silent())


@pytest.mark.parametrize(
    ("every", "short", "trained"),
    [(None, False, {"M1/sft", "M2/train"}), (50, False, set()), (None, True, set())],
)
def test_training_alone_preloads_an_allocator(
    every: int | None, short: bool, trained: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with early stopping, for which training asks engines, nor for some seconds, which its imports take too."""
    config = parse(
        {"seed_data": {"ift": "no/such/file.jsonl"}, "iterations": 1, "train": {"early_stopping": {"every": every}}},
        "test",
    )
    steps, server = method(config), object()
    run = RunDirectory(tmp_path / "run", config, steps)
    preloading: set[str] = set()

    def child(*_: object, environment: Mapping[str, str], server: object, **__: object) -> None:
        if "LD_PRELOAD" in environment:
            preloading.add(step.name)
        assert (server is None) is ("LD_PRELOAD" in environment)

    monkeypatch.setattr(children, "run_child", child)
    monkeypatch.setattr(children, "has_driver", lambda: False)
    monkeypatch.setattr(children, "is_short", lambda run, step: short)
    monkeypatch.setattr(children.allocator, "preload", lambda: {"LD_PRELOAD": "libtcmalloc.so"})
    for step in steps:
        children.carry_out_in_child(run, step, Silent(), server)
    assert preloading == trained
