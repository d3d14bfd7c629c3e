from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, EftSection, SeedSection, known_keys, parse
from judgeloop.errors import InputError
from judgeloop.loop import method
from judgeloop.run.fingerprints import settings
from judgeloop.run.methods import METHODS, backtranslation, instruction_making
from judgeloop.run.stage import Artifact, Frozen, Remote, Step
from tiny import make_tiny_model


def config(**tree: Any) -> Config:
    return parse({"seed_data": {"ift": "seed.jsonl"}, **tree}, "test")


def named(**tree: Any) -> dict[str, Step]:
    return {step.name: step for step in method(config(**tree))}


def test_the_method_section_in_order() -> None:
    assert list(named()) == [
        "M0/model", "M1/seed", "M1/rows", "M0/eval", "M1/sft", "M1/eval",
        "M2/prompts", "M2/candidates", "M2/judge", "M2/pairs", "M2/train", "M2/eval",
        "M3/prompts", "M3/candidates", "M3/judge", "M3/pairs", "M3/train", "M3/eval",
    ]  # fmt: skip


def test_a_judge_that_is_made_later_is_waited_for() -> None:
    steps = named(evaluation={"judge": "M1"})
    assert list(steps)[:5] == ["M0/model", "M1/seed", "M1/rows", "M1/sft", "M0/eval"]
    assert steps["M0/eval"].inputs == ("M0/model", "M1/sft", "M1/seed")


@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_every_iteration_adds_a_model(iterations: int) -> None:
    made = [step.model for step in method(config(iterations=iterations)) if step.artifact == "model"]
    assert made == [f"M{k}" for k in range(1, iterations + 2)]


def test_the_next_model_starts_from_the_current_one_and_its_pairs() -> None:
    steps = named()
    assert steps["M1/sft"].inputs == ("M0/model", "M1/seed")
    assert steps["M2/train"].inputs == ("M1/sft", "M2/pairs", "M2/candidates")
    assert steps["M3/train"].inputs == ("M2/train", "M3/pairs", "M3/candidates")
    assert steps["M3/train"].given["policy"] == steps["M3/train"].given["reference"] == (Artifact("M2/train", "model"),)
    assert steps["M3/pairs"].inputs == ("M3/prompts", "M3/candidates", "M3/judge")
    assert steps["M3/candidates"].inputs == ("M2/train", "M3/prompts")
    assert steps["M3/judge"].inputs == ("M2/train", "M3/prompts", "M3/candidates")
    assert steps["M3/prompts"].inputs == ("M2/train", "M1/seed", "M2/prompts")
    assert steps["M3/eval"].inputs == ("M3/train", "M1/seed", "M2/eval")


def test_an_anchor_answers_the_same_prompts_and_is_judged_too() -> None:
    steps = named(pairs={"anchor": "previous"})
    assert [name for name in steps if name.endswith("anchors")] == ["M2/anchors", "M3/anchors"]
    assert steps["M2/anchors"].inputs == ("M0/model", "M2/prompts")
    assert steps["M3/anchors"].inputs == ("M1/sft", "M3/prompts")
    assert steps["M3/judge"].inputs == ("M2/train", "M3/prompts", "M3/candidates", "M3/anchors")
    assert steps["M3/pairs"].inputs == ("M3/prompts", "M3/candidates", "M3/anchors", "M3/judge")
    assert named(pairs={"anchor": "M1"})["M3/anchors"].inputs == ("M1/sft", "M3/prompts")
    with pytest.raises(InputError, match=r"pairs\.anchor: M2 does not exist yet"):
        named(pairs={"anchor": "M2"})


