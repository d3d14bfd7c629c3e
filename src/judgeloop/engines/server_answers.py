"""What the completions API of vLLM answers, read. Each raises Retry, malformed, where an answer has another form."""

from __future__ import annotations

from typing import Any

from judgeloop.engines.endpoint_errors import Retry


def _choice(answer: Any) -> dict[str, Any]:
    try:
        choice = answer["choices"][0]
    except (KeyError, IndexError, TypeError):
        choice = None
    if not isinstance(choice, dict):
        raise Retry("an answer without choices", malformed=True)
    return choice


def tokens(answer: Any) -> tuple[tuple[int, ...], str]:
    """Token ids and finish reason of an answer."""
    choice = _choice(answer)
    ids, finish = choice.get("token_ids"), choice.get("finish_reason")
    if not isinstance(ids, list) or not all(isinstance(token, int) for token in ids):
        raise Retry("an answer without token_ids", malformed=True)
    if finish not in ("stop", "length"):
        raise Retry(f"an answer that ended with '{finish}'", malformed=True)
    return tuple(ids), finish


def top_logprobs(answer: Any) -> dict[int, float]:
    """Token → log-probability at the answer's first position."""
    try:
        top = _choice(answer)["logprobs"]["top_logprobs"][0]
        return {int(name.removeprefix("token_id:")): float(value) for name, value in top.items()}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise Retry("an answer without the log-probabilities asked for", malformed=True) from None
