"""Did the quickstart's models get better, by rules that the loop never saw?

    python benchmarks/quickstart_truth.py RUN

Checks the held-out responses of a finished quickstart with the rules of its prompts (benchmarks/verifiable_track.py):
share that obeys the rule, is finished and not degenerate, with a bootstrap interval over prompts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from judgeloop.evaluation.stats import mean_interval
from judgeloop.records import Candidate, Prompt, read_objects, read_rows
from verifiable_track import Task, passes

PROMPTS = Path(__file__).resolve().parent.parent / "configs" / "quickstart_eval.jsonl"


def tasks() -> dict[str, Task]:
    """Prompt id → the task it was made from."""
    found = {}
    for _, row in read_objects(PROMPTS):
        prompt = Prompt.of([{"role": "user", "content": row["prompt"]}], "")
        found[prompt.id] = Task(row["topic"], "", row["rule"], "", row["args"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    known = tasks()
    print(f"{'model':<6} {'obeys the rule':>24}  prompts")
    for folder in sorted(run.glob("M*")):
        path = folder / "eval.responses.jsonl"
        if not path.exists():
            continue
        by_prompt: dict[str, list[bool]] = {}
        for row in read_rows(path, Candidate):
            good = passes(known[row.prompt_id], row.text, row.finish_reason == "stop")
            by_prompt.setdefault(row.prompt_id, []).append(good)
        rate = mean_interval([sum(flags) / len(flags) for flags in by_prompt.values()], seed=0)
        if rate is not None:
            print(f"{folder.name:<6} {rate.value:8.3f} ({rate.low:.3f}-{rate.high:.3f})  {rate.n:>7}")


if __name__ == "__main__":
    main()
