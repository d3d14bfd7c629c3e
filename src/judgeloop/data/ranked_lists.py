"""Lists of answers to one prompt, with ranks or scores in the list or beside it.

What a score is measured on differs from set to set, so only the order of the answers is kept; the score of the best one
says whether it is good enough to be imitated. Our own files have texts with ranks, or with scores from 0 to 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from judgeloop.data.conversations import Answer, Ranking, Row, asked_in
from judgeloop.data.fields import dense, items_of, kind_of, number_of, rank_of, text_of
from judgeloop.data.intake import Intake
from judgeloop.data.marks import fault_of, is_blank, is_flag, label_of
from judgeloop.data.messages import answer_of, answerable, turns_of
from judgeloop.data.names import label_role, plain_name, unscaled
from judgeloop.data.preferences import given_prompt
from judgeloop.data.provenance import Unusable
from judgeloop.data.votes import NAME_IT, numbers_beside, winners_of
from judgeloop.records import MAX_SCORE, Message

_TEXTS = ("text", "answer", "response", "content", "completion", "output", "generation", "value", "body", "message")
_ORDERS = ("rank", "ranking")
_SCORES = ("overall_score", "score", "rating", "helpfulness", "pm_score", "reward", "quality", "votes", "upvotes")


def asked_in_set(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The prompt of ranked responses: a prompt, or the messages before them."""
    given = given_prompt(row, intake)
    if given is None:
        given = asked_in(row, intake)
    yield answerable(given)


def best_in_set(row: Row, intake: Intake) -> Iterator[Answer]:
    """The response ranked best, with its own rating."""
    for prompt in asked_in_set(row, intake):
        responses = _responses(row, intake)
        if not responses:
            raise Unusable("no response")
        intake.ratings.extend(r["rating"] for r in responses if r.get("rating") is not None)
        if (
            len(responses) > 1
            and responses[-1]["rank"] == 0
            and "rating" not in responses[0]
            and not _native(row, intake)
        ):
            raise Unusable("all responses tie")
        best = responses[0]
        yield Answer(prompt, best["text"], best.get("thought", ""), best.get("rating"))


def ranked_set(row: Row, intake: Intake) -> Iterator[Ranking]:
    """All responses, ranked; at least two, not all tied."""
    for prompt in asked_in_set(row, intake):
        responses = _responses(row, intake)
        if len(responses) < 2:
            raise Unusable("fewer than two responses")
        if responses[-1]["rank"] == 0:
            raise Unusable("all responses tie")
        group = intake.value(row, "group")
        name = text_of(group, intake.key("group"), intake.place, "group") if group else ""
        yield prompt, responses, name


def _native(row: Row, intake: Intake) -> bool:
    """Whether the responses are as our own files have them: texts with ranks or scores from 0 to 5."""
    value = row.get(intake.key("answers"))
    items = items_of(value)
    return (
        intake.whole.own_scores
        and "ranks" not in intake.columns
        and "scores" not in intake.columns
        and (items is None or not isinstance(items, list) or all(isinstance(i, dict) and "text" in i for i in items))
        and intake.key("answers") == "responses"
    )


def _responses(row: Row, intake: Intake) -> list[dict[str, Any]]:
    key = intake.key("answers")
    value = row.get(key)
    if _native(row, intake):
        return responses_of(items_of(value), intake)
    items = items_of(value)
    if not isinstance(items, list):
        raise intake.place.error(f"'{key}' is {kind_of(items)}, not a list", f"write {key} as a list of answers")
    orders = numbers_beside(row, "ranks", len(items), intake)
    scores = numbers_beside(row, "scores", len(items), intake)
    won = winners_of(row, [str(number) for number in range(len(items))], intake) if "winner" in intake.columns else None
    found: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        here = f"{key}[{number}]"
        fields = item if isinstance(item, dict) else {}
        text = item
        if isinstance(item, dict):
            if {"name", "arguments"} <= item.keys():
                raise Unusable("conversation with tool calls")
            name = next((name for name in _TEXTS if name in item), None)
            if name is None:
                raise intake.place.error(
                    f"'{here}' has no 'text' (its keys: {', '.join(item) or 'none'})", "name its text so"
                )
            text = item[name]
        rank = orders[number] if orders else _first_number(fields, _ORDERS, here, intake)
        score = scores[number] if scores else _first_number(fields, _SCORES, here, intake)
        if won is not None:
            rank = float(str(number) not in won)
        elif rank is None and score is None and (good := _labelled(fields)) is not None:
            rank = float(not good)
        if rank is None and score is None:
            if not _ranks(fields) and not orders and not scores and not _is_labelled(fields):
                raise intake.place.error(f"nothing ranks the {key}", NAME_IT.format("scores"))
            intake.dropped["answer without a rank or a score"] += 1
            continue
        try:
            text, thought = _text(text, here, intake, fields)
        except Unusable as unusable:
            intake.dropped[f"{unusable.reason} in a set"] += 1
            continue
        response: dict[str, Any] = {"text": text, "thought": thought, "rank": -(score or 0.0) if rank is None else rank}
        found.append({**response, "rating": score} if score is not None and _rates(fields, intake) else response)
    return dense(found)


