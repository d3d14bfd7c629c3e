"""Time to tell new instructions from near-copies (ROUGE-L F > 0.7), against the way Self-Instruct's script does it.

    python benchmarks/novelty.py [--parts growth small sample same] [--out FILE.json]

growth   our time at 1,000, 10,000 and 100,000 instructions, one by one and many at once, English and Chinese, and the
         exponent k of time ~ n^k fitted to it
small    the script's way in full at 1,000: rouge-score on every pair, in a process pool; its decisions and ours
sample   the script's way at 10,000, on instructions drawn at random, each against its whole pool; extrapolated
same     our decisions on 10,000 against an independent check: every pair scored without any filter (rapidfuzz, over
         rouge-score's own tokens), and rouge-score itself on every pair within 0.05 of the threshold
full     the script's way in full at 10,000 (hours); not run unless asked for

Parts are added to --out, so they may be run one at a time. rouge-score's figures are rounded to 12 digits before they
are compared with the threshold: of pairs at exactly 0.7 it says 0.7000000000000001 as often as not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Indel
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from judgeloop.jsonl import write_text_atomically
from judgeloop.text.similarity import NoveltyPool
from judgeloop.text.tokens import tokens_of
from novelty_corpus import CORPORA, English

THRESHOLD = 0.7
GOAL = 200
SEED = 0
SCORER = RougeScorer(["rougeL"], use_stemmer=False)


def one_by_one(texts: Sequence[str]) -> list[bool]:
    """Which are novel, each one kept joining the pool."""
    pool = NoveltyPool(THRESHOLD)
    return [pool.add_if_novel(text) is None for text in texts]


def at_once(texts: Sequence[str]) -> list[bool]:
    return [match is None for match in NoveltyPool(THRESHOLD).add_novel(texts)]


def rouge(text: str, other: str) -> float:
    return round(float(SCORER.score(text, other)["rougeL"].fmeasure), 12)


def is_novel_by_rouge_score(pool: Pool, text: str, kept: Sequence[str]) -> bool:
    """The script's way: the scores of the text and everything kept, mapped over the processes."""
    return not kept or max(pool.map(partial(rouge, text), kept)) <= THRESHOLD


def by_rouge_score(pool: Pool, texts: Sequence[str], progress: bool = False) -> list[bool]:
    kept: list[str] = []
    novel = []
    for number, text in enumerate(texts, 1):
        novel.append(is_novel_by_rouge_score(pool, text, kept))
        if novel[-1]:
            kept.append(text)
        if progress and number % 500 == 0:
            print(f"  {number} of {len(texts)}", flush=True)
    return novel


def workers() -> Pool:
    """One pool for the whole run, kinder than the script, which opens a new one for each instruction."""
    return get_context("fork").Pool(os.cpu_count())


