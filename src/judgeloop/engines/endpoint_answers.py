"""What an endpoint's answer holds: the text, the thought before it, and the answer's tokens with their alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from judgeloop.engines.endpoint_errors import Retry
from judgeloop.engines.messages import MessageRequest, Reply, Token
from judgeloop.text.thoughts import split_thought

_ROUNDING = 1e-3  # nats above 0 that a server's arithmetic may give a certain token


def read_reply(request: MessageRequest, value: Mapping[str, Any]) -> Reply:
    """The reply in an answer of the API. Raises Retry if it is not of the API's form."""
    try:
        choice = value["choices"][0]
        message = choice["message"]
        content = message.get("content") or ""
        finish = str(choice.get("finish_reason") or "stop")
        tokens = _tokens(choice.get("logprobs"))
        reasoning = message.get("reasoning_content") or message.get("reasoning")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise Retry("an answer without choices and message", malformed=True) from None
    if not isinstance(content, str):
        raise Retry("an answer whose content is not text", malformed=True)
    spoken = split_thought(content)
    text = spoken.before if spoken.answer is None else spoken.answer
    thoughts = [part for part in (reasoning, spoken.thought) if isinstance(part, str)]
    if not thoughts and not content and _thought_unseen(value.get("usage")):
        thoughts = [""]
    thought = "\n\n".join(part.strip() for part in thoughts if part.strip()) if thoughts else None
    if thought is not None and tokens is not None:
        tokens = _after(tokens, text)
    return Reply(request.id, request.index, text, finish, tokens, thought)


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
    """The answer's tokens with their alternatives; None where the endpoint gave none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not content:
        return None
    found = []
    for entry in content:
        top = {str(other["token"]): _logprob(other) for other in entry.get("top_logprobs") or ()}
        top.setdefault(str(entry["token"]), _logprob(entry))
        found.append(Token(str(entry["token"]), top))
    return tuple(found)


def _logprob(entry: Mapping[str, Any]) -> float:
    """The log-probability of an entry. Raises ValueError if it is none: NaN would make the score one."""
    value = float(entry["logprob"])
    if not value <= _ROUNDING:
        raise ValueError(f"{value} is no log-probability")
    return value
