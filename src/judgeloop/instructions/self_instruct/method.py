"""Self-Instruct (arXiv 2212.10560, §2.2 and its appendix): a numbered list of instructions, some from the seed and some
of the model's own, is continued; classification tasks are told apart; each instruction gets its instances."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Engine, Sampling
from judgeloop.errors import InputError
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.input_need import wants_input
from judgeloop.instructions.prompter import Asking
from judgeloop.instructions.self_instruct.classification import classify
from judgeloop.instructions.self_instruct.form import FORMS, Form
from judgeloop.instructions.self_instruct.generate_instances import Draft, answered, listed
from judgeloop.instructions.self_instruct.parse_instances import has_placeholder, judge_instances
from judgeloop.instructions.self_instruct.shown_tasks import LONGEST_INSTRUCTION, Demonstrations
from judgeloop.instructions.yield_counts import Tally
from judgeloop.models.chat import Chat
from judgeloop.records import Task, derive_seed

SOURCE = "self_instruct"
# Requests answered from the same state of the pool. The rows depend on it, on the seed and on nothing else: neither on
# the order in which generations finish nor on where an attempt was killed.
BATCH = 16
REQUESTS_PER_TASK = 20
CUT_OFF = "cut off by length"
SURPLUS = "more than were wanted"
_NUMBER = re.compile(rf"{SOURCE}:\d+\.\d+(?:\.\d+)?")


def self_instruct(
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
    """Ask the model for tasks until `config.count` are kept or `config.max_requests` requests for lists are spent.

    An instruction is kept where `gate` admits it (a fresh one; it knows seed, earlier and evaluation prompts) and at
    least one of its instances passes the instance filters; each instance, up to `self_instruct.max_instances`, is a
    task with the source "self_instruct:<request>.<item>[.<instance>]".

    After each batch of requests `on_tasks` gets the tasks newly kept and the account so far. Resuming: give the tasks
    of whole batches as `existing` and the account that came with the last of them.

    Returns the account. got: list items; dropped: why items did not become tasks; kept: tasks; samples; classification:
    asked, yes, without_labels; instances: got, kept, dropped, samples; requests, max_requests; tokens, tokens_by_step
    and seconds_by_step (instructions, classification, labels, inputs, outputs; listed: instances); stopped ("count
    reached" or "max_requests reached"). None kept is an InputError; fewer than asked for is none.
    """
    search = _Search(Asking(engine, chat, seed), seed_tasks, config, seed, gate)
    search.restore(existing, account)
    result = search.account()
    while result["stopped"] is None:
        new = search.batch()
        result = search.account()
        on_tasks(new, result)
    if not search.kept:
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in result["dropped"].items()) or "no list item in them"
        )
        raise InputError(
            f"prompts: no task was kept of {result['got']} from {result['requests']} requests ({reasons}); "
            "raise prompts.max_requests or prompts.max_rouge_l, or choose another prompts.source"
        )
    return result


def parse_list(text: str, form: Form, finished: bool) -> tuple[list[str], str | None]:
    """The items of a continued list, and the item that was cut off, if one was. The text begins inside the first item.

    An item is the first line behind its number ("Task 9:", or "9."). A completion cut off by length (`finished` False)
    loses its last item and keeps the others.
    """
    number = rf"(?:{form.task}|task)[ \t]*\d{{1,3}}\**[ \t]*[:.：。、)-]?|\d{{1,3}}(?:[.)](?=\s)|、)"
    numbered = re.compile(rf"(?mi)^[ \t#*]*(?:(?:{number})\**[ \t]*)+")
    items = []
    for piece in numbered.split(text):
        line = next((line for line in piece.splitlines() if line.strip()), "").strip()
        bold = re.fullmatch(r"\*\*(.+)\*\*", line)
        items.append(bold.group(1).strip() if bold else line)
    cut = None if finished else items.pop()
    return [item for item in items if item], cut or None


class _Search:
    """What was kept and what became of everything else; the same after any resume."""

    def __init__(
        self, asking: Asking, seed_tasks: Sequence[Task], config: PromptsSection, seed: int, gate: Gate
    ) -> None:
        self._asking, self._config, self._seed, self._gate = asking, config, seed, gate
        self._form = FORMS[config.language]
        self._shown = Demonstrations(seed_tasks, config.language, config.self_instruct.demonstrations, seed)
        self._seed_instructions = self._shown.instructions(inputs=config.self_instruct.inputs)
        if not self._seed_instructions:
            needs = "" if config.self_instruct.inputs else " and without input (prompts.self_instruct.inputs)"
            raise InputError(
                f"prompts: no seed instruction is short enough to demonstrate ({LONGEST_INSTRUCTION} words at most)"
                f"{needs}; bring others, or set prompts.source: file"
            )
        self._max_requests = config.max_requests or REQUESTS_PER_TASK * config.count
        self.kept: list[Task] = []
        self._requests, self._got = 0, 0
        self._classification = {"asked": 0, "yes": 0, "without_labels": 0}
        self._instructions, self._instances = Tally(), Tally()

    def restore(self, existing: Sequence[Task], account: dict[str, Any] | None) -> None:
        """Take over the tasks of whole batches."""
        for task in existing:
            if not _NUMBER.fullmatch(task.source):
                raise InputError(
                    f"prompts: the task {task.id} is not from {SOURCE} (source '{task.source}'); redo the prompts"
                )
            self.kept.append(task)
            self._gate.add(task.instruction)
        if account is not None:
            self._requests, self._got = account["requests"], account["got"]
            self._classification = dict(account["classification"])
            self._instructions, self._instances = Tally(account), Tally(account["instances"])
            self._instructions.kept = account["instructions_kept"]
            self._asking.tokens.update(account["tokens_by_step"])
            self._asking.seconds.update(account["seconds_by_step"])

    def batch(self) -> list[Task]:
        """Ask the next requests; return the tasks kept."""
        waiting = self._new_instructions(range(self._requests, min(self._requests + BATCH, self._max_requests)))
        new: list[Task] = []
        while waiting and (missing := self._config.count - len(self.kept)) > 0:
            drafts, waiting = waiting[: max(missing, BATCH)], waiting[max(missing, BATCH) :]
            self._write_instances(drafts)
            for draft in drafts:
                new += self._admit(draft)
        for draft in waiting:
            self._instructions.drop(SURPLUS, draft.instruction)
        return new

    def _new_instructions(self, numbers: range) -> list[Draft]:
        """List items that pass the filters, differ from everything known and from one another."""
        section = self._config.sampling
        requests = []
        for number in numbers:
            shown = self._demonstrations(number)
            total = len(shown) + self._config.self_instruct.new_tasks
            stop = f"\n{self._form.numbered(total + 1)}"
            sampling = Sampling(section.max_new_tokens, section.temperature, section.top_p, section.top_k, (stop,))
            lines = [self._form.numbered(k, text) for k, text in enumerate(shown, 1)]
            text = "\n".join([*lines, self._form.numbered(len(shown) + 1)])
            order = self._form.list_order.format(count=total)
            requests.append(self._asking.continuation(f"{SOURCE}:{number}", order, text, sampling, "instructions"))
        generations = self._asking.generate(requests, "instructions")
        among = Gate(self._config)
        drafts = []
        for request in requests:
            (generation,) = generations[request.id]
            items, cut = parse_list(generation.text, self._form, generation.finish_reason == "stop")
            if cut is not None:
                self._got += 1
                self._instructions.drop(CUT_OFF, cut)
            for k, item in enumerate(items):
                self._got += 1
                reason = self._refusal(item) or among.admit(item, has_input=True)
                if reason is None:
                    drafts.append(Draft(f"{request.id}.{k}", item))
                else:
                    self._instructions.drop(reason, item)
        self._requests += len(numbers)
        return drafts

    def _refusal(self, item: str) -> str | None:
        """Why an item is no new instruction. It gets its input later, so it may announce one."""
        if has_placeholder(item):
            return "holds a placeholder"
        if not self._config.self_instruct.inputs and wants_input(item):
            return "wants an input"
        return self._gate.refusal(item, has_input=True)

    def _demonstrations(self, number: int) -> list[str]:
        """Instructions of the model's own, as many as there are up to the number wanted, and of the seed, mixed."""
        rng = random.Random(derive_seed(self._seed, SOURCE, "demonstrations", number))
        made = list(dict.fromkeys(task.instruction for task in self.kept))
        own = rng.sample(made, min(self._config.own_demonstrations, len(made)))
        wanted = self._config.seed_demonstrations + self._config.own_demonstrations - len(own)
        shown = own + rng.sample(self._seed_instructions, min(wanted, len(self._seed_instructions)))
        rng.shuffle(shown)
        return [" ".join(text.split()) for text in shown]

    def _write_instances(self, drafts: Sequence[Draft]) -> None:
        section = self._config.self_instruct
        if section.classification:
            instructions = {draft.name: draft.instruction for draft in drafts}
            found = classify(self._asking, instructions, self._shown.classification(), self._form)
            for draft in drafts:
                draft.classification = found[draft.name]
            self._classification["asked"] += len(drafts)
            self._classification["yes"] += sum(found.values())
        write = answered if section.instances == "answered" else listed
        write(self._asking, drafts, self._shown, self._config, self._seed)
        self._classification["without_labels"] += sum(draft.without_labels for draft in drafts)

    def _admit(self, draft: Draft) -> list[Task]:
        """The tasks of an instruction: its sound instances. Counts what becomes of it and of each instance."""
        section = self._config.self_instruct
        judge_instances(draft.instances, draft.instruction, outputs=section.outputs)
        tasks: list[Task] = []
        surplus = False
        for number, instance in enumerate(draft.instances):
            name = f"{draft.name}.{number}" if number else draft.name
            task = Task.of(
                draft.instruction, instance.input, instance.output, name, classification=draft.classification
            )
            reason = instance.reason
            if reason is None and instance.input:
                reason = self._gate.contamination(task.messages()[0]["content"])
            if reason is None and (len(tasks) >= section.max_instances or len(self.kept) >= self._config.count):
                surplus, reason = True, SURPLUS
            if reason is not None:
                self._instances.drop(reason, _text(task))
                continue
            self._instances.keep(_text(task))
            tasks.append(task)
            self.kept.append(task)
        if tasks:
            self._gate.add(draft.instruction)
            self._instructions.keep(_text(tasks[0]))
        else:
            self._instructions.drop(SURPLUS if surplus else "no usable instance", draft.instruction)
        return tasks

    def account(self) -> dict[str, Any]:
        stopped = None
        if len(self.kept) >= self._config.count:
            stopped = "count reached"
        elif self._requests >= self._max_requests:
            stopped = "max_requests reached"
        instances = self._instances.as_account()
        return {
            "source": SOURCE,
            "asked": self._config.count,
            "got": self._got,
            **self._instructions.as_account(),
            "kept": len(self.kept),
            "instructions_kept": self._instructions.kept,
            "classification": dict(self._classification),
            "instances": {"got": instances["kept"] + sum(instances["dropped"].values()), **instances},
            "requests": self._requests,
            "max_requests": self._max_requests,
            "tokens": self._asking.tokens.total(),
            "tokens_by_step": dict(self._asking.tokens),
            "seconds_by_step": {step: round(seconds, 2) for step, seconds in self._asking.seconds.items()},
            "seed_tasks_too_long_to_show": self._shown.too_long,
            "stopped": stopped,
        }


def _text(task: Task) -> str:
    return " | ".join([task.instruction, task.input or "-", task.output or "-"])
