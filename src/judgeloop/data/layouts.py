"""The formats that are read, and how a row is known to be of one: by its fields alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.data import conversations as said
from judgeloop.data import oasst
from judgeloop.data.conversations import Answer, Ranking, Row
from judgeloop.data.provenance import Intake, Place
from judgeloop.records import Message

Rows = Iterator[tuple[Place, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: its name, the word that stands for it on the command line, how a row of it is known, the fields a
    row must have (any one of each group), and what can be read from it. `assemble` puts rows together before they are
    read, where one row is less than a whole."""

    name: str
    word: str
    matches: Callable[[Mapping[str, Any]], bool]
    fields: tuple[tuple[str, ...], ...]
    prompts: Callable[[Row, Intake], Iterator[list[Message]]] | None = None
    answers: Callable[[Row, Intake], Iterator[Answer]] | None = None
    rankings: Callable[[Row, Intake], Iterator[Ranking]] | None = None
    judgements: Callable[[Row, Intake], Iterator[Answer]] | None = None
    assemble: Callable[[Rows, Counter[str]], Rows] | None = None

    def missing(self, row: Mapping[str, Any]) -> str | None:
        """The first field that the row lacks. A field that is there and null is another matter: it is empty."""
        return next((names[0] for names in self.fields if not any(name in row for name in names)), None)


def _has(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: any(name in row for name in names)


TREES = Format(
    "Open Assistant trees", "oasst", oasst.is_tree, (("prompt",),),
    oasst.asked_in_tree, oasst.answers_in_tree, oasst.rankings_in_tree,
)  # fmt: skip
TREE_MESSAGES = Format(
    "Open Assistant messages", "oasst", lambda row: "message_id" in row and "parent_id" in row,
    (("message_id",), ("parent_id",), ("text",), ("role",)),
    oasst.asked_in_tree, oasst.answers_in_tree, oasst.rankings_in_tree, assemble=oasst.assembled,
)  # fmt: skip
RANKED = Format(
    "ranked responses", "ranked", _has("responses"), (("prompt", "messages"), ("responses",)),
    said.asked_in_set, said.best_of_set, said.set_of,
)  # fmt: skip
PREFERENCES = Format(
    "preference pairs", "preferences", lambda row: "chosen" in row and "rejected" in row, (("chosen",), ("rejected",)),
    said.asked_in_preference, said.chosen_of_preference, said.preference_of,
)  # fmt: skip
EFT_ROWS = Format(
    "EFT rows", "eft", lambda row: row.get("kind") == "eft", (("prompt",), ("completion", "response")),
    judgements=said.pair_of,
)  # fmt: skip
CHAT = Format(
    "chat messages", "chat", _has("messages"), (("messages",),), said.asked_in_chat, said.answered_in_chat
)  # fmt: skip
SHAREGPT = Format(
    "ShareGPT conversations", "sharegpt", _has("conversations"), (("conversations",),),
    said.asked_in_chat, said.answered_in_chat,
)  # fmt: skip
SEED_TASKS = Format(
    "Self-Instruct seed tasks", "self-instruct", lambda row: "instruction" in row and "instances" in row,
    (("instruction",), ("instances",)), said.instance_prompts_of, said.instances_of,
)  # fmt: skip
ALPACA = Format(
    "Alpaca rows", "alpaca", lambda row: "instruction" in row and _has("output", "response")(row),
    (("instruction",), ("output", "response")), said.task_prompt_of, said.task_of,
)  # fmt: skip
PAIRS = Format(
    "prompt and response", "pairs", _has("response", "completion"), (("prompt",), ("response", "completion")),
    said.prompt_of, said.pair_of,
)  # fmt: skip
INSTRUCTIONS = Format(
    "instructions", "prompts", _has("instruction"), (("instruction",),), said.task_prompt_of
)  # fmt: skip
QUESTIONS = Format(
    "MT-Bench questions", "prompts", lambda row: isinstance(row.get("turns"), list), (("turns",),), said.first_turn_of
)  # fmt: skip
PROMPTS = Format("prompts", "prompts", _has("prompt"), (("prompt",),), said.prompt_of)

# The first that matches: a row with more fields goes before one with fewer.
FORMATS = (
    TREES, TREE_MESSAGES, RANKED, PREFERENCES, EFT_ROWS, CHAT, SHAREGPT, SEED_TASKS, ALPACA, PAIRS, INSTRUCTIONS,
    QUESTIONS, PROMPTS,
)  # fmt: skip
_BARE = (INSTRUCTIONS, QUESTIONS, PROMPTS)
WORDS = tuple(dict.fromkeys(form.word for form in FORMATS))


def format_of(row: Mapping[str, Any]) -> Format | None:
    """The format of a row; None where it has none that is known."""
    return next((form for form in FORMATS if form.matches(row)), None)


def first_format(row: Mapping[str, Any], allowed: Sequence[Format], place: Place) -> Format:
    """The format of a file's first row. Raises InputError where it is unknown, incomplete or not `allowed`."""
    found = format_of(row)
    names = [form.name for form in allowed]
    wanted = " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
    if found is None:
        keys = ", ".join(list(row)[:6]) or "none"
        raise place.error(f"a row of no known format (its keys: {keys})", f"bring {wanted}; docs/data.md shows them")
    missing = found.missing(row)
    if missing:
        raise place.error(f"a row without '{missing}'", f"in a file of {found.name} every row needs it")
    if found not in allowed:
        raise place.error(f"the file holds {found.name}", f"here it must be {wanted}")
    return found


def same_format(row: Mapping[str, Any], form: Format, first: Place, place: Place) -> None:
    """Raise InputError where a later row is not of the file's format."""
    found, missing = format_of(row), form.missing(row)
    if found is form and not missing:
        return
    if missing and (found is None or found is form or found in _BARE or found.missing(row)):
        raise place.error(f"a row without '{missing}'", f"in a file of {form.name} every row needs it")
    raise place.error(
        f"mixed formats: {found.name if found else 'unknown'} here, {form.name} {first.seen_from(place)}",
        "put each format in a file of its own",
    )