def test_a_model_one_step_ahead_is_trained_on_the_first_pairs_and_answers_too() -> None:
    steps = named(pairs={"chosen": "provisional", "anchor": "M1", "rejected": "anchored", "implicit": True})
    mine = [name.partition("/")[2] for name in steps if name.startswith("M3/")]
    assert mine == [
        "prompts", "candidates", "anchors", "judge", "first_pairs", "provisional", "ahead", "judge_ahead", "pairs",
        "agreed", "train", "eval",
    ]  # fmt: skip
    assert steps["M3/provisional"].inputs == ("M2/train", "M3/first_pairs", "M3/candidates", "M3/anchors")
    assert steps["M3/provisional"].given["reference"] == (Artifact("M2/train", "model"),)
    assert steps["M3/ahead"].inputs == ("M3/provisional", "M3/prompts")
    assert steps["M3/judge_ahead"].inputs == ("M2/train", "M3/prompts", "M3/ahead")  # the candidates' judge
    assert steps["M3/pairs"].given["judgements"] == tuple(
        Artifact(f"M3/{step}", file) for step, file in
        (("judge", "judgements.jsonl"), ("judge_ahead", "ahead.judgements.jsonl"))
    )  # fmt: skip
    # The next model starts from the current one, not from the provisional one, and so does the iteration after it.
    assert steps["M3/train"].inputs == ("M2/train", "M3/agreed", "M3/candidates", "M3/ahead", "M3/anchors")
    assert steps["M3/candidates"].given["policy"] == (Artifact("M2/train", "model"),)


def test_what_is_always_rejected_has_a_name() -> None:
    with pytest.raises(InputError, match=r"pairs.*rejected: anchored rejects an earlier model's answers; name it"):
        config(pairs={"rejected": "anchored"})


def test_a_checker_measures_every_evaluated_model_apart_from_its_judge() -> None:
    steps, without = named(evaluation={"checker": "check.py"}), named()
    assert [name for name in steps if name not in without] == ["M0/checks", "M1/checks", "M2/checks", "M3/checks"]
    names = list(steps)
    assert all(names[names.index(f"M{k}/checks") - 1] == f"M{k}/eval" for k in range(4))
    assert steps["M0/checks"].inputs == ("M0/eval", "M1/seed")
    assert steps["M2/checks"].inputs == ("M2/eval", "M1/seed", "M1/checks")
    assert not steps["M2/checks"].light  # in a process of its own
    assert named(evaluation={"checker": "check.py", "base": False})["M1/checks"].inputs == ("M1/eval", "M1/seed")
    for name, step in without.items():  # nothing else is made anew when the checker changes
        assert settings(step, config()) == settings(step, config(evaluation={"checker": "check.py"})), name
        assert steps[name] == step


@pytest.mark.parametrize(
    ("iterations", "every", "evaluated"),
    [(2, 1, [0, 1, 2, 3]), (4, 2, [0, 1, 3, 5]), (4, 3, [0, 1, 4, 5]), (3, 9, [0, 1, 4]), (0, 5, [0, 1])],
)
def test_every_nth_model_is_evaluated_and_set_against_the_one_evaluated_before(
    iterations: int, every: int, evaluated: list[int]
) -> None:
    steps = named(iterations=iterations, evaluation={"every": every, "checker": "check.py"})
    for stage, answers in (("eval", "eval.responses.jsonl"), ("checks", "checks.jsonl")):
        found = [step for step in steps.values() if step.stage.name == stage]
        assert [step.model for step in found] == [f"M{k}" for k in evaluated]
        before = [step.given.get("previous") for step in found]
        assert before == [None, *((Artifact(f"M{k}/{stage}", answers),) for k in evaluated[:-1])]
    assert [name for name in steps if name.endswith("/train")] == [f"M{k + 2}/train" for k in range(iterations)]


def test_evaluating_fewer_models_makes_nothing_else_anew() -> None:
    steps, fewer = named(), named(evaluation={"every": 2})
    assert set(steps) - set(fewer) == {"M2/eval"}
    for name, step in fewer.items():
        assert settings(step, config()) == settings(step, config(evaluation={"every": 2})), name


def test_replay_reads_the_seeds_rows() -> None:
    eft, ift = (Artifact("M1/seed", f"{part}.jsonl") for part in ("eft", "ift"))
    step = named(train={"eft_replay": 0.2})["M3/train"]
    assert step.given["eft"] == (eft,)
    assert "ift" not in step.given
    step = named(train={"ift_replay": 0.2})["M3/train"]
    assert step.given["ift"] == (ift,)
    assert "eft" not in step.given
    step = named(train={"eft_replay": 0.2, "ift_replay": 0.2})["M3/train"]
    assert (step.given["eft"], step.given["ift"]) == ((eft,), (ift,))
    assert "M1/seed" not in named()["M3/train"].inputs


