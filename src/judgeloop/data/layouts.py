"""The layouts that are read, and how a row is known to be of one: by what its columns say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.data import compared, oasst, preferences, ranked_lists
from judgeloop.data import conversations as said
from judgeloop.data.cells import is_talk
from judgeloop.data.columns import Columns, columns_of
from judgeloop.data.conversations import Answer, Ranking, Row
from judgeloop.data.doubts import Shape, Suspect, suspects_of
from judgeloop.data.intake import Intake
from judgeloop.data.names import plain_name
from judgeloop.data.provenance import Place
from judgeloop.data.rating_columns import PROMISE, RATINGS
from judgeloop.data.transcripts import split_transcript
from judgeloop.data.within import cells_of
from judgeloop.records import Message

Rows = Iterator[tuple[Place, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Format:
    """A layout of rows: its name, the word for it on the command line, how a row of it is known (by its fields and its
    columns), what a row must have (role → the field's usual name), and what can be read from it. `assemble` puts rows
    together before they are read, if one row is less than a whole; `rated` rows are put together by prompt after it."""

    name: str
    word: str
    matches: Callable[[Row, Columns], bool]
    needs: Mapping[str, str]
    prompts: Callable[[Row, Intake], Iterator[list[Message]]] | None = None
    answers: Callable[[Row, Intake], Iterator[Answer]] | None = None
    rankings: Callable[[Row, Intake], Iterator[Ranking]] | None = None
    judgements: Callable[[Row, Intake], Iterator[Answer]] | None = None
    assemble: Callable[[Rows, Counter[str]], Rows] | None = None
    rated: bool = False
    roles: tuple[str, ...] = ()  # of the columns, those that are read
    reads: tuple[str, ...] = ()  # fields that are read besides the columns
    answers_follow: bool = False  # a conversation can be the prompt

    def missing(self, row: Row, columns: Columns) -> str | None:
        """The first field that the row lacks. A field that is there and null is another matter: it is empty."""
        have = {role: key for role, key in columns.roles.items() if role != "prompt" or self.takes(key)}
        if "conversation" in have and self.answers_follow:
            have["prompt"] = have["conversation"]
        return next((name for role, name in self.needs.items() if role not in have and name not in row), None)

    def takes(self, key: str) -> bool:
        """Whether a prompt of this name belongs to the format."""
        return self.needs.get("prompt") != "instruction" or key == "instruction"


_PROMPT = ("prompt", "input", "constraints", "system", "history")
_ANSWER = (*_PROMPT, "response", "thought")
_CHAT = ("conversation", "text", "system", "response", "thought")


def _rated(columns: Columns) -> bool:
    return any(role in columns for role in RATINGS)


def _answered(columns: Columns) -> bool:
    return "prompt" in columns and "response" in columns


def _strong(columns: Columns, *names: str) -> bool:
    return columns.roles.get("response") in names


TREES = Format(
    "Open Assistant trees", "oasst", lambda row, _: oasst.is_tree(row), {"prompt": "prompt"},
    oasst.asked_in_tree, oasst.answers_in_tree, oasst.rankings_in_tree, reads=("prompt",),
)  # fmt: skip
TREE_MESSAGES = Format(
    "Open Assistant messages", "oasst", lambda row, _: "message_id" in row and "parent_id" in row,
    {"message_id": "message_id", "parent_id": "parent_id", "text": "text", "role": "role"},
    oasst.asked_in_tree, oasst.answers_in_tree, oasst.rankings_in_tree, assemble=oasst.assembled,
    reads=("message_id", "parent_id", "text", "role", "lang", "rank", "deleted", "synthetic", "review_result"),
)  # fmt: skip
EFT_ROWS = Format(
    "EFT rows", "eft", lambda row, _: row.get("kind") == "eft", {"prompt": "prompt", "response": "completion"},
    judgements=said.judgement_of, reads=("kind", "prompt_id"),
    roles=_ANSWER,
)  # fmt: skip
RANKED = Format(
    "ranked responses", "ranked", lambda _, columns: "answers" in columns, {"prompt": "prompt", "answers": "responses"},
    ranked_lists.asked_in_set, ranked_lists.best_in_set, ranked_lists.ranked_set, answers_follow=True,
    roles=(*_PROMPT, "conversation", "answers", "ranks", "scores", "winner", "group"),
)  # fmt: skip
PREFERENCES = Format(
    "preference pairs", "preferences", lambda _, columns: "chosen" in columns and "rejected" in columns,
    {"chosen": "chosen", "rejected": "rejected"},
    preferences.asked_in_pair, preferences.chosen_in_pair, preferences.pair_in,
    roles=(*_PROMPT, "conversation", "chosen", "rejected", "chosen_score", "rejected_score"),
)  # fmt: skip
COMPARED = Format(
    "compared answers", "compared", lambda _, columns: bool(columns.sides), {},
    compared.asked_of_all, compared.best_of_all, compared.ranked_of_all,
    roles=(*_PROMPT, "conversation", "winner", "tie", "ranks", "scores"), reads=("turn",),
)  # fmt: skip
SEED_TASKS = Format(
    "Self-Instruct seed tasks", "self-instruct", lambda row, _: "instruction" in row and "instances" in row,
    {"prompt": "instruction", "instances": "instances"}, said.instance_prompts_of, said.instances_of,
    reads=("instances",),
    roles=("prompt", "system"),
)  # fmt: skip
RATED_CHAT = Format(
    "rated conversations", "rated", lambda _, columns: "conversation" in columns and _rated(columns),
    {"conversation": "messages"}, said.asked_in_chat, said.answered_in_chat, rated=True,
    roles=(*_CHAT, *RATINGS),
)  # fmt: skip
RATED = Format(
    "rated answers", "rated", lambda _, columns: _answered(columns) and _rated(columns),
    {"prompt": "prompt", "response": "response"}, said.prompt_of, said.pair_of, rated=True,
    roles=(*_ANSWER, *RATINGS),
)  # fmt: skip
CHAT = Format(
    "chat messages", "chat",
    lambda _, columns: "conversation" in columns and columns.roles["conversation"] != "conversations",
    {"conversation": "messages"}, said.asked_in_chat, said.answered_in_chat,
    roles=_CHAT,
)  # fmt: skip
SHAREGPT = Format(
    "ShareGPT conversations", "sharegpt", lambda _, columns: "conversation" in columns,
    {"conversation": "conversations"}, said.asked_in_chat, said.answered_in_chat,
    roles=_CHAT,
)  # fmt: skip
ALPACA = Format(
    "Alpaca rows", "alpaca",
    lambda _, columns: _answered(columns) and columns.roles["prompt"] == "instruction",
    {"prompt": "instruction", "response": "output"}, said.prompt_of, said.pair_of,
    roles=_ANSWER,
)  # fmt: skip
PAIRS = Format(
    "prompt and response", "pairs", lambda _, columns: _answered(columns) or _strong(columns, "response", "completion"),
    {"prompt": "prompt", "response": "response"}, said.prompt_of, said.pair_of,
    roles=_ANSWER,
)  # fmt: skip
RATED_TRANSCRIPTS = Format(
    "rated transcripts", "rated", lambda row, columns: _is_told(row, columns) and _rated(columns),
    {"text": "text"}, said.asked_in_chat, said.answered_in_chat, rated=True,
    roles=(*_CHAT, *RATINGS),
)  # fmt: skip
TRANSCRIPTS = Format(
    "transcripts", "transcripts", lambda row, columns: _is_told(row, columns),
    {"text": "text"}, said.asked_in_chat, said.answered_in_chat,
    roles=_CHAT,
)  # fmt: skip
INSTRUCTIONS = Format(
    "instructions", "prompts", lambda _, columns: columns.roles.get("prompt") == "instruction",
    {"prompt": "instruction"}, said.prompt_of,
    roles=_PROMPT,
)  # fmt: skip
QUESTIONS = Format(
    "MT-Bench questions", "prompts", lambda row, _: isinstance(row.get("turns"), list), {"turns": "turns"},
    said.first_turn_of, reads=("turns",),
)  # fmt: skip
PROMPTS = Format(
    "prompts", "prompts", lambda _, columns: "prompt" in columns, {"prompt": "prompt"}, said.prompt_of,
    roles=_PROMPT,
)  # fmt: skip

# The first that matches: a row with more fields goes before one with fewer.
FORMATS = (
    TREES, TREE_MESSAGES, EFT_ROWS, PREFERENCES, RANKED, COMPARED, SEED_TASKS, RATED_CHAT, CHAT, SHAREGPT, RATED,
    ALPACA, PAIRS, RATED_TRANSCRIPTS, TRANSCRIPTS, INSTRUCTIONS, QUESTIONS, PROMPTS,
)  # fmt: skip
_BARE = (INSTRUCTIONS, QUESTIONS, PROMPTS)
_UNRATED = (ALPACA, PAIRS, CHAT, SHAREGPT, TRANSCRIPTS)
_SINGLE = (*_UNRATED, RATED, RATED_CHAT, RATED_TRANSCRIPTS)
WORDS = tuple(dict.fromkeys(form.word for form in FORMATS))


def _is_told(row: Row, columns: Columns) -> bool:
    text = row[columns.roles["text"]] if "text" in columns and "prompt" not in columns else None
    return isinstance(text, str) and bool(split_transcript(text, alone=True))


def format_of(row: Row, columns: Columns | None = None) -> Format | None:
    """The format of a row; None if it has none that is known."""
    found = columns_of(row) if columns is None else columns
    return next((form for form in FORMATS if form.matches(row, found)), None)


def first_format(row: Row, columns: Columns, allowed: Sequence[Format], place: Place, *, learnt: bool = True) -> Format:
    """The format of a file's first row. Raises InputError if it is unknown, incomplete or not `allowed`, and if it is
    doubtful which answers are good (`learnt`: it matters)."""
    found = format_of(row, columns)
    names = [form.name for form in allowed]
    wanted = " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
    if found is None:
        keys = ", ".join(list(row)[:20]) or "none"
        raise place.error(
            f"a row of no known format (its keys: {keys})",
            f"bring one that docs/data.md shows, or say what its fields are: {guessed_fields(row)}",
        )
    missing = found.missing(row, columns)
    if missing:
        keys = ", ".join(list(row)[:20])
        raise place.error(
            f"a row without '{missing}' (its keys: {keys})",
            f"in a file of {found.name} every row needs it; add it, or say what its fields are: {guessed_fields(row)}",
        )
    if learnt:
        check_ratings(row, columns, found, place)
    if found not in allowed:
        raise place.error(f"the file holds {found.name}", f"here it must be {wanted}")
    return found


def check_ratings(row: Row, columns: Columns, found: Format, place: Place) -> None:
    """Raise InputError if a column may say that an answer is bad, and it is not known how."""
    doubtful, unreadable = columns.ratings.doubtful, columns.ratings.unreadable
    if unreadable is not None and found in _UNRATED:
        role = next((role for role, names in PROMISE.items() if plain_name(unreadable) in names), "score")
        raise place.error(
            f"'{unreadable}' may rate the answer, but is {row[unreadable]!r:.60}, and bad ones must not be learnt",
            f"write one number or one word, or leave it unread: seed_data.fields: {{{role}: null}}",
        )
    if doubtful and found in _UNRATED:
        raise place.error(
            f"a column may rate the answers ({', '.join(doubtful)}), and bad ones must not be learnt",
            f"say which: seed_data.fields: {{score: {doubtful[0]}}}, or {{score: null}} if none does; "
            "{bad_score: …} if less is better",
        )
    if columns.half is not None and found in _BARE:
        raise place.error(
            f"'{columns.half}' stands beside the prompt without its counterpart, or answers it",
            f"say what it is: seed_data.fields: {{response: {columns.half}}}, or {{chosen: …, rejected: …}}, or "
            "{response: null} to use the file as prompts",
        )


def suspects_in(unread: Sequence[str], columns: Columns, form: Format) -> tuple[Suspect, ...]:
    """The columns that may speak against a row of this format."""
    if "text" in columns and form in (TRANSCRIPTS, RATED_TRANSCRIPTS) and "response" in columns:
        unread = [*unread, columns.roles["response"]]  # an annotator's "accept", not what was said
    shape: Shape = "pair" if form is PREFERENCES else "set" if form in (RANKED, COMPARED) else "other"
    if form in _SINGLE:
        shape = "rated" if form.rated else "single"
    return suspects_of(columns, unread, asked="prompt" in form.roles, shape=shape)


def same_format(row: Row, columns: Columns, form: Format, first: Place, place: Place) -> None:
    """Raise InputError if a later row is not of the file's format."""
    found, missing = format_of(row, columns), form.missing(row, columns)
    if found is form and not missing:
        return
    if missing and (found is None or found is form or found in _BARE or found.missing(row, columns)):
        raise place.error(f"a row without '{missing}'", f"in a file of {form.name} every row needs it")
    raise place.error(
        f"mixed formats: {found.name if found else 'unknown'} here, {form.name} {first.seen_from(place)}",
        "put each format in a file of its own",
    )


def guessed_fields(row: Row) -> str:
    """The line of the config that says which field is which, filled in as far as names and texts tell."""
    cells = [cell for key, value in row.items() for cell in cells_of(key, value)]
    talk = next((path for path, value in cells if is_talk(value)), None)
    if talk is not None:
        return f"seed_data.fields: {{conversation: {talk}}}"
    texts = [path for path, value in cells if isinstance(value, (str, list)) and value and not _ID.search(path.lower())]
    found = {role: _like(texts, words) for role, words in _HINTS.items()}
    if found["chosen"] and found["rejected"]:
        shown = {"prompt": found["prompt"], "chosen": found["chosen"], "rejected": found["rejected"]}
    else:
        rest = [key for key in texts if key != found["prompt"] and not re.search("model|source", key.lower())]
        likely = found["response"] or (rest[0] if found["prompt"] and len(rest) == 1 else None)
        shown = {"prompt": found["prompt"], "response": None if likely == found["prompt"] else likely}
    return f"seed_data.fields: {{{', '.join(f'{role}: {key or UNKNOWN}' for role, key in shown.items())}}}"


UNKNOWN = "???"
_ID = re.compile(r"id$|^id|_hash$")
_HINTS = {
    "prompt": r"prompt|question|instruct|quer|request|ask|problem|user|human|^q$|title|input",
    "chosen": r"chosen|accept|better|prefer|best|win|good|positive",
    "rejected": r"reject|worse|worst|los|bad|negative|dispref",
    "response": r"respon|answer|repl|output|complet|assistant|bot|gpt|generat|solution|^a$",
}


def _like(keys: Sequence[str], words: str) -> str | None:
    return next((key for key in keys if re.search(words, key.casefold())), None)
