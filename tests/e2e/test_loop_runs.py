"""The whole loop on a tiny model, through the command line, and what it must leave behind."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from judgeloop.jsonl import read_objects, read_rows
from judgeloop.records import (
    Candidate,
    Demonstrations,
    EvaluationPrompt,
    Judgement,
    PreferencePair,
    Prompt,
    TrainedPair,
)

Command = Callable[..., subprocess.CompletedProcess[str]]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("engine", ["transformers", "openvino"])
def test_a_run_makes_m1_m2_m3_with_the_right_lineage(
    make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path, engine: str
) -> None:
    config = make_config(engine={"kind": engine, "precision": "f32"})
    out = tmp_path / "run"
    done = judgeloop("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "M3" in done.stdout
    assert str(out / "report.html") in done.stdout

    third = read(out / "M3" / "train.json")
    second = read(out / "M2" / "train.json")
    assert third["initial"] == third["reference"] == {"name": "M2", "path": "M2/model", "hash": second["hash"]}
    assert read(out / "M1" / "train.json")["reference"] is None
    assert len({read(out / f"M{n}" / "train.json")["hash"] for n in (1, 2, 3)}) == 3

    for name in ("M2", "M3"):
        check_pairs(out / name)
        first = next(row for row in metrics(out) if row["model"] == name)
        assert first["dpo_loss"] == pytest.approx(math.log(2), abs=0.01)

    summary = read(out / "summary.json")
    assert summary["complete"] is True
    assert [model["name"] for model in summary["models"]] == ["M0", "M1", "M2", "M3"]
    last = summary["models"][-1]
    assert set(last["judge"]) >= {"parse_rate", "tie_rate", "mean_score", "histogram"}
    assert sum(last["judge"]["histogram"]) == 3 * 2
    assert last["win_rate_vs_previous"]["previous"] == "M2"
    assert last["agreement"]["pairwise_ties_half"]["n"] == 3
    assert last["agreement"]["sources"] == {"seed.jsonl": 3}
    assert last["judge"]["scale"] == [0, 5]
    assert last["pairs"] == len(read_rows(out / "M3" / "pairs.jsonl", PreferencePair))
    assert set(last["seconds"]) >= {"prompts", "candidates", "judge", "pairs", "train", "eval"}

    for name in ("M1", "M3"):  # what view needs of an evaluation, and of a training
        asked = {row.id: row for row in read_rows(out / name / "eval.prompts.jsonl", EvaluationPrompt)}
        assert asked.keys() == {row.prompt_id for row in read_rows(out / name / "eval.responses.jsonl", Candidate)}
        assert all(row.source.startswith("seed.jsonl:") for row in asked.values())
    trained = {row.id: row.steps for row in read_rows(out / "M3" / "train.steps.jsonl", TrainedPair)}
    assert trained.keys() == {row.id for row in read_rows(out / "M3" / "pairs.jsonl", PreferencePair)}
    assert {step for steps in trained.values() for step in steps} == set(range(1, third["steps"] + 1))

    model = AutoModelForCausalLM.from_pretrained(str(out / "M3" / "model"))
    tokenizer = AutoTokenizer.from_pretrained(str(out / "M3" / "model"))
    assert model.config.vocab_size >= len(tokenizer)
    assert tokenizer.chat_template

    again = judgeloop("run", str(config), "--out", str(out))
    assert again.returncode == 0
    assert "training" not in again.stdout  # everything was there


def metrics(out: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_objects(out / "metrics.jsonl")]


def check_pairs(folder: Path) -> None:
    """Every pair's sides answer its prompt, and the chosen one has the higher score, recomputed from raw rows."""
    prompts = {row.id: row for row in read_rows(folder / "prompts.jsonl", Prompt)}
    candidates = {row.id: row for row in read_rows(folder / "candidates.jsonl", Candidate)}
    score = {row.candidate_id: row.score for row in read_rows(folder / "judgements.jsonl", Judgement)}
    pairs = read_rows(folder / "pairs.jsonl", PreferencePair)
    assert pairs
    for pair in pairs:
        chosen, rejected = candidates[pair.chosen_id], candidates[pair.rejected_id]
        assert chosen.prompt_id == rejected.prompt_id == pair.prompt_id
        assert pair.prompt == prompts[pair.prompt_id].messages
        assert pair.chosen == [{"role": "assistant", "content": chosen.text}]
        assert pair.rejected == [{"role": "assistant", "content": rejected.text}]
        assert (pair.chosen_score, pair.rejected_score) == (score[chosen.id], score[rejected.id])
        assert pair.chosen_score > pair.rejected_score


