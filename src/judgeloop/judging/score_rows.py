"""Score the rows of a file: read and checked, judged with what is done kept beside it, written whole at the end."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.config import JudgeSection
from judgeloop.data.answered import read_answered
from judgeloop.engines.base import Engine
from judgeloop.errors import InputError
from judgeloop.jsonl import RowLog, read_objects, write_rows_atomically
from judgeloop.judging.adaptive import judge_in_rounds
from judgeloop.judging.endpoint_judge import EndpointJudge
from judgeloop.judging.pointwise import ToJudge, judgement_id, judgements_each
from judgeloop.judging.reasons import grouped
from judgeloop.judging.rubric import Rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Judgement, stable_id

ADDED = ("score", "samples")


@dataclass(frozen=True, slots=True)
class InputRow:
    """A row of the user's file and what is judged of it. The item's id holds line and content."""

    fields: dict[str, Any]
    item: ToJudge


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of it. `histogram` counts rows by score, halves rounded up; `reasons` counts judgements without a
    score; speeds count this call's work only, model loaded, None where it did none (or wrote nothing)."""

    rows: int
    scored: int
    judgements: int
    parse_rate: float | None
    mean: float | None
    histogram: dict[int, int]
    reasons: dict[str, int]
    fresh: int
    seconds: float
    judgements_per_second: float | None
    tokens_per_second: float | None


def read_input(path: Path) -> list[InputRow]:
    """The rows of a file with one prompt and one answer each, in any layout of such rows; all their fields are kept.

    Raises InputError with file and row if one has no prompt or no answer, or has a field that scoring adds.
    """
    rows = []
    for found in read_answered(path):
        for name in ADDED:
            if name in found.fields:
                raise found.place.error(f"has a field '{name}', which judging adds", "rename or remove it")
        name = f"{found.place.number}.{stable_id('r', found.prompt, found.text)}"
        rows.append(InputRow(found.fields, ToJudge(name, found.prompt, found.text, group=stable_id("p", found.prompt))))
    return rows


def partial_file(target: Path) -> Path:
    """Where the judgements of an unfinished scoring are kept, after a line that says what they are made with."""
    return target.with_name(target.name + ".partial.jsonl")


def open_partial(target: Path, settings: Mapping[str, Any]) -> Path:
    """Begin the partial file, or check that the one that is there was begun with the same settings.

    Raises InputError where it was not, or where `target` or the partial file is somebody else's.
    """
    if target.is_dir():
        raise InputError.at(target, None, "is a folder", "name a file with --out")
    path = partial_file(target)
    if not path.exists():
        if target.exists():
            raise InputError.at(target, None, "exists already", "remove it, or choose another --out")
        try:
            write_rows_atomically(path, [{"judging": dict(settings)}])
        except OSError as error:
            raise InputError.at(path, None, f"cannot be written ({error.strerror})", "choose another --out") from error
        return path
    lines = read_objects(path)
    begun = next(lines, (1, {}))[1].get("judging")
    if not isinstance(begun, dict):
        raise InputError.at(path, 1, "is no unfinished scoring", "remove it, or choose another --out")
    plain = json.loads(json.dumps(dict(settings)))
    different = [key for key in sorted({*begun, *plain}) if begun.get(key) != plain.get(key)]
    if different and next(lines, None) is None:  # nothing was judged yet, so nothing can be mixed
        write_rows_atomically(path, [{"judging": plain}])
        return path
    if different:
        key = different[0]
        raise InputError.at(
            path, 1, f"was begun with {key} {begun.get(key)!r}, now it is {plain.get(key)!r}",
            "put it back, remove the file, or choose another --out",
        )  # fmt: skip
    return path


