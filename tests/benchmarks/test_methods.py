"""The benchmark of the seed's other methods: backtranslation on a tiny model with scripted replies, the other arms'
configs, and the tables."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from judgeloop.config.user_functions import load_module
from tiny import make_tiny_model

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TOPICS = {"Rain": 5, "Bread": 4, "Glass": 2, "Salt": 3}


@pytest.fixture(scope="module")
def methods() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return load_module(BENCHMARKS / "methods.py", "methods")


def write(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def text(topic: str) -> str:
    return f"{topic} is what this paragraph is about, and it says at some length what {topic.lower()} may be good for."


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    make_tiny_model(tmp_path / "model")
    ranked = [
        {
            "prompt": f"Say thing {k}.",
            "responses": [{"text": f"Thing {k} is said.", "rank": 0}, {"text": "x", "rank": 1}],
        }
        for k in range(8)
    ]
    asked = [{"key": k, "prompt": f"Speak of {k}.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
             for k in range(3)]  # fmt: skip
    rules: list[dict[str, Any]] = []
    for topic, score in TOPICS.items():
        best = [0.9 if level == score else 0.02 for level in range(1, 6)]
        rules += [{"match": f"(?s){topic} is what.*Write that request", "reply": [f"What is {topic} good for?"]},
                  {"match": f"(?s)<response>{topic} is what", "scores": best}]  # fmt: skip
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("\n\n".join(map(text, TOPICS)), encoding="utf-8")
    script = write(tmp_path / "script.jsonl", rules)
    (tmp_path / "config.yaml").write_text(
        f"""model: {tmp_path / "model"}
engine: {{kind: scripted, script: {script}}}
seed_data: {{ranked: replaced.jsonl, held_out_share: 0.25, eft: {{ift_overlap: true}}}}
sft: {{learning_rate: 1.0e-3, max_length: 2000}}
judge: {{rubric: additive-5-short}}
evaluation: {{samples: 1, bootstrap: 20, compare: scores, sampling: {{max_new_tokens: 8}}}}
""",
        encoding="utf-8",
    )
    return [
        "backtranslation", "--out", str(tmp_path / "out"), "--seed-config", str(tmp_path / "config.yaml"), "--ranked",
        str(write(tmp_path / "ranked.jsonl", ranked)), "--ifeval-prompts", str(write(tmp_path / "ifeval.jsonl", asked)),
        "--ifeval", "3", "--max-new-tokens", "8", "--threads", "1", "--texts", "4", "--texts-from",
        str(tmp_path / "texts"), "--set", "backtranslation.segments.min_words=5",
        "backtranslation.segments.target_words=5", "backtranslation.segments.max_overlap=0.9",
        "backtranslation.top_share=0.5", "backtranslation.sft.learning_rate=1e-3",
    ]  # fmt: skip


@pytest.mark.long
def test_backtranslation_goes_to_its_end_and_is_compared(
    methods: ModuleType, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = subprocess.run

    def quietly(command: Sequence[str], **_given: Any) -> subprocess.CompletedProcess[str]:
        done = run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    monkeypatch.setattr(methods.subprocess, "run", quietly)
    monkeypatch.setattr(sys, "argv", ["methods.py", *arguments])
    monkeypatch.setattr(
        methods, "BACKTRANSLATION", {name: methods.BACKTRANSLATION[name] for name in ("seed", "expected")}
    )
    methods.main()
    shown = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    rounds = [row for row in shown if row[0] == "| expected"]
    assert [(row[1], row[3], row[5]) for row in rounds] == [("4", "1", "2"), ("4", "2", "2")]
    assert rounds[1][7].strip(" |") == "2"  # Rain and Bread, each time
    compared = {row[0]: row for row in shown if row[0].endswith(", expected")}
    assert set(compared) == {"| IFEval strict, prompts, expected", "| agreement with human ranks, expected"}
    assert all("–" not in row[4] for row in compared.values())
    seed, expected = (tmp_path / "out" / f"backtranslation-{name}-s1" for name in ("seed", "expected"))
    assert (seed / "M0" / "eval.json").samefile(expected / "M0" / "eval.json")
    assert len(methods.ids(expected / "M1" / "backtranslated.jsonl")) == 2


def test_the_arms_of_the_track_are_configs_of_one_size(methods: ModuleType, tmp_path: Path) -> None:
    options = methods.parsed(["sources", "meta", "--out", str(tmp_path), "--count", "40", "--threads", "1", "--dev"])
    arms = [*methods.SOURCES, *methods.META]
    asked = methods.track(options, arms)
    assert (asked.arms, asked.on, asked.samples, asked.seeds) == (arms, "development", 2, [1])
    configs = {arm: methods.evidence.config_of(arm, 1, asked)[0] for arm in arms}
    assert {config.prompts.count for config in configs.values()} == {40}
    assert [config.prompts.source for config in configs.values()] == [
        "file", "few_shot", "self_instruct", "unnatural", "file", "file",
    ]  # fmt: skip
    assert [config.judge.meta.enabled for config in configs.values()] == [False] * 5 + [True]
    assert {config.iterations for config in configs.values()} == {1}


def test_sources_are_told_by_what_they_yield(
    methods: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = methods.parsed(["sources", "--out", str(tmp_path)])
    folder = tmp_path / "track" / "few_shot+sized-s1" / "M2"
    folder.mkdir(parents=True)
    account = {"requests": 7, "got": 9, "dropped": {"too short": 4, "blocked": 0}, "seconds": 3.5}
    (folder / "prompts.json").write_text(json.dumps(account), encoding="utf-8")
    rows = [{"id": f"p{k}", "messages": [{"role": "user", "content": f"{word} it."}], "source": "x"}
            for k, word in enumerate(("Name", "name"))]  # fmt: skip
    write(folder / "prompts.jsonl", rows)
    methods.show_sources(options)
    assert "| few_shot+sized | 2 | 7 | 9 | 4 too short | 1 | 3.5 |" in capsys.readouterr().out


def test_an_unknown_group_is_named(methods: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        methods.parsed(["sauces"])
    assert "no group 'sauces'; there are backtranslation, sources, meta" in capsys.readouterr().err
