"""Anchored rejection and a provisional next model, carried out on a tiny model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.conftest import make_config, tiny_model  # noqa: F401
from judgeloop.config import load
from judgeloop.jsonl import read_rows
from judgeloop.loop import method
from judgeloop.records import Candidate, Judgement, PreferencePair
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.json_artifacts import read_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context

SCORE = "def score(messages, response, finished):\n    return sum(map(ord, response)) % 97 / 20\n"


@pytest.fixture
def run(make_config: Callable[..., Path], tmp_path: Path) -> RunDirectory:  # noqa: F811
    (tmp_path / "score.py").write_text(SCORE, encoding="utf-8")
    config = load(make_config(
        iterations=1, judge={"function": "score.py"},
        pairs={"anchor": "M0", "rejected": "anchored", "chosen": "provisional", "provisional_count": 6},
        candidates={"count": 4, "sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 24}},
        prompts={"source": "file", "files": [str(tmp_path / "prompts.jsonl")], "count": 8},
        sft={"learning_rate": 1e-5, "max_length": 2000, "precision": "f32"},
        evaluation={"count": 2, "samples": 1, "base": False, "sampling": {"max_new_tokens": 4}},
    ))  # fmt: skip
    steps = method(config)
    run = RunDirectory.prepare(tmp_path / "run", config, steps)
    describe(run)
    for step in steps:
        run_stage(Context(run, step, lambda *_: None))
    run.close()
    return run


def test_chosen_comes_from_the_better_model_and_rejected_from_the_first_one(run: RunDirectory) -> None:
    folder = run.folder("M2")
    rows = {name: read_rows(folder / f"{name}.jsonl", Candidate) for name in ("candidates", "anchors", "ahead")}
    score = {
        row.candidate_id: row.score or 0.0
        for name in ("judgements", "ahead.judgements")
        for row in read_rows(folder / f"{name}.jsonl", Judgement)
    }
    assert set(score) == {row.id for each in rows.values() for row in each}
    pairs, account = read_rows(folder / "pairs.jsonl", PreferencePair), read_json(folder / "pairs.json")
    ahead, anchors = {row.id for row in rows["ahead"]}, {row.id for row in rows["anchors"]}
    assert pairs
    assert {pair.rejected_id for pair in pairs} <= anchors
    assert account["rejected_by_anchor"] == len(pairs)
    assert account["chosen_from_provisional"] == sum(pair.chosen_id in ahead for pair in pairs) > 0
    for pair in pairs:
        said = [row for name in ("candidates", "ahead") for row in rows[name] if row.prompt_id == pair.prompt_id]
        finished = [row.id for row in said if row.finish_reason == "stop" and row.text.strip()]
        assert pair.chosen_score == score[pair.chosen_id] == max(score[name] for name in finished)
        assert pair.rejected_score == score[pair.rejected_id]
    first = read_rows(folder / "first_pairs.jsonl", PreferencePair)
    assert not {pair.chosen_id for pair in first} & ahead


def test_both_trainings_start_from_the_model_before(run: RunDirectory) -> None:
    provisional, final = (read_json(run.folder("M2") / name) for name in ("provisional/train.json", "train.json"))
    m1 = run.identity("M1")
    assert [record[role] for record in (provisional, final) for role in ("initial", "reference")] == [m1] * 4
    assert provisional["name"] == "M2/provisional"
    assert (run.folder("M2") / "provisional" / "model" / "model.safetensors").is_file()
    assert final["hash"] not in (provisional["hash"], m1["hash"])
    assert run.identity("M2")["hash"] == final["hash"]
