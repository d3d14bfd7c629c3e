"""An engine and a judge for the endpoint that a test serves (`endpoint.py`), which wait for nothing."""

from __future__ import annotations

import threading
from typing import Any

from judgeloop.config import EndpointSection, JudgeSection
from judgeloop.engines.base import Sampling
from judgeloop.engines.messages import MessageRequest, Reply
from judgeloop.engines.openai import OpenAiEngine
from judgeloop.judging.endpoint_judge import BeginScore, EndpointJudge
from judgeloop.judging.pairwise import ToCompare
from judgeloop.judging.pointwise import ToJudge
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import Message

KEY = "sk-very-secret-1234"  # the fixture `endpoint_key` puts it into the environment
ASKED: list[Message] = [{"role": "user", "content": "Say hello."}]


class Stop(threading.Event):
    """Notes how long it is waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return False


def engine(url: str, **settings: Any) -> OpenAiEngine:
    values = {"url": url, "timeout": 5.0, "attempts": 4, **settings}
    return OpenAiEngine(EndpointSection.model_validate(values), "judge-1", first_wait=0.001)


def ask(text: str = "Rain?", name: str = "r", **more: Any) -> MessageRequest:
    return MessageRequest(name, [{"role": "user", "content": text}], Sampling(20, 0.7, 0.9), **more)


def replies(engine: OpenAiEngine, *requests: MessageRequest) -> dict[str, Reply]:
    return {reply.request_id: reply for reply in engine.generate(list(requests))}


def endpoint_judge(engine: OpenAiEngine, scoring: str = "sampled", begin_score: BeginScore = "auto") -> EndpointJudge:
    """One judgement a row."""
    rubric = load_rubric("additive-5-direct" if scoring == "expected" else "additive-5", "en")
    config = JudgeSection.model_validate({"scoring": scoring, "samples": 1})
    return EndpointJudge("judge-1", engine, rubric, load_rubric("pairwise", "en"), config, 1, begin_score=begin_score)


def rows(count: int = 3) -> list[ToJudge]:
    return [ToJudge(f"r{n}", ASKED, f"hello {n}") for n in range(count)]


def pairs(count: int = 3) -> list[ToCompare]:
    return [ToCompare(f"r{n}", ASKED, f"hello {n}", "bye") for n in range(count)]
