"""Read what a user brings: prompts, supervised rows, ranked responses. The format is detected by content, from the
first row, and every other row must have it too; what was detected, taken and dropped stands in the `Account`.

A line that breaks its format is an InputError with file and line. A line that is well formed but cannot serve (an
unranked tree, a chat that ends with the user) is dropped and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from judgeloop.errors import InputError
from judgeloop.records import Message, Prompt, RankedSet, SupervisedRow, read_objects, stable_id
from judgeloop.seed import oasst
from judgeloop.seed.shapes import Account, Place, messages_of, responses_of, text_of, turns_alternate

Turns = Literal["first", "all"]
T = TypeVar("T", Prompt, SupervisedRow, RankedSet)


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: its name, how a row of it is known, and the fields a row must have (any one of each group)."""

    name: str
    matches: Callable[[Mapping[str, Any]], bool]
    fields: tuple[tuple[str, ...], ...]


TREES = Format("Open Assistant trees", oasst.is_tree, (("prompt",),))
RANKED = Format("ranked responses", lambda row: "responses" in row, (("prompt",), ("responses",)))
CHAT = Format("chat messages", lambda row: "messages" in row, (("messages",),))
PAIRS = Format(
    "prompt and response",
    lambda row: "response" in row or "completion" in row,
    (("prompt",), ("response", "completion")),
)
PROMPTS = Format("prompts", lambda row: "prompt" in row, (("prompt",),))
FORMATS = (TREES, RANKED, CHAT, PAIRS, PROMPTS)


def read_prompts(path: Path, lang: str | None = None) -> tuple[list[Prompt], Account]:
    """Instructions to answer, from a file of any known format; responses in it are left aside.

    A chat log gives the conversation up to its last user turn, a tree its first message.
    """

    def convert(form: Format, row: dict[str, Any], place: Place, dropped: Counter[str]) -> Iterator[Prompt]:
        if form is TREES:
            messages = oasst.root_prompt(row, place, lang, dropped) or []
        elif form is CHAT:
            messages = messages_of(row["messages"], "messages", place)
            while messages and messages[-1]["role"] != "user":
                messages = messages[:-1]
            if not _is_prompt(messages, dropped):
                return
        else:
            messages = _prompt_messages(row["prompt"], place, dropped) or []
        if messages:
            yield Prompt.of(messages, place.source)

    return _read(path, FORMATS, convert)


def read_supervised(path: Path, turns: Turns = "first", lang: str | None = None) -> tuple[list[SupervisedRow], Account]:
    """IFT rows: chat messages whose last turn is the assistant's, prompt and response (or completion), the best
    response of ranked ones, or the rank-0 replies of Open Assistant trees (the paper's IFT data)."""

    def convert(form: Format, row: dict[str, Any], place: Place, dropped: Counter[str]) -> Iterator[SupervisedRow]:
        if form is TREES:
            for found in oasst.reply_sets(row, place, turns, lang, dropped):
                best = oasst.best_reply(found, dropped)
                if best is not None:
                    yield supervised_row("ift", found.messages, found.messages, best, place.source)
        elif form is CHAT:
            messages = messages_of(row["messages"], "messages", place)
            if messages[-1]["role"] != "assistant":
                dropped["last turn is not the assistant's"] += 1
            elif _is_prompt(messages[:-1], dropped):
                prompt = messages[:-1]
                yield supervised_row("ift", prompt, prompt, messages[-1]["content"], place.source)
        else:
            prompt = _prompt_messages(row["prompt"], place, dropped) or []
            if form is RANKED:
                text = next(iter(responses_of(row["responses"], place)), {"text": None})["text"]
            else:
                text = _response_text(row, place)
            if text is None:
                dropped["no response"] += 1
            elif prompt:
                yield supervised_row("ift", prompt, prompt, text, place.source)

    return _read(path, (TREES, RANKED, CHAT, PAIRS), convert)


def read_ranked(path: Path, turns: Turns = "first", lang: str | None = None) -> tuple[list[RankedSet], Account]:
    """Prompts with several responses as people ranked them: `{"prompt", "responses": [{"text", "rank"[, "score"]}]}`,
    or Open Assistant trees, whose `turns` are the first only, or all with the conversation before."""

    def convert(form: Format, row: dict[str, Any], place: Place, dropped: Counter[str]) -> Iterator[RankedSet]:
        if form is TREES:
            for found in oasst.reply_sets(row, place, turns, lang, dropped):
                ranked = oasst.ranked_set(found, place.source, dropped)
                if ranked is not None:
                    yield ranked
            return
        messages = _prompt_messages(row["prompt"], place, dropped)
        responses = responses_of(row["responses"], place)
        if len(responses) < 2:
            dropped["fewer than two responses"] += 1
        elif responses[-1]["rank"] == 0:
            dropped["all responses tie"] += 1
        elif messages:
            yield RankedSet(stable_id("r", messages, responses), messages, responses, place.source)

    return _read(path, (TREES, RANKED), convert)


