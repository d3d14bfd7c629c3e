"""The judge that training asks at its checkpoints whether the newer one's answers are better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from judgeloop.engines.base import Engine
from judgeloop.jsonl import read_rows
from judgeloop.judging.pairwise import ToCompare
from judgeloop.models.chat import Chat
from judgeloop.records import Candidate, Prompt, RankedSet
from judgeloop.stages.checkpoint_prompts import checkpoint_prompts
from judgeloop.stages.context import Context, sampling
from judgeloop.stages.fitting import fitting
from judgeloop.stages.generation import respond
from judgeloop.stages.judges import open_judge
from judgeloop.stages.models import Model

if TYPE_CHECKING:
    from judgeloop.training.early_stopping import Compared


def checkpoint_judge(context: Context) -> Callable[[Path, int, int], Compared] | None:
    """A function (folder of a checkpoint, its step, step of the one before) → outcomes over the held-out prompts, each
    judged in both orders by the reference model; None if the config does not ask for it.

    Rows are beside the checkpoints and go with them. Raises InputError if there are too few prompts for it.
    """
    section = context.config.train.early_stopping
    if section.every is None:
        return None
    reference = context.model("reference")
    chat = reference.chat()
    how = sampling(context.config.evaluation.sampling)
    drawn = checkpoint_prompts(context.config, context.rows("held_out", RankedSet))
    asked, _ = fitting(reference.name, chat, drawn, how.max_new_tokens, "train.early_stopping: prompts")
    prompts = [prompt for prompt, _ in asked]

    def answers(weights: Path | None, beside: Path, step: int) -> dict[str, str]:
        path = beside / f"responses.{step}.jsonl"
        with _opened(reference, chat, weights) as engine:
            respond(context, path, engine, chat, asked, 1, how, purpose="early stopping", keep_open=True)
        return {row.prompt_id: row.text for row in read_rows(path, Candidate)}

    def judge(folder: Path, step: int, against: int) -> Compared:
        from judgeloop.evaluation.win_rates import Outcome, outcome_of_orders
        from judgeloop.training.early_stopping import Compared

        newer = answers(folder, folder.parent, step)
        before = None if against == 0 else folder.parent / f"judged-{against}"
        older = answers(before, folder.parent, against)
        items = [item for prompt in prompts for item in _both_orders(prompt, newer[prompt.id], older[prompt.id])]
        with open_judge(context, "reference") as judge:
            found = judge.compare(folder.parent / f"comparisons.{step}.jsonl", items)
        outcomes: Counter[Outcome] = Counter(
            outcome_of_orders(found[f"{prompt.id}.first"].better, found[f"{prompt.id}.second"].better)
            for prompt in prompts
        )
        return Compared(outcomes["win"], outcomes["tie"], outcomes["lose"], outcomes["unparsed"])

    return judge


def _both_orders(prompt: Prompt, newer: str, older: str) -> tuple[ToCompare, ToCompare]:
    return (
        ToCompare(f"{prompt.id}.first", prompt.messages, newer, older),
        ToCompare(f"{prompt.id}.second", prompt.messages, older, newer),
    )


@contextmanager
def _opened(reference: Model, chat: Chat, weights: Path | None) -> Iterator[Callable[[], Engine]]:
    """An engine on the reference's or a checkpoint's weights, loaded when it is first asked for."""
    opened: list[Engine] = []

    def engine() -> Engine:
        if not opened:
            opened.append(reference.open(chat, weights))
        return opened[0]

    try:
        yield engine
    finally:
        for loaded in opened:
            loaded.close()
