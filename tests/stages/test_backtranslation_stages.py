"""The method's steps on a tiny model and scripted replies, one after the other, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, parse
from judgeloop.errors import InputError
from judgeloop.instructions.backtranslation.training_rows import system_prompts
from judgeloop.jsonl import read_objects, read_rows
from judgeloop.loop import method
from judgeloop.records import SupervisedRow
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from tiny import make_tiny_model

TOPICS = {"Rain": 5, "Bread": 4, "Moon": 3, "Honey": 2, "Glass": 1}  # and how its pair is scored
Make = Callable[..., Config]


def text(topic: str) -> str:
    return f"{topic} is what this paragraph is about, and it says at some length what {topic.lower()} may be good for."


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def make(tmp_path: Path, tiny_model: Path) -> Make:
    def make_config(**changes: Any) -> Config:
        seed = [{"prompt": f"Say thing {k}.", "response": f"Thing {k} is said here."} for k in range(6)]
        (tmp_path / "seed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in seed))
        (tmp_path / "held_out.jsonl").write_text(json.dumps({"prompt": "What would you do about snow?"}) + "\n")
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / "a.txt").write_text("\n\n".join(text(topic) for topic in TOPICS))
        rules: list[dict[str, Any]] = []
        for topic, score in TOPICS.items():
            best = [0.9 if level == score else 0.02 for level in range(1, 6)]
            flat = [0.2] * 5
            replies = [f"What is {topic} good for?", f"It says what {topic} is."]
            rules += [
                {"match": f"(?s){topic} is what.*Write that request", "reply": replies},
                {"match": f"(?s)<response>{topic} is what", "scores": best if topic != "Glass" else flat},
            ]
        (tmp_path / "script.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules))
        training = {"learning_rate": 1e-3, "batch_size": 4, "max_length": 400}
        tree = {
            "model": str(tiny_model),
            "threads": 1,
            "iterations": 0,
            "engine": {"kind": "scripted", "script": str(tmp_path / "script.jsonl")},
            "seed_data": {"ift": str(tmp_path / "seed.jsonl")},
            "evaluation": {"prompts": str(tmp_path / "held_out.jsonl"), "base": False},
            "sft": training,
        }
        section = {
            "texts": str(tmp_path / "texts"),
            "segments": {"min_words": 5, "target_words": 5, "max_overlap": 0.9},
            "keep": "threshold",
            "threshold": 3.5,
            "sft": training,
        }
        return parse({**tree, "backtranslation": {**section, **changes}}, "test")

    return make_config


def go(config: Config, out: Path, last: str, before: Callable[[RunDirectory, str], None] | None = None) -> RunDirectory:
    """Run the steps that are not done, up to the one named."""
    run = RunDirectory.prepare(out, config, method(config))
    try:
        for name, step in run.steps.items():
            if run.state(step) != "done":
                if before is not None:
                    before(run, name)
                run_stage(Context(run, step, lambda *_: None))
            if name == last:
                return run
    finally:
        run.close()
    raise AssertionError(f"no step {last}")


def test_two_rounds_make_rows_that_m1_is_trained_on(make: Make, tmp_path: Path) -> None:
    config = make()
    out = tmp_path / "run"
    go(config, out, "M1/sft")
    folder = out / "M1"
    rows = read_rows(folder / "backtranslated.jsonl", SupervisedRow)
    augmented = {"role": "system", "content": system_prompts(config.backtranslation)[1]}
    assert [(row.prompt, row.completion[0]["content"], row.source) for row in rows] == [
        ([augmented, {"role": "user", "content": f"What is {topic} good for?"}], text(topic), f"texts/a.txt:{line}")
        for topic, line in (("Rain", 1), ("Bread", 3))
    ]
    assert [row["score"] > 3.5 for _, row in read_objects(folder / "backtranslated.jsonl")] == [True, True]

    # What each model was trained on: the seed turned round, the seed, the seed and what round 1 kept, and all of it.
    trained = {name: read_json(folder / name / "train.json") for name in ("backward", "forward.0", "forward.1", ".")}
    assert [trained[name]["rows"] for name in trained] == [6, 6, 8, 8]
    assert [trained[name]["name"] for name in trained] == ["M1/backward", "M1/forward.0", "M1/forward.1", "M1"]
    assert len({trained[name]["hash"] for name in trained}) == 4
    assert all(trained[name]["initial"]["name"] == "M0" for name in trained)
    assert all((folder / name / "model" / "model.safetensors").is_file() for name in trained)

    account = read_json(folder / "backtranslation.json")
    assert account["segments"]["kept"] == 5
    assert account["labels"]["written"] == 10
    assert account["labels"]["dropped"] == {"states instead of asking": 5}
    assert [entry["kept"] for entry in account["rounds"]] == [2, 2]
    assert account["rounds"][0]["rule"] == "score of at least 3.5"
    assert account["rounds"][0]["histogram"] == {"1": 0, "2": 1, "3": 2, "4": 1, "5": 1}
    assert account["rounds"][0]["dropped"] == {"below the threshold": 3}
    assert account["rounds"][1]["scoring"]["without_score"] == {}
    assert account["kept"] == 2
    assert account["models"]["backward"]["rows"] == 6
    assert account["models"]["backward"]["weights_kept"] is True
    assert set(account["seconds"]) == {
        "segments", "backward", "labels", "labelled", "forward.0", "forward.1", "scores.1", "scores.2", "curate.1",
        "curate.2",
    }  # fmt: skip
    stages = {row["stage"] for _, row in read_objects(out / "metrics.jsonl")}
    assert stages == {"backward", "forward.0", "forward.1", "sft"}


def test_weights_that_served_their_purpose_are_removed_where_asked_for(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "run"
    config = make(keep_models=False, rounds=1)
    run = go(config, out, "M1/backtranslated")
    account = read_json(out / "M1" / "backtranslation.json")
    assert account["models"]["forward.0"]["megabytes"] > 0.1
    assert account["models"]["forward.0"]["weights_kept"] is False
    for name in ("backward", "forward.0"):
        assert [path.name for path in (out / "M1" / name).iterdir()] == ["train.json"]
    steps = method(config)
    assert [step.name for step in steps if run.state(step) != "done"] == ["M1/sft", "M1/eval"]
    assert run.stale(steps) == []
    assert run.changed_by_hand(steps) == []

    run.supersede([run.steps["M1/scores.1"]])
    with pytest.raises(InputError, match=r"weights were removed .* make them anew with --redo M1/forward\.0"):
        go(config, out, "M1/backtranslated")
    run.supersede([run.steps["M1/forward.0"]])
    go(config, out, "M1/backtranslated")
    assert len(read_rows(out / "M1" / "backtranslated.jsonl", SupervisedRow)) == 2


def test_labels_and_scores_go_on_row_by_row(make: Make, tmp_path: Path) -> None:
    """What a killed step left is kept byte for byte, and the rest comes out as it would have."""
    config = make(rounds=1)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    go(config, whole, "M1/backtranslated")
    left: dict[str, bytes] = {}

    def leave_half(run: RunDirectory, name: str) -> None:
        file = {"M1/labels": "labels.jsonl", "M1/scores.1": "scores.1.jsonl"}.get(name)
        if file is not None:
            lines = (whole / "M1" / file).read_bytes().splitlines(keepends=True)
            half = b"".join(lines[3:5])
            left[file] = half
            (run.path / "M1" / file).write_bytes(half + lines[0][:20])

    go(config, broken, "M1/backtranslated", leave_half)
    assert set(left) == {"labels.jsonl", "scores.1.jsonl"}
    for file, half in left.items():
        after = (broken / "M1" / file).read_bytes()
        assert after.startswith(half)
        assert sorted(after.splitlines()) == sorted((whole / "M1" / file).read_bytes().splitlines())
    for file in ("labelled.jsonl", "curated.1.jsonl", "backtranslated.jsonl"):
        assert (broken / "M1" / file).read_bytes() == (whole / "M1" / file).read_bytes()


def test_another_threshold_leaves_models_labels_and_first_scores(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "run"
    go(make(), out, "M1/backtranslated")
    changed = make(threshold=2.9)
    run = RunDirectory(out, changed, method(changed))
    assert [entry.step.name for entry in run.stale(method(changed))] == [
        "M1/curate.1", "M1/forward.1", "M1/scores.2", "M1/curate.2", "M1/backtranslated"
    ]  # fmt: skip
    same = make()
    again = RunDirectory(out, same, method(same))
    assert again.stale(method(same)) == []
    (tmp_path / "texts" / "a.txt").write_text("\n\n".join([text("Rain"), text("Wool")]))
    assert again.stale(method(same))[0].step.name == "M1/segments"


def test_a_threshold_that_nothing_reaches_says_what_was_reached(make: Make, tmp_path: Path) -> None:
    message = r"no pair was kept in round 1 of 5 scored \(rule: score of at least 4\.99; highest score: 4\.7"
    with pytest.raises(InputError, match=message):
        go(make(threshold=4.99), tmp_path / "run", "M1/backtranslated")


def test_a_rubric_on_another_scale_is_refused_before_the_model_is_loaded(make: Make, tmp_path: Path) -> None:
    config = make(curation={"rubric": "additive-5-direct"})
    with pytest.raises(InputError, match=r"'additive-5-direct' scores 0 to 5, not 1 to 5; choose curation-5-direct"):
        go(config, tmp_path / "run", "M1/scores.1")


def test_written_scores_are_parsed(make: Make, tmp_path: Path) -> None:
    script = tmp_path / "written.jsonl"
    config = make(curation={"scoring": "sampled", "rubric": "curation-5", "samples": 2}, rounds=1, threshold=4.5)
    rules = [json.loads(line) for line in (tmp_path / "script.jsonl").read_text().splitlines()]
    labels = [rule for rule in rules if "reply" in rule]
    written = [
        {"match": "<response>Rain", "reply": ["Good.\nScore: 5", "Fine.\nScore: 4"]},
        {"match": "<response>", "reply": ["It is hard to say.", "Score: 7"]},
    ]
    script.write_text("".join(json.dumps(rule) + "\n" for rule in [*labels, *written]))
    tree = config.model_dump(mode="json")
    tree["engine"]["script"] = str(script)
    go(parse(tree, "test"), tmp_path / "run", "M1/backtranslated")
    account = read_json(tmp_path / "run" / "M1" / "backtranslation.json")["rounds"][0]
    assert (account["pairs"], account["scored"], account["kept"], account["lowest_kept"]) == (5, 1, 1, 4.5)
    assert account["dropped"] == {"no score": 4}
    assert account["scoring"]["without_score"] == {"no score line": 4, "score 7 outside 1-5": 4}


def test_likelihood_ranks_by_what_the_instruction_adds(make: Make, tmp_path: Path) -> None:
    """Under the script, Moon's instruction makes its text likelier than Rain's does, and Glass's less likely."""
    config = make(curation={"scoring": "likelihood"}, keep="top_share", top_share=0.4, rounds=1)
    rules = [json.loads(line) for line in (tmp_path / "script.jsonl").read_text().splitlines()]
    rules = [rule for rule in rules if "reply" in rule]
    for topic, value in (("Moon", 0.9), ("Rain", 0.5), ("Glass", 0.01)):
        rules.append({"match": f"What is {topic} good for", "scores": [value]})
    rules.append({"match": "", "scores": [0.1]})
    (tmp_path / "script.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    go(config, tmp_path / "run", "M1/backtranslated")
    folder = tmp_path / "run" / "M1"
    kept = [row.prompt[-1]["content"] for row in read_rows(folder / "backtranslated.jsonl", SupervisedRow)]
    assert kept == ["What is Moon good for?", "What is Rain good for?"]
    account = read_json(folder / "backtranslation.json")["rounds"][0]
    assert account["histogram"] is None
    assert account["quantiles"]["least"] < 0 == account["quantiles"]["50%"] < account["quantiles"]["most"]


def test_likelihood_has_no_threshold(make: Make) -> None:
    with pytest.raises(InputError, match="likelihood scores are not on the scale of a threshold; set keep: top_share"):
        make(curation={"scoring": "likelihood"}, keep="threshold")
