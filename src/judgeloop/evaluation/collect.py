"""Get answers, scores and verdicts out of models. Each row is appended as it is finished; asked again for the same
file, only what is missing is asked for."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from judgeloop.engines.base import Engine, Request, Sampling
from judgeloop.errors import InputError
from judgeloop.evaluation.win_rates import Outcome, outcome_of_orders, outcome_of_scores
from judgeloop.jsonl import RowLog, append_missing, each_row, read_objects, write_text_atomically
from judgeloop.judging.endpoint_judge import EndpointJudge
from judgeloop.judging.judges import Judge
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.pairwise import ToCompare
from judgeloop.judging.pointwise import ToJudge, judgement_id
from judgeloop.models.chat import Chat
from judgeloop.records import Comparison, Judgement, Message, derive_seed

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class PromptToAnswer:
    """A prompt to answer."""

    id: str
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class Pairing:
    """A model's response to a prompt and the one it is compared with. `response_id` and `against_id` name both to a
    judge that scores each: what it writes is drawn from a seed of that name."""

    id: str
    messages: list[Message]
    response: str
    against: str
    response_id: str = ""
    against_id: str = ""


class ResumableRows:
    """A file of rows that can be gone on with, `path`, and beside it `….settings.json`, which says what the rows are
    made with and how many seconds they took. Without a path the rows are kept only as long as the object.

    Raises InputError if the file holds rows made with other settings.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if path is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="judgeloop-eval-")
            path = Path(self._temporary.name) / "rows.jsonl"
        self.path = path
        self.resumed = False
        self._notes = self.path.parent / f"{self.path.stem}.settings.json"
        self._settings = json.loads(json.dumps(settings))
        self._before = 0.0
        self._started = time.monotonic()
        self._claim()

    def _claim(self) -> None:
        if self.path.is_dir():
            raise InputError.at(self.path, None, "is a folder", "name a file with --out")
        has_rows = self.path.exists() and self.path.stat().st_size > 0
        if not has_rows:
            self._write()
            return
        try:
            stored = json.loads(self._notes.read_text(encoding="utf-8"))
            settings, self._before = dict(stored["settings"]), float(stored["seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError.at(
                self.path, None, f"has rows, and {self._notes.name} does not say what made them", "choose another --out"
            ) from error
        for key in sorted({*settings, *self._settings}):
            old, new = settings.get(key), self._settings.get(key)
            if old != new:
                raise InputError.at(
                    self.path, None, f"its rows were made with {key} {_short(old)}, not {_short(new)}",
                    "put it back or choose another --out",
                )  # fmt: skip
        self.resumed = True

    @property
    def seconds(self) -> float:
        """Time taken, that of earlier attempts included."""
        return self._before + time.monotonic() - self._started

    def _write(self) -> None:
        record = {"settings": self._settings, "seconds": round(self.seconds, 2)}
        try:
            write_text_atomically(self._notes, json.dumps(record, ensure_ascii=False, indent=2) + "\n")
        except OSError as error:
            raise InputError.at(
                self._notes, None, f"cannot be written ({error.strerror})", "choose another --out"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._write()
        if self._temporary is not None:
            self._temporary.cleanup()


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def answers(
    work: ResumableRows, engine: Callable[[], tuple[Engine, Chat]], asked: Sequence[PromptToAnswer], how: Sampling,
    seed: int, progress: Progress,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """One answer to every prompt, by the prompt's id: rows `{"id", "prompt", "response", "finish_reason", "tokens"}`,
    and "thought" if the model thought first: that is no part of its response. The engine is opened only if something is
    missing."""
    with RowLog(work.path) as log:
        have = {str(row["id"]): row for _, row in read_objects(work.path)}
        owed = [prompt for prompt in asked if prompt.id not in have]
        if owed:
            model, chat = engine()
            requests = [
                Request(p.id, tuple(chat.prompt_ids(p.messages)), how, 1, derive_seed(seed, "answer", p.id))
                for p in owed
            ]
            asked_by = {prompt.id: list(prompt.messages) for prompt in owed}
            started, fresh = time.monotonic(), 0
            for found in model.generate(requests):
                thought, text = chat.spoken(found.token_ids, found.text)
                row = {
                    "id": found.request_id,
                    "prompt": asked_by[found.request_id],
                    "response": text,
                    "finish_reason": found.finish_reason,
                    "tokens": len(found.token_ids),
                    **({"thought": thought} if thought is not None else {}),
                }
                log.append([row])
                have[found.request_id] = row
                fresh += len(found.token_ids)
                progress(len(have), len(asked), f"{fresh / max(1e-9, time.monotonic() - started):.0f} tok/s")
    return {prompt.id: have[prompt.id] for prompt in asked}


def judgements(
    work: ResumableRows, judge: Callable[[], Judge], items: Sequence[ToJudge], each: int, progress: Progress
) -> list[Judgement]:
    """`each` judgements of every item. The judge is opened only if some are missing."""
    append_missing(
        work.path,
        Judgement,
        items,
        lambda item: [judgement_id(item.id, k) for k in range(each)],
        lambda owed: _going_on(judge(), work.path).scores(owed),
        lambda done, total: progress(done, total, ""),
    )
    wanted = {judgement_id(item.id, k) for item in items for k in range(each)}
    return [row for row in each_row(work.path, Judgement) if row.id in wanted]


def _going_on(judge: Judge, path: Path) -> Judge:
    return judge.going_on(each_row(path, Judgement)) if isinstance(judge, EndpointJudge) else judge


def duels(
    work: ResumableRows, judge: Callable[[], Judge], pairings: Sequence[Pairing], progress: Progress
) -> dict[str, dict[str, Any]]:
    """Each pairing judged in both orders, by its id: rows with `outcome`, both verdicts and both lengths. A row is
    written once both orders are known."""
    with RowLog(work.path) as log:
        have = {str(row["id"]): row for _, row in read_objects(work.path)}
        owed = {pairing.id: pairing for pairing in pairings if pairing.id not in have}
        if owed:
            half: dict[str, dict[str, Comparison]] = {}
            items = [item for pairing in owed.values() for item in _both_orders(pairing)]
            for verdict in judge().verdicts(items):
                name, order = verdict.id.rsplit(".", 1)
                both = half.setdefault(name, {})
                both[order] = verdict
                if len(both) == 2:
                    row = _duel(owed[name], both["first"], both["second"])
                    log.append([row])
                    have[name] = row
                    progress(len(have), len(pairings), "")
    return {pairing.id: have[pairing.id] for pairing in pairings}


def scored_duels(
    work: ResumableRows, judge: Callable[[], Judge], pairings: Sequence[Pairing], each: int, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Each pairing by the scores of its two responses, the mean of `each` judgements of either, by its id: rows with
    `outcome`, both scores and both lengths. A row is written once both scores are known."""
    with RowLog(work.path) as log:
        have = {str(row["id"]): row for _, row in read_objects(work.path)}
        owed = [pairing for pairing in pairings if pairing.id not in have]
        if owed:
            sides = {name: pairing for pairing in owed for name in _sides(pairing)}
            given: dict[str, list[Judgement]] = {pairing.id: [] for pairing in owed}
            items = [item for pairing in owed for item in _each_by_itself(pairing)]
            for judgement in judge().scores(items):
                pairing = sides[judgement.candidate_id]
                rows = given[pairing.id]
                rows.append(judgement)
                if len(rows) == 2 * each:
                    row = _scored_duel(pairing, rows)
                    log.append([row])
                    have[pairing.id] = row
                    progress(len(have), len(pairings), "")
    return {pairing.id: have[pairing.id] for pairing in pairings}


def _sides(pairing: Pairing) -> tuple[str, str]:
    """What the two responses are called."""
    return pairing.response_id or f"{pairing.id}.model", pairing.against_id or f"{pairing.id}.against"


def _each_by_itself(pairing: Pairing) -> tuple[ToJudge, ToJudge]:
    ours, theirs = _sides(pairing)
    return ToJudge(ours, pairing.messages, pairing.response), ToJudge(theirs, pairing.messages, pairing.against)


def _scored_duel(pairing: Pairing, rows: Sequence[Judgement]) -> dict[str, Any]:
    ours, theirs = _sides(pairing)
    scores = mean_scores(rows)
    outcome: Outcome = outcome_of_scores(scores[ours], scores[theirs])
    unread = [row.reason for row in rows if row.score is None]
    return _row(pairing, outcome, score=scores[ours], against_score=scores[theirs], unread=unread)


def _both_orders(pairing: Pairing) -> tuple[ToCompare, ToCompare]:
    """The model's response shown first, and shown second."""
    return (
        ToCompare(f"{pairing.id}.first", pairing.messages, pairing.response, pairing.against),
        ToCompare(f"{pairing.id}.second", pairing.messages, pairing.against, pairing.response),
    )


def _duel(pairing: Pairing, first: Comparison, second: Comparison) -> dict[str, Any]:
    outcome: Outcome = outcome_of_orders(first.better, second.better)
    return _row(pairing, outcome, shown_first=_plain(first), shown_second=_plain(second))


def _row(pairing: Pairing, outcome: Outcome, **judged: Any) -> dict[str, Any]:
    return {
        "id": pairing.id,
        "prompt": pairing.messages,
        "response": pairing.response,
        "against": pairing.against,
        "outcome": outcome,
        **judged,
        "characters": len(pairing.response),
        "against_characters": len(pairing.against),
    }


def _plain(verdict: Comparison) -> dict[str, Any]:
    found = asdict(verdict)
    del found["id"]
    return {key: value for key, value in found.items() if value is not None or key == "better"}
