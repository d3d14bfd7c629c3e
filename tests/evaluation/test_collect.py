"""Rows are kept as they come, and what stands there is not asked for again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request, Sampling
from judgeloop.errors import InputError
from judgeloop.evaluation.collect import Pairing, PromptToAnswer, ResumableRows, answers, duels, judgements
from judgeloop.judging.pairwise import ToCompare
from judgeloop.judging.pointwise import ToJudge
from judgeloop.models.chat import Chat
from judgeloop.records import Comparison, Judgement, Message
from tiny import CHAT_TEMPLATE, make_tiny_model, write_tokenizer

USER: list[Message] = [{"role": "user", "content": "Rain?"}]
ASKED = [PromptToAnswer(f"p{k}", USER) for k in range(4)]
PAIRINGS = [Pairing(f"p{k}", USER, f"long answer {k}", f"short {k}") for k in range(3)]


class Cut(Exception):
    pass


@dataclass
class Flaky:
    """An engine and a judge that is cut off after `lasts` results."""

    lasts: int = 1000
    asked: list[str] = field(default_factory=list)
    seeds: dict[str, int] = field(default_factory=dict)
    name: str = "flaky"

    def _one(self, name: str) -> None:
        if len(self.asked) >= self.lasts:
            raise Cut
        self.asked.append(name)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in reversed(requests):
            self._one(request.id)
            self.seeds[request.id] = request.seed
            yield Generation(request.id, 0, (1, 2, 3), f"answer {request.seed}", "length")

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def scores(self, items: Sequence[ToJudge]) -> Iterator[Judgement]:
        for item in items:
            for k in range(2):
                self._one(f"{item.id}.{k}")
                yield Judgement(f"{item.id}.j{k}", item.id, k, "", 3.0, None)

    def verdicts(self, items: Sequence[ToCompare]) -> Iterator[Comparison]:
        for item in items:
            self._one(item.id)
            yield Comparison(item.id, "first" if len(item.first) > len(item.second) else "second", None, "")


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")))


def quiet(done: int, total: int, note: str) -> None:
    assert 0 < done <= total


def test_answers_go_on_where_they_were_cut(tmp_path: Path, chat: Chat) -> None:
    path, whole, cut, rest = tmp_path / "a.jsonl", Flaky(), Flaky(2), Flaky()

    def ask(work: ResumableRows, engine: Flaky) -> dict[str, dict[str, object]]:
        return answers(work, lambda: (engine, chat), ASKED, Sampling(8), 5, quiet)

    with ResumableRows(None, {}) as work:
        expected = ask(work, whole)
    with pytest.raises(Cut), ResumableRows(path, {"model": "m"}) as work:
        ask(work, cut)
    assert len(path.read_text().splitlines()) == 2
    with ResumableRows(path, {"model": "m"}) as work:
        assert work.resumed
        found = ask(work, rest)
    assert found == expected
    assert list(found) == [prompt.id for prompt in ASKED]  # in the order asked, whoever finished first
    assert sorted(cut.asked + rest.asked) == [prompt.id for prompt in ASKED]
    assert found["p1"] == {
        "id": "p1", "prompt": [{"role": "user", "content": "Rain?"}], "response": f"answer {whole.seeds['p1']}",
        "finish_reason": "length", "tokens": 3,
    }  # fmt: skip
    assert len(set(whole.seeds.values())) == 4


def test_a_thought_is_no_part_of_an_answer(tmp_path: Path) -> None:
    opened = "<|im_start|>assistant\n"
    template = CHAT_TEMPLATE.replace(f"{opened}' }}}}{{% endif", f"{opened}<think>\n' }}}}{{% endif")
    assert template != CHAT_TEMPLATE
    write_tokenizer(tmp_path, template, bos=None, eos="<|im_end|>")
    chat = Chat.load(tmp_path, thinking="on")

    class Thinking(Flaky):
        def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
            for request, text in zip(requests, ("Hm. Wet?\n</think>\n\nWet.", "Hm. Wet"), strict=True):
                ids = tuple(chat.text_ids(text))
                yield Generation(request.id, 0, ids, chat.decode(ids), "stop")

    with ResumableRows(tmp_path / "a.jsonl", {}) as work:
        found = answers(work, lambda: (Thinking(), chat), ASKED[:2], Sampling(8), 5, quiet)
    assert [(row["thought"], row["response"]) for row in found.values()] == [("Hm. Wet?", "Wet."), ("Hm. Wet", "")]


def test_nothing_is_opened_where_nothing_is_missing(tmp_path: Path, chat: Chat) -> None:
    path, engine = tmp_path / "a.jsonl", Flaky()
    with ResumableRows(path, {}) as work:
        answers(work, lambda: (engine, chat), ASKED, Sampling(8), 5, quiet)

    def never() -> tuple[Flaky, Chat]:
        raise AssertionError("opened")

    with ResumableRows(path, {}) as work:
        assert len(answers(work, never, ASKED, Sampling(8), 5, quiet)) == 4


def test_judgements_go_on_where_they_were_cut(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    items = [ToJudge(f"c{k}", USER, "text") for k in range(3)]
    cut, rest = Flaky(3), Flaky()
    with pytest.raises(Cut), ResumableRows(path, {}) as work:
        judgements(work, lambda: cut, items, 2, quiet)
    with ResumableRows(path, {}) as work:
        found = judgements(work, lambda: rest, items, 2, quiet)
    assert sorted(row.id for row in found) == [f"c{i}.j{k}" for i in range(3) for k in range(2)]
    assert "c0.0" not in rest.asked
    assert len(path.read_text().splitlines()) == 6  # a row that came twice stands once
    with ResumableRows(path, {}) as work:
        assert len(judgements(work, lambda: rest, items[:1], 2, quiet)) == 2  # those asked for, no others


def test_duels_are_written_when_both_orders_are_known(tmp_path: Path) -> None:
    path, cut, rest = tmp_path / "d.jsonl", Flaky(3), Flaky()
    with pytest.raises(Cut), ResumableRows(path, {}) as work:
        duels(work, lambda: cut, PAIRINGS, quiet)
    assert len(path.read_text().splitlines()) == 1  # the second pairing was judged in one order only
    with ResumableRows(path, {}) as work:
        found = duels(work, lambda: rest, PAIRINGS, quiet)
    assert rest.asked == ["p1.first", "p1.second", "p2.first", "p2.second"]
    assert [row["outcome"] for row in found.values()] == ["win"] * 3  # it prefers the longer one in both orders
    assert found["p2"] == {
        "id": "p2",
        "prompt": USER,
        "response": "long answer 2",
        "against": "short 2",
        "outcome": "win",
        "shown_first": {"better": "first", "text": ""},
        "shown_second": {"better": "second", "text": ""},
        "characters": 13,
        "against_characters": 7,
    }


def test_rows_of_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with ResumableRows(path, {"model": "m", "samples": 3}):
        path.write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl: its rows were made with samples 3, not 4"):
        ResumableRows(path, {"model": "m", "samples": 4})
    (tmp_path / "rows.settings.json").unlink()
    with pytest.raises(InputError, match=r"rows\.settings\.json does not say what made them"):
        ResumableRows(path, {"model": "m", "samples": 3})
    assert path.read_text() == '{"id": "a"}\n'


def test_an_empty_file_is_begun_with_any_settings(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with ResumableRows(path, {"samples": 3}):
        pass
    with ResumableRows(path, {"samples": 4}) as work:
        assert not work.resumed


def test_seconds_add_up(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with ResumableRows(path, {}):
        path.write_text('{"id": "a"}\n')
    stored = json.loads((tmp_path / "rows.settings.json").read_text())
    (tmp_path / "rows.settings.json").write_text(json.dumps({**stored, "seconds": 100.0}))
    with ResumableRows(path, {}) as work:
        assert 100 <= work.seconds < 160
    assert json.loads((tmp_path / "rows.settings.json").read_text())["seconds"] >= 100


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        ResumableRows(tmp_path / "file" / "rows.jsonl", {})


def test_without_a_file_nothing_is_left() -> None:
    with ResumableRows(None, {}) as work:
        folder = work.path.parent
        work.path.write_text("{}\n")
    assert not folder.exists()
