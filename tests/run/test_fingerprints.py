from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, parse
from judgeloop.loop import method
from judgeloop.run.fingerprints import file_hash, fingerprint, settings
from judgeloop.run.stage import Stage, Step, downstream, select

STAGE = Stage("work", "work of some kind", run=lambda context: None)


def config(**tree: Any) -> Config:
    return parse({"seed_data": {"ift": "no/such/file.jsonl"}, **tree}, "test")


def test_settings_are_flat_and_of_the_named_keys_only() -> None:
    step = Step("M2", STAGE, ("seed", "pairs", "judge.min_valid"))
    assert settings(step, config(seed=3, pairs={"margin": 0.5})) == {
        "seed": 3, "pairs.rule": "best_worst", "pairs.margin": 0.5, "pairs.unfinished": "left_out",
        "pairs.length_rho": [0.0], "pairs.top_share": [1.0], "pairs.control": "none",
        "pairs.max_per_prompt": 1, "pairs.anchor": None, "pairs.anchor_count": 2, "judge.min_valid": 1,
    }  # fmt: skip


def train_fingerprint(**train: Any) -> str:
    return fingerprint(settings(Step("M2", STAGE, ("seed", "train")), config(train=train)))


@pytest.mark.parametrize(
    "change", [{"beta": 0.2}, {"learning_rate": 2e-6}, {"lora": {"rank": 8}}, {"method": "lora"}, {"nll_weight": 0.1}]
)
def test_a_setting_that_matters_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert train_fingerprint(**change) != train_fingerprint()
    assert train_fingerprint(**change) == train_fingerprint(**change)


@pytest.mark.parametrize(
    "change", [{"micro_batch_size": 2}, {"gradient_checkpointing": True}, {"report_to": ["tensorboard"]}]
)
def test_a_setting_that_only_changes_speed_does_not(change: dict[str, Any]) -> None:
    assert train_fingerprint(**change) == train_fingerprint()


def prompts_settings(model: str, **prompts: Any) -> dict[str, Any]:
    return settings(Step(model, STAGE, ("prompts",)), config(prompts=prompts))


def test_of_a_count_for_each_iteration_the_models_own_matters() -> None:
    grows = {"count": 250, "later_counts": [400, 700]}
    for model, count in (("M2", 250), ("M3", 400), ("M4", 700), ("M5", 700)):
        assert prompts_settings(model, **grows) == prompts_settings(model, count=count)
    assert prompts_settings("M1", **grows) == prompts_settings("M1", count=250) | {"prompts.later_counts": [400, 700]}
    one = Step("M3", STAGE, ("prompts.count", "prompts.later_counts"))
    assert settings(one, config(prompts=grows)) == {"prompts.count": 400}


def test_a_default_that_is_written_out_changes_nothing() -> None:
    assert train_fingerprint(beta=0.1, lora={"rank": 16}) == train_fingerprint()


def seed_fingerprint(file: Path) -> str:
    step = Step("M1", STAGE, ("seed_data",))
    return fingerprint(settings(step, config(seed_data={"ift": str(file)})))


def test_a_moved_file_is_the_same_and_an_edited_one_another(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "other" / "b.jsonl"
    second.parent.mkdir()
    first.write_text('{"prompt": "x"}\n')
    second.write_text('{"prompt": "x"}\n')
    before = seed_fingerprint(first)
    assert seed_fingerprint(second) == before
    first.write_text('{"prompt": "y"}\n')
    assert seed_fingerprint(first) != before
    assert file_hash(second) == hashlib.sha256(second.read_bytes()).hexdigest()


def test_a_long_text_with_a_slash_is_a_text() -> None:
    step = Step("M0", STAGE, ("system_prompt",))
    text = "either/or " + "x" * 5000
    assert settings(step, config(system_prompt=text)) == {"system_prompt": text}
    assert settings(step, config(system_prompt="a/\0b")) == {"system_prompt": "a/\0b"}


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1, "b": [1, 2]}) != fingerprint({"a": 1, "b": [2, 1]})
    assert len(fingerprint({})) == 16


def test_redo_names_a_step_a_model_or_a_stage() -> None:
    steps = method(config(evaluation={"base": False}))
    assert [s.name for s in select(steps, "M2/judge")] == ["M2/judge"]
    assert [s.name for s in select(steps, "judge")] == ["M2/judge", "M3/judge"]
    assert [s.name for s in select(steps, "M2")] == [
        "M2/prompts", "M2/candidates", "M2/judge", "M2/pairs", "M2/train", "M2/eval",
    ]  # fmt: skip
    assert select(steps, "M4") == []


def test_downstream_is_everything_made_from_it() -> None:
    steps = method(config(evaluation={"base": False}))
    found = [s.name for s in downstream(steps, select(steps, "M3/judge"))]
    assert found == ["M3/judge", "M3/pairs", "M3/train", "M3/eval"]
    assert [s.name for s in downstream(steps, select(steps, "M0"))] == [s.name for s in steps]
    assert downstream(steps, []) == []


def test_a_folder_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    def found() -> Any:
        step = Step("M1", STAGE, ("backtranslation.texts",))
        return settings(step, config(backtranslation={"texts": str(tmp_path / "texts")}))["backtranslation.texts"]

    (tmp_path / "texts" / "deep").mkdir(parents=True)
    (tmp_path / "texts" / "deep" / "a.txt").write_text("one")
    before = found()
    assert before[0].startswith("folder:")
    (tmp_path / "texts" / ".cache").write_text("hidden")
    assert found() == before
    (tmp_path / "texts" / "deep" / "a.txt").write_text("other")
    changed = found()
    (tmp_path / "texts" / "deep" / "a.txt").rename(tmp_path / "texts" / "a.txt")
    assert len({before[0], changed[0], found()[0]}) == 3
