"""What no new prompt may hold: the prompts the run is evaluated on, and the evaluation sets that the config names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from judgeloop.config import Config
from judgeloop.data.readers import read_prompts
from judgeloop.records import Message, RankedSet
from judgeloop.stages.context import Context


def user_turns(messages: Sequence[Message]) -> list[str]:
    """What the user says, turn by turn."""
    return [message["content"] for message in messages if message["role"] == "user"]


def evaluated_on(context: Context) -> list[str]:
    """Every user turn of the held-out sets and of the files of evaluation.prompts (beyond evaluation.count
    too) and evaluation.ifeval."""
    said = [text for ranked in context.rows("held_out", RankedSet) for text in user_turns(ranked.messages)]
    for file in context.config.evaluation.prompts:
        said += [text for prompt in read_prompts(Path(file))[0] for text in user_turns(prompt.messages)]
    ifeval = context.config.evaluation.ifeval
    if ifeval is not None:
        from judgeloop.evaluation.ifeval_prompts import read_verifiable

        said += [entry.prompt for entry in read_verifiable(Path(ifeval))]
    return list(dict.fromkeys(said))


def evaluated_prompts(config: Config) -> dict[str, list[list[Message]]]:
    """Every prompt of the files that the run is evaluated on, by file: evaluation.prompts (beyond evaluation.count
    too), evaluation.ifeval and prompts.contamination."""
    files = (*config.evaluation.prompts, *config.prompts.contamination)
    found = {file: [prompt.messages for prompt in read_prompts(Path(file))[0]] for file in files}
    if config.evaluation.ifeval is not None:
        from judgeloop.evaluation.ifeval_prompts import read_verifiable

        entries = read_verifiable(Path(config.evaluation.ifeval))
        found.setdefault(str(config.evaluation.ifeval), []).extend(
            [{"role": "user", "content": entry.prompt}] for entry in entries
        )
    return found


def evaluation_sets(context: Context) -> dict[str, list[str]]:
    """The files of prompts.contamination by name (by path, where two have the same name): every user turn in them."""
    files = context.config.prompts.contamination
    names = Counter(Path(file).name for file in files)
    return {
        Path(file).name if names[Path(file).name] == 1 else file: [
            text for prompt in read_prompts(Path(file))[0] for text in user_turns(prompt.messages)
        ]
        for file in files
    }
