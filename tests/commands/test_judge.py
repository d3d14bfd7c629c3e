"""`judgeloop judge` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from judgeloop.cli import app
from judgeloop.errors import InputError
from judgeloop.judging.score_rows import partial_file
from tiny import make_tiny_model

ROWS = [{"prompt": f"Say {n}.", "response": f"{n}", "mine": n} for n in range(5)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_model(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def call(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["judge", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def scored(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("engine", ["transformers", "openvino"])
def test_expected_scores_from_a_model(engine: str, model: str, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    asked = ["--model", model, "--in", source, "--out", out, "--engine", engine, "--set", "judge.min_mass=0"]
    found = json.loads(call(*asked, "--json"))
    assert (found["rows"], found["scored"], found["judgements"], found["parse_rate"]) == (5, 5, 5, 1.0)
    assert found["out"] == str(out)
    assert sum(found["histogram"].values()) == 5
    assert found["judgements_per_second"] > 0
    rows = scored(out)
    assert [row["mine"] for row in rows] == list(range(5))
    for row in rows:
        (sample,) = row["samples"]
        assert sum(sample["distribution"]) == pytest.approx(1, abs=1e-5)
        expected = sum(score * share for score, share in enumerate(sample["distribution"]))
        assert row["score"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("engine", ["transformers", "openvino"])
def test_a_justification_comes_before_the_expected_score(engine: str, model: str, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    call(
        "--model", model, "--in", source, "--out", out, "--engine", engine, "--justification", "--samples", 2,
        "--set", "judge.min_mass=0", "--set", "judge.sampling={max_new_tokens: 8, temperature: 1}",
    )  # fmt: skip
    rows = scored(out)
    assert [len(row["samples"]) for row in rows] == [2] * 5
    assert any(sample["text"] for row in rows for sample in row["samples"])
    assert all(sample["distribution"] for row in rows for sample in row["samples"])
    assert len({row["score"] for row in rows}) == 5


def test_written_judgements_and_what_is_printed(model: str, source: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    rules = [
        {"match": "Say 3", "reply": "No idea."},
        {"match": "points one by one", "reply": ["Fine.\n\nScore: 4", "Score: 3/5", "得分：５"]},
    ]
    script.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    out = tmp_path / "scored.jsonl"
    shown = call(
        "--model", model, "--in", source, "--out", out, "--scoring", "sampled", "--engine", "scripted",
        "--set", f"engine.script={script}",
    )  # fmt: skip
    assert [row["score"] for row in scored(out)] == [4.0, 4.0, 4.0, None, 4.0]
    assert "4 of 5 rows scored, 1 without a score" in shown
    assert "15 judgements, 80.0% of them with a score" in shown
    assert "3 × no score line" in shown
    assert "mean 4.00 on a scale from 0 to 5" in shown
    assert "   4       4 ████" in shown
    assert "judgements/s" in shown
    assert shown.rstrip().endswith(str(out))


def test_rubrics_languages_and_samples(model: str, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    call(
        "--model", model, "--in", source, "--out", out, "--engine", "scripted", "--rubric", "multiple-choice-5-direct",
        "--language", "zh", "--set", "judge.min_mass=0",
    )  # fmt: skip
    assert {len(row["samples"][0]["distribution"]) for row in scored(out)} == {5}
    call(
        "--model", model, "--in", source, "--out", tmp_path / "two.jsonl", "--engine", "scripted",
        "--scoring", "sampled", "--samples", 2, "--set", "seed=3",
    )  # fmt: skip
    assert {len(row["samples"]) for row in scored(tmp_path / "two.jsonl")} == {2}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "pairs.margin=1"], r"--set pairs\.margin=1: has no part in judging rows"),
        (["--set", "judge.role=M0"], r"--set judge\.role=M0: has no part"),
        (["--set", "judge.sample=2"], r"judgeloop judge: unknown key 'judge\.sample'; did you mean 'judge\.samples'"),
        (["--set", "judge.max_samples=9"], "max_samples needs written judgements"),
        (["--rubric", "none-such"], r"judge\.rubric: no rubric 'none-such'"),
        (["--rubric", "pairwise"], "'pairwise' compares two responses"),
        (["--model", "nowhere"], "no folder 'nowhere'"),
    ],
)
def test_what_is_wrong_is_refused(more: list[str], message: str, model: str, source: Path, tmp_path: Path) -> None:
    asked = ["judge", "--model", model, "--in", str(source), "--out", str(tmp_path / "s.jsonl"), "--engine", "scripted"]
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, [*asked, *more], catch_exceptions=False)
    assert not (tmp_path / "s.jsonl").exists()


def test_the_input_is_not_the_output(model: str, source: Path) -> None:
    with pytest.raises(InputError, match="is the input"):
        CliRunner().invoke(
            app, ["judge", "--model", model, "--in", str(source), "--out", str(source)], catch_exceptions=False
        )


def test_a_finished_file_stays_and_an_unfinished_one_goes_on(model: str, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    asked = ["--model", model, "--in", source, "--out", out, "--engine", "scripted", "--set", "judge.min_mass=0"]
    first = json.loads(call(*asked, "--json"))
    assert first["fresh"] == 5
    before = out.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        call(*asked)
    assert out.read_bytes() == before
    out.unlink()
    broken = tmp_path / "broken.jsonl"
    broken.write_text(source.read_text(encoding="utf-8") + '{"prompt": "x"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="a row without 'response'"):
        call("--model", model, "--in", broken, "--out", out, "--engine", "scripted")
    assert not partial_file(out).exists()
