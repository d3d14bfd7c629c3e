"""A model behind an OpenAI-compatible endpoint: everything over real HTTP on this machine."""

from __future__ import annotations

import math
import socket
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from asking import KEY, Stop, ask, engine, replies
from endpoint import Answer, Asked, fails, says, serving
from judgeloop.config import EndpointSection
from judgeloop.engines.messages import MessageEngine, Reply
from judgeloop.engines.openai import OpenAiEngine, completions_url
from judgeloop.errors import InputError, JudgeloopError

pytestmark = pytest.mark.usefixtures("endpoint_key")


def test_what_is_sent_and_what_comes_back() -> None:
    with serving(lambda asked: says(f"You said: {asked.words}")) as server:
        judge = engine(server.url)
        assert isinstance(judge, MessageEngine)
        found = replies(judge, ask("Ça va? 你好 🌧", seed=7))
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "judge-1",
        "messages": [{"role": "user", "content": "Ça va? 你好 🌧"}],
        "max_tokens": 20,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 7,
    }
    assert found["r"] == Reply("r", 0, "You said: Ça va? 你好 🌧", "stop", None)
    assert judge.tokens == {"prompt_tokens": 11, "completion_tokens": 3}
    assert (judge.retries, judge.notes) == ({}, [])


def test_every_request_is_answered_once_and_not_too_many_at_a_time() -> None:
    with serving(lambda asked: Answer(says(asked.words).body, delay=0.02)) as server:
        judge = engine(server.url, concurrency=3)
        found = list(judge.generate([ask(f"text {k}", f"r{k}", index=k) for k in range(12)]))
    assert sorted((reply.index, reply.text) for reply in found) == [(k, f"text {k}") for k in range(12)]
    assert server.most_at_once == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(status: int) -> None:
    with serving(lambda asked: fails(status) if asked.number < 2 else says("yes")) as server:
        judge = engine(server.url)
        assert replies(judge, ask())["r"].text == "yes"
    assert len(server.asked) == 3
    assert judge.retries == {str(status): 2}


def test_it_waits_as_long_as_the_endpoint_says() -> None:
    headers = [{"Retry_After": "7.5"}, {"Retry_After": formatdate(4_000_000_000)}, {"Retry_After": "soon"}]
    stop = Stop()
    with serving(lambda asked: fails(429, **headers[asked.number]) if asked.number < 3 else says("yes")) as server:
        judge = OpenAiEngine(EndpointSection(url=server.url), "judge-1", first_wait=2.0)
        assert judge._ask(ask(), stop).text == "yes"
    assert stop.waits[:2] == [7.5, 60.0]  # a date far off: never longer than a minute
    assert 4.0 <= stop.waits[2] <= 12.0  # its own third wait: 2 · 2² · (½ to 1½)


def test_an_endpoint_that_stays_busy_is_a_fault_of_the_machine() -> None:
    with serving(lambda asked: fails(503, "overloaded")) as server, pytest.raises(JudgeloopError) as caught:
        replies(engine(server.url), ask())
    assert caught.value.exit_code == 1
    assert "still 503 after 4 tries" in str(caught.value)
    assert len(server.asked) == 4


def test_timeouts_and_broken_connections_are_asked_again() -> None:
    def answer(asked: Asked) -> Answer:
        if asked.number == 0:
            return Answer(delay=0.6)
        return Answer(hang_up=True) if asked.number == 1 else says("yes")

    with serving(answer) as server:
        judge = engine(server.url, timeout=0.2)
        assert replies(judge, ask())["r"].text == "yes"
    assert judge.retries == {"a timeout": 1, "a broken connection": 1}


def test_an_answer_that_does_not_end_is_asked_for_again() -> None:
    with serving(lambda asked: replace(says("yes"), blanks=0 if asked.number else 1_000)) as server:
        judge = engine(server.url, timeout=0.2)
        started = time.monotonic()
        assert replies(judge, ask())["r"].text == "yes"
    assert judge.retries == {"an answer without an end": 1}
    assert time.monotonic() - started < 20  # 1,000 blanks take 50 s


