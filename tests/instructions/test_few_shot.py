from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.errors import InputError
from judgeloop.instructions.few_shot import FewShot, demonstration_prompt, draw_demonstrations, parse_completion
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import BATCH, search
from judgeloop.records import Demonstrations, Message, Task

NOUNS = [
    "river",
    "candle",
    "bridge",
    "garden",
    "engine",
    "violin",
    "desert",
    "market",
    "winter",
    "button",
    "pepper",
    "lantern",
    "castle",
    "window",
]
VERBS = [
    "Describe",
    "Compare",
    "Explain",
    "Praise",
    "Question",
    "Translate",
    "Rewrite",
    "Summarise",
    "Defend",
    "Imagine",
]
SEED = [f"Tell me {word} facts that nobody else remembers" for word in NOUNS]


class PlainChat:
    """Token ids are code points."""

    positions: int | None = None

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        return self.text_ids(f"<user>{messages[-1]['content']}<assistant>")

    def text_ids(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    words_ids = text_ids

    def response_ids(self, text: str, *, finished: bool = True) -> list[int]:
        assert not finished
        return self.text_ids(text)


class ListEngine:
    """Answers each request with three items that depend on its seed and its prompt; ends late requests first."""

    name = "lists"

    def __init__(self, items: Sequence[str] = (), finish: str = "stop", die_at: int | None = None) -> None:
        self.items, self.finish, self.die_at = items, finish, die_at
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in reversed(requests):
            if self.die_at is not None and len(self.asked) == self.die_at:
                raise KeyboardInterrupt
            self.asked.append(request)
            rng = random.Random(f"{request.seed} {request.prompt_ids}")
            made = [f"{rng.choice(VERBS)} a {rng.choice(NOUNS)} and a {rng.choice(NOUNS)} for my {rng.choice(NOUNS)}"]
            made += [f"{rng.choice(VERBS)} the {rng.choice(NOUNS)} without any {rng.choice(NOUNS)}", "Draw a cat now"]
            items = self.items or made
            text = " " + "\n".join([items[0], *(f"{n}. {item}" for n, item in enumerate(items[1:], 10))])
            yield Generation(request.id, 0, tuple(range(7)), text, self.finish)

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        raise AssertionError("not asked for")

    def close(self) -> None:
        pass


class Rows:
    """What a stage would have on disk: rows, and the last account."""

    def __init__(self) -> None:
        self.rows: list[Task] = []
        self.account: dict[str, Any] | None = None

    def resume(self) -> tuple[list[Task], dict[str, Any] | None]:
        return list(self.rows), self.account

    def append(self, rows: Sequence[Task], account: dict[str, Any], shown: Sequence[Demonstrations]) -> None:
        self.rows += rows
        self.account = json.loads(json.dumps(account))


def grow(engine: ListEngine, rows: Rows, *, seed: int = 5, **fields: Any) -> dict[str, Any]:
    seeds = fields.pop("seeds", SEED)
    texts = {key: fields.pop(key) for key in ("earlier", "avoid") if key in fields}
    config = PromptsSection(**{"count": 60, "max_rouge_l": 0.8, **fields})
    gate = Gate(config, seed=seeds, **texts)
    tasks = [Task.of(text, "", "", "seed") for text in seeds]
    return search(FewShot(Prompter(engine, PlainChat(), seed), tasks, config, gate), rows)


def untimed(account: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (account or {}).items() if name != "seconds_by_step"}


def shown_in(request: Request) -> list[str]:
    text = "".join(map(chr, request.prompt_ids)).split("<assistant>")[1]
    return [line.partition(". ")[2] for line in text.splitlines()][:-1]


def tasks(texts: Sequence[str]) -> list[Task]:
    return [Task.of(text, "", "", f"seed.jsonl:{number}") for number, text in enumerate(texts, 1)]


def drawn(seed: int) -> list[str]:
    own = ["own one", "own two", "own three"]
    shown = draw_demonstrations(tasks(SEED), tasks(own), PromptsSection(), random.Random(seed))
    return [task.instruction for task in shown]


def test_demonstrations_mix_seed_and_own() -> None:
    assert (len(set(drawn(1)) & set(SEED)), len(drawn(1))) == (6, 8)
    assert any(drawn(seed) != drawn(1) for seed in range(3))


def test_missing_own_prompts_are_made_up_from_the_seed() -> None:
    shown = draw_demonstrations(tasks(["one", "two"]), [], PromptsSection(), random.Random(0))
    assert sorted(task.source for task in shown) == ["seed.jsonl:1", "seed.jsonl:2"]


def test_the_list_has_a_line_each_and_ends_with_the_next_number() -> None:
    assert demonstration_prompt(["two\n lines", "b"]) == "1. two lines\n2. b\n3."


@pytest.mark.parametrize(
    ("text", "finished", "items"),
    [
        (" One a\n10. Two b\n11. Three c", True, ["One a", "Two b", "Three c"]),
        (" One a\n10. Two b\n11. Thr", False, ["One a", "Two b"]),
        (" One a", False, []),
        (" One a\n10.", False, ["One a"]),
        (" One a\n10) **Two b**\n\n**11.** Three c\n", True, ["One a", "Two b", "Three c"]),
        ("\nOne a\nan answer to it\n10. Two 3.5 b\n", True, ["One a", "Two 3.5 b"]),
        (" 9. One a\n10. 17. Two b", True, ["One a", "Two b"]),
        ("", True, []),
        ("10. 用一句话介绍雨。\n11. 列出三种茶。", True, ["用一句话介绍雨。", "列出三种茶。"]),
    ],
)
def test_completions_are_split_into_items(text: str, finished: bool, items: list[str]) -> None:
    assert parse_completion(text, finished) == items


def test_it_grows_to_the_count_and_accounts_for_every_item() -> None:
    engine, rows = ListEngine(), Rows()
    account = grow(engine, rows)
    assert untimed(account) == untimed(rows.account)
    assert (account["asked"], account["kept"], account["stopped"]) == (60, 60, "count reached")
    assert len(rows.rows) == len({row.id for row in rows.rows}) == 60
    assert account["got"] == 3 * account["requests"] == account["kept"] + sum(account["dropped"].values())
    assert account["tokens"] == 7 * account["requests"] == 7 * len(engine.asked)
    assert account["dropped"]["needs more than text"] == account["requests"]
    numbers = [int(row.source.removeprefix("few_shot:")) for row in rows.rows]
    assert numbers == sorted(numbers)
    assert len({request.seed for request in engine.asked}) == len(engine.asked)


def test_own_prompts_are_demonstrated_once_there_are_some() -> None:
    engine, rows = ListEngine(), Rows()
    grow(engine, rows)
    by_number = {int(request.id.removeprefix("few_shot:")): request for request in engine.asked}
    kept = {row.instruction for row in rows.rows}
    assert not set(shown_in(by_number[0])) & kept
    assert len(set(shown_in(by_number[BATCH])) & kept) == 2
    assert len(set(shown_in(by_number[BATCH])) & set(SEED)) == 6


@pytest.mark.parametrize("die_at", [3, BATCH + 1, 2 * BATCH, 2 * BATCH + 9])
def test_a_killed_search_goes_on_to_the_same_rows(die_at: int) -> None:
    whole = Rows()
    expected = grow(ListEngine(), whole)
    assert expected["requests"] > 2 * BATCH + 9
    rows = Rows()
    with pytest.raises(KeyboardInterrupt):
        grow(ListEngine(die_at=die_at), rows)
    assert len(rows.rows) < 60
    result = grow(ListEngine(), rows)
    assert rows.rows == whole.rows
    assert untimed(result) == untimed(expected)


def test_a_finished_search_asks_nothing_more() -> None:
    rows = Rows()
    expected = grow(ListEngine(), rows)
    engine = ListEngine()
    assert grow(engine, rows) == expected
    assert engine.asked == []


def test_rows_that_came_from_elsewhere_are_refused() -> None:
    rows = Rows()
    rows.rows = [Task.of("Hello there you", "", "", "file.jsonl:1")]
    with pytest.raises(InputError, match="not from few_shot"):
        grow(ListEngine(), rows)


def test_it_stops_at_max_requests_and_says_so() -> None:
    items = ["Name one river", "Sing about tall towers"]
    account = grow(ListEngine(items), Rows(), max_requests=20)
    assert (account["kept"], account["requests"], account["stopped"]) == (2, 20, "max_requests reached")
    assert account["dropped"] == {"too close to a prompt already kept": 38}


def test_the_account_shows_some_of_what_was_kept_and_dropped() -> None:
    items = ["Name one river", "Sing about tall towers", "Draw a cat now", "Praise it"]
    samples = grow(ListEngine(items), Rows(), max_requests=2)["samples"]
    assert samples["kept"] == ["Name one river", "Sing about tall towers"]
    assert samples["dropped"] == {
        "needs more than text": ["Draw a cat now"] * 2,
        "too close to a prompt already kept": ["Name one river", "Sing about tall towers"],
        "too short": ["Praise it"] * 2,
    }


def test_without_a_limit_it_still_stops() -> None:
    account = grow(ListEngine(["Name one river"]), Rows(), count=3)
    assert (account["requests"], account["max_requests"]) == (60, 60)


def test_prompts_near_seed_earlier_and_evaluation_are_dropped_by_reason() -> None:
    items = [SEED[0], "Name one long river", "Praise my old garden", "Who built this bridge?"]
    account = grow(
        ListEngine(items), Rows(), count=1, max_requests=1,
        earlier=["Name one long river!"], avoid=["praise my old garden"],
    )  # fmt: skip
    assert account["dropped"] == {
        "too close to a seed prompt": 1,
        "too close to an earlier iteration's prompt": 1,
        "too close to an evaluation prompt": 1,
    }


def test_a_cut_completion_loses_its_last_item_only() -> None:
    rows = Rows()
    grow(ListEngine(["Name one river", "Sing about tall tow"], finish="length"), rows, max_requests=1)
    assert [row.instruction for row in rows.rows] == ["Name one river"]


def test_nothing_kept_is_an_error_with_advice() -> None:
    with pytest.raises(InputError, match=r"no prompt was kept of 6 from 3 requests \(6 too short\).*max_requests"):
        grow(ListEngine(["Hm", "So"]), Rows(), max_requests=3)


def test_seeds_too_long_to_show_are_counted_and_still_guard_novelty() -> None:
    long = " ".join(f"word{i}" for i in range(80))
    engine = ListEngine([long, "Name one river"])
    account = grow(engine, Rows(), seeds=[long, "Say one thing"], count=1, max_requests=1)
    assert account["seed_prompts_too_long_to_show"] == 1
    assert account["dropped"] == {"too close to a seed prompt": 1}
    assert shown_in(engine.asked[0]) == ["Say one thing"]
    with pytest.raises(InputError, match="short enough to demonstrate"):
        grow(engine, Rows(), seeds=[long])


def test_a_round_is_as_large_as_the_config_says_and_never_larger_than_what_is_missing() -> None:
    """What a request shows of the model's own comes from earlier rounds alone; by default a round has 16 requests."""
    default, rows = Rows(), Rows()
    grow(ListEngine(), default, requests_per_round=16)
    grow(ListEngine(), rows)
    assert rows.rows == default.rows
    engine, larger = ListEngine(), Rows()
    grow(engine, larger, requests_per_round=1000)
    assert larger.rows != rows.rows
    made = {row.instruction for row in larger.rows}
    first = [request for request in engine.asked if not set(shown_in(request)) & made]
    assert len(first) == len(larger.rows) == 60  # as many as are missing
