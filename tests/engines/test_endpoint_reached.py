"""How long a busy endpoint is waited for, what is in the way to it, and where its key is never shown."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from asking import KEY, Stop, ask, engine, replies
from endpoint import Answer, fails, says, serving
from judgeloop.config import ServerSection
from judgeloop.engines.endpoint_address import completions_url
from judgeloop.engines.endpoint_key import ApiKey
from judgeloop.engines.server_client import ServerClient
from judgeloop.errors import InputError, JudgeloopError

pytestmark = pytest.mark.usefixtures("endpoint_key")


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (fails(429, Retry_After="7"), 7),
        (fails(429, Retry_After=formatdate(time.time() + 4_000, usegmt=True)), 60),
        (fails(429, retry_after_ms="1500", Retry_After="2"), 1.5),
        (fails(429, "Rate limit reached: Limit 30000, Used 29000. Please try again in 1.5s."), 1.5),
        (fails(429, "Please try again in 820ms."), 0.82),
        (fails(429, "Please try again in 1m2.5s."), 60),
        (fails(429, "exceeded call rate limit. Please retry after 9 seconds."), 9),
        (Answer([{"error": {"message": "quota", "details": [{"retryDelay": "12s"}]}}], 429), 12),
        (Answer({"error": "Model x is currently loading", "estimated_time": 20.0}, 503), 20),
        (Answer({"error": {"message": "slow down", "code": 429}}, 200, {"Retry-After": "3"}), 3),
    ],
)
def test_it_waits_as_long_as_headers_or_words_say(answer: Answer, wait: float) -> None:
    stop = Stop()
    with serving(lambda asked: answer if asked.number == 0 else says("yes")) as server:
        assert engine(server.url)._ask(ask(), stop).text == "yes"
    assert stop.waits == [pytest.approx(wait)]


@pytest.mark.parametrize("value", ["0", "-1", "soon"])
def test_a_wait_of_no_time_is_its_own_growing_one(value: str) -> None:
    stop = Stop()
    with serving(lambda asked: fails(429, Retry_After=value) if asked.number == 0 else says("yes")) as server:
        assert engine(server.url)._ask(ask(), stop).text == "yes"
    assert 0 < stop.waits[0] < 1


def test_the_words_of_an_endpoint_that_stays_busy_are_shown_without_the_key() -> None:
    with (
        serving(lambda asked: fails(429, f"requests per day, {KEY}")) as server,
        pytest.raises(JudgeloopError) as error,
    ):
        replies(engine(server.url), ask())
    assert "(requests per day, ***)" in str(error.value)


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ({"http_proxy": "http://me:pa55word@127.0.0.1:9"}, ["check the proxy 127.0.0.1:9 that the environment names"]),
        ({"all_proxy": "socks5://127.0.0.1:9"}, ["proxy", "cannot be used"]),
        ({"https_proxy": "ftp://127.0.0.1:9"}, ["proxy", "cannot be used"]),
    ],
)
def test_a_proxy_in_the_way_is_named(proxy: dict[str, str], words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in proxy.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        replies(engine("http://an-endpoint.invalid/v1"), ask())
    for word in words:
        assert word in str(caught.value)
    assert "pa55word" not in str(caught.value)
    with serving(lambda asked: says("yes")) as server:  # this machine is asked without one
        assert replies(engine(server.url), ask())["r"].text == "yes"


def test_https_where_http_is_spoken_is_named() -> None:
    with serving(lambda asked: says("yes")) as server, pytest.raises(InputError, match="begin with http://"):
        replies(engine(server.url.replace("http://", "https://")), ask())


def test_the_address_of_another_part_of_the_api_is_mended() -> None:
    for ending in ("/completions", "/responses", "/models", "/chat/completions/"):
        assert completions_url(f"http://h/v1{ending}") == "http://h/v1/chat/completions"
    assert completions_url("https://a.services.ai.azure.com/models").endswith("/models/chat/completions")


@pytest.mark.parametrize("form", ["{key}", "{quoted}", '{{"k": "{escaped}"}}', "x" * 290 + " {key}"])
def test_a_key_is_hidden_in_every_spelling_and_before_words_are_cut(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = 'sk/abc+def==ghijkl"m'
    monkeypatch.setenv("OPENAI_API_KEY", key)
    said = form.format(key=key, quoted="sk%2Fabc%2Bdef%3D%3Dghijkl%22m", escaped='sk/abc+def==ghijkl\\"m')
    with serving(lambda asked: fails(400, said)) as server, pytest.raises(InputError) as caught:
        replies(engine(server.url), ask())
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("key", ["temperature", "max_tokens", "logprobs", "e", "_", "."])
def test_a_key_that_is_a_word_of_the_endpoint_does_not_hide_what_is_refused(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    refused = key if len(key) > 1 else "max_tokens"
    words = f"Unsupported parameter: '{refused}' is not supported with this model. {key}"
    with serving(lambda asked: fails(400, words) if refused in asked.body else says("yes")) as server:
        assert replies(engine(server.url), ask(top_logprobs=5))["r"].text == "yes"


def test_a_page_whose_title_is_the_key_does_not_show_it() -> None:
    page = Answer(f"<html><title>{KEY}</title></html>".encode())
    with serving(lambda asked: page) as server, pytest.raises(InputError) as caught:
        replies(engine(server.url, attempts=1), ask())
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("make", [engine, lambda url: ServerClient(ServerSection(url=url))])
def test_a_key_that_no_header_can_hold_is_an_error_that_does_not_show_it(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    monkeypatch.setenv(ServerSection().key_variable, f"{KEY}\n")
    with pytest.raises(InputError, match="line break") as caught:
        make("http://127.0.0.1:9/v1")
    assert KEY not in str(caught.value)
    assert KEY not in repr(ApiKey("NAME", KEY))
