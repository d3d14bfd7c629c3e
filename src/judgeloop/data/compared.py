"""Answers with a column each (`response_a`, `response_b`), ranked by a vote or by their scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from judgeloop.data.conversations import Answer, Ranking, Row, with_system
from judgeloop.data.fields import decoded, dense, number_of, text_of
from judgeloop.data.intake import Intake
from judgeloop.data.marks import Mark, mark_of
from judgeloop.data.messages import Turn, alternating, answerable
from judgeloop.data.preferences import belongs, given_prompt, led_by, side_turns
from judgeloop.data.provenance import Unusable
from judgeloop.data.sides import AnswerColumn
from judgeloop.data.votes import NAME_IT, numbers_beside, winners_of
from judgeloop.records import Message


def asked_of_all(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The prompt of answers with a column each. Of a conversation in which each model was answered on its own, the
    first turn."""
    questions = _turns_in(row, intake)
    if questions:
        yield answerable(with_system(row, [{"role": "user", "content": text_of(
            questions[0], intake.key("prompt"), intake.place, "prompt"
        )}], intake))  # fmt: skip
        return
    given = given_prompt(row, intake)
    for side in intake.columns.sides:
        if given is None and row.get(side.answer) is not None:
            given = [turn.message for turn in side_turns(row[side.answer], side.answer, intake, told=True)[:-1]]
    if not given:
        raise Unusable("empty prompt")
    yield answerable(given)


def best_of_all(row: Row, intake: Intake) -> Iterator[Answer]:
    """The answer that won, after the conversation that led to it."""
    found = _compared(row, intake)
    if not found:
        raise Unusable("no response")
    if len(found) > 1 and found[-1]["rank"] == 0:
        raise Unusable("all responses tie")
    best = found[0]
    if best["rank"] != 0 or not best["won"]:
        raise Unusable("the answer that won is empty")
    if not best["safe"]:
        raise Unusable("best answer is called unsafe")
    intake.ratings.extend(response["rating"] for response in found if response["rating"] is not None)
    yield Answer(answerable(best["prompt"]), best["text"], best["thought"], best["rating"])


def ranked_of_all(row: Row, intake: Intake) -> Iterator[Ranking]:
    """All answers, ranked; at least two, not all tied, to one prompt."""
    found = _compared(row, intake)
    if len(found) < 2:
        raise Unusable("fewer than two responses")
    if found[-1]["rank"] == 0:
        raise Unusable("all responses tie")
    if any(response["prompt"] != found[0]["prompt"] for response in found):
        raise Unusable("conversations that part before their last answer")
    yield answerable(found[0]["prompt"]), found, ""


def _compared(row: Row, intake: Intake) -> list[dict[str, Any]]:
    """The answers, ranked by a vote or else by their scores, each with the conversation before it."""
    columns, sides = intake.columns, intake.columns.sides
    listed = numbers_beside(row, "scores", len(sides), intake)
    scores = listed or _marks([side.score for side in sides], row, intake)
    scored = all(score is not None for score in scores)
    ranks = numbers_beside(row, "ranks", len(sides), intake) or _marks([side.rank for side in sides], row, intake)
    ranked = all(rank is not None for rank in ranks)
    winners = _flags(row, sides, intake)
    if winners is None and "winner" in columns:
        winners = winners_of(row, [side.name for side in sides], intake, scored or ranked)
    if winners is None and not scored and not ranked:
        if "ranks" in columns or listed or any(side.score or side.rank for side in sides):
            raise Unusable("answers without a score")
        names = ", ".join(side.answer for side in sides)
        raise intake.place.error(f"nothing ranks the answers {names}", NAME_IT.format("winner"))
    given = None if _turns_in(row, intake) else given_prompt(row, intake)
    orders = [
        rank if ranked and rank is not None else -(score or 0.0) for score, rank in zip(scores, ranks, strict=True)
    ]
    found = []
    for side, score, order in zip(sides, scores, orders, strict=True):
        try:
            *before, last = _told(row, side, given, intake)
        except Unusable as unusable:
            if unusable.reason in ("empty prompt", "user and assistant do not take turns"):
                raise
            intake.dropped[f"{unusable.reason} in a set"] += 1
            continue
        prompt = [turn.message for turn in before]
        found.append({
            "text": last.content, "thought": last.thought, "prompt": prompt,
            "rank": order if winners is None else float(side.name not in winners),
            "won": order == min(orders) if winners is None else side.name in winners,
            "rating": score if "rating" in (side.score or "") else None,
            "safe": side.safe is None or number_of(row.get(side.safe)) != 0,
        })  # fmt: skip
    return dense(found)


