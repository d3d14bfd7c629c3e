"""Unnatural Instructions (arXiv 2212.09689, §2): examples of tasks elicit another one, with its input and constraints;
its output is written greedily in a second pass; then its instruction is put in other words."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Engine, Sampling
from judgeloop.errors import InputError
from judgeloop.instructions.backtranslation.method import is_request
from judgeloop.instructions.filters import goes_round, lacks_input
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.prompter import Asking
from judgeloop.instructions.self_instruct.form import FORMS as ORDERS
from judgeloop.instructions.unnatural.elicitation import elicit
from judgeloop.instructions.unnatural.example_form import FORMS, parse_examples, shipped_tasks
from judgeloop.instructions.unnatural.rephrase import Formulation, rephrased
from judgeloop.instructions.yield_counts import Tally
from judgeloop.models.chat import Chat
from judgeloop.records import Task, derive_seed
from judgeloop.text.language import language_of
from judgeloop.text.tokens import rouge_l, tokens_of

SOURCE = "unnatural"
# Requests answered before rows are kept: twice as many as tasks are wanted still, within these bounds. The rows depend
# on that, on the seed and on nothing else: neither on the order in which generations finish nor on a kill.
SMALLEST_BATCH, LARGEST_BATCH = 16, 64
REQUESTS_PER_TASK = 20
LONGEST_DEMONSTRATION = 80  # words, or characters of scripts that count by characters
COPY = 0.9  # ROUGE-L F above which an example is a demonstration over again
_NUMBER = re.compile(rf"{SOURCE}:(\d+)(?:\.\d+)?(?P<alternative>\.alt\d+)?")


def unnatural_instructions(
    engine: Engine,
    chat: Chat,
    seed_tasks: Sequence[Task],
    config: PromptsSection,
    seed: int,
    existing: Sequence[Task],
    on_tasks: Callable[[list[Task], dict[str, Any]], None],
    *,
    gate: Gate,
    account: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Ask the model for tasks until `config.count` are kept or `config.max_requests` are spent.

    Every request shows `unnatural.demonstrations` examples, drawn under the seed from the hand-written ones, the seed
    tasks and, where asked for, tasks made before. What comes is dropped and counted where a field is missing, where it
    is a copy, where the filters or `gate` (a fresh one; it knows seed, earlier and evaluation prompts) refuse its
    instruction, and where its output is empty, cut off or its input again. Kept tasks have the source
    "unnatural:<request>"; their other formulations, on top of `config.count`, "unnatural:<request>.alt<k>".

    After each batch of requests `on_tasks` gets the rows newly kept and the account so far. Resuming: give the rows of
    the killed attempt as `existing` and the last account that was stored, if any (without it the counts begin anew).
    A batch that was broken off is asked again, gives the same rows, and only those missing are handed out.

    Returns the account: asked, got, kept, dropped (by reason), samples, requests, max_requests, tokens, tokens_by_step
    and seconds_by_step (examples, outputs, alternatives), alternatives (asked, kept, dropped, samples), stopped. None
    kept is an InputError; fewer than asked for is none.
    """
    search = _Search(Asking(engine, chat, seed), seed_tasks, config, seed, gate)
    broken_off = search.restore(existing, account)
    result = search.account()
    while result["stopped"] is None:
        rows = search.batch()
        again = {row.id for row in rows}
        search.adopt(row for row in broken_off.values() if row.id not in again)
        new = [row for row in rows if row.id not in broken_off]
        broken_off = {}
        result = search.account()
        on_tasks(new, result)
    if not search.kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result["dropped"].items()) or "no example in them"
        raise InputError(
            f"prompts: no task was kept of {result['got']} from {result['requests']} requests ({reasons}); "
            "raise prompts.max_requests or prompts.max_rouge_l, or choose another prompts.source"
        )
    return result


@dataclass(slots=True)
class _Draft:
    """A task on its way: why it is dropped, once that is known, and its other formulations."""

    task: Task
    reason: str | None
    formulations: list[Formulation] = field(default_factory=list)