def supervised_row(
    kind: Literal["ift", "eft"], about: list[Message], prompt: list[Message], completion: str, source: str
) -> SupervisedRow:
    """A row to imitate. `about` is the instruction that `prompt` is (IFT) or judges a response to (EFT)."""
    return SupervisedRow(
        stable_id(kind, prompt, completion),
        kind,
        stable_id("p", about),
        prompt,
        [{"role": "assistant", "content": completion}],
        source,
    )


def _read(
    path: Path,
    allowed: tuple[Format, ...],
    convert: Callable[[Format, dict[str, Any], Place, Counter[str]], Iterator[T]],
) -> tuple[list[T], Account]:
    form: Format | None = None
    first_line = 0
    rows: dict[str, T] = {}
    dropped: Counter[str] = Counter()
    for line, row in read_objects(path):
        place = Place(path, line)
        found = _detect(row)
        if form is None:
            form, first_line = _first(row, found, allowed, place), line
        elif found is not form or _missing(row, form):
            _refuse_other(row, found, form, first_line, place)
        for result in convert(form, row, place, dropped):
            if result.id in rows:
                dropped["duplicate"] += 1
            else:
                rows[result.id] = result
    if form is None:
        raise InputError.at(path, None, "has no rows", "add rows or name another file")
    reasons = {reason: count for reason, count in sorted(dropped.items()) if count}
    if not rows:
        listed = "; ".join(f"{count} {reason}" for reason, count in reasons.items()) or "nothing in it"
        raise InputError.at(path, None, f"{form.name}, but no usable row ({listed})", "bring other data or other keys")
    return list(rows.values()), Account(form.name, len(rows), reasons)


def _detect(row: Mapping[str, Any]) -> Format | None:
    return next((form for form in FORMATS if form.matches(row)), None)


def _first(row: Mapping[str, Any], found: Format | None, allowed: tuple[Format, ...], place: Place) -> Format:
    wanted = ", or ".join(form.name for form in allowed)
    if found is None:
        keys = ", ".join(list(row)[:6]) or "none"
        raise place.error(f"a row without 'prompt' or 'messages' (its keys: {keys})", f"bring {wanted}")
    missing = _missing(row, found)
    if missing:
        raise place.error(f"a row without '{missing}'", f"{found.name} needs it on every line")
    if found not in allowed:
        raise place.error(f"the file holds {found.name}", f"here it must be {wanted}")
    return found


def _refuse_other(row: Mapping[str, Any], found: Format | None, form: Format, first_line: int, place: Place) -> None:
    missing = _missing(row, form)
    if missing and (found is None or found is PROMPTS or _missing(row, found)):
        raise place.error(f"a row without '{missing}'", f"{form.name} needs it on every line")
    raise place.error(
        f"mixed formats: {found.name if found else 'unknown'} here, {form.name} on line {first_line}",
        "put each format in a file of its own",
    )


def _missing(row: Mapping[str, Any], form: Format) -> str | None:
    return next((names[0] for names in form.fields if not any(row.get(name) is not None for name in names)), None)


def _prompt_messages(value: object, place: Place, dropped: Counter[str]) -> list[Message] | None:
    messages = messages_of(value, "prompt", place)
    return messages if _is_prompt(messages, dropped) else None


def _is_prompt(messages: list[Message], dropped: Counter[str]) -> bool:
    """Whether the messages can be answered: turns alternate and the user has the last word. Counted if not."""
    if not messages or messages[-1]["role"] != "user":
        dropped["prompt does not end with a user turn"] += 1
    elif not turns_alternate(messages):
        dropped["user and assistant do not take turns"] += 1
    else:
        return True
    return False


def _response_text(row: Mapping[str, Any], place: Place) -> str:
    name = "response" if row.get("response") is not None else "completion"
    value = row[name]
    if isinstance(value, list):
        messages = messages_of(value, name, place)
        if len(messages) != 1 or messages[0]["role"] != "assistant":
            raise place.error(f"'{name}' is not one assistant message", "put earlier turns into 'prompt'")
        return messages[0]["content"]
    return text_of(value, name, place)
