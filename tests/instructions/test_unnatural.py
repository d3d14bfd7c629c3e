from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from judgeloop.config import PromptsSection, UnnaturalSection
from judgeloop.engines.base import FinishReason, Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.errors import InputError
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import search
from judgeloop.instructions.unnatural.example_form import example_form, parse_examples, shipped_tasks
from judgeloop.instructions.unnatural.unnatural import LARGEST_BATCH as BATCH
from judgeloop.instructions.unnatural.unnatural import Unnatural
from judgeloop.records import Demonstrations, Message, Task

NOUNS = ["river", "candle", "bridge", "garden", "engine", "violin", "desert", "market", "winter", "button", "pepper"]
VERBS = ["Describe", "Compare", "Explain", "Praise", "Question", "Rewrite", "Summarise", "Defend", "Imagine", "Rank"]
SEED = [
    Task.of(f"Tell me {word} facts that nobody else remembers", f"all about the {word}", "", f"seed:{word}")
    for word in NOUNS
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


def prompt_of(request: Request) -> str:
    return "".join(map(chr, request.prompt_ids))


class TaskEngine:
    """Writes examples, outputs and formulations that depend on seed and prompt; ends late requests first."""

    name = "tasks"

    def __init__(
        self,
        examples: Sequence[str] = (),
        outputs: Sequence[str] = (),
        formulations: Sequence[str] = (),
        finish: FinishReason = "stop",
        output_finish: FinishReason = "stop",
        die_at: int | None = None,
    ) -> None:
        self.given = {"examples": examples, "outputs": outputs, "alternatives": formulations}
        self.finish = {"examples": finish, "outputs": output_finish, "alternatives": "stop"}
        self.die_at = die_at
        self.asked: dict[str, list[Request]] = {"examples": [], "outputs": [], "alternatives": []}

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in reversed(requests):
            prompt = prompt_of(request)
            begun = prompt.rpartition("<assistant>")[2]
            step = "outputs" if not begun else "alternatives" if begun.endswith("wording:") else "examples"
            if self.die_at is not None and sum(map(len, self.asked.values())) >= self.die_at:
                raise KeyboardInterrupt
            self.asked[step].append(request)
            for index in range(request.n):
                given = self.given[step]
                text = given[index % len(given)] if given else self._made(step, request, index, begun)
                yield Generation(request.id, index, tuple(range(5)), text, self.finish[step])

    def _made(self, step: str, request: Request, index: int, begun: str) -> str:
        rng = random.Random(f"{request.seed} {index} {prompt_of(request)}")
        one, two, three = rng.sample(NOUNS, 3)
        if step == "outputs":
            return rng.choice(["", f"The {one} is a {two}.", f"A {two}, {three} and {one}."])
        if step == "alternatives":
            words = begun.rpartition("Instruction: ")[2].partition("\n")[0].split(" {INPUT}")[0].split()
            rng.shuffle(words)
            return f" {' '.join(words[:4])} please {three} " + ("{INPUT}" if rng.random() < 0.7 else "so")
        instruction = f"{rng.choice(VERBS)} a {one} and a {two} for my {three}"
        return rng.choice(
            [
                f" {instruction}\nInput: the {two} of {one}\nConstraints: None.\n",
                f" {instruction}\nInput: a {three}, old\nConstraints: Use {rng.randrange(90)} words.\nOutput: No.",
                f" {instruction}\nConstraints: None.",
            ]
        )

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        raise AssertionError("not asked for")

    def close(self) -> None:
        pass


class Rows:
    """What a stage would have on disk: rows, and the last account."""

    def __init__(self) -> None:
        self.rows: list[Task] = []
        self.account: dict[str, Any] | None = None

    def resume(self) -> tuple[list[Task], dict[str, Any] | None]:
        return list(self.rows), self.account

    def append(self, rows: Sequence[Task], account: dict[str, Any], shown: Sequence[Demonstrations]) -> None:
        self.rows += rows
        self.account = json.loads(json.dumps(account))

    def originals(self) -> list[Task]:
        return [row for row in self.rows if ".alt" not in row.source]


def make(
    engine: TaskEngine,
    rows: Rows,
    *,
    seed_tasks: Sequence[Task] = SEED,
    unnatural: dict[str, Any] | None = None,
    avoid: Sequence[str] = (),
    **fields: Any,
) -> dict[str, Any]:
    config = PromptsSection(
        **{"count": 40, "max_rouge_l": 0.8, "unnatural": {"fields": "together", **(unnatural or {})}, **fields}
    )
    gate = Gate(config, seed=[task.instruction for task in seed_tasks], avoid=avoid)
    return search(Unnatural(Prompter(engine, PlainChat(), 5), seed_tasks, config, gate), rows)


def example(instruction: str, input: str = "a stone", constraints: str = "None.") -> str:
    return f" {instruction}\nInput: {input}\nConstraints: {constraints}"


def test_it_makes_as_many_as_asked_and_accounts_for_every_example() -> None:
    engine, rows = TaskEngine(), Rows()
    account = make(engine, rows)
    assert account == rows.account | {"seconds_by_step": account["seconds_by_step"]}
    assert (account["asked"], account["kept"], account["stopped"]) == (40, 40, "count reached")
    assert len(rows.originals()) == 40
    assert account["got"] == account["requests"] == account["kept"] + sum(account["dropped"].values())
    assert {"no input", "output is empty"} <= set(account["dropped"])
    assert len({(row.instruction, row.input) for row in rows.rows}) == len(rows.rows)
    other = account["alternatives"]
    assert other["asked"] == 80 == other["kept"] + sum(other["dropped"].values())
    assert other["kept"] == len(rows.rows) - 40 > 10
    steps = {step: 5 * sum(request.n for request in asked) for step, asked in engine.asked.items()}
    assert account["tokens_by_step"] == steps
    assert account["tokens"] == sum(steps.values())
    assert set(account["seconds_by_step"]) == set(steps)
    assert len(account["samples"]["kept"]) == 5
    assert all(1 <= len(texts) <= 3 for texts in account["samples"]["dropped"].values())
    assert set(account["samples"]["dropped"]) == set(account["dropped"])


def test_rows_hold_the_parts_and_name_their_request() -> None:
    rows = Rows()
    make(TaskEngine(), rows)
    numbers = [int(row.source.split(":")[1]) for row in rows.originals()]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 40
    assert any(row.constraints.startswith("Use ") for row in rows.rows)
    assert all(row.constraints != "None." and row.output and row.instruction for row in rows.rows)
    by_source = {row.source: row for row in rows.rows}
    for row in rows.rows:
        if ".alt" in row.source:
            original = by_source[row.source.partition(".alt")[0]]
            assert (row.output, row.constraints) == (original.output, original.constraints)
            assert original.input in row.messages()[0]["content"]
            assert rows.rows.index(original) < rows.rows.index(row)


def test_inputs_are_sampled_and_outputs_greedy() -> None:
    engine = TaskEngine()
    make(engine, Rows(), sampling={"temperature": 0.9, "max_new_tokens": 70}, unnatural={"output_tokens": 33})
    assert {(r.sampling.temperature, r.sampling.max_new_tokens, r.n) for r in engine.asked["examples"]} == {
        (0.9, 70, 1)
    }
    assert {(r.sampling.temperature, r.sampling.max_new_tokens, r.n) for r in engine.asked["outputs"]} == {(0, 33, 1)}
    assert {r.n for r in engine.asked["alternatives"]} == {2}
    assert len({r.seed for r in engine.asked["examples"]}) == len(engine.asked["examples"])
    asked = {prompt_of(r).removeprefix("<user>").removesuffix("<assistant>") for r in engine.asked["outputs"]}
    assert any("\n\nUse " in text and "a " in text for text in asked)


def shown_in(request: Request) -> list[tuple[str, str]]:
    text = prompt_of(request).partition("<assistant>Example 1\nInstruction:")[2].rpartition("\n\n")[0]
    return [(found.instruction, found.input) for found in parse_examples(text, example_form("en"), True)]


def test_every_request_draws_its_demonstrations_anew() -> None:
    engine, rows = TaskEngine(), Rows()
    make(engine, rows, unnatural={"own_demonstrations": 1})
    by_number = {int(request.id.partition(":")[2]): request for request in engine.asked["examples"]}
    seeds = {(task.instruction, task.input) for task in SEED}
    shipped = {(task.instruction, task.input) for task in shipped_tasks("en")}
    kept = {(row.instruction, row.input) for row in rows.originals()}
    drawn = [shown_in(by_number[number]) for number in sorted(by_number)]
    assert all(len(tasks) == 3 and len(set(tasks) & shipped) == 1 for tasks in drawn)
    assert all(len(set(tasks) & seeds) == 2 for tasks in drawn[:BATCH])
    assert all(len(set(tasks) & kept) == len(set(tasks) & seeds) == 1 for tasks in drawn[BATCH:])
    assert len({frozenset(tasks) for tasks in drawn}) > 0.9 * len(drawn)
    assert {tuple(tasks).index(next(iter(set(tasks) & shipped))) for tasks in drawn} == {0, 1, 2}


def test_without_seed_the_shipped_demonstrations_serve() -> None:
    engine = TaskEngine()
    make(engine, Rows(), seed_tasks=[], count=3)
    assert all(len(shown_in(request)) == 3 for request in engine.asked["examples"])


def test_seeds_without_input_are_shown_only_where_there_are_too_few_others() -> None:
    bare = [Task.of(f"Praise the {noun} in a letter", "", "", "seed") for noun in NOUNS]
    engine = TaskEngine()
    make(engine, Rows(), seed_tasks=[*bare, *SEED[:2]], count=3)
    assert not any(text == "" for request in engine.asked["examples"] for _, text in shown_in(request))
    engine = TaskEngine()
    make(engine, Rows(), seed_tasks=[*bare, SEED[0]], count=3)
    assert any(text == "" for request in engine.asked["examples"] for _, text in shown_in(request))


def test_long_seeds_are_not_shown_but_guard_novelty() -> None:
    long = Task.of("Name one long river", "word " * 90, "", "seed")
    engine, rows = TaskEngine([example("Name one long river")]), Rows()
    with pytest.raises(InputError, match="1 too close to a seed prompt"):
        make(engine, rows, seed_tasks=[long, *SEED], max_requests=1)
    assert rows.account is not None
    assert rows.account["seed_tasks_too_long_to_show"] == 1
    assert all("word word" not in prompt_of(request) for request in engine.asked["examples"])


@pytest.mark.parametrize("die_at", [3, BATCH + 2, BATCH + 25, 2 * BATCH + 20, 3 * BATCH])
def test_a_killed_search_goes_on_to_the_same_rows(die_at: int) -> None:
    whole = Rows()
    expected = make(TaskEngine(), whole, unnatural={"own_demonstrations": 1})
    assert expected["requests"] > BATCH
    rows = Rows()
    with pytest.raises(KeyboardInterrupt):
        make(TaskEngine(die_at=die_at), rows, unnatural={"own_demonstrations": 1})
    assert len(rows.originals()) < 40
    result = make(TaskEngine(), rows, unnatural={"own_demonstrations": 1})
    assert rows.rows == whole.rows
    assert result | {"seconds_by_step": {}} == expected | {"seconds_by_step": {}}


def test_a_finished_search_asks_nothing_more() -> None:
    rows = Rows()
    expected = make(TaskEngine(), rows)
    engine = TaskEngine()
    assert make(engine, rows) == expected
    assert not any(engine.asked.values())


def test_rows_that_came_from_elsewhere_are_refused() -> None:
    rows = Rows()
    rows.rows = [Task.of("Hello there you", "", "", "self_instruct:1")]
    with pytest.raises(InputError, match="not from unnatural"):
        make(TaskEngine(), rows)


def dropped(text: str, **fields: Any) -> dict[str, int]:
    """What becomes of the examples of one request, but for those kept."""
    rows = Rows()
    engine = fields.pop("engine", None) or TaskEngine([text], ["Yes."])
    fields = {"count": 2, "max_requests": 1, **fields}
    try:
        make(engine, rows, **fields)
    except InputError:
        assert not rows.rows
    assert rows.account is not None
    counts: dict[str, int] = rows.account["dropped"]
    return counts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" Weigh a stone\nConstraints: None.", "no input"),
        (" Weigh a stone\nInput: flint", "no constraints"),
        (" [Instruction]\nInput: flint\nConstraints: None.", "echoes the template"),
        (example("Weigh this stone", "Weigh this stone."), "one field repeats another"),
        (example("Weigh this stone", "flint, grey", "Flint, grey"), "one field repeats another"),
        (example("Weigh this stone", "flint " * 12), "repeats itself"),
        (example("Weigh the following stones"), None),
        (example("Weigh the following stones:", "None."), "announces an input that is missing"),
        (example("Weigh the following stones", "N/A"), "announces an input that is missing"),
        (example("Weigh it"), "too short"),
        (example("Draw a big stone"), "needs more than text"),
        (example("Tell me river facts that nobody remembers"), "too close to a seed prompt"),
        (example("Write a short title for the diary entry."), "too close to a seed prompt"),
        (example("Weigh the stone in the"), "cut off"),
        (example("I have a stone that is grey."), "states instead of asking"),
        (example("I have a stone that is grey; how heavy is it?"), None),
    ],
)
def test_what_is_no_usable_task_is_dropped_by_reason(text: str, reason: str | None) -> None:
    assert dropped(text) == ({reason: 1} if reason else {})


