"""New prompts for an iteration: from files, or made by a model."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judgeloop.config import PromptsSection
from judgeloop.config.choices import INSTRUCTION_METHODS
from judgeloop.data.readers import read_prompts
from judgeloop.errors import InputError
from judgeloop.instructions.batch_log import SHOWN, BatchLog
from judgeloop.instructions.diversity import diversity
from judgeloop.instructions.gate import NEAR, Gate
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import Method, search
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.records import Prompt, SupervisedRow, Task, derive_seed
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Stage
from judgeloop.seed.tasks import tasks_of
from judgeloop.stages import costs
from judgeloop.stages.contamination import evaluated_on, evaluation_sets, user_turns
from judgeloop.stages.context import Context, Outcome, evaluation_prompts, last_words
from judgeloop.stages.keys import ENGINE, of
from judgeloop.text.similarity import NoveltyPool

FEWER = "lower prompts.count and prompts.later_counts, or add prompts"


def new_prompts(context: Context) -> Outcome:
    """Prompts for this iteration, from files or by the method that the config names; none is evaluated on. A method
    that writes whole tasks leaves them in tasks.jsonl, and every method its demonstrations in demonstrations.jsonl."""
    path = context.output()
    started = time.monotonic()
    source = context.config.prompts.source
    account = _from_files(context, path) if source == "file" else _by_method(context, source)
    rows = read_rows(path, Prompt)
    if not rows:
        raise InputError(
            f"{context.step.model}: no new prompt passed the filters; see {context.output('prompts.json')}, "
            "raise prompts.max_requests or prompts.max_rouge_l, or give prompts in a file"
        )
    seconds = context.run.spent(context.step) + time.monotonic() - started
    texts = [last_words(row.messages) for row in rows]
    found = diversity(list(_seed_prompts(context)), texts, context.config.seed)
    write_json(context.output("prompts.json"), {**account, "diversity": found, "seconds": round(seconds, 2)})
    return Outcome({"rows": len(rows)})


def _by_method(context: Context, source: str) -> dict[str, Any]:
    """Let the prompter write by a method until there are enough; returns the account."""
    method: type[Method[Any]] = INSTRUCTION_METHODS[source]
    if getattr(method, "name", None) != source:
        raise InputError(f"prompts.source: what is registered as '{source}' is no Method of that name; set its `name`")
    section, config = context.config.prompts.of_model(context.step.model), context.config
    seed = _seed_tasks(context, whole_tasks=method.whole_tasks)
    gate = _gate(context, [task.instruction for task in seed])
    model = context.model("prompter")
    chat = model.chat()
    engine = model.open(chat)
    prompter = Prompter(engine, chat, derive_seed(config.seed, "prompts", context.step.model))
    with BatchLog(context.folder, whole_tasks=method.whole_tasks) as log:
        account = search(
            method(prompter, seed, section, gate),
            log,
            lambda kept, requests: context.progress(kept, section.count, f"{requests} requests"),
        )
    engine.close()
    log.write_prompts()
    return {**account, "rows": log.rows, **gate.account()}


def _seed_tasks(context: Context, *, whole_tasks: bool) -> list[Task]:
    """The run's IFT rows, to be shown as examples: as tasks with their parts, or each prompt as one instruction.
    Held-out and EFT prompts are not among them."""
    if not whole_tasks:
        return [Task.of(text, "", "", source) for text, source in _seed_prompts(context).items()]
    return tasks_of(context.rows("ift", SupervisedRow), context.config.seed_data.ift)


def _gate(context: Context, seed: Sequence[str]) -> Gate:
    """What every new prompt must pass."""
    return Gate(
        context.config.prompts,
        seed=seed,
        earlier=[last_words(prompt.messages) for prompt in context.rows("earlier", Prompt)],
        avoid=evaluated_on(context),
        evaluation_sets=evaluation_sets(context),
    )


def _seed_prompts(context: Context) -> dict[str, str]:
    """What the run's IFT rows ask, each once, and the source of the first row that asks it."""
    found: dict[str, str] = {}
    for row in context.rows("ift", SupervisedRow):
        found.setdefault(last_words(row.prompt), row.source)
    return found


def _from_files(context: Context, path: Path) -> dict[str, Any]:
    """This iteration's share of the prompts in the files: shuffled by the run's seed, no prompt used twice."""
    section, seed = context.config.prompts, context.config.seed
    kept: dict[str, Prompt] = {}
    dropped: dict[str, int] = {}
    detected = []
    seed_prompts = list(_seed_prompts(context))
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
    *earlier, asked = section.counts(context.iteration())
    used = sum(earlier)
    chosen = order[used : used + asked]
    if not chosen:
        raise InputError(
            f"prompts.files: none of {len(order)} usable prompts is left for {context.step.model}; {FEWER}"
        )
    write_rows_atomically(path, chosen)
    return {"source": "file", "detected": detected, "asked": asked, "got": total, "kept": len(chosen),
            "dropped": dropped, "left_for_later": max(0, len(order) - used - asked), **gate.account()}  # fmt: skip


def shares(section: PromptsSection, there: int, iterations: int) -> list[str]:
    """What to say before anything is trained if the files hold fewer prompts than the iterations ask for: a line for
    each iteration that has fewer. Raises InputError if one has none."""
    lines, left = [], there
    for number, asked in enumerate(section.counts(iterations), start=2):
        if left <= 0:
            raise InputError(
                f"prompts.files: none of {there} usable prompts is left for M{number}; {FEWER}, or lower iterations"
            )
        if left < asked:
            lines.append(f"prompts.files: M{number} asks for {asked} prompts, and at most {left} are left")
        left -= asked
    return lines


def _contamination(gate: Gate, prompt: Prompt) -> str | None:
    """What shows that an evaluation set contains one of the prompt's turns."""
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


PROMPTS = Stage(
    "prompts",
    "new prompts",
    run=new_prompts,
    cost=costs.new_prompts,
    reads=("prompter", "ift", "held_out"),
    may_read=("earlier",),
    writes=("prompts.jsonl", "prompts.json", "tasks.jsonl", SHOWN),
    keys=("seed", "prompts", *of("evaluation", "prompts", "count", "ifeval"), *ENGINE),
)
