"""Self-Instruct (arXiv 2212.10560, §2.2 and its appendix): a numbered list of instructions, some from the seed and some
of the model's own, is continued; classification tasks are told apart; each instruction gets its instances."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Sampling
from judgeloop.errors import InputError
from judgeloop.instructions.few_shot import draw_demonstrations, first_line
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.input_need import wants_input
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import BATCH, CUT_OFF, SURPLUS, Completion, Method, Shown
from judgeloop.instructions.self_instruct.classification import classify
from judgeloop.instructions.self_instruct.demonstrations import LONGEST_INSTRUCTION, Demonstrations
from judgeloop.instructions.self_instruct.generate_instances import InstanceDraft, answered, listed
from judgeloop.instructions.self_instruct.parse_instances import has_placeholder, judge_instances
from judgeloop.instructions.self_instruct.task_form import TaskForm, task_form
from judgeloop.instructions.yield_counts import YieldCounts
from judgeloop.records import Task, derive_seed


class SelfInstruct(Method[InstanceDraft]):
    """An instruction is kept if the gate admits it and at least one of its instances passes the instance filters.

    Each instance, up to `self_instruct.max_instances`, is a task with the source
    "self_instruct:<request>.<item>[.<instance>]". On top of the search's counts the account has instructions_kept,
    classification (asked, yes, without_labels) and instances (got, kept, dropped, samples); its steps are instructions,
    classification, labels, inputs and outputs, or instances (`instances: listed`).
    """

    name: ClassVar[str] = "self_instruct"

    def __init__(self, prompter: Prompter, seed_tasks: Sequence[Task], config: PromptsSection, gate: Gate) -> None:
        super().__init__(prompter, seed_tasks, config, gate)
        section = config.self_instruct
        self._form = task_form(config.language)
        self._demonstrations = Demonstrations(seed_tasks, config.language, section.demonstrations, prompter.seed)
        self._seed_instructions = self._demonstrations.instructions(inputs=section.inputs)
        if not self._seed_instructions:
            needs = "" if section.inputs else " and without input (prompts.self_instruct.inputs)"
            raise InputError(
                f"prompts: no seed instruction is short enough to demonstrate ({LONGEST_INSTRUCTION} words at most)"
                f"{needs}; bring others, or set prompts.source: file"
            )
        self._classification = {"asked": 0, "yes": 0, "without_labels": 0}
        self._instances = YieldCounts()

    def show(self, number: int) -> Shown:
        shown, section = self._shown_instructions(number), self.config.sampling
        total = len(shown) + self.config.self_instruct.new_tasks
        stop = (f"\n{self._form.numbered(total + 1)}",)
        sampling = Sampling(section.max_new_tokens, section.temperature, section.top_p, section.top_k, stop)
        lines = [self._form.numbered(k, " ".join(task.instruction.split())) for k, task in enumerate(shown, 1)]
        text = "\n".join([*lines, self._form.numbered(len(shown) + 1)])
        return Shown(self._form.list_order.format(count=total), text, sampling, tuple(shown))

    def _shown_instructions(self, number: int) -> list[Task]:
        """Instructions of the model's own, as many as there are up to the number wanted, and of the seed, mixed; as
        tasks of the instruction alone."""
        rng = random.Random(derive_seed(self.prompter.seed, self.name, "demonstrations", number))
        made: dict[str, Task] = {}
        for task in self.kept:
            made.setdefault(task.instruction, Task.of(task.instruction, "", "", task.source))
        return draw_demonstrations(self._seed_instructions, list(made.values()), self.config, rng)

    def read(self, completion: Completion) -> list[InstanceDraft]:
        items, cut = parse_list(completion.text, self._form, completion.finished)
        drafts = [InstanceDraft(Task.of(item, "", "", f"{completion.name}.{k}")) for k, item in enumerate(items)]
        return drafts if cut is None else [*drafts, InstanceDraft(Task.of(cut, "", "", completion.name), CUT_OFF)]

    def follow_up(self, drafts: Sequence[InstanceDraft]) -> Iterator[InstanceDraft]:
        among = Gate(self.config)  # instructions of one batch must differ before any has its instances
        waiting: list[InstanceDraft] = []
        for draft in drafts:
            draft.reason = draft.reason or self._refusal(draft) or among.admit(draft.instruction, has_input=True)
            if draft.reason is None:
                waiting.append(draft)
            else:
                yield draft
        while waiting:
            if self.missing > 0:
                size = max(self.missing, BATCH)
                chosen, waiting = waiting[:size], waiting[size:]
                self._write_instances(chosen)
                for draft in chosen:
                    self._choose(draft)
                    yield draft
            else:
                yield waiting.pop(0)  # a surplus

    def _refusal(self, draft: InstanceDraft) -> str | None:
        """Why an item is not a new instruction. It gets its input later, so it may announce one."""
        if has_placeholder(draft.instruction):
            return "contains a placeholder"
        if not self.config.self_instruct.inputs and wants_input(draft.instruction):
            return "wants an input"
        return self.gate.refusal(draft.instruction, has_input=True)

    def _write_instances(self, drafts: Sequence[InstanceDraft]) -> None:
        section = self.config.self_instruct
        if section.classification:
            instructions = {draft.name: draft.instruction for draft in drafts}
            found = classify(self.prompter, instructions, self._demonstrations.classification(), self._form)
            for draft in drafts:
                draft.classification = found[draft.name]
            self._classification["asked"] += len(drafts)
            self._classification["yes"] += sum(found.values())
        write = answered if section.instances == "answered" else listed
        write(self.prompter, drafts, self._demonstrations, self.config)
        self._classification["without_labels"] += sum(draft.without_labels for draft in drafts)

    def _choose(self, draft: InstanceDraft) -> None:
        """Give the draft its rows, the sound instances, or the reason why it has none. Counts every instance."""
        section = self.config.self_instruct
        judge_instances(draft.instances, draft.instruction, outputs=section.outputs)
        surplus = False
        for number, instance in enumerate(draft.instances):
            name = f"{draft.name}.{number}" if number else draft.name
            task = Task.of(
                draft.instruction, instance.input, instance.output, name, classification=draft.classification
            )
            reason = instance.reason
            if reason is None and instance.input:
                reason = self.gate.contamination(task.messages()[0]["content"])
            if reason is None and len(draft.rows) >= min(section.max_instances, self.missing):
                surplus, reason = True, SURPLUS
            if reason is None:
                self._instances.keep(_text(task))
                draft.rows.append(task)
                if instance.input and instance.shown:
                    draft.shown[name] = instance.shown
            else:
                self._instances.drop(reason, _text(task))
        if not draft.rows:
            draft.reason = SURPLUS if surplus else "no usable instance"

    def sample(self, draft: InstanceDraft) -> str:
        return _text(draft.rows[0]) if draft.rows else draft.instruction

    def account(self) -> dict[str, Any]:
        instances = self._instances.as_account()
        return {
            "instructions_kept": len({task.instruction for task in self.kept}),
            "classification": dict(self._classification),
            "instances": {"got": instances["kept"] + sum(instances["dropped"].values()), **instances},
            "seed_tasks_too_long_to_show": self._demonstrations.too_long,
        }

    def restore(self, account: Mapping[str, Any]) -> None:
        self._classification = dict(account["classification"])
        self._instances = YieldCounts(account["instances"])


def parse_list(text: str, form: TaskForm, finished: bool) -> tuple[list[str], str | None]:
    """The items of a continued list, and the item that was cut off, if one was. The text begins inside the first item.

    An item is the first line after its number ("Task 9:", or "9."). A completion cut off by length (`finished` False)
    loses its last item and keeps the others.
    """
    number = rf"(?:{form.task}|task)[ \t]*\d{{1,3}}\**[ \t]*[:.：。、)-]?|\d{{1,3}}(?:[.)](?=\s)|、)"
    numbered = re.compile(rf"(?mi)^[ \t#*]*(?:(?:{number})\**[ \t]*)+")
    items = [first_line(piece) for piece in numbered.split(text)]
    cut = None if finished else items.pop()
    return [item for item in items if item], cut or None


def _text(task: Task) -> str:
    return " | ".join([task.instruction, task.input or "-", task.output or "-"])
