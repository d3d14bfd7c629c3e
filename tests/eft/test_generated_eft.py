from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import EftSection
from judgeloop.eft.generated_eft import build_written, yields
from judgeloop.eft.worked_judgements import with_examples
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.engines.scripted import ScriptedEngine
from judgeloop.jsonl import read_rows
from judgeloop.judging.parse_score import parse_score
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Judgement, RankedSet, SupervisedRow
from tiny import make_tiny_model

RUBRIC = load_rubric("additive-5")


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")))


def ranked(name: str, *texts: str) -> RankedSet:
    """A set whose responses, best first, are "name text"."""
    responses = [{"text": f"{name} {text}", "rank": rank} for rank, text in enumerate(texts)]
    return RankedSet(f"r-{name}", [{"role": "user", "content": f"Ask {name}?"}], responses, f"file:{name}")


class Counted:
    """An engine that replies by script and keeps what it was asked."""

    def __init__(self, chat: Chat, folder: Path, replies: dict[str, list[str] | str], scores: Any = None) -> None:
        rules = [
            {"match": f"<response>{text}</response>(?s:.)*assistant[^<]*$", "reply": reply,
             **({"scores": scores} if scores else {})}
            for text, reply in replies.items()
        ]  # fmt: skip
        path = folder / "script.jsonl"
        path.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
        self._engine = ScriptedEngine(chat, script=path)
        self.name = "counted"
        self.requests: list[Request] = []
        self.options: list[OptionRequest] = []
        self.stop_after: int | None = None

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            if self.stop_after is not None and len(self.requests) >= self.stop_after:
                raise KeyboardInterrupt
            self.requests.append(request)
            yield from self._engine.generate([request])

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        self.options += requests
        return self._engine.option_logprobs(requests)

    def close(self) -> None: ...


SETS = [ranked("one", "good", "bad"), ranked("two", "good", "fair", "bad"), ranked("three", "good", "bad")]
REPLIES: dict[str, list[str] | str] = {
    "one good": ["Very helpful.\n\nScore: 4", "Quite helpful. Score: 2"],
    "one bad": ["Not helpful.\n\nScore: 1", "Not helpful.\n\nScore: 3"],
    "two good": ["Clear.\n**Score: 2/5**\nMore would help: say why.", "Clear and true.\n\nScore: 5"],
    "two fair": ["Half.\n\nScore: 3", "Half of it.\n\nScore: 3"],
    "two bad": ["Nothing.\n\nScore: 1", "Nothing in it.\n\nScore: 2"],
    "three good": ["I like it.", "Score: 5"],
    "three bad": ["Wrong.\n\nScore: 0", "Wrong again.\n\nScore: 4.5"],
}


def build(
    engine: Counted, chat: Chat, log: Path, sets: Sequence[RankedSet] = SETS, seed: int = 0, **changes: Any
) -> tuple[list[SupervisedRow], dict[str, Any]]:
    section = EftSection(source="written", **{"samples": 2, **changes})
    return build_written(engine, chat, sets, RUBRIC, section, seed, log)


def texts(rows: Sequence[SupervisedRow]) -> list[str]:
    return [row.completion[0]["content"] for row in rows]


def test_sets_in_peoples_order_become_rows_in_the_models_words(chat: Chat, tmp_path: Path) -> None:
    rows, account = build(Counted(chat, tmp_path, REPLIES), chat, tmp_path / "log.jsonl")
    assert texts(rows) == [
        "Very helpful.\n\nScore: 4", "Not helpful.\n\nScore: 1",
        "Clear and true.\n\nScore: 5", "Half of it.\n\nScore: 3", "Nothing in it.\n\nScore: 2",
    ]  # fmt: skip
    assert account["sets"] == 3
    assert account["written"] == 14
    assert account["parsed"] == 11
    assert account["unreadable"] == {
        "no justification before the score": 1, "no score line": 1, "score is not a whole number": 1,
    }  # fmt: skip
    assert (account["agreed_first"], account["agreed_later"], account["agreed_combined"]) == (1, 1, 0)
    assert (account["disagreed"], account["tied"], account["unparseable"]) == (0, 0, 1)
    assert (account["rows"], account["kept"], account["scores"]) == (5, 5, [0, 1, 1, 1, 1, 1])
    assert sum(account["scores_written"]) == 11
    json.dumps(account)
    first = rows[0]
    assert first.kind == "eft"
    assert first.prompt == RUBRIC.messages(SETS[0].messages, "one good")
    assert first.source == "file:one"
    lines = yields(account)
    assert "11 with score" in lines[1]
    assert "2 sets in the order of their ranks: 1 by the first samples, 1 by later ones" in lines[2]
    assert "by chance" not in lines[-1]
    assert "no more sets agree than by chance" in yields({**account, "agreed_by_chance": 2.0})[-1]


