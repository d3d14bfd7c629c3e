"""What a run will cost: counts are those that the run then makes, and nothing is said that nobody knows."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import make_config, tiny_model, without_children, write_prompts
from judgeloop.commands.plan import plan as plan_command
from judgeloop.config import load, parse
from judgeloop.errors import InputError
from judgeloop.forecast import planning, texts
from judgeloop.forecast.busy import Moment, quiet_seconds
from judgeloop.forecast.estimate import Forecast
from judgeloop.forecast.machine import Machine, named_gpu
from judgeloop.forecast.planning import plan, said_before
from judgeloop.forecast.rates import Calibration, Facts, combined, reckoned
from judgeloop.forecast.wording import lines
from judgeloop.forecast.work import Range, Work
from judgeloop.loop import method
from judgeloop.models.chat import Chat
from judgeloop.run import driver
from judgeloop.run.directory import RunDirectory, open_run
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.methods import steps_of
from tiny import make_tiny_model

__all__ = ["make_config", "tiny_model", "without_children"]
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))


def planned(path: Path, tmp_path: Path, overrides: list[str] | None = None, **options: Any) -> Forecast:
    return plan(load(path, overrides or []), tmp_path / "run", **{"seconds": 0, **options})


def test_every_stage_says_what_it_costs() -> None:
    tree = {
        "seed_data": {"ift": ["a"], "ranked": ["b"], "eft": {"source": "written"}},
        "backtranslation": {"texts": ["texts"]},
        "judge": {"scoring": "sampled", "meta": {"enabled": True}, "refresh": {"enabled": True}},
        "pairs": {"anchor": "M0", "implicit": True},
        "train": {"consistency": True, "solved_replay": 0.3},
        "evaluation": {"checker": "check.py"},
    }
    contrast = {"seed_data": {"ift": ["a"], "eft": {"source": "contrast"}}}
    ahead = {"seed_data": {"ift": ["a"]}, "pairs": {"chosen": "provisional"}}
    stages = {s.stage.name: s.stage for t in (tree, contrast, ahead) for s in method(parse(t, "test"))}
    assert len(stages) >= 30
    assert [name for name, stage in stages.items() if stage.cost is None] == []


class Told:
    """A display that keeps the plan's lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.mark.usefixtures("without_children")
def test_the_run_makes_the_rows_that_were_planned(make_config: Make, tmp_path: Path) -> None:
    path, told = make_config(iterations=1), Told()
    found = planned(path, tmp_path)
    driver.execute(load(path), tmp_path / "run", told)
    config, facts = open_run(tmp_path / "run")
    run = RunDirectory(tmp_path / "run", config, steps_of(facts["method"], config, tmp_path / "run"))
    made = {name: read_json(run.marker(step, "done")) for name, step in run.steps.items()}
    rows = {step.name: step.rows for step in found.steps}
    for name in ("M1/seed", "M1/sft", "M1/eval", "M2/prompts", "M2/candidates", "M2/judge", "M2/eval"):
        assert rows[name].low <= made[name]["rows"] <= rows[name].high, name
    assert rows["M2/candidates"].expected == made["M2/candidates"]["rows"] == 12
    steps = {step.name: step.work.steps.expected for step in found.steps}
    assert steps["M1/sft"] == json.loads((run.path / "M1" / "train.json").read_text())["steps"]
    assert len(told.lines) == 3
    assert told.lines[0].startswith("plan: about ")
    assert "by rates reckoned" in told.lines[0]


def test_each_iteration_is_planned_with_its_own_prompts(make_config: Make, tmp_path: Path) -> None:
    files = write_prompts(tmp_path / "asked.jsonl", 9)
    changes = ["iterations=3", "prompts.source=file", f"prompts.files={files}", "prompts.later_counts=[4, 7]"]
    found = planned(make_config(), tmp_path, ["prompts.count=2", *changes])
    rows = {step.name: step.rows.expected for step in found.steps}
    assert [rows[f"{model}/prompts"] for model in ("M2", "M3", "M4")] == [2, 4, 3]


def test_answers_that_are_not_judged_cost_no_judgement(make_config: Make, tmp_path: Path) -> None:
    def scored(*more: str) -> float:
        found = planned(make_config(), tmp_path, ["evaluation.samples=4", *more])
        step = next(step for step in found.steps if step.name == "M1/eval")
        return sum(part.tokens.expected for part in step.work.parts if part.kind == "score")

    every, two, one = scored(), scored("evaluation.judged=2"), scored("evaluation.judged=1")
    assert every - two == pytest.approx(2 * (two - one))
    assert two > one