def test_sampled_judgements_and_prompts_from_the_model_itself(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path
) -> None:
    """The paper's way, on the scripted engine: written judgements parsed, few-shot prompts filtered."""
    replies = [
        {"match": r"(?s)points one by one.*Another one", "reply": ["Fine.\nScore: 4", "no idea", "Score: 4/5"]},
        {"match": r"(?s)points one by one", "reply": ["Poor. Score: 1", "no idea", "**Score:** 1"]},
        {"match": r"(?s)1\. ", "reply": [f" Say what {t} is made of.\n2. Compare {t} with glass." for t in
                                         ("wool", "steel", "honey", "paper", "bronze", "cork")]},
        {"match": "(?s).", "reply": ["One answer.", "Another one, longer.", "A third."]},
    ]  # fmt: skip
    script = tmp_path / "script.jsonl"
    script.write_text("".join(json.dumps(row) + "\n" for row in replies), encoding="utf-8")
    config = make_config(
        iterations=1,
        engine={"kind": "scripted", "script": str(script)},
        prompts={"source": "few_shot", "count": 3, "max_requests": 60},
        candidates={"count": 3, "sampling": {"max_new_tokens": 40}},
        judge={"scoring": "sampled", "justification": True, "samples": 3},
    )
    out = tmp_path / "run"
    done = in_process("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    shown = {row.id: row.shown for row in read_rows(out / "M2" / "demonstrations.jsonl", Demonstrations)}
    assert shown.keys() == {row.source for row in read_rows(out / "M2" / "prompts.jsonl", Prompt)}
    sources = {(row["source"], row["prompt"][-1]["content"]) for _, row in read_objects(out / "M1" / "ift.jsonl")}
    assert {(one["source"], one["text"]) for one in next(iter(shown.values()))} <= sources
    rows = read_rows(out / "M2" / "judgements.jsonl", Judgement)
    assert len(rows) == len(read_rows(out / "M2" / "candidates.jsonl", Candidate)) * 3
    assert {row.score for row in rows} == {4.0, 1.0, None}
    assert all((row.score is None) == (row.reason == "no score line") for row in rows)
    assert all("Score" in row["completion"][0]["content"] for _, row in read_objects(out / "M1" / "eft.jsonl"))
    account = read(out / "M2" / "pairs.json")
    assert account["prompts"] == account["with_pair"] + account["ties"] + sum(account["dropped"].values())


def test_a_judge_that_is_none_stops_the_run_and_another_rule_lets_it_go_on(
    make_config: Callable[..., Path], in_process: Command, tmp_path: Path
) -> None:
    replies = [
        {"match": r"(?s)points one by one.*Another one", "reply": ["Score: 4", "no idea", "no idea", "hm", "eh", "no"]},
        {"match": r"(?s)points one by one", "reply": ["no idea", "none", "Score: 2", "hm", "eh", "no"]},
        {"match": "(?s).", "reply": ["One answer.", "Another one, longer.", "A third."]},
    ]
    script = tmp_path / "script.jsonl"
    script.write_text("".join(json.dumps(row) + "\n" for row in replies), encoding="utf-8")
    config = make_config(
        iterations=1,
        engine={"kind": "scripted", "script": str(script)},
        candidates={"count": 3, "sampling": {"max_new_tokens": 40}},
        judge={"scoring": "sampled", "justification": True, "samples": 6},
        pairs={"anchor": "previous", "anchor_count": 1, "length_rho": 0.1},
        # M1's evaluation has fewer judgements than this; M2's candidates have more.
        health={"min_count": 40},
    )
    out = tmp_path / "run"
    stopped = in_process("run", str(config), "--out", str(out))
    assert stopped.returncode == 0, stopped.stderr
    assert "stopped after M2/judge: M1 is no judge of these candidates: parse rate" in stopped.stdout
    decision = read(out / "decision.json")
    assert (decision["stopped"], decision["at"], decision["best"]) == (True, "M2/judge", "M1")
    assert not (out / "M2" / "pairs.jsonl").exists()
    assert read(out / "summary.json")["complete"] is True
    assert (out / "best" / "model.safetensors").samefile(out / "M1" / "model" / "model.safetensors")
    status = json.loads(in_process("status", str(out), "--json").stdout)
    assert (status["complete"], status["next"]) == (True, None)

    going_on = in_process("run", str(config), "--out", str(out), "--set", "health.stop_on=[]")
    assert going_on.returncode == 0, going_on.stderr
    assert "M1/" not in going_on.stdout.replace("finished steps found", "")
    decision = read(out / "decision.json")
    assert decision["stopped"] is False
    assert {"parse_rate"} <= {failure["gate"] for failure in decision["failed_gates"]}
    anchors = {row.id for row in read_rows(out / "M2" / "anchors.jsonl", Candidate)}
    assert len(anchors) == 4
    assert anchors <= {row.candidate_id for row in read_rows(out / "M2" / "judgements.jsonl", Judgement)}
    chosen = {pair.chosen_id for pair in read_rows(out / "M2" / "pairs.jsonl", PreferencePair)}
    assert chosen
    assert not chosen & anchors


def test_changed_keys_name_what_is_stale_and_redo_makes_it_anew(
    make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path
) -> None:
    config = make_config(iterations=1)
    out = tmp_path / "run"
    assert judgeloop("run", str(config), "--out", str(out)).returncode == 0
    kept = (out / "M1" / "model" / "model.safetensors").read_bytes()
    before = (out / "M2" / "candidates.jsonl").read_bytes()

    changed = ["run", str(config), "--out", str(out), "--set", "candidates.sampling.temperature=0.9"]
    refused = judgeloop(*changed)
    assert refused.returncode == 2
    assert "M2/candidates is stale" in refused.stderr
    assert "candidates.sampling.temperature was 1.0, is 0.9" in refused.stderr
    assert "--redo M2/candidates" in refused.stderr
    assert (out / "M2" / "candidates.jsonl").read_bytes() == before

    redone = judgeloop(*changed, "--redo", "M2/candidates")
    assert redone.returncode == 0, redone.stderr
    assert (out / "M2" / "candidates.jsonl").read_bytes() != before
    assert (out / "M1" / "model" / "model.safetensors").read_bytes() == kept
    old = list((out / "superseded").glob("*/M2/candidates.jsonl"))
    assert [path.read_bytes() for path in old] == [before]
    trained = [row["step"] for row in metrics(out) if row["model"] == "M2"]
    assert trained == sorted(set(trained))

    neutral = judgeloop("run", str(config), "--out", str(out), "--set", "candidates.sampling.temperature=0.9",
                        "--set", "engine.batch_tokens=777")  # fmt: skip
    assert neutral.returncode == 0, neutral.stderr

    pairs = out / "M2" / "pairs.jsonl"
    pairs.write_text(pairs.read_text(encoding="utf-8").replace("chosen_id", "chosen_ID", 1), encoding="utf-8")
    edited = judgeloop(*changed)
    assert edited.returncode == 2
    assert "changed after M2/pairs finished" in edited.stderr


def test_status_and_report(make_config: Callable[..., Path], in_process: Command, tmp_path: Path) -> None:
    config = make_config(iterations=0)
    out = tmp_path / "run"
    assert in_process("run", str(config), "--out", str(out)).returncode == 0
    status = json.loads(in_process("status", str(out), "--json").stdout)
    assert status["complete"] is True
    assert [step["step"] for step in status["steps"]][:4] == ["M0/model", "M1/seed", "M1/rows", "M0/eval"]
    (out / "report.html").unlink()
    assert in_process("report", str(out)).returncode == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<script src=" not in page
    assert "M1" in page
