"""Open Assistant message trees (their export format): human-ranked replies, and the best of them.

A tree is `{"message_tree_id", "prompt": {"text", "role", "lang", "replies": [{"text", "rank", …, "replies"}]}}`;
prompter and assistant alternate, and rank 0 is the reply that people liked best. The hub has the same data as single
messages that name their parent (`message_id`, `parent_id`), which are put together into trees first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from judgeloop.data.conversations import Answer
from judgeloop.data.fields import dense, number_of, rank_of, text_of
from judgeloop.data.intake import Intake
from judgeloop.data.provenance import Place, Unusable
from judgeloop.records import Message, stable_id

_NOTHING = ("", "null", "none", "nan")
_ROLES = {"prompter": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class ReplySet:
    """A conversation that ends with a prompter's message, and its usable replies, as (text, rank or None)."""

    messages: list[Message]
    replies: list[tuple[str, int | None]]
    group: str


def is_tree(row: Mapping[str, Any]) -> bool:
    """Whether a row of a file is such a tree."""
    return isinstance(row.get("prompt"), Mapping) and ("message_tree_id" in row or "replies" in row["prompt"])


def assembled(
    rows: Iterator[tuple[Place, dict[str, Any]]], dropped: Counter[str]
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Trees from single messages, each at the place of its first message. Counted: messages whose id occurred before,
    and those from which no chain of parents leads to a first message."""
    known: dict[str, dict[str, Any]] = {}
    roots: list[tuple[Place, dict[str, Any]]] = []
    children: dict[str, list[str]] = defaultdict(list)
    for place, row in rows:
        name, parent = row["message_id"], row["parent_id"]
        if not isinstance(name, str) or not isinstance(parent, str | None):
            raise place.error("'message_id' or 'parent_id' is not text", "check the export")
        if name in known:
            dropped["message whose id occurred before"] += 1
            continue
        known[name] = row
        if parent:
            children[parent].append(name)
        else:
            roots.append((place, row))
    reached = 0
    for place, root in roots:
        rest = [root]
        tree = root.get("message_tree_id") or root["message_id"]
        while rest:
            message = rest.pop()
            reached += 1
            message["replies"] = [known[name] for name in children[message["message_id"]]]
            rest += message["replies"]
        yield place, {"message_tree_id": tree, "prompt": root}
    dropped["message without a way to a first message"] += len(known) - reached


def asked_in_tree(tree: Mapping[str, Any], intake: Intake) -> Iterator[list[Message]]:
    """The first message of the tree as a prompt."""
    root = _root(tree, intake)
    if _usable(root, "tree", intake):
        yield [{"role": "user", "content": root["text"]}]


def answers_in_tree(tree: Mapping[str, Any], intake: Intake) -> Iterator[Answer]:
    """The replies of rank 0, counted where people ranked none best."""
    for found in reply_sets(tree, intake):
        best = next((text for text, rank in found.replies if rank == 0), None)
        if best is None:
            intake.dropped["set without a reply of rank 0"] += 1
        else:
            yield Answer(found.messages, best)


def rankings_in_tree(
    tree: Mapping[str, Any], intake: Intake
) -> Iterator[tuple[list[Message], list[dict[str, Any]], str]]:
    """The human-ranked replies, ranks made dense from 0; sets with fewer than two, or all tied, are counted."""
    for found in reply_sets(tree, intake):
        responses: list[dict[str, Any]] = [{"text": t, "rank": rank} for t, rank in found.replies if rank is not None]
        intake.dropped["reply without a rank"] += len(found.replies) - len(responses)
        if len(responses) < 2:
            intake.dropped["set with fewer than two ranked replies"] += 1
            continue
        responses = dense(responses)
        if responses[-1]["rank"] == 0:
            intake.dropped["set whose replies all tie"] += 1
            continue
        yield found.messages, responses, found.group


def reply_sets(tree: Mapping[str, Any], intake: Intake) -> Iterator[ReplySet]:
    """Every set of assistant replies (turns "all") or those to the first message only.

    Left out and counted: deleted, synthetic, empty or rejected messages with all that follows them, messages in
    another language than `intake.lang` (None keeps all; "pt" keeps "pt-BR"), and turns that nobody replied to.
    """
    place, dropped = intake.place, intake.dropped
    root = _root(tree, intake)
    if _ROLES[root["role"]] != "user":
        raise place.error("the tree does not begin with a prompter's message", "check the export")
    if not _usable(root, "tree", intake):
        return
    group = str(tree.get("message_tree_id") or stable_id("tree", root["text"]))
    stack: list[tuple[dict[str, Any], list[Message]]] = [(root, [{"role": "user", "content": root["text"]}])]
    while stack:
        message, conversation = stack.pop()
        replies = [_message(reply, intake) for reply in message["replies"]]
        turned = [reply for reply in replies if reply["role"] != message["role"]]
        dropped["message of the same role as the one before"] += len(replies) - len(turned)
        usable = [reply for reply in turned if _usable(reply, "message", intake)]
        if message["role"] == "prompter" and replies:
            yield ReplySet(conversation, [(r["text"], r["rank"]) for r in usable], group)
        elif message["role"] == "prompter":
            dropped["tree without replies" if message is root else "turn without replies"] += 1
        if intake.turns == "all":
            for reply in reversed(usable):
                turn: Message = {"role": _ROLES[reply["role"]], "content": reply["text"]}
                stack.append((reply, [*conversation, turn]))


def _root(tree: Mapping[str, Any], intake: Intake) -> dict[str, Any]:
    if not isinstance(tree["prompt"], Mapping):
        raise intake.place.error("'prompt' is not a message of a tree", "check the export")
    return _message(tree["prompt"], intake)


def _message(value: object, intake: Intake) -> dict[str, Any]:
    """One message of a tree, its types checked; `unusable` says why its text cannot serve."""
    place = intake.place
    if not isinstance(value, dict):
        raise place.error("a message of the tree is not an object", "check the export")
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise place.error(f"a message of the tree has the role {role!r:.60}", "use prompter or assistant")
    replies = value.get("replies") or []
    if not isinstance(replies, list):
        raise place.error("'replies' of a message is not a list", "check the export")
    flags = {name: _flag(value.get(name), name, place) for name in ("deleted", "synthetic", "review_result")}
    rank = value.get("rank")
    if isinstance(rank, str):  # of a table of text
        number = number_of(rank)
        rank = None if rank.strip().casefold() in _NOTHING else rank if number is None else number
    rank = None if rank is None else rank_of(rank, "rank", place)
    text, unusable = value.get("text"), None
    if not flags["deleted"]:
        try:
            text = text_of(text, "text", place, "message")
        except Unusable as reason:
            unusable = reason.reason
    return {**value, **flags, "text": text, "replies": replies, "rank": rank, "unusable": unusable}


def _flag(value: object, name: str, place: Place) -> bool | None:
    """True or false, also as a table of text has it; None if it is not said."""
    if value is None or (isinstance(value, str) and value.strip().casefold() in _NOTHING):
        return None
    number = number_of(value)
    if number not in (0, 1):
        raise place.error(f"'{name}' is {value!r:.60}, neither true nor false", "mend the row")
    return number == 1


def _usable(message: Mapping[str, Any], what: str, intake: Intake) -> bool:
    lang = intake.lang
    if message.get("deleted"):
        reason = f"deleted {what}"
    elif message["unusable"]:
        reason = message["unusable"]
    elif message.get("synthetic"):
        reason = f"synthetic {what}"
    elif message.get("review_result") is False:
        reason = f"{what} that reviewers rejected"
    elif lang is not None and not _speaks(message.get("lang"), lang):
        reason = f"{what} in another language"
    else:
        return True
    intake.dropped[reason] += 1
    return False


def _speaks(found: object, wanted: str) -> bool:
    if not isinstance(found, str):
        return False
    found, wanted = found.casefold(), wanted.casefold()
    return found == wanted or found.startswith(f"{wanted}-")
