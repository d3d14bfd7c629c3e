"""The seed of a run: IFT rows, EFT rows and held-out ranked prompts, with no prompt shared between the parts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.config import SeedSection
from judgeloop.data.provenance import Account
from judgeloop.data.readers import read_both, read_ranked, read_supervised, supervised_row
from judgeloop.eft.existing_eft import given_rows
from judgeloop.eft.from_ranks import balanced, eft_rows
from judgeloop.errors import InputError
from judgeloop.judging.rubric import Rubric
from judgeloop.records import Message, RankedSet, SupervisedRow, derive_seed
from judgeloop.seed.evaluated import Evaluated, sentence
from judgeloop.seed.leakage import Known, clusters


@dataclass(frozen=True, slots=True)
class SeedData:
    """`ift` and `eft` train M1, `held_out` is for evaluation only; `eft_sets` are the ranked sets for EFT, whose rows
    are in `eft` already unless a model is to make them (`eft.source: written` or `contrast`). `account` says where
    everything went: {"detected", "columns" (of each file those that were read and those that were not), "taken",
    "dropped", "ift", "eft", "held_out", "eft_sets", "near_duplicates", "eft_scores"}, plain values; with `eft_files`
    also "eft_given" (rows) and "eft_unchecked" (those whose instruction is not known); with evaluation prompts among
    the rows also "in_evaluation": {"row", "part", "evaluation" (file), "why"} of each row that was left out for it."""

    ift: list[SupervisedRow]
    eft: list[SupervisedRow]
    held_out: list[RankedSet]
    eft_sets: list[RankedSet]
    account: dict[str, Any]


def build_seed(
    config: SeedSection,
    rubric: Rubric,
    justification: bool,
    seed: int,
    evaluation: Mapping[str, Sequence[Sequence[Message]]] | None = None,
    *,
    score_alone: bool = False,
) -> SeedData:
    """Read the files of the config and split them.

    Ranked prompts go to the held-out part, to EFT or (their best response) to IFT; what shares a group (a tree), its
    normalised text or nearly its text (`near_duplicate`) stays together. IFT rows lose those with a held-out prompt
    or, unless `eft.ift_overlap`, one used for EFT; EFT rows of files lose those with a held-out prompt. No part that
    is trained on keeps a row whose prompt is, contains or is near one of `evaluation` (file → prompts). With
    `score_alone` each EFT row of a file must have a score whose probability can be read. Raises InputError if a file is
    wrong or nothing is left to train on.
    """
    detected: list[str] = []
    columns: dict[str, dict[str, Any]] = {}
    taken = 0
    dropped: Counter[str] = Counter()
    sets: dict[str, RankedSet] = {}
    supervised: list[SupervisedRow] = []
    for name in config.ranked:
        if name in config.ift:
            found, rows, account = read_both(name, config.turns, config.lang, config.fields, config.thoughts)
            supervised += rows
        else:
            found, account = read_ranked(name, config.turns, config.lang, config.fields)
        detected.append(account.sentence(name))
        taken += account.taken
        columns.update(_told(name, account))
        dropped.update(account.dropped)
        dropped["duplicate"] += sum(ranked.id in sets for ranked in found)
        sets.update((ranked.id, ranked) for ranked in found if ranked.id not in sets)
    for name in (name for name in config.ift if name not in config.ranked):
        rows, account = read_supervised(name, config.turns, config.lang, config.fields, config.thoughts)
        detected.append(account.sentence(name))
        taken += account.taken
        columns.update(_told(name, account))
        dropped.update(account.dropped)
        supervised += rows

    (held_out, for_eft, for_ift), near = _split(list(sets.values()), config, seed)
    evaluated = Evaluated(evaluation or {}, config.near_duplicate)
    for_eft = [ranked for ranked in for_eft if not evaluated.closes(ranked.source, "EFT", ranked.messages)]
    for_ift = [ranked for ranked in for_ift if not evaluated.closes(ranked.source, "IFT", ranked.messages)]
    supervised = [row for row in supervised if not evaluated.closes(row.source, "IFT", row.prompt)]
    given = given_rows(
        config.eft_files, rubric, held_out, config.near_duplicate, dropped, score_alone, evaluated.closes
    )
    if evaluated.removed:
        dropped["row with an evaluation prompt, or close to one"] += len(evaluated.removed)
    closed = Known(config.near_duplicate)
    for ranked in held_out:
        closed.add(ranked.messages, "held-out")
    closed_ids: frozenset[str] = frozenset()
    if config.eft.ift_overlap:
        for_ift = for_eft + for_ift
    else:
        closed_ids = given.prompt_ids
        for messages in [*(ranked.messages for ranked in for_eft), *given.instructions]:
            closed.add(messages, "EFT")
    ift = _ift_rows(supervised, for_ift, closed, closed_ids, dropped)
    if config.max_ift_rows is not None and len(ift) > config.max_ift_rows:
        order = random.Random(derive_seed(seed, "ift_rows")).sample(range(len(ift)), config.max_ift_rows)
        dropped["IFT row above max_ift_rows"] += len(ift) - len(order)
        ift = [ift[i] for i in sorted(order)]
    eft = given.rows
    if config.eft.source == "ranks":
        made = balanced(eft_rows(for_eft, rubric, justification, seed, dropped), config.eft, seed, dropped)
        eft = joined(given.rows, made, dropped)
    if not ift and not eft and not (for_eft and config.eft.source != "ranks"):
        if evaluated.removed:
            raise InputError(
                f"seed_data: no row is left to train on: {sentence(evaluated.removed)}; bring other seed rows "
                "or name other prompts to evaluate on"
            )
        raise InputError(
            "seed_data: no IFT and no EFT row is left to train on; bring more rows or lower held_out_share"
        )
    summary = {
        "detected": [*detected, *given.detected],
        "columns": columns,
        "taken": taken + given.taken,
        "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
        "ift": len(ift),
        "eft": len(eft),
        "held_out": len(held_out),
        "eft_sets": len(for_eft),
        "near_duplicates": near,
        "eft_scores": histogram([score for score, _ in eft], rubric),
    }
    if config.eft_files:
        summary |= {"eft_given": len(given.rows), "eft_unchecked": given.unknown}
    if evaluated.removed:
        summary["in_evaluation"] = evaluated.removed
    return SeedData(ift, [row for _, row in eft], held_out, for_eft, summary)


def _told(name: str, account: Account) -> dict[str, dict[str, Any]]:
    """What the account of the seed says of a file's columns: role → column, and column → rows that have it."""
    return {name: {"read": account.columns, "not_read": account.unread, "thoughts": account.thoughts}}


