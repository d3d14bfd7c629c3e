from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.errors import InputError
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.input_need import wants_input
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import BATCH, search
from judgeloop.instructions.self_instruct.self_instruct import SelfInstruct, parse_list
from judgeloop.instructions.self_instruct.task_form import shipped_tasks, task_form
from judgeloop.records import Demonstrations, Message, Task
from judgeloop.text.tokens import tokens_of

NOUNS = ["river", "candle", "bridge", "garden", "engine", "violin", "desert", "market", "winter", "button", "pepper"]
NOUNS += ["lantern", "castle", "window"]
VERBS = ["Describe", "Compare", "Explain", "Praise", "Question", "Translate", "Rewrite", "Summarise", "Defend"]
VERBS += ["Imagine"]
SEED = [
    Task.of(f"Tell me {noun} facts that nobody else remembers", "", f"It is a {noun}.", "s:1", classification=False)
    for noun in NOUNS
] + [
    Task.of(f"Is the given {noun} old or new?", f"a rusty {noun}", "old", "s:2", classification=True)
    for noun in NOUNS[:6]
]


class PlainChat:
    """Token ids are code points."""

    positions: int | None = None

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        return self.text_ids(f"<user>{messages[-1]['content']}<assistant>")

    def text_ids(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    words_ids = text_ids

    def response_ids(self, text: str, *, finished: bool = True) -> list[int]:
        assert not finished
        return self.text_ids(text)


class FakeEngine:
    """Continues lists with items that depend on seed and prompt, or with `items`; calls what contains 'label' in its
    words a classification task; writes inputs and answers. Ends late requests first."""

    name = "prompter"

    def __init__(
        self,
        items: Sequence[str] = (),
        *,
        finish: str = "stop",
        labels: str = " old, new",
        input: str | None = None,
        output: Sequence[tuple[str, str]] = (("An answer.", "stop"),),
        listed: str | None = None,
        die_at: int | None = None,
    ) -> None:
        self.items, self.finish, self.labels, self.input = items, finish, labels, input
        self.output, self.listed, self.die_at = output, listed, die_at
        self.asked: list[Request] = []
        self.weighed: list[OptionRequest] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in reversed(requests):
            if self.die_at is not None and len(self.asked) == self.die_at:
                raise KeyboardInterrupt
            self.asked.append(request)
            text, finish = self._reply(request, said(request))
            yield Generation(request.id, 0, tuple(range(7)), text, finish)

    def _reply(self, request: Request, prompt: str) -> tuple[str, Any]:
        rng = random.Random(f"{request.seed} {prompt}")
        if re.search(r"(Task |任务)\d+[:：]$", prompt):
            made = [f"{rng.choice(VERBS)} a {rng.choice(NOUNS)} and a {rng.choice(NOUNS)} for my {rng.choice(NOUNS)}"]
            made += [f"{rng.choice(VERBS)} the {rng.choice(NOUNS)} without any {rng.choice(NOUNS)}", "Draw a cat now"]
            items = self.items or made
            return " " + "\n".join([items[0], *(f"Task {n}: {text}" for n, text in enumerate(items[1:], 10))]), (
                self.finish
            )
        if prompt.endswith("The labels are:"):
            return self.labels, "stop"
        if self.listed is not None:
            return self.listed, self.finish
        if prompt.endswith(("\nInput:", "\n输入：")):
            return f" {self.input if self.input is not None else 'Once there was a ' + rng.choice(NOUNS)}", "stop"
        attempt = int(request.id.rsplit(".", 1)[1]) if ".output." in request.id else 0
        return self.output[min(attempt, len(self.output) - 1)]

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        for request in requests:
            self.weighed.append(request)
            last = said(request).split("Task:")[-1]
            yes = 0.7 if "label" in last else 0.1
            yield OptionLogprobs(request.id, (math.log(yes), math.log(0.8 - yes)))

    def close(self) -> None:
        pass


class Rows:
    """What a stage would have on disk: tasks, and the last account."""

    def __init__(self) -> None:
        self.rows: list[Task] = []
        self.shown: dict[str, list[str]] = {}
        self.account: dict[str, Any] | None = None

    def resume(self) -> tuple[list[Task], dict[str, Any] | None]:
        return list(self.rows), self.account

    def append(self, rows: Sequence[Task], account: dict[str, Any], shown: Sequence[Demonstrations]) -> None:
        self.rows += rows
        self.shown |= {one.id: [task["text"] for task in one.shown] for one in shown}
        self.account = json.loads(json.dumps(account))


def said(request: Request | OptionRequest) -> str:
    return "".join(map(chr, request.prompt_ids))


def make(engine: FakeEngine, rows: Rows | None = None, *, seed: int = 5, **fields: Any) -> dict[str, Any]:
    rows = rows or Rows()
    tasks = fields.pop("seed_tasks", SEED)
    known = {key: fields.pop(key) for key in ("earlier", "avoid") if key in fields}
    config = PromptsSection(**{"count": 60, "max_rouge_l": 0.8, **fields})
    gate = Gate(config, seed=[task.instruction for task in tasks], **known)
    return search(SelfInstruct(Prompter(engine, PlainChat(), seed), tasks, config, gate), rows)


def untimed(account: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in account.items() if name != "seconds_by_step"}


def lists(engine: FakeEngine) -> list[Request]:
    return sorted(
        (request for request in engine.asked if re.fullmatch(r"self_instruct:\d+", request.id)),
        key=lambda request: int(request.id.split(":")[1]),
    )


def shown_in(request: Request) -> list[str]:
    lines = said(request).split("<assistant>")[1].splitlines()
    assert [line.split(":")[0] for line in lines] == [f"Task {n}" for n in range(1, len(lines) + 1)]
    return [line.partition(": ")[2] for line in lines[:-1]]


@pytest.mark.parametrize(
    ("text", "items", "cut"),
    [
        (" One a\nTask 10: Two b\nTask 11: Three c", ["One a", "Two b", "Three c"], "Three c"),
        (" One a", ["One a"], "One a"),
        (" One a\nTask 10:", ["One a"], None),
        (" One a\n**Task 10:** **Two b**\n\n11. Three c\n", ["One a", "Two b", "Three c"], "Three c"),
        ("\nOne a\nInput: none\nTask 10: Two 3.5 b\n", ["One a", "Two 3.5 b"], "Two 3.5 b"),
        (" 2. One a\nTask 10: 17) Two b", ["One a", "Two b"], "Two b"),
        ("", [], None),
    ],
)
def test_lists_are_split_and_a_cut_one_loses_its_last_item(text: str, items: list[str], cut: str | None) -> None:
    assert parse_list(text, task_form("en"), True) == (items, None)
    assert parse_list(text, task_form("en"), False) == (items if cut is None else items[:-1], cut)


def test_chinese_lists_are_split() -> None:
    text = "用一句话介绍雨。\n任务10：列出三种茶。\n任务 11: 写一首短诗。\n12、翻译这句话。"
    items = ["用一句话介绍雨。", "列出三种茶。", "写一首短诗。", "翻译这句话。"]
    assert parse_list(text, task_form("zh"), True) == (items, None)


def test_every_item_and_every_instance_is_accounted_for() -> None:
    engine, rows = FakeEngine(), Rows()
    account = make(engine, rows)
    assert untimed(account) == untimed(rows.account or {})
    assert (account["asked"], account["kept"], account["stopped"]) == (60, 60, "count reached")
    assert len({row.id for row in rows.rows}) == len({row.instruction for row in rows.rows}) == 60
    assert account["got"] == 3 * account["requests"] == 60 + sum(account["dropped"].values())
    assert account["dropped"]["needs more than text"] == account["requests"]
    assert account["instructions_kept"] == account["instances"]["kept"] == 60
    assert account["classification"]["asked"] == len(engine.weighed) >= 60
    assert account["tokens"] == 7 * len(engine.asked) == sum(account["tokens_by_step"].values())
    assert set(account["seconds_by_step"]) == {"instructions", "classification", "labels", "inputs", "outputs"}
    assert len(account["samples"]["kept"]) == 5
    assert account["samples"]["dropped"]["needs more than text"] == ["Draw a cat now"] * 3
    assert len({request.seed for request in engine.asked}) == len(engine.asked)
    assert {row.output for row in rows.rows} == {"An answer."}


def test_six_of_the_seed_and_two_of_its_own_are_shown() -> None:
    engine, rows = FakeEngine(), Rows()
    make(engine, rows)
    asked, seed = lists(engine), {task.instruction for task in SEED}
    kept = {row.instruction for row in rows.rows}
    assert len(set(shown_in(asked[0])) & seed) == 8
    shown = shown_in(asked[BATCH])
    assert (len(set(shown) & seed), len(set(shown) & kept)) == (6, 2)
    orders = {tuple(task in seed for task in shown_in(request)) for request in asked[BATCH : BATCH + 8]}
    assert len(orders) > 2  # not the seed's first
    assert "Write a list of 16 different questions and writing tasks" in said(asked[0])
    assert asked[0].sampling.stop_strings == ("\nTask 17:",)


@pytest.mark.parametrize("die_at", [3, BATCH, BATCH + 5, 3 * BATCH, 5 * BATCH + 2])
def test_a_killed_search_goes_on_to_the_same_rows(die_at: int) -> None:
    whole, rows = Rows(), Rows()
    expected = make(FakeEngine(), whole, count=90)
    with pytest.raises(KeyboardInterrupt):
        make(FakeEngine(die_at=die_at), rows, count=90)
    assert len(rows.rows) < 90
    assert untimed(make(FakeEngine(), rows, count=90)) == untimed(expected)
    assert rows.rows == whole.rows


def test_a_finished_search_asks_nothing_more_and_another_seed_gives_other_rows() -> None:
    rows, other = Rows(), Rows()
    expected = make(FakeEngine(), rows)
    engine = FakeEngine()
    assert make(engine, rows) == expected
    assert engine.asked == []
    make(FakeEngine(), other, seed=6)
    assert {row.instruction for row in other.rows} != {row.instruction for row in rows.rows}


def test_rows_of_another_method_are_refused() -> None:
    rows = Rows()
    rows.rows = [Task.of("Say hello to them", "", "Hi", "unnatural:3")]
    with pytest.raises(InputError, match="not from self_instruct"):
        make(FakeEngine(), rows)


def test_a_list_that_is_cut_off_loses_its_last_item_only() -> None:
    rows = Rows()
    account = make(FakeEngine(["Name one river", "Sing about tall tow"], finish="length"), rows, max_requests=1)
    assert [row.instruction for row in rows.rows] == ["Name one river"]
    assert account["dropped"] == {"cut off by length": 1}
    assert account["samples"]["dropped"]["cut off by length"] == ["Sing about tall tow"]


def test_what_is_known_already_is_dropped_by_reason() -> None:
    items = [SEED[0].instruction, "Name one long river", "Praise my old garden", "Visit [name of a city] soon", "So"]
    account = make(
        FakeEngine([*items, "Who built this bridge?", "Who built this bridge"]), max_requests=1, count=5,
        earlier=["Name one long river!"], avoid=["praise my old garden"],
    )  # fmt: skip
    assert account["dropped"] == {
        "too close to a seed prompt": 1,
        "too close to an earlier iteration's prompt": 1,
        "too close to an evaluation prompt": 1,
        "contains a placeholder": 1,
        "too short": 1,
        "too close to a prompt already kept": 1,
    }


def test_an_input_is_asked_for_only_where_the_instruction_speaks_of_one() -> None:
    engine, rows = FakeEngine(["Shorten the following sentence", "Name one river"], input="It rained all day."), Rows()
    make(engine, rows, count=2, max_requests=1)
    first, second = rows.rows
    assert (first.input, second.input) == ("It rained all day.", "")
    assert (first.source, second.source) == ("self_instruct:0.0", "self_instruct:0.1")
    (asked,) = [request for request in engine.asked if ".input." in request.id]
    shown = said(asked).split("<assistant>")[1]
    assert shown.endswith("Task: Shorten the following sentence\nInput:")
    assert shown.count("Task:") == 6
    assert "Label:" not in shown
    assert list(rows.shown) == ["self_instruct:0", "self_instruct:0.0"]  # of the list, and of the one input
    assert len(rows.shown["self_instruct:0.0"]) == 5
    for task in rows.shown["self_instruct:0.0"]:
        instruction, _, given = task.partition("\n\n")
        assert f"Task: {instruction}\nInput: {given}\n" in shown
    answers = [said(request) for request in engine.asked if ".output." in request.id]
    assert any("Shorten the following sentence\n\nIt rained all day.\n\nAnswer briefly" in text for text in answers)


def test_a_prompter_too_small_for_inputs_writes_what_stands_by_itself() -> None:
    engine, rows = (
        FakeEngine(["Shorten the following sentence", "Describe this person to me", "Name one river"]),
        Rows(),
    )
    account = make(engine, rows, max_requests=1, self_instruct={"inputs": False})
    assert [(row.instruction, row.input) for row in rows.rows] == [("Name one river", "")]
    assert account["dropped"] == {"wants an input": 2}
    assert not any("the given" in text for text in shown_in(lists(engine)[0]))
    labelled = FakeEngine(["Put a label on a fox"])
    make(labelled, rows := Rows(), max_requests=1, self_instruct={"inputs": False})
    assert [(row.input, row.output, row.classification) for row in rows.rows] == [("", "An answer.", True)]


@pytest.mark.parametrize(
    ("instruction", "wanted"),
    [
        ("Shorten the following sentence", True),
        ("Find the longest word in a given string.", True),
        ("Tell me about this person.", True),
        ("Identify the wrong colour in the list.", True),
        ("Summarise the text", True),
        ("Convert the sentence to a question.", True),
        ("Given a list of words, find the longest one.", True),
        ("Explain what happened this week.", False),
        ("Write a list of the best films.", False),
        ("Add a comma to the sentence 'We came we saw'.", False),
        ("What is the number of bones in a hand?", False),
        ("Describe the river at night.", False),
        ("介绍一下这个人。", True),
        ("找出文中的错别字。", True),
        ("写一首关于秋天的诗。", False),
        ("介绍一下这个世界上最高的山。", False),
    ],
)
def test_an_instruction_that_speaks_of_material_wants_an_input(instruction: str, wanted: bool) -> None:
    assert wants_input(instruction) is wanted


def test_classification_is_asked_with_tasks_of_both_kinds() -> None:
    engine = FakeEngine(["Put a label on the following tool"])
    account = make(engine, count=1, max_requests=1)
    assert account["classification"] == {"asked": 1, "yes": 1, "without_labels": 0}
    text = said(engine.weighed[0]).split("<assistant>")[1]
    assert text.count("Classification: Yes\n") == text.count("Classification: No\n") == 5
    assert text.endswith("Task: Put a label on the following tool\nClassification:")
    assert ["".join(map(chr, option)) for option in engine.weighed[0].options] == [" Yes", " No"]
    assert text.count("Is the given") == 5  # the seed's own marks


def test_a_classification_task_gets_its_label_first() -> None:
    engine, rows = FakeEngine(["Put a label on the following tool"]), Rows()
    make(engine, rows, count=2, max_requests=1, self_instruct={"max_instances": 2})
    assert {row.output for row in rows.rows} == {"old", "new"}
    assert {row.classification for row in rows.rows} == {True}
    assert [row.source for row in rows.rows] == ["self_instruct:0.0", "self_instruct:0.0.1"]
    steps = [request.id.split(".", 2)[2] for request in engine.asked if request.id.count(".") > 1]
    assert sorted(steps) == ["input.0", "input.1", "labels"]  # and no output
    for row, request in zip(rows.rows, [r for r in engine.asked if ".input." in r.id][::-1], strict=True):
        assert said(request).endswith(f"Label: {row.output}\nInput:")


def test_without_readable_labels_it_is_no_classification_task() -> None:
    engine, rows = FakeEngine(["Put a label on the following tool"], labels=" It depends."), Rows()
    account = make(engine, rows, count=1, max_requests=1)
    assert account["classification"] == {"asked": 1, "yes": 1, "without_labels": 1}
    assert (rows.rows[0].output, rows.rows[0].classification) == ("An answer.", False)
    assert rows.rows[0].input


def test_a_question_that_needs_no_input_is_answered_whatever_its_kind() -> None:
    rows = Rows()
    make(FakeEngine(["Which label fits a fox?"]), rows, count=1, max_requests=1)
    assert (rows.rows[0].input, rows.rows[0].output) == ("", "An answer.")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"input": ""}, "input is empty"),
        ({"input": "None."}, "input is empty"),
        ({"input": "Dear [name of a friend], hello"}, "input contains a placeholder"),
        ({"input": "Shorten the following sentence."}, "input repeats the instruction"),
        ({"input": "ho ho ho ho ho"}, "input repeats itself"),
        ({"input": "a rusty lantern"}, "input copied from a demonstration"),
        ({"output": [("", "stop")]}, "output is empty"),
        ({"output": [("It was a day", "length")]}, "output cut off by length"),
        ({"input": "All is well", "output": [("All is well.", "stop")]}, "output is the input"),
        ({"output": [("Shorten the following sentence", "stop")]}, "output repeats the instruction"),
        ({"output": [("no no no no no", "stop")]}, "output repeats itself"),
    ],
)
def test_instances_that_cannot_serve_are_dropped_and_counted(fields: dict[str, Any], reason: str) -> None:
    lamps = [Task.of(f"Name the colour of the given thing {k}", "a rusty lantern", "red", "s:1") for k in range(5)]
    rows = Rows()
    engine = FakeEngine(["Shorten the following sentence"], **fields)
    with pytest.raises(InputError, match=r"no task was kept of 1 from 1 requests \(1 no usable instance\)"):
        make(engine, rows, max_requests=1, seed_tasks=lamps)
    account = rows.account or {}
    assert account["dropped"] == {"no usable instance": 1}
    assert account["instances"]["dropped"] == {reason: 1}
    assert account["instances"]["got"] == 1
    (sample,) = account["instances"]["samples"]["dropped"][reason]
    assert sample.startswith("Shorten the following sentence | ")