def test_an_answer_behind_blanks_that_keep_the_connection_open_is_waited_for() -> None:
    with serving(lambda asked: replace(says("yes"), blanks=10)) as server:
        judge = engine(server.url, timeout=0.2)
        assert replies(judge, ask())["r"].text == "yes"
    assert len(server.asked) == 1


def test_a_body_that_cannot_be_unpacked_is_asked_for_again() -> None:
    packed = Answer(b"\x1f\x8b\x08zz", headers={"Content-Encoding": "gzip"})
    with serving(lambda asked: says("yes") if asked.number else packed) as server:
        judge = engine(server.url)
        assert replies(judge, ask())["r"].text == "yes"
    assert judge.retries == {"an answer that cannot be decoded": 1}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<html>hello</html>", "not JSON"),
        (b'{"choices": [', "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"choices": []}', "without choices and message"),
        (b'{"choices": [{"message": "hi"}]}', "without choices and message"),
        (b'{"choices": [{"message": {"content": 5}}]}', "content is not text"),
        (b'\xff\xfe{"a": 1}', "not JSON"),
    ],
)
def test_an_answer_of_another_kind_is_an_input_error(body: bytes, what: str) -> None:
    with serving(lambda asked: Answer(body)) as server, pytest.raises(InputError, match=what) as caught:
        replies(engine(server.url, attempts=2), ask())
    assert "OpenAI-compatible" in str(caught.value)


def test_a_broken_answer_may_be_mended_by_asking_again() -> None:
    with serving(lambda asked: Answer(b"{") if asked.number == 0 else says("yes")) as server:
        judge = engine(server.url)
        assert replies(judge, ask())["r"].text == "yes"
    assert judge.retries == {"an answer that is not JSON": 1}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fails(401, f"Incorrect API key provided: {KEY}"), ["OPENAI_API_KEY is not accepted"]),
        (fails(403), ["OPENAI_API_KEY is not accepted"]),
        (fails(404, "The model `judge-1` does not exist"), ["404", "does not exist", "check the URL"]),
        (fails(400, f"bad {KEY} thing"), ["400", "bad *** thing"]),
        (Answer({"error": {"message": "pay", "code": "insufficient_quota"}}, 429), ["quota"]),
        (Answer(b"", 302, {"Location": "http://elsewhere.invalid/v1"}), ["redirects to http://elsewhere.invalid/v1"]),
    ],
)
def test_what_the_user_must_mend(answer: Answer, words: list[str]) -> None:
    with serving(lambda asked: answer) as server, pytest.raises(InputError) as caught:
        replies(engine(server.url), ask())
    for word in words:
        assert word in str(caught.value)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == 1


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(lambda asked: fails(401)) as server, pytest.raises(InputError, match="MY_KEY is not set"):
        replies(engine(server.url, key_variable="MY_KEY"), ask())
    assert "Authorization" not in server.asked[0].headers


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(InputError, match="connection refused"):
        replies(engine(f"http://127.0.0.1:{port}/v1"), ask())
    with pytest.raises(InputError, match="cannot be reached"):
        replies(engine("http://no-such-host.invalid/v1"), ask())


