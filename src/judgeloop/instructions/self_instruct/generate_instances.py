"""Two ways to have a model write instances of its instructions.

`answered` asks for one thing at a time: an input only if the instruction speaks of one, then the answer to the
prompt that this gives. `listed` continues a text of inputs and outputs, as in Self-Instruct (arXiv 2212.10560, §2.2).
Both write the label first, then the input, if the instruction is a classification task.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from judgeloop.config import PromptsSection, SelfInstructSection
from judgeloop.engines.base import Sampling
from judgeloop.instructions.filters import lacks_input
from judgeloop.instructions.input_need import wants_input
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import Draft
from judgeloop.instructions.self_instruct.demonstrations import Demonstrations
from judgeloop.instructions.self_instruct.parse_instances import (
    CUT_OFF,
    Instance,
    has_placeholder,
    parse_input,
    parse_instances,
    parse_labels,
)
from judgeloop.instructions.self_instruct.task_form import TaskForm, task_form
from judgeloop.records import Task, derive_seed
from judgeloop.text.tokens import tokens_of


@dataclass(slots=True)
class InstanceDraft(Draft):
    """An instruction that passed the filters, on its way to its instances."""

    classification: bool | None = None
    without_labels: bool = False  # taken for a classification task, but no labels could be read
    instances: list[Instance] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.task.source

    @property
    def instruction(self) -> str:
        return self.task.instruction


def answered(
    prompter: Prompter, drafts: Sequence[InstanceDraft], demonstrations: Demonstrations, config: PromptsSection
) -> None:
    """Give every draft its instances, input by input and answer by answer."""
    form, section = task_form(config.language), config.self_instruct
    _plan(prompter, drafts, form, section)
    _write_inputs(prompter, drafts, demonstrations, form, section)
    if section.outputs:
        _write_outputs(prompter, drafts, form, section)


def _plan(prompter: Prompter, drafts: Sequence[InstanceDraft], form: TaskForm, section: SelfInstructSection) -> None:
    """One instance for an instruction without input, so many for others; those of a classification task begin with
    different labels."""
    to_label = [
        draft for draft in drafts if section.inputs and draft.classification and not _asks_by_itself(draft.instruction)
    ]
    sampling = _sampling(section, section.sampling.max_new_tokens // 4, ("\n",))
    requests = [
        prompter.continuation(
            f"{draft.name}.labels",
            form.labels_order.format(task=draft.instruction),
            form.labels_begun,
            sampling,
            "labels",
        )
        for draft in to_label
    ]
    generations = prompter.generate(requests, "labels")
    for draft in to_label:
        (generation,) = generations[f"{draft.name}.labels"]
        labels = parse_labels(generation.text) if generation.finish_reason == "stop" else []
        random.Random(derive_seed(prompter.seed, "labels", draft.name)).shuffle(labels)
        draft.instances = [Instance("", label) for label in labels[: section.max_instances]]
        if not labels:
            draft.without_labels, draft.classification = True, False
    for draft in drafts:
        if not draft.instances:
            needed = wants_input(draft.instruction)
            draft.instances = [Instance("") for _ in range(section.max_instances if needed else 1)]


def _asks_by_itself(instruction: str) -> bool:
    """A question that speaks of nothing outside itself needs no input, whatever its answers are."""
    return instruction.rstrip().endswith(("?", "？")) and not wants_input(instruction)


def _write_inputs(
    prompter: Prompter,
    drafts: Sequence[InstanceDraft],
    demonstrations: Demonstrations,
    form: TaskForm,
    section: SelfInstructSection,
) -> None:
    stops = tuple(f"\n{label}{form.colon}" for label in (form.task, form.input, form.output, form.label))
    sampling = _sampling(section, section.sampling.max_new_tokens // 2, (*stops, "\n\n"))
    asked = []
    for draft in drafts:
        for number, instance in enumerate(draft.instances):
            if not instance.output and not wants_input(draft.instruction):
                continue
            shown = demonstrations.with_input(f"{draft.name}.{number}", label=bool(instance.output))
            order = form.labelled_input_order if instance.output else form.input_order
            name = f"{draft.name}.input.{number}"
            wanted = Task.of(draft.instruction, "", instance.output, "")
            text = "\n\n".join(_block(task, form, label=bool(instance.output)) for task in (*shown, wanted))
            instance.shown = shown
            asked.append((instance, prompter.continuation(name, order, text, sampling, "inputs")))
    generations = prompter.generate([request for _, request in asked], "inputs")
    for instance, request in asked:
        (generation,) = generations[request.id]
        instance.input = parse_input(generation.text)
        if generation.finish_reason == "length":
            instance.reason = "input cut off by length"
        elif not instance.input:
            instance.reason = "input is empty"
        elif has_placeholder(instance.input):
            instance.reason = "input contains a placeholder"
        elif tokens_of(instance.input) in [tokens_of(task.input) for task in instance.shown]:
            instance.reason = "input copied from a demonstration"


def _block(task: Task, form: TaskForm, *, label: bool) -> str:
    """A task, the label if there is one, and the input; the block of the task that wants an input ends with its
    label."""
    lines = [form.line(form.task, " ".join(task.instruction.split()))]
    if label:
        lines.append(form.line(form.label, " ".join(task.output.split())))
    return "\n".join([*lines, form.line(form.input, task.input)])


def _write_outputs(
    prompter: Prompter, drafts: Sequence[InstanceDraft], form: TaskForm, section: SelfInstructSection
) -> None:
    """The model's answers; one that is cut off by length is asked for again, as often as the config says."""
    order = form.brief if section.brief else ""
    open_instances = [
        (f"{draft.name}.output.{number}", draft, instance)
        for draft in drafts
        for number, instance in enumerate(draft.instances)
        if instance.reason is None and not instance.output
    ]
    sampling = _sampling(section, section.sampling.max_new_tokens)
    for attempt in range(section.output_attempts):
        requests = [
            prompter.answer(
                f"{name}.{attempt}",
                Task.of(draft.instruction, instance.input, "", "", constraints=order).messages(),
                sampling,
                "outputs",
            )
            for name, draft, instance in open_instances
        ]
        generations = prompter.generate(requests, "outputs")
        for name, _, instance in open_instances:
            (generation,) = generations[f"{name}.{attempt}"]
            instance.output = generation.text.strip()
            instance.reason = CUT_OFF if generation.finish_reason == "length" else None
        open_instances = [entry for entry in open_instances if entry[2].reason == CUT_OFF]


