"""Rows with several answers to one prompt: pairs, lists with ranks or scores, a column for each answer and a vote.

All become the same: the prompt, and the answers with ranks, 0 the best. What an answer's score is measured on differs
from set to set, so only its order is kept; the score itself says whether the best answer is good enough to be imitated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from judgeloop.data.columns import Side, plain_name
from judgeloop.data.conversations import Answer, Ranking, Row, asked_in, conversation_in, with_system
from judgeloop.data.fields import decoded, dense, kind_of, number_of, numbers_of, rank_of, rows_of_columns, text_of
from judgeloop.data.intake import Intake
from judgeloop.data.messages import Turn, alternating, answer_of, answerable, messages_in, turns_of
from judgeloop.data.provenance import Unusable
from judgeloop.data.transcripts import split_transcript
from judgeloop.records import MAX_SCORE, Message


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
                raise place.error(f"'{here}.score' is {score!r}", f"give a number from 0 to {MAX_SCORE}")
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


# Pairs -----------------------------------------------------------------------------------------------------------


def asked_in_pair(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The prompt of a preference pair."""
    for prompt, _, _ in pair_in(row, intake):
        yield prompt


def chosen_in_pair(row: Row, intake: Intake) -> Iterator[Answer]:
    """The chosen response."""
    scores = [number_of(intake.value(row, role)) for role in ("chosen_score", "rejected_score")]
    for prompt, responses, _ in pair_in(row, intake):
        intake.ratings.extend(score for score in scores if score is not None)
        yield Answer(prompt, responses[0]["text"], responses[0].get("thought", ""), scores[0])


def ranked_pair(row: Row, intake: Intake) -> Iterator[Ranking]:
    """Both responses, ranked."""
    for prompt, responses, group in pair_in(row, intake):
        yield prompt, [_plain(response) for response in responses], group


def pair_in(row: Row, intake: Intake) -> Iterator[Ranking]:
    """`chosen` before `rejected`, each a text, one assistant message, or the whole conversation. The history that both
    share is the prompt; a prompt beside it must be one of its turns."""
    given = _given(row, intake)
    keys = [intake.key(role) for role in ("chosen", "rejected")]
    if given is None and all(row[key] is None for key in keys):
        raise Unusable("empty prompt")
    sides = [_side(row[key], key, intake) for key in keys]
    histories = [side[:-1] for side in sides if len(side) > 1]
    texts = [(side[-1].content, side[-1].thought) for side in sides]
    if any(side[-1].role != "assistant" for side in sides):
        raise intake.place.error(f"'{keys[0]}' or '{keys[1]}' is not one assistant message", "end it with the answer")
    prompt = given
    if histories:
        heard = [[turn.message for turn in history] for history in histories]
        if any(history != heard[0] for history in heard) or not _belongs(given, heard[0]):
            raise Unusable("chosen and rejected do not answer the same prompt")
        if given is None or len(given) <= len(heard[0]):
            prompt = heard[0]
    if prompt is None:
        raise Unusable("empty prompt")
    if texts[0][0] == texts[1][0]:
        raise Unusable("chosen and rejected are the same")
    if histories and given is not None:
        prompt = with_system(row, prompt, intake)
    yield (
        answerable(prompt),
        dense([{"text": text, "rank": rank, "thought": thought} for rank, (text, thought) in enumerate(texts)]),
        "",
    )


def _given(row: Row, intake: Intake) -> list[Message] | None:
    """The prompt that a row states beside its sides, as a prompt or as a conversation."""
    columns = intake.columns
    if intake.value(row, "conversation") is not None:
        messages = [turn.message for turn in conversation_in(row, intake)]
        if messages[-1]["role"] == "assistant" and "prompt" not in columns:
            messages.pop()
        if messages and messages[-1]["role"] == "user":
            return with_system(row, messages, intake)
    if intake.value(row, "prompt") is None:
        return None
    return asked_in(row, intake)


def _side(value: object, key: str, intake: Intake) -> list[Turn]:
    """A side's turns: its answer alone, or the whole conversation."""
    if isinstance(value, str):
        read = messages_in(value)
        if read is not None:
            value = read
        else:
            found = split_transcript(value)
            if not found:
                text, thought = answer_of(text_of(value, key, intake.place, "response"), {}, intake)
                return [Turn({"role": "assistant", "content": text}, thought)]
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return _side(text_of(value[0], key, intake.place, "response"), key, intake)
    if not isinstance(value, (str, list, dict)):
        text_of(value, key, intake.place, "response")
    turns = alternating(value, key, intake, "response")
    if len(turns) == 1 and turns[0].role != "assistant":
        raise intake.place.error(f"'{key}' is not one assistant message", "put earlier turns into 'prompt'")
    return turns


