"""Rows and account of a search through kills: whole batches stay, everything else is asked for again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request, Sampling
from judgeloop.errors import InputError
from judgeloop.instructions import batch_log
from judgeloop.instructions.batch_log import BatchLog
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import Completion, Draft, Method, Shown, search
from judgeloop.jsonl import read_rows
from judgeloop.records import Demonstrations, Message, Prompt, Task

COUNT = 7
NOUNS = ("river", "candle", "bridge", "garden", "engine", "violin", "desert", "market", "winter", "button")


class Chat:
    positions = None

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        return [ord(character) for character in messages[-1]["content"]]

    def words_ids(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def response_ids(self, text: str, *, finished: bool = True) -> list[int]:
        assert not finished
        return self.words_ids(text)


class Engine:
    """Writes the noun of the request's number; dies at a request if told so."""

    def __init__(self, die_at: int | None = None) -> None:
        self.die_at, self.asked = die_at, []

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in reversed(requests):
            if self.die_at == int(request.id.partition(":")[2]):
                raise KeyboardInterrupt
            self.asked.append(request.id)
            noun = NOUNS[int(request.id.partition(":")[2])]
            yield Generation(request.id, 0, (1, 2), f"Praise the {noun} aloud", "stop")

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        raise AssertionError("not asked for")

    def close(self) -> None: ...


class TwoAtATime(Method[Draft]):
    """Two requests a batch, one task each, which names what was kept before it."""

    name: ClassVar[str] = "two"

    def batch_size(self) -> int:
        return 2

    def show(self, number: int) -> Shown:
        return Shown("Write.", " ".join(row.instruction for row in self.kept), Sampling(9), tuple(self.kept))

    def read(self, completion: Completion) -> list[Draft]:
        after = str(len(completion.shown.text.split())) if self.whole_tasks else ""
        draft = Draft(Task.of(completion.text, after, "", f"{completion.name}.1"))
        if self.whole_tasks:
            draft.shown = {draft.task.source: [Task.of("Show", completion.name, "", "seed.jsonl:1")]}
        return [draft]


class Bare(TwoAtATime):
    whole_tasks: ClassVar[bool] = False


KINDS = pytest.mark.parametrize("kind", [TwoAtATime, Bare])


def run(
    folder: Path, kind: type[TwoAtATime], die_at: int | None = None, **config: Any
) -> tuple[dict[str, Any], Engine]:
    engine, section = Engine(die_at), PromptsSection(count=COUNT, max_rouge_l=0.9, **config)
    with BatchLog(folder, whole_tasks=kind.whole_tasks) as log:
        account = search(kind(Prompter(engine, Chat(), 3), [], section, Gate(section)), log)
    log.write_prompts()
    return account, engine


def rows_file(folder: Path, kind: type[TwoAtATime]) -> Path:
    return folder / ("tasks.jsonl" if kind.whole_tasks else "prompts.jsonl")


def rows_of(folder: Path, kind: type[TwoAtATime]) -> bytes:
    return rows_file(folder, kind).read_bytes()


@KINDS
def test_rows_become_prompts_and_the_account_says_how_many_it_covers(tmp_path: Path, kind: type[TwoAtATime]) -> None:
    account, engine = run(tmp_path, kind)
    assert (account["kept"], account["got"], account["requests"], len(engine.asked)) == (7, 8, 8, 8)
    assert account["dropped"] == {"more than were wanted": 1}
    stored = json.loads((tmp_path / "prompts.json").read_text())
    assert stored.pop("rows") == 7
    assert stored == account
    prompts = read_rows(tmp_path / "prompts.jsonl", Prompt)
    assert [row.source for row in prompts] == [f"two:{k}.1" for k in range(7)]
    assert prompts[6].messages[0]["content"].startswith("Praise the desert aloud")
    assert (tmp_path / "tasks.jsonl").exists() is kind.whole_tasks


