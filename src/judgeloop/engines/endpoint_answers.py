"""What an endpoint's answer holds: the text, the thought before it, and the answer's tokens with their alternatives."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from judgeloop.engines.endpoint_errors import Retry
from judgeloop.engines.endpoint_words import page_title
from judgeloop.engines.messages import MessageRequest, Reply, Token
from judgeloop.text.thoughts import split_thought

_ROUNDING = 1e-3  # nats above 0 that a server's arithmetic may give a certain token
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_details", "thinking_blocks")
_INSIDE = ("text", "thinking", "reasoning", "content", "summary")  # of a part, the first that it has
# The marks of SentencePiece and of byte-level vocabularies for a space and a line break.
_SPELT = {"▁": " ", "Ġ": " ", "Ċ": "\n"}
# Why an answer ended, in the words of many servers.
_CUT = re.compile(r"(?:.*[_ ])?(?:length|limit|max_tokens|max_(?:new_|output_)?tokens|context_window_exceeded)")
_BROKEN = re.compile(
    r"error|abort(?:ed)?|cancell?ed|timeout|network_error|insufficient_system_resource|engine_.*|malformed_.*"
)
_FILTERED = re.compile(r"content_?filter.*|.*safety.*|sensitive|recitation|prohibited_content|blocklist|spii"
                       r"|guardrail.*|error_toxic|.*moderation.*")  # fmt: skip


def object_of(content: bytes) -> dict[str, Any]:
    """The JSON object in a body, behind the blank lines and comments that keep a connection open (OpenRouter). Raises
    Retry if there is none."""
    try:
        value = json.loads(re.sub(rb"\A(?:\s*:[^\n]*\n)+", b"", content))
    except (ValueError, RecursionError):
        raise Retry("an answer that is not JSON", malformed=True, words=_what_it_is(content)) from None
    if not isinstance(value, dict):
        raise Retry("an answer that is not a JSON object", malformed=True)
    return value


def _what_it_is(content: bytes) -> str:
    text = content[:10_000].decode("utf-8", "replace")
    if re.match(r"\s*(?:data|event):", text):
        return "a stream of events, which was not asked for"
    if not text.strip():
        return "an empty body"
    title = page_title(text)
    return "" if title is None else f"the web page '{title[:80]}'"


def read_reply(request: MessageRequest, value: Mapping[str, Any]) -> Reply:
    """The reply in an answer of the API. Raises Retry if it is not of the API's form, or broke off by a fault."""
    try:
        choice = _choice(value["choices"])
        message = choice["message"]
        content = message.get("content")
        finish = str(choice.get("finish_reason") or "stop")
        tokens = _tokens(choice.get("logprobs"))
        shown = [_joined(message[name]) for name in _THOUGHTS if message.get(name)]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise Retry("an answer without choices and message", malformed=True) from None
    if not isinstance(content, str | list | dict | None):
        raise Retry("an answer whose content is not text", malformed=True)
    end = finish.lower()
    if _BROKEN.fullmatch(end):
        raise Retry(f"an answer that broke off with '{finish}'")
    said, thoughts, others = _parts(content)
    spoken = split_thought(said)
    text = spoken.before if spoken.answer is None else spoken.answer
    thoughts = [*shown[:1], *thoughts, *([] if spoken.thought is None else [spoken.thought])]
    if not thoughts and not content and _thought_unseen(value.get("usage")):
        thoughts = [""]
    thought = "\n\n".join(part.strip() for part in thoughts if part.strip()) if thoughts else None
    if tokens is not None:
        tokens = _in_letters(tokens, said)
    if thought is not None and tokens is not None:
        tokens = _after(tokens, text)
    unread = _unread(end, message, said, others)
    if _CUT.fullmatch(end):
        finish = "length"
    return Reply(request.id, request.index, text, finish, None if unread else tokens, thought, unread)


def _choice(choices: Any) -> dict[str, Any]:
    """The first choice by its number, wherever it is in the list."""
    first: dict[str, Any] = min(choices, key=lambda choice: choice.get("index") or 0) if choices[1:] else choices[0]
    return first