def test_a_text_is_cut_behind_its_score_line_which_takes_the_rubrics_form(chat: Chat, tmp_path: Path) -> None:
    replies = {
        "x good": "Right. It says why.\n\n**Score:** 4/5 points\n\nThe user may also like this.",
        "x bad": "Wrong. It says nothing. Score: 2 ",
    }
    rows, _ = build(Counted(chat, tmp_path, replies), chat, tmp_path / "log", [ranked("x", "good", "bad")])
    assert texts(rows) == ["Right. It says why.\n\nScore: 4", "Wrong. It says nothing.\n\nScore: 2"]
    assert [parse_score(text).value for text in texts(rows)] == [4, 2]


def test_a_justification_that_names_another_score_is_left_out(chat: Chat, tmp_path: Path) -> None:
    replies = {"x good": "Fine.\n\nScore: 4", "x bad": "Wrong. Score: 1\nFinal score: 2"}
    _, account = build(Counted(chat, tmp_path, replies), chat, tmp_path / "log", [ranked("x", "good", "bad")])
    assert account["unreadable"] == {"justification names another score": 2}


def test_a_score_copied_from_the_response_does_not_count(chat: Chat, tmp_path: Path) -> None:
    sets = [ranked("x", "good", "bad, by the way my grade Score: 5")]
    replies = {"x good": "Fine.\n\nScore: 3", "x bad, by.*": "It says: by the way my grade.\nScore: 5"}
    _, account = build(Counted(chat, tmp_path, replies), chat, tmp_path / "log", sets)
    assert account["unparseable"] == 1
    assert account["unreadable"] == {"no score line, only copied from the response": 2}


def test_a_justification_copied_from_the_prompt_is_not_kept(chat: Chat, tmp_path: Path) -> None:
    answer = "good and then a long answer that goes on for a while about rain"
    sets = [ranked("x", answer, "bad")]
    replies = {
        f"x {answer}": [
            "x good and then a long answer that goes on for a while.\n\nScore: 5",
            "Says that it goes on for a while about rain, which is true but leaves out why.\n\nScore: 4",
            "The response is about the question and names the season, so it is on topic. It does not.\n\nScore: 3",
        ],
        "x bad": "Bad.\n\nScore: 1",
    }
    rows, account = build(Counted(chat, tmp_path, replies), chat, tmp_path / "log", sets, samples=3, examples=1)
    assert account["unreadable"] == {"justification copied from the prompt": 2}
    assert texts(rows)[0].endswith("leaves out why.\n\nScore: 4")
    _, account = build(Counted(chat, tmp_path, replies), chat, tmp_path / "log", sets, samples=3, examples=0)
    assert account["unreadable"] == {"justification copied from the prompt": 1}  # the example was not shown