def seconds(work: Callable[[], object], repeat: int = 1) -> float:
    """The fastest of `repeat` runs."""
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def growth(sizes: Sequence[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    print(f"{'':10}{'instructions':>13}{'kept':>8}{'one by one':>13}{'at once':>11}{'a text':>11}{'k':>7}")
    for name, corpus in CORPORA.items():
        every = corpus(SEED).make(max(sizes))
        rows: list[dict[str, Any]] = []
        for size in sizes:
            texts, repeat = every[:size], max(1, min(5, 30_000 // size))
            kept = sum(at_once(texts))
            row = {
                "instructions": size,
                "kept": kept,
                "one_by_one_seconds": seconds(partial(one_by_one, texts), repeat),
                "at_once_seconds": seconds(partial(at_once, texts), repeat),
            }
            exponent = _slope([*rows[-1:], row]) if rows else None
            rows.append(row)
            print(
                f"{name:10}{size:>13,}{kept:>8,}{row['one_by_one_seconds']:>11.2f} s{row['at_once_seconds']:>9.2f} s"
                f"{row['at_once_seconds'] / size * 1e6:>8.0f} µs{'' if exponent is None else f'{exponent:7.2f}'}",
                flush=True,
            )
        fitted = _slope(rows) if len(rows) > 1 else None
        found[name] = {"rows": rows, "exponent": fitted}
        print(f"{name:10} time ~ n^{fitted:.2f}" if fitted is not None else "")
    return found


def _slope(rows: Sequence[dict[str, Any]]) -> float:
    """The exponent of time over instructions, by least squares on logarithms."""
    points = [(math.log(row["instructions"]), math.log(row["at_once_seconds"])) for row in rows]
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def small(size: int) -> dict[str, Any]:
    texts = English(SEED).make(size)
    with workers() as pool:
        started = time.perf_counter()
        theirs = by_rouge_score(pool, texts)
        baseline = time.perf_counter() - started
    ours = seconds(partial(one_by_one, texts), 5)
    assert theirs == one_by_one(texts) == at_once(texts), "the decisions differ"
    print(f"{size:,} in full: rouge-score {baseline:.1f} s, ours {ours:.3f} s, {baseline / ours:,.0f} times; "
          f"the same {size:,} decisions, {sum(theirs):,} kept")  # fmt: skip
    return {"instructions": size, "kept": sum(theirs), "rouge_score_seconds": baseline, "seconds": ours,
            "ratio": baseline / ours, "same_decisions": True}  # fmt: skip


def sample(size: int, count: int) -> dict[str, Any]:
    texts = English(SEED).make(size)
    novel = one_by_one(texts)
    kept_before = np.cumsum([0, *novel])
    kept = [text for text, new in zip(texts, novel, strict=True) if new]
    taken, pairs, differing = [], 0, 0
    with workers() as pool:
        pool.map(partial(rouge, texts[0]), kept[:1000])  # the processes are up
        for place in sorted(random.Random(SEED).sample(range(size), count)):
            before = kept[: kept_before[place]]
            started = time.perf_counter()
            differing += is_novel_by_rouge_score(pool, texts[place], before) != novel[place]
            taken.append(time.perf_counter() - started)
            pairs += len(before)
    assert not differing, f"{differing} of {count} decisions differ"
    whole, error = statistics.mean(taken) * size, statistics.stdev(taken) / math.sqrt(count) * size
    every_pair = int(kept_before[:-1].sum())
    by_pairs = sum(taken) / pairs * every_pair
    ours, many = seconds(partial(one_by_one, texts), 3), seconds(partial(at_once, texts), 3)
    print(
        f"{size:,}, {count} drawn, {pairs:,} pairs in {sum(taken):.1f} s: {whole:,.0f} ± {1.96 * error:,.0f} s in all"
    )
    print(f"  by the time of a pair {by_pairs:,.0f} s for all {every_pair:,}; ours {ours:.2f} s, at once {many:.2f} s: "
          f"{by_pairs / ours:,.0f} and {by_pairs / many:,.0f} times (goal: {GOAL})")  # fmt: skip
    return {"instructions": size, "drawn": count, "pairs": pairs, "measured_seconds": sum(taken),
            "extrapolated_seconds": whole, "extrapolated_error_95": 1.96 * error, "all_pairs": every_pair,
            "extrapolated_by_pairs_seconds": by_pairs, "seconds": ours, "at_once_seconds": many,
            "ratio": by_pairs / ours, "at_once_ratio": by_pairs / many, "same_decisions_of_drawn": True}  # fmt: skip


def same(size: int) -> dict[str, Any]:
    found = {}
    for name, corpus in CORPORA.items():
        texts = corpus(SEED).make(size)
        tokenize = DefaultTokenizer(use_stemmer=False).tokenize if name == "english" else tokens_of
        started = time.perf_counter()
        theirs, pairs, near = _every_pair(texts, tokenize)
        taken = time.perf_counter() - started
        assert theirs == one_by_one(texts) == at_once(texts), f"{name}: the decisions differ"
        line = f"{name}: the same {size:,} decisions as all {pairs:,} pairs without filters ({taken:.1f} s)"
        if name == "english":
            with workers() as pool:
                scores = pool.starmap(rouge, [(texts[i], texts[j]) for i, j, _ in near], chunksize=2000)
            worst = max(abs(score - ours) for score, (_, _, ours) in zip(scores, near, strict=True))
            sides = sum(
                (score > THRESHOLD) != (ours > THRESHOLD) for score, (_, _, ours) in zip(scores, near, strict=True)
            )
            assert not sides, f"rouge-score has {sides} pairs on the other side"
            line += f"; rouge-score agrees on all {len(near):,} pairs within 0.05 of the threshold (to {worst:.0e})"
        print(line, flush=True)
        found[name] = {"instructions": size, "pairs": pairs, "seconds": taken, "same_decisions": True,
                       "pairs_near_the_threshold": len(near), "kept": sum(theirs)}  # fmt: skip
    return found


def _every_pair(
    texts: Sequence[str], tokenize: Callable[[str], list[str]]
) -> tuple[list[bool], int, list[tuple[int, int, float]]]:
    """Decisions by every pair of a text and what was kept before it, how many pairs, and those near the threshold."""
    ids: dict[str, int] = {}
    symbols = ["".join(chr(ids.setdefault(token, len(ids))) for token in tokenize(text)) for text in texts]
    kept = np.zeros(len(texts), dtype=bool)
    pairs, near, block = 0, [], 500
    for start in range(0, len(texts), block):
        rows = symbols[start : start + block]
        scores = process.cdist(rows, symbols[: start + len(rows)], scorer=Indel.normalized_similarity,
                               dtype=np.float64, workers=-1).round(12)  # fmt: skip
        for i, row in enumerate(scores, start):
            against = np.flatnonzero(kept[:i])
            pairs += len(against)
            mine = row[against]
            kept[i] = not (mine > THRESHOLD).any()
            near += [(i, int(j), float(row[j])) for j in against[np.abs(mine - THRESHOLD) <= 0.05]]
    return kept.tolist(), pairs, near


def full(size: int) -> dict[str, Any]:
    texts = English(SEED).make(size)
    with workers() as pool:
        started = time.perf_counter()
        theirs = by_rouge_score(pool, texts, progress=True)
        baseline = time.perf_counter() - started
    ours = seconds(partial(one_by_one, texts), 3)
    assert theirs == one_by_one(texts), "the decisions differ"
    print(f"{size:,} in full: rouge-score {baseline:,.0f} s, ours {ours:.2f} s, {baseline / ours:,.0f} times")
    return {"instructions": size, "rouge_score_seconds": baseline, "seconds": ours, "ratio": baseline / ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=["growth", "small", "sample", "same"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="part growth")
    parser.add_argument("--small", type=int, default=1_000, help="instructions of part small")
    parser.add_argument("--size", type=int, default=10_000, help="instructions of parts sample, same and full")
    parser.add_argument("--drawn", type=int, default=400, help="instructions that part sample measures")
    parser.add_argument("--full", action="store_true", help="part full on top")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "growth": lambda: growth(options.sizes),
        "small": lambda: small(options.small),
        "sample": lambda: sample(options.size, options.drawn),
        "same": lambda: same(options.size),
        "full": lambda: full(options.size),
    }
    for name in [*options.parts, *(["full"] if options.full else [])]:
        if name not in parts:
            parser.error(f"no part {name}; there are {', '.join(parts)}")
        result = parts[name]()
        if options.out:
            before = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
            write_text_atomically(options.out, json.dumps({**before, name: result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
