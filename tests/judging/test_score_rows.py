from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import JudgeSection
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.errors import InputError
from judgeloop.judging.rubric import load_rubric
from judgeloop.judging.score_rows import Summary, open_partial, partial_file, read_input, score_rows
from judgeloop.models.chat import Chat
from tiny import make_tiny_model

GOOD = {"prompt": "Name a colour.", "response": "Blue."}
SETTINGS = {"model": "h0", "judge.samples": 2}
CONFIG = JudgeSection(scoring="sampled", samples=2)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")))


def lines(path: Path, *rows: object) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


@dataclass
class Judge:
    """Gives a row as many points as its response has words; every third judgement of it cannot be read."""

    stop_after: int = 10**6
    given: int = 0
    name: str = "fake"

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in reversed(requests):
            points = int(request.id.split(".")[0]) % 6
            for k in range(request.n):
                if self.given == self.stop_after:
                    raise KeyboardInterrupt
                self.given += 1
                text = "Hm." if k == 2 else f"So.\n\nScore: {min(5, points + k)}"
                yield Generation(request.id, k, (5,), text, "stop")

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        for request in requests:
            yield OptionLogprobs(request.id, tuple(-1.8 for _ in request.options))

    def close(self) -> None:
        pass


def score(
    source: Path, target: Path, chat: Chat, engine: Judge, config: JudgeSection = CONFIG, settings: Any = SETTINGS
) -> Summary:
    return score_rows(
        read_input(source),
        target,
        settings=settings,
        opened=lambda: (engine, chat),
        rubric=load_rubric("additive-5"),
        config=config,
        seed=0,
        on_progress=lambda done, total, note: None,
    )


def test_rows_keep_their_fields_and_their_order(chat: Chat, tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "问"},
        {"role": "assistant", "content": "答"},
        {"role": "user", "content": "Why?"},
    ]
    rows = [
        {"id": 7, "prompt": "One?", "response": "a", "tags": ["x", {"y": None}], "reason": "mine"},
        {"prompt": messages, "response": "", "mine": "中文 \u2028 ok"},
        {"prompt": "One?", "response": "a"},
    ]
    source = lines(tmp_path / "rows.jsonl", rows[0], "", rows[1], rows[2])  # a blank line counts as a line, not a row
    target = tmp_path / "out" / "scored.jsonl"
    summary = score(source, target, chat, Judge(), JudgeSection(scoring="sampled", samples=3))
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [{k: v for k, v in row.items() if k not in ("score", "samples")} for row in found] == rows
    assert [list(row)[-2:] for row in found] == [["score", "samples"]] * 3
    assert [row["score"] for row in found] == [1.5, 3.5, 4.5]  # lines 1, 3 and 4: points and points + 1
    assert found[0]["samples"] == [
        {"text": "So.\n\nScore: 1", "score": 1.0, "reason": None},
        {"text": "So.\n\nScore: 2", "score": 2.0, "reason": None},
        {"text": "Hm.", "score": None, "reason": "no score line"},
    ]
    assert not partial_file(target).exists()
    assert (summary.rows, summary.scored, summary.judgements, summary.fresh) == (3, 3, 9, 9)
    assert summary.parse_rate == pytest.approx(2 / 3)
    assert summary.mean == pytest.approx(9.5 / 3)
    assert summary.histogram == {0: 0, 1: 0, 2: 1, 3: 0, 4: 1, 5: 1}
    assert summary.reasons == {"no score line": 3}
    assert summary.tokens_per_second is not None
    assert summary.tokens_per_second > 0


def test_expected_scores_keep_their_distribution(chat: Chat, tmp_path: Path) -> None:
    source = lines(tmp_path / "rows.jsonl", GOOD)
    summary = score(source, tmp_path / "s.jsonl", chat, Judge(), JudgeSection(min_mass=0.5))
    (row,) = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert row["score"] == 2.5
    assert row["samples"][0]["distribution"] == pytest.approx([1 / 6] * 6, abs=1e-6)
    assert row["samples"][0]["mass"] == pytest.approx(0.99, abs=0.01)
    assert summary.tokens_per_second is None
    low = score(source, tmp_path / "t.jsonl", chat, Judge(), JudgeSection(min_mass=1.0))
    assert (low.scored, low.mean, low.parse_rate) == (0, None, 0.0)
    assert low.reasons == {"scores have 99% of the probability": 1}


def test_too_few_valid_judgements_make_no_score(chat: Chat, tmp_path: Path) -> None:
    source = lines(tmp_path / "rows.jsonl", GOOD)
    config = JudgeSection(scoring="sampled", samples=3, min_valid=3)
    assert score(source, tmp_path / "s.jsonl", chat, Judge(), config).scored == 0