def test_near_copies_of_a_demonstration_are_dropped() -> None:
    shipped = shipped_tasks("en")
    (only,) = [Task.of("Weigh the grey stone and say how heavy it is", "flint from the brook", "", "seed")]
    text = example("Weigh the grey stone, and say how heavy it is!", "Flint from the brook.")
    counts = dropped(text, seed_tasks=[only], unnatural={"demonstrations": 2})
    assert counts == {"copied from a demonstration": 1}
    # The same instruction on another input is no copy, but no new instruction either.
    text = example("Weigh the grey stone, and say how heavy it is!", "A handful of old coins and a key")
    assert dropped(text, seed_tasks=[only]) == {"too close to a seed prompt": 1}
    assert all(task.input for task in shipped)


@pytest.mark.parametrize(
    ("output", "finish", "reason"),
    [
        ("", "stop", "output is empty"),
        (" \n", "stop", "output is empty"),
        ("It weighs", "length", "output cut off by length"),
        ("A stone!", "stop", "output repeats the input"),
        ("Weigh it for me.", "stop", "output repeats the input"),
        ("Two pounds.", "stop", None),
    ],
)
def test_bad_outputs_drop_their_task(output: str, finish: FinishReason, reason: str | None) -> None:
    engine = TaskEngine([example("Weigh it for me")], [output], output_finish=finish)
    assert dropped("", engine=engine) == ({reason: 1} if reason else {})


