"""Is a model a judge of its own answers? A run's candidates on the verifiable track, its scores, and the checkers.

    python benchmarks/own_answers.py RUN/M3 … [--judge MODEL [--samples K] [--prompts N]] [--set KEY=VALUE …]

Of the candidates that a run made for a model: how many pass; how often the judge scores the passing one of two answers
to one prompt higher (ties half), over all rules and by rule, with 95% bootstrap intervals over prompts; what stands in
the pairs that the config makes of the scores; how many of those that are rehearsed pass; and how many pass by score.
`--judge` has another model score them (a folder or an alias), by the run's rubric, and tells how alike the two judges
are within a prompt (correlation of the differences) and what the mean of their scores is worth; without it the run's
own judgements are read. It gives expected scores, or with `--samples` the means of K that it writes; `--prompts` has it
score the answers to N prompts alone.

With `judge.contrast.others` above 0, in the run or by `--set`, it tells besides how blind to the prompt the judge is,
and what contrasts are worth, by λ; the difference from the scores alone is paired over prompts. Of several runs the
differences are told together at the end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from judgeloop.config import Config
from judgeloop.config.loading import load
from judgeloop.evaluation.blindness import prompt_blindness
from judgeloop.evaluation.ground_truth import PASSES, CheckedResponse, judge_accuracies
from judgeloop.evaluation.statistics import mean_interval
from judgeloop.jsonl import read_objects, read_rows
from judgeloop.judging.contrast import contrasts, measured_prompts
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pointwise import ToJudge
from judgeloop.pairs import Judged, best_worst
from judgeloop.records import MAX_SCORE, Candidate, Judgement, PreferencePair, Prompt, SupervisedRow
from judgeloop.stages.contrast import candidates_under_others, pair_scores, pairs_by_contrast

WEIGHTS = (0.25, 0.5, 0.75, 1.0)
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "configs" / "verifiable"))

from verifiable_track import passes, task_of

Scores = Mapping[str, float | None]


def scored_by(judge: str, config: Config, folder: Path, samples: int | None, of: Collection[str]) -> Scores:
    """Candidate → the expected score that another model gives it, or the mean of as many as it writes; and under other
    prompts, as the config says, by names of their own. `of`: the prompts whose answers are scored."""
    way = ["--scoring", "expected"] if samples is None else ["--scoring", "sampled", "--samples", str(samples)]
    prompts = {row.id: row for row in read_rows(folder / "prompts.jsonl", Prompt)}
    rows = [row for row in read_rows(folder / "candidates.jsonl", Candidate) if row.prompt_id in of]
    asked = [(row.prompt_id, ToJudge(row.id, prompts[row.prompt_id].messages, row.text)) for row in rows]
    items = [item for _, item in asked]
    if config.judge.contrast.others:
        items += candidates_under_others(config, list(prompts.values()), asked, ())
    with tempfile.TemporaryDirectory() as work:
        given, out = Path(work) / "rows.jsonl", Path(work) / "scored.jsonl"
        lines = ({"id": item.id, "prompt": item.prompt, "response": item.response} for item in items)
        given.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        command = [sys.executable, "-m", "judgeloop", "judge", "--model", judge, "--in", str(given), "--out", str(out)]
        subprocess.run([*command, *way, "--rubric", str(config.judge.rubric)], check=True)
        return {row["id"]: row["score"] for _, row in read_objects(out)}


def truth_of(folder: Path) -> dict[str, list[CheckedResponse]]:
    """Rule → what the checkers say of a run's candidates for a model."""
    asked = {row.id: row.messages[-1]["content"] for row in read_rows(folder / "prompts.jsonl", Prompt)}
    found: dict[str, list[CheckedResponse]] = defaultdict(list)
    for row in read_rows(folder / "candidates.jsonl", Candidate):
        task, finished = task_of(asked[row.prompt_id]), row.finish_reason == "stop"
        passed = float(passes(task, row.text, finished))
        found[task.rule].append(CheckedResponse(row.id, row.prompt_id, finished, {PASSES: passed}))
    return dict(found)


