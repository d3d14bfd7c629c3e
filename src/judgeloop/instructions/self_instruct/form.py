"""What a prompter is shown by Self-Instruct, in English and in Chinese (arXiv 2212.10560, §2.2 and its appendix). The
wording is ours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from judgeloop.records import Task

FormLanguage = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class Form:
    """Labels and orders of one language. An order opens a chat turn whose answer is found begun; `{task}` is the
    instruction. `spaced` languages have a space behind a label's colon."""

    task: str
    input: str
    output: str
    label: str
    classification: str
    yes: str
    no: str
    none: str
    colon: str
    spaced: bool
    list_order: str
    classification_order: str
    labels_order: str
    labels_begun: str
    input_order: str
    labelled_input_order: str
    instances_order: str
    labelled_instances_order: str
    brief: str

    def line(self, label: str, text: str) -> str:
        """`Input: …`, or the bare label where there is nothing to stand behind it yet."""
        return f"{label}{self.colon}{' ' if self.spaced and text else ''}{text}"

    def numbered(self, number: int, text: str = "") -> str:
        """`Task 3: …`."""
        return self.line(f"{self.task}{' ' if self.spaced else ''}{number}", text)

    def option(self, text: str) -> str:
        """An answer as it stands behind a label's colon."""
        return f" {text}" if self.spaced else text


FORMS: dict[FormLanguage, Form] = {
    "en": Form(
        task="Task",
        input="Input",
        output="Output",
        label="Label",
        classification="Classification",
        yes="Yes",
        no="No",
        none="none",
        colon=":",
        spaced=True,
        list_order="Write a list of {count} different questions and writing tasks for a chatbot. Be specific.",
        classification_order=(
            "Say of each task whether it is a classification task: one whose answer is one of a small set of labels."
        ),
        labels_order=(
            'Here is a task: "{task}"\n\n'
            "Which answers are possible? Write the possible labels in one line, separated by commas."
        ),
        labels_begun="The labels are:",
        input_order="Make up an input for each of these tasks.",
        labelled_input_order="Make up an input for each of these tasks, such that the label given is the right answer.",
        instances_order=(
            "Give examples for each of these tasks: an input, where the task needs one, and the output that solves it."
        ),
        labelled_instances_order=(
            "Give examples for each of these tasks: a label that is a possible answer, then an input for which it is "
            "the right one."
        ),
        brief="Answer briefly, in a few sentences.",
    ),
    "zh": Form(
        task="任务",
        input="输入",
        output="输出",
        label="标签",
        classification="分类任务",
        yes="是",
        no="否",
        none="无",
        colon="：",
        spaced=False,
        list_order="请列出可以交给聊天助手的{count}个不同的问题和写作任务，内容要具体。",
        classification_order="请判断每个任务是不是分类任务，也就是答案只能从少数几个标签里选的任务。",
        labels_order="有这样一个任务：“{task}”\n\n可能的答案有哪些？请把可能的标签写在一行里，用顿号隔开。",
        labels_begun="标签有：",
        input_order="请为下面每个任务编一个输入。",
        labelled_input_order="请为下面每个任务编一个输入，使给出的标签正好是正确答案。",
        instances_order="请为下面每个任务举例：任务需要输入时先写输入，再写完成任务的输出。",
        labelled_instances_order="请为下面每个任务举例：先写一个可能的标签，再写一个正好属于这个标签的输入。",
        brief="请简短回答，几句话即可。",
    ),
}


def shipped_tasks(language: FormLanguage) -> list[Task]:
    """The hand-written tasks of one language, half of them classification: shown where the seed has too few."""
    file = resources.files("judgeloop.instructions") / "demonstrations" / f"classification.{language}.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [
        Task.of(
            row["instruction"], row["input"], row["output"], f"shipped:{number}", classification=row["classification"]
        )
        for number, row in enumerate(rows)
    ]