def score_rows(
    rows: Sequence[InputRow],
    target: Path,
    *,
    settings: Mapping[str, Any],
    opened: Callable[[], tuple[Engine, Chat]],
    rubric: Rubric,
    config: JudgeSection,
    seed: int,
    on_progress: Callable[[int, int, str], None],
    remote: EndpointJudge | None = None,
) -> Summary:
    """Judge every row and write `target`: each row with `score` (mean of the valid judgements, None without) and
    `samples` (the raw judgements), in the order of the input.

    A call that was stopped goes on from the rows beside `target` under the same `settings`. `opened` gives engine
    and chat and is called only when a judgement is owed; a judge behind an endpoint (`remote`) is asked instead.
    """
    path = open_partial(target, settings)
    items = [row.item for row in rows]
    started, fresh, written = 0.0, 0, 0

    def timed() -> tuple[Engine, Chat]:
        nonlocal started
        found = opened()
        started = started or time.monotonic()  # the time to load the model is not judging
        return found

    with RowLog(path) as log:
        known = {row.id: row for row in _judgements(path)}
        total = len(items) * judgements_each(config)
        names = {item.id for item in items}
        done = sum(row.candidate_id in names for row in known.values())
        if remote is None:
            found = judge_in_rounds(timed, rubric, config, items, {k: row.score for k, row in known.items()}, seed)
        else:
            started = time.monotonic()
            found = _from_endpoint(remote.going_on(known.values()), config, items, dict(known))
        for row in found:
            log.append([row])
            known[row.id] = row
            fresh, done = fresh + 1, done + 1
            if row.text and remote is None:
                written += len(opened()[1].text_ids(row.text))
            on_progress(done, max(done, total), f"{fresh / max(1e-9, time.monotonic() - started):.1f} judgements/s")
    seconds = time.monotonic() - started if fresh else 0.0
    given = [_of(item, known) for item in items]
    means = [_mean(own, config.min_valid) for own in given]
    scored = [_scored(row.fields, mean, own) for row, mean, own in zip(rows, means, given, strict=True)]
    write_rows_atomically(target, scored)
    path.unlink()
    return _summary(given, means, rubric, fresh, written, seconds)


def _from_endpoint(
    judge: EndpointJudge, config: JudgeSection, items: Sequence[ToJudge], have: Mapping[str, Judgement]
) -> Iterator[Judgement]:
    """The judgements that are owed and not among `have`."""
    each = range(judgements_each(config))
    owed = [item for item in items if any(judgement_id(item.id, k) not in have for k in each)]
    return (row for row in judge.scores(owed) if row.id not in have)


def _judgements(path: Path) -> list[Judgement]:
    rows = [value for _, value in read_objects(path)][1:]
    return [Judgement(**row) for row in rows]


def _of(item: ToJudge, known: Mapping[str, Judgement]) -> list[Judgement]:
    rows: list[Judgement] = []
    while (row := known.get(judgement_id(item.id, len(rows)))) is not None:
        rows.append(row)
    return rows


def _mean(rows: Sequence[Judgement], min_valid: int) -> float | None:
    valid = [row.score for row in rows if row.score is not None]
    return round(statistics.fmean(valid), 6) if len(valid) >= max(1, min_valid) else None


def _scored(fields: Mapping[str, Any], mean: float | None, rows: Sequence[Judgement]) -> dict[str, Any]:
    samples = []
    for row in rows:
        raw: dict[str, Any] = {"text": row.text, "score": row.score, "reason": row.reason}
        if row.distribution is not None:
            raw |= {"distribution": row.distribution, "mass": row.mass}
        samples.append(raw)
    return {**fields, "score": mean, "samples": samples}


def _summary(
    found: Sequence[Sequence[Judgement]],
    means: Sequence[float | None],
    rubric: Rubric,
    fresh: int,
    written: int,
    seconds: float,
) -> Summary:
    every = [row for rows in found for row in rows]
    scores = [mean for mean in means if mean is not None]
    counts = Counter(math.floor(mean + 0.5) for mean in scores)
    return Summary(
        rows=len(found),
        scored=len(scores),
        judgements=len(every),
        parse_rate=round(sum(row.score is not None for row in every) / len(every), 6) if every else None,
        mean=round(statistics.fmean(scores), 6) if scores else None,
        histogram={score: counts[score] for score in rubric.scores},
        reasons=grouped(row.reason for row in every),
        fresh=fresh,
        seconds=round(seconds, 2),
        judgements_per_second=round(fresh / seconds, 2) if fresh and seconds else None,
        tokens_per_second=round(written / seconds, 1) if written and seconds else None,
    )
