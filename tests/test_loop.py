from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, known_keys, parse
from judgeloop.errors import InputError
from judgeloop.loop import method
from judgeloop.stages.registry import STAGES
from judgeloop.steps import Step, settings
from tiny import make_tiny_model


def config(**tree: Any) -> Config:
    return parse({"seed_data": {"ift": "seed.jsonl"}, **tree}, "test")


def named(**tree: Any) -> dict[str, Step]:
    return {step.name: step for step in method(config(**tree))}


def test_the_method_section_in_order() -> None:
    assert list(named()) == [
        "M0/model", "M1/seed", "M1/sft", "M0/eval", "M1/eval",
        "M2/prompts", "M2/candidates", "M2/judge", "M2/pairs", "M2/train", "M2/eval",
        "M3/prompts", "M3/candidates", "M3/judge", "M3/pairs", "M3/train", "M3/eval",
    ]  # fmt: skip


@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_every_iteration_adds_a_model(iterations: int) -> None:
    made = [step.model for step in method(config(iterations=iterations)) if step.artifact == "model"]
    assert made == [f"M{k}" for k in range(1, iterations + 2)]


def test_the_next_model_starts_from_the_current_one_and_its_pairs() -> None:
    steps = named()
    assert steps["M1/sft"].inputs == ("M0/model", "M1/seed")
    assert steps["M2/train"].inputs == ("M1/sft", "M2/pairs")
    assert steps["M3/train"].inputs == ("M2/train", "M3/pairs")
    assert steps["M3/pairs"].inputs == ("M3/candidates", "M3/judge")
    assert steps["M3/candidates"].inputs == ("M2/train", "M3/prompts")
    assert steps["M3/judge"].inputs == ("M2/train", "M3/candidates")
    assert steps["M3/prompts"].inputs == ("M2/train", "M1/seed", "M2/prompts")
    assert steps["M3/eval"].inputs == ("M3/train", "M1/seed", "M2/eval")


def test_an_anchor_answers_the_same_prompts_and_is_judged_too() -> None:
    steps = named(pairs={"anchor": "previous"})
    assert [name for name in steps if name.endswith("anchors")] == ["M2/anchors", "M3/anchors"]
    assert steps["M2/anchors"].inputs == ("M0/model", "M2/prompts")
    assert steps["M3/anchors"].inputs == ("M1/sft", "M3/prompts")
    assert steps["M3/judge"].inputs == ("M2/train", "M3/candidates", "M3/anchors")
    assert steps["M3/pairs"].inputs == ("M3/candidates", "M3/anchors", "M3/judge")
    assert named(pairs={"anchor": "M1"})["M3/anchors"].inputs == ("M1/sft", "M3/prompts")
    with pytest.raises(InputError, match=r"pairs\.anchor: M2 does not exist yet"):
        named(pairs={"anchor": "M2"})


def test_rho_holds_for_an_iteration_or_for_all_that_follow() -> None:
    assert [config(pairs={"length_rho": 0.1}).pairs.rho(t) for t in (1, 2, 9)] == [0.1, 0.1, 0.1]
    assert [config(pairs={"length_rho": [0.0, 0.2]}).pairs.rho(t) for t in (1, 2, 3)] == [0.0, 0.2, 0.2]
    for wrong in (0.5, -0.1, [], "much"):
        with pytest.raises(InputError, match=r"pairs\.length_rho"):
            config(pairs={"length_rho": wrong})


def test_inputs_stand_before_what_is_made_from_them() -> None:
    seen: set[str] = set()
    for name, step in named(iterations=3).items():
        assert set(step.inputs) <= seen, name
        seen.add(name)
    assert len(seen) == len(method(config(iterations=3)))


def test_every_step_has_a_stage_and_known_keys() -> None:
    keys = set(known_keys())
    for step in named().values():
        assert step.stage in STAGES
        assert set(step.keys) <= keys, step.name


def test_the_base_model_is_evaluated_only_when_asked_for() -> None:
    steps = named(evaluation={"base": False})
    assert "M0/eval" not in steps
    assert "M0/eval" not in steps["M1/eval"].inputs
    assert "M0/eval" in named()["M1/eval"].inputs


def test_a_frozen_judge_is_an_input() -> None:
    steps = named(judge={"role": "M1"})
    assert steps["M2/judge"].inputs == ("M1/sft", "M2/candidates")
    assert steps["M3/judge"].inputs == ("M1/sft", "M3/candidates")
    assert steps["M3/candidates"].inputs == ("M2/train", "M3/prompts")
    assert named(judge={"role": "M0"})["M3/judge"].inputs[0] == "M0/model"


def test_a_frozen_judge_of_the_users_is_a_model_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"judge\.role: '.*' is neither current, M0, M1, … nor a model folder"):
        method(config(judge={"role": str(tmp_path)}))
    folder = str(make_tiny_model(tmp_path / "judge"))
    step = named(judge={"role": folder})["M3/judge"]
    assert step.inputs[0] == "M0/model"
    before = settings(step, config(judge={"role": folder}))
    make_tiny_model(tmp_path / "judge", seed=1)
    assert settings(step, config(judge={"role": folder})) != before  # other weights, other judgements


@pytest.mark.parametrize("role", ["M2", "M3", "M9"])
def test_a_judge_that_does_not_exist_yet_is_refused(role: str) -> None:
    with pytest.raises(InputError, match=rf"judge\.role: {role} does not exist yet when M1 needs it"):
        method(config(judge={"role": role}))


def test_the_judge_of_the_evaluation_must_exist_too() -> None:
    with pytest.raises(InputError, match=r"evaluation\.judge: M2 does not exist yet when M0 needs it"):
        method(config(evaluation={"judge": "M2"}))
    steps = named(evaluation={"judge": "M1"})
    assert all("M1/sft" in steps[f"M{k}/eval"].inputs for k in range(4) if k != 3 or "M3/eval" in steps)


def test_settings_that_shape_an_artifact_are_among_its_keys() -> None:
    steps = named()
    for name in ("M2/prompts", "M2/candidates", "M2/judge", "M2/train", "M2/eval", "M1/sft", "M1/seed"):
        assert "seed" in steps[name].keys, name
    assert {"model", "chat_template", "system_prompt", "revision"} <= set(steps["M0/model"].keys)
    assert "judge.rubric" in steps["M1/seed"].keys
    assert "train" in steps["M2/train"].keys
    assert "iterations" not in {key for step in steps.values() for key in step.keys}
