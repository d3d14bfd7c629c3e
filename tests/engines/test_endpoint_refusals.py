"""What real servers refuse, in their own words: a field, one row, or all that is asked. Each is told apart."""

from __future__ import annotations

from typing import Any

import pytest

from asking import KEY, ask, engine, replies
from endpoint import Answer, Asked, fails, says, serving
from judgeloop.engines.base import Sampling
from judgeloop.engines.messages import CONTENT_REFUSED, TOO_LONG, MessageRequest, Refused
from judgeloop.errors import InputError

pytestmark = pytest.mark.usefixtures("endpoint_key")


def of_openai(message: str, status: int = 400, **more: Any) -> Answer:
    return Answer({"error": {"message": message, "type": "invalid_request_error", **more}}, status)


def raw(status: int, body: str) -> Answer:
    return Answer(body.encode(), status, {"Content-Type": "text/html"})


FASTAPI = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted"}
INSIDE = '{"error":{"message":"Unsupported value: \'temperature\' does not support 0.7 with this model."}}'


@pytest.mark.parametrize(
    ("field", "answer"),
    [
        ("max_tokens", of_openai("Unsupported parameter: 'max_tokens' is not supported with this model.")),
        ("max_tokens", of_openai("Unrecognized argument: max_tokens. Did you mean max_completion_tokens?")),
        ("logprobs", of_openai("You are not allowed to request logprobs from this model", 403)),
        ("top_logprobs", Answer({"detail": [{"loc": ["body", "messages"], "input": "x" * 400},
                                            {"loc": ["body", "top_logprobs"], **FASTAPI}]}, 422)),
        ("seed", Answer([{"error": {"message": 'Unknown name "seed": Cannot find field.', "code": 400}}], 400)),
        ("seed", Answer({"message": {"detail": [{"loc": ["body", "seed"], **FASTAPI}]}}, 422)),
        ("seed", of_openai("This parameter is not supported.", param="seed")),
        ("seed", of_openai("This model doesn't support the seed parameter", 500)),
        ("temperature", Answer({"error": {"message": "Provider returned error", "metadata": {"raw": INSIDE}}}, 400)),
        ("temperature", Answer({"error": {"message": "Provider returned error", "code": 400,
                                          "metadata": {"raw": INSIDE}}})),
    ],
)  # fmt: skip
def test_a_field_that_is_refused_in_any_words_is_left_out(field: str, answer: Answer) -> None:
    with serving(lambda asked: answer if field in asked.body else says("yes")) as server:
        asked = engine(server.url, concurrency=1)
        found = replies(asked, ask(name="a", top_logprobs=20), ask(name="b", top_logprobs=20))
    assert {reply.text for reply in found.values()} == {"yes"}
    assert len(server.asked) == 3
    assert len([note for note in asked.notes if "gives no log-prob" not in note or "logprobs" in field]) == 1


@pytest.mark.parametrize("words", ["internal error: seed node 3 is not reachable", "the GPU's temperature is too high"])
def test_a_fault_that_names_a_field_by_chance_is_asked_again(words: str) -> None:
    with serving(lambda asked: fails(500, words) if asked.number == 0 else says("yes")) as server:
        asked = engine(server.url)
        assert replies(asked, ask())["r"].text == "yes"
    assert (asked.retries, asked.notes) == ({"500": 1}, [])
    assert {"seed", "temperature"} <= set(server.asked[1].body)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("Unsupported parameter: 'seed'. You may use top_p or temperature.", {}),
        ("Unknown parameter: 'seed' in {'temperature': 0.7, 'seed': 7, 'top_p': 0.9}", {}),
        ("temperature and top_p are fine, this one is not", {"param": "seed"}),
    ],
)
def test_only_the_field_that_the_error_is_about_is_left_out(words: str, more: dict[str, str]) -> None:
    with serving(lambda asked: of_openai(words, **more) if "seed" in asked.body else says("yes")) as server:
        assert replies(engine(server.url), ask())["r"].text == "yes"
    assert {"temperature", "top_p", "max_tokens"} <= set(server.asked[-1].body)
    assert len(server.asked) == 2


def test_what_an_error_repeats_of_the_request_names_no_field() -> None:
    sent = {"temperature": 0.7, "top_p": 0.9, "messages": [{"role": "user", "content": "x" * 20_000}]}
    refused = Answer({"detail": [{"input": sent, "loc": ["body", "seed"], **FASTAPI}]}, 422)
    with serving(lambda asked: refused if "seed" in asked.body else says("yes")) as server:
        assert replies(engine(server.url), ask())["r"].text == "yes"
    assert {"temperature", "top_p"} <= set(server.asked[-1].body)


