"""The loop from Python: what the functions return, and that they are there under whatever was imported before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import judgeloop
from e2e.conftest import make_config, tiny_model, without_children  # noqa: F401
from judgeloop.config import load
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects
from report.make_run import make_run


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return judgeloop.open_run(make_run(tmp_path_factory.mktemp("runs") / "mine", checked=True))


def test_tables_hold_the_rows_of_all_models(left: Any) -> None:
    assert {"evaluation", "stages", "metrics", "pairs", "candidates", "judgements", "prompts"} <= set(left.tables())
    pairs = left.table("pairs")
    for model in ("M2", "M3"):
        rows = [row for _, row in read_objects(left.path / model / "pairs.jsonl")]
        assert [{k: v for k, v in row.items() if k != "model"} for row in pairs if row["model"] == model] == rows
    evaluation = left.table("evaluation")
    (agreement,) = [row for row in evaluation if (row["model"], row["metric"]) == ("M3", "agreement")]
    said = json.loads((left.path / "M3" / "eval.json").read_text())["metrics"]["agreement"]["value"]
    assert {key: agreement[key] for key in said} == said
    checker = [row["change"] for row in evaluation if row["metric"] == "checker"]
    assert checker[-1] is not None
    times = {(row["model"], row["stage"]): row["seconds"] for row in left.table("stages")}
    assert times["M1", "sft"] == 61.0
    assert len(left.table("metrics")) > 100


def test_a_run_says_what_its_report_says(left: Any) -> None:
    assert left.models == ["M0", "M1", "M2", "M3"]
    assert len(left.verdict) == 3
    assert left.summary["models"][-1]["name"] == "M3"
    assert left.config["iterations"] == 2
    assert "mine: M0, M1, M2, M3" in repr(left)


@pytest.mark.parametrize(("quiet", "printed"), [(False, "one\ntwo\n"), (True, "")])
def test_a_notebook_gets_plain_lines_or_none(
    left: Any, quiet: bool, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from judgeloop.run import driver  # by its name it might be looked for in the function `judgeloop.run`

    shown: list[object] = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *output: shown.append(output))

    def execute(_settings: object, _folder: Path, display: Any, _redo: object) -> None:
        display.note("one")
        display.note("two")

    monkeypatch.setattr(driver, "execute", execute)
    judgeloop.run({"model": "x", "seed_data": {"ift": "seed.jsonl"}}, left.path, quiet=quiet)
    assert (capsys.readouterr().out, shown) == (printed, [])


def test_tables_as_data_frames(left: Any) -> None:
    pandas = pytest.importorskip("pandas")
    frame = left.table("evaluation", "pandas")
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns[:3]) == ["model", "metric", "label"]
    assert len(frame) == len(left.table("evaluation"))


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (lambda run: run.table("pears"), "has no table 'pears'; there are evaluation, stages, metrics"),
        (lambda run: run.table("pairs", "excel"), "frame: 'excel' is none of rows, pandas, polars"),
        (lambda run: run.model("M9"), "has no model M9; the run makes M0, M1, M2, M3"),
        (lambda run: run.model(), "has no model best"),
        (lambda run: judgeloop.open_run(run.path / "M2"), "is not a run directory"),
        (lambda run: judgeloop.run({"seed_data": {"ift": "a.jsonl"}}), "no run directory; name one"),
        (lambda run: judgeloop.run({"sead": 1}, "x"), "judgeloop.run: unknown key 'sead'; did you mean 'seed'"),
        (lambda run: judgeloop.run({}, "x", set=["seed=1"]), "set goes with a config file"),
        (lambda run: judgeloop.run("nothing"), "nothing: no such config; give a YAML file, or one of"),
        (lambda run: judgeloop.judge([], "x", colour="red"), "unexpected keyword argument 'colour'"),
    ],
)
def test_what_is_wrong_is_one_line(left: Any, what: Callable[[Any], object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        what(left)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_library_of_frames_is_named(left: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(InputError, match="polars is not installed; pip install polars"):
        left.table("pairs", "polars")


RANKED = [
    {"prompt": "a", "responses": [{"text": "x", "rank": 0, "score": 5}, {"text": "y", "rank": 1, "score": 2}]},
    {"prompt": "b", "responses": [{"text": "x", "rank": 0, "score": 1}, {"text": "y", "rank": 1, "score": 2}]},
]


def test_agreement_of_scores_that_are_there() -> None:
    found = judgeloop.agreement(RANKED)
    assert found["metrics"]["pairwise_ties_half"]["value"] == 0.5
    assert (found["prompts"], "input" in found) == (2, False)


def test_a_run_and_its_judge_from_python(
    make_config: Callable[..., Path],  # noqa: F811
    without_children: None,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = make_config(iterations=0)
    for config in (path, yaml.safe_load(path.read_text()), load(path)):  # the second and third find it finished
        made = judgeloop.run(config, tmp_path / "run", quiet=True)
        assert made.model("M1") == tmp_path / "run" / "M1" / "model"
        assert made.model() == made.model("M1")
    assert capsys.readouterr().out == ""
    rows = [{"prompt": "Name a fruit.", "response": "An apple.", "mine": 7}, {"prompt": "Hi", "response": "Ho"}]
    scored = judgeloop.judge(rows, str(made.model()), overrides=["judge.min_mass=0.0"])
    assert [(row["response"], row.get("mine")) for row in scored] == [("An apple.", 7), ("Ho", None)]
    assert all(0 <= row["score"] <= 5 for row in scored)


@pytest.mark.parametrize(
    "before", ["import judgeloop.run", "import judgeloop.run.driver", "from judgeloop import run", "judgeloop.judge"]
)
def test_the_function_and_the_folder_of_one_name_are_both_there(before: str) -> None:
    code = f"import judgeloop; {before}\nimport judgeloop.run.stage\n"
    code += "try: judgeloop.run({'sead': 1}, 'x')\nexcept Exception as error: print(type(error).__name__)\n"
    code += "print(judgeloop.run.stage.LOOP)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["InputError", "loop"], "")