def test_a_cut_off_output_is_asked_for_again() -> None:
    rows = Rows()
    engine = FakeEngine(["Name one river"], output=[("The Rhine is", "length"), ("The Rhine.", "stop")])
    account = make(engine, rows, count=1, max_requests=1)
    assert [row.output for row in rows.rows] == ["The Rhine."]
    assert account["instances"]["dropped"] == {}
    assert [request.id for request in engine.asked][-2:] == [
        "self_instruct:0.0.output.0.0",
        "self_instruct:0.0.output.0.1",
    ]
    with pytest.raises(InputError, match="no usable instance"):
        make(engine, count=1, max_requests=1, self_instruct={"output_attempts": 1})


def test_prompts_alone_need_no_outputs() -> None:
    engine, rows = FakeEngine(["Shorten the following sentence", "Name one river"]), Rows()
    make(engine, rows, max_requests=1, self_instruct={"outputs": False})
    assert [row.output for row in rows.rows] == ["", ""]
    assert [bool(row.input) for row in rows.rows] == [True, False]
    assert not [request for request in engine.asked if ".output." in request.id]


def test_the_answer_may_be_as_long_as_it_likes() -> None:
    engine = FakeEngine(["Name one river"])
    make(engine, count=1, max_requests=1, self_instruct={"brief": False})
    assert said(engine.asked[-1]) == "<user>Name one river<assistant>"