def joined(
    first: Sequence[tuple[int, SupervisedRow]], then: Sequence[tuple[int, SupervisedRow]], dropped: Counter[str]
) -> list[tuple[int, SupervisedRow]]:
    """EFT rows of two sources, each once; those that are in both are counted."""
    have = {row.id for _, row in first}
    dropped["duplicate"] += sum(row.id in have for _, row in then)
    return [*first, *(pair for pair in then if pair[1].id not in have)]


def histogram(scores: Sequence[int], rubric: Rubric) -> list[int]:
    """How many there are of each score of the scale, lowest first."""
    counts = Counter(scores)
    return [counts[score] for score in rubric.scores]


def _ift_rows(
    given: Sequence[SupervisedRow],
    best_of: Sequence[RankedSet],
    closed: Known,
    closed_ids: frozenset[str],
    dropped: Counter[str],
) -> list[SupervisedRow]:
    """Rows of the files, then the best response of each IFT set, that share no prompt with the other parts."""
    best = [
        supervised_row("ift", ranked.messages, ranked.messages, ranked.responses[0]["text"], ranked.source)
        for ranked in best_of
        if ranked.responses[0].get("imitable", True)
    ]
    dropped["set whose best answer is rated low, for IFT"] += len(best_of) - len(best)
    rows: dict[str, SupervisedRow] = {}
    for row in (*given, *best):
        if row.id in rows:
            dropped["duplicate"] += 1
            continue
        label = closed.same(row.prompt) or ("EFT" if row.prompt_id in closed_ids else None)
        near = closed.near(row.prompt) if label is None else None
        if label is not None:
            dropped[f"IFT row with {_A[label]} prompt"] += 1
        elif near is not None:
            dropped[f"IFT row close to {_A[near]} prompt"] += 1
        else:
            rows[row.id] = row
    return list(rows.values())


_A = {"held-out": "a held-out", "EFT": "an EFT"}


def _split(
    sets: Sequence[RankedSet], config: SeedSection, seed: int
) -> tuple[tuple[list[RankedSet], list[RankedSet], list[RankedSet]], int]:
    """(held out, EFT, IFT), clusters kept whole, shares met as nearly as whole clusters allow; file order inside. And
    how many clusters near duplicates joined."""
    whole, near = clusters(sets, config.near_duplicate)
    random.Random(derive_seed(seed, "seed_split")).shuffle(whole)
    wanted_held_out = round(config.held_out_share * len(sets))
    held_out, rest = _first(whole, wanted_held_out)
    wanted_eft = round(config.eft_share * sum(len(cluster) for cluster in rest))
    for_eft, for_ift = _first(rest, wanted_eft)

    def members(part: Sequence[list[int]]) -> list[RankedSet]:
        return [sets[i] for i in sorted(i for cluster in part for i in cluster)]

    return (members(held_out), members(for_eft), members(for_ift)), near


def _first(whole: Sequence[list[int]], wanted: int) -> tuple[list[list[int]], list[list[int]]]:
    """Clusters, in order, until about `wanted` members are reached; and the others."""
    taken: list[list[int]] = []
    left: list[list[int]] = []
    count = 0
    for cluster in whole:
        if count < wanted and count + len(cluster) - wanted <= wanted - count:
            taken.append(cluster)
            count += len(cluster)
        else:
            left.append(cluster)
    return taken, left
