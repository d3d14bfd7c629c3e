"""What a prompter is shown by Self-Instruct, in English and in Chinese (arXiv 2212.10560, §2.2 and its appendix). The
wording is ours; it is in templates/."""

from __future__ import annotations

import json
from dataclasses import dataclass

from judgeloop.instructions.templates import TemplateLanguage, template, words
from judgeloop.records import Task
from judgeloop.shipped import shipped_text


@dataclass(frozen=True, slots=True)
class TaskForm:
    """Labels and orders of one language. An order is the user's turn of a chat; the model then finds its own answer
    begun. `{task}` is the instruction, `{count}` a number."""

    task: str
    input: str
    output: str
    label: str
    classification: str
    yes: str
    no: str
    none: str
    labels_begun: str
    colon: str
    list_order: str
    classification_order: str
    labels_order: str
    input_order: str
    labelled_input_order: str
    instances_order: str
    labelled_instances_order: str
    brief: str

    @property
    def spaced(self) -> bool:
        """Whether a space follows a label's colon; none follows a full-width one."""
        return self.colon == ":"

    def line(self, label: str, text: str) -> str:
        """`Input: …`, or the bare label if there is nothing to follow it yet."""
        return f"{label}{self.colon}{' ' if self.spaced and text else ''}{text}"

    def numbered(self, number: int, text: str = "") -> str:
        """`Task 3: …`."""
        return self.line(f"{self.task}{' ' if self.spaced else ''}{number}", text)

    def option(self, text: str) -> str:
        """An answer as it follows a label's colon."""
        return f" {text}" if self.spaced else text


def task_form(language: TemplateLanguage) -> TaskForm:
    """The form of one language, from the files in templates/."""
    package = "judgeloop.instructions.self_instruct"
    names = ("list", "classification", "labels", "input", "labelled_input", "instances", "labelled_instances")
    orders = {f"{name}_order": template(package, name, language) for name in names}
    return TaskForm(**words(package, language), **orders, brief=template(package, "brief", language))


def shipped_tasks(language: TemplateLanguage) -> list[Task]:
    """The hand-written tasks of one language, half of them classification: shown if the seed has too few."""
    text = shipped_text("judgeloop.instructions", f"demonstrations/classification.{language}.jsonl")
    rows = [json.loads(line) for line in text.splitlines()]
    return [
        Task.of(
            row["instruction"], row["input"], row["output"], f"shipped:{number}", classification=row["classification"]
        )
        for number, row in enumerate(rows)
    ]