def _marks(keys: list[str | None], row: Row, intake: Intake) -> list[float | None]:
    """The numbers of columns that belong together, all out of the same if they are out of any ("7/10")."""
    marks = [Mark() if key is None else mark_of(row.get(key)) for key in keys]
    for key, mark in zip(keys, marks, strict=True):
        if mark is None or mark.good is not None:
            raise intake.place.error(f"'{key}' is {row.get(str(key))!r:.60}, no number", "mend the row")
    known = [mark for mark in marks if mark is not None]
    if len({mark.total for mark in known if mark.value is not None}) > 1:
        raise intake.place.error(f"{', '.join(map(str, keys))} are not out of the same", "rate all answers alike")
    return [mark.value for mark in known]


def _told(row: Row, side: AnswerColumn, given: list[Message] | None, intake: Intake) -> list[Turn]:
    """A side's whole conversation, its answer last."""
    value = row.get(side.answer)
    key = intake.key("prompt")
    questions, answers = _turns_in(row, intake), _texts_in(value)
    if questions and answers is not None:
        if len(answers) != len(questions):
            raise intake.place.error(
                f"'{key}' has {len(questions)} turns, '{side.answer}' {len(answers)}", "give each an answer"
            )
        both = [text for pair in zip(questions, answers, strict=True) for text in pair]
        if any(text is None or not text.strip() for text in both):
            raise Unusable("empty response")
        turns = alternating(both, side.answer, intake, "response")
        first = with_system(row, [turns[0].message], intake)
        return [*(Turn(message) for message in first), *turns[1:]]
    turns = _judged(side_turns(value, side.answer, intake, told=not given), row)
    if turns[-1].role != "assistant":
        raise intake.place.error(f"'{side.answer}' does not end with an answer", "end it with the assistant's turn")
    before = [turn.message for turn in turns[:-1]]
    if before and belongs(given, before):
        return [*(Turn(message) for message in with_system(row, led_by(given or [], before), intake)), turns[-1]]
    if before:
        raise Unusable("answers do not answer the same prompt")
    if not given:
        raise Unusable("empty prompt")
    return [*(Turn(message) for message in given), turns[-1]]


def _judged(turns: list[Turn], row: Row) -> list[Turn]:
    """The turns up to the answer that was judged: a column `turn` may count fewer than there are (MT-Bench)."""
    count = number_of(row.get("turn"))
    ends = [number for number, turn in enumerate(turns, 1) if turn.role == "assistant"]
    if count is None or not 0 < count < len(ends) or not count.is_integer():
        return turns
    return turns[: ends[int(count) - 1]]


def _turns_in(row: Row, intake: Intake) -> list[Any] | None:
    """The user's turns, if prompt and answers are lists of texts that belong together (the arena's)."""
    listed = all(_texts_in(row.get(side.answer)) is not None for side in intake.columns.sides)
    return _texts_in(intake.value(row, "prompt")) if listed else None


def _texts_in(value: object) -> list[Any] | None:
    """A list of texts, also one in a string; None if it is something else."""
    value = decoded(value) if isinstance(value, str) else value
    if isinstance(value, list) and value and all(isinstance(item, str | None) for item in value):
        return value
    return None


def _flags(row: Row, sides: tuple[AnswerColumn, ...], intake: Intake) -> set[str] | None:
    """The sides whose own column says that they won; all of them for a tie. None without such columns."""
    if not all(side.won for side in sides):
        return None
    flags = {side.name: number_of(row.get(str(side.won))) for side in sides}
    if any(flag not in (0, 1) for flag in flags.values()):
        raise intake.place.error(f"'{sides[0].won}' and the like are not all 0 or 1", "mend the row")
    won = {name for name, flag in flags.items() if flag == 1}
    tied = "tie" in intake.columns and number_of(row.get(intake.columns.roles["tie"])) == 1
    if not won and not tied and "tie" in intake.columns:
        raise Unusable("comparison without a verdict")
    return won if won and not tied else set(flags)
