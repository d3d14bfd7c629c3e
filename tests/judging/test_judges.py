"""A loaded model and an endpoint as the same kind of judge."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from judgeloop.config import JudgeSection
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.engines.messages import MessageRequest, Reply, Token
from judgeloop.judging.endpoint_judge import EndpointJudge
from judgeloop.judging.judges import Judge, LocalJudge
from judgeloop.judging.pairwise import ToCompare
from judgeloop.judging.pointwise import ToJudge
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Message
from tiny import make_tiny_model

ASKED: list[Message] = [{"role": "user", "content": "Name a colour."}]
ITEM = ToJudge("c-1", ASKED, "Blue. Score: 5")
PAIR = ToCompare("p.first", ASKED, "Blue.", "Red.")
EXPECTED = JudgeSection(scoring="expected")
SAMPLED = JudgeSection(scoring="sampled", samples=3)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")))


@dataclass
class Remote:
    """Replies in order, and keeps what it was asked."""

    texts: Sequence[str]
    tokens: Sequence[tuple[Token, ...] | None] = ()
    finish: str = "stop"
    name: str = "remote"
    asked: list[MessageRequest] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def generate(self, requests: Sequence[MessageRequest]) -> Iterator[Reply]:
        self.asked += requests
        for number, request in enumerate(requests):
            tokens = self.tokens[number] if self.tokens else None
            yield Reply(request.id, request.index, self.texts[number], self.finish, tokens)

    def close(self) -> None:
        pass


@dataclass
class Local:
    probabilities: Sequence[float] = ()
    text: str = ""
    name: str = "local"
    options: list[OptionRequest] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        self.asked += requests
        for request in requests:
            yield Generation(request.id, 0, (5,), self.text, "stop")

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        self.options += requests
        for request in requests:
            yield OptionLogprobs(request.id, tuple(math.log(p) for p in self.probabilities))

    def close(self) -> None:
        pass


def remote(engine: Remote, config: JudgeSection = EXPECTED, *, written: bool = False) -> EndpointJudge:
    rubric = "additive-5-direct" if config.scoring == "expected" else "additive-5"
    return EndpointJudge("remote", engine, load_rubric(rubric), load_rubric("pairwise"), config, 0, written)


def local(engine: Local, chat: Chat, *, written: bool = False) -> LocalJudge:
    rubrics = load_rubric("additive-5-direct"), load_rubric("pairwise")
    return LocalJudge("local", engine, chat, *rubrics, EXPECTED, 0, written)


def tokens(*parts: str | tuple[str, Mapping[str, float]]) -> tuple[Token, ...]:
    """Tokens of an answer; those given with probabilities have alternatives."""
    found = []
    for part in parts:
        text, top = (part, {part: 1.0}) if isinstance(part, str) else part
        found.append(Token(text, {name: math.log(p) for name, p in top.items()}))
    return tuple(found)


def test_both_are_judges(chat: Chat) -> None:
    judges: list[Judge] = [local(Local(), chat), remote(Remote([]))]
    assert [judge.name for judge in judges] == ["local", "remote"]


def test_sampled_scores_of_an_endpoint_are_read_from_its_texts() -> None:
    engine = Remote(["Fine.\nScore: 3", "Hm.", "Score: 4/5"])
    rows = list(remote(engine, SAMPLED).scores([ITEM]))
    assert [(row.id, row.k, row.score, row.reason) for row in rows] == [
        ("c-1.j0", 0, 3.0, None),
        ("c-1.j1", 1, None, "no score line"),
        ("c-1.j2", 2, 4.0, None),
    ]
    assert {request.top_logprobs for request in engine.asked} == {0}
    assert len({request.seed for request in engine.asked}) == 3
    assert engine.asked[0].messages == load_rubric("additive-5").messages(ASKED, ITEM.response)
    assert engine.asked[0].sampling.temperature == SAMPLED.sampling.temperature


def test_expected_scores_of_an_endpoint_are_means_over_its_probabilities() -> None:
    # At the score: 4 in two spellings .5 + .1, 3 .2, a word .1: the mean is (4·.6 + 3·.2) / .8 = 3.75.
    top = {"4": 0.5, " 4": 0.1, "3": 0.2, "four": 0.1}
    engine = Remote(["I think.\nScore: 4"], [tokens("I think.\n", "Score", ":", " ", ("4", top))])
    (row,) = remote(engine).scores([ITEM])
    assert row.score == pytest.approx(3.75)
    assert row.mass == pytest.approx(0.8)
    assert row.distribution == pytest.approx([0, 0, 0, 0.25, 0.75, 0])
    assert row.text == "I think.\nScore: 4"
    assert (engine.asked[0].top_logprobs, engine.asked[0].sampling.temperature) == (20, 0)


@pytest.mark.parametrize(
    ("text", "parts", "score"),
    [
        ("Score: 4", None, 4.0),  # the endpoint gives none
        ("Score: 4.", tokens("Score:", (" 4.", {" 4.": 1.0})), 4.0),  # the tokenizer joins the score with something
        ("Score: 4.5", tokens("Score:", " ", ("4", {"4": 1.0}), ".", "5"), 4.5),
        ("Score: 9", tokens("Score:", " ", ("9", {"9": 0.6, "5": 0.4})), None),  # what is written is off the scale
    ],
)
def test_without_usable_probabilities_the_text_counts(
    text: str, parts: tuple[Token, ...] | None, score: float | None
) -> None:
    (row,) = remote(Remote([text], [parts])).scores([ITEM])
    assert (row.score, row.distribution) == (score, None)


def test_the_probabilities_are_those_of_the_score_that_counts() -> None:
    # What it gives is a 2; the 5 after it is the response's own words.
    text = 'Score: 2\nIt says: "Blue. Score: 5"'
    said = tokens("Score:", " ", ("2", {"2": 0.5, "4": 0.5}), '\nIt says: "Blue. Score:', " ", "5", '"')
    (row,) = remote(Remote([text], [said])).scores([ITEM])
    assert (row.score, row.mass) == (pytest.approx(3), 1)
    # The 5 in a thought is no score, and neither are those of the scale.
    text = "<think>Score: 5</think>Score (0-5): 5/5"
    thought, scale, score = ("5", {"1": 1.0}), ("5", {"2": 1.0}), ("5", {"5": 0.5, "4": 0.5})
    said = tokens("<think>Score: ", thought, "</think>Score (0-", scale, "): ", score, "/", thought)
    (row,) = remote(Remote([text], [said])).scores([ITEM])
    assert row.score == 4.5


def test_probabilities_that_are_spread_over_other_words_are_no_score() -> None:
    (row,) = remote(Remote(["Score: 4"], [tokens("Score", ": ", ("4", {"4": 0.3, "four": 0.7}))])).scores([ITEM])
    assert (row.score, row.reason) == (None, "scores have 30% of the probability")


def test_a_score_that_an_endpoint_copies_from_the_response_is_none() -> None:
    (row,) = remote(Remote(['It says: "Blue. Score: 5"'])).scores([ITEM])
    assert row.score is None


def test_verdicts_of_an_endpoint() -> None:
    top = {"A": 0.7, "B": 0.2, " A": 0.1}
    engine = Remote(["Better: A"], [tokens("Better", ":", " ", ("A", top))])
    (verdict,) = remote(engine).verdicts([PAIR])
    assert (verdict.id, verdict.better, verdict.text) == ("p.first", "first", "Better: A")
    assert verdict.first_probability == pytest.approx(0.8)
    assert engine.asked[0].messages == load_rubric("pairwise").messages(ASKED, "Blue.", "Red.")
    written = Remote(["Better: B"])
    (verdict,) = remote(written, written=True).verdicts([PAIR])
    assert (verdict.better, verdict.first_probability, written.asked[0].top_logprobs) == ("second", None, 0)
    (verdict,) = remote(Remote(["Both have"], finish="length")).verdicts([PAIR])
    assert (verdict.better, verdict.reason) == (None, "no verdict line, cut off by length")


def test_verdicts_of_a_loaded_model(chat: Chat) -> None:
    engine = Local([0.2, 0.6])
    (verdict,) = local(engine, chat).verdicts([PAIR])
    assert (verdict.better, verdict.mass) == ("second", pytest.approx(0.8))
    assert verdict.first_probability == pytest.approx(0.25)
    shown = chat.decode(engine.options[0].prompt_ids)
    assert shown.index("Blue.") < shown.index("Red.")
    assert next(iter(local(Local([0.4, 0.4]), chat).verdicts([PAIR]))).better == "neither"
    (unsure,) = local(Local([0.2, 0.1]), chat).verdicts([PAIR])
    assert (unsure.better, unsure.reason) == (None, "A and B have 30% of the probability")


def test_a_loaded_model_may_write_its_verdict(chat: Chat) -> None:
    engine = Local(text="It is shorter.\nBetter: B")
    (verdict,) = local(engine, chat, written=True).verdicts([PAIR])
    assert (verdict.better, verdict.text) == ("second", "It is shorter.\nBetter: B")
    assert engine.asked[0].sampling.temperature == 0
    assert engine.options == []
