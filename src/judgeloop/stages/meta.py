"""The judge's judgements of one response compared by the judge itself, and made pairs to train it on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from judgeloop.jsonl import RowLog, read_objects, read_rows, write_rows_atomically
from judgeloop.judging.meta import (
    Contested,
    Written,
    judge_pair,
    least_certain,
    position_weights,
    scores_of,
    through_score_line,
    to_compare,
)
from judgeloop.judging.pairwise import ToCompare, compare
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import Candidate, Judgement, Preference, PreferencePair, Prompt
from judgeloop.run.directory import write_json
from judgeloop.stages.context import Context, Outcome

COMPARISONS = "meta_comparisons.jsonl"


def judge_pairs(context: Context) -> Outcome:
    """Best against worst judgement of the responses that the judge is least certain about."""
    section = context.config.judge.meta
    responses = _contested(context)
    chosen = least_certain(responses, section.per_prompt, section.max_pairs)
    found = _compare_all(context, context.folder / COMPARISONS, [c for entry in chosen for c in to_compare(entry)])
    weights = position_weights(found.values())
    pairs: list[PreferencePair] = []
    account: Counter[str] = Counter()
    for entry in chosen:
        pair = judge_pair(entry, scores_of(entry, found, weights), section.max_characters)
        if isinstance(pair, str):
            account[pair] += 1
        else:
            pairs.append(pair)
    write_rows_atomically(context.folder / "judge_pairs.jsonl", pairs)
    wins = Counter(found.values())
    write_json(
        context.folder / "judge_pairs.json",
        {
            "responses": len(responses),
            "compared": len(chosen),
            "pairs": len(pairs),
            "dropped": dict(account),
            "comparisons": len(found),
            "wins_in_first_position": wins["first"],
            "wins_in_second_position": wins["second"],
            "position_weights": [round(weight, 6) for weight in weights],
        },
    )
    return Outcome(("judge_pairs.jsonl", COMPARISONS), {"rows": len(pairs)})


def _contested(context: Context) -> list[Contested]:
    """Responses with two or more judgements that could be read, an earlier model's left out."""
    config, folder = context.config.judge, context.folder
    rubric = load_rubric(config.rubric, config.language)
    prompts = {prompt.id: prompt for prompt in read_rows(folder / "prompts.jsonl", Prompt)}
    written: dict[str, list[Judgement]] = {}
    for row in sorted(read_rows(folder / "judgements.jsonl", Judgement), key=lambda row: (row.candidate_id, row.k)):
        if row.score is not None:
            written.setdefault(row.candidate_id, []).append(row)
    found = []
    for candidate in read_rows(folder / "candidates.jsonl", Candidate):
        rows = written.get(candidate.id, [])[: config.meta.max_judgements]
        if len(rows) > 1:
            judgements = tuple(
                Written(row.id, through_score_line(row.text, rubric), row.score)
                for row in rows
                if row.score is not None
            )
            task = rubric.messages(prompts[candidate.prompt_id].messages, candidate.text)
            found.append(Contested(candidate.id, candidate.prompt_id, task, judgements))
    return found


def _compare_all(context: Context, path: Path, items: Sequence[ToCompare]) -> dict[str, Preference | None]:
    """Append each comparison to `path`, skipping what stands there; return which of the two each prefers."""
    rubric = load_rubric("meta", context.config.judge.language)
    with RowLog(path) as log:
        have: dict[str, Preference | None] = {str(row["id"]): row["better"] for _, row in read_objects(path)}
        owed = [item for item in items if item.id not in have]
        if owed:
            role = context.config.judge.role
            model = context.current() if role == "current" else role
            chat = context.chat(model)
            engine = context.engine(model, chat)
            for found in compare(engine, chat, rubric, owed, context.config.judge.min_mass):
                log.append([found])
                have[found.id] = found.better
                context.progress(len(have), len(items), "")
            engine.close()
    return {item.id: have[item.id] for item in items}