@pytest.mark.parametrize("stop", [0, 1, 3, 7, 11])
def test_a_stopped_call_goes_on_and_ends_with_the_same_file(stop: int, chat: Chat, tmp_path: Path) -> None:
    source = lines(tmp_path / "rows.jsonl", *({"prompt": f"{n}?", "response": "x", "n": n} for n in range(6)))
    score(source, tmp_path / "whole.jsonl", chat, Judge())
    target = tmp_path / "scored.jsonl"
    with pytest.raises(KeyboardInterrupt):
        score(source, target, chat, Judge(stop_after=stop))
    assert not target.exists()
    with partial_file(target).open("ab") as torn:
        torn.write(b'{"id":"1.r-')
    second = Judge()
    summary = score(source, target, chat, second)
    assert summary.fresh == 12 - stop
    assert second.given == 12 - stop + stop % 2  # a row's two judgements are asked for together
    assert target.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial_file(target).exists()


def test_an_input_that_changed_in_between_is_judged_anew_where_it_changed(chat: Chat, tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "response": "x"} for n in range(4)]
    source, target = lines(tmp_path / "rows.jsonl", *rows), tmp_path / "scored.jsonl"
    with pytest.raises(KeyboardInterrupt):
        score(source, target, chat, Judge(stop_after=6))  # lines 4, 3 and 2, backwards
    rows[3]["response"] = "y"
    summary = score(lines(source, *rows), target, chat, Judge())
    assert summary.fresh == 4  # lines 1 and 4
    assert (summary.rows, summary.judgements) == (4, 8)


def test_a_file_that_is_there_is_not_overwritten(chat: Chat, tmp_path: Path) -> None:
    source, target = lines(tmp_path / "rows.jsonl", GOOD), tmp_path / "scored.jsonl"
    target.write_text("mine\n")
    with pytest.raises(InputError, match=r"scored\.jsonl: exists already; remove it, or choose another --out"):
        score(source, target, chat, Judge())
    assert target.read_text() == "mine\n"
    # Killed between the last two steps: the file is ours, and is written again.
    open_partial(tmp_path / "new.jsonl", SETTINGS)
    (tmp_path / "new.jsonl").write_text("half")
    score(source, tmp_path / "new.jsonl", chat, Judge())
    assert json.loads((tmp_path / "new.jsonl").read_text())["score"] == 1.5


def test_other_settings_do_not_go_on_with_what_is_there(chat: Chat, tmp_path: Path) -> None:
    source, target = lines(tmp_path / "rows.jsonl", GOOD), tmp_path / "scored.jsonl"
    with pytest.raises(KeyboardInterrupt):
        score(source, target, chat, Judge(stop_after=1))
    with pytest.raises(
        InputError, match=r"partial\.jsonl:1: was begun with judge\.samples 2, now it is 3; put it back"
    ):
        score(source, target, chat, Judge(), settings={**SETTINGS, "judge.samples": 3})
    lines(partial_file(target), {"prompt": "x"})
    with pytest.raises(InputError, match=r"partial\.jsonl:1: is no unfinished scoring; remove it"):
        score(source, target, chat, Judge())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"response": "x"}, "a row without 'prompt'"),
        ({"prompt": " ", "response": "x"}, "empty prompt"),
        ({"prompt": 3, "response": "x"}, "'prompt' is a number"),
        ({"prompt": [], "response": "x"}, "empty prompt"),
        ({"prompt": ["x"], "response": "x"}, r"'prompt\[0\]' is not a chat message"),
        ({"prompt": [{"role": "cat", "content": "x"}], "response": "x"}, "'cat', an unknown speaker"),
        ({"prompt": [{"role": "user", "content": None}], "response": "x"}, "empty message"),
        ({"prompt": [{"role": "assistant", "content": "x"}], "response": "x"}, "does not end with a user turn"),
        ({"prompt": "x"}, "a row without 'response'"),
        ({"prompt": "x", "response": ["y", "z"]}, "is not a chat message"),
        ("[1]", "is not a JSON object"),
        ("{", "broken JSON"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(row: object, message: str, tmp_path: Path) -> None:
    source = lines(tmp_path / "rows.jsonl", GOOD, row)
    with pytest.raises(InputError, match=message) as caught:
        read_input(source)
    assert str(caught.value).startswith(f"{source}:2: ")


@pytest.mark.parametrize(("name", "value"), [("score", 3), ("samples", [])])
def test_fields_that_judging_adds_are_refused(name: str, value: object, tmp_path: Path) -> None:
    source = lines(tmp_path / "rows.jsonl", {**GOOD, name: value})
    with pytest.raises(InputError, match=rf":1: has a field '{name}', which judging adds; rename or remove it"):
        read_input(source)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no rows"):
        read_input(lines(tmp_path / "rows.jsonl", ""))


def test_rows_of_one_prompt_are_told_apart_by_more_judgements(chat: Chat, tmp_path: Path) -> None:
    rows = [{"prompt": "One?", "response": f"{n}"} for n in (1, 2)] + [{"prompt": "Two?", "response": "x"}]
    source = lines(tmp_path / "rows.jsonl", *rows)
    config = JudgeSection(scoring="sampled", samples=2, max_samples=5, noise=2.0)
    score(source, tmp_path / "s.jsonl", chat, Judge(), config)
    found = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    # Means 1.5 and 2.5, s = 0.707: two judgements each leave an error of 0.707, four of 0.408.
    assert [len(row["samples"]) for row in found] == [4, 4, 2]
