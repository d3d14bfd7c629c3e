"""Is a model a judge of its own answers? A run's candidates on the verifiable track, its scores, and the checkers.

    python benchmarks/own_answers.py RUN/M3 [--judge MODEL] [--set KEY=VALUE …]

Of the candidates that a run made for a model: how many pass; how often the judge scores the passing one of two answers
to one prompt higher (ties half), over all rules and by rule, with 95% bootstrap intervals over prompts; what stands in
the pairs that the config makes of the scores; and how many pass by score. `--judge` has another model score them (a
folder or an alias), by the run's rubric; without it the run's own judgements are read.
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
from collections.abc import Mapping
from pathlib import Path

from judgeloop.config import Config
from judgeloop.config.loading import load
from judgeloop.evaluation.stats import mean_interval
from judgeloop.pairs import PairRule, best_chosen, make_pairs, mean_scores
from judgeloop.records import Candidate, Judgement, Prompt, read_objects, read_rows

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "configs" / "verifiable"))

from verifiable_track import passes, task_of

Scores = Mapping[str, float | None]


def scored_by(judge: str, config: Config, asked: Mapping[str, Prompt], rows: list[Candidate]) -> Scores:
    """Candidate → the expected score that another model gives it."""
    with tempfile.TemporaryDirectory() as work:
        given, out = Path(work) / "rows.jsonl", Path(work) / "scored.jsonl"
        lines = ({"id": row.id, "prompt": asked[row.prompt_id].messages, "response": row.text} for row in rows)
        given.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        command = [sys.executable, "-m", "judgeloop", "judge", "--model", judge, "--in", str(given), "--out", str(out)]
        subprocess.run([*command, "--scoring", "expected", "--rubric", str(config.judge.rubric)], check=True)
        return {row["id"]: row["score"] for _, row in read_objects(out)}


def rightness(
    asked: Mapping[str, Prompt], rows: list[Candidate], scores: Scores, good: Mapping[str, bool]
) -> dict[str, list[float]]:
    """Rule → for each prompt with a passing and a failing answer, how often the passing one is scored higher."""
    answers: dict[str, list[Candidate]] = defaultdict(list)
    for row in rows:
        if scores.get(row.id) is not None:
            answers[row.prompt_id].append(row)
    found: dict[str, list[float]] = defaultdict(list)
    for prompt, mine in answers.items():
        won = [
            (x > y) + 0.5 * (x == y)
            for a, b in itertools.product(mine, mine)
            if good[a.id] and not good[b.id]
            for x, y in [(scores[a.id] or 0.0, scores[b.id] or 0.0)]
        ]
        if won:
            found[task_of(asked[prompt].messages[-1]["content"]).rule].append(statistics.mean(won))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="a model's folder in a run directory: the one that was to be trained")
    parser.add_argument("--judge", help="a model's folder or alias: it scores instead of the run's judge")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="as in judgeloop run, for the pairs")
    options = parser.parse_args()
    folder: Path = options.model
    config = load(folder.parent / "config.yaml", options.set)
    asked = {row.id: row for row in read_rows(folder / "prompts.jsonl", Prompt)}
    rows = read_rows(folder / "candidates.jsonl", Candidate)
    good = {
        row.id: passes(task_of(asked[row.prompt_id].messages[-1]["content"]), row.text, row.finish_reason == "stop")
        for row in rows
    }
    scores: Scores = (
        scored_by(options.judge, config, asked, rows)
        if options.judge
        else mean_scores(read_rows(folder / "judgements.jsonl", Judgement), config.judge.min_valid)
    )

    passing = statistics.mean(good.values())
    print(f"{folder}, judged by {options.judge or 'the run'}: {len(rows)} answers, {passing:.0%} pass")
    by_rule = rightness(asked, rows, scores, good)
    found = mean_interval([value for values in by_rule.values() for value in values], seed=0)
    if found is not None:
        print(f"judge right {found.value:.3f} ({found.low:.3f}-{found.high:.3f}), {found.n} prompts")
    print("; ".join(f"{rule} {statistics.mean(v):.2f} ({len(v)})" for rule, v in sorted(by_rule.items())))

    iteration = int(folder.name[1:]) - 1
    rule = PairRule(
        margin=config.pairs.margin,
        unfinished=config.pairs.unfinished,
        length_rho=config.pairs.rho(iteration),
        max_pairs=config.pairs.max_per_prompt,
    )
    pairs = best_chosen(make_pairs(list(asked.values()), rows, scores, rule)[0], config.pairs.share(iteration))
    said = [(good[pair.chosen_id], good[pair.rejected_id]) for pair in pairs]
    if said:
        right, wrong = (statistics.mean(pair == order for pair in said) for order in ((True, False), (False, True)))
        chosen, rejected = (statistics.mean(side) for side in zip(*said, strict=True))
        print(f"{len(said)} pairs: {right:.0%} right, {wrong:.0%} wrong; chosen passes {chosen:.0%}, "
              f"rejected {rejected:.0%}")  # fmt: skip
    edges = (0.0, 2.0, 3.0, 4.0, 4.5, 4.8, 5.01)
    for low, high in itertools.pairwise(edges):
        inside = [good[row.id] for row in rows if low <= (scores.get(row.id) or 0.0) < high]
        if inside:
            shown = f"{low:.1f} to {min(high, 5.0):.1f}"
            print(f"  score {shown}: {len(inside)} answers, {statistics.mean(inside):.0%} pass")


if __name__ == "__main__":
    main()
