"""The same task in other words (Unnatural Instructions, arXiv 2212.09689, §2.3): two demonstrations of a task and
another formulation of it, then the task, and the model writes formulations that say where the input goes."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Sampling
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.templates import TemplateLanguage
from judgeloop.instructions.unnatural.example_form import example_form, shipped_rephrasings
from judgeloop.records import Task, derive_seed
from judgeloop.text.language import ENGLISH_WORDS
from judgeloop.text.tokens import by_characters, rouge_l, tokens_of

INPUT = "{INPUT}"
DEMONSTRATIONS = 2
STEP = "alternatives"
_LEAST_TOKENS = 3  # of a formulation without its input
_PLACE = re.compile(r"[{\[<（(]\s*(?:INPUT|输入)\s*[}\]>）)]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Formulation:
    """One that the model wrote: its line, with the placeholder, and the task it makes, or why it makes none."""

    line: str
    task: Task | None
    reason: str | None


def rephrased(prompter: Prompter, tasks: Sequence[Task], config: PromptsSection) -> list[list[Formulation]]:
    """`config.unnatural.alternatives` formulations of every task, in the order of the tasks.

    The formulation k of a task has the source "<the task's>.alt<k>".
    """
    section, language = config.unnatural, config.language
    sampling = Sampling(
        config.sampling.max_new_tokens,
        config.sampling.temperature,
        config.sampling.top_p,
        config.sampling.top_k,
        stop_strings=("\n",),
    )
    requests = []
    for task in tasks:
        shown = listing(task, language, random.Random(derive_seed(prompter.seed, STEP, task.source)))
        requests.append(
            prompter.continuation(
                task.source, example_form(language).rephrase_order, shown, sampling, STEP, section.alternatives
            )
        )
    generations = prompter.generate(requests, STEP)
    found = []
    for task, request in zip(tasks, requests, strict=True):
        formulations: list[Formulation] = []
        for k, generation in enumerate(generations[request.id]):
            line, reason = read_formulation(generation.text, task, generation.finish_reason == "stop")
            if reason is None:
                others = [other.line for other in formulations if other.task is not None]
                reason = wording_fault(
                    line, task, others, section.alternative_max_rouge_l, section.alternative_max_length, language
                )
            made = formulated(line, task, f"{task.source}.alt{k}") if reason is None else None
            formulations.append(Formulation(line, made, reason))
        found.append(formulations)
    return found


def listing(task: Task, language: TemplateLanguage, rng: random.Random) -> str:
    """Two demonstrations (with an input if the task has one, else without) and the task, its formulation open.

    The input itself is not shown, only its place: a small model that sees it answers instead.
    """
    rows = [row for row in shipped_rephrasings(language) if (INPUT in row["alternative"]) == bool(task.input)]
    shown = [
        _entry(row["instruction"], bool(task.input), language) + row["alternative"]
        for row in rng.sample(rows, DEMONSTRATIONS)
    ]
    return "\n\n".join([*shown, _entry(task.instruction, bool(task.input), language).rstrip(" ")])


def _entry(instruction: str, has_input: bool, language: TemplateLanguage) -> str:
    form = example_form(language)
    words = " ".join(instruction.split())
    if has_input:
        words += (" " if form.colon.endswith(" ") else "") + INPUT
    return f"{form.instruction}{form.colon}{words}\n{form.other_wording}{form.colon}"


def read_formulation(text: str, task: Task, finished: bool) -> tuple[str, str | None]:
    """The formulation in a completion, and why it is none, or None.

    It is the first line. If it contains the input word for word, the placeholder takes its place. One that lost the
    input of its task, or asks for one though the task has none, is malformed.
    """
    lines = text.strip().splitlines()
    if not lines:
        return "", "empty"
    if not finished and len(lines) == 1:
        return lines[0], "cut off by length"
    line = _PLACE.sub(INPUT, lines[0].strip())
    if task.input and INPUT not in line and task.input in line:
        line = line.replace(task.input, INPUT, 1)
    if bool(task.input) != (INPUT in line):
        return line, "lost the input" if task.input else "asks for an input that the task has not"
    if line.count(INPUT) > 1:
        return line, "contains the input twice"
    return line, None


def wording_fault(
    line: str, task: Task, others: Sequence[str], max_rouge_l: float, max_length: float, language: TemplateLanguage
) -> str | None:
    """Why a formulation adds nothing to the original and its other formulations, or None.

    Compared are the words without the input, since all have that in common.
    """
    words, original = _wording(line), tokens_of(task.instruction)
    if len(words) < _LEAST_TOKENS:
        return "too short"
    if rouge_l(words, original) > max_rouge_l:
        return "too close to the original"
    if any(rouge_l(words, _wording(other)) > max_rouge_l for other in others):
        return "too close to another formulation"
    if any(rouge_l(words, _wording(row["alternative"])) > max_rouge_l for row in shipped_rephrasings(language)):
        return "copied from a demonstration"
    if len(words) > max_length * len(original):
        return "too long"
    if not _subject(words) & _subject(original):
        return "shares no word with the original"
    return None


def _wording(line: str) -> list[str]:
    return tokens_of(line.replace(INPUT, " "))


def _subject(tokens: Sequence[str]) -> set[str]:
    """What a text is about, roughly: beginnings of its longer words but for those of every sentence, or pairs of
    characters."""
    if by_characters(tokens):
        return {left + right for left, right in pairwise(tokens)}
    return {token[:5] for token in tokens if len(token) > 3 and token not in ENGLISH_WORDS} or set(tokens)


def formulated(line: str, task: Task, source: str) -> Task:
    """A formulation as a task: its input apart if the placeholder ends it, else filled in. Constraints, output and
    kind are the original's, since the task is the same."""
    instruction, input = line, ""
    if line.endswith(INPUT):
        instruction, input = line.removesuffix(INPUT).rstrip(), task.input
    elif INPUT in line:
        instruction = line.replace(INPUT, task.input)
    return Task.of(
        instruction, input, task.output, source, constraints=task.constraints, classification=task.classification
    )
