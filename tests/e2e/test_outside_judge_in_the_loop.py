"""A run in which a model behind an endpoint judges the candidates: the fair comparison for self-judging."""

from __future__ import annotations

import json
import signal
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

from conftest import command, environment
from endpoint import Answer, Asked, says, serving

Command = Callable[..., subprocess.CompletedProcess[str]]


def judge(asked: Asked) -> Answer:
    """Gives scores that depend on the words alone."""
    if "<other_response>" in asked.words:
        return says("Better: A")
    score = zlib.crc32(asked.words.encode()) % 6
    top = {str(score): -0.1, str((score + 1) % 6): -2.5}
    return says(f"Score: {score}", tokens=[("Score", {"Score": 0.0}), (": ", {": ": 0.0}), (str(score), top)])


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_judged_from_outside(make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path) -> None:
    """Killed in the middle of judging, it goes on with what is there, and every response has one judgement."""
    out = tmp_path / "run"
    judging = out / "M2" / "judgements.jsonl"
    hanging = [True]

    def answer(asked: Asked) -> Answer:
        if hanging[0] and asked.number >= 5:
            return Answer(delay=2, hang_up=True)
        return judge(asked)

    with serving(answer) as server:
        config = make_config(
            iterations=1,
            judge={"role": "openai:gpt", "rubric": "additive-5-direct", "scoring": "expected"},
            endpoint={
                "url": server.url,
                "concurrency": 1,
                "begin_score": "never",
                "prices": {"input": 1000.0, "output": 2000.0},
            },
            evaluation={"count": 2, "samples": 1, "bootstrap": 50, "sampling": {"max_new_tokens": 8}},
        )
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                command("run", str(config), "--out", str(out)), stdout=log, stderr=log, env=environment()
            )
            try:
                while process.poll() is None and not (judging.exists() and len(rows_so_far(judging)) >= 5):
                    try:
                        process.wait(timeout=0.2)
                    except subprocess.TimeoutExpired:
                        continue
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
        begun = rows_so_far(judging)
        assert len(begun) == 5, (tmp_path / "log").read_text()
        hanging[0] = False
        before = len(server.asked)
        done = judgeloop("run", str(config), "--out", str(out))
        assert done.returncode == 0, done.stderr

        candidates = {row["id"] for row in rows(out / "M2" / "candidates.jsonl")}
        judged = rows(judging)
        assert rows_so_far(judging)[:5] == begun
        assert sorted(str(row["candidate_id"]) for row in judged) == sorted(str(name) for name in candidates)
        assert all(row["score"] is not None and row["distribution"] for row in judged)
        assert len(server.asked) - before == len(candidates) - 5  # nothing is asked twice
        assert (out / "M2" / "pairs.jsonl").exists()
        assert (out / "M2" / "train.json").exists()
        assert "tokens" in (out / "logs" / "M2.judge.log").read_text(encoding="utf-8")
        asked = len(candidates) - 5
        (used,) = json.loads((out / "endpoint.json").read_text(encoding="utf-8")).values()
        cost = round(asked * (11 * 1000 + 3 * 2000) / 1e6, 6)
        assert used["used"] == {"M2/judge": {"prompt_tokens": 11 * asked, "completion_tokens": 3 * asked, "cost": cost}}
        assert f"{11 * asked} prompt tokens, {3 * asked} answered, cost {cost:.4f}" in done.stdout

        again = len(server.asked)
        done = judgeloop("run", str(config), "--out", str(out))
        assert (done.returncode, len(server.asked)) == (0, again)  # finished stays finished

        tree = config.read_text(encoding="utf-8").replace("openai:gpt", "openai:other")
        config.write_text(tree, encoding="utf-8")
        other = judgeloop("run", str(config), "--out", str(out))
        assert other.returncode == 2, other.stderr
        assert "judge.role" in other.stderr, other.stderr


