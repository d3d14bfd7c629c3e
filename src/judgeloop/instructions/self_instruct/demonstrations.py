"""Which tasks a prompter is shown by Self-Instruct: the seed's, and hand-written ones if it has too few."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from judgeloop.instructions.input_need import wants_input
from judgeloop.instructions.self_instruct.task_form import shipped_tasks
from judgeloop.instructions.templates import TemplateLanguage
from judgeloop.records import Task, derive_seed
from judgeloop.text.tokens import tokens_of

LONGEST_INSTRUCTION, LONGEST_FIELD = 60, 60  # words, or characters of scripts that count by characters


class Demonstrations:
    """The seed's tasks that are short enough to show, each instruction once. What is drawn depends on the seed and on
    what it is drawn for, and on nothing else."""

    def __init__(self, seed_tasks: Sequence[Task], language: TemplateLanguage, count: int, seed: int) -> None:
        unique = list({task.instruction: task for task in seed_tasks}.values())
        self._tasks = [task for task in unique if len(tokens_of(task.instruction)) <= LONGEST_INSTRUCTION]
        self.too_long = len(unique) - len(self._tasks)
        self._shipped = shipped_tasks(language)
        self._count, self._seed = count, seed

    def instructions(self, *, inputs: bool = True) -> list[Task]:
        """The seed's instructions, to draw the list from, as tasks of the instruction alone; without `inputs`, those
        that need none."""
        return [
            Task.of(task.instruction, "", "", task.source)
            for task in self._tasks
            if inputs or not (task.input or wants_input(task.instruction))
        ]

    def classification(self) -> list[Task]:
        """The configured numbers of classification tasks and of others, mixed; the same for every question."""
        yes = self._draw(lambda task: task.classification is True, "classification", "yes")
        no = self._draw(lambda task: task.classification is False, "classification", "no")
        mixed = [*yes, *no]
        random.Random(derive_seed(self._seed, "demonstrations", "classification")).shuffle(mixed)
        return mixed

    def with_input(self, name: str, *, label: bool) -> list[Task]:
        """Tasks with a short input, to show how an input is made up: classification tasks if a `label` is given
        first, else tasks that speak of their input, as the instruction does that wants one."""

        def fits(task: Task) -> bool:
            if not _is_short(task) or not task.input:
                return False
            return task.classification is True if label else wants_input(task.instruction)

        return self._draw(fits, "input", name)

    def instances(self, name: str, *, classification: bool) -> list[Task]:
        """Whole tasks with a short input and output: of one kind, with and without an input as the seed has them."""

        def fits(task: Task) -> bool:
            return _is_short(task) and bool(task.output) and (task.classification is True) == classification

        return self._draw(fits, "instance", name)

    def _draw(self, fits: Callable[[Task], bool], *purpose: str) -> list[Task]:
        fitting = [task for task in self._tasks if fits(task)]
        if len(fitting) < self._count:
            fitting += [task for task in self._shipped if fits(task)]
        rng = random.Random(derive_seed(self._seed, "demonstrations", *purpose))
        return rng.sample(fitting, min(self._count, len(fitting)))


def _is_short(task: Task) -> bool:
    return all(len(tokens_of(text)) <= LONGEST_FIELD for text in (task.input, task.output))