def pairs_of(folder: Path, config: Config, scores: Scores | None = None, weight: float = 0.0) -> list[PreferencePair]:
    """The run's candidates for a model, paired by the config: by the scores given, which may be contrasts of this
    weight, or by those that the config makes pairs by."""
    iteration = int(folder.name[1:]) - 1
    prompts, rows = read_rows(folder / "prompts.jsonl", Prompt), read_rows(folder / "candidates.jsonl", Candidate)
    if scores is None:
        scores, _ = pair_scores(config, read_rows(folder / "judgements.jsonl", Judgement))
        weight = config.judge.contrast.weight if pairs_by_contrast(config) else 0.0
    judged = Judged(prompts, rows, [], scores, least=-weight * MAX_SCORE)
    return best_worst(judged, config.pairs.model_copy(update={"control": "none"}), iteration, config.seed).pairs


def run_scores(folder: Path, config: Config) -> Scores:
    """Candidate → the mean of the run's own judgements; under other prompts by names of their own."""
    return mean_scores(read_rows(folder / "judgements.jsonl", Judgement), config.judge.min_valid)


def contrasts_told(
    folder: Path,
    config: Config,
    rows: Scores,
    truth: Mapping[str, Sequence[CheckedResponse]],
    gains: dict[float, list[float]],
) -> list[str]:
    """How blind to the prompt a judge is, and by λ how often contrasts are right and what stands in their pairs;
    nothing if nothing was judged under other prompts. `gains` (λ → by prompt, how much more often) grow."""
    asked: dict[str, list[str]] = defaultdict(list)
    for row in (row for mine in truth.values() for row in mine):
        asked[row.prompt_id].append(row.id)
    blindness = prompt_blindness(rows, asked.values(), seed=0)
    if blindness is None:
        return []
    lines = [f"prompt-blindness {blindness.value:.2f} ({blindness.low:.2f} to {blindness.high:.2f})"]
    for weight in WEIGHTS:
        scores = contrasts(rows, weight)
        both = [
            pair
            for mine in truth.values()
            for pair in zip(judge_accuracies(mine, PASSES, scores), judge_accuracies(mine, PASSES, rows), strict=True)
        ]
        found = mean_interval([contrast for contrast, _ in both], seed=0)
        right = "" if found is None else f"right {found.value:.3f} ({found.low:.3f}-{found.high:.3f}), "
        of_this = [contrast - own for contrast, own in both]
        gains[weight] += of_this
        right += f"{difference(of_this)}, "
        lines.append(f"λ {weight:g}: {right}{told(pairs_of(folder, config, scores, weight), truth)}")
    return lines


def difference(gains: Sequence[float]) -> str:
    """A mean difference with its interval over prompts."""
    found = mean_interval(gains, seed=0)
    return "no prompt" if found is None else f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def told(pairs: Sequence[PreferencePair], truth: Mapping[str, Sequence[CheckedResponse]]) -> str:
    """What stands in the pairs; right: the chosen answer passes and the rejected one fails; wrong: the other way."""
    good = {row.id: row.measures[PASSES] for rows in truth.values() for row in rows}
    sides = [(good[pair.chosen_id], good[pair.rejected_id]) for pair in pairs]
    if not sides:
        return "no pairs"
    right, wrong = (statistics.mean(pair == order for pair in sides) for order in ((1.0, 0.0), (0.0, 1.0)))
    chosen, rejected = (statistics.mean(side) for side in zip(*sides, strict=True))
    return (
        f"{len(pairs)} pairs, {right:.0%} right, {wrong:.0%} wrong, chosen passes {chosen:.0%}, rejected {rejected:.0%}"
    )


def rehearsed_told(rehearsed: Sequence[SupervisedRow], answers: Sequence[CheckedResponse]) -> str:
    """How many of the answers are rehearsed (`train.solved_replay`), and how many of these pass."""
    names = {row.id for row in rehearsed}
    passing = [row.measures[PASSES] for row in answers if row.id in names]
    return f"{len(passing)} answers rehearsed, {statistics.mean(passing):.0%} pass" if passing else "none is rehearsed"