def test_consistency_lets_the_model_before_judge_the_same_candidates() -> None:
    steps = named(train={"consistency": True})
    assert steps["M2/consistency"].inputs == ("M0/model", "M2/prompts", "M2/candidates", "M2/judge")
    assert steps["M3/consistency"].inputs == ("M1/sft", "M3/prompts", "M3/candidates", "M3/judge")
    assert "M3/consistency" in steps["M3/train"].inputs
    with pytest.raises(InputError, match="consistency sets label_smoothing itself"):
        named(train={"consistency": True, "loss": "ipo"})


def test_a_judge_behind_an_endpoint_is_an_input_by_its_name() -> None:
    remote = {"judge": {"role": "openai:gpt"}, "endpoint": {"url": "http://127.0.0.1:9/v1"}}
    step = named(**remote)["M3/judge"]
    assert step.given["judge"] == (Remote("openai:gpt"),)
    assert {"endpoint.url", "endpoint.begin_score"} <= set(step.keys)
    with pytest.raises(InputError, match=r"endpoint\.url: judge\.role is openai:gpt; name the API's base URL"):
        named(judge={"role": "openai:gpt"})
    with pytest.raises(InputError, match=r"judge\.max_samples asks again"):
        named(**{**remote, "judge": {"role": "openai:gpt", "scoring": "sampled", "max_samples": 6}})


@pytest.mark.parametrize("judge", [{"role": "M1"}, {"function": "score.py"}])
def test_consistency_compares_a_model_with_the_one_before_and_no_other_judge(judge: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"train\.consistency compares the current model's judgements"):
        named(train={"consistency": True}, judge=judge)


def test_rho_holds_for_an_iteration_or_for_all_that_follow() -> None:
    assert [config(pairs={"length_rho": 0.1}).pairs.rho(t) for t in (1, 2, 9)] == [0.1, 0.1, 0.1]
    assert [config(pairs={"length_rho": [0.0, 0.2]}).pairs.rho(t) for t in (1, 2, 3)] == [0.0, 0.2, 0.2]
    assert [config(pairs={"top_share": [1, 0.5]}).pairs.share(t) for t in (1, 2, 3)] == [1.0, 0.5, 0.5]
    for wrong in (0.5, -0.1, [], "much"):
        with pytest.raises(InputError, match=r"pairs\.length_rho"):
            config(pairs={"length_rho": wrong})


def written(**eft: Any) -> dict[str, Step]:
    return named(seed_data={"ranked": "ranked.jsonl", "eft": {"source": "written", **eft}})


def test_written_eft_rows_have_a_writer_judgements_and_a_choice_among_them() -> None:
    steps = written()
    before = ["M0/model", "M1/seed", "M1/rows", "M0/eval"]
    assert list(steps)[:8] == [*before, "M1/writer", "M1/written", "M1/eft", "M1/sft"]
    assert steps["M1/writer"].inputs == ("M0/model", "M1/seed")
    assert steps["M1/written"].inputs == ("M1/writer", "M1/seed")
    assert steps["M1/eft"].inputs == ("M1/seed", "M1/written")
    assert steps["M1/sft"].inputs == ("M0/model", "M1/seed", "M1/eft")
    base = written(writer="M0")
    assert "M1/writer" not in base
    assert base["M1/written"].inputs == ("M0/model", "M1/seed")
    with pytest.raises(InputError, match=r"seed_data\.eft\.writer: M1 does not exist yet"):
        written(writer="M1")


