from __future__ import annotations

from typing import Literal

import pytest

from judgeloop.config import PromptsSection
from judgeloop.instructions.filters import lacks_input, rejection
from judgeloop.instructions.unnatural.example_form import (
    ExampleForm,
    example_form,
    listed_examples,
    parse_examples,
    shipped_rephrasings,
    shipped_tasks,
)
from judgeloop.instructions.unnatural.rephrase import INPUT, formulated
from judgeloop.records import Task
from judgeloop.text.language import language_of
from judgeloop.text.similarity import NoveltyPool
from judgeloop.text.tokens import rouge_l, tokens_of

EN, ZH = example_form("en"), example_form("zh")
LANGUAGES: tuple[tuple[Literal["en", "zh"], ExampleForm], ...] = (("en", EN), ("zh", ZH))


def parsed(text: str, form: object = EN, finished: bool = True) -> list[tuple[str, str, str, str | None]]:
    assert form in (EN, ZH)
    examples = parse_examples(text, EN if form is EN else ZH, finished)
    return [(e.instruction, e.input, e.constraints, e.reason) for e in examples]


def test_examples_are_numbered_and_the_next_header_is_open() -> None:
    tasks = [
        Task.of("Sort the\n words.", "b\n\n a", "", "s", constraints="One\nline."),
        Task.of("Say something kind.", "", "", "s"),
    ]
    assert listed_examples(tasks, EN) == (
        "Example 1\nInstruction: Sort the words.\nInput: b\na\nConstraints: One line.\n\n"
        "Example 2\nInstruction: Say something kind.\nInput: None.\nConstraints: None.\n\n"
        "Example 3\nInstruction:"
    )
    assert listed_examples([Task.of("排序。", "乙，甲", "", "s")], ZH) == (
        "示例 1\n指令：排序。\n输入：乙，甲\n约束：无。\n\n示例 2\n指令："
    )


def test_what_is_shown_is_read_back() -> None:
    for language, form in LANGUAGES:
        tasks = shipped_tasks(language)
        text = listed_examples(tasks, form).partition(form.colon.strip())[2]
        found = parse_examples(text.rpartition("\n\n")[0], form, True)
        assert [(e.instruction, e.input, e.constraints, e.reason) for e in found] == [
            (task.instruction, task.input, task.constraints, None) for task in tasks
        ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Add them.\nInput: 2, 3\nConstraints: A number.", ("Add them.", "2, 3", "A number.", None)),
        (" Add them.\nInput: 2, 3\nConstraints: None.\nOutput: 5", ("Add them.", "2, 3", "", None)),
        (" Add them.\nInput: 2\n3\n\n4\nConstraint: no constraints", ("Add them.", "2\n3\n\n4", "", None)),
        (" Rhyme please.\nInput: N/A\nConstraints: none", ("Rhyme please.", "", "", None)),
        (" **Add them.**\n**Input:** 2\n**Constraints:** One.", ("Add them.", "2", "One.", None)),
        (' "Add them."\nInput: "2"\nConstraints: "yes" or "no"', ("Add them.", "2", '"yes" or "no"', None)),
        (" Add\nthem.\nInput: 2\nConstraints: One.\n\nHere you are!", ("Add them.", "2", "One.", None)),
        (" Add them.\nInput: 2, 3", ("Add them.", "2, 3", "", "no constraints")),
        (" Add them.\nConstraints: One.", ("Add them.", "", "One.", "no input")),
        (" Add them.", ("Add them.", "", "", "no input")),
        ("\nInput: 2\nConstraints: One.", ("", "2", "One.", "no instruction")),
        ("", ("", "", "", "no input")),
        (" Add them.\nOutput: 5\nInput: 2\nConstraints: One.", ("Add them.", "", "", "no input")),
        (" Instruction\nInput: input\nConstraints: One.", ("Instruction", "input", "One.", "echoes the template")),
        (" Add them.\nInput: [input]\nConstraints: .", ("Add them.", "[input]", "", "echoes the template")),
        (" Add them.\nInput: 2\nConstraints: <your constraints here>",
         ("Add them.", "2", "<your constraints here>", "echoes the template")),
    ],
)  # fmt: skip
def test_fields_are_read_and_what_is_malformed_has_a_reason(
    text: str, expected: tuple[str, str, str, str | None]
) -> None:
    assert parsed(text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("求和。\n输入：2，3\n约束：只写数字。", ("求和。", "2，3", "只写数字。", None)),
        ("求和。\n输入:2\n要求：无\n输出：2", ("求和。", "2", "", None)),
        ("求和。\nInput: 2\nConstraints: 无。", ("求和。", "2", "", None)),
        ("求和。\n约束：无。", ("求和。", "", "", "no input")),
        ("指令\n输入：输入\n约束：无", ("指令", "输入", "", "echoes the template")),
    ],
)
def test_chinese_fields_are_read(text: str, expected: tuple[str, str, str, str | None]) -> None:
    assert parsed(text, ZH) == [expected]


def test_a_cut_completion_loses_its_last_example_only() -> None:
    two = " One thing.\nInput: a\nConstraints: b\n\nExample 5\nInstruction: Two thi"
    assert [row[3] for row in parsed(two, finished=False)] == [None, "cut off by length"]
    assert [row[3] for row in parsed(two)] == [None, "no input"]
    assert [row[3] for row in parsed(" One.\nInput: a\nConstraints: b", finished=False)] == ["cut off by length"]
    # The last had come to its end before the cut.
    assert [row[3] for row in parsed(" One.\nInput: a\nConstraints: b\nOutput: c d", finished=False)] == [None]
    assert [row[3] for row in parsed(" One.\nInput: a\nConstraints: b\n\nThis is", finished=False)] == [None]
    assert [row[3] for row in parsed(" One.\nInput: a\nConstraints: b\n\nExample 5\n", finished=False)] == [None]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_shipped_demonstrations_pass_what_is_asked_of_made_ones(language: str) -> None:
    assert language in ("en", "zh")
    tasks = shipped_tasks("en" if language == "en" else "zh")
    assert len(tasks) == 15
    assert sum(bool(task.constraints) for task in tasks) >= 12
    pool = NoveltyPool(0.7)
    for task in tasks:
        assert task.input
        assert rejection(task.instruction, PromptsSection(), has_input=True) is None
        assert language_of(task.instruction) == language
        assert pool.add_if_novel(task.instruction) is None


@pytest.mark.parametrize("language", ["en", "zh"])
def test_shipped_rephrasings_pass_what_is_asked_of_made_ones(language: str) -> None:
    rows = shipped_rephrasings("en" if language == "en" else "zh")
    with_input = [INPUT in row["alternative"] for row in rows]
    assert (with_input.count(True), with_input.count(False)) == (6, 6)
    for row in rows:
        task = Task.of(row["instruction"], "x" if INPUT in row["alternative"] else "", "", "s")
        words, original = tokens_of(row["alternative"].replace(INPUT, " ")), tokens_of(row["instruction"])
        assert rouge_l(words, original) <= 0.8
        assert len(words) <= 4 * len(original)
        made = formulated(row["alternative"], task, "s")
        assert rejection(made.instruction, PromptsSection(), has_input=bool(made.input)) is None
        assert bool(made.input) or not lacks_input(made.instruction)
