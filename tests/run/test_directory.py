from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, parse
from judgeloop.errors import InputError
from judgeloop.loop import method
from judgeloop.run.directory import RunDirectory, describe, drop_metrics, open_run
from judgeloop.run.driver import execute
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.stage import Step


def config(**tree: Any) -> Config:
    return parse({"seed_data": {"ift": "seed.jsonl"}, "evaluation": {"base": False}, **tree}, "test")


def directory(path: Path, **tree: Any) -> RunDirectory:
    """The run as a config sees it, without the lock."""
    chosen = config(**tree)
    return RunDirectory(path, chosen, method(chosen))


def make(run: RunDirectory, name: str, text: str = "") -> Step:
    """Make a step's artifact as a stage does: begun, rows, done."""
    step = run.steps[name]
    run.folder(step.model).mkdir(parents=True, exist_ok=True)
    run.begin(step)
    path = run.artifact(name)
    if path.suffix:
        path.write_text(text or json.dumps({"made": name, "hash": "h0", "path": "somewhere"}) + "\n")
        run.finish(step, 1.5, {"rows": 1})
    else:
        path.mkdir()
        (path / "weights").write_text(name)
        run.finish(step, 1.5, {})
    return step


def made_run(path: Path, **tree: Any) -> RunDirectory:
    run = directory(path, **tree)
    for name in run.steps:
        make(run, name)
    return run


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_the_states_of_a_step(tmp_path: Path) -> None:
    run = directory(tmp_path)
    step = run.steps["M2/judge"]
    assert run.state(step) == "missing"
    run.folder("M2").mkdir()
    run.begin(step)
    assert run.state(step) == "begun"
    run.artifact(step.name).write_text("{}\n")
    assert run.state(step) == "begun"
    run.finish(step, 2.0, {"rows": 1})
    assert run.state(step) == "done"
    assert not run.marker(step, "begun").exists()
    run.artifact(step.name).unlink()
    assert run.state(step) == "missing"


