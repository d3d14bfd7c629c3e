"""Read an answer from a model's probabilities: which tokens the possible answers are, and what their shares mean.

Expected score: the mean over the judge's probabilities of the scores right after its score line (arXiv 2503.03064;
G-Eval, arXiv 2303.16634, section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from judgeloop.models.chat import Chat

Options = tuple[tuple[int, ...], ...]


def answer_options(chat: Chat, label: str, answers: Sequence[str]) -> tuple[tuple[int, ...], Options]:
    """Token ids of `label + answer` for each answer, split into what all share and what tells them apart.

    Reading the ids of the whole line keeps the tokenizer's way with spaces: "Score: 5" may be `Score` `:` ` ` `5`. The
    line may hold a justification that a model wrote: a control token's name in it is spelled out.
    """
    lines = [tuple(chat.response_ids(label + answer, finished=False)) for answer in answers]
    shared = 0
    while all(len(line) > shared + 1 for line in lines) and len({line[shared] for line in lines}) == 1:
        shared += 1
    return lines[0][:shared], tuple(line[shared:] for line in lines)


def option_problems(chat: Chat, label: str, answers: Sequence[str]) -> list[str]:
    """What keeps the answers after `label` from being told apart by their probabilities; empty if nothing does."""
    _, options = answer_options(chat, label, answers)
    unknown = [answer for answer, ids in zip(answers, options, strict=True) if chat.tokenizer.unk_token_id in ids]
    if unknown and chat.tokenizer.unk_token_id is not None:
        return [f"its tokenizer has no token for the answer '{unknown[0]}' after '{label.strip()}'; name another model"]
    if len(set(options)) < len(options):
        return [f"its tokenizer writes different answers after '{label.strip()}' alike; name another model"]
    return []


def exclusive(options: Options, logprobs: Sequence[float]) -> list[float]:
    """Log-probabilities of each option and no longer one.

    On a scale from 1 to 10 the option "1" also begins "10" if a tokenizer writes digits one by one: the probability of
    an option's own continuations is subtracted from it.
    """
    found = []
    for option, logprob in zip(options, logprobs, strict=True):
        longer = [
            other
            for other in options
            if len(other) > len(option)
            and other[: len(option)] == option
            and not any(len(option) < len(mid) < len(other) and other[: len(mid)] == mid for mid in options)
        ]
        rest = math.exp(logprob) - sum(math.exp(logprobs[options.index(other)]) for other in longer)
        found.append(logprob if not longer else math.log(rest) if rest > 0 else -math.inf)
    return found


def normalise(logprobs: Sequence[float]) -> tuple[list[float], float]:
    """Probabilities over the options (summing to 1), and their share of the whole vocabulary's probability."""
    top = max(logprobs)
    if top == -math.inf:
        return [1 / len(logprobs)] * len(logprobs), 0.0
    weights = [math.exp(value - top) for value in logprobs]
    total = sum(weights)
    return [weight / total for weight in weights], min(1.0, total * math.exp(top))


def expectation(scores: Sequence[int], distribution: Sequence[float]) -> float:
    """The probability-weighted mean of the scores."""
    return sum(score * share for score, share in zip(scores, distribution, strict=True))
