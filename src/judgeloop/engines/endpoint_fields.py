"""The fields of a request to an OpenAI-compatible API, without those that its endpoint refuses."""

from __future__ import annotations

import re
import threading
from typing import Any

from judgeloop.engines.endpoint_words import Words
from judgeloop.engines.messages import MessageRequest

MOST_LOGPROBS = 20  # what the API allows
NO_LOGPROBS = "the endpoint gives no log-probabilities: scores and preferences are read from the text"
_OPTIONAL = {  # fields that a model may refuse, and what is lost without them
    "top_p": "it draws from all tokens",
    "top_k": "it draws from all tokens",
    "temperature": "it draws at a temperature of its own",
    "seed": "asked again, it may answer otherwise",
    "stop": "its answers end where it ends them",
}
_THINKS_IN_STREAMS = re.compile(r"enable_thinking.{0,60}(?:false|non-?stream)", re.IGNORECASE)  # DashScope
_NAMES = {"max_tokens": r"\bmax_(?:completion_)?tokens\b", "stop": r"['\"`.]stop\b"}
_EXCLUSIVE = re.compile(r"\bboth\b|only one|either|exclusive|together", re.IGNORECASE)
_LOGPROBS = ("logprobs", "top_logprobs")
_BEGUN = ("continue_final_message", "add_generation_prompt")
_REFUSED = re.compile(
    r"not (?:yet )?(?:support(?:ed)?|permitted|allowed|recogni[sz]ed|available|implemented|enabled|accept(?:ed)?|take)"
    r"|n't support|un(?:supported|recogni[sz]ed|expected|known)|extra(?:neous)? (?:inputs|fields|key)|deprecated"
    r"|invalid (?:parameter|argument|field)|\binstead\b|did you mean|不支持",
    re.IGNORECASE,
)
_AT_MOST = re.compile(
    r"(?:<=|≤|at most|(?:less|lower|smaller) than or equal to|between \d+ and|up to|no (?:more|greater|larger) than"
    r"|max(?:imum)?(?: (?:allowed|value|of|is))*:?|\[\d+ ?[,-])\s*(\d+)\b",
    re.IGNORECASE,
)


class Fields:
    """Writes the requests to the model `name`, without what its endpoint was found to refuse. For many threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._without: frozenset[str] = frozenset()
        self._most_logprobs = MOST_LOGPROBS
        self._thinking: dict[str, Any] = {}

    def body(self, request: MessageRequest) -> dict[str, Any]:
        sampling, without = request.sampling, self._without
        body: dict[str, Any] = {
            "model": self._name,
            "messages": list(request.messages),
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "seed": request.seed,
            **self._thinking,
        }
        if sampling.temperature > 0:
            body["top_p"] = sampling.top_p
            if sampling.top_k:
                body["top_k"] = sampling.top_k
        if sampling.stop_strings:
            body["stop"] = list(sampling.stop_strings)
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": min(request.top_logprobs, self._most_logprobs)}
        if begun(request):
            # vLLM goes on with a begun answer only if told to; llama.cpp does by itself.
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if "max_tokens" in without:
            body["max_completion_tokens"] = body["max_tokens"]
        return {name: value for name, value in body.items() if name not in without}

    def can_do_without(self, code: int, body: dict[str, Any], words: Words) -> str | None:
        """What is lost without the field of `body` that the endpoint refuses, if it can be done without: it is left out
        from now on. None if the refusal is about no such field."""
        text = words.all
        refused = _REFUSED.search(text) is not None
        # A status for faults of other kinds too must say that something is refused.
        if code not in (400, 422) and not ((code in (403, 404) or code >= 500) and refused):
            return None
        if "enable_thinking" not in body and _THINKS_IN_STREAMS.search(text):
            with self._lock:
                self._thinking = {"enable_thinking": False}
            return "the endpoint thinks only where it streams: its thinking is switched off"
        field = _named(body, words, refused)
        if field == "max_tokens":
            return self._leave_out("the answers' limit is asked for as max_completion_tokens", field)
        if field in _LOGPROBS:
            most = _AT_MOST.search(text)
            if most is not None and 0 < int(most.group(1)) < body["top_logprobs"]:
                with self._lock:
                    self._most_logprobs = int(most.group(1))
                return f"the endpoint gives the {most.group(1)} likeliest tokens only: scores are read from those"
            return self._leave_out(NO_LOGPROBS, *_LOGPROBS)
        if field in _BEGUN:
            return self._leave_out(
                "the endpoint takes no continue_final_message: a begun answer is sent without it", *_BEGUN
            )
        return None if field is None else self._leave_out(f"the endpoint takes no {field}: {_OPTIONAL[field]}", field)

    def _leave_out(self, note: str, *fields: str) -> str:
        with self._lock:
            self._without |= set(fields)
        return note


def _named(body: dict[str, Any], words: Words, refused: bool) -> str | None:
    """The field of `body` that the words are about: the one that the error gives as its field, else the first that its
    text names, for a text may go on with what else was sent. Of two that exclude each other the temperature stays."""
    fields = [*_LOGPROBS, *_BEGUN, *_OPTIONAL, *(["max_tokens"] if refused else [])]
    for text in (words.field, words.all):
        found = {field: re.search(_NAMES.get(field, rf"\b{field}\b"), text) for field in fields if field in body}
        places = {field: match.start() for field, match in found.items() if match is not None}
        if {"temperature", "top_p"} <= places.keys() and _EXCLUSIVE.search(text):
            return "top_p"
        if places:
            return min(places, key=lambda field: places[field])
    return None


def begun(request: MessageRequest) -> bool:
    """Whether the endpoint is to go on with an answer that the request begins."""
    return bool(request.messages) and request.messages[-1]["role"] == "assistant"