def listed(
    prompter: Prompter, drafts: Sequence[InstanceDraft], demonstrations: Demonstrations, config: PromptsSection
) -> None:
    """Give every draft its instances from one text: inputs and outputs in turn, or labels and inputs."""
    form, section = task_form(config.language), config.self_instruct
    sampling = _sampling(section, section.sampling.max_new_tokens, (f"\n{form.task}{form.colon}",))
    requests = []
    demonstrated: dict[str, Sequence[Task]] = {}
    for draft in drafts:
        label_first = bool(draft.classification)
        shown = demonstrated[draft.name] = demonstrations.instances(draft.name, classification=label_first)
        task = form.line(form.task, " ".join(draft.instruction.split()))
        begun = f"{task}\n{form.line(form.label if label_first else form.input, '')}"
        text = "\n\n".join([*(_instance(task, form, label_first) for task in shown), begun])
        order = form.labelled_instances_order if label_first else form.instances_order
        requests.append(prompter.continuation(draft.name, order, text, sampling, "instances"))
    generations = prompter.generate(requests, "instances")
    for draft in drafts:
        (generation,) = generations[draft.name]
        finished = generation.finish_reason == "stop"
        draft.instances = parse_instances(generation.text, form, finished, label_first=bool(draft.classification))
        for instance in draft.instances:
            instance.shown = demonstrated[draft.name]
        if not draft.classification and lacks_input(draft.instruction):
            for instance in draft.instances:
                instance.reason = instance.reason or (None if instance.input else "input is empty")


def _instance(task: Task, form: TaskForm, label_first: bool) -> str:
    lines = [form.line(form.task, " ".join(task.instruction.split()))]
    given = form.line(form.input, task.input or form.none)
    if label_first:
        lines += [form.line(form.label, " ".join(task.output.split())), given]
    else:
        lines += [given, form.line(form.output, task.output)]
    return "\n".join(lines)


def _sampling(section: SelfInstructSection, tokens: int, stops: tuple[str, ...] = ()) -> Sampling:
    how = section.sampling
    return Sampling(max(1, tokens), how.temperature, how.top_p, how.top_k, stops)
