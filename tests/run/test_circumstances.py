"""What shapes a step's result and is in no config key is noted in its markers, and said when it is otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judgeloop import shipped
from judgeloop.config import parse
from judgeloop.engines.kinds import EngineKind
from judgeloop.errors import InputError
from judgeloop.instructions.self_instruct.task_form import task_form
from judgeloop.instructions.unnatural.example_form import shipped_tasks
from judgeloop.judging.rubric import load_rubric
from judgeloop.run.circumstances import ENGINES, KEY, TEXTS
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.run.stage import Change, Frozen, Stage, Step
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.models import Model
from judgeloop.stages.training import FOREIGN_ANCHORS


def reads_a_rubric(context: Context) -> Outcome:
    load_rubric("additive-5-short")
    context.output().write_text("")
    return Outcome({"rows": 0})


STAGE = Stage("work", "work", run=reads_a_rubric, writes=("work.jsonl",), reads=("judge",))


def run_of(path: Path, stage: Stage = STAGE, **tree: Any) -> tuple[RunDirectory, Step]:
    config = parse({"seed_data": {"ift": "seed.jsonl"}, **tree}, "test")
    step = Step("M2", stage, ("seed",), {"judge": (Frozen(str(path / "judge")),)})
    run = RunDirectory(path / "run", config, [step])
    run.folder("M2").mkdir(parents=True, exist_ok=True)
    return run, step


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "judge").mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (tmp_path / "judge" / name).write_text("{}")
    return tmp_path


def why(place: Path, stage: Stage = STAGE) -> str | None:
    run, step = run_of(place, stage)
    stale = run.stale([step])
    return stale[0].why if stale else None


def carry_out(place: Path, stage: Stage = STAGE) -> None:
    run, step = run_of(place, stage)
    run_stage(Context(run, step, lambda *_: None))


def other_text(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As a release with other words."""
    read = shipped._text
    monkeypatch.setattr(shipped, "_text", lambda package, file: read(package, file) + ("\n\nx" if name in file else ""))


def test_a_shipped_text_that_became_another_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out(place)
    assert why(place) is None
    other_text(monkeypatch, "curation-5")
    assert why(place) is None  # not one that the step read
    other_text(monkeypatch, "additive-5-short")
    assert "judgeloop.judging/rubrics/additive-5-short.en.txt" in str(why(place))


def test_a_text_is_noted_before_it_has_an_effect(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_context: Context) -> Outcome:
        load_rubric("additive-5-short")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(place, replace(STAGE, run=killed))
    run, step = run_of(place)
    assert list(run.noted(step, TEXTS)) == ["judgeloop.judging/rubrics/additive-5-short.en.txt"]
    other_text(monkeypatch, "additive-5-short")
    assert "additive-5-short" in str(why(place))


def test_all_kinds_of_shipped_texts_are_heard_of_each_time() -> None:
    for _ in range(2):
        heard: dict[str, str] = {}
        with shipped.listening(heard.__setitem__):
            load_rubric("additive-5")
            task_form("en")
            shipped_tasks("zh")
        kinds = {name.split("/")[1] for name in heard}
        assert kinds == {"rubrics", "templates", "demonstrations"}
        assert all(shipped.hash_now(name) == digest for name, digest in heard.items())
    assert shipped.hash_now("judgeloop.judging/rubrics/none.en.txt") is None


@pytest.mark.parametrize("name", ["generation_config.json", "model.safetensors", "modeling_own.py"])
def test_a_users_model_that_was_changed_is_named(place: Path, name: str) -> None:
    carry_out(place)
    (place / "judge" / name).write_text('{"repetition_penalty": 2}')
    assert why(place) is not None


def test_a_model_without_a_slash_in_its_name_counts_as_well(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)

    def run() -> tuple[RunDirectory, Step]:
        config = parse({"seed_data": {"ift": "seed.jsonl"}}, "test")
        step = Step("M2", STAGE, (), {"judge": (Frozen("judge"),)})
        made = RunDirectory(place / "run", config, [step])
        made.folder("M2").mkdir(parents=True, exist_ok=True)
        return made, step

    made, step = run()
    run_stage(Context(made, step, lambda *_: None))
    (place / "judge" / "model.safetensors").write_text("other")
    made, step = run()
    (stale,) = made.stale([step])
    assert stale.why.startswith("judge changed")


