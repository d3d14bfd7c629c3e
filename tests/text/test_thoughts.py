from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgeloop.text.thoughts import split_thought

CLOSED = [
    ("<think>It is 4.</think>\n\nScore: 4", "It is 4.", "Score: 4"),
    ("<think>\n\n</think>\n\nParis.", "", "Paris."),
    ("It is on topic.\n</think>\n\nScore: 4", "It is on topic.", "Score: 4"),  # the template opened the thought
    ("<THINK>a</Think>b", "a", "b"),
    ("<thinking>a</thinking>\nb", "a", "b"),
    ("<thought>\na\n</thought>\n\nb", "a", "b"),
    ("<seed:think>a</seed:think>b", "a", "b"),
    ("[THINK]a[/THINK]b", "a", "b"),
    ("◁think▷a◁/think▷b", "a", "b"),
    ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "a", "b"),
    ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>b<|end_of_solution|>", "a", "b"),
    ("<|channel>thought\na<channel|>b", "a", "b"),
    ("<|inner_prefix|>a<|inner_suffix|>b", "a", "b"),
    ("<think>a</think><response>b</response>", "a", "b"),
    ("a\n[BEGIN FINAL RESPONSE]\nb\n[END FINAL RESPONSE]", "a", "b"),
    ("Here is my thought process:\na\n\nHere is my response:\nb", "a", "b"),
    ("## Thinking\n\na\n\n## Final Response\n\nb", "a", "b"),
    ("<reasoning>a</reasoning>b", "a", "b"),
    ("<analysis>a</analysis>\n<think>b</think>c", "a\n\nb", "c"),
    ("<think>a</think>x<think>b</think>y", "axb", "y"),
    ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>", "a", "b"),
    (
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>b",
        "a",
        "b",
    ),
    ("<|channel|>final<|message|>b<|return|>", None, "b"),
    ("analysisWe need a city.assistantfinalParis.", "We need a city.", "Paris."),
]
UNCLOSED = [
    ("<think>It is 4. Score: 3", "It is 4. Score: 3", ""),
    ("  <think>", "", ""),
    ("[THINK]a", "a", ""),
    ("◁think▷a", "a", ""),
    ("<reasoning>a", "a", ""),
    ("<think>a</think>b\n<think>c", "a\n\nc", "b"),
    ("Score: 4\n<think>Or is it?", "Or is it?", "Score: 4"),
    ("<|channel|>analysis<|message|>a", "a", ""),
    ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>b", "a\n\nb", ""),
    ("analysisWe need a city.", "We need a city.", ""),
]
NONE = [
    "Paris.",
    "",
    "  Two spaces, kept. \n",
    "I think it is 4.",
    "It has a `<think>` tag and closes with `</think>` too.",
    "The words <think> in a line begin nothing.",
    "< think>a< /think>",
    "analysis of the text: fine",
    "Here is my thought process:\nit is 4.",
    "## Thinking\n\nMost of it is habit.",
    "gpt-oss writes <|channel|> before a channel's name.",
    "Here is XML:\n<analysis>1</analysis>",
]


@pytest.mark.parametrize(("text", "thought", "answer"), CLOSED)
def test_a_thought_is_split_off(text: str, thought: str | None, answer: str) -> None:
    spoken = split_thought(text)
    assert (spoken.thought, spoken.answer) == (thought, answer)


@pytest.mark.parametrize(("text", "thought", "before"), UNCLOSED)
def test_an_unclosed_thought_has_no_answer(text: str, thought: str, before: str) -> None:
    spoken = split_thought(text)
    assert (spoken.thought, spoken.answer, spoken.before) == (thought, None, before)


@pytest.mark.parametrize("text", NONE)
def test_a_text_without_a_thought_is_unchanged(text: str) -> None:
    assert split_thought(text).answer == text
    assert split_thought(text).thought is None


PIECES = [
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "<|channel|>",
    "final",
    "analysis",
    "<|message|>",
    "a",
    "\n",
    "`",
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
def test_any_text_is_split(text: str) -> None:
    spoken = split_thought(text)
    assert spoken.answer is not None or spoken.thought is not None or text.lstrip().startswith("<|")
    if spoken.thought is None and spoken.answer is not None:
        assert spoken.answer in text


@pytest.mark.parametrize(
    "piece", [*PIECES, "<think>a", " ", "<|channel|>final<|message|>", "<reasoning>", "<|channel|>a "]
)
def test_a_long_text_is_split_quickly(piece: str) -> None:
    started = time.process_time()
    split_thought(piece * 20_000)
    split_thought("<reasoning>" + piece * 20_000)
    assert time.process_time() - started < 2