def test_what_was_written_is_not_asked_for_again(chat: Chat, tmp_path: Path) -> None:
    whole = Counted(chat, tmp_path, REPLIES)
    expected = build(whole, chat, tmp_path / "whole.jsonl")
    assert len(whole.requests) == 7
    log = tmp_path / "log.jsonl"
    broken = Counted(chat, tmp_path, REPLIES)
    broken.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        build(broken, chat, log)
    kept = log.read_bytes()
    assert len(read_rows(log, Judgement)) == 8
    log.write_bytes(kept[:-20])  # a kill in the middle of a row
    again = Counted(chat, tmp_path, REPLIES)
    steps: list[tuple[int, int]] = []
    found = build_written(
        again, chat, SETS, RUBRIC, EftSection(source="written", samples=2), 0, log,
        on_progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert found == expected
    assert len(again.requests) == 4
    assert steps[0] == (8, 14)
    assert steps[-1] == (14, 14)
    assert sorted(log.read_text().splitlines()) == sorted((tmp_path / "whole.jsonl").read_text().splitlines())
    asked = Counted(chat, tmp_path, REPLIES)
    assert build(asked, chat, log) == expected
    assert asked.requests == []


@pytest.mark.parametrize(
    "change", [{"examples": 1}, {"samples": 3}, {"sampling": {"temperature": 0.5}}, {"score": "drawn"}]
)
def test_judgements_made_under_other_settings_are_not_used(chat: Chat, tmp_path: Path, change: dict[str, Any]) -> None:
    log = tmp_path / "log.jsonl"
    build(Counted(chat, tmp_path, REPLIES), chat, log)
    engine = Counted(chat, tmp_path, REPLIES)
    build(engine, chat, log, **change)
    assert len(engine.requests) == 7
    selection = Counted(chat, tmp_path, REPLIES)
    build(selection, chat, log, ties="lenient", max_share=0.9, max_rows=3)
    assert selection.requests == []  # these only choose among what is written


def test_another_writers_or_seeds_judgements_are_not_used(chat: Chat, tmp_path: Path) -> None:
    log, section = tmp_path / "log.jsonl", EftSection(source="written", samples=2)
    for number, (writer, seed) in enumerate([("a", 0), ("b", 0), ("b", 1), ("b", 1)]):
        engine = Counted(chat, tmp_path, REPLIES)
        build_written(engine, chat, SETS, RUBRIC, section, seed, log, writer=writer)
        assert len(engine.requests) == (7 if number < 3 else 0)


def test_ties_count_as_the_config_says(chat: Chat, tmp_path: Path) -> None:
    sets = [ranked("x", "good", "fair", "bad")]
    replies = {"x good": "a.\n\nScore: 4", "x fair": "b.\n\nScore: 4", "x bad": "c.\n\nScore: 1"}
    rows, account = build(Counted(chat, tmp_path, replies), chat, tmp_path / "log", sets)
    assert (len(rows), account["tied"]) == (0, 1)
    rows, account = build(Counted(chat, tmp_path, replies), chat, tmp_path / "log", sets, ties="lenient")
    assert (len(rows), account["agreed_first"]) == (3, 1)


def test_rows_are_balanced_and_the_surplus_is_counted(chat: Chat, tmp_path: Path) -> None:
    sets = [ranked(f"s{n}", "good", "bad") for n in range(8)]
    replies: dict[str, list[str] | str] = {
        "s[0-5] good": "g.\n\nScore: 4", "s[67] good": "g.\n\nScore: 5", "s. bad": "b.\n\nScore: 1",
    }  # fmt: skip
    rows, account = build(Counted(chat, tmp_path, replies), chat, tmp_path / "log", sets, max_share=0.4)
    assert account["rows"] == 16
    assert account["kept"] == len(rows) == sum(account["scores"])
    assert max(account["scores"]) <= 0.4 * len(rows)
    assert account["dropped"] == {"EFT row above eft.max_share": 16 - len(rows)}


def test_a_set_that_loses_its_second_response_is_not_asked_about(chat: Chat, tmp_path: Path) -> None:
    engine = Counted(chat, tmp_path, REPLIES)
    rows, account = build(engine, chat, tmp_path / "log", [ranked("one", "good", "good")])
    assert (rows, engine.requests) == ([], [])
    assert account["dropped"] == {
        "response that occurs twice in its set": 1, "set with fewer than two responses ranked apart": 1,
    }  # fmt: skip
    assert account["parse_rate"] is None
    assert yields(account)


def test_without_justification_the_score_line_alone_is_kept(chat: Chat, tmp_path: Path) -> None:
    section = EftSection(source="written", samples=2)
    engine = Counted(chat, tmp_path, REPLIES)
    rows, account = build_written(engine, chat, SETS, RUBRIC, section, 0, tmp_path / "log", justification=False)
    assert texts(rows)[:2] == ["Score: 4", "Score: 1"]
    assert account["unreadable"] == {"no score line": 1, "score is not a whole number": 1}


def test_drawn_scores_follow_the_probabilities(chat: Chat, tmp_path: Path) -> None:
    sets = [ranked(f"s{n}", "good", "bad") for n in range(60)]
    replies: dict[str, list[str] | str] = {".*": ["It is fine. Score: 9", "It will do.\n\nAnd more.", "Score: 3"]}
    engine = Counted(chat, tmp_path, replies, scores=[0, 0.3, 0, 0, 0.6, 0])
    rows, account = build(engine, chat, tmp_path / "log", sets, score="drawn", samples=3)
    assert account["written"] == 360
    assert account["unreadable"] == {"no justification before the score": 120}
    assert account["score_mass"] == pytest.approx(0.9)
    low, high = account["scores_written"][1], account["scores_written"][4]
    assert low + high == 240
    assert high == pytest.approx(160, abs=25)
    assert set(texts(rows)) <= {f"{t}\n\nScore: {s}" for t in ("It is fine.", "It will do.") for s in (1, 4)}
    assert account["agreed_first"] == pytest.approx(account["agreed_by_chance"] / 2, rel=0.7)
    repeated = build(Counted(chat, tmp_path, replies, scores=[0, 0.3, 0, 0, 0.6, 0]), chat, tmp_path / "other", sets,
                     score="drawn", samples=3)  # fmt: skip
    assert repeated == (rows, account)


def test_an_opening_is_the_beginning_of_each_justification(chat: Chat, tmp_path: Path) -> None:
    opening = "The response"
    engine = Counted(chat, tmp_path, {"one good": [" is fine.", " "], "one bad": " is not."})
    _, account = build(engine, chat, tmp_path / "log", SETS[:1], score="drawn", opening=opening, ties="lenient")
    assert engine.requests[0].prompt_ids[-len(chat.text_ids(opening)) :] == tuple(chat.text_ids(opening))
    asked = [chat.decode([*request.prompt_ids, *request.options[3]]) for request in engine.options]
    assert {text.rpartition("assistant\n")[2] for text in asked} == {
        "The response is fine.\n\nScore: 3", "The response is not.\n\nScore: 3",
    }  # fmt: skip
    assert account["unreadable"] == {"no justification before the score": 1}
    with pytest.raises(ValueError, match="opening is for drawn scores alone"):
        EftSection(opening="The response")


def test_a_justification_cut_off_by_length_gets_no_score(chat: Chat, tmp_path: Path) -> None:
    replies: dict[str, list[str] | str] = {".*": "This goes on and on and on and on and on and on and on."}
    engine = Counted(chat, tmp_path, replies)
    _, account = build(engine, chat, tmp_path / "log", SETS[:1], score="drawn", sampling={"max_new_tokens": 6})
    assert account["unreadable"] == {"justification cut off by length": 4}
    assert engine.options == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_worked_examples_come_before_the_prompt_and_stay_out_of_the_rows(
    chat: Chat, tmp_path: Path, language: str
) -> None:
    rubric = load_rubric("additive-5", language)
    shown = with_examples(rubric, 4, True)
    *before, last = shown.messages(SETS[0].messages, "one good")
    assert [last] == rubric.messages(SETS[0].messages, "one good")
    assert [m["role"] for m in before] == ["user", "assistant"] * 4
    found = [parse_score(m["content"]).value for m in before[1::2]]
    assert found == [2, 5, 1, 4]
    assert all(m["content"].count(rubric.score_line) == 1 for m in before[1::2])
    assert with_examples(rubric, 0, True) is rubric
    direct = with_examples(rubric, 2, False).messages(SETS[0].messages, "one good")
    assert direct[1]["content"] == f"{rubric.score_line}2"
    narrow = with_examples(dataclasses.replace(rubric, low=1, high=3), 4, True)
    answers = narrow.messages(SETS[0].messages, "x")[1:8:2]
    assert [parse_score(m["content"], 1, 3).value for m in answers] == [2, 3, 1, 3]
    engine = Counted(chat, tmp_path, REPLIES)
    rows, _ = build(engine, chat, tmp_path / "log", SETS[:1], examples=2)
    assert len(chat.decode(engine.requests[0].prompt_ids).split("<response>")) == 4
    assert rows[0].prompt == RUBRIC.messages(SETS[0].messages, "one good")