def test_a_change_of_the_code_is_said_where_it_matters(place: Path) -> None:
    carry_out(place)
    seldom = Change("fifth", "counts from one", lambda config: config.seed == 5)
    always = Change("first", "reads '4/5' as 4")
    assert why(place, replace(STAGE, changes=(seldom,))) is None
    said = why(place, replace(STAGE, changes=(seldom, always)))
    assert said == "judgeloop does it otherwise than the one that made it: reads '4/5' as 4"


def test_what_a_later_judgeloop_made_is_not_gone_on_with(place: Path) -> None:
    carry_out(place, replace(STAGE, changes=(Change("first", "reads '4/5' as 4"),)))
    assert why(place) == "a later judgeloop made it (first)"


def test_a_marker_from_before_there_were_notes_says_nothing_against_its_step(place: Path) -> None:
    carry_out(place)
    run, step = run_of(place)
    marker = run.marker(step, "done")
    said = read_json(marker)
    for name in (KEY, "judgeloop"):
        del said[name]
    write_json(marker, said)
    assert why(place) is None


@pytest.mark.parametrize(("anchor", "matters"), [(None, False), ("M0", False), ("previous", False), ("a/b", True)])
def test_answers_of_a_users_model_are_what_changed_in_training(anchor: str | None, matters: bool) -> None:
    config = parse({"seed_data": {"ift": "seed.jsonl"}, "pairs": {"anchor": anchor}}, "test")
    assert FOREIGN_ANCHORS.matters(config) is matters


class Picks:
    """What `engine.kind: auto` means on a machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.missing: str | None = None
        kind = EngineKind(lambda _given: None, can_run=lambda _folder: self.missing)  # type: ignore[arg-type,return-value]
        monkeypatch.setattr("judgeloop.engines.pick", lambda _folder: self.name)
        monkeypatch.setattr("judgeloop.config.choices.ENGINES", {"one": kind, "two": kind})
        monkeypatch.setattr("judgeloop.engines.open_engine", lambda section, *_, **__: self.opened.append(section.kind))
        self.opened: list[str] = []
        self.name = "one"


def test_auto_means_the_same_engine_in_all_of_a_stage(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picks = Picks(monkeypatch)
    run, step = run_of(place)
    run.begin(step)
    model = Model.frozen(run, str(place / "judge"), step)
    model.open(None)  # type: ignore[arg-type]
    picks.name = "two"  # gone on with on another machine
    model.open(None)  # type: ignore[arg-type]
    assert picks.opened == ["one", "one"]
    assert run.noted(step, ENGINES) == {str(place / "judge"): "one"}
    picks.missing = "it is not installed"
    with pytest.raises(InputError, match="M2/work was begun with one, which auto meant, and here it is not installed"):
        model.open(None)  # type: ignore[arg-type]


def test_two_engines_in_one_run_are_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picks = Picks(monkeypatch)

    def asks(context: Context) -> Outcome:
        context.model("judge").open(None)  # type: ignore[arg-type]
        context.output().write_text("")
        return Outcome({"rows": 0, "yields": ["one row"]})

    steps = [
        Step(name, replace(STAGE, run=asks), (), {"judge": (Frozen(str(place / "judge")),)}) for name in ("M1", "M2")
    ]
    config = parse({"seed_data": {"ift": "seed.jsonl"}}, "test")
    run = RunDirectory(place / "run", config, steps)
    for step, picks.name in zip(steps, ("one", "two"), strict=True):
        run.folder(step.model).mkdir(parents=True, exist_ok=True)
        run_stage(Context(run, step, lambda *_: None))
    first, second = (json.loads(run.marker(step, "done").read_text()) for step in steps)
    assert (first[KEY][ENGINES], second[KEY][ENGINES]) == ({str(place / "judge"): "one"}, {str(place / "judge"): "two"})
    assert first["yields"] == ["one row"]
    assert second["yields"][0] == "one row"
    assert "engine.kind: auto meant two here and one in M1/work" in second["yields"][1]