def _parts(content: Any) -> tuple[str, list[str], set[str]]:
    """What is said in a content, its thoughts, and the types of its other parts. The content is a text, or a list of
    parts: texts, and objects with a type."""
    if isinstance(content, str):
        return content, [], set()
    said, thoughts, others = [], [], set[str]()
    for part in content if isinstance(content, list) else [content] if content else []:
        kind = str(part.get("type", "")) if isinstance(part, dict) else ""
        if "think" in kind or "reason" in kind:
            thoughts.append(_joined(part))
        elif not kind or "text" in kind:
            said.append(_joined(part))
        else:
            others.add(kind)
    return "".join(said), thoughts, others


def _joined(value: Any) -> str:
    """The texts in a part, or in a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_joined(inner) for inner in value)
    if isinstance(value, dict):
        return next((_joined(value[name]) for name in _INSIDE if value.get(name)), "")
    return ""


def _unread(end: str, message: Mapping[str, Any], said: str, others: set[str]) -> str | None:
    """Why what is said is no answer, None if it is one."""
    if _FILTERED.fullmatch(end):
        return "stopped by the endpoint's content filter"
    if "refusal" in others or end == "refusal" or (message.get("refusal") and not said.strip()):
        return "the model refuses to answer"
    if said.strip():
        return None
    if message.get("tool_calls") or message.get("function_call"):
        return "a tool call in place of an answer"
    return "an answer without text" if others else None


def _thought_unseen(usage: Any) -> bool:
    """Whether tokens were spent on a thought that the endpoint does not show."""
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return isinstance(details, dict) and bool(details.get("reasoning_tokens"))


def _after(tokens: tuple[Token, ...], text: str) -> tuple[Token, ...] | None:
    """The tokens of the answer `text` alone, which comes last; None if they do not spell it."""
    start = "".join(token.text for token in tokens).rfind(text) if text else -1
    if start < 0:
        return None
    end = 0
    for place, token in enumerate(tokens):
        end += len(token.text)
        if end > start:
            return tokens[place:]
    return None


def _tokens(logprobs: Any) -> tuple[Token, ...] | None:
    """The answer's tokens with their alternatives; None where the endpoint gave none, or the written tokens alone."""
    if not isinstance(logprobs, dict):
        return None
    if logprobs.get("content"):
        entries = logprobs["content"]
    else:  # of the completions API: parallel lists (Together, Fireworks)
        entries = _from_lists(*(logprobs.get(name) or () for name in ("tokens", "token_logprobs", "top_logprobs")))
    if not all(isinstance(entry, dict) and "token" in entry for entry in entries):
        return None
    if not any(entry.get("top_logprobs") for entry in entries):
        return None
    found = []
    for entry in entries:
        given = [*(entry.get("top_logprobs") or ()), entry]
        top: dict[str, float] = {}
        for other in given:
            if other.get("logprob") is not None:  # one without is known to be unlikely, no more
                top.setdefault(str(other["token"]), _logprob(other))
        found.append(Token(str(entry["token"]), top))
    return tuple(found)


def _in_letters(tokens: tuple[Token, ...], said: str) -> tuple[Token, ...]:
    """The tokens as they are read, where a server gives them as its vocabulary spells them ("▁4", "Ġ4" for " 4")."""
    if not any(mark in token.text and mark not in said for token in tokens for mark in _SPELT):
        return tokens
    letters = str.maketrans(_SPELT)
    return tuple(
        Token(token.text.translate(letters), {name.translate(letters): value for name, value in token.top.items()})
        for token in tokens
    )


def _from_lists(tokens: Sequence[Any], logprobs: Sequence[Any], tops: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"token": token, "logprob": logprob,
         "top_logprobs": [{"token": name, "logprob": value} for name, value in (top or {}).items()]}
        for token, logprob, top in zip(tokens, logprobs, tops, strict=False)
    ]  # fmt: skip


def _logprob(entry: Mapping[str, Any]) -> float:
    """The log-probability of an entry. Raises ValueError if it is none: NaN would make the score one."""
    value = float(entry["logprob"])
    if not value <= _ROUNDING:
        raise ValueError(f"{value} is no log-probability")
    return value
