"""A judge behind an endpoint that fails three times in ten, in every way: each row arrives or is named, what is asked
again is bounded, and the key is nowhere."""

from __future__ import annotations

import json
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from endpoint import Answer, Asked, fails, says, serving
from judgeloop.cli import main
from judgeloop.engines.openai import OpenAiEngine

KEY = "sk-only-in-the-environment"
PAGE = f"<html><body>Bad gateway. Authorization: Bearer {KEY}</body></html>".encode()
FAULTS: dict[str, Answer] = {
    "500": fails(500, f"trace: key {KEY}"),
    "502": Answer(PAGE, 502, {"Content-Type": "text/html"}),
    "503": fails(503),
    "429": fails(429, "slow down"),
    "429 with a wait": fails(429, "slow down", Retry_After="0.01"),
    "429 with a wait of words": fails(429, "slow down", Retry_After="soon"),
    "hangs": Answer(says("late").body, delay=0.8),
    "hangs up": Answer(hang_up=True),
    "a page": Answer(PAGE, 200, {"Content-Type": "text/html"}),
    "cut JSON": Answer(b'{"choices": [{"mess'),
    "cut body": Answer(says("Score: 4").body, cut=9),
    "no choices": Answer({"choices": []}),
    "a null choice": Answer({"choices": [None]}),
    "a null message": Answer({"choices": [{"message": None}]}),
    "a number as content": Answer({"choices": [{"message": {"content": 5}}]}),
    "JSON of another kind": Answer([1]),
    "NaN as log-probability": says("Score: 4", tokens=[("4", {"4": float("nan")})]),
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(OpenAiEngine.__init__, "__kwdefaults__", {"first_wait": 0.001})


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Any, str, str]]:
    """Exit code, standard output and error of the command; the key must be in none of them and in no file."""

    def run(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["judgeloop", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        assert KEY not in said.out + said.err
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
        return ended.value.code, said.out, said.err

    return run


def rows_to_judge(folder: Path, count: int) -> Path:
    source = folder / "rows.jsonl"
    rows = [{"prompt": f"Say {n}.", "response": f"This is {n}.", "n": n} for n in range(count)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return source


class Faulty:
    """Three requests in ten fail, by what is asked and how often it was; of the faults each has its turn."""

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self._answer = answer
        self._tries: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.met: Counter[str] = Counter()

    def __call__(self, asked: Asked) -> Answer:
        with self._lock:
            self._tries[asked.words] += 1
            draw = zlib.crc32(f"{asked.words}{self._tries[asked.words]}".encode()) % 10
            if draw >= 3:
                return self._answer(asked)
            name = list(FAULTS)[sum(self.met.values()) % len(FAULTS)]
            self.met[name] += 1
        return FAULTS[name]

    @property
    def most(self) -> int:
        return max(self._tries.values())


def scored(asked: Asked) -> Answer:
    return says(f"Fine.\nScore: {zlib.crc32(asked.words.encode()) % 6}")


def test_every_row_arrives(tmp_path: Path, call: Callable[..., tuple[Any, str, str]]) -> None:
    source, out = rows_to_judge(tmp_path, 60), tmp_path / "scored.jsonl"
    faulty = Faulty(lambda asked: says(None) if "Say 7." in asked.words else scored(asked))
    with serving(faulty) as server:
        code, told, said = call(
            "judge", "--model", "gpt", "--endpoint", server.url, "--in", str(source), "--out", str(out), "--json",
            "--scoring", "sampled", "--samples", "1", "--timeout", "0.4",
        )  # fmt: skip
    assert code == 0, said
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["n"] for row in rows] == list(range(60))
    assert [row["n"] for row in rows if row["score"] is None] == [7]  # null content is an answer, without a score
    account = json.loads(told)
    assert (account["rows"], account["scored"], sum(account["reasons"].values())) == (60, 59, 1)
    retries = sum(account["endpoint"]["retries"].values())
    assert sum(faulty.met.values()) <= retries  # on a busy machine an honest answer may come too late too
    assert 60 <= len(server.asked) <= 60 + retries  # a broken connection may never have been accepted
    assert len(faulty.met) >= 15
    assert faulty.most <= 6  # endpoint.attempts


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("500", 1, "still 500 after 3 tries"),
        ("429", 1, "still 429 after 3 tries"),
        ("429 with a wait", 1, "still 429 after 3 tries"),
        ("hangs", 1, "still a timeout after 3 tries"),
        ("hangs up", 1, "still a broken connection after 3 tries"),
        ("cut body", 1, "still a broken connection after 3 tries"),
        ("a page", 2, "not JSON"),
        ("no choices", 2, "without choices and message"),
    ],
)
def test_a_row_that_is_never_answered_is_named(
    fault: str, code: int, words: str, tmp_path: Path, call: Callable[..., tuple[Any, str, str]]
) -> None:
    """The tries are bounded, what came before stays, and the same command goes on with the rest."""
    source, out, down = rows_to_judge(tmp_path, 6), tmp_path / "scored.jsonl", [True]

    def answer(asked: Asked) -> Answer:
        return FAULTS[fault] if down[0] and "Say 3." in asked.words else scored(asked)

    with serving(answer) as server:
        command = (
            "judge", "--model", "gpt", "--endpoint", server.url, "--in", str(source), "--out", str(out),
            "--scoring", "sampled", "--samples", "1", "--concurrency", "1", "--timeout", "0.2",
            "--set", "endpoint.attempts=3",
        )  # fmt: skip
        found, _, said = call(*command)
        assert found == code, said
        line = said.strip().splitlines()[-1]
        assert line.startswith("judgeloop: ")
        assert words in line
        assert "4.r-" in line  # the fourth row
        assert len(server.asked) == 3 + 3
        assert not out.exists()
        down[0] = False
        found, _, said = call(*command)
        assert found == 0, said
        assert len(server.asked) == 3 + 3 + 3
    assert len(out.read_text(encoding="utf-8").splitlines()) == 6