class _Search:
    """What was kept and what became of everything else; the same after any resume."""

    def __init__(
        self,
        asking: Asking,
        seed_tasks: Sequence[Task],
        config: PromptsSection,
        seed: int,
        gate: Gate,
    ) -> None:
        self._asking, self._config, self._seed, self._gate = asking, config, seed, gate
        self._form = FORMS[config.language]
        self._shipped = shipped_tasks(config.language)
        for task in self._shipped:
            gate.add(task.instruction, "seed")
        self._seed_tasks = [task for task in seed_tasks if len(_words(task)) <= LONGEST_DEMONSTRATION]
        self._too_long = len(seed_tasks) - len(self._seed_tasks)
        self._max_requests = config.max_requests or REQUESTS_PER_TASK * config.count
        self.kept: list[Task] = []
        self._known: set[tuple[str, str]] = set()
        self._requests, self._got, self._asked_alternatives, self._kept_alternatives = 0, 0, 0, 0
        self._tally, self._alternatives = Tally(), Tally()

    def restore(self, existing: Sequence[Task], account: dict[str, Any] | None) -> dict[str, Task]:
        """Take over the rows of whole batches; return those of a batch that was broken off, by id.

        The account is stored after the rows of its batch, so one that covers the last row says that its batch is whole.
        """
        numbers = [_request_number(row) for row in existing if not _is_alternative(row)]
        last = max(numbers, default=-1)
        while last >= (end := self._requests + self._size(sum(number < self._requests for number in numbers))):
            self._requests = end
        if account is not None and account["requests"] >= self._requests:
            if account["requests"] > last:
                self._requests = account["requests"]
            self._got, self._asked_alternatives = account["got"], account["alternatives"]["asked"]
            self._tally, self._alternatives = Tally(account), Tally(account["alternatives"])
            self._asking.tokens.update(account["tokens_by_step"])
            self._asking.seconds.update(account["seconds_by_step"])
        self.adopt(row for row in existing if _request_number(row) < self._requests)
        return {row.id: row for row in existing if _request_number(row) >= self._requests}

    def _size(self, kept: int) -> int:
        """Requests of the batch that is begun with so many tasks kept."""
        return max(SMALLEST_BATCH, min(LARGEST_BATCH, 2 * (self._config.count - kept)))

    def adopt(self, rows: Iterable[Task]) -> None:
        """Rows that stand already: they count, and nothing may repeat them."""
        for row in rows:
            if _is_alternative(row):
                self._kept_alternatives += 1
            else:
                self.kept.append(row)
            self._guard(row)

    def _guard(self, row: Task) -> None:
        self._known.add((row.instruction, row.input))
        if self._config.unnatural.novelty:
            self._gate.add(row.instruction)

    def batch(self) -> list[Task]:
        """Ask the next requests; return the rows kept, each task followed by its other formulations."""
        section = self._config.unnatural
        end = min(self._requests + self._size(len(self.kept)), self._max_requests)
        drafts = self._examples(range(self._requests, end))
        if section.outputs:
            self._write_outputs([draft for draft in drafts if draft.reason is None])
        if section.alternatives:
            open_drafts = [draft for draft in drafts if draft.reason is None]
            found = rephrased(self._asking, [draft.task for draft in open_drafts], self._config, self._seed)
            for draft, formulations in zip(open_drafts, found, strict=True):
                draft.formulations = formulations
        return [row for draft in drafts for row in self._admit(draft)]

    def _examples(self, numbers: range) -> list[_Draft]:
        """The first pass, sampled: the examples that follow the demonstrations."""
        shown = {f"{SOURCE}:{number}": self._demonstrations(number) for number in numbers}
        drafts = []
        for name, (text, finished) in elicit(self._asking, shown, self._config).items():
            for k, example in enumerate(parse_examples(text, self._form, finished)):
                task = example.as_task(f"{name}.{k}" if k else name)
                drafts.append(_Draft(task, example.reason or self._fault(task, shown[name])))
        self._requests += len(numbers)
        self._got += len(drafts)
        return drafts

    def _demonstrations(self, number: int) -> list[Task]:
        section = self._config.unnatural
        rng = random.Random(derive_seed(self._seed, SOURCE, "demonstrations", number))
        own = rng.sample(self.kept, min(section.own_demonstrations, len(self.kept)))
        wanted = section.demonstrations - section.shipped_demonstrations - len(own)
        # The method is about tasks with an input; others are shown only where the seed has too few of those.
        with_input = [task for task in self._seed_tasks if task.input]
        pool = with_input if len(with_input) >= wanted else self._seed_tasks
        tasks = [*own, *rng.sample(pool, min(wanted, len(pool)))]
        tasks += rng.sample(self._shipped, min(section.demonstrations - len(tasks), len(self._shipped)))
        rng.shuffle(tasks)
        return tasks

    def _fault(self, task: Task, demonstrations: Sequence[Task]) -> str | None:
        """Why an example that is whole is dropped all the same, before it has an output."""
        words = _words(task)
        if any(rouge_l(words, _words(other)) > COPY for other in demonstrations):
            return "copied from a demonstration"
        fields = [tokens_of(text) for text in (task.instruction, task.input, task.constraints) if text]
        if any(left == right for left, right in combinations(fields, 2)):
            return "one field repeats another"
        if goes_round(task.input) or goes_round(task.constraints):
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
        refused = self._gate.refusal(task.instruction, has_input=bool(task.input))
        return refused or self._gate.contamination(task.messages()[0]["content"])

    def _write_outputs(self, drafts: Sequence[_Draft]) -> None:
        """The second pass, greedy: instruction, input and constraints as one question, and the model's answer."""
        section = self._config.unnatural
        sampling = Sampling(section.output_tokens)
        brief = ORDERS[self._config.language].brief if section.brief else ""
        requests = []
        for draft in drafts:
            asked = replace(draft.task, constraints=draft.task.constraints or brief)
            requests.append(self._asking.answer(draft.task.source, asked.messages(), sampling, "outputs"))
        generations = self._asking.generate(requests, "outputs")
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

    def _admit(self, draft: _Draft) -> list[Task]:
        """The rows of a draft that is kept: itself and its formulations that pass. Counts what becomes of each."""
        task, reason = draft.task, draft.reason
        if reason is None and len(self.kept) >= self._config.count:
            reason = "more than were wanted"
        reason = reason or self._refusal(task)  # anew: the batch's tasks before this one are kept by now
        if reason is not None:
            self._tally.drop(reason, _text(task))
            return []
        rows = [task]
        # A formulation is near its original by nature: it is held against everything but that.
        for formulation in draft.formulations:
            row = formulation.task
            fault = formulation.reason if row is None else self._refusal(row)
            if row is None or fault is not None:
                self._alternatives.drop(str(fault), f"{task.instruction} → {formulation.line}")
            else:
                self._alternatives.keep(f"{task.instruction} → {formulation.line}")
                rows.append(row)
        self._asked_alternatives += len(draft.formulations)
        self._tally.keep(_text(task))
        self.adopt(rows)
        return rows

    def account(self) -> dict[str, Any]:
        stopped = None
        if len(self.kept) >= self._config.count:
            stopped = "count reached"
        elif self._requests >= self._max_requests:
            stopped = "max_requests reached"
        return {
            "source": SOURCE,
            "asked": self._config.count,
            "got": self._got,
            **self._tally.as_account(),
            "kept": len(self.kept),
            "requests": self._requests,
            "max_requests": self._max_requests,
            "tokens": self._asking.tokens.total(),
            "tokens_by_step": dict(self._asking.tokens),
            "seconds_by_step": {step: round(seconds, 2) for step, seconds in self._asking.seconds.items()},
            "alternatives": {
                "asked": self._asked_alternatives,
                **self._alternatives.as_account(),
                "kept": self._kept_alternatives,
            },
            "seed_tasks_too_long_to_show": self._too_long,
            "stopped": stopped,
        }


def _words(task: Task) -> list[str]:
    return tokens_of(f"{task.instruction} {task.input}")


def _text(task: Task) -> str:
    return " | ".join([task.instruction, task.input or "-", task.constraints or "-", task.output or "-"])


def _is_alternative(row: Task) -> bool:
    return ".alt" in row.source


def _request_number(row: Task) -> int:
    match = _NUMBER.fullmatch(row.source)
    if match is None:
        raise InputError(f"prompts: the task {row.id} is not from {SOURCE} (source '{row.source}'); redo the prompts")
    return int(match.group(1))
