"""IFEval's prompts in an evaluation: answers, and which of their instructions a program finds followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from judgeloop.engines.base import Engine, Sampling
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.models.chat import Chat
from judgeloop.records import Candidate, Prompt, VerifiedAnswer
from judgeloop.stages.context import Context
from judgeloop.stages.fitting import fitting
from judgeloop.stages.generation import respond

ANSWERS, VERIFIED = IFEVAL_ROWS = ("eval.ifeval", "eval.ifeval.checks")


def verified(context: Context, engine: Callable[[], Engine], chat: Chat) -> tuple[dict[str, Any], Mapping[str, float]]:
    """How many verifiable instructions the model follows (greedy answers), and on which prompts it follows all."""
    from judgeloop.evaluation.ifeval_prompts import read_verifiable
    from judgeloop.evaluation.verifiable import InstructionChecker, followed, summarise

    section = context.config.evaluation
    checker = InstructionChecker()  # before anything is generated: it may not be installed
    asked = {entry.id: entry for entry in read_verifiable(Path(str(section.ifeval)))[: section.ifeval_count]}
    prompts = [Prompt(name, [{"role": "user", "content": entry.prompt}], "IFEval") for name, entry in asked.items()]
    how = Sampling(section.ifeval_max_new_tokens)
    what = f"{context.step.name}: IFEval prompts"
    ids, left_out = fitting(context.model("policy").name, chat, prompts, how.max_new_tokens, what)
    respond(context, context.output(ANSWERS), engine, chat, ids, 1, how, purpose="ifeval", keep_open=True)
    given = {row.prompt_id: row for row in read_rows(context.output(ANSWERS), Candidate)}
    checked = {prompt.id: checker.check(asked[prompt.id], given[prompt.id].text) for prompt, _ in ids}
    write_rows_atomically(
        context.output(VERIFIED),
        [
            VerifiedAnswer(
                given[prompt.id].id, prompt.id, prompt.messages, [found.as_dict() for found in checked[prompt.id]]
            )
            for prompt, _ in ids
        ],
    )
    whole = {name: followed(row) for name, row in checked.items()}
    figures = {
        **summarise(list(checked.values()), seed=context.config.seed, resamples=section.bootstrap),
        "max_new_tokens": section.ifeval_max_new_tokens,
        **({"prompts_left_out": left_out} if left_out else {}),
        "cut_off": sum(given[name].finish_reason == "length" for name in checked),
    }
    return figures, {name: float(all_followed) for name, all_followed in whole.items() if all_followed is not None}
