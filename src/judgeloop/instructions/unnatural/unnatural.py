"""Unnatural Instructions (arXiv 2212.09689, §2): examples of tasks elicit another one, with its input and constraints;
its output is written greedily in a second pass; then its instruction is put in other words."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, ClassVar

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Sampling
from judgeloop.instructions.filters import is_request, lacks_input, repeats_itself
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import Completion, Draft, Method, Shown
from judgeloop.instructions.self_instruct.task_form import task_form
from judgeloop.instructions.unnatural.elicitation import elicit_fields
from judgeloop.instructions.unnatural.example_form import (
    example_form,
    listed_examples,
    parse_examples,
    shipped_tasks,
)
from judgeloop.instructions.unnatural.rephrase import Formulation, rephrased
from judgeloop.instructions.yield_counts import YieldCounts
from judgeloop.records import Task, derive_seed
from judgeloop.text.language import language_of
from judgeloop.text.tokens import rouge_l, tokens_of

LARGEST_BATCH = 64  # twice as many requests as tasks are missing, but no more, unless the config asks for more
LONGEST_DEMONSTRATION = 80  # words, or characters of scripts that count by characters
COPY = 0.9  # ROUGE-L F above which an example is one of its demonstrations again


@dataclass(slots=True)
class ExampleDraft(Draft):
    """A task on its way, and its other formulations."""

    formulations: list[Formulation] = field(default_factory=list)


class Unnatural(Method[ExampleDraft]):
    """Every request shows `unnatural.demonstrations` examples: hand-written ones, seed tasks and, if the config asks
    for them, tasks made before.

    An example is dropped if a field is missing, if it is a copy, if the filters or the gate refuse its instruction, and
    if its output is empty, cut off or its input again. A task that is kept has the source "unnatural:<request>"; its
    other formulations come on top of `config.count`, "unnatural:<request>.alt<k>", and have counts of their own in the
    account: alternatives (asked, kept, dropped, samples). The steps are examples, outputs and alternatives.
    """

    name: ClassVar[str] = "unnatural"
    step: ClassVar[str] = "examples"

    def __init__(self, prompter: Prompter, seed_tasks: Sequence[Task], config: PromptsSection, gate: Gate) -> None:
        super().__init__(prompter, seed_tasks, config, gate)
        self._form = example_form(config.language)
        self._shipped = shipped_tasks(config.language)
        for task in self._shipped:
            gate.add(task.instruction, "seed")
        self._seed_tasks = [task for task in seed_tasks if len(_words(task)) <= LONGEST_DEMONSTRATION]
        self._known: set[tuple[str, str]] = set()
        self._asked_alternatives = 0
        self._alternatives = YieldCounts()

    def batch_size(self) -> int:
        return max(super().batch_size(), min(LARGEST_BATCH, 2 * self.missing))

    def show(self, number: int) -> Shown:
        tasks, section = self._demonstrations(number), self.config.sampling
        total = len(tasks) + self.config.unnatural.examples
        stop = (f"\n{self._form.example} {total + 1}",)
        sampling = Sampling(section.max_new_tokens, section.temperature, section.top_p, section.top_k, stop)
        order = self._form.examples_order.format(count=total)
        return Shown(order, listed_examples(tasks, self._form), sampling, tuple(tasks))

    def _demonstrations(self, number: int) -> list[Task]:
        section = self.config.unnatural
        rng = random.Random(derive_seed(self.prompter.seed, self.name, "demonstrations", number))
        own = rng.sample(self.kept, min(section.own_demonstrations, len(self.kept)))
        wanted = section.demonstrations - section.shipped_demonstrations - len(own)
        # The method is about tasks with an input; others are shown only if the seed has too few of those.
        with_input = [task for task in self._seed_tasks if task.input]
        pool = with_input if len(with_input) >= wanted else self._seed_tasks
        tasks = [*own, *rng.sample(pool, min(wanted, len(pool)))]
        tasks += rng.sample(self._shipped, min(section.demonstrations - len(tasks), len(self._shipped)))
        rng.shuffle(tasks)
        return tasks

    def completions(self, shown: Mapping[str, Shown]) -> list[Completion]:
        if self.config.unnatural.fields == "together":
            return super().completions(shown)
        return elicit_fields(self.prompter, shown, self._form, self.step)

    def read(self, completion: Completion) -> list[ExampleDraft]:
        drafts = []
        for k, example in enumerate(parse_examples(completion.text, self._form, completion.finished)):
            task = example.as_task(f"{completion.name}.{k}" if k else completion.name)
            drafts.append(ExampleDraft(task, example.reason or self._fault(task, completion.shown.tasks)))
        return drafts

    def _fault(self, task: Task, demonstrations: Sequence[Task]) -> str | None:
        """Why a whole example is dropped all the same, before it has an output."""
        words = _words(task)
        if any(rouge_l(words, _words(other)) > COPY for other in demonstrations):
            return "copied from a demonstration"
        fields = [tokens_of(text) for text in (task.instruction, task.input, task.constraints) if text]
        if any(left == right for left, right in combinations(fields, 2)):
            return "one field repeats another"
        if repeats_itself(task.input) or repeats_itself(task.constraints):
            return "repeats itself"
        return self._refusal(task)

    def _refusal(self, task: Task) -> str | None:
        if not task.input and lacks_input(task.instruction):
            return "announces an input that is missing"
        # The Chinese rule is a list of words that requests have, too short for tasks of every kind.
        if language_of(task.instruction) == "en" and not is_request(task.instruction):
            return "states instead of asking"
        if (task.instruction, task.input) in self._known:
            return "same instruction and input as a task already kept"
        refused = self.gate.refusal(task.instruction, has_input=bool(task.input))
        return refused or self.gate.contamination(task.messages()[0]["content"])

    def follow_up(self, drafts: Sequence[ExampleDraft]) -> Iterator[ExampleDraft]:
        section = self.config.unnatural
        if section.outputs:
            self._write_outputs([draft for draft in drafts if draft.reason is None])
        if section.alternatives:
            sound = [draft for draft in drafts if draft.reason is None]
            found = rephrased(self.prompter, [draft.task for draft in sound], self.config)
            for draft, formulations in zip(sound, found, strict=True):
                draft.formulations = formulations
        for draft in drafts:
            if draft.reason is None and self.missing > 0:
                draft.reason = self._refusal(draft.task)  # again: tasks of the batch have been kept in between
                if draft.reason is None:
                    draft.rows = [draft.task, *self._sound_formulations(draft)]
            yield draft

    def _write_outputs(self, drafts: Sequence[ExampleDraft]) -> None:
        """The second pass, greedy: instruction, input and constraints as one question, and the model's answer."""
        section = self.config.unnatural
        sampling = Sampling(section.output_tokens)
        brief = task_form(self.config.language).brief if section.brief else ""
        requests = []
        for draft in drafts:
            asked = replace(draft.task, constraints=draft.task.constraints or brief)
            requests.append(self.prompter.answer(draft.task.source, asked.messages(), sampling, "outputs"))
        generations = self.prompter.generate(requests, "outputs")
        for draft in drafts:
            task = draft.task
            (generation,) = generations[task.source]
            output = generation.text.strip()
            draft.task = Task.of(task.instruction, task.input, output, task.source, constraints=task.constraints)
            if not output:
                draft.reason = "output is empty"
            elif generation.finish_reason == "length":
                draft.reason = "output cut off by length"
            elif tokens_of(output) in (tokens_of(task.input), tokens_of(task.instruction)):
                draft.reason = "output repeats the input"

    def _sound_formulations(self, draft: ExampleDraft) -> list[Task]:
        """The formulations that pass; each is counted. One is near its original by nature, so it is compared with
        everything else."""
        rows = []
        for formulation in draft.formulations:
            row = formulation.task
            fault = formulation.reason if row is None else self._refusal(row)
            sample = f"{draft.task.instruction} → {formulation.line}"
            if row is None or fault is not None:
                self._alternatives.drop(str(fault), sample)
            else:
                self._alternatives.keep(sample)
                rows.append(row)
        self._asked_alternatives += len(draft.formulations)
        return rows

    def remember(self, row: Task) -> None:
        self._known.add((row.instruction, row.input))
        if self.config.unnatural.novelty:
            self.gate.add(row.instruction)

    def counts(self, row: Task) -> bool:
        return ".alt" not in row.source

    def sample(self, draft: ExampleDraft) -> str:
        task = draft.task
        return " | ".join([task.instruction, task.input or "-", task.constraints or "-", task.output or "-"])

    def account(self) -> dict[str, Any]:
        return {
            "alternatives": {"asked": self._asked_alternatives, **self._alternatives.as_account()},
            "seed_tasks_too_long_to_show": len(self.seed_tasks) - len(self._seed_tasks),
        }

    def restore(self, account: Mapping[str, Any]) -> None:
        self._asked_alternatives = account["alternatives"]["asked"]
        self._alternatives = YieldCounts(account["alternatives"])


def _words(task: Task) -> list[str]:
    return tokens_of(f"{task.instruction} {task.input}")