def test_the_same_config_finds_nothing_stale(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    assert run.stale(run.steps.values()) == []
    again = directory(tmp_path, train={"micro_batch_size": 1}, engine={"cache_gib": 1.0}, iterations=2)
    assert again.stale(again.steps.values()) == []


def test_stale_says_what_was_and_what_is(tmp_path: Path) -> None:
    made_run(tmp_path)
    changed = directory(tmp_path, pairs={"margin": 0.5})
    stale = {found.step.name: found.why for found in changed.stale(changed.steps.values())}
    assert stale["M2/pairs"] == "pairs.margin was 0.0, is 0.5"
    assert stale["M2/train"] == "made from another M2/pairs"
    assert stale["M2/eval"] == "made from another M2/train"
    assert stale["M3/prompts"] == "made from another M2/train"
    assert not {"M1/sft", "M1/eval", "M2/judge", "M2/candidates"} & set(stale)


def test_a_long_value_is_shortened(tmp_path: Path) -> None:
    made_run(tmp_path)
    changed = directory(tmp_path, system_prompt="word " * 100)
    why = changed.stale(changed.steps.values())[0].why
    assert why.startswith('system_prompt was null, is "word')
    assert len(why) < 120


def test_many_iterations_are_no_burden(tmp_path: Path) -> None:
    run = directory(tmp_path, iterations=30)
    last = list(run.steps.values())[-1]
    started = time.process_time()
    assert len(run.expected(last)["inputs"]) == 3
    assert time.process_time() - started < 2


def test_other_weights_make_everything_stale(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    run.artifact("M0/model").write_text(json.dumps({"hash": "h1", "path": "somewhere"}))
    stale = {found.step.name: found.why for found in run.stale(run.steps.values())}
    assert stale["M1/sft"] == "made from another M0/model, M1/seed"
    assert stale["M1/seed"] == "made from another M0/model"  # its rows are those that the model can be given


def test_a_begun_artifact_keeps_its_first_settings(tmp_path: Path) -> None:
    run = directory(tmp_path)
    step = run.steps["M2/candidates"]
    run.folder("M2").mkdir()
    run.begin(step)
    first = run.marker(step, "begun").read_bytes()
    changed = directory(tmp_path, candidates={"count": 8})
    changed.begin(changed.steps[step.name])
    assert run.marker(step, "begun").read_bytes() == first
    (found,) = changed.stale([changed.steps[step.name]])
    assert found.why == "candidates.count was 4, is 8"
    assert run.stale([step]) == []


def test_seconds_add_up_over_attempts(tmp_path: Path) -> None:
    run = directory(tmp_path)
    step = run.steps["M2/pairs"]
    run.folder("M2").mkdir()
    run.spend(step, 5.0)  # never begun: nothing to note it on
    assert run.spent(step) == 0.0
    run.begin(step)
    run.spend(step, 1.25)
    run.spend(step, 2.0)
    assert run.spent(step) == 3.25
    assert run.stale([step]) == []
    run.artifact(step.name).write_text("")
    run.finish(step, 0.5, {"rows": 0})
    marker = read_json(run.marker(step, "done"))
    assert marker["seconds"] == 3.75
    assert marker["rows"] == 0


def test_superseding_moves_what_was_made_from_it_and_keeps_the_content(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "M2" / "pairs.json").write_text("{}")
    rows = [
        {"model": model, "stage": stage, "step": 1}
        for model, stage in (("M1", "sft"), ("M2", "train"), ("M3", "train"))
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    moved, target = run.supersede([run.steps["M2/pairs"]])
    names = [step.name for step in moved]
    assert names[:3] == ["M2/pairs", "M2/train", "M2/eval"]
    assert set(names) == {"M2/pairs", "M2/train", "M2/eval"} | {name for name in run.steps if name.startswith("M3")}
    assert target.parent == tmp_path / "superseded"
    assert all(run.state(step) == "missing" for step in moved)
    kept = [step for step in run.steps.values() if step not in moved]
    assert all(run.state(step) == "done" for step in kept)
    assert run.stale(kept) == []
    after = {
        name.split("/", 2)[2] if name.startswith("superseded/") else name: b for name, b in contents(tmp_path).items()
    }
    assert after.pop("M2/pairs.json") == b"{}"
    metrics = after.pop("metrics.jsonl").decode().splitlines()
    assert [json.loads(line)["model"] for line in metrics] == ["M1"]
    assert after == before


def test_superseding_nothing_leaves_no_folder(tmp_path: Path) -> None:
    run = directory(tmp_path)
    moved, target = run.supersede([run.steps["M1/sft"]])
    assert moved == []
    assert not target.exists()


def test_an_edited_row_file_is_noticed(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    assert run.changed_by_hand(run.steps.values()) == []
    path = run.artifact("M2/judge")
    whole = path.read_bytes()
    path.write_bytes(whole + b"{}\n")
    assert [step.name for step in run.changed_by_hand(run.steps.values())] == ["M2/judge"]
    path.write_bytes(whole)
    assert run.changed_by_hand(run.steps.values()) == []
    path.unlink()
    assert [step.name for step in run.changed_by_hand(run.steps.values())] == ["M2/judge"]


def test_metrics_of_other_trainings_stay_byte_for_byte(tmp_path: Path) -> None:
    lines = ['{"model":"M1", "stage":"sft","loss":2}\n', '{"model":"M2","stage":"train","loss":1}\n']
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(lines) + '{"model":"M2","sta')
    drop_metrics(tmp_path, set())
    assert path.read_text().endswith('"sta')
    drop_metrics(tmp_path, {("M2", "train"), ("M2", "judge")})
    assert path.read_text() == lines[0]
    drop_metrics(tmp_path, {("M1", "train")})
    assert path.read_text() == lines[0]
    drop_metrics(tmp_path / "none", {("M1", "sft")})
    assert not (tmp_path / "none").exists()


HOLD = """
import sys, time
from pathlib import Path
from judgeloop.config import parse
from judgeloop.run.directory import RunDirectory
run = RunDirectory.prepare(Path(sys.argv[1]), parse({"seed_data": {"ift": "a"}}, "test"), [])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_while_the_first_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = RunDirectory._take_lock
    monkeypatch.setattr(RunDirectory, "_take_lock", lambda self: take(self, patience=0.2))
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdin is not None
    assert first.stdout is not None
    with first:
        try:
            assert first.stdout.readline() == "held\n"
            with pytest.raises(InputError, match="another run is working in this directory; wait for it or choose"):
                RunDirectory.prepare(tmp_path, config(), [])
        finally:
            first.kill()
    run = RunDirectory.prepare(tmp_path, config(), [])  # a killed process holds nothing
    assert run.lock_fd is not None
    run.close()
    run.close()
    assert run.lock_fd is None
    RunDirectory.prepare(tmp_path, config(), []).close()


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="is not empty and not a run of judgeloop; choose another --out"):
        RunDirectory.prepare(tmp_path, config(), [])
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot be written \(.+\); choose another --out"):
        RunDirectory.prepare(tmp_path / "file" / "run", config(), [])


def test_a_described_run_opens_with_its_config(tmp_path: Path) -> None:
    run = directory(tmp_path, seed=5)
    describe(run)
    found, about = open_run(tmp_path)
    assert found.seed == 5
    assert found.pairs == run.config.pairs
    assert about["models"] == ["M0", "M1", "M2", "M3"]
    assert about["seed"] == 5
    started = about["started"]
    file = tmp_path / "run.json"
    file.write_text(file.read_text().replace(started, "2020-01-01T00:00:00+00:00"))
    describe(run)
    assert open_run(tmp_path)[1]["started"] == "2020-01-01T00:00:00+00:00"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory; give the folder that 'judgeloop run' wrote"):
        open_run(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"a":', b"[1]", b"\xff"])
def test_a_damaged_marker_is_an_input_error(content: bytes, tmp_path: Path) -> None:
    run = made_run(tmp_path)
    path = run.marker(run.steps["M2/judge"], "done")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"\.judge\.done\.json: .*--redo"):
        run.stale(run.steps.values())


def test_lineage_names_the_models(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    base = {"name": "M0", "path": "somewhere", "hash": "h0"}
    record = {"name": "M1", "initial": base, "reference": None, "hash": "h1", "rows": 3, "dropped": {}, "steps": 1,
              "tokens": 9}  # fmt: skip
    (tmp_path / "M1" / "train.json").write_text(json.dumps(record))
    assert run.identity("M0") == {"name": "M0", "path": "somewhere", "hash": "h0"}
    assert run.identity("M1") == {"name": "M1", "path": "M1/model", "hash": "h1"}
    assert run.base_weights() == Path("somewhere")
    assert run.weights(run.maker("M2")) == tmp_path / "M2" / "model"


def test_the_outputs_of_every_stage_are_known() -> None:
    judge = {"scoring": "sampled", "meta": {"enabled": True}}
    run = directory(Path("run"), backtranslation={"texts": "texts"}, judge=judge, evaluation={"checker": "check.py"})
    for step in run.steps.values():
        outputs = run.outputs(step)
        assert [p.name for p in outputs[:3]] == [f".{step.label}.done.json", f".{step.label}.begun.json", step.artifact]
        assert len(set(outputs)) == len(outputs)


def test_a_run_directory_of_another_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    chosen = config()
    run = directory(tmp_path)
    describe(run)
    facts = read_json(tmp_path / "run.json")
    del facts["format"]  # as before there were formats
    (tmp_path / "run.json").write_text(json.dumps(facts))
    (tmp_path / "M1").mkdir()
    (tmp_path / "M1" / ".seed.done.json").write_text('{"stage": "seed", "fingerprint": "0"}')
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"is a run directory of format 1 \(judgeloop .*go on with the judgeloop that"):
        open_run(tmp_path)
    with pytest.raises(InputError, match="choose another --out"):
        execute(chosen, tmp_path, Silent())
    assert {name: data for name, data in contents(tmp_path).items() if name != ".lock"} == before


class Silent:
    """A display that shows nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None
