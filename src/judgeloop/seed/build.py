"""The seed of a run: IFT rows, EFT rows and held-out ranked prompts, with no prompt shared between the parts."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.config import SeedSection
from judgeloop.errors import InputError
from judgeloop.judging.rubric import MAX_SCORE, Rubric
from judgeloop.records import RankedSet, SupervisedRow, derive_seed
from judgeloop.seed.eft import balanced, eft_rows
from judgeloop.seed.readers import read_ranked, read_supervised, supervised_row
from judgeloop.seed.shapes import prompt_keys


@dataclass(frozen=True, slots=True)
class SeedData:
    """`ift` and `eft` train M1, `held_out` is for evaluation only; `account` says where everything went:
    {"detected", "taken", "dropped", "ift", "eft", "held_out", "eft_scores"}, plain values."""

    ift: list[SupervisedRow]
    eft: list[SupervisedRow]
    held_out: list[RankedSet]
    account: dict[str, Any]


def build_seed(config: SeedSection, rubric: Rubric, justification: bool, seed: int) -> SeedData:
    """Read the files of the config and split them.

    Ranked prompts go to the held-out part, to EFT or (their best response) to IFT; what shares a group (a tree) or
    its normalised text stays together. IFT rows from files lose those that contain a held-out prompt or, unless
    `eft.ift_overlap`, one used for EFT. Raises InputError where a file is wrong or nothing is left to train on.
    """
    detected: list[str] = []
    taken = 0
    dropped: Counter[str] = Counter()
    sets: dict[str, RankedSet] = {}
    for name in config.ranked:
        found, account = read_ranked(Path(name), config.turns, config.lang)
        detected.append(account.sentence(Path(name)))
        taken += account.taken
        dropped.update(account.dropped)
        dropped["duplicate"] += sum(ranked.id in sets for ranked in found)
        sets.update((ranked.id, ranked) for ranked in found if ranked.id not in sets)
    given: list[SupervisedRow] = []
    for name in config.ift:
        rows, account = read_supervised(Path(name), config.turns, config.lang)
        detected.append(account.sentence(Path(name)))
        taken += account.taken
        dropped.update(account.dropped)
        given += rows

    held_out, for_eft, for_ift = _split(list(sets.values()), config, seed)
    if config.eft.ift_overlap:
        for_ift = for_eft + for_ift
    ift = _ift_rows(given, for_ift, held_out, () if config.eft.ift_overlap else for_eft, dropped)
    if config.max_ift_rows is not None and len(ift) > config.max_ift_rows:
        order = random.Random(derive_seed(seed, "ift_rows")).sample(range(len(ift)), config.max_ift_rows)
        dropped["IFT row above max_ift_rows"] += len(ift) - len(order)
        ift = [ift[i] for i in sorted(order)]
    eft = balanced(eft_rows(for_eft, rubric, justification, seed, dropped), config.eft, seed, dropped)
    if not ift and not eft:
        raise InputError(
            "seed_data: no IFT and no EFT row is left to train on; bring more rows or lower held_out_share"
        )
    scores = Counter(score for score, _ in eft)
    return SeedData(
        ift,
        [row for _, row in eft],
        held_out,
        {
            "detected": detected,
            "taken": taken,
            "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
            "ift": len(ift),
            "eft": len(eft),
            "held_out": len(held_out),
            "eft_scores": [scores[score] for score in range(MAX_SCORE + 1)],
        },
    )


def _ift_rows(
    given: Sequence[SupervisedRow],
    best_of: Sequence[RankedSet],
    held_out: Sequence[RankedSet],
    kept_apart: Sequence[RankedSet],
    dropped: Counter[str],
) -> list[SupervisedRow]:
    """Rows of the files that share nothing with the other parts, then the best response of each IFT set."""
    closed = {key: "IFT row with a held-out prompt" for ranked in held_out for key in _keys(ranked)[-1:]}
    for ranked in kept_apart:
        closed.setdefault(_keys(ranked)[-1], "IFT row with an EFT prompt")
    parts_of_closed = {key: closed[_keys(r)[-1]] for r in (*kept_apart, *held_out) for key in _keys(r)}
    rows: dict[str, SupervisedRow] = {}
    for row in given:
        keys = list(prompt_keys(row.prompt))
        reason = next((closed[key] for key in keys if key in closed), parts_of_closed.get(keys[-1]))
        if reason is None and row.id in rows:
            reason = "duplicate"
        if reason is not None:
            dropped[reason] += 1
        else:
            rows[row.id] = row
    for ranked in best_of:
        row = supervised_row("ift", ranked.messages, ranked.messages, ranked.responses[0]["text"], ranked.source)
        if row.id in rows:
            dropped["duplicate"] += 1
        rows.setdefault(row.id, row)
    return list(rows.values())


def _keys(ranked: RankedSet) -> list[str]:
    return list(prompt_keys(ranked.messages))


def _split(
    sets: Sequence[RankedSet], config: SeedSection, seed: int
) -> tuple[list[RankedSet], list[RankedSet], list[RankedSet]]:
    """(held out, EFT, IFT), clusters kept whole, shares met as nearly as whole clusters allow; file order inside."""
    clusters = _clusters(sets)
    random.Random(derive_seed(seed, "seed_split")).shuffle(clusters)
    wanted_held_out = round(config.held_out_share * len(sets))
    held_out, rest = _first(clusters, wanted_held_out)
    wanted_eft = round(config.eft_share * sum(len(cluster) for cluster in rest))
    for_eft, for_ift = _first(rest, wanted_eft)

    def members(part: Sequence[list[int]]) -> list[RankedSet]:
        return [sets[i] for i in sorted(i for cluster in part for i in cluster)]

    return members(held_out), members(for_eft), members(for_ift)


def _first(clusters: Sequence[list[int]], wanted: int) -> tuple[list[list[int]], list[list[int]]]:
    """Clusters, in order, until about `wanted` members are reached; and the others."""
    taken: list[list[int]] = []
    left: list[list[int]] = []
    count = 0
    for cluster in clusters:
        if count < wanted and count + len(cluster) - wanted <= wanted - count:
            taken.append(cluster)
            count += len(cluster)
        else:
            left.append(cluster)
    return taken, left


def _clusters(sets: Sequence[RankedSet]) -> list[list[int]]:
    """Indices of sets that must stay on one side: same group, same prompt, or one's prompt begins the other's.

    Sorted by content, so that the split does not depend on the order of lines and files.
    """
    parent = list(range(len(sets)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    owner: dict[tuple[str, str], int] = {}
    for i, ranked in enumerate(sets):
        names = [("prompt", _keys(ranked)[-1])]
        if ranked.group:
            names.append(("group", ranked.group))
        for name in names:
            parent[root(i)] = root(owner.setdefault(name, i))
    for i, ranked in enumerate(sets):
        for key in _keys(ranked)[:-1]:
            if ("prompt", key) in owner:
                parent[root(i)] = root(owner["prompt", key])
    members: dict[int, list[int]] = defaultdict(list)
    for i in range(len(sets)):
        members[root(i)].append(i)
    return sorted(members.values(), key=lambda cluster: min(sets[i].id for i in cluster))