def test_brief_answers_are_asked_for_where_nothing_else_is_said_about_them() -> None:
    both = example("Weigh it for me") + "\n\nExample 5\nInstruction:" + example("Who broke it?", "a jug", "One name.")
    for brief in (True, False):
        engine, rows = TaskEngine([both], ["Yes."]), Rows()
        make(engine, rows, max_requests=1, unnatural={"examples": 2, "alternatives": 0, "brief": brief})
        asked = {r.id: prompt_of(r).removeprefix("<user>").removesuffix("<assistant>") for r in engine.asked["outputs"]}
        assert asked["unnatural:0.1"] == "Who broke it?\n\na jug\n\nOne name."
        assert asked["unnatural:0"].startswith("Weigh it for me\n\na stone")
        assert asked["unnatural:0"].endswith("few sentences.") is brief
        assert [row.constraints for row in rows.rows] == ["", "One name."]


def test_outputs_and_formulations_can_be_switched_off() -> None:
    engine, rows = TaskEngine([example("Weigh it for me")], [""]), Rows()
    account = make(engine, rows, count=1, unnatural={"outputs": False, "alternatives": 0})
    assert [(row.instruction, row.output) for row in rows.rows] == [("Weigh it for me", "")]
    assert not engine.asked["outputs"] + engine.asked["alternatives"]
    assert account["alternatives"]["asked"] == 0
    assert set(account["tokens_by_step"]) == {"examples"}


