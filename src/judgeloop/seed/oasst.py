"""Open Assistant message trees (their export format): human-ranked replies, and the best of them.

A tree is `{"message_tree_id", "prompt": {"text", "role", "lang", "replies": [{"text", "rank", …, "replies"}]}}`;
prompter and assistant alternate, and rank 0 is the reply that people liked best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from judgeloop.records import Message, RankedSet, stable_id
from judgeloop.seed.shapes import Place, dense, text_of

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


def root_prompt(tree: Mapping[str, Any], place: Place, lang: str | None, dropped: Counter[str]) -> list[Message] | None:
    """The first message of the tree as a prompt, or None (counted) where it cannot be used."""
    root = _message(tree["prompt"], place)
    if not _usable(root, "tree", lang, dropped):
        return None
    return [{"role": "user", "content": root["text"]}]


def reply_sets(
    tree: Mapping[str, Any], place: Place, turns: Literal["first", "all"], lang: str | None, dropped: Counter[str]
) -> Iterator[ReplySet]:
    """Every set of assistant replies (turns "all") or those to the first message only.

    Left out and counted in `dropped`: deleted, synthetic or rejected messages with all that follows them, and
    messages in another language than `lang` (None keeps all; "pt" keeps "pt-BR").
    """
    root = _message(tree["prompt"], place)
    if _ROLES[root["role"]] != "user":
        raise place.error("the tree does not begin with a prompter's message", "check the export")
    if not _usable(root, "tree", lang, dropped):
        return
    group = str(tree.get("message_tree_id") or stable_id("tree", root["text"]))
    first: list[Message] = [{"role": "user", "content": root["text"]}]
    stack = [(root, first)]
    while stack:
        message, conversation = stack.pop()
        replies = [_message(reply, place) for reply in message["replies"]]
        usable = [r for r in replies if r["role"] != message["role"] and _usable(r, "message", lang, dropped)]
        if message["role"] == "prompter" and replies:
            yield ReplySet(conversation, [(r["text"], r.get("rank")) for r in usable], group)
        if turns == "all":
            for reply in reversed(usable):
                turn: Message = {"role": _ROLES[reply["role"]], "content": reply["text"]}
                stack.append((reply, [*conversation, turn]))


def ranked_set(found: ReplySet, source: str, dropped: Counter[str]) -> RankedSet | None:
    """The set's human-ranked replies, ranks made dense from 0; None (counted) with fewer than two or all tied."""
    responses: list[dict[str, Any]] = [{"text": t, "rank": rank} for t, rank in found.replies if rank is not None]
    dropped["reply without a rank"] += len(found.replies) - len(responses)
    if len(responses) < 2:
        dropped["set with fewer than two ranked replies"] += 1
        return None
    responses = dense(responses)
    if responses[-1]["rank"] == 0:
        dropped["set whose replies all tie"] += 1
        return None
    return RankedSet(stable_id("r", found.messages, responses), found.messages, responses, source, found.group)


def best_reply(found: ReplySet, dropped: Counter[str]) -> str | None:
    """The reply of rank 0; None (counted) where people ranked none best."""
    for text, rank in found.replies:
        if rank == 0:
            return text
    dropped["set without a reply of rank 0"] += 1
    return None


def _message(value: object, place: Place) -> dict[str, Any]:
    """One message of a tree, its types checked."""
    if not isinstance(value, dict):
        raise place.error("a message of the tree is not an object", "check the export")
    if value.get("role") not in _ROLES:
        raise place.error(f"a message of the tree has the role {value.get('role')!r}", "use prompter or assistant")
    replies = value.get("replies") or []
    if not isinstance(replies, list):
        raise place.error("'replies' of a message is not a list", "check the export")
    rank = value.get("rank")
    if rank is not None and type(rank) is not int:
        raise place.error(f"'rank' of a message is {rank!r}", "ranks are whole numbers, 0 is best")
    text = value.get("text")
    if not value.get("deleted"):
        text = text_of(text, "text", place)
    return {**value, "text": text, "replies": replies}


def _usable(message: Mapping[str, Any], what: str, lang: str | None, dropped: Counter[str]) -> bool:
    if message.get("deleted"):
        reason = f"deleted {what}"
    elif message.get("synthetic"):
        reason = f"synthetic {what}"
    elif message.get("review_result") is False:
        reason = f"{what} that reviewers rejected"
    elif lang is not None and not _speaks(message.get("lang"), lang):
        reason = f"{what} in another language"
    else:
        return True
    dropped[reason] += 1
    return False


def _speaks(found: object, wanted: str) -> bool:
    if not isinstance(found, str):
        return False
    found, wanted = found.casefold(), wanted.casefold()
    return found == wanted or found.startswith(f"{wanted}-")