def test_an_outside_judge_is_judged_and_judges_anchors(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path
) -> None:
    """It writes its judgements, compares them with one another, and scores an earlier model's answers too."""
    out = tmp_path / "run"

    def answer(asked: Asked) -> Answer:
        if "<judgement_a>" in asked.words:
            return says(f"Better: {'A' if zlib.crc32(asked.words.encode()) % 2 else 'B'}")
        score = zlib.crc32(f"{asked.words}{asked.body['seed']}".encode()) % 6
        return says(f"It has {score} good points.\nScore: {score}")

    with serving(answer) as server:
        config = make_config(
            iterations=1,
            judge={"role": "openai:gpt", "rubric": "additive-5", "scoring": "sampled", "samples": 3,
                   "meta": {"enabled": True, "per_prompt": 2}},
            pairs={"anchor": "M0", "unfinished": "as_judged"},
            endpoint={"url": server.url},
            evaluation={"count": 2, "samples": 1, "bootstrap": 50, "base": False, "sampling": {"max_new_tokens": 8}},
        )  # fmt: skip
        done = in_process("run", str(config), "--out", str(out))
        assert done.returncode == 0, done.stderr
    earlier = rows(out / "M2" / "anchors.jsonl")
    anchors = {row["id"] for row in earlier}
    candidates = {row["id"] for row in rows(out / "M2" / "candidates.jsonl")}
    judged = rows(out / "M2" / "judgements.jsonl")
    assert sorted(str(row["candidate_id"]) for row in judged) == sorted([*anchors, *candidates] * 3)
    assert all(row["score"] is not None for row in judged)
    pairs = rows(out / "M2" / "pairs.jsonl")
    assert pairs
    given: dict[object, list[int]] = {}
    for row in judged:
        given.setdefault(row["candidate_id"], []).append(row["score"])  # type: ignore[arg-type]
    for pair in pairs:  # which answers are worst is chance, so none may be worse than the rejected one
        rejected, prompt = sum(given[pair["rejected_id"]]), pair["prompt_id"]
        assert all(
            rejected <= sum(given[e["id"]]) for e in earlier if e["prompt_id"] == prompt and str(e["text"]).strip()
        )
    assert not {row["chosen_id"] for row in pairs} & anchors

    account = json.loads((out / "M2" / "judge_pairs.json").read_text(encoding="utf-8"))
    compared = sum("<judgement_a>" in asked.words for asked in server.asked)
    assert account["compared"] > 0
    assert account["comparisons"] == compared > 0
    assert account["wins_in_first_position"] + account["wins_in_second_position"] == compared
    judge_pairs = rows(out / "M2" / "judge_pairs.jsonl")
    assert len(judge_pairs) == account["pairs"] > 0
    texts = {row["id"]: row["text"] for row in judged}
    for row in judge_pairs:
        assert row["chosen"][0]["content"] == texts[row["chosen_id"]]  # type: ignore[index]
        assert row["chosen_id"].rpartition(".")[0] in candidates  # type: ignore[attr-defined]
    trained = json.loads((out / "M2" / "train.json").read_text(encoding="utf-8"))
    assert trained["rows"] + sum(trained["dropped"].values()) == len(pairs) + len(judge_pairs)


def test_how_an_endpoint_is_read_is_found_out_once_a_run(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path
) -> None:
    out = tmp_path / "run"

    def begun(asked: Asked) -> bool:
        return bool(asked.body["messages"][-1]["role"] == "assistant")

    with serving(lambda asked: says("Sure", finish="length") if begun(asked) else judge(asked)) as server:
        config = make_config(
            iterations=0,
            judge={"rubric": "additive-5-direct", "min_mass": 0.0},
            endpoint={"url": server.url},
            evaluation={"judge": "openai:gpt", "count": 4, "samples": 1, "bootstrap": 50,
                        "sampling": {"max_new_tokens": 8}},
        )  # fmt: skip
        done = in_process("run", str(config), "--out", str(out))
        assert done.returncode == 0, done.stderr
    assert len(rows(out / "M0" / "eval.agreement.jsonl")) > 3
    assert len(rows(out / "M1" / "eval.judgements.jsonl")) > 0
    assert sum(begun(asked) for asked in server.asked) == 3  # of all files of both models
    (found,) = json.loads((out / "endpoint.json").read_text(encoding="utf-8")).values()
    assert found["begin_score"] == "never"
    assert found["used"].keys() == {"M0/eval", "M1/eval"}


def rows_so_far(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
