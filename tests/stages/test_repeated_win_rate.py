"""A run's own win rate, repeated from its files by `judgeloop eval winrate --compare scores`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from judgeloop.cli import app
from judgeloop.config import parse
from judgeloop.errors import InputError
from judgeloop.jsonl import read_rows, to_line
from judgeloop.loop import method
from judgeloop.records import Judgement, RankedSet
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.context import Context
from judgeloop.stages.evaluation import evaluate
from tiny import make_tiny_model

HELD_OUT = [
    RankedSet(f"r{k}", [{"role": "user", "content": f"Held out {k}?"}],
              [{"text": "one", "rank": 0}, {"text": "two", "rank": 1}], f"ranks.jsonl:{k}")
    for k in range(9)
]  # fmt: skip


def evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: dict[str, Any], evaluation: dict[str, Any]
) -> tuple[RunDirectory, Path, Path]:
    """M1 and M2, evaluated; their weights and the prompts' file."""
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    model = make_tiny_model(tmp_path / "tiny")
    (tmp_path / "seed.jsonl").write_text('{"prompt": "Why?", "response": "So."}\n')
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps({"prompt": f"Question {k}?"}) + "\n" for k in range(30)))
    tree = {
        "model": str(model), "threads": 1, "iterations": 1, "engine": {"kind": "scripted"}, "seed": 5,
        "seed_data": {"ift": str(tmp_path / "seed.jsonl")}, "judge": judge,
        "evaluation": {"prompts": [str(asked)], "count": 24, "samples": 2, "base": False, "compare": "scores",
                       "sampling": {"max_new_tokens": 16}, **evaluation},
    }  # fmt: skip
    config = parse(tree, "config")
    run = RunDirectory(tmp_path / "run", config, method(config))
    for name in ("M0", "M1", "M2"):
        run.folder(name).mkdir(parents=True)
    write_json(run.folder("M0") / "model.json", {"name": "M0", "path": str(model), "hash": "h0"})
    for name in ("M1", "M2"):
        write_json(run.folder(name) / "train.json", {"hash": name})
        (run.folder(name) / "model").symlink_to(model)
    held_out = run.folder("M1") / "held_out.jsonl"
    held_out.write_text("".join(map(to_line, HELD_OUT)))
    for name in ("M1", "M2"):
        evaluate(Context(run, run.steps[f"{name}/eval"], lambda done, total, note: None))
    return run, model, asked


@pytest.mark.parametrize("where", ["file", "held_out"])
@pytest.mark.parametrize(
    ("judge", "options"),
    [
        ({"scoring": "expected", "rubric": "multiple-choice-5"}, ["--rubric", "multiple-choice-5"]),
        (
            {"scoring": "sampled", "samples": 2, "sampling": {"temperature": 0.9, "top_p": 0.8, "max_new_tokens": 40}},
            ["--scoring", "sampled", "--samples", "2", "--rubric", "additive-5", "--judge-temperature", "0.9",
             "--judge-top-p", "0.8", "--verdict-tokens", "40"],
        ),
    ],
)  # fmt: skip
def test_a_runs_own_win_rate_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, judge: dict[str, Any], options: list[str]
) -> None:
    run, _, asked = evaluated(tmp_path, monkeypatch, judge, {} if where == "file" else {"prompts": []})
    held_out = run.folder("M1") / "held_out.jsonl"
    own = read_json(run.folder("M2") / "eval.json")["win_rate_vs_previous"]
    assert own["rate"]["n"] > 5
    assert own["win"] > 0
    assert own["lose"] > 0

    sides = ["--responses", run.folder("M2") / "eval.responses.jsonl", "--against-responses",
             run.folder("M1") / "eval.responses.jsonl"]  # fmt: skip
    call = ["eval", "winrate", *map(str, sides), "--judge", str(run.folder("M2") / "model"), "--compare", "scores",
            "--engine", "scripted", "--seed", "5", "--json", *options]  # fmt: skip
    prompts = ["--prompts", str(asked if where == "file" else held_out), "--limit", "24"]
    done = CliRunner().invoke(app, [*call, *prompts], catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert {name: found[name] for name in ("win", "tie", "lose", "unparsed", "rate", "length_controlled")} == {
        name: own[name] for name in ("win", "tie", "lose", "unparsed", "rate", "length_controlled")
    }
    with pytest.raises(InputError, match="names its prompts by id alone; give the run's prompts with --prompts"):
        CliRunner().invoke(app, call, catch_exceptions=False)


def test_the_judge_scores_the_first_responses_and_the_rest_is_measured_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = {"scoring": "expected", "rubric": "multiple-choice-5"}
    found = {}
    for judged in (None, 1):
        folder = tmp_path / str(judged)
        folder.mkdir()
        run, _, _ = evaluated(folder, monkeypatch, judge, {"judged": judged})
        rows = read_rows(run.folder("M2") / "eval.judgements.jsonl", Judgement)
        found[judged] = read_json(run.folder("M2") / "eval.json"), {row.candidate_id for row in rows}
    (every, all_ids), (first, first_ids) = found[None], found[1]
    assert len(all_ids) == 48
    assert first_ids == {name for name in all_ids if name.endswith("0")}
    assert first["judge_health"]["judgements"] == 24
    for name in ("length", "win_rate_vs_previous", "agreement"):
        assert first[name] == every[name]
