"""EFT rows by generation: a model writes justification and score for each response of each ranked set, and a set is
kept only where its scores order the responses as people did (Self-Rewarding Language Models, arXiv 2401.10020,
sections 2.1 and 3.1.1).

    rows, account = build_written(engine, chat, sets, rubric, config.seed_data.eft, seed, Path("eft.written.jsonl"))

needs no run directory. Every judgement is appended to the log as it finishes; called again with the same log and the
same settings it asks only for those that are missing and gives the same rows. `yields(account)` puts the account into
lines to print.

What is kept of a judgement is the model's justification word for word, and its score in the rubric's own form: what
comes after the score line is cut off. A judgement without a readable whole score is never kept, nor, where a
justification is asked for, one without it or with one that was copied from the prompt (the response, the rubric, a
worked example): small writers do all of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.config import EftSection, JudgeSection
from judgeloop.data.readers import supervised_row
from judgeloop.eft.from_ranks import balanced, distinct
from judgeloop.eft.rank_agreement import AGREED, OUTCOMES, by_chance, choose
from judgeloop.eft.sampled_scores import MARKS, NO_JUSTIFICATION, drawn
from judgeloop.eft.worked_judgements import with_examples
from judgeloop.engines.base import Engine
from judgeloop.jsonl import append_missing, read_rows
from judgeloop.judging.copied_scores import blank_copies
from judgeloop.judging.parse_score import parse_score, score_place
from judgeloop.judging.pointwise import ToJudge, judge, judgement_id
from judgeloop.judging.rubric import Rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Judgement, RankedSet, SupervisedRow, derive_seed, stable_id
from judgeloop.text.thoughts import split_thought
from judgeloop.text.tokens import copied_share, tokens_of

NOT_WHOLE = "score is not a whole number"
COPIED = "justification copied from the prompt"
OTHER_SCORE = "justification names another score"
_FEW = 8  # words


@dataclass(frozen=True, slots=True)
class Asked:
    """The responses of one set that are judged: `items[i]` of rank `ranks[i]`, which do not decrease."""

    ranked: RankedSet
    ranks: tuple[int, ...]
    items: tuple[ToJudge, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be judged of `sets` ranked sets, and what is left out, by reason."""

    sets: int
    asked: tuple[Asked, ...]
    dropped: dict[str, int]