def test_a_cut_completion_loses_its_last_example_only() -> None:
    text = example("Weigh it for me") + "\n\nExample 5\nInstruction: Count the stones\nInput: one, tw"
    rows = Rows()
    engine = TaskEngine([text], ["Yes."], finish="length")
    account = make(engine, rows, max_requests=1, unnatural={"examples": 2, "alternatives": 0})
    assert [row.instruction for row in rows.rows] == ["Weigh it for me"]
    assert account["dropped"] == {"cut off by length": 1}
    assert engine.asked["examples"][0].sampling.stop_strings == ("\nExample 6",)


def test_several_examples_of_one_request_have_names_of_their_own() -> None:
    text = "\n\n".join([example("Weigh it for me"), "Example 5\nInstruction:" + example("Who broke this bridge?")])
    rows = Rows()
    make(TaskEngine([text], ["Yes."]), rows, max_requests=1, unnatural={"examples": 2, "alternatives": 0})
    assert [row.source for row in rows.rows] == ["unnatural:0", "unnatural:0.1"]
    assert make(TaskEngine([text]), rows, count=2)["requests"] == 1


def test_equal_rows_and_equal_instructions() -> None:
    texts = [example("Weigh it for me", "a stone"), example("Weigh it for me", "a feather")]
    both = texts[0] + "\n\nExample 5\nInstruction:" + texts[1] + "\n\nExample 6\nInstruction:" + texts[0]
    once = dropped(both, unnatural={"examples": 3, "alternatives": 0})
    assert once == {
        "too close to a prompt already kept": 1,
        "same instruction and input as a task already kept": 1,
    }
    rows = Rows()
    account = make(
        TaskEngine([both], ["Yes."]), rows, max_requests=1,
        unnatural={"examples": 3, "alternatives": 0, "novelty": False},
    )  # fmt: skip
    assert [row.input for row in rows.rows] == ["a stone", "a feather"]
    assert account["dropped"] == {"same instruction and input as a task already kept": 1}