@KINDS
def test_what_each_request_showed_is_written_with_its_rows(tmp_path: Path, kind: type[TwoAtATime]) -> None:
    run(tmp_path, kind)
    shown = {row.id: row.shown for row in read_rows(tmp_path / "demonstrations.jsonl", Demonstrations)}
    requests = [name for name in shown if "." not in name]
    assert requests == [f"two:{k}" for k in range(2, 7)]  # the first two showed none, of the eighth nothing was kept
    assert [one["source"] for one in shown["two:5"]] == [f"two:{k}.1" for k in range(4)]
    for_inputs = {name: one for name, one in shown.items() if name not in requests}
    assert list(for_inputs) == ([f"two:{k}.1" for k in range(7)] if kind.whole_tasks else [])
    assert kind is Bare or for_inputs["two:5.1"] == [{"source": "seed.jsonl:1", "text": "Show\n\ntwo:5"}]
    assert shown["two:2"][1]["text"].startswith("Praise the candle aloud")


class Nothing(Bare):
    def show(self, number: int) -> Shown:
        return Shown("Write.", "", Sampling(9))


def test_a_method_that_shows_no_tasks_leaves_no_empty_file(tmp_path: Path) -> None:
    run(tmp_path, Nothing)
    assert not (tmp_path / "demonstrations.jsonl").exists()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@KINDS
@pytest.mark.parametrize("die_in", [0, 1, 2, 3])
def test_a_kill_between_rows_and_account_costs_that_batch(
    tmp_path: Path, kind: type[TwoAtATime], die_in: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected, _ = run(whole, kind)
    write = batch_log.write_text_atomically
    calls: list[int] = []

    def write_or_die(path: Path, text: str) -> None:
        calls.append(1)
        (interrupt if len(calls) > die_in else write)(path, text)

    monkeypatch.setattr(batch_log, "write_text_atomically", write_or_die)
    with pytest.raises(KeyboardInterrupt):
        run(broken, kind)
    monkeypatch.undo()
    assert rows_of(broken, kind) == b"".join(rows_of(whole, kind).splitlines(keepends=True)[: 2 * die_in + 2])
    account, engine = run(broken, kind)
    assert min(engine.asked) == f"two:{2 * die_in}"  # the batch that the account does not cover is asked again
    assert account | {"seconds_by_step": 0} == expected | {"seconds_by_step": 0}
    assert rows_of(broken, kind) == rows_of(whole, kind)
    for name in ("prompts.jsonl", "demonstrations.jsonl"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


@KINDS
@pytest.mark.parametrize("die_at", [0, 3, 6])
def test_a_kill_while_the_model_writes_costs_that_batch(tmp_path: Path, kind: type[TwoAtATime], die_at: int) -> None:
    run(tmp_path / "whole", kind)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", kind, die_at)
    _, engine = run(tmp_path / "broken", kind)
    assert len(engine.asked) == 8 - die_at // 2 * 2
    assert rows_of(tmp_path / "broken", kind) == rows_of(tmp_path / "whole", kind)


def lose_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def add_a_row(path: Path) -> None:
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[0])


def forget_the_number(path: Path) -> None:
    account = path.with_name("prompts.json")
    value = json.loads(account.read_text())
    del value["rows"]
    account.write_text(json.dumps(value))


@KINDS
@pytest.mark.parametrize(
    ("damage", "asked"),
    [
        (lose_the_end, 8),  # the account covers a row that is not there: nothing of it can be trusted
        (forget_the_number, 8),  # an account of an older version
        (add_a_row, 0),
    ],
)
def test_what_the_account_does_not_cover_is_cut(
    tmp_path: Path, kind: type[TwoAtATime], damage: Callable[[Path], None], asked: int
) -> None:
    run(tmp_path, kind)
    whole = rows_of(tmp_path, kind)
    damage(rows_file(tmp_path, kind))
    _, engine = run(tmp_path, kind)
    assert len(engine.asked) == asked
    assert rows_of(tmp_path, kind) == whole


def test_a_damaged_account_is_named(tmp_path: Path) -> None:
    run(tmp_path, Bare)
    (tmp_path / "prompts.json").write_text('{"rows"')
    with pytest.raises(InputError, match=r"prompts\.json: cannot be read; remove it"):
        run(tmp_path, Bare)