@pytest.mark.usefixtures("without_children")
def test_a_run_does_without_a_plan_that_fails(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Work:
        raise ZeroDivisionError

    monkeypatch.setattr(planning, "forecast", broken)
    told = Told()
    driver.execute(load(make_config(iterations=0)), tmp_path / "run", told)
    assert told.lines == []
    assert (tmp_path / "run" / "M1" / "model" / "config.json").is_file()


def test_a_run_reads_no_large_seed_for_its_plan(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(make_config())
    assert said_before(config, method(config), tmp_path / "run")
    monkeypatch.setattr(planning, "_QUICK_BYTES", 10.0)
    assert said_before(config, method(config), tmp_path / "run") == []


def test_a_busy_machine_does_not_silence_the_plan(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=10)  # each look at the clock is ten seconds after the last one
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    config = load(make_config())
    assert said_before(config, method(config), tmp_path / "run")[0].startswith("plan: ")


def test_the_second_plan_reads_nothing_again(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_config()
    first = planned(path, tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(Chat, "load", refuse)
    monkeypatch.setattr(texts, "read_seed", refuse)
    assert planned(path, tmp_path).as_dict() == first.as_dict()
    write_prompts(tmp_path / "prompts.jsonl", 3)  # another file: no longer what is remembered
    with pytest.raises(AssertionError, match="read again"):
        planned(path, tmp_path)


def test_tokens_that_several_begin_with_count_once() -> None:
    assert texts.distinct([[1, 2, 3], [1, 2, 4], [1, 2, 3]]) == 4
    assert texts.distinct([[1, 2], [3, 4]]) == 4


def test_a_judge_behind_an_endpoint_is_priced_only_by_the_users_prices(make_config: Make, tmp_path: Path) -> None:
    judge = {"rubric": "additive-5-short", "role": "openai:some", "scoring": "sampled", "samples": 2}
    endpoint: dict[str, object] = {"url": "http://localhost:1/v1", "requests_per_minute": 60}
    path = make_config(iterations=1, judge=judge, endpoint=endpoint, sft={"eft_loss": "all", "max_length": 2000})
    found = planned(path, tmp_path)
    asked = next(step for step in found.steps if step.name == "M2/judge")
    assert asked.work.asked.requests == Range(24, 24, 24)  # 4 prompts × 3 candidates × 2 judgements
    assert asked.seconds.low >= 24  # one a second at most
    assert found.price is None
    path = make_config(
        iterations=1, judge=judge, endpoint={**endpoint, "prices": {"input": 2.0, "output": 10.0}},
        sft={"eft_loss": "all", "max_length": 2000},
    )  # fmt: skip
    priced = next(step for step in planned(path, tmp_path).steps if step.name == "M2/judge")
    sent, received = asked.work.asked.sent.expected, asked.work.asked.received.expected
    assert priced.price is not None
    assert priced.price.expected == pytest.approx((2 * sent + 10 * received) / 1e6)


def test_what_does_not_fit_is_said_with_the_key_that_lowers_it(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_config(iterations=1)
    small = Machine("a small machine", 1e10, None, 2e8)
    monkeypatch.setattr("judgeloop.forecast.concerns.free_disk", lambda _: 1e5)
    warnings = planned(path, tmp_path, machine=small).warnings
    said = next(text for text in warnings if text.startswith("M1/sft"))
    assert "will not fit into memory" in said
    assert "set sft.method: lora" in said
    assert any("the disk is too small" in text and "iterations" in text for text in warnings)
    large = Machine("a large machine", 1e10, None, 1e12)
    monkeypatch.setattr("judgeloop.forecast.concerns.free_disk", lambda _: 1e12)
    assert planned(path, tmp_path, machine=large).warnings == ()


def test_few_prompts_to_evaluate_on_are_said_before_the_run(make_config: Make, tmp_path: Path) -> None:
    path = make_config(iterations=1)
    asked = "3 prompts to evaluate on, of the 20 of evaluation.count: too few to see a gain; "
    held_out = planned(path, tmp_path, ["evaluation.count=20"]).warnings
    assert held_out[0].startswith(f"{asked}name a file of others in evaluation.prompts")
    files = f"evaluation.prompts=[{write_prompts(tmp_path / 'held.jsonl', 3)}]"
    in_files = planned(path, tmp_path, [files, "evaluation.count=20"]).warnings
    assert in_files[0] == f"{asked}add rows to evaluation.prompts"
    assert not any("too few" in said for said in planned(path, tmp_path).warnings)  # three of three


def test_a_model_that_the_run_would_refuse_has_no_plan(make_config: Make, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "packed")
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "quantization_config": {"quant_method": "awq"}}))
    with pytest.raises(InputError, match=r"its weights are quantised \(awq\) and cannot be trained further"):
        planned(make_config(iterations=1), tmp_path, [f"model={folder}"])


def test_a_faster_machine_takes_less_time(make_config: Make, tmp_path: Path) -> None:
    path = make_config(iterations=1)
    slow, fast = (planned(path, tmp_path, machine=named_gpu(name)) for name in ("L4", "H100"))
    trained = [next(s.seconds for s in each.steps if s.name == "M1/sft").expected for each in (slow, fast)]
    assert trained[0] > trained[1]
    with pytest.raises(InputError, match="'abacus' is not in the table"):
        named_gpu("abacus")


def test_rates_that_were_not_measured_follow_those_that_were() -> None:
    facts = Facts(100, 20, 2, 10, 400)
    machine = Machine("this", 1e9, None, 1e12)
    base = reckoned(machine, facts)
    found = combined(machine, facts, Calibration(tokens={"write": base.tokens["write"] / 2}))
    assert found.tokens["score"] == pytest.approx(base.tokens["score"] / 2)
    assert found.measured == ("write",)
    measured, reckoned_ = found.seconds("write", Range(9, 9, 9)), found.seconds("score", Range(9, 9, 9))
    assert measured.high / measured.low < reckoned_.high / reckoned_.low


def test_frozen_layers_take_their_backward_off() -> None:
    facts, machine = Facts(100, 20, 4, 10, 400), Machine("this", 1e9, None, 1e12)
    assert [facts.trained_share(frozen) for frozen in (0, 2, 4)] == pytest.approx([1, 2 / 3, 1 / 3])
    found = combined(machine, facts, Calibration(tokens={"train": 9.0}), frozen=2)
    assert (found.tokens["train"], found.frozen) == (9.0, 2)
    assert found.tokens["refer"] == pytest.approx(18.0)  # the forward: a third of a whole step, half of this
    whole = combined(machine, facts, Calibration(tokens={"train": 6.0}))
    assert found.tokens["score"] == pytest.approx(whole.tokens["score"])


def test_a_plan_counts_the_backward_of_frozen_layers_off(make_config: Make, tmp_path: Path) -> None:
    path = make_config(iterations=1)

    def trained(*sets: str) -> list[float]:
        found = planned(path, tmp_path, list(sets)).steps
        return [part.seconds.expected for part in found if part.name in ("M1/sft", "M2/train")]

    whole, less, both = (
        trained(),
        trained("sft.freeze_layers=1"),
        trained("sft.freeze_layers=1", "train.freeze_layers=1"),
    )
    assert less[0] < whole[0]
    assert less[1] == whole[1]
    assert both[0] == less[0]
    assert both[1] < less[1]


def test_a_whole_training_is_not_planned_with_less_memory_than_reckoned(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_config(iterations=1)

    def trained(memory: float | None) -> Range:
        found = Calibration(tokens={"train": 1000.0}, memory=memory)
        monkeypatch.setattr("judgeloop.forecast.calibration.calibrate", lambda *_: found)
        monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / f"cache {memory}"))
        return next(s.memory for s in planned(path, tmp_path, seconds=1).steps if s.name == "M1/sft")

    alone, small, large = trained(None), trained(1e6), trained(1e12)
    assert (small.expected, small.high) == (alone.expected, alone.high)
    assert small.low < alone.low
    assert large.expected == pytest.approx(1.05e12)


def test_a_machine_is_measured_once_and_again_if_asked(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, times = make_config(iterations=1), iter([1000.0, 500.0, 250.0])
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "judgeloop.forecast.calibration.calibrate", lambda *_: Calibration(tokens={"train": next(times)})
    )

    def rate(**how: Any) -> float:
        return planned(path, tmp_path, seconds=1, **how).rates.tokens["train"]

    assert (rate(), rate()) == (1000.0, 1000.0)
    assert (rate(recalibrate=True), rate()) == (500.0, 500.0)


def test_what_other_programs_take_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    busy = quiet_seconds(Moment(0, 0, 100), Moment(10, 10, 120))  # half of two cores each
    assert busy == (pytest.approx(5.0), pytest.approx(0.5))
    assert quiet_seconds(Moment(0, 0, 100), Moment(10, 18, 118.1))[0] == 10


def test_the_command_prints_a_table_and_json(
    make_config: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    path = make_config(iterations=1)
    plan_command(str(path), tmp_path / "run", seconds=0)
    said = capsys.readouterr().out
    assert "M1/sft" in said
    assert "of memory" in said
    plan_command(str(path), tmp_path / "run", seconds=0, as_json=True)
    value = json.loads(capsys.readouterr().out)
    assert value["seconds"]["low"] <= value["seconds"]["expected"] <= value["seconds"]["high"]
    assert [step["step"] for step in value["steps"]][:2] == ["M0/model", "M1/seed"]


def test_this_machine_is_measured_with_the_model(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("judgeloop.forecast.calibration.TOO_BUSY", 1.0)
    monkeypatch.setattr("judgeloop.forecast.planning.BUSY", 1.0)
    found = planned(make_config(), tmp_path, seconds=300.0)
    assert found.warnings == ()
    assert set(found.rates.measured) == {"train", "refer", "read", "write", "score"}
    assert all(rate > 0 for rate in found.rates.tokens.values())
    monkeypatch.setattr("judgeloop.forecast.planning._measure", None)  # the second plan measures nothing
    assert planned(make_config(), tmp_path, seconds=300.0).rates == found.rates


def test_a_busy_machine_is_not_measured(make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judgeloop.forecast.calibration.others_share", lambda: 0.7)
    found = planned(make_config(), tmp_path, seconds=60.0)
    assert found.rates.measured == ()
    assert "other programs take 70% of the processor; plan again when it is idle" in " ".join(found.warnings)
    assert "`judgeloop plan`" not in " ".join(lines(found, planning=True))  # who plans is not told to plan
    assert "`judgeloop plan` measures" in lines(found)[0]