def test_of_two_fields_that_exclude_each_other_the_temperature_stays() -> None:
    refused = of_openai("`temperature` and `top_p` cannot both be specified for this model.")
    with serving(lambda asked: refused if {"temperature", "top_p"} <= set(asked.body) else says("yes")) as server:
        replies(engine(server.url), ask())
    assert server.asked[-1].body["temperature"] == 0.7


@pytest.mark.parametrize(
    ("most", "words"),
    [
        (5, "Requested sample logprobs of 20, which is greater than max allowed: 5"),
        (5, "Invalid value for 'top_logprobs': must be less than or equal to 5."),
        (8, "top_logprobs must be between 0 and 8"),
    ],
)
def test_fewer_log_probabilities_are_asked_for_where_twenty_are_too_many(most: int, words: str) -> None:
    given = says("4", tokens=[("4", {"4": -0.5, "3": -1.2})])
    with serving(lambda asked: of_openai(words) if asked.body["top_logprobs"] > most else given) as server:
        asked = engine(server.url)
        assert replies(asked, ask(top_logprobs=20))["r"].tokens is not None
    assert [sent.body["top_logprobs"] for sent in server.asked] == [20, most]
    assert asked.notes == [f"the endpoint gives the {most} likeliest tokens only: scores are read from those"]


def test_thinking_is_switched_off_where_it_needs_a_stream() -> None:
    words = "parameter.enable_thinking must be set to false for non-streaming calls"
    with serving(
        lambda asked: says("yes") if asked.body.get("enable_thinking") is False else of_openai(words)
    ) as server:
        asked = engine(server.url)
        assert replies(asked, ask())["r"].text == "yes"
    assert ["switched off" in note for note in asked.notes] == [True]