def test_an_input_that_an_evaluation_set_holds_is_not_made() -> None:
    held = "which of these two stones would you rather carry home from the beach tonight"
    rows = Rows()
    engine = TaskEngine([example("Answer this for me", held.capitalize() + "?")], ["Yes."])
    with pytest.raises(InputError, match="an evaluation prompt"):
        make(engine, rows, max_requests=1, avoid=[held])


def test_more_than_wanted_is_counted() -> None:
    text = example("Weigh it for me") + "\n\nExample 5\nInstruction:" + example("Who broke this bridge?")
    assert dropped(text, count=1, unnatural={"examples": 2}) == {"more than were wanted": 1}


def test_fields_one_by_one_leave_none_out() -> None:
    parts = {"instruction": " Weigh it\n", "input": " a stone\n", "constraints": " One number.\n"}

    class FieldEngine(TaskEngine):
        def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
            for request in requests:
                kind = request.id.rpartition(".")[2]
                if kind not in parts:
                    yield from super().generate([request])
                    continue
                self.asked["examples"].append(request)
                first = request.id.startswith("unnatural:0.")
                text = parts[kind].rstrip("\n") + (" for me" if kind == "instruction" else "")
                text = "" if not first and kind == "input" else text
                cut: FinishReason = "length" if request.id == "unnatural:1.constraints" else "stop"
                yield Generation(request.id, 0, (1,), text, cut)

    engine, rows = FieldEngine(outputs=["Yes."]), Rows()
    account = make(engine, rows, max_requests=2, unnatural={"fields": "one_by_one", "alternatives": 0})
    assert [(row.instruction, row.input, row.constraints) for row in rows.rows] == [
        ("Weigh it for me", "a stone", "One number.")
    ]
    assert account["dropped"] == {"cut off by length": 1}
    by_id = {request.id: request for request in engine.asked["examples"]}
    assert len(by_id) == 6
    assert prompt_of(by_id["unnatural:0.constraints"]).endswith(
        "Example 4\nInstruction: Weigh it for me\nInput: a stone\nConstraints:"
    )
    assert "\n" in by_id["unnatural:0.instruction"].sampling.stop_strings


