"""A stage of a user's file between `judge` and `pairs`: carried out, resumed, fingerprinted, shown, used."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from e2e.conftest import make_config, tiny_model  # noqa: F401
from judgeloop.config import load
from judgeloop.errors import InputError
from judgeloop.jsonl import read_rows, to_line, write_rows_atomically
from judgeloop.loop import method
from judgeloop.records import Candidate, Judgement, PreferencePair, Prompt
from judgeloop.report.page import write_reports
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.display import TerminalDisplay
from judgeloop.run.json_artifacts import read_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context

PLUGIN = """
from dataclasses import replace
from pathlib import Path

from judgeloop.jsonl import write_rows_atomically
from judgeloop.records import Candidate, Judgement
from judgeloop.run.stage import Stage, add_stage
from judgeloop.stages.context import Outcome


def shorter_is_better(context):
    length = {row.id: len(row.text) for row in context.rows("candidates", Candidate)}
    rows = context.rows("judgements", Judgement)
    if Path("die").exists():
        raise KeyboardInterrupt
    made = [replace(row, score=5 - length[row.candidate_id] / 100) for row in rows]
    write_rows_atomically(context.output(), made)
    return Outcome({"rows": len(made)})


add_stage(
    Stage(
        "shorten",
        "scores against length",
        run=shorter_is_better,
        reads=("candidates", "judgements"),
        writes=("shortened.jsonl",),
        keys=("seed",),
        gives="judgements",
    ),
    after="judge",
)
"""


@pytest.fixture
def forget_stages() -> Any:
    """Plugins register for the life of a process, which for a run is the run."""
    from judgeloop.config import choices
    from judgeloop.run import stage

    yield
    stage._followers.clear()
    choices._loaded.clear()


def prepared(path: Path) -> RunDirectory:
    """A run in which M2's candidates were judged."""
    config = load(path)
    run = RunDirectory.prepare(path.parent / "run", config, method(config))
    describe(run)
    prompts = [Prompt.of([{"role": "user", "content": f"Name {n} things."}], "test") for n in range(3)]
    answers = [Candidate(f"{p.id}.{k}", p.id, "word " * (3 * k + 1), [5, 2], "stop") for p in prompts for k in range(3)]
    # The judge prefers long answers: the stage after it turns the order round.
    judged = [Judgement(f"{row.id}.0", row.id, 0, "", len(row.text) / 10, None) for row in answers]
    folder = run.folder("M2")
    for name, rows in (("prompts.jsonl", prompts), ("candidates.jsonl", answers), ("judgements.jsonl", judged)):
        write_rows_atomically(folder / name, [json.loads(to_line(row)) for row in rows])
    return run


@pytest.mark.usefixtures("forget_stages")
def test_a_stage_between_judge_and_pairs(
    make_config: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    path = make_config(iterations=1, plugins=[str(plugin)])
    run = prepared(path)
    names = list(run.steps)
    assert names[names.index("M2/judge") :][:3] == ["M2/judge", "M2/shorten", "M2/pairs"]
    assert run.steps["M2/pairs"].given["judgements"] == (run.steps["M2/shorten"].as_input(),)
    assert run.outputs(run.steps["M2/shorten"])[2:] == [run.folder("M2") / "shortened.jsonl"]

    written = io.StringIO()
    display = TerminalDisplay(Console(file=written, width=100))
    step = run.steps["M2/shorten"]
    (tmp_path / "die").touch()
    with pytest.raises(KeyboardInterrupt):
        run_stage(Context(run, step, display.progress))
    assert run.state(step) == "begun"
    (tmp_path / "die").unlink()
    run_stage(Context(run, step, display.progress))
    marker = read_json(run.marker(step, "done"))
    assert marker["settings"]["plugin"].startswith("sha256:")
    assert list(marker["files"]) == ["shortened.jsonl"]
    display.finished(step, marker)
    assert "scores against length" in written.getvalue()

    run_stage(Context(run, run.steps["M2/pairs"], display.progress))
    pairs = read_rows(run.folder("M2") / "pairs.jsonl", PreferencePair)
    assert len(pairs) == 3
    assert all(len(pair.chosen[0]["content"]) < len(pair.rejected[0]["content"]) for pair in pairs)
    page = write_reports(run.path)
    assert "scores against length" in page.read_text(encoding="utf-8")
    assert run.stale([step]) == []


@pytest.mark.usefixtures("forget_stages")
def test_a_plugin_that_was_edited_makes_its_stage_stale(
    make_config: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    from judgeloop.config import choices
    from judgeloop.run import stage

    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    path = make_config(iterations=1, plugins=[str(plugin)])
    run = prepared(path)
    run_stage(Context(run, run.steps["M2/shorten"], lambda *_: None))
    plugin.write_text(PLUGIN.replace("/ 100", "/ 50"), encoding="utf-8")
    stage._followers.clear()
    choices._loaded.clear()  # a new process
    config = load(path)
    again = RunDirectory(run.path, config, method(config))
    (stale,) = again.stale([again.steps["M2/shorten"]])
    assert stale.why.startswith("plugin was ")


@pytest.mark.usefixtures("forget_stages")
def test_what_a_stage_cannot_read_is_said_before_the_run(
    make_config: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.replace('"candidates", "judgements"),', '"pairs", "judgements"),'), encoding="utf-8")
    config = load(make_config(iterations=1, plugins=[str(plugin)]))
    with pytest.raises(InputError, match=r"plugins: stage 'shorten' reads \['pairs'\]; there are"):
        method(config)


def test_a_plugin_that_is_not_there_is_an_input_error(
    make_config: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    path = make_config()
    tree = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**tree, "plugins": str(tmp_path / "none.py")}))
    with pytest.raises(InputError, match=r"plugins: .*none\.py cannot be read"):
        load(path)