def _is_labelled(fields: Mapping[str, Any]) -> bool:
    return any(label_role(plain_name(name)) for name in fields)


def _labelled(fields: Mapping[str, Any]) -> bool | None:
    """Whether the labels of an answer call it good (`label`, `is_best`, `correct`); None if none says it."""
    said = []
    for name, value in fields.items():
        role = label_role(plain_name(name))
        flagged = role == "bad_label" and is_flag(value)  # why an answer ended says nothing of how good it is
        good = label_of(value) if role == "label" else fault_of(value) if flagged else None
        if good is not None:
            said.append(good if role == "label" else not good)
    return all(said) if said else None


def _rates(fields: Mapping[str, Any], intake: Intake) -> bool:
    """Whether the scores are ratings on a scale, not rewards or votes, whose size says nothing by itself."""
    name = intake.columns.roles.get("scores") or next((name for name in _SCORES if fields.get(name) is not None), "")
    return not unscaled(plain_name(name))


def _ranks(fields: Mapping[str, Any]) -> bool:
    return any(name in fields for name in (*_ORDERS, *_SCORES))


def _text(value: object, here: str, intake: Intake, fields: Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(value, (list, dict)):
        turns = turns_of(value, here, intake, "response")
        return turns[-1].content, turns[-1].thought
    return answer_of(text_of(value, here, intake.place, "response"), fields, intake)


def _first_number(fields: Mapping[str, Any], names: tuple[str, ...], here: str, intake: Intake) -> float | None:
    for name in names:
        if not is_blank(fields.get(name)):
            number = number_of(fields[name])
            if number is None:
                raise intake.place.error(f"'{here}.{name}' is {fields[name]!r:.60}, no number", "mend the row")
            return number
    return None


def responses_of(value: object, intake: Intake) -> list[dict[str, Any]]:
    """Ranked responses `{"text", "rank"[, "score"]}`: ranks made dense from 0, best first; ties share a rank.

    Where no response has a rank but all have a score, the ranks follow the scores. Responses without text are left
    out and counted.
    """
    place = intake.place
    value = [] if value is None else value
    if not isinstance(value, list):
        raise place.error(f"'responses' is {kind_of(value)}, not a list", 'write [{"text": …, "rank": …}, …]')
    responses = []
    for number, item in enumerate(value):
        here = f"responses[{number}]"
        if not isinstance(item, dict) or "text" not in item:
            raise place.error(f"'{here}' has no 'text'", 'write {"text": …, "rank": …}')
        try:
            response: dict[str, Any] = {"text": text_of(item["text"], f"{here}.text", place, "response")}
        except Unusable as unusable:
            intake.dropped[f"{unusable.reason} in a set"] += 1
            continue
        if item.get("rank") is not None:
            response["rank"] = rank_of(item["rank"], f"{here}.rank", place)
        if item.get("score") is not None:
            score = item["score"]
            if type(score) not in (int, float) or not 0 <= score <= MAX_SCORE:
                raise place.error(f"'{here}.score' is {score!r:.60}", "give a number")
            response["score"] = score
        responses.append(response)
    if responses and not any("rank" in r for r in responses) and all("score" in r for r in responses):
        for response in responses:
            response["rank"] = -response["score"]
    if not all("rank" in r for r in responses):
        raise place.error("one of the 'responses' has no 'rank'", "rank every response, 0 is best")
    scored = sorted((r for r in responses if "score" in r), key=lambda r: (r["rank"], -r["score"]))
    for better, worse in pairwise(scored):
        if better["rank"] < worse["rank"] and better["score"] < worse["score"]:
            raise place.error("a response ranked better has the lower score", "make rank and score agree")
    return dense(responses)
