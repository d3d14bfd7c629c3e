"""An engine without a model: replies from a file, or made from a hash. For tests, and for users' own tests."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.engines.text import cut_at_stop
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects
from judgeloop.models.chat import Chat

_WORDS = ("rain", "bread", "moon", "sea", "light", "paper", "river", "stone", "garden", "window", "music", "winter")
_ASKS_FOR_SCORE = re.compile(r"\bscore\b|得分", re.IGNORECASE)
_LEAST = 1e-9  # the probability of an option that a script gives none


@dataclass(frozen=True, slots=True)
class Rule:
    """Prompts whose text `match` is found in get `replies` (sample k the k-th, round and round) and `scores`."""

    match: re.Pattern[str]
    replies: tuple[str, ...]
    scores: tuple[float, ...] | None


class ScriptedEngine:
    """Deterministic replies. The first rule that matches the decoded prompt wins; no rule: a reply made from a hash
    of prompt, seeds and sample, which ends in a score line where the prompt asks for a score."""

    name = "scripted"

    def __init__(self, chat: Chat, *, script: Path | None = None, seed: int = 0) -> None:
        self._chat = chat
        self._seed = seed
        self._rules = read_script(script) if script is not None else []

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield every sample of every request, in order."""
        for request in requests:
            prompt = self._chat.decode(request.prompt_ids)
            rule = self._rule(prompt)
            for index in range(request.n):
                if rule is not None and rule.replies:
                    reply = rule.replies[index % len(rule.replies)]
                else:
                    reply = self._made_up(prompt, request, index)
                yield self._generation(request, index, reply)

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        """Yield one result for every request: the rule's `scores` as given, else a hash's, adding up to 1."""
        for request in requests:
            prompt = self._chat.decode(request.prompt_ids)
            rule = self._rule(prompt)
            if rule is not None and rule.scores is not None:
                values = rule.scores
                if len(values) != len(request.options):
                    raise InputError(
                        f"engine.script: a rule has {len(values)} scores where {len(request.options)} options are "
                        "asked for; give one probability an option"
                    )
            else:
                weights = [1 + _number(self._seed, prompt, option) % 1000 for option in request.options]
                values = tuple(weight / sum(weights) for weight in weights)
            yield OptionLogprobs(request.id, tuple(math.log(max(value, _LEAST)) for value in values))

    def close(self) -> None:
        """Nothing to give back."""

    def _rule(self, prompt: str) -> Rule | None:
        return next((rule for rule in self._rules if rule.match.search(prompt)), None)

    def _made_up(self, prompt: str, request: Request, index: int) -> str:
        greedy = request.sampling.temperature == 0
        number = _number(self._seed, prompt) if greedy else _number(self._seed, prompt, request.seed, index)
        words = [_WORDS[(number >> (5 * k)) % len(_WORDS)] for k in range(5 + number % 6)]
        sentence = " ".join(words).capitalize() + "."
        return f"{sentence}\n\nScore: {number % 6}" if _ASKS_FOR_SCORE.search(prompt) else sentence

    def _generation(self, request: Request, index: int, reply: str) -> Generation:
        limit = request.sampling.max_new_tokens
        text, stopped = cut_at_stop(reply, request.sampling.stop_strings)
        if stopped:  # the stop string itself was generated, the turn's end was not
            end = min(reply.find(stop) + len(stop) for stop in request.sampling.stop_strings if stop in reply)
            ids = self._chat.response_ids(reply[:end], finished=False)
        else:
            ids = self._chat.response_ids(reply)
        if len(ids) > limit:
            ids = ids[:limit]
            return Generation(request.id, index, tuple(ids), self._chat.decode(ids), "length")
        return Generation(request.id, index, tuple(ids), text, "stop")


def read_script(path: Path) -> list[Rule]:
    """Read rules, one JSON object a line: {"match": regex, "reply": text or [texts], "scores": [p0, …]?}.

    Raises InputError with file and line where a rule is not of that form.
    """
    return [_read_rule(path, line, value) for line, value in read_objects(path)]


def _read_rule(path: Path, line: int, value: dict[str, Any]) -> Rule:
    unknown = set(value) - {"match", "reply", "scores"}
    if unknown:
        raise InputError.at(path, line, f"unknown key '{min(unknown)}'", "a rule has match, reply and scores")
    try:
        match = re.compile(value.get("match", ""))
    except (re.error, TypeError) as error:
        raise InputError.at(path, line, f"'match' is not a regular expression ({error})", "mend it") from error
    reply = value.get("reply", [])
    replies = [reply] if isinstance(reply, str) else reply
    if not isinstance(replies, list) or not all(isinstance(text, str) for text in replies):
        raise InputError.at(path, line, "'reply' is neither a text nor a list of texts", "mend it")
    scores = value.get("scores")
    if scores is not None:
        numbers = isinstance(scores, list) and all(isinstance(p, int | float) and 0 <= p <= 1 for p in scores)
        if not numbers or sum(scores) > 1 + 1e-6:
            raise InputError.at(path, line, "'scores' are not probabilities", "give numbers that add up to at most 1")
        scores = tuple(float(p) for p in scores)
    if not replies and scores is None:
        raise InputError.at(path, line, "a rule without 'reply' and 'scores'", "give at least one of them")
    return Rule(match, tuple(replies), scores)


def _number(*parts: object) -> int:
    """A number that depends on the parts only."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big")
