"""The judge that training asks at its checkpoints whether the newer one's answers are better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from judgeloop.engines import open_engine
from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.evaluation.win_rates import Outcome, outcome_of_orders
from judgeloop.jsonl import RowLog, read_objects, read_rows
from judgeloop.judging.pairwise import ToCompare, compare
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Candidate, Preference, Prompt
from judgeloop.stages.context import Context, evaluation_prompts, sampling
from judgeloop.stages.generation import respond

if TYPE_CHECKING:
    from judgeloop.training.early_stopping import Compared


def checkpoint_judge(context: Context) -> Callable[[Path, int, int], Compared] | None:
    """A function (folder of a checkpoint, its step, step of the one before) → outcomes over the held-out prompts, each
    judged in both orders by the reference model; None where the config does not ask for it.

    Rows stand beside the checkpoints and go with them. Raises InputError where there is no held-out prompt.
    """
    section = context.config.train.early_stopping
    if section.every is None:
        return None
    prompts = evaluation_prompts(context.run)[: section.prompts]
    if not prompts:
        raise InputError(
            "train.early_stopping: no held-out prompt to compare checkpoints on; name some in evaluation.prompts, or "
            "set train.early_stopping.every to null"
        )
    chat, initial = context.chat(), context.weights(context.current())

    def answers(folder: Path, beside: Path, step: int) -> dict[str, str]:
        path = beside / f"responses.{step}.jsonl"
        asked = [(prompt, tuple(chat.prompt_ids(prompt.messages))) for prompt in prompts]
        with _opened(context, folder, chat) as engine:
            respond(context, path, engine, asked, 1, sampling(context.config.evaluation.sampling),
                    purpose="early stopping", keep_open=True)  # fmt: skip
        return {row.prompt_id: row.text for row in read_rows(path, Candidate)}

    def judge(folder: Path, step: int, against: int) -> Compared:
        from judgeloop.training.early_stopping import Compared

        newer = answers(folder, folder.parent, step)
        older = answers(initial if against == 0 else folder.parent / f"judged-{against}", folder.parent, against)
        items = [item for prompt in prompts for item in _both_orders(prompt, newer[prompt.id], older[prompt.id])]
        rubric = load_rubric("pairwise", context.config.judge.language)
        path = folder.parent / f"comparisons.{step}.jsonl"
        with RowLog(path) as log, _opened(context, initial, chat) as engine:
            better: dict[str, Preference | None] = {str(row["id"]): row["better"] for _, row in read_objects(path)}
            owed = [item for item in items if item.id not in better]
            for found in compare(engine(), chat, rubric, owed, context.config.judge.min_mass) if owed else ():
                log.append([found])
                better[found.id] = found.better
        outcomes: Counter[Outcome] = Counter(
            outcome_of_orders(better[f"{prompt.id}.first"], better[f"{prompt.id}.second"]) for prompt in prompts
        )
        return Compared(outcomes["win"], outcomes["tie"], outcomes["lose"], outcomes["unparsed"])

    return judge


def _both_orders(prompt: Prompt, newer: str, older: str) -> tuple[ToCompare, ToCompare]:
    return (
        ToCompare(f"{prompt.id}.first", prompt.messages, newer, older),
        ToCompare(f"{prompt.id}.second", prompt.messages, older, newer),
    )


@contextmanager
def _opened(context: Context, folder: Path, chat: Chat) -> Iterator[Callable[[], Engine]]:
    """An engine on the model in `folder`, loaded when it is first asked for; files it makes stand in the folder."""
    opened: list[Engine] = []

    def engine() -> Engine:
        if not opened:
            config = context.config
            beside = folder.parent if folder.name == "model" else folder
            opened.append(
                open_engine(
                    config.engine,
                    folder,
                    chat,
                    work_dir=beside / "engine",
                    threads=config.threads,
                    seed=config.seed,
                    trust_remote_code=config.trust_remote_code,
                )
            )
        return opened[0]

    try:
        yield engine
    finally:
        for loaded in opened:
            loaded.close()
