"""Read millions of random judge texts and say what does not hold (`fuzzing.py`, `fuzzing_verdicts.py`).

    PYTHONPATH=src:tests python tests/judging/fuzz_judge_texts.py [--texts 10000000] [--seed 0] [--processes 2]

Of every ten texts six are read for a score, three for a verdict (half of them the mirror image of the other half), and
one goes into a fence. One in some hundreds is read in every way there is: with words around it, and as a response that
its judge repeats in four ways. Two in twenty thousand are repeated up to 100,000 characters, whose reading may take two
seconds of processor time.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import Pool

from judgeloop.judging.fence import neutralise
from judgeloop.judging.parse_score import parse_score
from judgeloop.judging.parse_verdict import parse_verdict
from judging.fuzzing import check, read, texts
from judging.fuzzing_verdicts import check_copied_verdict, check_fence, check_verdict, fenced_texts, mirrored_texts

CHUNK = 20_000
LONG, SECONDS = 100_000, 2.0
READERS: tuple[Callable[[str], object], ...] = (parse_score, parse_verdict, neutralise)


def check_long(text: str) -> None:
    """What a text repeats is read in a time that grows with its length."""
    long = text * (LONG // max(1, len(text)))
    for reader in READERS:
        started = time.process_time()
        reader(long)
        seconds = time.process_time() - started
        assert seconds < SECONDS, f"{reader.__name__} took {seconds:.1f} s for {text!r} again and again"


def _checks(seed: str) -> Iterator[tuple[str, Callable[[], object]]]:
    for number, text in enumerate(texts(CHUNK * 6 // 10, seed)):
        yield "score", partial(_score, text, number)
        if number % 401 == 0:
            yield "score, every way", partial(check, text, number // 401)
    yield "long", partial(check_long, text)
    for number, (text, mirror) in enumerate(mirrored_texts(CHUNK * 3 // 20, seed)):
        yield "verdict, both mirror images", partial(_verdict, text, mirror)
        if number % 100 == 1:
            yield "verdict, copied", partial(check_copied_verdict, text)
    yield "long", partial(check_long, text)
    for text in fenced_texts(CHUNK // 10, seed):
        yield "fence", partial(check_fence, text)


def _score(text: str, number: int) -> float | None:
    return read(text, number).value


def _verdict(text: str, mirror: str) -> str | None:
    return check_verdict(text, mirror).value


def chunk(seed: str) -> tuple[Counter[tuple[str, bool]], list[str]]:
    """How many texts of a chunk gave an answer, and what did not hold."""
    found: Counter[tuple[str, bool]] = Counter()
    faults = []
    for kind, run in _checks(seed):
        try:
            found[kind, run() is not None] += 1
        except Exception as error:  # a fault is listed, whatever it is
            found[kind, False] += 1
            faults.append(f"{kind}: {type(error).__name__}: {error}")
    return found, faults


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    started = time.perf_counter()
    total: Counter[tuple[str, bool]] = Counter()
    faults = 0
    seeds = [f"{options.seed}/{number}" for number in range(-(-options.texts // CHUNK))]
    with Pool(options.processes) as pool:
        for number, (found, wrong) in enumerate(pool.imap_unordered(chunk, seeds), 1):
            total += found
            faults += len(wrong)
            for fault in wrong[:8]:
                print(fault.encode("utf-8", "backslashreplace").decode(), flush=True)
            if number % 10 == 0 or number == len(seeds):
                seconds = time.perf_counter() - started
                print(f"{number * CHUNK:,} texts in {seconds:.0f} s, {faults} faults", flush=True)
    for (kind, answered), count in sorted(total.items()):
        print(f"{kind}: {count:,} {'with' if answered else 'without'} an answer")
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
