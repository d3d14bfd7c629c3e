"""One judge for all models: what it judged of the model before is not judged again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import parse
from judgeloop.engines.base import OptionLogprobs, OptionRequest
from judgeloop.engines.scripted import ScriptedEngine
from judgeloop.jsonl import to_line
from judgeloop.loop import method
from judgeloop.records import RankedSet
from judgeloop.run.circumstances import ENGINES, KEY
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.context import Context
from judgeloop.stages.evaluation import evaluate
from tiny import make_tiny_model

PROMPTS, SAMPLES, RANKED = 6, 2, 3


class Run:
    """M1 and M2 to be evaluated, and what their judges are asked."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, judge: str, **judging: Any) -> None:
        monkeypatch.setenv("JUDGELOOP_CACHE", str(path / "cache"))
        model = make_tiny_model(path / "tiny")
        (path / "seed.jsonl").write_text('{"prompt": "Why?", "response": "So."}\n')
        (path / "asked.jsonl").write_text("".join(json.dumps({"prompt": f"Say {k}?"}) + "\n" for k in range(PROMPTS)))
        tree = {
            "model": str(model), "threads": 1, "iterations": 1, "engine": {"kind": "scripted"},
            "seed_data": {"ift": str(path / "seed.jsonl")},
            "judge": {"rubric": "multiple-choice-5", "scoring": "expected", **judging},
            "evaluation": {"prompts": [str(path / "asked.jsonl")], "samples": SAMPLES, "base": False, "judge": judge,
                           "compare": "scores", "sampling": {"max_new_tokens": 16}},
        }  # fmt: skip
        config = parse(tree, "config")
        self.run = RunDirectory(path / "run", config, method(config))
        for name in ("M0", "M1", "M2"):
            self.run.folder(name).mkdir(parents=True)
        write_json(self.run.folder("M0") / "model.json", {"name": "M0", "path": str(model), "hash": "h0"})
        for name in ("M1", "M2"):
            write_json(self.run.folder(name) / "train.json", {"hash": name})
            (self.run.folder(name) / "model").symlink_to(model)
        ranked = [
            RankedSet(f"r{k}", [{"role": "user", "content": f"Held {k}?"}],
                      [{"text": "one", "rank": 0}, {"text": "two", "rank": 1}], f"ranks.jsonl:{k}")
            for k in range(RANKED)
        ]  # fmt: skip
        (self.run.folder("M1") / "held_out.jsonl").write_text("".join(map(to_line, ranked)))
        self.asked: list[str] = []
        answer = ScriptedEngine.option_logprobs

        def counted(engine: ScriptedEngine, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
            self.asked += [request.id for request in requests]
            return answer(engine, requests)

        monkeypatch.setattr(ScriptedEngine, "option_logprobs", counted)

    def evaluate(self, name: str) -> Mapping[str, Any]:
        self.asked.clear()
        evaluate(Context(self.run, self.run.steps[f"{name}/eval"], lambda done, total, note: None))
        return read_json(self.run.folder(name) / "eval.json")

    def rows(self, name: str, part: str) -> dict[str, Any]:
        lines = (self.run.folder(name) / f"eval.{part}.jsonl").read_text().splitlines()
        return {row["id"]: row for row in map(json.loads, lines)}


def test_one_judge_is_asked_about_each_response_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, monkeypatch, "M1")
    first = run.evaluate("M1")
    assert len(run.asked) == PROMPTS * SAMPLES + 2 * RANKED
    second = run.evaluate("M2")
    assert len(run.asked) == PROMPTS * SAMPLES
    assert not any(name.endswith(".vs") for name in run.asked)
    assert second["agreement"] == first["agreement"]
    before, again = run.rows("M1", "judgements"), run.rows("M2", "previous.judgements")
    assert len(again) == PROMPTS
    for row in again.values():
        then = before[row["candidate_id"].removesuffix(".vs") + ".j0"]
        assert (row["score"], row["distribution"]) == (then["score"], then["distribution"])
    run.asked.clear()
    run.evaluate("M2")
    assert run.asked == []
    assert run.rows("M2", "previous.judgements") == again


MARKER = {"fingerprint": "", "settings": {}, "inputs": {}, "files": {}, "seconds": 1.0}


@pytest.mark.parametrize("judge", ["current", "M1"])
def test_another_judge_or_engine_judges_anew(judge: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, monkeypatch, judge)
    run.evaluate("M1")
    if judge == "M1":  # the same judge, by another engine
        write_json(run.run.marker(run.run.steps["M1/eval"], "done"), {**MARKER, KEY: {ENGINES: {"M1": "other"}}})
        write_json(run.run.marker(run.run.steps["M2/eval"], "begun"), {**MARKER, KEY: {ENGINES: {"M1": "scripted"}}})
    run.evaluate("M2")
    assert len(run.asked) == PROMPTS * SAMPLES + 2 * RANKED + PROMPTS


def test_drawn_judgements_of_the_answers_are_drawn_by_their_own_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path, monkeypatch, "M1", scoring="sampled", samples=2, sampling={"max_new_tokens": 20})
    first = run.evaluate("M1")
    assert run.evaluate("M2")["agreement"] == first["agreement"]
    assert len(run.rows("M2", "previous.judgements")) == 2 * PROMPTS
    assert run.rows("M2", "agreement") == run.rows("M1", "agreement")


def test_what_was_made_before_is_not_stale_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluation before was an input already."""
    run = Run(tmp_path, monkeypatch, "M1").run
    step = run.steps["M2/eval"]
    assert set(run.expected(step)["inputs"]) == {"M1/seed", "M1/sft", "M1/eval", "M2/train"}
