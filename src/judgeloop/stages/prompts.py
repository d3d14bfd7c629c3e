"""New prompts for an iteration: from files, or made by a model."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from judgeloop.config import PromptsSection
from judgeloop.data.readers import read_prompts
from judgeloop.errors import InputError
from judgeloop.instructions.diversity import diversity
from judgeloop.instructions.gate import NEAR, Gate
from judgeloop.jsonl import RowLog, read_rows
from judgeloop.records import Prompt, SupervisedRow, derive_seed
from judgeloop.run.directory import read_json, write_json
from judgeloop.run.stage import Stage
from judgeloop.stages.contamination import evaluated_on, evaluation_sets, user_turns
from judgeloop.stages.context import Context, Outcome, evaluation_prompts, last_words
from judgeloop.stages.keys import ENGINE, of
from judgeloop.stages.task_log import seed_tasks, write_tasks
from judgeloop.text.similarity import NoveltyPool


def new_prompts(context: Context) -> Outcome:
    """Prompts for this iteration, from files or by one of the methods that make them; none is evaluated on. Methods
    that write whole tasks leave tasks.jsonl beside."""
    path = context.output()
    started = time.monotonic()
    account = SOURCES[context.config.prompts.source](context, path)
    rows = read_rows(path, Prompt)
    if not rows:
        raise InputError(
            f"{context.step.model}: no new prompt passed the filters; see {path.with_suffix('.json')}, "
            "raise prompts.max_requests or prompts.max_rouge_l, or give prompts in a file"
        )
    seconds = context.run.spent(context.step) + time.monotonic() - started
    texts = [last_words(row.messages) for row in rows]
    found = {"diversity": diversity(_seed_prompts(context), texts, context.config.seed), "seconds": round(seconds, 2)}
    write_json(path.with_suffix(".json"), {**account, **found})
    return Outcome({"rows": len(rows)})


def _gate(context: Context, seed: Sequence[str]) -> Gate:
    """What every new prompt must pass."""
    return Gate(
        context.config.prompts,
        seed=seed,
        earlier=[last_words(prompt.messages) for prompt in context.rows("earlier", Prompt)],
        avoid=evaluated_on(context),
        evaluation_sets=evaluation_sets(context),
    )


def _seed_prompts(context: Context) -> list[str]:
    """What the run's IFT rows ask, each once."""
    return list(dict.fromkeys(last_words(row.prompt) for row in context.rows("ift", SupervisedRow)))


def _from_files(context: Context, path: Path) -> dict[str, Any]:
    """This iteration's share of the prompts in the files: shuffled by the run's seed, no prompt used twice."""
    section, seed = context.config.prompts, context.config.seed
    kept: dict[str, Prompt] = {}
    dropped: dict[str, int] = {}
    detected = []
    seed_prompts = _seed_prompts(context)
    gate = _gate(context, seed_prompts)
    avoid = {prompt.id for prompt in evaluation_prompts(context)}
    total = 0
    for file in section.files:
        prompts, account = read_prompts(Path(file))
        detected.append(account.detected)
        total += len(prompts)
        for reason, count in account.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        for prompt in prompts:
            why = "evaluation prompt" if prompt.id in avoid else "duplicate" if prompt.id in kept else None
            why = why or _contamination(gate, prompt)
            if why is not None:
                dropped[why] = dropped.get(why, 0) + 1
            else:
                kept[prompt.id] = prompt
    order = sorted(kept.values(), key=lambda prompt: prompt.id)
    random.Random(derive_seed(seed, "prompts", "file")).shuffle(order)
    if section.novelty.of_files:
        order = _novel(order, seed_prompts, section, dropped)
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
            "dropped": dropped, "left_for_later": max(0, len(order) - (number + 1) * section.count),
            **gate.account()}  # fmt: skip


def _contamination(gate: Gate, prompt: Prompt) -> str | None:
    """What shows that an evaluation set holds one of the prompt's turns."""
    signs = (gate.contamination(turn) for turn in user_turns(prompt.messages))
    return next((sign for sign in signs if sign is not None), None)


def _novel(
    prompts: Sequence[Prompt], seed_prompts: Sequence[str], section: PromptsSection, dropped: dict[str, int]
) -> list[Prompt]:
    """Those that come too close to no seed prompt and to none before them; the others are counted."""
    pool = NoveltyPool(section.max_rouge_l)
    for text in seed_prompts:
        pool.add(text, "seed")
    matches = pool.add_novel([last_words(prompt.messages) for prompt in prompts])
    for match in matches:
        if match is not None:
            dropped[NEAR[match.label]] = dropped.get(NEAR[match.label], 0) + 1
    return [prompt for prompt, match in zip(prompts, matches, strict=True) if match is None]


def _few_shot(context: Context, path: Path) -> dict[str, Any]:
    from judgeloop.instructions.few_shot import grow_prompts

    section = context.config.prompts
    demonstrations = _seed_prompts(context)
    gate = _gate(context, demonstrations)
    model = context.model("prompter")
    chat = model.chat()
    engine = model.open(chat)
    with RowLog(path) as log:
        existing = read_rows(path, Prompt)
        stored = path.with_suffix(".json")

        def keep(prompts: Sequence[Prompt], account: dict[str, Any]) -> None:
            log.append(prompts)
            write_json(stored, account)  # after its rows, so that a restart knows how far the counts reach
            context.progress(int(account["kept"]), section.count, f"{account['requests']} requests")

        made = grow_prompts(
            engine,
            chat,
            demonstrations,
            section,
            derive_seed(context.config.seed, "prompts", context.step.model),
            existing,
            keep,
            gate=gate,
            account=read_json(stored) if stored.exists() else None,
        )
    return {**made, **gate.account()}


def _self_instruct(context: Context, _path: Path) -> dict[str, Any]:
    from judgeloop.instructions.self_instruct.method import self_instruct

    gate = _gate(context, [task.instruction for task in seed_tasks(context)])
    made = write_tasks(context, context.model("prompter"), gate, self_instruct)
    return {**made, **gate.account()}


def _unnatural(context: Context, _path: Path) -> dict[str, Any]:
    from judgeloop.instructions.unnatural.method import unnatural_instructions

    gate = _gate(context, [task.instruction for task in seed_tasks(context)])
    made = write_tasks(context, context.model("prompter"), gate, unnatural_instructions)
    return {**made, **gate.account()}


SOURCES: dict[str, Callable[[Context, Path], dict[str, Any]]] = {
    "file": _from_files,
    "few_shot": _few_shot,
    "self_instruct": _self_instruct,
    "unnatural": _unnatural,
}

PROMPTS = Stage(
    "prompts",
    "new prompts",
    run=new_prompts,
    reads=("prompter", "ift", "held_out"),
    may_read=("earlier",),
    writes=("prompts.jsonl", "prompts.json", "tasks.jsonl"),
    keys=("seed", "prompts", *of("evaluation", "prompts", "count"), *ENGINE),
)
