"""`judgeloop judge --endpoint`: rows judged by a model behind an endpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from endpoint import Answer, Asked, fails, says, serving
from judgeloop.cli import app
from judgeloop.judging.score_rows import partial_file

KEY = "sk-only-in-the-environment"
TOP = {"4": -0.5, "3": -1.2}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Say {n}.", "response": f"{n}", "mine": n} for n in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def call(url: str, source: Path, out: Path, *more: str) -> Result:
    given = ["judge", "--model", "gpt", "--endpoint", url, "--in", str(source), "--out", str(out), *more]
    return CliRunner().invoke(app, given)


def begun(asked: Asked) -> bool:
    return asked.body["messages"][-1]["role"] == "assistant"


def test_the_score_is_read_after_a_begun_line(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    with serving(lambda asked: says("4", tokens=[("4", TOP)], finish="length")) as server:
        prices = "endpoint.prices={input: 1000, output: 2000}"
        done = call(server.url, source, out, "--json", "--set", prices)
    assert done.exit_code == 0, done.output
    assert "judging: 1 of 5" in done.stderr
    found = json.loads(done.stdout)
    assert (found["scored"], found["endpoint"]["cost"]) == (5, pytest.approx((55 * 1000 + 15 * 2000) / 1e6))
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["mine"] for row in rows] == list(range(5))
    assert all(3 < row["score"] < 4 for row in rows)
    for asked in server.asked:
        assert asked.body["messages"][-1] == {"role": "assistant", "content": "Score: "}
        sent = {key: asked.body[key] for key in ("max_tokens", "top_logprobs", "continue_final_message")}
        assert sent == {"max_tokens": 1, "top_logprobs": 20, "continue_final_message": True}


@pytest.mark.parametrize("refused", [True, False])
def test_a_line_that_is_not_gone_on_with_is_written(refused: bool, source: Path, tmp_path: Path) -> None:
    """Without log-probabilities too: the score is then read from the text, and both are said once."""

    def answer(asked: Asked) -> Answer:
        if begun(asked):
            return fails(400, "the last message must be the user's") if refused else says("Sure", finish="length")
        return says("Score: 3")

    with serving(answer) as server:
        done = call(server.url, source, tmp_path / "scored.jsonl")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("does not go on with a begun score line") == 1
    assert done.stdout.count("gives no log-probabilities") == 1
    assert "5 of 5 rows scored" in done.stdout


def test_stopped_it_goes_on(source: Path, tmp_path: Path) -> None:
    out, broken = tmp_path / "scored.jsonl", [True]

    def answer(asked: Asked) -> Answer:
        return fails(401, f"wrong key {KEY}") if broken[0] and asked.number >= 2 else says("Score: 3")

    with serving(answer) as server:
        more = ("--scoring", "sampled", "--samples", "1", "--concurrency", "1")
        first = call(server.url, source, out, *more)
        assert first.exit_code != 0
        broken[0] = False
        before = len(server.asked)
        done = call(server.url, source, out, *more)
        assert done.exit_code == 0, done.output
        assert len(server.asked) - before == 3
    assert KEY not in first.output + done.output + str(first.exception) + out.read_text(encoding="utf-8")


@pytest.mark.parametrize("goes_on", [True, False])
def test_stopped_it_reads_scores_as_it_began(goes_on: bool, source: Path, tmp_path: Path) -> None:
    """Whether the endpoint goes on with a begun line is found out once, and scores are never read in two ways."""
    out, broken = tmp_path / "scored.jsonl", [True]

    def answer(asked: Asked) -> Answer:
        if broken[0] and asked.number >= (4 if goes_on else 5):
            return fails(401, "not now")
        if begun(asked) and goes_on == broken[0]:  # afterwards the endpoint does the opposite
            return says("4", tokens=[("4", TOP)], finish="length")
        return says("Sure", finish="length") if begun(asked) else says("Score: 3")

    with serving(answer) as server:
        first = call(server.url, source, out, "--concurrency", "1")
        assert first.exit_code != 0
        kept = len(partial_file(out).read_text(encoding="utf-8").splitlines()) - 1
        assert kept == (4 if goes_on else 2)
        broken[0] = False
        before = len(server.asked)
        done = call(server.url, source, out, "--concurrency", "1")
        assert done.exit_code == 0, done.output
        later = server.asked[before:]
    assert len(later) == 5 - kept
    assert [begun(asked) for asked in later] == [goes_on] * len(later)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert sum(row["score"] is None for row in rows) == (1 if goes_on else 0)


def test_a_thought_that_is_cut_off_has_no_score(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    with serving(lambda asked: says("<think>Score: 5 would", finish="length")) as server:
        done = call(server.url, source, out, "--scoring", "sampled", "--samples", "1")
    assert done.exit_code == 0, done.output
    assert "5 × cut off in its thought; raise judge.sampling.max_new_tokens" in done.stdout


def test_a_thought_has_no_part_in_an_expected_score(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    said = [("<think>", {"<think>": 0.0}), ("Score: ", {"Score: ": 0.0}), ("1", {"1": 0.0}),
            ("</think>", {"</think>": 0.0}),
            ("Score: ", {"Score: ": 0.0}), ("4", TOP)]  # fmt: skip
    with serving(lambda asked: says("<think>Score: 1</think>Score: 4", tokens=said)) as server:
        done = call(server.url, source, out, "--set", "endpoint.begin_score=never")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert all(3 < row["score"] < 4 for row in rows)
    assert rows[0]["samples"][0]["text"] == "Score: 4"
