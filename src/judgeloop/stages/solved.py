"""Prompts that give no pair because all of their answers are good: their best answers, to be rehearsed beside the
pairs. What a policy does well gives ever fewer pairs, and what no pair shows may be unlearnt."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from judgeloop.config import Config
from judgeloop.jsonl import write_rows_atomically
from judgeloop.records import Candidate, Judgement, Message, PreferencePair, Prompt, SupervisedRow, derive_seed
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Stage
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.contrast import pair_keys, pair_scores

NO_ANSWER = "no finished answer with a score"
BELOW = "best answer scores below half of the chosen ones"


@dataclass(frozen=True, slots=True)
class Solved:
    """The `rows` to rehearse, the score that the best answer had to reach (`least`, None without pairs), and what the
    prompts without a pair were `dropped` for."""

    rows: list[SupervisedRow]
    least: float | None
    without_pair: int
    dropped: Mapping[str, int]


def solved_rows(
    prompts: Sequence[Prompt],
    candidates: Sequence[Candidate],
    scores: Mapping[str, float | None],
    pairs: Sequence[PreferencePair],
) -> Solved:
    """The best finished answer to each prompt without a pair, if it scores at least as high as the median chosen one.

    `scores`: the judge's, under an answer's own prompt. The bound is not a fixed score, because a judge's scale is its
    own, and answers that are all equally poor give no pair either: these are not learnt.
    """
    chosen = [score for pair in pairs if (score := scores.get(pair.chosen_id)) is not None]
    paired = {pair.prompt_id for pair in pairs}
    least = statistics.median(chosen) if chosen else None
    answers = _finished(prompts, candidates)
    rows: list[SupervisedRow] = []
    dropped: Counter[str] = Counter()
    without = [prompt for prompt in prompts if prompt.id not in paired]
    for prompt in without:
        scored = [(score, row) for row in answers[prompt.id] if (score := scores.get(row.id)) is not None]
        score, best = max(scored, key=lambda entry: entry[0], default=(0.0, None))
        if best is None:
            dropped[NO_ANSWER] += 1
        elif least is None or score < least:
            dropped[BELOW] += 1
        else:
            rows.append(_row(prompt, best))
    return Solved(rows, least, len(without), dict(dropped))


def drawn_rows(prompts: Sequence[Prompt], candidates: Sequence[Candidate], like: Solved, seed: int) -> Solved:
    """As many rows as `like` has, of prompts and finished answers drawn without looking at a score: for the control by
    a coin, which must not rehearse what the judge found good."""
    answers = _finished(prompts, candidates)
    draw = random.Random(derive_seed(seed, "solved, by a coin"))
    able = [prompt for prompt in prompts if answers[prompt.id]]
    taken = draw.sample(able, min(len(like.rows), len(able)))
    return Solved([_row(p, draw.choice(answers[p.id])) for p in taken], None, like.without_pair, {})


def _finished(prompts: Sequence[Prompt], candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """Prompt → its answers that are finished and say something, by their ids: which of two equals comes first does not
    depend on who finished first."""
    found: dict[str, list[Candidate]] = {prompt.id: [] for prompt in prompts}
    for row in sorted(candidates, key=lambda row: row.id):
        if row.finish_reason == "stop" and row.text.strip():
            found[row.prompt_id].append(row)
    return found


def _row(prompt: Prompt, answer: Candidate) -> SupervisedRow:
    """Named by the answer, so that the training finds the ids it was generated with."""
    said: list[Message] = [{"role": "assistant", "content": answer.text}]
    return SupervisedRow(answer.id, "ift", prompt.id, prompt.messages, said, "solved")


def solved(context: Context) -> Outcome:
    """Write the rows to rehearse, and in solved.json what became of every prompt without a pair."""
    config = context.config
    prompts, candidates = context.rows("prompts", Prompt), context.rows("candidates", Candidate)
    _, own = pair_scores(config, context.rows("judgements", Judgement))
    made = solved_rows(prompts, candidates, own, context.rows("pairs", PreferencePair))
    if config.pairs.control == "random":
        made = drawn_rows(prompts, candidates, made, config.seed)
    write_rows_atomically(context.output(), made.rows)
    account = {
        "without_pair": made.without_pair,
        "rows": len(made.rows),
        "least_score": None if made.least is None else round(made.least, 4),
        "dropped": dict(made.dropped),
    }
    write_json(context.output("solved.json"), account)
    line = (
        f"{len(made.rows)} of {made.without_pair} prompts without a pair are solved: their best answers are rehearsed"
    )
    if not made.rows:
        line = f"none of {made.without_pair} prompts without a pair is solved, so this training rehearses none"
    return Outcome({"rows": len(made.rows), "yields": [line]})


def _keys(config: Config) -> tuple[str, ...]:
    return ("seed", "judge.min_valid", "pairs.control", *pair_keys(config))


SOLVED = Stage(
    "solved",
    "answers to rehearse",
    run=solved,
    cost=costs.solved,
    reads=("prompts", "candidates", "judgements", "pairs"),
    writes=("solved.jsonl", "solved.json"),
    keys=_keys,
    light=True,
)
