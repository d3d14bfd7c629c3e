"""Judging in a run directory: more judgements where they decide, pairs of judgements, a stage that was cut off."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import Config, HealthSection, parse
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects, read_rows, to_line, write_rows_atomically
from judgeloop.loop import method
from judgeloop.records import Candidate, Judgement, PreferencePair, Prompt
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.run.stopping import gate_failures
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from tiny import make_tiny_model

PROMPTS = [Prompt.of([{"role": "user", "content": f"Name {n} things."}], "test") for n in range(8)]
CANDIDATES = [
    Candidate(f"M2.{prompt.id}.{k}", prompt.id, f"Answer {k} of {n}.", [50 + n, 70 + k, 2], "stop")
    for n, prompt in enumerate(PROMPTS)
    for k in range(3)
]
META = {"enabled": True, "max_judgements": 3}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


class Prepared:
    """A run directory that stands before M2/judge; the scripted engine scores by a hash."""

    def __init__(self, folder: Path, model: Path, judge: dict[str, Any], **changes: Any) -> None:
        (folder / "seed.jsonl").write_text('{"prompt": "Why?", "response": "So."}\n')
        tree = {
            "model": str(model), "threads": 1, "iterations": 1, "engine": {"kind": "scripted"},
            "seed_data": {"ift": str(folder / "seed.jsonl")},
            "judge": {"scoring": "sampled", "samples": 2, **judge},
            "train": {"precision": "f32", "batch_size": 4, "max_length": 2000},
            **changes,
        }  # fmt: skip
        self.config: Config = parse(tree, "config")
        self.run = RunDirectory(folder / "run", self.config, method(self.config))
        self.folder = self.run.folder("M2")
        self.folder.mkdir(parents=True)
        for name in ("M0", "M1"):
            self.run.folder(name).mkdir()
        write_json(self.run.folder("M0") / "model.json", {"name": "M0", "path": str(model), "hash": "h0"})
        write_json(self.run.folder("M1") / "train.json", {"hash": "h1"})
        (self.run.folder("M1") / "model").symlink_to(model)
        (self.folder / "prompts.jsonl").write_text("".join(map(to_line, PROMPTS)), encoding="utf-8")
        (self.folder / "candidates.jsonl").write_text("".join(map(to_line, CANDIDATES)), encoding="utf-8")

    def make(self, *stages: str) -> None:
        for stage in stages:
            run_stage(Context(self.run, self.run.steps[f"M2/{stage}"], lambda done, total, note: None))

    def judgements(self) -> dict[str, Judgement]:
        return {row.id: row for row in read_rows(self.folder / "judgements.jsonl", Judgement)}


def test_prompts_that_are_undecided_get_more_judgements(model: Path, tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, model, {"max_samples": 5, "noise": 1.5})
    prepared.make("judge")
    each = Counter(row.candidate_id for row in prepared.judgements().values())
    assert set(each) == {row.id for row in CANDIDATES}
    assert set(each.values()) == {2, 4, 5}
    for prompt in PROMPTS:  # a prompt's responses are asked equally often
        assert len({each[row.id] for row in CANDIDATES if row.prompt_id == prompt.id}) == 1


def test_a_stage_that_was_cut_off_ends_with_the_same_rows(model: Path, tmp_path: Path) -> None:
    settings = {"max_samples": 5, "noise": 1.5, "meta": META}
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = Prepared(tmp_path / "whole", model, settings)
    whole.make("judge", "pairs", "meta")
    cut = Prepared(tmp_path / "cut", model, settings)
    rows = (whole.folder / "judgements.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = rows[: 2 * len(CANDIDATES) + 3]  # in the middle of the second round
    assert len(kept) < len(rows)
    (cut.folder / "judgements.jsonl").write_text("".join(kept) + rows[-1][:20], encoding="utf-8")
    compared = (whole.folder / "meta_comparisons.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (cut.folder / "meta_comparisons.jsonl").write_text("".join(compared[:5]), encoding="utf-8")
    cut.make("judge", "pairs", "meta")
    assert cut.judgements() == whole.judgements()
    for name in ("pairs.jsonl", "judge_pairs.jsonl", "judge_pairs.json"):
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_pairs_of_judgements_are_made_and_trained_on(model: Path, tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, model, {"samples": 3, "meta": META})
    prepared.make("judge", "pairs", "meta", "train")
    judgements, folder = prepared.judgements(), prepared.folder
    candidates = {row.id: row for row in CANDIDATES}
    pairs = read_rows(folder / "judge_pairs.jsonl", PreferencePair)
    account = read_json(folder / "judge_pairs.json")
    assert account["responses"] == len(CANDIDATES)
    assert account["compared"] == len(PROMPTS) == account["pairs"] + sum(account["dropped"].values())
    assert account["pairs"] == len(pairs) > 0
    comparisons = {row["id"]: row["better"] for _, row in read_objects(folder / "meta_comparisons.jsonl")}
    assert account["comparisons"] == len(comparisons) == 6 * len(PROMPTS)
    assert account["wins_in_first_position"] == list(comparisons.values()).count("first")
    assert sum(account["position_weights"]) == pytest.approx(1)
    for pair in pairs:
        chosen, rejected = judgements[pair.chosen_id], judgements[pair.rejected_id]
        judged = candidates[chosen.candidate_id]
        assert rejected.candidate_id == judged.id
        assert pair.prompt_id == judged.prompt_id
        assert pair.chosen == [{"role": "assistant", "content": chosen.text}]
        assert pair.rejected == [{"role": "assistant", "content": rejected.text}]
        assert f"<response>{judged.text}</response>" in pair.prompt[0]["content"]
        assert pair.chosen_score > pair.rejected_score
    trained = read_json(folder / "train.json")
    assert trained["rows"] == len(pairs) + len(read_rows(folder / "pairs.jsonl", PreferencePair))
    assert trained["responses_from_text"] == 2 * len(pairs)  # judgements are tokenised from their text


@pytest.mark.parametrize(
    ("limit", "count"), [({"max_pairs": 3}, 3), ({"per_prompt": 2}, 16), ({"max_characters": 5}, 8)]
)
def test_the_meta_judge_keeps_to_its_limits(limit: dict[str, int], count: int, model: Path, tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, model, {"meta": {**META, **limit}})
    prepared.make("judge", "meta")
    account = read_json(prepared.folder / "judge_pairs.json")
    assert account["compared"] == count
    if "max_characters" in limit:
        assert account["pairs"] == 0
        assert "chosen judgement longer than meta.max_characters" in account["dropped"]


def test_a_rubric_that_goes_beyond_the_runs_scale_is_refused(model: Path, tmp_path: Path) -> None:
    template = tmp_path / "ten.txt"
    template.write_text("#: scores = 1-10\n{instruction}\n<r>{response}</r>\n", encoding="utf-8")
    prepared = Prepared(tmp_path, model, {"rubric": str(template)})
    with pytest.raises(InputError, match=r"scores 1-10, a run counts on 0-5; rewrite its scale"):
        prepared.make("judge")


def test_a_rubric_from_one_to_five_judges_a_run(model: Path, tmp_path: Path) -> None:
    prepared = Prepared(tmp_path, model, {"rubric": "multiple-choice-5", "samples": 1})
    prepared.make("judge")
    scores = [row.score for row in prepared.judgements().values()]
    assert {1.0, 5.0} <= {score for score in scores if score is not None} <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert None in scores  # the scripted judge gives 0 as well
    health = json.loads((prepared.folder / "judge.json").read_text())["health"]
    assert sum(health["histogram"]) == sum(score is not None for score in scores)
    assert (health["scale"], len(health["histogram"])) == ([1, 5], 5)


def test_a_judge_that_only_gives_the_top_of_its_own_scale_stops_the_run(model: Path, tmp_path: Path) -> None:
    template = tmp_path / "three.txt"
    template.write_text("#: scores = 1-3\n{instruction}\n<r>{response}</r>\n", encoding="utf-8")
    prepared = Prepared(tmp_path, model, {"rubric": str(template), "samples": 1})
    prepared.make("judge")
    rows = [json.loads(line) for line in (prepared.folder / "judgements.jsonl").read_text().splitlines()]
    write_rows_atomically(prepared.folder / "judgements.jsonl", [{**row, "score": 3.0} for row in rows])
    (prepared.folder / ".judge.done.json").unlink(missing_ok=True)
    prepared.make("judge")
    health = read_json(prepared.folder / "judge.json")["health"]
    assert (health["scale"], health["top_share"]) == ([1, 3], 1.0)
    failed = gate_failures({**health, "judgements": 60}, None, HealthSection())
    assert {"top_share", "tie_rate"} <= {failure.gate for failure in failed if failure.stops}


def test_a_function_of_the_users_scores_in_a_models_place(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "verify.py"
    file.write_text(
        "import neighbour\ndef score(messages, response, finished):\n"
        "    assert finished and messages[-1]['role'] == 'user'\n"
        "    return neighbour.SCORES.get(response.split()[1])\n",
        encoding="utf-8",
    )
    (tmp_path / "neighbour.py").write_text("SCORES = {'0': 1, '1': 4.5}\n", encoding="utf-8")
    prepared = Prepared(tmp_path, model, {"function": str(file)}, engine={"kind": "transformers"})
    prepared.make("judge", "pairs")  # no engine is opened: M1 could not generate in this form
    scores = {row.candidate_id: row.score for row in prepared.judgements().values()}
    assert Counter(scores.values()) == {1: len(PROMPTS), 4.5: len(PROMPTS), None: len(PROMPTS)}
    assert read_json(prepared.folder / "judge.json")["judge"] == "verify.py"
    pairs = read_rows(prepared.folder / "pairs.jsonl", PreferencePair)
    assert [(p.chosen_score, p.rejected_score) for p in pairs] == [(4.5, 1)] * len(PROMPTS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("score = 3", r"has no function score\(messages, response, finished\); define it there"),
        ("def score(*_): return 7", r"score\(\) returns 7 on M2\..*; return a number from 0 to 5, or None"),
        ("def score(*_): return 1 / 0", r"score\(\) fails with ZeroDivisionError"),
        ("def score(*_): raise SystemExit(3)", r"score\(\) fails with SystemExit"),
        ("raise SystemExit('no')", r"verify\.py fails with SystemExit: no"),
        ("import nothing_of_the_kind", r"verify\.py fails with ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_score_is_named(model: Path, tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "verify.py").write_text(text + "\n", encoding="utf-8")
    prepared = Prepared(tmp_path, model, {"function": str(tmp_path / "verify.py")})
    with pytest.raises(InputError, match=f"judge.function: .*{problem}"):
        prepared.make("judge")
    assert not (prepared.folder / "judgements.jsonl").exists()


def test_a_share_of_the_pairs_is_kept_and_the_rest_counted(model: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "half").mkdir()
    made = {}
    for name, share in (("all", 1.0), ("half", [0.5])):
        prepared = Prepared(tmp_path / name, model, {}, pairs={"top_share": share})
        prepared.make("judge", "pairs")
        made[name] = read_rows(prepared.folder / "pairs.jsonl", PreferencePair)
        account = read_json(prepared.folder / "pairs.json")
        assert account["pairs"] == len(made[name])
        assert account["with_pair"] == account["pairs"] + account["below_top_share"]
    kept = {pair.id for pair in made["half"]}
    assert len(kept) == round(0.5 * len(made["all"])) > 0
    left_out = [pair.chosen_score for pair in made["all"] if pair.id not in kept]
    assert max(left_out) <= min(pair.chosen_score for pair in made["half"])


def test_the_control_swaps_pairs_by_a_coin(model: Path, tmp_path: Path) -> None:
    (tmp_path / "as_judged").mkdir()
    (tmp_path / "control").mkdir()
    made = {}
    for name, control in (("as_judged", "none"), ("control", "random")):
        prepared = Prepared(tmp_path / name, model, {}, pairs={"control": control})
        prepared.make("judge", "pairs")
        made[name] = {p.prompt_id: p for p in read_rows(prepared.folder / "pairs.jsonl", PreferencePair)}
    assert made["as_judged"].keys() == made["control"].keys()
    swapped = 0
    for prompt, pair in made["as_judged"].items():
        other = made["control"][prompt]
        same = (pair.chosen_id, pair.rejected_id) == (other.chosen_id, other.rejected_id)
        assert same or (pair.chosen_id, pair.rejected_id) == (other.rejected_id, other.chosen_id)
        assert same == (other.chosen_score > other.rejected_score)
        assert (other.chosen == pair.chosen) == same
        swapped += not same
    assert 0 < swapped < len(made["control"])


def test_the_judges_figures_do_without_what_it_wrote(model: Path, tmp_path: Path) -> None:
    """A run of a million judgements is not held in memory at once with its texts."""
    prepared = Prepared(tmp_path, model, {})
    prepared.make("judge")
    path, before = prepared.folder / "judgements.jsonl", read_json(prepared.folder / "judge.json")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows_atomically(path, [{**row, "text": row["text"] + "long " * 80_000} for row in rows])
    (prepared.folder / ".judge.done.json").unlink()
    tracemalloc.start()
    prepared.make("judge")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read_json(prepared.folder / "judge.json") == before
    assert most < path.stat().st_size / 2