def test_each_key_of_written_rows_matters_to_the_step_it_shapes() -> None:
    everything = {
        "writer": "M0", "samples": 9, "examples": 2, "score": "drawn", "sampling": {"temperature": 0.1},
        "opening": "It", "ties": "lenient", "max_rows": 7, "max_share": 0.5, "ift_overlap": True,
    }  # fmt: skip
    shapes = {
        "M1/written": {"writer", "samples", "examples", "score", "opening", "sampling"},
        "M1/eft": {"ties", "max_rows", "max_share"},
        "M1/seed": {"ift_overlap"},
    }
    assert set().union(*shapes.values()) == set(everything) == set(EftSection.model_fields) - {"source", "contrast"}
    steps = written()
    for key, value in everything.items():
        others = {"score": "drawn"} if key == "opening" else {}
        before = {name: settings(steps[name], _written_config(**others)) for name in shapes}
        after = {name: settings(steps[name], _written_config(**{**others, key: value})) for name in shapes}
        assert {name for name in shapes if after[name] != before[name]} == {
            name for name, keys in shapes.items() if key in keys
        }, key
    files = settings(written()["M1/seed"], _written_config())
    assert {f"seed_data.{name}" for name in SeedSection.model_fields} - {"seed_data.eft"} <= set(files)


def _written_config(**eft: Any) -> Config:
    return config(seed_data={"ranked": "ranked.jsonl", "eft": {"source": "written", **eft}})


def test_inputs_stand_before_what_is_made_from_them() -> None:
    seen: set[str] = set()
    for name, step in named(iterations=3).items():
        assert set(step.inputs) <= seen, name
        seen.add(name)
    assert len(seen) == len(method(config(iterations=3)))


def test_every_step_has_a_stage_and_known_keys() -> None:
    keys = set(known_keys())
    for step in named().values():
        assert step.stage.title
        assert set(step.keys) <= keys, step.name


def test_the_base_model_is_evaluated_only_when_asked_for() -> None:
    steps = named(evaluation={"base": False})
    assert "M0/eval" not in steps
    assert "M0/eval" not in steps["M1/eval"].inputs
    assert "M0/eval" in named()["M1/eval"].inputs


def test_a_frozen_judge_is_an_input() -> None:
    steps = named(judge={"role": "M1"})
    assert steps["M2/judge"].inputs == ("M1/sft", "M2/prompts", "M2/candidates")
    assert steps["M3/judge"].inputs == ("M1/sft", "M3/prompts", "M3/candidates")
    assert steps["M3/candidates"].inputs == ("M2/train", "M3/prompts")
    assert named(judge={"role": "M0"})["M3/judge"].inputs[0] == "M0/model"


def test_a_frozen_judge_of_the_users_is_a_model_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"judge\.role: '.*' is neither current, M0, M1, … nor a model folder"):
        method(config(judge={"role": str(tmp_path)}))
    folder = str(make_tiny_model(tmp_path / "judge"))
    step = named(judge={"role": folder})["M3/judge"]
    assert step.given["judge"] == (Frozen(folder),)
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
    # More iterations leave what is made as it is; whether the prompts suffice for them is checked again.
    assert [name for name, step in steps.items() if "iterations" in step.keys] == ["M1/rows"]


def test_backtranslation_stands_between_the_seed_and_m1() -> None:
    steps = named(backtranslation={"texts": "texts"}, iterations=0)
    assert list(steps) == [
        "M0/model", "M1/seed", "M1/rows", "M0/eval", "M1/segments", "M1/backward", "M1/labels", "M1/labelled",
        "M1/forward.0", "M1/scores.1", "M1/curate.1", "M1/forward.1", "M1/scores.2", "M1/curate.2",
        "M1/backtranslated", "M1/sft", "M1/eval",
    ]  # fmt: skip
    assert steps["M1/backward"].inputs == steps["M1/forward.0"].inputs == ("M0/model", "M1/seed")
    assert steps["M1/forward.1"].inputs == ("M0/model", "M1/seed", "M1/curate.1")
    assert steps["M1/scores.2"].inputs == ("M1/forward.1", "M1/labelled")
    assert steps["M1/backtranslated"].inputs[0] == "M1/curate.2"
    assert "M1/backward" in steps["M1/backtranslated"].inputs  # whose weights it may remove
    assert steps["M1/sft"].inputs == ("M0/model", "M1/seed", "M1/backtranslated")
    known = set(known_keys())
    for step in steps.values():
        assert set(step.keys) <= known, step.name
    assert "M1/scores.3" in named(backtranslation={"texts": "texts", "rounds": 3})