LISTED = " a wet dog\nOutput: Dry it.\nInput: a wet cat\nOutput: Leave it.\n\nInput: a wet dog\nOutput: Wash it.\n"


def test_listed_instances_are_read_from_one_text_and_filtered() -> None:
    rows = Rows()
    engine = FakeEngine(["Advise me on the following animal"], listed=LISTED)
    options = {"instances": "listed", "max_instances": 3}
    account = make(engine, rows, count=9, max_requests=1, self_instruct=options)
    assert [(row.input, row.output) for row in rows.rows] == [("a wet cat", "Leave it.")]
    assert account["instances"]["dropped"] == {"same input with different outputs": 2}
    assert set(account["tokens_by_step"]) == {"instructions", "instances"}
    shown = said(engine.asked[-1]).split("<assistant>")[1]
    assert shown.endswith("Task: Advise me on the following animal\nInput:")
    assert shown.count("Input: none\nOutput: It is a") == 5
    assert len(rows.shown["self_instruct:0.0.1"]) == 5
    assert all(f"Task: {instruction}\n" in shown for instruction in rows.shown["self_instruct:0.0.1"])


def test_listed_instances_of_a_classification_task_begin_with_the_label() -> None:
    rows = Rows()
    listed = " old\nInput: a rusty key\nLabel: new\nInput: a shiny key"
    engine = FakeEngine(["Put a label on the following key"], listed=listed, finish="length")
    options = {"instances": "listed", "max_instances": 3}
    with pytest.raises(InputError, match="1 cut off by length"):
        make(engine, max_requests=1, self_instruct=options)
    engine = FakeEngine(["Put a label on the following key", "Cut o"], listed=listed, finish="length")
    account = make(engine, rows, max_requests=1, self_instruct=options)
    assert [(row.input, row.output) for row in rows.rows] == [("a rusty key", "old")]
    assert account["instances"]["dropped"] == {"output cut off by length": 1}
    assert said(engine.asked[-1]).endswith("Task: Put a label on the following key\nLabel:")


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_listed_instances_have_both_parts(part: str) -> None:
    with pytest.raises(ValueError, match="set inputs and outputs to true"):
        PromptsSection(self_instruct={"instances": "listed", part: False})


