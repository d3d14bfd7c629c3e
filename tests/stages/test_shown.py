"""What a run shows of its rows: which samples, with which scores, and as early as they exist."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from judgeloop.compute.forks import ForkServer
from judgeloop.config import parse
from judgeloop.jsonl import to_line
from judgeloop.loop import method
from judgeloop.records import Candidate, Judgement, Prompt
from judgeloop.run import children, driver
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.samples import Samples, draw
from judgeloop.run.stage import Step
from judgeloop.stages.context import Context
from judgeloop.stages.shown import samples_of

WORDS = ("rain", "bread", "moon", "sea", "salt", "wind", "sand", "fire")
PROMPTS = [Prompt.of([{"role": "user", "content": f"Say {word}."}], "test") for word in WORDS]


def prepared(folder: Path, *, checker: bool = True, seed: int = 0) -> RunDirectory:
    """A run with an evaluation of M1 and judged candidates of M2; nothing has been made."""
    prompts = folder / "heldout.jsonl"
    prompts.write_text("".join(to_line({"prompt": f"Say {word}."}) for word in WORDS), encoding="utf-8")
    (folder / "check.py").write_text("def check(prompt, response, finished):\n    return True\n", encoding="utf-8")
    measured = {"prompts": [str(prompts)], **({"checker": str(folder / "check.py")} if checker else {})}
    tree = {"model": "tiny", "iterations": 2, "seed": seed, "engine": {"kind": "scripted"},
            "seed_data": {"ift": "seed.jsonl"}, "evaluation": measured}  # fmt: skip
    config = parse(tree, "config")
    run = RunDirectory(folder / "run", config, method(config))
    for model in ("M1", "M2"):
        run.folder(model).mkdir(parents=True)
    describe(run)
    return run


def shown(run: RunDirectory, name: str, *, finished: bool) -> Samples | None:
    return samples_of(Context(run, run.steps[name], lambda *_: None), finished=finished)


def answers(prompts: list[Prompt]) -> str:
    return "".join(
        to_line(Candidate(f"M1.{p.id}.0", p.id, f"to {p.messages[0]['content']}", [1], "stop")) for p in prompts
    )


def test_first_answers_are_shown_as_soon_as_there_are_two(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    rows = run.folder("M1") / "eval.responses.jsonl"
    assert shown(run, "M1/eval", finished=False) is None
    rows.write_text(answers(PROMPTS[:1]) + answers(PROMPTS[1:2])[:-9], encoding="utf-8")  # the second is half written
    assert shown(run, "M1/eval", finished=False) is None
    rows.write_text(answers(PROMPTS[:2]), encoding="utf-8")
    both = shown(run, "M1/eval", finished=False)
    assert both is not None
    assert both.title == "M1: its first answers, not judged yet"  # all there are: nothing was drawn
    rows.write_text(answers(PROMPTS[:5]), encoding="utf-8")
    found = shown(run, "M1/eval", finished=False)
    assert found is not None
    assert found.title == "M1: its first answers, 2 of 5, drawn at random; not judged yet"
    by_id = {prompt.id: prompt.messages[0]["content"] for prompt in PROMPTS}
    assert [sample.prompt for sample in found.samples] == [by_id[n] for n in draw([p.id for p in PROMPTS[:5]], 0, 2)]
    for sample in found.samples:
        (answer,) = sample.answers
        assert (answer.text, answer.judged) == (f"to {sample.prompt}", False)


HEALTH = {"judgements": 8, "parse_rate": 1.0, "tie_rate": 0.0, "top_share": 0.0, "length_correlation": 0.0,
          "scale": [0, 5]}  # fmt: skip
MEASURED = {"better": "higher", "compare": "paired", "share": True, "versus": None}
AGREEMENT = {**MEASURED, "label": "agreement", "value": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 8}}
PASSES = {
    **MEASURED, "label": "ground truth", "value": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 8},
    "versus": {"model": "M0", "value": {"value": 0.1, "low": 0.05, "high": 0.15, "n": 8}, "even": 0.0},
}  # fmt: skip
EVALUATION = {
    "model": "M1", "prompts": 8, "judge": "M1", "judge_health": HEALTH, "win_rate_vs_previous": None,
    "metrics": {"score": AGREEMENT, "agreement": AGREEMENT},
    "samples": [
        {"id": f"M1.{p.id}.0", "prompt": p.messages[0]["content"], "response": "Yes.", "score": 4.0}
        for p in PROMPTS[:5]
    ],
}  # fmt: skip


def test_answers_come_with_their_scores_and_with_what_the_users_code_says(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    write_json(run.folder("M1") / "eval.json", EVALUATION)
    assert shown(run, "M1/eval", finished=True) is None  # the checks come, and they say more
    passed = [{"id": f"M1.{p.id}.0", "measures": {"passes": float(k != 1)}} for k, p in enumerate(PROMPTS)]
    (run.folder("M1") / "checks.jsonl").write_text("".join(map(to_line, passed)), encoding="utf-8")
    checks = {"model": "M1", "headline": "passes", "measures": {}, "metrics": {"checker": PASSES}}
    write_json(run.folder("M1") / "checks.json", checks)
    found = shown(run, "M1/checks", finished=True)
    assert found is not None
    assert (found.judge, found.scale) == ("M1", (0, 5))
    assert "answers to 3 of 8 evaluation prompts, drawn at random" in found.title
    assert [s.answers[0].measures for s in found.samples] == [{"passes": 1.0}, {"passes": 0.0}, {"passes": 1.0}]
    assert {s.answers[0].score for s in found.samples} == {4.0}
    assert found.measured == [PASSES, AGREEMENT]


def test_without_a_checker_the_evaluation_shows_them(tmp_path: Path) -> None:
    run = prepared(tmp_path, checker=False)
    write_json(run.folder("M1") / "eval.json", EVALUATION)
    found = shown(run, "M1/eval", finished=True)
    assert found is not None
    assert [sample.prompt for sample in found.samples] == ["Say rain.", "Say bread.", "Say moon."]
    assert found.measured == [AGREEMENT]


@pytest.mark.parametrize("count", [3, 6])
def test_a_judged_prompt_has_its_candidates_the_best_first(tmp_path: Path, count: int) -> None:
    drawn = set()
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run = prepared(folder, seed=seed)
        rows = [Candidate(f"M2.{p.id}.{k}", p.id, f"{p.id} {k}", [1], "stop") for p in PROMPTS for k in range(count)]
        judged = [
            Judgement(f"{r.id}.j0", r.id, 0, "", None if r.id.endswith(".1") else float(r.id[-1]), "no") for r in rows
        ]
        for name, kind in (("prompts", PROMPTS), ("candidates", rows), ("judgements", judged)):
            (run.folder("M2") / f"{name}.jsonl").write_text("".join(map(to_line, kind)), encoding="utf-8")
        write_json(run.folder("M2") / "judge.json", {"judge": "M1", "health": HEALTH})
        assert shown(run, "M2/judge", finished=False) is None
        found = shown(run, "M2/judge", finished=True)
        assert found is not None
        (sample,) = found.samples
        scores = [answer.score for answer in sample.answers]
        assert scores == ([2.0, 0.0, None] if count == 3 else [5.0, 4.0, 0.0, None])  # what has no score is last
        named = "its 3 candidates" if count == 3 else "the best and the worst of its 6 candidates"
        assert found.title == f"M2: one of 8 judged prompts, drawn at random, with {named}"
        prompt = next(p for p in PROMPTS if p.messages[0]["content"] == sample.prompt)
        assert {answer.text.split()[0] for answer in sample.answers} == {prompt.id}
        drawn.add(prompt.id)
    assert len(drawn) > 1


def test_what_cannot_be_shown_is_said_and_ends_nothing(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    (run.folder("M1") / "eval.responses.jsonl").write_text('{"no": 1}\n', encoding="utf-8")
    found = shown(run, "M1/eval", finished=False)
    assert found is not None
    assert (found.title, found.samples) == ("M1/eval: its samples cannot be shown (KeyError: 'prompt_id')", ())


class Watching:
    def __init__(self) -> None:
        self.said: list[str] = []

    def superseded(self, *_: object) -> None: ...
    def note(self, _text: str, /) -> None: ...
    def skipped(self, _step: Step, /) -> None: ...
    def started(self, step: Step, resumed: bool) -> None: ...
    def failed(self) -> None: ...
    def progress(self, done: int, total: int | None, note: str) -> None: ...

    def finished(self, step: Step, marker: Mapping[str, Any]) -> None:
        self.said.append(f"{step.name} finished")

    def samples(self, step: Step, found: Samples) -> None:
        self.said.append(found.title.partition(",")[0])


@pytest.mark.parametrize("model", ["M1", "M2"])
def test_the_driver_shows_the_first_models_answers_while_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    run, display = prepared(tmp_path, checker=False), Watching()
    step = run.steps[f"{model}/eval"]

    marker = {"fingerprint": "", "settings": {}, "inputs": {}, "files": {}, "seconds": 1.0}

    def child(_arguments: object, _log: object, on_event: Any, **_how: object) -> None:
        for done in range(1, 5):
            (run.folder(model) / "eval.responses.jsonl").write_text(answers(PROMPTS[:done]), encoding="utf-8")
            on_event({"done": done, "total": 8, "note": ""})
        write_json(run.folder(model) / "eval.json", EVALUATION)
        run.marker(step, "done").write_text(json.dumps(marker), encoding="utf-8")

    monkeypatch.setattr(children, "run_child", child)
    driver._carry_out(run, step, display, ForkServer((), {}))
    early = ["M1: its first answers"] if model == "M1" else []  # later models: when they are judged
    assert display.said == [*early, f"{model}/eval finished", f"{model}: answers to 3 of 8 evaluation prompts"]