LONG = [
    (400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."),
    (400, "prompt is too long: 203456 tokens > 200000 maximum"),
    (400, "the request exceeds the available context size, try increasing it"),
    (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048575)."),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096."),
    (400, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    (400, "litellm.ContextWindowExceededError: litellm.BadRequestError"),
    (413, "Request Entity Too Large"),
    (429, "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000."),
]
FILTERED = [
    (400, "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."),
    (400, "Content Exists Risk"),
    (400, "Output data may contain inappropriate content."),
    (400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy."),
    (400, "系统检测到输入或生成内容可能包含不安全或敏感内容"),
    (403, 'gpt-4o requires moderation. Your input was flagged for "harassment".'),
    (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE"),
]


@pytest.mark.parametrize(
    ("status", "words", "reason"), [*((*one, TOO_LONG) for one in LONG), *((*one, CONTENT_REFUSED) for one in FILTERED)]
)
def test_a_row_that_is_refused_is_left_out_and_the_rest_goes_on(status: int, words: str, reason: str) -> None:
    with serving(lambda asked: of_openai(words, status) if asked.words == "b" else says("yes")) as server:
        asked = engine(server.url, concurrency=1)
        found = replies(asked, ask("a", "a"), ask("b", "b"), ask("c", "c"))
    assert {name: reply.unread for name, reply in found.items()} == {"a": None, "b": reason, "c": None}
    assert len(server.asked) == 3
    assert asked.notes == [f"{reason} ({words})"]


def test_a_row_that_is_refused_in_words_nobody_knows_is_left_out_if_others_are_answered() -> None:
    def answer(asked: Asked) -> Answer:
        return of_openai(f"grumble {KEY}", 451) if asked.words in ("a", "c") else says("yes")

    with serving(answer) as server:
        asked = engine(server.url, concurrency=1)
        found = replies(asked, *(ask(name, name) for name in "abcd"))
    assert [found[name].unread for name in "abcd"] == ["refused by the endpoint: status 451", None] * 2
    assert KEY not in repr((found, asked.notes))


def test_what_is_refused_to_all_rows_is_an_error_after_some() -> None:
    with (
        serving(lambda asked: of_openai("grumble")) as server,
        pytest.raises(Refused, match=r"refuses the request \(400: grumble\)"),
    ):
        replies(engine(server.url, concurrency=1), *(ask(name=f"r{n}") for n in range(100)))
    assert len(server.asked) <= 21


def test_an_endpoint_that_begins_to_refuse_everything_ends_the_asking() -> None:
    with serving(lambda asked: says("yes") if asked.number < 3 else of_openai("grumble")) as server:
        found = engine(server.url, concurrency=1).generate([ask(name=f"r{n}") for n in range(100)])
        assert [next(found).text for _ in range(3)] == ["yes"] * 3
        with pytest.raises(Refused, match="grumble"):
            next(found)


def test_an_answer_whose_thought_took_all_tokens_is_cut_off_and_no_error() -> None:
    words = "Could not finish the message because max_tokens or model output limit was reached."
    with serving(lambda asked: of_openai(words)) as server:
        found = replies(engine(server.url), ask())["r"]
    assert (found.text, found.finish_reason, found.thought, found.unread) == ("", "length", "", None)


@pytest.mark.parametrize(
    ("answer", "words", "never"),
    [
        (of_openai("Your authentication token is expired", 401), ["OPENAI_API_KEY", "expired"], ""),
        (of_openai("API key not valid. Please pass a valid API key."), ["OPENAI_API_KEY is not accepted"], "options"),
        (of_openai("Country, region, or territory not supported", 403), ["Country"], "not accepted"),
        (raw(403, "<html><title>Attention Required! | Cloudflare</title><p>x"), ["Attention Required!"], "<"),
        (of_openai("Project `p` does not have access to model `judge-1`", 403), ["and the model's name"], "key"),
        (of_openai("Invalid model 'judge-1'."), ["does not give the model 'judge-1'"], "options"),
        (of_openai("Insufficient Balance", 402), ["balance is used up", "402"], "options"),
        (of_openai("Your credit balance is too low to access the API."), ["balance is used up"], "prompts"),
        (of_openai("You exceeded your quota", 429, type="insufficient_quota"), ["quota"], "tries"),
        (of_openai("max_tokens is too large: 20. This model supports at most 16 completion tokens"),
         ["lower judge.sampling.max_new_tokens"], "prompts"),
        (of_openai("maxOutputTokens value of 20000 but the supported range is from 1"), ["max_new_tokens"], "prompts"),
        (raw(400, "<html><title>400 The plain HTTP request was sent to HTTPS port</title>"), ["begin with https"], "<"),
        (Answer({"detail": "Method Not Allowed"}, 405), ["check the URL"], "options"),
        (raw(501, "<html><title>Error response</title>"), ["501", "check the URL"], "tries"),
        (raw(404, "<html>\r\n<head><title>404 Not Found</title></head>"), ["(404: 404 Not Found)"], "<"),
        (of_openai("Only vicuna is allowed", 200, code=40301), ["refuses access", "vicuna"], "options"),
        (of_openai("No auth credentials found", 200, code=401), ["OPENAI_API_KEY"], "options"),
        (of_openai("This model only support stream mode, please enable the stream parameter."), ["stream"], "key"),
    ],
)  # fmt: skip
def test_the_true_cause_is_named_at_once(answer: Answer, words: list[str], never: str) -> None:
    with serving(lambda asked: answer) as server, pytest.raises(InputError) as caught:
        replies(engine(server.url), ask())
    for word in words:
        assert word in str(caught.value)
    assert never == "" or never not in str(caught.value).removeprefix(server.url)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == 1


def test_an_address_without_its_version_is_doubted() -> None:
    with serving(lambda asked: Answer(b"404 page not found", 404)) as server:
        with pytest.raises(InputError, match=r"check the URL \(most end with /v1\) and the model"):
            replies(engine(server.url.removesuffix("/v1")), ask())
        with pytest.raises(InputError, match="check the URL and the model"):
            replies(engine(server.url), ask())


@pytest.mark.parametrize(
    "answer",
    [
        fails(400, "Expected last role User or Tool (or Assistant with prefix True) but got assistant"),
        fails(500, "Assistant response prefill is incompatible with enable_thinking."),
        fails(404, "No endpoints found that support assistant prefill"),
        fails(500),
    ],
)
def test_a_begun_answer_that_is_refused_is_told_from_other_faults(answer: Answer) -> None:
    begun = [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "Score: "}]
    with serving(lambda asked: answer) as server, pytest.raises(Refused, match=r"endpoint\.begin_score|options"):
        replies(engine(server.url, attempts=2), MessageRequest("r", begun, Sampling(1)))