@pytest.mark.parametrize(
    ("refused", "message", "sent", "note"),
    [
        ("logprobs", "logprobs is not supported by this model", {"logprobs", "top_logprobs"}, "read from the text"),
        ("seed", "Unrecognized request argument supplied: seed", {"seed"}, "takes no seed"),
        ("max_tokens", "Unsupported parameter: use 'max_completion_tokens' instead", {"max_tokens"}, "limit"),
    ],
)
def test_a_field_that_is_refused_is_left_out_and_noted(refused: str, message: str, sent: set[str], note: str) -> None:
    with serving(lambda asked: fails(400, message) if refused in asked.body else says("yes")) as server:
        judge = engine(server.url, concurrency=1)
        found = replies(judge, ask(name="a", top_logprobs=5), ask(name="b", top_logprobs=5))
    assert {reply.text for reply in found.values()} == {"yes"}
    assert len(server.asked) == 3  # refused once, not once a request
    assert not sent & set(server.asked[2].body)
    assert ("max_completion_tokens" in server.asked[2].body) == (refused == "max_tokens")
    assert sum(note in text for text in judge.notes) == 1


def test_a_context_that_is_too_long_is_not_taken_for_a_field_it_does_not_know() -> None:
    message = "'max_tokens' or 'max_completion_tokens' is too large: 20. This model's maximum context length is 10"
    with serving(lambda asked: fails(400, message)) as server:
        found = replies(engine(server.url), ask())["r"]
    assert (found.unread, found.text) == ("refused by the endpoint: too long for the model", message)
    assert "max_tokens" in server.asked[0].body
    assert len(server.asked) == 1


def test_log_probabilities_come_as_tokens() -> None:
    top = {"4": math.log(0.6), " 3": math.log(0.3)}
    with serving(lambda asked: says("4", tokens=[("4", top)])) as server:
        found = replies(engine(server.url), ask(top_logprobs=20))["r"]
    assert server.asked[0].body["logprobs"] is True
    assert server.asked[0].body["top_logprobs"] == 20
    assert found.tokens is not None
    assert found.tokens[0].text == "4"
    assert dict(found.tokens[0].top) == top


def test_log_probabilities_that_do_not_come_are_noted_once() -> None:
    with serving(lambda asked: says("4")) as server:
        judge = engine(server.url)
        found = replies(judge, ask(name="a", top_logprobs=20), ask(name="b", top_logprobs=20))
    assert all(reply.tokens is None for reply in found.values())
    assert judge.notes == ["the endpoint gives no log-probabilities: scores and preferences are read from the text"]


def test_an_empty_answer_is_an_answer() -> None:
    with serving(lambda asked: says(None)) as server:
        assert replies(engine(server.url), ask())["r"] == Reply("r", 0, "", "stop", None)


def test_who_stops_listening_stops_the_asking() -> None:
    with serving(lambda asked: says("yes")) as server:
        judge = engine(server.url, concurrency=1)
        for _ in judge.generate([ask(name=f"r{k}") for k in range(200)]):
            break
    assert len(server.asked) < 200


def test_the_address() -> None:
    assert completions_url("http://h:1/v1/") == "http://h:1/v1/chat/completions"
    assert completions_url("https://h/v1/chat/completions") == "https://h/v1/chat/completions"
    for wrong in (None, "", "h:8000/v1", "ftp://h/v1", "http://", "http://h:99999999/v1"):
        with pytest.raises(InputError, match=r"endpoint\.url"):
            completions_url(wrong)
    with pytest.raises(InputError, match="password") as caught:
        completions_url("http://user:hunter2@h/v1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["temperature", "top_p", "seed"])
def test_a_model_that_refuses_a_sampling_parameter_is_asked_without(name: str) -> None:
    message = f"Unsupported value: '{name}' does not support 0.7 with this model."
    with serving(lambda asked: fails(400, message) if name in asked.body else says("yes")) as server:
        judge = engine(server.url, concurrency=1)
        found = replies(judge, ask(name="a"), ask(name="b"))
    assert {reply.text for reply in found.values()} == {"yes"}
    assert len(server.asked) == 3
    assert [name in note for note in judge.notes] == [True]


def test_a_key_of_one_letter_does_not_mangle_the_names_of_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead. Key: x"
    with serving(lambda asked: fails(400, message) if "max_tokens" in asked.body else says("yes")) as server:
        assert replies(engine(server.url), ask())["r"].text == "yes"
    with serving(lambda asked: fails(400, "max length; key x")) as server, pytest.raises(InputError) as caught:
        replies(engine(server.url), ask())
    assert "max length; key ***" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "answer"),
    [("<think>Score: 1?</think>\n\nScore: 4", "Score: 4"), ("<think>Score: 1", ""), ("", ""), ("hm</think>B", "B")],
)
def test_a_thought_is_never_read_as_the_answer(text: str, answer: str) -> None:
    sent = says(text)
    sent.body["choices"][0]["message"]["reasoning_content"] = "Score: 2"
    with serving(lambda asked: sent) as server:
        assert replies(engine(server.url), ask())["r"].text == answer


