from __future__ import annotations

import random

import pytest

from judgeloop.instructions.unnatural.rephrase import formulated, listing, read_formulation, wording_fault
from judgeloop.records import Task

SUM = Task.of("Add up the numbers.", "2, 3", "5", "unnatural:4", constraints="Only a number.", classification=False)
JOKE = Task.of("Tell a joke about rain.", "", "…", "unnatural:5")


def test_two_demonstrations_of_its_kind_and_the_task_without_its_input() -> None:
    text = listing(SUM, "en", random.Random(1))
    entries = text.split("\n\n")
    assert len(entries) == 3
    assert all(entry.count("{INPUT}") == 2 for entry in entries[:2])
    assert entries[2] == "Instruction: Add up the numbers. {INPUT}\nOther wording:"
    assert "2, 3" not in text
    assert "{INPUT}" not in listing(JOKE, "en", random.Random(1))
    assert len({listing(SUM, "en", random.Random(seed)) for seed in range(8)}) > 4
    chinese = listing(Task.of("求和。", "2，3", "", "s"), "zh", random.Random(1))
    assert chinese.endswith("指令：求和。{INPUT}\n另一种说法：")


@pytest.mark.parametrize(
    ("task", "text", "finished", "expected"),
    [
        (SUM, " What is the sum of {INPUT}?\nInstruction: next", True, ("What is the sum of {INPUT}?", None)),
        (SUM, " What is the sum of [input]?", True, ("What is the sum of {INPUT}?", None)),
        (SUM, " 这些数的和是多少？【】｛输入}（输入）", True, ("这些数的和是多少？【】｛输入}{INPUT}", None)),
        (SUM, " What is the sum of 2, 3?", True, ("What is the sum of {INPUT}?", None)),
        (SUM, " What is the sum?", True, ("What is the sum?", "lost the input")),
        (SUM, " Is {INPUT} {INPUT} or not?", True, ("Is {INPUT} {INPUT} or not?", "contains the input twice")),
        (SUM, " What is the sum of {INPUT} and th", False, ("What is the sum of {INPUT} and th", "cut off by length")),
        (SUM, " What is the sum of {INPUT}?\nMore", False, ("What is the sum of {INPUT}?", None)),
        (SUM, " \n ", True, ("", "empty")),
        (JOKE, " Make me laugh about rain.", True, ("Make me laugh about rain.", None)),
        (JOKE, " Joke on {INPUT}.", True, ("Joke on {INPUT}.", "asks for an input that the task has not")),
    ],
)
def test_a_completion_is_read_as_one_line_that_holds_the_place_of_the_input(
    task: Task, text: str, finished: bool, expected: tuple[str, str | None]
) -> None:
    assert read_formulation(text, task, finished) == expected


@pytest.mark.parametrize(
    ("line", "others", "reason"),
    [
        ("What do the numbers {INPUT} come to?", [], None),
        ("Add up all the numbers: {INPUT}", [], "too close to the original"),
        ("What do the numbers {INPUT} come to?", ["What do the numbers come to? {INPUT}"],
         "too close to another formulation"),
        ("{INPUT} numbers", [], "too short"),
        ("The numbers " + " ".join("abcdefghijklmno") + " {INPUT}", [], "too long"),
        ("Which country has the largest {INPUT}?", [], "shares no word with the original"),
        ("Put these numbers in order, the shortest word first: {INPUT}", [],
         "copied from a demonstration"),
    ],
)  # fmt: skip
def test_formulations_that_say_nothing_new_or_something_else_are_dropped(
    line: str, others: list[str], reason: str | None
) -> None:
    assert wording_fault(line, SUM, others, 0.8, 4.0, "en") == reason


def test_limits_are_keys() -> None:
    assert wording_fault("Add up all the numbers: {INPUT}", SUM, [], 0.9, 4.0, "en") is None
    assert wording_fault("What do the numbers {INPUT} come to?", SUM, [], 0.8, 1.0, "en") == "too long"


def test_chinese_formulations_are_compared_by_characters() -> None:
    task = Task.of("算出这些数字的总和。", "2，3", "", "s")
    assert wording_fault("{INPUT}加起来，总和是多少？", task, [], 0.8, 4.0, "zh") is None
    assert wording_fault("请算出这些数字的总和：{INPUT}", task, [], 0.8, 4.0, "zh") == "too close to the original"
    assert wording_fault("{INPUT}里哪座桥最长？", task, [], 0.8, 4.0, "zh") == "shares no word with the original"


def test_the_input_stays_apart_where_it_ends_the_formulation_and_is_filled_in_elsewhere() -> None:
    apart = formulated("What is the sum of these? {INPUT}", SUM, "unnatural:4.alt0")
    assert (apart.instruction, apart.input) == ("What is the sum of these?", "2, 3")
    inside = formulated("How much is {INPUT} in all?", SUM, "unnatural:4.alt1")
    assert (inside.instruction, inside.input) == ("How much is 2, 3 in all?", "")
    plain = formulated("Make me laugh about rain.", JOKE, "unnatural:5.alt0")
    assert (plain.instruction, plain.input) == ("Make me laugh about rain.", "")
    for row in (apart, inside):
        assert (row.output, row.constraints, row.classification) == ("5", "Only a number.", False)
        assert "2, 3" in row.messages()[0]["content"]
    assert apart.source == "unnatural:4.alt0"
