"""Rows and system prompts of Instruction Backtranslation (arXiv 2308.06259, sections 2.2 and 2.3).

The backward model is trained on seed rows turned round, response → instruction. Seed rows and kept rows carry different
system prompts, so that a model can tell an assistant's answers from a page's text. The wording is ours; it is in
templates/.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from judgeloop.config import BacktranslationSection
from judgeloop.instructions.templates import TemplateLanguage, template, words
from judgeloop.records import Message, SupervisedRow, stable_id

_PACKAGE = "judgeloop.instructions.backtranslation"


def system_prompts(config: BacktranslationSection) -> tuple[str, str]:
    """The system prompts of seed rows and of kept rows."""
    ours = words(_PACKAGE, config.language)
    return (
        config.seed_system_prompt or ours["seed_system_prompt"],
        config.augmented_system_prompt or ours["augmented_system_prompt"],
    )


def empty_request(language: TemplateLanguage) -> str:
    """A request that says nothing about a text, for comparison with one that does (scoring: likelihood)."""
    return words(_PACKAGE, language)["says_nothing"]


def backward_messages(text: str, language: TemplateLanguage) -> list[Message]:
    """What the backward model is asked: the text, then the order to write its request."""
    return [{"role": "user", "content": template(_PACKAGE, "backward", language).format(text=text)}]


def reversed_rows(
    rows: Iterable[SupervisedRow], language: TemplateLanguage
) -> tuple[list[SupervisedRow], dict[str, int]]:
    """IFT rows turned round, response → instruction, and how many cannot be: those of more than one turn."""
    turned = []
    dropped: Counter[str] = Counter()
    for row in rows:
        words = [message for message in row.prompt if message["role"] != "system"]
        if len(words) != 1:
            dropped["more than one turn"] += 1
            continue
        prompt = backward_messages(row.completion[0]["content"], language)
        completion: list[Message] = [{"role": "assistant", "content": words[0]["content"]}]
        turned.append(ift_row(prompt, completion, row.source))
    return turned, dict(dropped)


def with_system(row: SupervisedRow, system_prompt: str) -> SupervisedRow:
    """The row under a system prompt; one that brings its own keeps it."""
    if row.prompt and row.prompt[0]["role"] == "system":
        return row
    prompt: list[Message] = [{"role": "system", "content": system_prompt}, *row.prompt]
    return dataclasses.replace(row, id=stable_id(row.kind, prompt, row.completion), prompt=prompt)


def training_rows(
    seed: Sequence[SupervisedRow], kept: Sequence[SupervisedRow], config: BacktranslationSection
) -> list[SupervisedRow]:
    """M1's IFT rows (`config.train`): the seed as it is, or under its system prompt, and the kept rows."""
    if config.train == "nothing":
        return list(seed)
    if config.train == "make":
        seed = [with_system(row, system_prompts(config)[0]) for row in seed]
    return [*seed, *kept]


def ift_row(prompt: list[Message], completion: list[Message], source: str) -> SupervisedRow:
    """An IFT row, its ids made from its content."""
    return SupervisedRow(
        stable_id("ift", prompt, completion), "ift", stable_id("p", prompt), prompt, completion, source
    )