def test_more_instances_than_wanted_are_counted() -> None:
    listed = " a\nOutput: b c\nInput: d\nOutput: e f\nInput: d\nOutput: e f"
    engine = FakeEngine(["Advise me on the following animal"], listed=listed)
    account = make(engine, max_requests=1, self_instruct={"instances": "listed"})
    assert account["instances"]["dropped"] == {"duplicate": 1, "more than were wanted": 1}


def test_a_prompt_that_an_evaluation_set_holds_is_dropped_with_its_input() -> None:
    held = "a red fox jumped over nine lazy dogs in the garden"
    engine = FakeEngine(["Shorten the following sentence", "Name one river"], input=f"I saw that {held}")
    account = make(engine, max_requests=1, avoid=[held])
    assert account["instances"]["dropped"] == {"shares 8 words in a row with an evaluation prompt": 1}


def test_the_surplus_of_a_batch_is_counted() -> None:
    rows = Rows()
    account = make(FakeEngine(), rows, count=2)
    assert len(rows.rows) == 2
    assert account["got"] == 2 + sum(account["dropped"].values())
    assert account["dropped"]["more than were wanted"] > 5


def test_the_chinese_templates_are_chinese() -> None:
    engine = FakeEngine(["x"])
    seed = [Task.of(f"请介绍一下第{k}种茶的味道和来历", "", "好喝。", "s:1") for k in range(9)]
    with pytest.raises(InputError):
        make(engine, seed_tasks=seed, language="zh", max_requests=1)
    text = said(engine.asked[0])
    assert "请列出可以交给聊天助手的16个不同的问题和写作任务" in text
    assert text.endswith("\n任务9：")
    assert not re.search("[A-Za-z]{2}", text.replace("<user>", "").replace("<assistant>", ""))


