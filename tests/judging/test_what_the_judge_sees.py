"""A prompt's own system message is shown to every kind of judge, whoever asks it; the response is never without it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import EftSection, JudgeSection
from judgeloop.data.answered import read_answered
from judgeloop.data.readers import read_prompts, read_ranked
from judgeloop.eft.from_ranks import eft_rows
from judgeloop.eft.sampled_scores import drawn
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.engines.messages import MessageRequest, Reply
from judgeloop.judging.endpoint_judge import EndpointJudge
from judgeloop.judging.function_judge import judge_by_function
from judgeloop.judging.judges import LocalJudge
from judgeloop.judging.meta import Contested, Written, to_compare
from judgeloop.judging.pairwise import ToCompare
from judgeloop.judging.pointwise import ToJudge
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Message
from tiny import make_tiny_model

SYSTEM = "Answer like a pirate of the north."
PROMPT: list[Message] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Where is the sea?"}]
ITEM = ToJudge("a", PROMPT, "There, arr.")
PAIR = ToCompare("a", PROMPT, "There, arr.", "There.")


class Shown:
    """A model, here or behind an endpoint, that keeps the words it is shown."""

    name = "shown"

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.words: list[str] = []

    def generate(self, requests: Sequence[Any]) -> Iterator[Any]:
        for request in requests:
            if isinstance(request, MessageRequest):
                self.words.append("\n".join(message["content"] for message in request.messages))
                yield Reply(request.id, request.index, "Score: 3\nBetter: A", "stop")
            else:
                assert isinstance(request, Request)
                self.words.append(self.chat.decode(request.prompt_ids))
                yield Generation(request.id, 0, (5,), "It is fine.", "stop")

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        for request in requests:
            self.words.append(self.chat.decode(request.prompt_ids))
            yield OptionLogprobs(request.id, tuple(-1.0 for _ in request.options))

    def note(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")))


def here(shown: Shown, *, written: bool = False, pairwise: str = "pairwise", **settings: Any) -> LocalJudge:
    config = JudgeSection(min_mass=0, **settings)
    rubric = load_rubric("additive-5")
    return LocalJudge("j", shown, shown.chat, rubric, load_rubric(pairwise), config, 0, written)


def outside(shown: Shown, begin: Any = "never", **settings: Any) -> EndpointJudge:
    config = JudgeSection(min_mass=0, **settings)
    rubric = load_rubric("additive-5")
    return EndpointJudge("j", shown, rubric, load_rubric("pairwise"), config, 0, begin_score=begin)


def meta(shown: Shown) -> list[Any]:
    task = load_rubric("additive-5").messages(PROMPT, ITEM.response)
    entry = Contested("a", "p", task, (Written("a.j0", "Score: 3", 3), Written("a.j1", "Score: 4", 4)))
    return list(here(shown, pairwise="meta").verdicts(to_compare(entry)))


JUDGES: dict[str, Callable[[Shown], Any]] = {
    "expected": lambda shown: list(here(shown).scores([ITEM])),
    "justified": lambda shown: list(here(shown, justification=True).scores([ITEM])),
    "sampled": lambda shown: list(here(shown, scoring="sampled", samples=1).scores([ITEM])),
    "pairwise": lambda shown: list(here(shown).verdicts([PAIR])),
    "pairwise, written": lambda shown: list(here(shown, written=True).verdicts([PAIR])),
    "meta": meta,
    "endpoint": lambda shown: list(outside(shown).scores([ITEM])),
    "endpoint, begun": lambda shown: list(outside(shown, "always").scores([ITEM])),
    "endpoint, sampled": lambda shown: list(outside(shown, scoring="sampled", samples=1).scores([ITEM])),
    "endpoint, pairwise": lambda shown: list(outside(shown).verdicts([PAIR])),
}


@pytest.mark.parametrize("kind", JUDGES)
def test_every_judge_sees_the_system_message(kind: str, chat: Chat) -> None:
    shown = Shown(chat)
    JUDGES[kind](shown)
    assert shown.words
    for words in shown.words:
        assert f"System: {SYSTEM}" in words
        assert words.index(SYSTEM) < words.index("Where is the sea?") < words.index("There, arr.")


def test_a_function_and_those_who_make_eft_rows_see_it_too(chat: Chat, tmp_path: Path) -> None:
    seen: list[Any] = []

    def score(messages: list[Message], response: str, finished: bool) -> float:
        seen.append(messages)
        return 3

    list(judge_by_function(score, [ITEM], [True], "judge.function"))
    assert seen == [PROMPT]
    shown, rubric = Shown(chat), load_rubric("additive-5")
    section = EftSection(source="written", score="drawn", samples=1)
    list(drawn(shown, chat, rubric, section, [ITEM], 0, justification=True))
    assert all(SYSTEM in words for words in shown.words)
    ranked = tmp_path / "ranked.jsonl"
    sides = [{"text": "There, arr.", "rank": 0}, {"text": "There.", "rank": 1}]
    ranked.write_text(json.dumps({"prompt": PROMPT, "responses": sides}) + "\n", encoding="utf-8")
    rows = eft_rows(read_ranked(ranked)[0], rubric, False, 0, Counter())
    assert [SYSTEM in row.prompt[0]["content"] for _, row in rows] == [True, True]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": PROMPT, "response": "There, arr."},
        {"system": SYSTEM, "prompt": "Where is the sea?", "response": "There, arr."},
        {"messages": [*PROMPT, {"role": "assistant", "content": "There, arr."}]},
        {"system_prompt": SYSTEM, "instruction": "Where is the sea?", "output": "There, arr."},
    ],
)
def test_rows_to_judge_keep_it(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    (found,) = read_answered(path)
    assert found.prompt == PROMPT
    asked = tmp_path / "asked.jsonl"
    asked.write_text(json.dumps({"prompt": PROMPT}) + "\n", encoding="utf-8")
    assert read_prompts(asked)[0][0].messages == PROMPT
