"""The best answers to prompts that give no pair: which are taken, and that they are trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import parse
from judgeloop.jsonl import read_objects, read_rows, to_line
from judgeloop.loop import method
from judgeloop.models.chat import Chat
from judgeloop.pairs import BestWorst, make_pairs
from judgeloop.records import Candidate, Judgement, Prompt, SupervisedRow
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.fingerprints import settings
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from judgeloop.stages.solved import BELOW, NO_ANSWER, drawn_rows, solved_rows
from judgeloop.training.data import sft_examples
from tiny import make_tiny_model

NAMES = ("rain", "bread", "owls", "chess", "tea", "snow")
PROMPTS = [Prompt.of([{"role": "user", "content": f"Write about {name}."}], "test") for name in NAMES]


def answers(prompt: Prompt, count: int = 2, finish: str = "stop") -> list[Candidate]:
    return [Candidate(f"M2.{prompt.id}.{k}", prompt.id, f"Answer {k}", [50 + k, 2], finish) for k in range(count)]


CANDIDATES = [row for prompt in PROMPTS for row in answers(prompt, finish="length" if prompt is PROMPTS[5] else "stop")]
# Two pairs, whose chosen answers score 4 and 5: the median is 4.5.
GIVEN = {"rain": (4.0, 1.0), "bread": (2.0, 5.0), "owls": (4.5, 4.5), "chess": (4.4, 4.4), "tea": (4.8, 4.9),
         "snow": (5.0, 5.0)}  # fmt: skip
SCORES: dict[str, float | None] = {
    f"M2.{prompt.id}.{k}": score for name, prompt in zip(NAMES, PROMPTS, strict=True)
    for k, score in enumerate(GIVEN[name])
}  # fmt: skip
PAIRS = make_pairs(PROMPTS, CANDIDATES, SCORES, BestWorst(margin=0.2))[0]


def asked(rows: Sequence[SupervisedRow]) -> list[str]:
    return [row.prompt[0]["content"].split()[2].rstrip(".") for row in rows]


def test_the_best_answers_to_prompts_without_a_pair_that_are_as_good_as_what_is_chosen() -> None:
    found = solved_rows(PROMPTS, CANDIDATES, SCORES, PAIRS)
    assert len(PAIRS) == 2
    assert found.least == 4.5
    assert asked(found.rows) == ["owls", "tea"]
    owls, tea = found.rows
    assert owls.id == f"M2.{PROMPTS[2].id}.0"  # the first of equals
    assert tea.id == f"M2.{PROMPTS[4].id}.1"  # the better one
    assert tea.completion == [{"role": "assistant", "content": "Answer 1"}]
    assert found.without_pair == 4
    assert found.dropped == {BELOW: 1, NO_ANSWER: 1}


def test_answers_that_are_all_poor_are_not_learnt() -> None:
    poor = {name: 0.5 if score is not None and name.split(".")[1] == PROMPTS[4].id else score
            for name, score in SCORES.items()}  # fmt: skip
    assert asked(solved_rows(PROMPTS, CANDIDATES, poor, PAIRS).rows) == ["owls"]


def test_without_a_pair_or_a_score_there_is_nothing_to_go_by() -> None:
    nothing = solved_rows(PROMPTS, CANDIDATES, SCORES, [])
    assert (nothing.rows, nothing.least, nothing.dropped) == ([], None, {BELOW: 5, NO_ANSWER: 1})
    unread = solved_rows(PROMPTS, CANDIDATES, dict.fromkeys(SCORES), PAIRS)
    assert (unread.rows, unread.least) == ([], None)


def test_the_control_by_a_coin_sees_no_score() -> None:
    like = solved_rows(PROMPTS, CANDIDATES, SCORES, PAIRS)
    seeds = [drawn_rows(PROMPTS, CANDIDATES, like, seed).rows for seed in range(20)]
    assert {len(rows) for rows in seeds} == {2}
    assert {name for rows in seeds for name in asked(rows)} == set(NAMES) - {"snow"}  # whose answers were cut off
    assert {row.id[-1] for rows in seeds for row in rows} == {"0", "1"}
    assert seeds[3] == drawn_rows(PROMPTS, CANDIDATES, like, 3).rows


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def test_the_ids_of_the_generation_are_trained_on(model: Path) -> None:
    (owls, tea), chat = solved_rows(PROMPTS, CANDIDATES, SCORES, PAIRS).rows, Chat.load(model)
    found = sft_examples([owls, tea], chat, 2000, token_ids={owls.id: [50, 2]}).examples
    assert found[0].target_ids == [50, 2]
    assert found[1].target_ids == chat.response_ids("Answer 1")


def prepared(
    folder: Path, model: Path, scores: dict[str, float | None], train: dict[str, Any] | None = None, **pairs: Any
) -> RunDirectory:
    """A run directory that stands before M2/pairs."""
    (folder / "seed.jsonl").write_text('{"prompt": "Why?", "response": "So."}\n')
    tree = {
        "model": str(model), "threads": 1, "iterations": 1,
        "seed_data": {"ift": str(folder / "seed.jsonl")},
        "judge": {"rubric": "additive-5-short"},
        "pairs": {"margin": 0.2, "unfinished": "left_out", **pairs},
        "train": {"precision": "f32", "batch_size": 2, "max_length": 2000, "solved_replay": 0.5,
                  **(train or {})},
    }  # fmt: skip
    config = parse(tree, "config")
    run = RunDirectory(folder / "run", config, method(config))
    run.folder("M2").mkdir(parents=True)
    describe(run)
    for name in ("M0", "M1"):
        run.folder(name).mkdir()
    write_json(run.folder("M0") / "model.json", {"name": "M0", "path": str(model), "hash": "h0"})
    write_json(run.folder("M1") / "train.json", {"hash": "h1"})
    (run.folder("M1") / "model").symlink_to(model)
    judged = [Judgement(f"{name}.j0", name, 0, "", score, None) for name, score in scores.items()]
    for name, rows in (("prompts", PROMPTS), ("candidates", CANDIDATES), ("judgements", judged)):
        (run.folder("M2") / f"{name}.jsonl").write_text("".join(map(to_line, rows)), encoding="utf-8")
    return run


def make(run: RunDirectory, *stages: str) -> None:
    for stage in stages:
        run_stage(Context(run, run.steps[f"M2/{stage}"], lambda *_: None))


def test_they_are_written_and_trained_on_beside_the_pairs(model: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, model, SCORES)
    make(run, "pairs", "solved", "train")
    folder = run.folder("M2")
    assert asked(read_rows(folder / "solved.jsonl", SupervisedRow)) == ["owls", "tea"]
    assert read_json(folder / "solved.json") == {
        "without_pair": 4, "rows": 2, "least_score": 4.5, "dropped": {BELOW: 1, NO_ANSWER: 1},
    }  # fmt: skip
    trained = read_json(folder / "train.json")
    steps = [row for _, row in read_objects(run.path / "metrics.jsonl") if row.get("stage") == "train"]
    assert trained["replayed"] == 2 * trained["steps"] > 0
    assert steps
    assert all(row["solved_loss"] > 0 for row in steps)


def test_a_few_are_rehearsed_once_an_epoch_whatever_the_share(model: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, model, SCORES, {"batch_size": 1, "solved_replay": 0.8, "epochs": 2})
    make(run, "pairs", "solved", "train")
    trained = read_json(run.folder("M2") / "train.json")
    assert (trained["steps"], trained["replayed"]) == (4, 4)  # 2 of 2 an epoch; a share of 0.8 would be 4 a step


def test_what_is_too_long_is_counted_and_the_training_goes_on(model: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, model, SCORES)
    solved = {PROMPTS[2].id, PROMPTS[4].id}
    rows = [replace(row, token_ids=[50] * 2001) if row.prompt_id in solved else row for row in CANDIDATES]
    (run.folder("M2") / "candidates.jsonl").write_text("".join(map(to_line, rows)), encoding="utf-8")
    make(run, "pairs", "solved", "train")
    trained = read_json(run.folder("M2") / "train.json")
    assert (trained["rows"], trained["replayed"]) == (2, 0)
    assert trained["dropped"] == {"solved row too long": 2}


def test_an_iteration_without_one_is_said_and_trained_without(model: Path, tmp_path: Path) -> None:
    low = {name: min(score or 0.0, 2.0 if f"M2.{PROMPTS[0].id}.0" != name else 4.0) for name, score in SCORES.items()}
    run = prepared(tmp_path, model, low)
    make(run, "pairs", "solved", "train")
    assert read_rows(run.folder("M2") / "solved.jsonl", SupervisedRow) == []
    steps = [row for _, row in read_objects(run.path / "metrics.jsonl") if row.get("stage") == "train"]
    assert steps
    assert not any("solved_loss" in row for row in steps)


def test_the_coins_control_rehearses_as_many(model: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, model, SCORES, control="random")
    make(run, "pairs", "solved")
    account = read_json(run.folder("M2") / "solved.json")
    assert (account["rows"], account["least_score"], account["dropped"]) == (2, None, {})


def test_it_is_off_by_default_and_then_changes_nothing() -> None:
    def steps(**train: Any) -> Any:
        config = parse({"seed_data": {"ift": "seed.jsonl"}, **({"train": train} if train else {})}, "test")
        return config, {step.name: step for step in method(config)}

    plain, without = steps()
    on, rehearsing = steps(solved_replay=0.3)
    assert set(rehearsing) - set(without) == {"M2/solved", "M3/solved"}
    assert rehearsing["M3/train"].given["solved"] == (rehearsing["M3/solved"].as_input(),)
    for name, step in without.items():
        said = json.dumps(settings(step, plain))
        assert "solved" not in said, name
        if not name.endswith("/train"):
            assert json.dumps(settings(rehearsing[name], on)) == said, name


def test_a_provisional_next_model_goes_without(model: Path) -> None:
    tree = {"seed_data": {"ift": "seed.jsonl"}, "train": {"solved_replay": 0.3}, "pairs": {"chosen": "provisional"}}
    config = parse(tree, "test")
    steps = {step.name: step for step in method(config)}
    assert "solved" not in steps["M2/provisional"].given
    assert {given.step for given in steps["M2/solved"].given["candidates"]} == {"M2/candidates", "M2/ahead"}
