"""A pair rule of a user's file: chosen by name, fingerprinted, its account shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import make_config, tiny_model  # noqa: F401
from extending.test_stage import forget_stages, prepared  # noqa: F401
from judgeloop.config import load
from judgeloop.config.choices import PAIR_RULES
from judgeloop.errors import InputError
from judgeloop.jsonl import read_rows
from judgeloop.loop import method
from judgeloop.records import PreferencePair
from judgeloop.report.summary import summarise
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context

PLUGIN = """
from judgeloop.config.choices import PAIR_RULES
from judgeloop.pairs import MadePairs, best_worst


@PAIR_RULES.register("first_prompt_only")
def first_prompt_only(judged, section, iteration, seed):
    made = best_worst(judged, section, iteration, seed)
    first = judged.prompts[0].id
    kept = [pair for pair in made.pairs if pair.prompt_id == first]
    made.account["pair"] = len(kept)
    made.account["not the first prompt"] = len(made.pairs) - len(kept)
    return MadePairs(kept, made.account)
"""


@pytest.fixture
def forget_rules() -> Any:
    yield
    PAIR_RULES._added.clear()


@pytest.mark.usefixtures("forget_stages", "forget_rules")
def test_a_rule_of_a_plugin_makes_the_pairs(
    make_config: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    plugin = tmp_path / "rule.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    path = make_config(iterations=1, plugins=[str(plugin)], pairs={"rule": "first_prompt_only"})
    run = prepared(path)
    step = run.steps["M2/pairs"]
    run_stage(Context(run, step, lambda *_: None))
    pairs = read_rows(run.folder("M2") / "pairs.jsonl", PreferencePair)
    assert len(pairs) == 1
    assert len(pairs[0].chosen[0]["content"]) > len(pairs[0].rejected[0]["content"])
    marker = read_json(run.marker(step, "done"))
    assert marker["settings"]["pairs.rule"].startswith("first_prompt_only (sha256:")
    account = summarise(run.path)["models"][2]["accounts"]["pairs"]
    assert account["dropped"] == {"not the first prompt": 2}

    plain = load(make_config(iterations=1))
    (stale,) = RunDirectory(run.path, plain, method(plain)).stale([step])
    assert stale.why.startswith("pairs.rule was ")


def test_an_unknown_rule_is_refused_with_the_known_ones(make_config: Callable[..., Path]) -> None:  # noqa: F811
    with pytest.raises(InputError, match=r"key 'pairs\.rule': Input should be 'best_worst' \(given: 'bset'\)"):
        load(make_config(pairs={"rule": "bset"}))