def test_an_address_that_was_wrong_can_be_mended(tmp_path: Path, call: Callable[..., tuple[Any, str, str]]) -> None:
    """Nothing was judged, so what the first attempt was begun with binds nobody."""
    source, out = rows_to_judge(tmp_path, 2), tmp_path / "scored.jsonl"
    more = ("--in", str(source), "--out", str(out), "--scoring", "sampled", "--samples", "1")
    code, _, said = call("judge", "--model", "gpt", "--endpoint", "http://127.0.0.1:9/v1", *more)
    assert code == 2, said
    with serving(scored) as server:
        code, _, said = call("judge", "--model", "gpt", "--endpoint", server.url, *more)
        assert code == 0, said
        assert len(server.asked) == 2


@pytest.mark.usefixtures("without_children")
def test_a_run_judged_and_evaluated_from_outside(
    make_config: Callable[..., Path], tmp_path: Path, call: Callable[..., tuple[Any, str, str]]
) -> None:
    def answer(asked: Asked) -> Answer:
        return says("Better: A") if "<other_response>" in asked.words else scored(asked)

    faulty, out = Faulty(answer), tmp_path / "run"
    with serving(faulty) as server:
        config = make_config(
            iterations=1,
            judge={"role": "openai:gpt", "rubric": "additive-5", "scoring": "sampled", "samples": 1},
            endpoint={"url": server.url, "timeout": 0.4},
            evaluation={
                "judge": "openai:gpt", "count": 3, "samples": 1, "bootstrap": 20, "sampling": {"max_new_tokens": 8},
            },
        )  # fmt: skip
        code, _, said = call("run", str(config), "--out", str(out))
        assert code == 0, said
    assert len(faulty.met) >= 5
    assert faulty.most <= 6 * 3  # attempts, and no more judges than three ask the same words
    candidates, judged = ({row[key] for row in _rows(out / "M2" / f"{name}.jsonl")} for name, key in
                          (("candidates", "id"), ("judgements", "candidate_id")))  # fmt: skip
    assert judged == candidates
    assert all(row["score"] is not None for row in _rows(out / "M2" / "judgements.jsonl"))
    for name in ("M0", "M1", "M2"):
        assert json.loads((out / name / "eval.json").read_text())["judge"] == "openai:gpt"
    versus = json.loads((out / "M2" / "eval.json").read_text())["win_rate_vs_previous"]
    assert versus["win"] + versus["tie"] + versus["lose"] == 3


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
