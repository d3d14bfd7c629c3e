"""Judging under other prompts in a run directory, and who reads what of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from judgeloop.config import Config, parse
from judgeloop.errors import InputError
from judgeloop.evaluation.blindness import prompt_blindness
from judgeloop.evaluation.consistency import consistency
from judgeloop.evaluation.win_rates import outcome_of_scores
from judgeloop.jsonl import read_objects, read_rows, to_line
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.loop import method
from judgeloop.records import Candidate, Judgement, PreferencePair, Prompt, RankedSet
from judgeloop.report.reading import RunFiles
from judgeloop.report.samples import pair_samples
from judgeloop.run.directory import RunDirectory
from judgeloop.run.fingerprints import settings
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.context import Context
from judgeloop.stages.contrast import cost
from judgeloop.stages.evaluation import evaluate
from judgeloop.stages.judging import consistency as judge_again
from judgeloop.stages.rows import rows as render_rows
from stages.test_judging_stages import CANDIDATES, META, PROMPTS, Prepared, model  # noqa: F401
from tiny import make_tiny_model

ON = {"others": 2, "weight": 0.5}
EXPECTED = {"scoring": "expected"}


def prepared(folder: Path, model: Path, judge: dict[str, Any], **changes: Any) -> Prepared:  # noqa: F811
    folder.mkdir()
    return Prepared(folder, model, judge, **changes)


def others_of(name: str, rows: dict[str, Judgement]) -> set[str]:
    return {row.candidate_id.partition("@")[2] for row in rows.values() if row.candidate_id.startswith(f"{name}@")}


def by_hand(rows: dict[str, Judgement], name: str, weight: float) -> float | None:
    """The contrast of a response whose judgements could all be read, else None."""

    def mean(of: str) -> float | None:
        scores = [row.score for row in rows.values() if row.candidate_id == of and row.score is not None]
        return fmean(scores) if scores else None

    own, others = mean(name), [mean(f"{name}@{other}") for other in sorted(others_of(name, rows))]
    known = [score for score in others if score is not None]
    return None if own is None or not known or len(known) < len(others) else own - weight * fmean(known)


@pytest.mark.parametrize("judge", [EXPECTED, {"samples": 2}], ids=["expected", "sampled"])
def test_own_judgements_and_what_is_said_of_them_stay_what_they_are(
    model: Path,  # noqa: F811
    tmp_path: Path,
    judge: dict[str, Any],
) -> None:
    """And a later stage that does not read contrasts makes the same of them."""
    meta = {} if judge == EXPECTED else {"meta": META}
    plain = prepared(tmp_path / "off", model, {**judge, **meta})
    contrasted = prepared(tmp_path / "on", model, {**judge, **meta, "contrast": ON}, pairs={"contrast": False})
    stages = ("judge", "pairs", *(("meta",) if meta else ()))
    plain.make(*stages)
    contrasted.make(*stages)
    rows = contrasted.judgements()
    lines = (contrasted.folder / "judgements.jsonl").read_text().splitlines(keepends=True)
    own = [line for line in lines if "@" not in json.loads(line)["candidate_id"]]
    assert "".join(own) == (plain.folder / "judgements.jsonl").read_text()
    assert len(lines) == 3 * len(own)
    for prompt in PROMPTS:
        drawn = {frozenset(others_of(row.id, rows)) for row in CANDIDATES if row.prompt_id == prompt.id}
        ((first, second),) = drawn  # two, the same for all responses
        assert prompt.id not in (first, second)
    for name in ("pairs.jsonl", *(("judge_pairs.jsonl", "judge_pairs.json") if meta else ())):
        assert (plain.folder / name).read_bytes() == (contrasted.folder / name).read_bytes()
    before, now = (read_json(one.folder / "judge.json") for one in (plain, contrasted))
    blindness = now["health"].pop("prompt_blindness")
    assert now["health"] == before["health"]
    assert now["contrast"]["judgements"] == 2 * len(own)
    groups = [[row.id for row in CANDIDATES if row.prompt_id == prompt.id] for prompt in PROMPTS]
    found = prompt_blindness(mean_scores(rows.values()), groups, seed=0)
    assert found is not None
    assert blindness == found.as_dict()


def test_pairs_are_made_by_contrasts(model: Path, tmp_path: Path) -> None:  # noqa: F811
    made = prepared(tmp_path / "a", model, {"samples": 3, "contrast": {"others": 2, "weight": 1}})
    made.make("judge", "pairs")
    rows = made.judgements()
    pairs = read_rows(made.folder / "pairs.jsonl", PreferencePair)
    assert len(pairs) > 3
    dropped = 0
    for prompt in PROMPTS:
        scores = {row.id: by_hand(rows, row.id, 1) for row in CANDIDATES if row.prompt_id == prompt.id}
        known = {name: score for name, score in scores.items() if score is not None}
        dropped += len(scores) - len(known)
        for pair in (pair for pair in pairs if pair.prompt_id == prompt.id):
            assert pair.chosen_score == pytest.approx(max(known.values())) == pytest.approx(known[pair.chosen_id])
            assert pair.rejected_score == pytest.approx(min(known.values())) == pytest.approx(known[pair.rejected_id])
    assert read_json(made.folder / "pairs.json")["contrast"] == {
        "weight": 1.0, "responses_without": dropped, "responses_below_floor": 0,
    }  # fmt: skip
    assert any(pair.rejected_score < 0 for pair in pairs)


def test_another_weight_or_floor_makes_other_pairs_of_the_same_judgements(model: Path, tmp_path: Path) -> None:  # noqa: F811
    made = prepared(tmp_path / "a", model, {**EXPECTED, "contrast": ON})
    made.make("judge", "pairs")
    own = {name: score or 0 for name, score in mean_scores(made.judgements().values()).items()}
    chosen = {pair.chosen_id for pair in read_rows(made.folder / "pairs.jsonl", PreferencePair)}
    floor = sorted(own[name] for name in chosen)[len(chosen) // 2] + 1e-6
    again = prepared(tmp_path / "b", model, {**EXPECTED, "contrast": {**ON, "floor": floor}})
    (again.folder / "judgements.jsonl").write_bytes((made.folder / "judgements.jsonl").read_bytes())
    again.make("pairs")
    pairs = read_rows(again.folder / "pairs.jsonl", PreferencePair)
    assert pairs
    assert all(own[pair.chosen_id] >= floor for pair in pairs)
    assert any(own[pair.rejected_id] < floor for pair in pairs)
    below = [row.id for row in CANDIDATES if own[row.id] < floor]
    assert read_json(again.folder / "pairs.json")["contrast"]["responses_below_floor"] == len(below) > 0
    for step, stale in (("M2/judge", False), ("M2/pairs", True)):
        same = settings(made.run.steps[step], made.config) == settings(again.run.steps[step], again.config)
        assert same != stale


def test_a_stage_that_was_cut_off_among_the_others_ends_with_the_same_rows(model: Path, tmp_path: Path) -> None:  # noqa: F811
    judge = {"samples": 2, "max_samples": 4, "noise": 1.5, "contrast": {**ON, "draw": "near"}}
    whole, cut = (prepared(tmp_path / name, model, judge) for name in ("whole", "cut"))
    whole.make("judge", "pairs")
    each = Counter(row.candidate_id for row in whole.judgements().values())
    assert {count for name, count in each.items() if "@" in name} == {2}  # asked again are own prompts alone
    assert 4 in {count for name, count in each.items() if "@" not in name}
    lines = (whole.folder / "judgements.jsonl").read_text().splitlines(keepends=True)
    under = [place for place, line in enumerate(lines) if "@" in json.loads(line)["candidate_id"]]
    (cut.folder / "judgements.jsonl").write_text("".join(lines[: under[7]]) + lines[under[7]][:30])
    cut.make("judge", "pairs")
    assert cut.judgements() == whole.judgements()
    assert (cut.folder / "pairs.jsonl").read_bytes() == (whole.folder / "pairs.jsonl").read_bytes()
    cut.make("judge")  # once more: nothing is owed, and metrics.jsonl has one row of it
    (row,) = [row for _, row in read_objects(cut.run.path / "metrics.jsonl")]
    health = read_json(cut.folder / "judge.json")["health"]
    assert row == {
        "model": "M2", "stage": "judge", "prompt_blindness": health["prompt_blindness"]["value"],
        **{f"prompt_blindness_{end}": health["prompt_blindness"][end] for end in ("low", "high", "n")},
    }  # fmt: skip


def test_a_few_prompts_are_enough_to_measure(model: Path, tmp_path: Path) -> None:  # noqa: F811
    plain = prepared(tmp_path / "off", model, EXPECTED)
    measured = prepared(tmp_path / "on", model, {**EXPECTED, "contrast": {"measure": 3}})
    plain.make("judge", "pairs")
    measured.make("judge", "pairs")
    under = [row for row in measured.judgements().values() if "@" in row.candidate_id]
    assert len(under) == 3 * 3
    assert len({row.candidate_id.partition("@")[0].rpartition(".")[0] for row in under}) == 3
    assert read_json(measured.folder / "judge.json")["health"]["prompt_blindness"]["n"] == 3
    assert (measured.folder / "pairs.jsonl").read_bytes() == (plain.folder / "pairs.jsonl").read_bytes()
    assert not (plain.run.path / "metrics.jsonl").exists()


def test_a_prompt_that_is_too_long_for_another_response_is_counted(model: Path, tmp_path: Path) -> None:  # noqa: F811
    made = prepared(tmp_path / "a", model, {**EXPECTED, "contrast": {"others": 1}})
    long = Prompt.of([{"role": "user", "content": "Many words. " * 5000}], "test")
    short = PROMPTS[0]
    mine = [row for row in CANDIDATES if row.prompt_id == short.id]
    asked = [*mine, Candidate(f"M2.{long.id}.0", long.id, "Fine.", [50, 2], "stop")]
    (made.folder / "prompts.jsonl").write_text("".join(map(to_line, [short, long])))
    (made.folder / "candidates.jsonl").write_text("".join(map(to_line, asked)))
    made.make("judge", "pairs")
    account = read_json(made.folder / "judge.json")["contrast"]
    assert account["judgements"] == 4
    assert list(account["without_score"].values()) == [3]
    assert "positions" in next(iter(account["without_score"]))
    assert read_json(made.folder / "pairs.json")["contrast"]["responses_without"] == 3
    assert read_json(made.folder / "pairs.json")["dropped"] == {
        "fewer than two candidates with a score": 1, "fewer than two finished candidates": 1,
    }  # fmt: skip


def test_too_few_prompts_are_named_before_anything_is_judged(model: Path, tmp_path: Path) -> None:  # noqa: F811
    made = prepared(tmp_path / "a", model, {**EXPECTED, "contrast": {"others": 8}})
    with pytest.raises(InputError, match=r"judge\.contrast\.others: there are 8 prompts, and 8 others are wanted"):
        made.make("judge")
    assert not (made.folder / "judgements.jsonl").exists()


@pytest.mark.parametrize(
    ("files", "evaluated", "problem"),
    [
        (["Name it."], ["Why?", "How so?", "When was that?"], r"others: there are 1 prompts, and 2 others are wanted"),
        (
            ["Name it all.", "name it all", "NAME IT ALL!"],
            ["Why?", "How so?", "When?"],
            r"max_similarity: all prompts are alike",
        ),
        (["Why?", "How?", "When?"], ["Why?", "How so?"], r"evaluation\.contrast: there are 2 prompts, and 2 others"),
    ],
)
def test_too_few_prompts_in_files_are_named_before_anything_is_trained(
    model: Path,  # noqa: F811
    tmp_path: Path,
    files: list[str],
    evaluated: list[str],
    problem: str,
) -> None:
    for name, texts in (("asked", files), ("held", evaluated)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    made = prepared(
        tmp_path / "a", model, {**EXPECTED, "contrast": ON},
        prompts={"source": "file", "files": [str(tmp_path / "asked.jsonl")]},
        evaluation={"prompts": [str(tmp_path / "held.jsonl")], "compare": "scores", "contrast": True},
    )  # fmt: skip
    for name in ("ift", "eft", "held_out"):
        (made.run.folder("M1") / f"{name}.jsonl").write_text("")
    with pytest.raises(InputError, match=problem):
        render_rows(Context(made.run, made.run.steps["M1/rows"], lambda *_: None))


def test_prompts_that_are_too_alike_are_counted(model: Path, tmp_path: Path) -> None:  # noqa: F811
    made = prepared(tmp_path / "a", model, {**EXPECTED, "contrast": {"others": 2}})
    odd = Prompt.of([{"role": "user", "content": "What floats on water?"}], "test")
    alike = [Prompt.of([{"role": "user", "content": f"Name {n} things of that same kind."}], "test") for n in range(3)]
    asked = [Candidate(f"M2.{p.id}.{k}", p.id, f"Answer {k}.", [50, 2], "stop") for p in (odd, *alike) for k in (0, 1)]
    (made.folder / "prompts.jsonl").write_text("".join(map(to_line, [odd, *alike])))
    (made.folder / "candidates.jsonl").write_text("".join(map(to_line, asked)))
    made.make("judge", "pairs")
    account = read_json(made.folder / "judge.json")["contrast"]
    assert account == {"judgements": 2 * 2 + 3 * 2, "prompts_too_alike_for": 3 * 2}  # one other for each of the three
    assert read_json(made.folder / "pairs.json")["contrast"]["responses_without"] == 0


def test_the_cost_is_said_with_who_is_paid() -> None:
    def config(**judge: Any) -> Config:
        return parse({"seed_data": {"ift": "x.jsonl"}, "endpoint": {"url": "http://h/v1"}, "judge": judge}, "test")

    assert cost(config()) is None
    assert cost(config(contrast={"others": 1})) == (
        "judge.contrast: each response is judged 2 times as often, under 1 other prompt too"
    )
    assert cost(config(contrast=ON, role="openai:big")) == (
        "judge.contrast: each response is judged by big, which is asked and paid for 3 times as often, under 2 other "
        "prompts too"
    )


def test_the_consistency_of_contrasts_is_that_of_the_labels(model: Path, tmp_path: Path) -> None:  # noqa: F811
    made = prepared(tmp_path / "a", model, {**EXPECTED, "contrast": ON}, train={"consistency": True}, seed=3)
    made.make("judge")
    judge_again(Context(made.run, made.run.steps["M2/consistency"], lambda *_: None))
    before = {row.id: row for row in read_rows(made.folder / "consistency.jsonl", Judgement)}
    assert before.keys() == made.judgements().keys()
    # The scripted judge is the same; another one that disagrees only under other prompts.
    (made.folder / "consistency.jsonl").write_text(
        "".join(to_line({**json.loads(to_line(row)), "score": 5 - row.score if "@" in row.candidate_id and row.score
                         is not None else row.score}) for row in before.values())
    )  # fmt: skip
    judge_again(Context(made.run, made.run.steps["M2/consistency"], lambda *_: None))
    theirs = {row.id: row for row in read_rows(made.folder / "consistency.jsonl", Judgement)}
    groups = [[row.id for row in CANDIDATES if row.prompt_id == prompt.id] for prompt in PROMPTS]
    expected = consistency(
        tuple([by_hand(rows, name, 0.5) for name in group] for rows in (made.judgements(), theirs)) for group in groups
    )
    found = read_json(made.folder / "consistency.json")
    assert found["rate"] == pytest.approx(expected.rate)
    assert 0.5 < found["rate"] < 1


def test_the_report_shows_which_judgements_are_under_other_prompts(model: Path, tmp_path: Path) -> None:  # noqa: F811
    made = prepared(tmp_path / "a", model, {**EXPECTED, "contrast": ON})
    made.make("judge", "pairs")
    write_json(made.run.path / "run.json", {"judgeloop": "1", "models": ["M0", "M1", "M2"]})
    for sample in pair_samples(RunFiles(made.run.path), "M2"):
        for side in sample["sides"]:
            assert ["under" in row for row in side["judgements"]] == [False, True, True]
            own, *others = (row["score"] for row in side["judgements"])
            assert side["score"] == pytest.approx(own - 0.5 * fmean(others))


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """M1 and M2 evaluated with win rates by contrast, and the judge measured on four prompts."""
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    weights = make_tiny_model(tmp_path / "tiny")
    (tmp_path / "seed.jsonl").write_text('{"prompt": "Why?", "response": "So."}\n')
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps({"prompt": f"Question {k} of word{k * k}?"}) + "\n" for k in range(30)))
    tree = {
        "model": str(weights), "threads": 1, "iterations": 1, "engine": {"kind": "scripted"}, "seed": 5,
        "seed_data": {"ift": str(tmp_path / "seed.jsonl")},
        "judge": {"scoring": "expected", "contrast": {**ON, "measure": 4}},
        "evaluation": {"prompts": [str(asked)], "count": 12, "samples": 2, "base": False, "compare": "scores",
                       "contrast": True, "sampling": {"max_new_tokens": 16}},
    }  # fmt: skip
    config = parse(tree, "config")
    run = RunDirectory(tmp_path / "run", config, method(config))
    for name in ("M0", "M1", "M2"):
        run.folder(name).mkdir(parents=True)
    write_json(run.folder("M0") / "model.json", {"name": "M0", "path": str(weights), "hash": "h0"})
    ranks = RankedSet(
        "r", [{"role": "user", "content": "Held?"}], [{"text": "a", "rank": 0}, {"text": "b", "rank": 1}], "s"
    )
    (run.folder("M1") / "held_out.jsonl").write_text(to_line(ranks))
    for name in ("M1", "M2"):
        write_json(run.folder(name) / "train.json", {"hash": name})
        (run.folder(name) / "model").symlink_to(weights)
        evaluate(Context(run, run.steps[f"{name}/eval"], lambda *_: None))
    return run


def test_win_rates_by_contrast(evaluated: RunDirectory) -> None:
    folder = evaluated.folder("M2")
    responses = sorted(read_rows(folder / "eval.responses.jsonl", Candidate), key=lambda row: row.id)
    firsts = {row.prompt_id: row.id for row in reversed(responses)}
    before = sorted(read_rows(evaluated.folder("M1") / "eval.responses.jsonl", Candidate), key=lambda row: row.id)
    theirs = {row.prompt_id: f"{row.id}.vs" for row in reversed(before)}
    ours = {row.id: row for row in read_rows(folder / "eval.judgements.jsonl", Judgement)}
    previous = {row.id: row for row in read_rows(folder / "eval.previous.judgements.jsonl", Judgement)}
    outcomes = Counter()
    for prompt, name in firsts.items():
        assert len(others_of(name, ours)) == 2
        assert others_of(name, ours) == others_of(theirs[prompt], previous)
        outcomes[outcome_of_scores(by_hand(ours, name, 0.5), by_hand(previous, theirs[prompt], 0.5))] += 1
    found = read_json(folder / "eval.json")
    duel = found["win_rate_vs_previous"]
    assert duel["by"] == "contrasts"
    assert {name: duel[name] for name in ("win", "tie", "lose", "unparsed")} == {
        name: outcomes[name] for name in ("win", "tie", "lose", "unparsed")
    }
    assert duel["win"] + duel["lose"] > 3
    raw = Counter(
        outcome_of_scores(ours[f"{name}.j0"].score, previous[f"{theirs[prompt]}.j0"].score)
        for prompt, name in firsts.items()
    )
    assert {name: duel["by_score"][name] for name in ("win", "lose")} == {name: raw[name] for name in ("win", "lose")}
    assert raw != outcomes


def test_an_evaluations_health_is_of_own_scores_and_says_how_blind_the_judge_is(evaluated: RunDirectory) -> None:
    for name in ("M1", "M2"):
        found = read_json(evaluated.folder(name) / "eval.json")
        rows = read_rows(evaluated.folder(name) / "eval.judgements.jsonl", Judgement)
        own = [row for row in rows if "@" not in row.candidate_id]
        health = found["judge_health"]
        assert health["judgements"] == len(own) == 24
        assert sum(health["histogram"]) == 24
        assert health["mean_score"]["value"] == pytest.approx(fmean(row.score or 0 for row in own), abs=1e-5)
        # Both responses to four prompts, and the first to each other one if two models are compared.
        assert health["prompt_blindness"]["n"] == 4
        assert found["metrics"]["prompt_blindness"]["value"] == health["prompt_blindness"]
        assert len(rows) - len(own) == 2 * (4 * 2 + (8 if name == "M2" else 0))


def test_what_was_made_before_contrast_was_there_still_fits(model: Path, tmp_path: Path) -> None:  # noqa: F811
    plain = prepared(tmp_path / "a", model, EXPECTED)
    for step in plain.run.steps.values():
        known = settings(step, plain.config)
        assert not [key for key in known if "contrast" in key], step.name
    on = prepared(tmp_path / "b", model, {**EXPECTED, "contrast": ON})
    assert settings(on.run.steps["M2/judge"], on.config)["judge.contrast.others"] == 2
    assert settings(on.run.steps["M1/eval"], on.config) == settings(plain.run.steps["M1/eval"], plain.config)
