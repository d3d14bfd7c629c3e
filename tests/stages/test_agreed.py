"""Pairs that the implicit reward agrees with, in a run directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from judgeloop.config import EngineSection, parse
from judgeloop.engines import open_engine
from judgeloop.engines.base import OptionRequest
from judgeloop.jsonl import read_rows, to_line
from judgeloop.loop import method
from judgeloop.models.chat import Chat
from judgeloop.records import Candidate, PreferencePair
from judgeloop.report.summary import summarise
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from tiny import make_tiny_model

RESPONSES = [Candidate(f"M2.p{n}.{k}", f"p{n}", f"Text {n} {k}.", [40 + 7 * n, 90 + 5 * k + n, 2], "stop")
             for n in range(12) for k in range(2)]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [make_tiny_model(folder / f"M{k}", seed=k) for k in range(2)]


def pair(number: int) -> PreferencePair:
    chosen, rejected = RESPONSES[2 * number : 2 * number + 2]
    said = [[{"role": "assistant", "content": row.text}] for row in (chosen, rejected)]
    prompt = [{"role": "user", "content": f"Say {number}."}]
    return PreferencePair(f"pair-{number}", chosen.prompt_id, prompt, *said, chosen.id, rejected.id, 4.0, 1.0)  # type: ignore[arg-type]


def prepared(folder: Path, models: list[Path]) -> RunDirectory:
    folder.mkdir()
    config = parse(
        {"model": str(models[0]), "threads": 1, "iterations": 1, "engine": {"kind": "transformers", "precision": "f32"},
         "seed_data": {"ift": "seed.jsonl"}, "pairs": {"implicit": True}}, "test",
    )  # fmt: skip
    run = RunDirectory(folder, config, method(config))
    describe(run)
    for name in ("M0", "M1", "M2"):
        run.folder(name).mkdir()
    write_json(run.folder("M0") / "model.json", {"name": "M0", "path": str(models[0]), "hash": "h0"})
    write_json(run.folder("M1") / "train.json", {"hash": "h1"})
    (run.folder("M1") / "model").symlink_to(models[1])
    pairs = [pair(number) for number in range(12)]
    (run.folder("M2") / "pairs.jsonl").write_text("".join(map(to_line, pairs)))
    write_json(run.folder("M2") / "pairs.json", {"pairs": 12})
    (run.folder("M2") / "candidates.jsonl").write_text("".join(map(to_line, RESPONSES)))
    return run


def make(run: RunDirectory) -> None:
    run_stage(Context(run, run.steps["M2/agreed"], lambda *_: None))


def logprobs(folder: Path) -> dict[str, float]:
    chat = Chat.load(folder)
    section = EngineSection(kind="transformers", precision="f32")
    engine = open_engine(section, folder, chat, work_dir=folder, threads=1, seed=0)
    requests = [
        OptionRequest(row.id, tuple(chat.prompt_ids(pair(n // 2).prompt)), (tuple(row.token_ids),))
        for n, row in enumerate(RESPONSES)
    ]
    found = {result.request_id: result.logprobs[0] for result in engine.option_logprobs(requests)}
    engine.close()
    return found


def test_a_pair_is_kept_if_the_model_came_to_prefer_its_chosen_answer(models: list[Path], tmp_path: Path) -> None:
    run = prepared(tmp_path / "run", models)
    make(run)
    before, now = (logprobs(folder) for folder in models)
    reward = {name: now[name] - before[name] for name in now}
    expected = [p.id for p in map(pair, range(12)) if reward[p.chosen_id] > reward[p.rejected_id]]
    kept = read_rows(run.folder("M2") / "agreed.jsonl", PreferencePair)
    assert [row.id for row in kept] == expected
    assert 0 < len(expected) < 12
    account = read_json(run.folder("M2") / "agreed.json")
    assert account == {"made": 12, "pairs": len(expected), "disagree": 12 - len(expected), "equal": 0}
    assert summarise(run.path)["models"][2]["pairs"] == len(expected)
    assert run.steps["M2/train"].given["pairs"] == (run.steps["M2/agreed"].as_input(),)


def test_a_stage_that_was_cut_off_ends_with_the_same_pairs(models: list[Path], tmp_path: Path) -> None:
    whole, cut = prepared(tmp_path / "whole", models), prepared(tmp_path / "cut", models)
    make(whole)
    lines = (whole.folder("M2") / "likelihoods.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(lines) == 2 * len(RESPONSES)
    (cut.folder("M2") / "likelihoods.jsonl").write_text("".join(lines[:30]) + lines[30][:9], encoding="utf-8")
    make(cut)
    for name in ("agreed.jsonl", "agreed.json"):
        assert (cut.folder("M2") / name).read_bytes() == (whole.folder("M2") / name).read_bytes()