def test_rows_that_are_only_written_do_not_concern_m1() -> None:
    plain = named()["M1/sft"]
    assert named(backtranslation={"texts": "texts", "train": "nothing"})["M1/sft"] == plain
    used = named(backtranslation={"texts": "texts", "train": "make"})["M1/sft"]
    assert {"backtranslation.train", "backtranslation.seed_system_prompt"} <= set(used.keys)


def test_backtranslation_alone_needs_no_more_than_what_it_is_made_from() -> None:
    names = [step.name for step in backtranslation(config(backtranslation={"texts": "texts"}))]
    loop = list(named(backtranslation={"texts": "texts"}))
    assert names == [name for name in loop[:15] if name not in ("M0/eval", "M1/rows")]
    with pytest.raises(InputError, match=r"backtranslation\.texts names no texts"):
        backtranslation(config())


def test_pairs_of_judgements_are_a_step_of_their_own() -> None:
    plain = named(judge={"scoring": "sampled"})
    steps = named(judge={"scoring": "sampled", "meta": {"enabled": True}})
    assert list(steps)[list(steps).index("M2/judge") :][:4] == ["M2/judge", "M2/pairs", "M2/meta", "M2/train"]
    assert steps["M2/meta"].inputs == ("M1/sft", "M2/prompts", "M2/candidates", "M2/judge")
    assert steps["M2/train"].inputs == ("M1/sft", "M2/pairs", "M2/meta", "M2/candidates")
    # Turning them on leaves all that stands before training as it is.
    assert {name for name in plain if steps[name] != plain[name]} == {"M2/train", "M3/train"}
    before = config(judge={"scoring": "sampled"})
    for name, changed in (
        ("M2/judge", {"meta": {"enabled": True, "per_prompt": 2}}),
        ("M2/eval", {"max_samples": 9, "noise": 2.0, "meta": {"enabled": True}}),
    ):
        after = config(judge={"scoring": "sampled", **changed})
        assert settings(plain[name], after) == settings(plain[name], before)
    more = settings(plain["M2/judge"], config(judge={"scoring": "sampled", "max_samples": 9}))
    assert more != settings(plain["M2/judge"], before)


def test_new_prompts_may_come_from_a_fixed_prompter(tmp_path: Path) -> None:
    steps = named(prompts={"role": "M0"})
    assert steps["M2/prompts"].inputs == ("M0/model", "M1/seed")
    assert steps["M3/prompts"].inputs == ("M0/model", "M1/seed", "M2/prompts")
    assert named(prompts={"role": "M1"})["M3/prompts"].inputs[0] == "M1/sft"
    with pytest.raises(InputError, match=r"prompts\.role: M2 does not exist yet when M1 needs it"):
        method(config(prompts={"role": "M2"}))
    folder = str(make_tiny_model(tmp_path / "prompter"))
    step = named(prompts={"role": folder})["M2/prompts"]
    before = settings(step, config(prompts={"role": folder}))
    make_tiny_model(tmp_path / "prompter", seed=1)
    assert settings(step, config(prompts={"role": folder})) != before


def test_instructions_alone_need_the_model_the_seed_and_maybe_m1(tmp_path: Path) -> None:
    for role in ("current", "M0", str(make_tiny_model(tmp_path / "prompter"))):
        steps = instruction_making(config(prompts={"role": role}))
        assert [step.name for step in steps] == ["M0/model", "M1/seed", "M1/prompts"]
        assert steps[-1].given["prompter"] == (
            Artifact("M0/model", "model.json") if role in ("current", "M0") else Frozen(role),
        )
    steps = instruction_making(config(prompts={"role": "M1"}))
    assert [step.name for step in steps] == ["M0/model", "M1/seed", "M1/sft", "M2/prompts"]
    assert steps[-1] == named(prompts={"role": "M1"})["M2/prompts"]
    assert METHODS["instructions"] is instruction_making
    assert METHODS["loop"] is method