def told_together(
    folder: Path, config: Config, one: Scores, other: Scores, truth: Mapping[str, Sequence[CheckedResponse]]
) -> str:
    """Two judges of the same answers: do they err alike, and does the mean of their scores err less?"""
    rows = [row for mine in truth.values() for row in mine]
    scored = {i: (a, b) for i, a in one.items() if a is not None and (b := other.get(i)) is not None}
    both: Scores = {i: (a + b) / 2 for i, (a, b) in scored.items()}
    asked: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if row.id in scored:
            asked[row.prompt_id].append(scored[row.id])
    differences = [(a[0] - b[0], a[1] - b[1]) for mine in asked.values() for a, b in itertools.combinations(mine, 2)]
    alike = statistics.correlation(*zip(*differences, strict=True))
    right = [v for mine in truth.values() for v in judge_accuracies(mine, PASSES, both)]
    found = mean_interval(right, seed=0)
    accuracy = "" if found is None else f"right {found.value:.3f} ({found.low:.3f}-{found.high:.3f}), "
    pairs = told(pairs_of(folder, config, both), truth)
    return f"with the run's own: correlation {alike:.2f}; mean of both {accuracy}{pairs}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", metavar="model", help="a model's folder in a run directory: the one that was to be trained")  # fmt: skip  # noqa: E501
    parser.add_argument("--judge", help="a model's folder or alias: it scores instead of the run's judge")
    parser.add_argument("--samples", type=int, help="it writes so many scores for each; without: its expected scores")
    parser.add_argument("--prompts", type=int, help="with --judge: score the answers to so many prompts alone")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="as in judgeloop run, for the pairs")
    options = parser.parse_args()
    for given, name in ((options.samples, "--samples"), (options.prompts, "--prompts")):
        if given is not None and not options.judge:
            parser.error(f"{name} needs --judge: without it the run's own judgements are read")
    gains: dict[float, list[float]] = {weight: [] for weight in WEIGHTS}
    for folder in options.models:
        tell(folder, options, gains)
    if len(options.models) > 1 and all(gains.values()):
        print(f"contrasts, all {len(options.models)}:")
        for weight, mine in gains.items():
            print(f"λ {weight:g}: {difference(mine)}, {len(mine)} prompts")


def tell(folder: Path, options: argparse.Namespace, gains: dict[float, list[float]]) -> None:
    """Print all that the candidates for one model tell."""
    config = load(folder.parent / "config.yaml", options.set)
    truth = truth_of(folder)
    if options.judge:
        prompts = dict.fromkeys(row.prompt_id for mine in truth.values() for row in mine)
        few = measured_prompts(prompts, options.prompts or len(prompts), config.seed)
        truth = {rule: [row for row in mine if row.prompt_id in few] for rule, mine in truth.items()}
        scores = scored_by(options.judge, config, folder, options.samples, few)
    else:
        scores = run_scores(folder, config)

    rows = [row for mine in truth.values() for row in mine]
    passing = statistics.mean(row.measures[PASSES] for row in rows)
    print(f"{folder}, judged by {options.judge or 'the run'}: {len(rows)} answers, {passing:.0%} pass")
    by_rule = {rule: judge_accuracies(mine, PASSES, scores) for rule, mine in sorted(truth.items())}
    found = mean_interval([value for values in by_rule.values() for value in values], seed=0)
    if found is not None:
        print(f"judge right {found.value:.3f} ({found.low:.3f}-{found.high:.3f}), {found.n} prompts")
    print("; ".join(f"{rule} {statistics.mean(v):.2f} ({len(v)})" for rule, v in by_rule.items() if v))
    print(told(pairs_of(folder, config, scores), truth))
    if (folder / "solved.jsonl").exists():
        print(rehearsed_told(read_rows(folder / "solved.jsonl", SupervisedRow), rows))
    if lines := contrasts_told(folder, config, scores, truth, gains):
        print(*lines, sep="\n")
    if options.judge:
        print(told_together(folder, config, scores, run_scores(folder, config), truth))
    for low, high in itertools.pairwise((0.0, 2.0, 3.0, 4.0, 4.5, 4.8, 5.01)):
        inside = [row.measures[PASSES] for row in rows if low <= (scores.get(row.id) or 0.0) < high]
        if inside:
            shown = f"{low:.1f} to {min(high, 5.0):.1f}"
            print(f"  score {shown}: {len(inside)} answers, {statistics.mean(inside):.0%} pass")


if __name__ == "__main__":
    main()
