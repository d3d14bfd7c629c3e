"""Classification tasks told apart: the few-shot question of Self-Instruct (arXiv 2212.10560, §2.2), answered by the
probabilities of yes and no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.self_instruct.task_form import TaskForm
from judgeloop.records import Task

STEP = "classification"


def classify(
    prompter: Prompter, instructions: Mapping[str, str], demonstrations: Sequence[Task], form: TaskForm
) -> dict[str, bool]:
    """Name → whether its instruction is a classification task: yes is likelier than no.

    The demonstrations are the same for all, so that what they have in common is computed once.
    """
    shown = "".join(_block(task, form) for task in demonstrations)
    options = (form.option(form.yes), form.option(form.no))
    requests = [
        prompter.choice(name, form.classification_order, shown + _question(instruction, form), options)
        for name, instruction in instructions.items()
    ]
    weighed = prompter.weigh(requests, STEP)
    return {name: weighed[name][0] > weighed[name][1] for name in instructions}


def _block(task: Task, form: TaskForm) -> str:
    answer = form.option(form.yes if task.classification else form.no)
    return f"{_question(task.instruction, form)}{answer}\n\n"


def _question(instruction: str, form: TaskForm) -> str:
    return f"{form.line(form.task, ' '.join(instruction.split()))}\n{form.line(form.classification, '')}"
