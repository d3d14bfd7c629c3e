"""The forms in which real servers answer: what is said, what is thought, and what is no answer at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asking import ask, engine, replies
from endpoint import Answer, says, serving
from judgeloop.engines.messages import Reply
from judgeloop.errors import InputError

pytestmark = pytest.mark.usefixtures("endpoint_key")
TOP = {"4": -0.5, "3": -1.2}


def answered(answer: Answer, **more: Any) -> Reply:
    with serving(lambda asked: answer) as server:
        return replies(engine(server.url), ask(**more))["r"]


def gives(message: dict[str, Any], finish: str = "stop") -> Answer:
    return Answer({"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}]})


@pytest.mark.parametrize(
    ("message", "text", "thought"),
    [
        ({"content": [{"type": "text", "text": "Sco"}, {"type": "text", "text": "re: 4"}]}, "Score: 4", None),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Score: 1"}]},
                      {"type": "text", "text": "Score: 4"}]}, "Score: 4", "Score: 1"),
        ({"content": [{"type": "reasoning", "text": "Score: 1"}, "Score: 4"]}, "Score: 4", "Score: 1"),
        ({"content": {"type": "text", "text": "Score: 4"}}, "Score: 4", None),
        ({"content": "Score: 4", "thinking": "Score: 1"}, "Score: 4", "Score: 1"),
        ({"content": "", "reasoning_details": [{"type": "reasoning.summary", "summary": "Score: 1"}]}, "", "Score: 1"),
        ({"content": "", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, "", ""),
        ({"content": "Score: 4", "reasoning_content": ""}, "Score: 4", None),
        ({"content": "Score: 4", "thinking_blocks": [{"type": "thinking", "thinking": "Score: 1", "signature": "x"}]},
         "Score: 4", "Score: 1"),
    ],
)  # fmt: skip
def test_an_answer_in_parts_is_put_together_without_its_thought(
    message: dict[str, Any], text: str, thought: str | None
) -> None:
    found = answered(gives(message))
    assert (found.text, found.thought, found.unread) == (text, thought, None)


@pytest.mark.parametrize(
    ("message", "finish", "why"),
    [
        ({"content": "Score: 4"}, "content_filter", "filter"),
        ({}, "content_filter: PROHIBITED_CONTENT", "filter"),
        ({"content": "Sco"}, "SAFETY", "filter"),
        ({"content": "Sco"}, "sensitive", "filter"),
        ({"content": None, "refusal": "I cannot give Score: 5."}, "stop", "refuses"),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "stop", "refuses"),
        ({"content": "I will not.", "refusal": None}, "refusal", "refuses"),
        ({"content": [{"type": "tool_result", "content": "Score: 4"}]}, "stop", "without text"),
        ({"content": None, "tool_calls": [{"function": {"name": "score"}}]}, "tool_calls", "tool call"),
    ],
)
def test_what_is_no_answer_says_why(message: dict[str, Any], finish: str, why: str) -> None:
    found = answered(gives(message, finish))
    assert found.unread is not None
    assert why in found.unread
    assert found.tokens is None


@pytest.mark.parametrize("word", ["length", "MAX_TOKENS", "max_tokens", "model_length", "max_output_tokens"])
def test_an_answer_that_was_cut_off_is_known_by_any_word(word: str) -> None:
    assert answered(gives({"content": "Score: 1"}, word)).finish_reason == "length"


@pytest.mark.parametrize(
    "broken",
    [
        gives({"content": "Sco"}, "error"),
        gives({"content": "Sco"}, "abort"),
        gives({"content": "Sco"}, "insufficient_system_resource"),
        Answer({"choices": [{"message": {"content": ""}, "error": {"code": 502, "message": "Provider disconnected"}}]}),
        Answer({"error": {"message": "Provider returned error", "code": 502}}),
        Answer({"choices": None, "error": {"message": "overloaded", "code": 503}}),
        Answer({"choices": [{"message": {"content": "Sco"}, "error": {"message": "the seed node is lost"}}]}),
        Answer({"choices": []}),
    ],
)
def test_an_answer_that_broke_off_is_asked_for_again(broken: Answer) -> None:
    with serving(lambda asked: broken if asked.number == 0 else says("yes")) as server:
        asked = engine(server.url)
        assert replies(asked, ask())["r"].text == "yes"
    assert sum(asked.retries.values()) == 1


def test_the_first_choice_is_the_one_with_the_first_number() -> None:
    sent = says("Score: 4")
    sent.body["choices"].insert(0, {"index": 1, "message": {"content": "Score: 1"}})
    assert answered(sent).text == "Score: 4"


@pytest.mark.parametrize("before", ["\n\n\n ", ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n"])
def test_what_keeps_a_connection_open_is_no_part_of_the_answer(before: str) -> None:
    assert answered(Answer(f"{before}{json.dumps(says('yes').body)}".encode())).text == "yes"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><html><head><title>Sign in &amp; go</title></head></html>", "the web page 'Sign in & go'"),
        (b'data: {"choices": []}\n\ndata: [DONE]\n\n', "a stream of events"),
        (b"", "an empty body"),
        (b'{"choices": null, "base_resp": {"status_code": 1004, "status_msg": "login fail"}}', "login fail"),
        (b'{"error": "Unexpected endpoint or method."}', "Unexpected endpoint"),
        (b'{"error_code": 110, "error_msg": "Access token invalid"}', "Access token invalid"),
        (b'{"code": "InvalidApiKey", "message": "Invalid API-key provided."}', "Invalid API-key"),
    ],
)
def test_what_came_in_place_of_an_answer_is_named(body: bytes, words: str) -> None:
    with serving(lambda asked: Answer(body)) as server, pytest.raises(InputError) as caught:
        replies(engine(server.url, attempts=2), ask())
    assert words in str(caught.value)
    assert "OpenAI-compatible" in str(caught.value)


def test_log_probabilities_in_the_older_form_are_read() -> None:
    sent = says("Score: 4")
    sent.body["choices"][0]["logprobs"] = {
        "tokens": ["Score: ", "4"], "token_logprobs": [0.0, -0.5], "top_logprobs": [{"Score: ": 0.0}, TOP],
    }  # fmt: skip
    found = answered(sent, top_logprobs=20)
    assert found.tokens is not None
    assert [(token.text, dict(token.top)) for token in found.tokens] == [("Score: ", {"Score: ": 0.0}), ("4", TOP)]


@pytest.mark.parametrize(("text", "score"), [("Score: 4", "▁4"), ("\nScore: 4", "Ġ4")])
def test_tokens_spelt_as_the_vocabulary_has_them_are_read(text: str, score: str) -> None:
    start = {"▁4": "▁Score", "Ġ4": "ĊScore"}[score]
    top = {score: -0.5, score.replace("4", "3"): -1.2}
    sent = says(text, tokens=[(start, {start: 0.0}), (":", {":": 0.0}), (score, top)])
    tokens = answered(sent, top_logprobs=20).tokens
    assert tokens is not None
    assert "".join(token.text for token in tokens).strip() == "Score: 4"
    assert dict(tokens[-1].top) == {" 4": -0.5, " 3": -1.2}


def test_a_mark_of_vocabularies_that_the_answer_itself_has_stays() -> None:
    tokens = answered(says("▁4", tokens=[("▁4", {"▁4": -0.5, "▁3": -1.2})]), top_logprobs=20).tokens
    assert tokens is not None
    assert tokens[0].text == "▁4"


@pytest.mark.parametrize(
    "logprobs",
    [
        {"content": [{"token": "4", "logprob": -0.3, "top_logprobs": []}]},  # the written token alone
        {"content": [{"token": "4", "prob": 0.6, "top_probs": [{"token": "3", "prob": 0.4}]}]},
        {"content": [{"bytes": [52], "logprob": -0.3}]},
        {"content": None},
        {"tokens": ["4"], "token_logprobs": [-0.3], "top_logprobs": None},
    ],
)
def test_probabilities_without_alternatives_are_none(logprobs: dict[str, Any]) -> None:
    sent = says("4")
    sent.body["choices"][0]["logprobs"] = logprobs
    with serving(lambda asked: sent) as server:
        asked = engine(server.url)
        assert replies(asked, ask(top_logprobs=20))["r"].tokens is None
    assert ["no log-probabilities" in note for note in asked.notes] == [True]


def test_an_alternative_without_a_probability_is_left_out() -> None:
    sent = says("4", tokens=[("4", TOP)])
    sent.body["choices"][0]["logprobs"]["content"][0]["top_logprobs"].append({"token": "2", "logprob": None})
    tokens = answered(sent, top_logprobs=20).tokens
    assert tokens is not None
    assert dict(tokens[0].top) == TOP


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 11.0, "completion_tokens": None}])
def test_tokens_that_are_not_counted_are_said_where_they_cost(usage: Any) -> None:
    sent = says("yes")
    sent.body["usage"] = usage
    with serving(lambda asked: sent) as server:
        free, priced = engine(server.url), engine(server.url, prices={"input": 1, "output": 1})
        replies(free, ask())
        replies(priced, ask())
    assert free.notes == []
    assert ["does not say how many tokens" in note for note in priced.notes] == ([True] if usage is None else [])
    assert priced.tokens == ({} if usage is None else {"prompt_tokens": 11})