def test_chinese_instructions_get_inputs_and_answers() -> None:
    seed = [Task.of(f"请介绍一下第{k}种茶的味道和来历", "", "好喝。", "s:1", classification=False) for k in range(9)]
    rows = Rows()
    items = ["把下面这句话改短。", "写一首关于秋天的短诗。", "画一只猫和一只狗。"]
    engine = FakeEngine(items, input="他昨天走了很远的路。", output=[("路很长。", "stop")])
    account = make(engine, rows, seed_tasks=seed, language="zh", max_requests=1)
    assert [(row.instruction, row.input, row.output) for row in rows.rows] == [
        ("把下面这句话改短。", "他昨天走了很远的路。", "路很长。"),
        ("写一首关于秋天的短诗。", "", "路很长。"),
    ]
    assert account["dropped"] == {"needs more than text": 1}
    assert said(engine.asked[-1]).endswith("\n\n请简短回答，几句话即可。<assistant>")
    (asked,) = [request for request in engine.asked if ".input." in request.id]
    assert said(asked).count("任务：") == 6  # shipped ones, since the seed has none with an input
    assert "分类任务：是" in said(engine.weighed[0])


def test_a_seed_that_cannot_be_shown_is_refused() -> None:
    long = Task.of(" ".join(f"word{i}" for i in range(80)), "", "", "s:1")
    with pytest.raises(InputError, match="short enough to demonstrate"):
        make(FakeEngine(), seed_tasks=[long])
    with pytest.raises(InputError, match="and without input"):
        make(FakeEngine(), seed_tasks=SEED[-3:], self_instruct={"inputs": False})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_shipped_tasks_show_both_kinds(language: Any) -> None:
    tasks = shipped_tasks(language)
    assert (
        sum(task.classification is True for task in tasks) == sum(task.classification is False for task in tasks) == 5
    )
    assert all(task.input and len(tokens_of(task.output)) <= 4 for task in tasks if task.classification)
    assert len({task.instruction for task in tasks}) == 10