def build_written(
    engine: Engine,
    chat: Chat,
    sets: Sequence[RankedSet],
    rubric: Rubric,
    section: EftSection,
    seed: int,
    log: Path,
    *,
    justification: bool = True,
    writer: str = "",
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[list[SupervisedRow], dict[str, Any]]:
    """EFT rows of the sets that agreed, balanced by `section.max_share` and `max_rows`, and the account.

    `justification` False keeps the score line alone (for a rubric that asks for nothing else); `writer` (the hash of
    the writing model's weights) goes into the ids of the log's rows, so that those of another model are never used;
    `on_progress(done, total)` counts judgements.

    The account, plain values: sets, responses, written, parsed, parse_rate, unreadable (by reason), what became of the
    sets (agreed_first, agreed_later, agreed_combined, disagreed, tied, unparseable, see `agreeing.Choice`; with the
    sets in `dropped` they add up to sets), agreed_by_chance (see `agreeing.by_chance`), rows (of the sets that agreed),
    dropped (by reason), kept, scores (histogram of the kept rows from the rubric's lowest score up), scores_written (of
    all readable judgements), and where scores are drawn score_mass (mean probability that all scores had together).
    """
    work = ask(sets, rubric, section, seed, justification=justification, writer=writer)
    write(engine, chat, work, rubric, section, seed, log, justification=justification, on_progress=on_progress)
    return select(work, rubric, section, seed, log, justification=justification)


def ask(
    sets: Sequence[RankedSet], rubric: Rubric, section: EftSection, seed: int, *, justification: bool, writer: str
) -> Work:
    """What is to be judged. An item's id names everything that its judgements depend on."""
    shown = with_examples(rubric, section.examples, justification)
    sampling = section.sampling.model_dump(mode="json")
    how = (writer, section.score, section.opening, justification, section.samples, sampling, seed)
    dropped: Counter[str] = Counter()
    asked = []
    for ranked in sets:
        responses = distinct(ranked, dropped)
        ranks = tuple(int(response["rank"]) for response in responses)
        if len(set(ranks)) < 2:
            dropped["set with fewer than two responses ranked apart"] += 1
            continue
        items = []
        for response in responses:
            text = response["text"]
            name = stable_id("w", *how, shown.messages(ranked.messages, text))
            items.append(ToJudge(name, ranked.messages, text))
        asked.append(Asked(ranked, ranks, tuple(items)))
    return Work(len(sets), tuple(asked), dict(dropped))


def write(
    engine: Engine,
    chat: Chat,
    work: Work,
    rubric: Rubric,
    section: EftSection,
    seed: int,
    log: Path,
    *,
    justification: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Append `section.samples` judgements of every item to the log, but those that are there already."""
    items = list({item.id: item for one in work.asked for item in one.items}.values())
    shown = with_examples(rubric, section.examples, justification)

    def made(owed: Sequence[ToJudge]) -> Iterator[Judgement]:
        if section.score == "drawn":
            return drawn(engine, chat, shown, section, owed, seed, justification=justification)
        how = JudgeSection(scoring="sampled", samples=section.samples, sampling=section.sampling)
        return judge(engine, chat, shown, how, owed, seed)

    append_missing(
        log,
        Judgement,
        items,
        lambda item: [judgement_id(item.id, k) for k in range(section.samples)],
        made,
        on_progress,
    )


def select(
    work: Work, rubric: Rubric, section: EftSection, seed: int, log: Path, *, justification: bool
) -> tuple[list[SupervisedRow], dict[str, Any]]:
    """Rows of the sets whose judgements in the log agree with people, and the account (see `build_written`)."""
    found = {row.id: row for row in read_rows(log, Judgement)}
    shown = with_examples(rubric, section.examples, justification)
    rows: list[tuple[int, SupervisedRow]] = []
    outcomes: Counter[str] = Counter()
    every: list[_Reading] = []
    samples: list[list[list[int | None]]] = []
    masses: list[float] = []
    for one in work.asked:
        judged = [[found[judgement_id(item.id, k)] for k in range(section.samples)] for item in one.items]
        readings = [
            [_read(row, item, shown, section, justification) for row in of_item]
            for item, of_item in zip(one.items, judged, strict=True)
        ]
        every += [reading for of_item in readings for reading in of_item]
        masses += [row.mass for of_item in judged for row in of_item if row.mass is not None]
        samples.append([[reading.score for reading in of_item] for of_item in readings])
        choice = choose(one.ranks, samples[-1], section.ties)
        outcomes[choice.outcome] += 1
        if choice.samples:
            for item, of_item, k in zip(one.items, readings, choice.samples, strict=True):
                rows.append(_row(one.ranked, item, of_item[k], rubric))
    dropped = Counter(work.dropped)
    kept = balanced(rows, section, seed, dropped)
    scores = Counter(reading.score for reading in every if reading.score is not None)
    unreadable = Counter(str(reading.reason) for reading in every if reading.score is None)
    histogram = Counter(score for score, _ in kept)
    chance = by_chance([one.ranks for one in work.asked], samples, section.ties, derive_seed(seed, "by chance"))
    account = {
        "sets": work.sets,
        "responses": sum(len(one.items) for one in work.asked),
        "written": len(every),
        "parsed": scores.total(),
        "parse_rate": round(scores.total() / len(every), 4) if every else None,
        "unreadable": dict(sorted(unreadable.items())),
        **{f"agreed_{name}" if name in AGREED else name: outcomes[name] for name in OUTCOMES},
        "agreed_by_chance": round(chance, 1),
        "rows": len(rows),
        "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
        "kept": len(kept),
        "scores": [histogram[score] for score in rubric.scores],
        "scores_written": [scores[score] for score in rubric.scores],
    }
    if masses:
        account["score_mass"] = round(sum(masses) / len(masses), 4)
    return [row for _, row in kept], account


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is kept of a judgement: its whole score and its justification, or why it cannot be kept."""

    score: int | None
    justification: str | None = None
    reason: str | None = None


def _read(row: Judgement, item: ToJudge, rubric: Rubric, section: EftSection, justification: bool) -> _Reading:
    if row.score is None:
        return _Reading(None, reason=row.reason)
    if row.score != int(row.score):
        return _Reading(None, reason=NOT_WHOLE)
    score = int(row.score)
    if not justification:
        return _Reading(score)
    before = row.text
    if section.score == "written":
        own, _ = blank_copies(row.text, item.response, rubric.label, rubric.form)
        place = score_place(own, rubric.low, rubric.high, rubric.label, rubric.form)
        before = split_thought(row.text[: place[0]]).answer or "" if place else ""
    before = before.strip().rstrip(MARKS)
    if not before:
        return _Reading(None, reason=NO_JUSTIFICATION)
    if _copied(before, item, rubric):
        return _Reading(None, reason=COPIED)
    whole = parse_score(rubric.target(score, before), rubric.low, rubric.high, rubric.label, rubric.form)
    return _Reading(score, before) if whole.value == score else _Reading(None, reason=OTHER_SCORE)


def _copied(text: str, item: ToJudge, rubric: Rubric) -> bool:
    """Whether most of the text's words are in the prompt in runs of five; a few words alone are nobody's."""
    prompt = "\n".join(message["content"] for message in rubric.messages(item.prompt, item.response))
    return len(tokens_of(text)) >= _FEW and copied_share(text, prompt) > 0.5


def _row(ranked: RankedSet, item: ToJudge, reading: _Reading, rubric: Rubric) -> tuple[int, SupervisedRow]:
    assert reading.score is not None  # `choose` takes no sample without one
    prompt = rubric.messages(ranked.messages, item.response)
    target = rubric.target(reading.score, reading.justification)
    return reading.score, supervised_row("eft", ranked.messages, prompt, target, ranked.source)


def yields(account: dict[str, Any]) -> list[str]:
    """The account as lines to print, one for each step."""
    agreed = sum(account[f"agreed_{name}"] for name in AGREED)
    rate = f" ({account['parse_rate']:.0%})" if account["parse_rate"] is not None else ""
    unreadable = [f"{count} {reason}" for reason, count in account["unreadable"].items()]
    dropped = [f"{count} dropped: {reason}" for reason, count in account["dropped"].items()]
    lines = [
        f"{account['sets']} sets, {account['responses']} responses: {account['written']} judgements written",
        "; ".join([f"{account['parsed']} with score and justification in the rubric's form{rate}", *unreadable]),
        f"{agreed} sets in the order of their ranks: {account['agreed_first']} by the first samples, "
        f"{account['agreed_later']} by later ones, {account['agreed_combined']} by samples of different numbers; by "
        f"chance {account['agreed_by_chance']} would be",
        f"{account['disagreed']} sets in another order, {account['tied']} with ties in the way, "
        f"{account['unparseable']} with a response that no readable judgement was written for",
        "; ".join([f"{account['kept']} rows kept of {account['rows']}", *dropped]),
        f"scores kept, lowest first: {', '.join(str(count) for count in account['scores'])}",
    ]
    if agreed and agreed <= account["agreed_by_chance"]:
        lines.append("no more sets agree than by chance: these scores say nothing about the responses")
    return lines