def test_a_redirect_to_another_host_never_gets_the_key() -> None:
    with (
        serving(lambda asked: says("stolen")) as other,
        serving(lambda asked: Answer(b"", 307, {"Location": f"{other.url}/chat/completions"})) as server,
        pytest.raises(InputError, match="redirects to"),
    ):
        replies(engine(server.url), ask())
    assert other.asked == []


def test_an_azure_address_keeps_its_version_and_sends_the_key_in_its_own_header() -> None:
    with serving(lambda asked: says("yes")) as server:
        replies(engine(f"{server.url}/deployments/d?api-version=2024-10-21"), ask())
    (asked,) = server.asked
    assert asked.path == "/v1/deployments/d/chat/completions?api-version=2024-10-21"
    assert {name.lower(): value for name, value in asked.headers.items()}["api-key"] == KEY
    assert "Authorization" not in asked.headers


def test_an_endpoint_that_fails_a_third_of_the_time_answers_every_row() -> None:
    def answer(asked: Asked) -> Answer:
        kinds = [fails(429), fails(500), Answer(hang_up=True), Answer(b"<html>busy</html>"), Answer(b'{"choi')]
        return kinds[asked.number // 3 % 5] if asked.number % 3 == 0 else says(asked.words)

    with serving(answer) as server:
        found = replies(engine(server.url, concurrency=4, attempts=8), *(ask(f"t{k}", f"r{k}") for k in range(40)))
    assert {name: reply.text for name, reply in found.items()} == {f"r{k}": f"t{k}" for k in range(40)}
    assert len(server.asked) <= 40 * 8


def test_errors_hangs_and_cut_bodies_mixed_lose_no_row_and_show_no_key() -> None:
    """Three requests in ten fail, each in its own way; what is noted and counted names no key."""

    def answer(asked: Asked) -> Answer:
        kinds = [fails(500, f"bad key {KEY}"), Answer(says("late").body, delay=0.6), Answer(b'{"choices": [{"mess')]
        return kinds[asked.number % 10] if asked.number % 10 < 3 else says(asked.words)

    with serving(answer) as server:
        judge = engine(server.url, concurrency=4, attempts=8, timeout=0.3)
        found = replies(judge, *(ask(f"t{k}", f"r{k}") for k in range(30)))
    assert {name: reply.text for name, reply in found.items()} == {f"r{k}": f"t{k}" for k in range(30)}
    assert set(judge.retries) == {"500", "a timeout", "an answer that is not JSON"}
    assert len(server.asked) == 30 + sum(judge.retries.values()) <= 30 * 8
    assert KEY not in repr(judge.account())


@pytest.mark.parametrize(("key", "value", "wait"), [("requests_per_minute", 6, 10.0), ("tokens_per_minute", 84, 10.0)])
def test_requests_keep_to_the_limits_of_a_minute(key: str, value: float, wait: float) -> None:
    stop = Stop()
    with serving(lambda asked: says("yes")) as server:  # an answer of 14 tokens
        judge = engine(server.url, **{key: value})
        judge._ask(ask(), stop)
        judge._ask(ask(), stop)
    assert len(stop.waits) == 1
    assert wait - 2 < stop.waits[0] <= wait
