"""A metric in a user's file is measured, resumed, fingerprinted, shown and decides, without a line elsewhere."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from e2e.conftest import judgeloop, make_config, tiny_model  # noqa: F401
from e2e.test_checker_runs import trained_already
from judgeloop.config import load

Command = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = """
from judgeloop.config.choices import METRICS
from judgeloop.evaluation.metrics import per_prompt


def words(prompt):
    return sum(len(text.split()) for text in prompt.texts) / len(prompt.texts)


METRICS.register("words")(per_prompt("words per response", words, better="lower"))
"""


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_metric_of_a_plugin(
    make_config: Callable[..., Path],  # noqa: F811
    judgeloop: Command,  # noqa: F811
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    sections = {"iterations": 0, "engine": {"kind": "scripted"}, "plugins": [str(plugin)]}
    config = make_config(**sections, stop={"metric": "words", "target": 500, "min_count": 1})
    out = tmp_path / "run"
    trained_already(config, out, tiny_model)
    assert yaml.safe_load((out / "config.yaml").read_text())["evaluation"]["metrics"] == ["words"]

    done = judgeloop("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    found = read(out / "M1" / "eval.json")["metrics"]["words"]
    rows = [json.loads(line) for line in (out / "M1" / "eval.responses.jsonl").read_text().splitlines()]
    counted = [len(row["text"].split()) for row in rows]  # two responses to each prompt
    assert found["value"]["value"] == round(sum(counted) / len(counted), 6)
    assert (found["value"]["n"], found["label"], found["better"]) == (3, "words per response", "lower")
    before = read(out / "M0" / "eval.json")["metrics"]["words"]
    assert before["versus"] is None
    assert found["versus"]["model"] == "M0"
    change = found["value"]["value"] - before["value"]["value"]
    assert abs(found["versus"]["value"]["value"] - change) < 1e-5

    numbers = found.pop("by_prompt")
    assert sorted(numbers.values()) == sorted((a + b) / 2 for a, b in zip(counted[::2], counted[1::2], strict=True))
    assert read(out / "summary.json")["models"][1]["metrics"]["words"] == found
    assert "words per response: M0 " in done.stdout
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<th>words per response</th>" in page
    assert 'id="plot-metric-0"' in page
    assert read(out / "decision.json")["reason"].startswith("words ")  # fewer than 500: the target is reached

    first = (out / "M1" / "eval.json").read_bytes()
    again = judgeloop("run", str(config), "--out", str(out))
    assert again.returncode == 0, again.stderr
    assert (out / "M1" / "eval.json").read_bytes() == first

    plugin.write_text(PLUGIN + "\n# changed\n", encoding="utf-8")
    stale = judgeloop("run", str(config), "--out", str(out))
    assert stale.returncode == 2
    assert "M0/eval is stale" in stale.stderr
    assert "evaluation.metrics" in stale.stderr

    plugin.write_text(PLUGIN.replace("len(text.split())", "len(text.missing())"), encoding="utf-8")
    failed = judgeloop("run", str(config), "--out", str(out), "--redo", "eval")
    assert failed.returncode == 2
    last = failed.stderr.strip().splitlines()[-1]
    assert "mine.py: metric 'words per response' fails with AttributeError" in last
    assert "Traceback" not in failed.stderr


def test_a_metric_that_nothing_measures_cannot_decide(
    make_config: Callable[..., Path],  # noqa: F811
    judgeloop: Command,  # noqa: F811
    tmp_path: Path,
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    config = make_config(plugins=[str(plugin)], evaluation={"metrics": []}, stop={"metric": "words"})
    refused = judgeloop("run", str(config), "--out", str(tmp_path / "run"))
    assert refused.returncode == 2
    assert "stop.metric: words is not measured; add it to evaluation.metrics" in refused.stderr
    config = make_config(stop={"metric": "words"})
    refused = judgeloop("run", str(config), "--out", str(tmp_path / "run"))
    assert refused.returncode == 2
    assert "'win_rate', 'score'" in refused.stderr


def test_a_config_without_the_plugin_does_not_measure_its_metric(
    make_config: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    plugin = tmp_path / "other.py"
    plugin.write_text(PLUGIN.replace('"words"', '"letters"'), encoding="utf-8")
    assert load(make_config(plugins=[str(plugin)])).evaluation.metrics == ("letters",)
    assert load(make_config()).evaluation.metrics == ()
