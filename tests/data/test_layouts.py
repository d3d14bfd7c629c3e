"""What each format's rows become, and what is dropped of them for which reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from beside import shared
from judgeloop.data.detection import detect
from judgeloop.data.layouts import FORMATS, WORDS
from judgeloop.data.readers import read_judgements, read_prompts, read_ranked, read_supervised, supervised_row
from judgeloop.eft.existing_eft import has_score
from judgeloop.errors import InputError
from judgeloop.jsonl import write_rows_atomically
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import Message, RankedSet

Write = Callable[..., Path]
DATA = shared("data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")
USER: Message = {"role": "user", "content": "Name a colour."}
ASSISTANT: Message = {"role": "assistant", "content": "Blue."}
SYSTEM: Message = {"role": "system", "content": "Be brief."}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_rows(*rows: object) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write_rows


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": speaker, "value": text} for speaker, text in turns]


@pytest.mark.parametrize(
    ("row", "detected", "prompt"),
    [
        ({"instruction": "Name a colour.", "input": "", "output": "Blue."}, "Alpaca rows", [USER]),
        ({"instruction": "Name a colour.", "input": "<noinput>", "output": "Blue."}, "Alpaca rows", [USER]),
        ({"instruction": "Name a colour.", "output": "Blue."}, "Alpaca rows", [USER]),
        ({"instruction": "Name a colour.", "context": None, "response": "Blue."}, "Alpaca rows", [USER]),
        (
            {"instruction": "Name it.", "input": "sky", "output": "Blue.", "constraints": "One word."},
            "Alpaca rows",
            [{"role": "user", "content": "Name it.\n\nsky\n\nOne word."}],
        ),
        (
            {"instruction": "Name it.", "context": "sky", "response": "Blue."},
            "Alpaca rows",
            [{"role": "user", "content": "Name it.\n\nsky"}],
        ),
        (
            {
                "instruction": "Name a colour.",
                "output": "Blue.",
                "history": [["Hi.", "Hello."]],
                "system": "Be brief.",
            },
            "Alpaca rows",
            [SYSTEM, {"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}, USER],
        ),
        ({"conversations": said(("human", "Name a colour."), ("gpt", "Blue."))}, "ShareGPT conversations", [USER]),
        ({"conversations": said(("user", "Name a colour."), ("assistant", "Blue."))}, "ShareGPT conversations", [USER]),
        ({"conversations": [USER, ASSISTANT]}, "ShareGPT conversations", [USER]),
        (
            {"conversations": said(("system", "Be brief."), ("human", "Name a colour."), ("chatgpt", "Blue."))},
            "ShareGPT conversations",
            [SYSTEM, USER],
        ),
        (
            {"system": "Be brief.", "conversations": said(("human", "Name a colour."), ("gpt", "Blue."))},
            "ShareGPT conversations",
            [SYSTEM, USER],
        ),
        (
            {"messages": [{"role": "developer", "content": "Be brief."}, USER, ASSISTANT]},
            "chat messages",
            [SYSTEM, USER],
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Name a colour."}]}, ASSISTANT]},
            "chat messages",
            [USER],
        ),
        ({"prompt": "Name a colour.", "chosen": "Blue.", "rejected": "7"}, "preference pairs", [USER]),
        (
            {
                "prompt": "Name a colour.",
                "chosen": [USER, ASSISTANT],
                "rejected": [USER, {**ASSISTANT, "content": "7"}],
            },
            "preference pairs",
            [USER],
        ),
        ({"chosen": [USER, ASSISTANT], "rejected": [USER, {**ASSISTANT, "content": "7"}]}, "preference pairs", [USER]),
        (
            {
                "instruction": "Name a colour.",
                "instances": [{"input": "", "output": "Blue."}],
                "is_classification": False,
            },
            "Self-Instruct seed tasks",
            [USER],
        ),
        ({"messages": [USER], "responses": [{"text": "Blue.", "rank": 0}]}, "ranked responses", [USER]),
        ({"prompt": [SYSTEM, USER], "completion": "Blue."}, "prompt and response", [SYSTEM, USER]),
    ],
)
def test_supervised_rows(write: Write, row: dict[str, Any], detected: str, prompt: list[Message]) -> None:
    path = write(row)
    (made,), account = read_supervised(path)
    assert (made.prompt, made.completion, made.source) == (prompt, [ASSISTANT], "rows.jsonl:1")
    assert (account.detected, account.taken, account.dropped, account.rows) == (detected, 1, {}, 1)
    assert [p.messages for p in read_prompts(path)[0]] == [prompt]
    assert detect(path).name == detected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "x", "output": ""}, "empty response"),
        ({"instruction": "x", "output": None}, "empty response"),
        ({"instruction": "x", "output": "<nooutput>"}, "empty response"),
        ({"instruction": " ", "output": "y"}, "empty instruction"),
        ({"instruction": "x", "output": "a\0b"}, "response with NUL characters"),
        ({"prompt": "", "response": "y"}, "empty prompt"),
        ({"prompt": None, "response": "y"}, "empty prompt"),
        ({"prompt": [], "response": "y"}, "empty prompt"),
        ({"prompt": "x", "response": " \n"}, "empty response"),
        ({"prompt": [ASSISTANT], "response": "y"}, "prompt does not end with a user turn"),
        ({"conversations": []}, "empty conversation"),
        ({"conversations": said(("human", "x"), ("gpt", ""))}, "empty message"),
        ({"conversations": said(("gpt", "Hi."), ("human", "x"), ("gpt", "y"))}, "user and assistant do not take turns"),
        ({"conversations": said(("human", "x"))}, "last turn is not the assistant's"),
        ({"conversations": said(("human", "x"), ("observation", "3"), ("gpt", "y"))}, "conversation with tool calls"),
        (
            {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{}]}, ASSISTANT]},
            "conversation with tool calls",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ASSISTANT]},
            "conversation with images or other media",
        ),
        ({"instruction": "x", "instances": []}, "task without instances"),
        ({"instruction": "x", "instances": [{"input": "", "output": ""}]}, "empty response"),
        ({"prompt": "x", "chosen": "a", "rejected": "a"}, "chosen and rejected are the same"),
        (
            {"prompt": "x", "chosen": [USER, ASSISTANT], "rejected": [USER, ASSISTANT]},
            "chosen and rejected do not answer the same prompt",
        ),
        ({"prompt": None, "chosen": "a", "rejected": "b"}, "empty prompt"),
        ({"prompt": "x", "responses": []}, "no response"),
        ({"prompt": "x", "responses": [{"text": "", "rank": 0}]}, "empty response in a set"),
    ],
)
def test_what_cannot_serve_is_dropped_and_counted(write: Write, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=rf"no usable row \(1 {reason}"):
        read_supervised(write(row))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"conversations": said(("human", "x"), ("robot", "y"))}, r"'conversations\[1\].from' is 'robot', an unknown"),
        ({"conversations": [{"text": "x"}]}, r"'conversations\[0\]' is not a chat message"),
        ({"conversations": "x"}, "'conversations' is text, not a list"),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "is an object, not text"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "not of content parts"),
        ({"instruction": 3, "output": "y"}, "'instruction' is a number"),
        ({"instruction": "x", "input": [3], "output": "z"}, "'input' is a list, not text"),
        ({"instruction": "x", "output": "z", "history": [["a"]]}, "not a list of pairs"),
        ({"instruction": "x", "output": "z", "history": "a"}, "'history' is text, not a list"),
        ({"instruction": "x", "instances": {"input": ""}}, "'instances' is not a list of objects"),
        ({"chosen": "x"}, "no known format"),
        ({"output": "x"}, "no known format"),
        ({"responses": []}, "without 'prompt'"),
        ({"completion": "x"}, "without 'prompt'"),
    ],
)
def test_what_breaks_its_format_is_an_error_with_its_line(write: Write, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"rows\.jsonl:1: .*{message}"):
        read_supervised(write(row))


def test_a_task_without_outputs_gives_prompts_and_no_supervised_rows(write: Write) -> None:
    path = write({"instruction": "Name it.", "input": "sky"})
    (row,), account = read_prompts(path)
    assert (row.messages[0]["content"], account.detected) == ("Name it.\n\nsky", "instructions")
    with pytest.raises(InputError, match="the file holds instructions; here it must be"):
        read_supervised(path)


def test_an_alpaca_row_without_output_is_named_in_a_file_of_others(write: Write) -> None:
    with pytest.raises(InputError, match=r":2: a row without 'output'; in a file of Alpaca rows every row needs it"):
        read_supervised(write({"instruction": "x", "output": "y"}, {"instruction": "z"}))


def test_seed_tasks_give_one_row_for_each_instance(write: Write) -> None:
    instances = [{"input": "1", "output": "a"}, {"input": "2", "output": ""}, {"input": "3", "output": "c"}]
    path = write({"id": "t", "instruction": "Go.", "instances": instances})
    rows, account = read_supervised(path)
    assert [row.prompt[0]["content"] for row in rows] == ["Go.\n\n1", "Go.\n\n3"]
    assert (account.taken, account.rows, account.dropped) == (2, 1, {"empty response": 1})
    assert len(read_prompts(path)[0]) == 3


def test_preference_pairs_are_sets_of_two(write: Write) -> None:
    (row,), account = read_ranked(write({"prompt": "x", "chosen": "good", "rejected": "bad"}))
    assert row.responses == [{"text": "good", "rank": 0}, {"text": "bad", "rank": 1}]
    assert account.detected == "preference pairs"


def test_a_response_without_text_is_left_out_of_its_set(write: Write) -> None:
    responses = [{"text": "a", "rank": 0}, {"text": "", "rank": 1}, {"text": "c", "rank": 2.0}]
    (row,), account = read_ranked(write({"prompt": "x", "responses": responses}))
    assert row.responses == [{"text": "a", "rank": 0}, {"text": "c", "rank": 1}]
    assert account.dropped == {"empty response in a set": 1}


def test_ids_that_occur_twice_are_said_and_equal_rows_are_dropped(write: Write) -> None:
    path = write({"id": 1, "prompt": "a"}, {"id": 1, "prompt": "b"}, {"id": 2, "prompt": "a"}, {"id": 1, "prompt": "b"})
    rows, account = read_prompts(path)
    assert [row.messages[0]["content"] for row in rows] == ["a", "b"]
    assert (account.dropped, account.repeated_ids) == ({"duplicate": 2}, 1)
    assert account.sentence(path) == (
        "rows.jsonl (JSONL, 4 rows): prompts, 2 taken; 2 dropped: duplicate; 1 kept although their id occurs twice"
    )


def test_our_own_files_are_read_back_as_they_were(tmp_path: Path) -> None:
    ranked = RankedSet(
        "r-1", [USER], [{"text": "Blue.", "rank": 0, "score": 4.5}, {"text": "7", "rank": 1}], "x:1", "tree 7"
    )
    ift = supervised_row("ift", [USER], [SYSTEM, USER], "Blue.", "x:1")
    write_rows_atomically(tmp_path / "held_out.jsonl", [ranked])
    write_rows_atomically(tmp_path / "ift.jsonl", [ift])
    ((back,), _), ((row,), _) = read_ranked(tmp_path / "held_out.jsonl"), read_supervised(tmp_path / "ift.jsonl")
    assert (back.messages, back.responses, back.group) == (ranked.messages, ranked.responses, "tree 7")
    assert (row.id, row.prompt, row.completion) == (ift.id, ift.prompt, ift.completion)


def test_eft_rows_keep_the_instruction_they_are_about(tmp_path: Path) -> None:
    rubric = load_rubric("additive-5")
    judged = rubric.messages([USER], "Blue.")
    rows = [
        supervised_row("eft", [USER], judged, rubric.target(4, "It is a colour."), "x:1"),
        supervised_row("eft", [USER], judged, "A colour, and no score.", "x:2"),
    ]
    path = tmp_path / "eft.jsonl"
    write_rows_atomically(path, rows)
    (back,), account = read_judgements(path, partial(has_score, rubric=rubric))
    assert (back.id, back.kind, back.prompt_id, back.completion) == (
        rows[0].id, "eft", rows[0].prompt_id, rows[0].completion,
    )  # fmt: skip
    assert account.dropped == {"judgement without a readable score": 1}
    with pytest.raises(InputError, match="the file holds EFT rows; here it must be"):
        read_supervised(path)
    path.write_text(json.dumps({"kind": "eft", "prompt": judged, "completion": "Score: 2"}) + "\n", encoding="utf-8")
    assert read_judgements(path, partial(has_score, rubric=rubric))[0][0].prompt_id.startswith("p-")


def test_every_format_has_a_word_and_can_be_read() -> None:
    assert all(form.prompts or form.judgements for form in FORMATS)
    assert {"oasst", "ranked", "chat", "pairs", "alpaca", "sharegpt", "self-instruct", "prompts"} <= set(WORDS)


@needs_data
@pytest.mark.parametrize(
    ("name", "detected", "prompts", "dropped"),
    [
        ("self_instruct_seed_tasks.jsonl", "Self-Instruct seed tasks", 175, {}),
        ("mt_bench_questions.jsonl", "MT-Bench questions", 80, {"later turn of a question": 80}),
        ("ifeval_prompts.jsonl", "prompts", 541, {}),
        ("oasst_en_100_trees.jsonl", "Open Assistant trees", 95, {"synthetic tree": 5}),
    ],
)
def test_the_real_files(name: str, detected: str, prompts: int, dropped: dict[str, int]) -> None:
    rows, account = read_prompts(DATA / name)
    assert (account.detected, account.taken, account.dropped) == (detected, prompts, dropped)
    assert len({row.source for row in rows}) == len(rows) == prompts


@needs_data
def test_the_real_seed_tasks_are_supervised_rows() -> None:
    rows, account = read_supervised(DATA / "self_instruct_seed_tasks.jsonl")
    text = (DATA / "self_instruct_seed_tasks.jsonl").read_text(encoding="utf-8")
    tasks = [json.loads(line) for line in text.splitlines()]
    assert (account.taken, account.dropped) == (sum(len(task["instances"]) for task in tasks), {})
    assert rows[1].prompt[0]["content"] == f"{tasks[1]['instruction']}\n\n{tasks[1]['instances'][0]['input']}"
    assert [row.completion[0]["content"] for row in rows] == [t["instances"][0]["output"] for t in tasks]
