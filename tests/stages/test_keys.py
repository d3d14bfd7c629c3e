"""Every config field that a stage reads is among its keys, or among those of a step that it is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import make_config, tiny_model, write_seed  # noqa: F401
from judgeloop.config import Config, Section, load, shapes_results
from judgeloop.loop import method
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.stage import upstream
from judgeloop.stages.context import Context

# Fields that no artifact depends on: how fast and where a run works, and what it is compared with as it starts.
ELSEWHERE = {"threads", "compute", "out", "iterations", "plugins", "health", "stop", "trust_remote_code"}
# The seed refuses a run that has nothing to be evaluated on; what it writes does not depend on these.
ONLY_CHECKED = {"seed": {"train.early_stopping.every", "train.early_stopping.prompts", "evaluation.count"}}

# Who has a model make the EFT rows lets the seed read the rubric, by which then no row of it is made.
UNUSED = {"own answers": {"seed": {"judge.rubric", "judge.language", "judge.justification"}}}

RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sampled": {
        "judge": {"scoring": "sampled", "samples": 2, "max_samples": 4, "noise": 1.0,
                  "min_mass": 0.0,
            "meta": {"enabled": True}},
        "engine": {"kind": "scripted"},
        "pairs": {"anchor": "M0", "unfinished": "zero", "top_share": 0.9, "control": "random"},
        "train": {"learning_rate": 1e-3, "batch_size": 2, "max_length": 2000, "eft_replay": 0.3, "ift_replay": 0.3,
                  "solved_replay": 0.3},
    },
    "contrast": {
        "judge": {"rubric": "additive-5-short", "min_mass": 0.0,
                  "contrast": {"others": 2, "draw": "near", "floor": 0.1, "measure": 2}},
        "train": {"learning_rate": 1e-3, "batch_size": 2, "max_length": 2000, "consistency": True},
        "evaluation": {"count": 4, "samples": 2, "bootstrap": 20, "compare": "scores", "contrast": True,
                       "sampling": {"max_new_tokens": 8}},
    },
    "temporal": {
        "judge": {"rubric": "additive-5-short", "min_mass": 0.0, "contrast": {"others": 1}},
        "pairs": {"anchor": "M0", "rejected": "anchored", "chosen": "provisional", "unfinished": "as_judged"},
        "candidates": {"count": 6, "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 24}},
    },
    "measured": {
        "judge": {"rubric": "additive-5-short", "min_mass": 0.0, "contrast": {"measure": 2}},
    },
    "consistency": {
        "pairs": {"unfinished": "as_judged", "implicit": True},
        "candidates": {"count": 8, "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12}},
        "train": {"learning_rate": 1e-3, "batch_size": 2, "max_length": 2000, "consistency": True},
        "evaluation": {"count": 2, "samples": 1, "bootstrap": 20, "compare": "scores",
                       "sampling": {"max_new_tokens": 8}},
    },
    "own answers": {
        "engine": {"kind": "scripted"},
        "candidates": {"count": 3, "sampling": {"max_new_tokens": 60}},
        "judge": {"rubric": "additive-5-short", "min_mass": 0.0,
                  "refresh": {"enabled": True, "draw": "near", "min_score": 2.0, "min_gap": 0.0, "max_answers": 3}},
        "seed_data": {"eft": {"source": "contrast", "samples": 2, "ift_overlap": True,
                              "contrast": {"draw": "near", "min_score": 2.0, "min_gap": 0.0, "max_prompts": 9}}},
    },
}  # fmt: skip


@contextmanager
def recorded(config: Config) -> Iterator[set[str]]:
    """Within this, every field of the config that is read is noted by its dotted key."""
    names: dict[int, str] = {}

    def walk(section: Section, prefix: str) -> None:
        names[id(section)] = prefix
        for name in type(section).model_fields:
            value = section.__dict__[name]
            if isinstance(value, Section):
                walk(value, f"{prefix}{name}.")

    walk(config, "")
    read: set[str] = set()
    original = Section.__getattribute__

    def noting(self: Section, name: str) -> Any:
        value = original(self, name)
        fields = original(self, "__class__").__pydantic_fields__
        ours = name in fields and id(self) in names and not isinstance(value, Section)
        if ours and shapes_results(original(self, "__class__"), name):
            read.add(names[id(self)] + name)
        return value

    Section.__getattribute__ = noting  # type: ignore[method-assign]
    try:
        yield read
    finally:
        Section.__getattribute__ = original  # type: ignore[method-assign]


def covered(key: str, keys: set[str]) -> bool:
    """Whether the key, or a section that it is in, is among the keys."""
    parts = key.split(".")
    return any(".".join(parts[:count]) in keys for count in range(1, len(parts) + 1))


@pytest.mark.parametrize("name", list(RUNS))
def test_the_keys_of_every_stage_are_complete(
    make_config: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    name: str,
) -> None:
    checker = tmp_path / "check.py"
    checker.write_text("def check(prompt, response, finished):\n    return {'passes': len(response) % 2 == 0}\n")
    tree = {**RUNS[name]}
    tree["evaluation"] = {"count": 2, "samples": 1, "bootstrap": 20, "sampling": {"max_new_tokens": 8},
                          "checker": str(checker), **tree.get("evaluation", {})}  # fmt: skip
    if "seed_data" in tree:
        ranked = str(write_seed(tmp_path / "ranked.jsonl"))
        tree["seed_data"] = {"ranked": ranked, "eft_share": 1.0, **tree["seed_data"]}
    config = load(make_config(iterations=1, health={"stop_on": []}, **tree))
    steps = method(config)
    run = RunDirectory.prepare(tmp_path / "run", config, steps)
    describe(run)
    missing: dict[str, list[str]] = {}
    for step in steps:
        with recorded(config) as read:
            context = Context(run, step, lambda *_: None)
            context.folder.mkdir(exist_ok=True)
            outcome = step.stage.run(context)
        run.finish(step, 0.0, outcome.account)
        declared = {key for one in upstream(steps, step.name) for key in one.keys} | {*step.keys}
        excused = ELSEWHERE | ONLY_CHECKED.get(step.stage.name, set())
        excused |= UNUSED.get(name, {}).get(step.stage.name, set())
        found = [key for key in sorted(read) if not covered(key, declared | excused)]
        if found:
            missing[step.name] = found
    run.close()
    assert missing == {}
    assert {"M2/judge", "M2/pairs", "M2/train", "M2/eval", "M2/checks"} <= set(run.steps)


def test_a_key_that_is_left_out_is_noticed(make_config: Callable[..., Path], tmp_path: Path) -> None:  # noqa: F811
    config = load(make_config())
    with recorded(config) as read:
        assert config.judge.rubric == "additive-5-short"
        _ = config.train.cringe.top_k
        _ = config.engine.cache_gib  # changes speed only
    assert read == {"judge.rubric", "train.cringe.top_k"}
    assert covered("train.cringe.top_k", {"train"})
    assert not covered("judge.rubric", {"judge.role", "train"})