def test_formulations_are_dropped_by_reason() -> None:
    lines = [" Say {INPUT} how heavy to weigh is", " Weigh it for me: {INPUT}", " Weigh it", " Guess how heavy it is"]
    rows = Rows()
    account = make(
        TaskEngine([example("Weigh it for me")], ["Yes."], lines), rows, count=1,
        unnatural={"alternatives": 4}, avoid=["Say a stone how heavy to weigh is"],
    )  # fmt: skip
    assert account["alternatives"]["dropped"] == {
        "shares 8 words in a row with an evaluation prompt": 1,
        "too close to the original": 1,
        "lost the input": 2,
    }
    assert len(rows.rows) == 1
    assert account["alternatives"]["samples"]["dropped"]["too close to the original"] == [
        "Weigh it for me → Weigh it for me: {INPUT}"
    ]


def test_a_formulation_may_be_near_its_original_and_later_ones_may_not_be_near_it() -> None:
    first = example("Weigh the grey stone for me today")
    second = example("Today I want the weight of the grey stone")
    lines = [" Tell me today the weight of the grey stone {INPUT}"]
    rows = Rows()
    account = make(
        TaskEngine([first + "\n\nExample 5\nInstruction:" + second], ["Yes."], lines), rows, max_rouge_l=0.6,
        max_requests=1, unnatural={"examples": 2, "alternatives": 1},
    )  # fmt: skip
    assert [row.source for row in rows.rows] == ["unnatural:0", "unnatural:0.alt0"]
    assert account["dropped"] == {"too close to a prompt already kept": 1}


def test_nothing_kept_is_an_error_with_advice() -> None:
    engine = TaskEngine([" Weigh it\nInput: a"])
    with pytest.raises(InputError, match=r"no task was kept of 3 from 3 requests \(3 no constraints\).*max_requests"):
        make(engine, Rows(), max_requests=3)


def test_it_stops_at_max_requests_and_says_so() -> None:
    account = make(TaskEngine([example("Weigh it for me")], ["Yes."]), Rows(), max_requests=20)
    assert (account["kept"], account["requests"], account["stopped"]) == (1, 20, "max_requests reached")
    assert Counter(account["dropped"]).total() == 19


def test_chinese_tasks_are_asked_for_and_read_in_chinese() -> None:
    text = "替这块石头写一段自我介绍。\n输入：河滩上的鹅卵石\n约束：不超过三句话。"

    class ChineseEngine(TaskEngine):
        def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
            for request in requests:
                begun = prompt_of(request).rpartition("<assistant>")[2]
                reply = (
                    text if begun.endswith("指令：") else "我是一块鹅卵石。" if not begun else "请{INPUT}开口介绍自己"
                )
                for index in range(request.n):
                    yield Generation(request.id, index, (1,), reply, "stop")

    rows = Rows()
    account = make(ChineseEngine(), rows, count=1, language="zh", seed_tasks=[], unnatural={"alternatives": 1})
    assert [(row.instruction, row.input, row.constraints) for row in rows.rows] == [
        ("替这块石头写一段自我介绍。", "河滩上的鹅卵石", "不超过三句话。"),
        ("请河滩上的鹅卵石开口介绍自己", "", "不超过三句话。"),
    ]
    assert account["stopped"] == "count reached"


@pytest.mark.parametrize(
    "section",
    [
        {"demonstrations": 2, "shipped_demonstrations": 2, "own_demonstrations": 1},
        {"fields": "one_by_one", "examples": 2},
    ],
)
def test_keys_that_contradict_each_other_are_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"demonstrations|one_by_one"):
        UnnaturalSection(**section)