def _belongs(given: list[Message] | None, heard: list[Message]) -> bool:
    """Whether a prompt beside a conversation is what the conversation asks, or its beginning."""
    if given is None:
        return True
    said = {message["content"].strip() for message in heard if message["role"] == "user"}
    return given[-1]["content"].strip() in said


def _plain(response: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in response.items() if key in ("text", "rank", "score")}


# Lists -----------------------------------------------------------------------------------------------------------


_TEXTS = ("text", "answer", "response", "content", "completion", "output", "generation", "value", "body", "message")
_ORDERS = ("rank", "ranking")
_SCORES = ("overall_score", "score", "rating", "helpfulness", "pm_score", "reward", "quality", "votes", "upvotes")


def asked_in_set(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The prompt of ranked responses: a prompt, or the messages before them."""
    given = _given(row, intake)
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
        yield prompt, [_plain(response) for response in responses], name


def _native(row: Row, intake: Intake) -> bool:
    """Whether the responses are as our own files have them: texts with ranks or scores from 0 to 5."""
    value = row.get(intake.key("answers"))
    items = rows_of_columns(value)
    return (
        "ranks" not in intake.columns
        and "scores" not in intake.columns
        and (items is None or not isinstance(items, list) or all(isinstance(i, dict) and "text" in i for i in items))
        and intake.key("answers") == "responses"
    )


def _responses(row: Row, intake: Intake) -> list[dict[str, Any]]:
    key = intake.key("answers")
    value = row.get(key)
    if _native(row, intake):
        return responses_of(rows_of_columns(value), intake)
    items = decoded(value) if isinstance(value, str) else rows_of_columns(value)
    if not isinstance(items, list):
        raise intake.place.error(f"'{key}' is {kind_of(items)}, not a list", f"write {key} as a list of answers")
    orders = _parallel(row, "ranks", len(items), intake)
    scores = _parallel(row, "scores", len(items), intake)
    won = _choice(row, [str(number) for number in range(len(items))], intake) if "winner" in intake.columns else None
    found: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        here = f"{key}[{number}]"
        fields = item if isinstance(item, dict) else {}
        text = item
        if isinstance(item, dict):
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
        if rank is None and score is None:
            if not _ranks(fields) and not orders and not scores:
                raise intake.place.error(f"nothing ranks the {key}", _NAME.format("scores"))
            intake.dropped["answer without a rank or a score"] += 1
            continue
        try:
            text, thought = _text(text, here, intake, fields)
        except Unusable as unusable:
            intake.dropped[f"{unusable.reason} in a set"] += 1
            continue
        response: dict[str, Any] = {"text": text, "thought": thought, "rank": -(score or 0.0) if rank is None else rank}
        found.append({**response, "rating": score} if score is not None and _rates(row, fields, intake) else response)
    return dense(found)


_NAME = "name the column that does, seed_data.fields: {{{}: ???}}, or use the file as prompts"


def _rates(row: Row, fields: Mapping[str, Any], intake: Intake) -> bool:
    """Whether the scores are ratings on a scale, not rewards or votes, whose size says nothing by itself."""
    name = intake.columns.roles.get("scores") or next((name for name in _SCORES if fields.get(name) is not None), "")
    return re.search("reward|vote|like|pm_score|rm_", name) is None


def _ranks(fields: Mapping[str, Any]) -> bool:
    return any(name in fields for name in (*_ORDERS, *_SCORES))


def _text(value: object, here: str, intake: Intake, fields: Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(value, (list, dict)):
        turns = turns_of(value, here, intake, "response")
        return turns[-1].content, turns[-1].thought
    return answer_of(text_of(value, here, intake.place, "response"), fields, intake)


def _first_number(fields: Mapping[str, Any], names: tuple[str, ...], here: str, intake: Intake) -> float | None:
    for name in names:
        if fields.get(name) is not None:
            number = number_of(fields[name])
            if number is None:
                raise intake.place.error(f"'{here}.{name}' is {fields[name]!r:.60}, no number", "mend the row")
            return number
    return None


def _parallel(row: Row, role: str, count: int, intake: Intake) -> list[float | None] | None:
    """A column of numbers beside the answers, one for each; nulls allowed."""
    if role not in intake.columns:
        return None
    key = intake.columns.roles[role]
    value = numbers_of(row.get(key))
    if value is None or len(value) != count:
        raise intake.place.error(f"'{key}' is not a list of {count} numbers", "give one number for each answer")
    numbers = [None if item is None else number_of(item) for item in value]
    for item, number in zip(value, numbers, strict=True):
        if number is None and item is not None and item == item:
            raise intake.place.error(f"'{key}' holds {item!r:.60}, no number", "give one number for each answer")
    return numbers


# A column for each answer ----------------------------------------------------------------------------------------


_TIES = frozenset(
    {"tie", "tied", "both", "neither", "none", "equal", "same", "draw", "bothbad", "both_bad", "tie_(bothbad)",
     "tie_(both_bad)", "both_good", "a=b", "no_preference", "-1", "0.5"}
)  # fmt: skip
_SIGNED = ("overall_preference", "preference_strength")


def asked_of_all(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The prompt of answers with a column each. Of a conversation in which each model was answered on its own, the
    first turn."""
    questions = _turns_in(row, intake)
    if questions:
        yield answerable(with_system(row, [{"role": "user", "content": text_of(
            questions[0], intake.key("prompt"), intake.place, "prompt"
        )}], intake))  # fmt: skip
        return
    given = _given(row, intake)
    for side in intake.columns.sides:
        if given is None and row.get(side.answer) is not None:
            given = [turn.message for turn in _side(row[side.answer], side.answer, intake)[:-1]]
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
    yield answerable(found[0]["prompt"]), [_plain(response) for response in found], ""


def _compared(row: Row, intake: Intake) -> list[dict[str, Any]]:
    """The answers, ranked by a vote or else by their scores, each with the conversation before it."""
    columns, sides = intake.columns, intake.columns.sides
    listed = _parallel(row, "scores", len(sides), intake)
    scores = listed or [number_of(row.get(side.score)) if side.score else None for side in sides]
    scored = all(score is not None for score in scores)
    winners = _flags(row, sides, intake)
    if winners is None and "winner" in columns:
        winners = _choice(row, [side.name for side in sides], intake, scored)
    if winners is None and not scored:
        if listed or any(side.score for side in sides):
            raise Unusable("answers without a score")
        names = ", ".join(side.answer for side in sides)
        raise intake.place.error(f"nothing ranks the answers {names}", _NAME.format("winner"))
    given = None if _turns_in(row, intake) else _given(row, intake)
    found = []
    for side, score in zip(sides, scores, strict=True):
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
            "rank": -(score or 0.0) if winners is None else float(side.name not in winners),
            "won": winners is None or side.name in winners,
            "rating": score if "rating" in (side.score or "") else None,
            "safe": side.safe is None or number_of(row.get(side.safe)) != 0,
        })  # fmt: skip
    return dense(found)


