"""New prompts for an iteration: from files, or made by the model itself."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.records import Prompt, RowLog, SupervisedRow, derive_seed, read_rows
from judgeloop.rundir import read_json, write_json
from judgeloop.seed.readers import read_prompts
from judgeloop.stages.context import Context, Outcome, evaluation_prompts, last_words


def new_prompts(context: Context) -> Outcome:
    """Prompts for this iteration, from files or from the current model itself; none of them is evaluated on."""
    path = context.folder / "prompts.jsonl"
    started = time.monotonic()
    account = _from_files(context, path) if context.config.prompts.source == "file" else _few_shot(context, path)
    rows = read_rows(path, Prompt)
    if not rows:
        raise InputError(
            f"{context.step.model}: no new prompt passed the filters; see {path.with_suffix('.json')}, "
            "raise prompts.max_requests or prompts.max_rouge_l, or give prompts in a file"
        )
    write_json(path.with_suffix(".json"), {**account, "seconds": round(time.monotonic() - started, 2)})
    return Outcome(("prompts.jsonl",), {"rows": len(rows)})


def _earlier_prompts(context: Context) -> list[Prompt]:
    """Prompts of the iterations before this one."""
    found: list[Prompt] = []
    for number in range(2, int(context.step.model[1:])):
        found += read_rows(context.run.folder(f"M{number}") / "prompts.jsonl", Prompt)
    return found


def _from_files(context: Context, path: Path) -> dict[str, Any]:
    """This iteration's share of the prompts in the files: shuffled by the run's seed, no prompt used twice."""
    section, seed = context.config.prompts, context.config.seed
    kept: dict[str, Prompt] = {}
    dropped: dict[str, int] = {}
    detected = []
    avoid = {prompt.id for prompt in evaluation_prompts(context.run)}
    total = 0
    for file in section.files:
        prompts, account = read_prompts(Path(file))
        detected.append(account.detected)
        total += len(prompts)
        for reason, count in account.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        for prompt in prompts:
            why = "evaluation prompt" if prompt.id in avoid else "duplicate" if prompt.id in kept else None
            if why is not None:
                dropped[why] = dropped.get(why, 0) + 1
            else:
                kept[prompt.id] = prompt
    order = sorted(kept.values(), key=lambda prompt: prompt.id)
    random.Random(derive_seed(seed, "prompts", "file")).shuffle(order)
    number = int(context.step.model[1:]) - 2
    chosen = order[number * section.count : (number + 1) * section.count]
    if not chosen:
        raise InputError(
            f"prompts.files: {len(order)} usable prompts are used up before {context.step.model}; "
            "lower prompts.count or add prompts"
        )
    path.unlink(missing_ok=True)
    with RowLog(path) as log:
        log.append(chosen)
    return {"source": "file", "detected": detected, "asked": section.count, "got": total, "kept": len(chosen),
            "dropped": dropped, "left_for_later": max(0, len(order) - (number + 1) * section.count)}  # fmt: skip


def _few_shot(context: Context, path: Path) -> dict[str, Any]:
    from judgeloop.instructions.few_shot import grow_prompts

    section = context.config.prompts
    seed_rows = read_rows(context.run.folder("M1") / "ift.jsonl", SupervisedRow)
    demonstrations = list(dict.fromkeys(last_words(row.prompt) for row in seed_rows))
    chat = context.chat()
    engine = context.engine(context.current(), chat)
    with RowLog(path) as log:
        existing = read_rows(path, Prompt)
        stored = path.with_suffix(".json")

        def keep(prompts: Sequence[Prompt], account: dict[str, Any]) -> None:
            log.append(prompts)
            write_json(stored, account)  # after its rows, so that a restart knows how far the counts reach
            context.progress(int(account["kept"]), section.count, f"{account['requests']} requests")

        return grow_prompts(
            engine,
            chat,
            demonstrations,
            section,
            derive_seed(context.config.seed, "prompts", context.step.model),
            existing,
            keep,
            earlier=[last_words(prompt.messages) for prompt in _earlier_prompts(context)],
            avoid=[last_words(prompt.messages) for prompt in evaluation_prompts(context.run)],
            account=read_json(stored) if stored.exists() else None,
        )
