"""Make test prompts of the verifiable track over topics that none of its files uses: benchmarks/data/fresh_test.jsonl
and fresh_held_out_test.jsonl, for a round of measurements that nothing was chosen by.

    python benchmarks/make_fresh_test.py [--out benchmarks/data]

Derived from a fixed seed. No topic shares a word, up to its ending, with one of seed, loop, development or test.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from make_verifiable_seed import write

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "configs" / "verifiable"))

from verifiable_rules import HELD_OUT, stems
from verifiable_topics import DEVELOPMENT, LOOP, SEED, TEST, topics
from verifiable_track import make_tasks

FRESH = """
leopards; gorillas; ostriches; pelicans; walruses; hamsters; iguanas; termites; dragonflies; caterpillars; starfish;
oysters; sardines; pineapples; apricots; blueberries; coconuts; avocados; broccoli; turnips; asparagus; cashews;
vanilla; maple syrup; lasagna; pretzels; omelets; marmalade; hurricanes; drizzle; twilight; fjords; oases; peninsulas;
quicksand; groves; pastures; constellations; nebulas; binoculars; hourglasses; padlocks; mattresses; notebooks; pencils;
suitcases; mittens; doorbells; helicopters; tricycles; gondolas; escalators; curtains; chimneys; monasteries; theme
parks; aquariums; saxophones; accordions; choirs; ceramics; calligraphy; surfing; badminton; snooker; modesty;
curiosity; optimism
"""
SEED_OF_THE_ROUND = 40
FILES = {"fresh_test": (240, None), "fresh_held_out_test": (60, HELD_OUT)}


def clashes() -> list[tuple[str, str]]:
    """Topics that share a word, up to its ending, with one that was used before."""
    before = [topic for listed in (SEED, LOOP, DEVELOPMENT, TEST) for topic in topics(listed)]
    used = {stem: topic for topic in before for stem in stems(topic)}
    return [(topic, used[stem]) for topic in topics(FRESH) for stem in stems(topic) if stem in used]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "data")
    options = parser.parse_args()
    if found := clashes():
        sys.exit(f"topics that were used before: {found}")
    options.out.mkdir(parents=True, exist_ok=True)
    for number, (name, (count, rules)) in enumerate(FILES.items()):
        tasks = make_tasks(topics(FRESH), count, SEED_OF_THE_ROUND + number, *([] if rules is None else [rules]))
        write(options.out / f"{name}.jsonl", [task.row() for task in tasks])


if __name__ == "__main__":
    main()