def _told(row: Row, side: Side, given: list[Message] | None, intake: Intake) -> list[Turn]:
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
    turns = _side(value, side.answer, intake)
    if turns[-1].role != "assistant":
        raise intake.place.error(f"'{side.answer}' does not end with an answer", "end it with the assistant's turn")
    before = [turn.message for turn in turns[:-1]]
    if before and _belongs(given, before):
        return [*(Turn(message) for message in with_system(row, before, intake)), turns[-1]]
    if before:
        raise Unusable("answers do not answer the same prompt")
    if not given:
        raise Unusable("empty prompt")
    return [*(Turn(message) for message in given), turns[-1]]


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


def _flags(row: Row, sides: tuple[Side, ...], intake: Intake) -> set[str] | None:
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


def _choice(row: Row, names: list[str], intake: Intake, scored: bool = False) -> set[str] | None:
    """The sides that a vote names; all of them for a tie. None if it cannot be read but scores can take its place."""
    key = intake.columns.roles["winner"]
    value = row.get(key)
    if value is None or value == "":
        raise Unusable("comparison without a verdict")
    if plain_name(key) in _SIGNED and number_of(value) is not None and len(names) == 2:
        return set(names) if number_of(value) == 0 else {names[int(number_of(value) > 0)]}  # type: ignore[operator]
    number = number_of(value)
    word = (
        str(int(number)) if number is not None and number.is_integer() and not isinstance(value, bool) else str(value)
    )
    word = re.sub(r"[\s\-]+", "_", word.strip().casefold()).strip("[]")
    if word in names:
        return {word}
    if word in _TIES:
        return set(names)
    ended = re.fullmatch(
        r"(?:model|response|answer|assistant|output|completion|option|candidate|choice)_?(\w{1,2})", word
    )
    if ended is not None and ended[1] in names:
        return {ended[1]}
    if scored:
        return None
    raise intake.place.error(
        f"'{key}' is {value!r:.60}, which is none of the answers {', '.join(names)}", "mend the row, or bring scores"
    )
