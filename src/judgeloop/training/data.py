"""Rows to token ids: what is trained on, exactly, and which rows cannot be. No torch here.

Rows over the limit are dropped and counted, never truncated: a cut row would lose the token that ends the answer, or
teach an answer that stops in the middle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.records import Message, PreferencePair, SupervisedRow

TOO_LONG = "too long"
EMPTY = "empty response"
EQUAL = "chosen equals rejected"


@dataclass(frozen=True, slots=True)
class ScoreAlone:
    """How the loss finds the score of a judgement: `find` says where in the text its digits are (InputError if they are
    none of `scores`)."""

    find: Callable[[str], tuple[int, int]]
    scores: Sequence[int]


@dataclass(frozen=True, slots=True)
class SftExample:
    """One row to imitate: loss on `target_ids`, the closing token included, or on those of them at the places
    `only`. Rows of one `group` (judgements of one prompt's responses) may be packed. `weight` is that of its loss."""

    id: str
    prompt_ids: list[int]
    target_ids: list[int]
    group: str = ""
    only: tuple[int, ...] = ()
    weight: float = 1.0

    @property
    def tokens(self) -> int:
        return len(self.prompt_ids) + len(self.target_ids)

    @property
    def scored(self) -> tuple[int, ...]:
        """Places of the target tokens that carry loss."""
        return self.only or tuple(range(len(self.target_ids)))


@dataclass(frozen=True, slots=True)
class PairExample:
    """One preference pair: both responses follow the same prompt; each is closed iff the answer was finished."""

    id: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def tokens(self) -> int:
        """Tokens of both sequences, the prompt counted with each."""
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


@dataclass(frozen=True, slots=True)
class Tokenised:
    """SFT rows as ids, in the order given, and how many were dropped by reason."""

    examples: list[SftExample]
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenisedPairs:
    """Pairs as ids, in the order given, how many were dropped by reason, and how many responses were tokenised from
    their text because the ids they were generated with are unknown."""

    examples: list[PairExample]
    dropped: dict[str, int] = field(default_factory=dict)
    from_text: int = 0


def sft_examples(
    rows: Sequence[SupervisedRow],
    chat: Chat,
    max_length: int,
    score_alone: ScoreAlone | None = None,
    eft_weight: float = 1.0,
    token_ids: Mapping[str, Sequence[int]] | None = None,
) -> Tokenised:
    """Tokenise rows for SFT: prompt ids as for generation, then the response closed with its end-of-turn token.
    `score_alone`: in EFT rows only the score's own tokens carry loss. `eft_weight`: what an EFT row's loss weighs
    against an IFT row's. `token_ids`: the ids that a row's response was generated with, by the row's id, which are used
    as they are (see `pair_examples`).

    Dropped and counted: prompt + response longer than `max_length` tokens or than the model's positions, and empty
    responses.
    Raises InputError if a completion is not one assistant message, or has no score that `score_alone` can find.
    """
    examples = []
    dropped: Counter[str] = Counter()
    longest = _longest(chat, max_length)
    for row in rows:
        text = _assistant_text(row.completion, row.id)
        if not text.strip():
            dropped[EMPTY] += 1
            continue
        judged = row.kind == "eft"
        only = _score_of(row.id, text, score_alone, chat) if judged and score_alone is not None else ()
        group = row.prompt_id if judged else ""
        weight = eft_weight if judged else 1.0
        generated = (token_ids or {}).get(row.id)
        target = chat.response_ids(text) if generated is None else list(generated)
        example = SftExample(row.id, chat.prompt_ids(row.prompt), target, group, only, weight)
        if example.tokens > longest:
            dropped[TOO_LONG] += 1
            continue
        examples.append(example)
    return Tokenised(examples, dict(dropped))


def _score_of(row_id: str, text: str, score_alone: ScoreAlone, chat: Chat) -> tuple[int, ...]:
    try:
        return score_places(text, score_alone.find(text), score_alone.scores, chat)
    except InputError as error:
        raise InputError(f"EFT row {row_id}: {error}") from error


def score_places(text: str, score: tuple[int, int], scores: Sequence[int], chat: Chat) -> tuple[int, ...]:
    """Places, among the ids of a finished judgement, of the tokens that tell its score from the others of `scores`.

    `score` is where in the text its digits are. Found by writing each other score in their place, for "Score: 5" may be
    `Score` `:` ` ` `5`, and what tells a 1 from a 10 may be the token after the 1. Raises InputError if the tokenizer
    joins the score with what follows it.
    """
    start, end = score
    ids, read = chat.response_ids(text), chat.response_ids(text[:end], finished=False)
    if ids[: len(read)] != read:
        raise InputError(
            f"sft.eft_loss: the tokenizer joins the score with what follows it in '{text.strip()[-40:]}'; end the "
            "judgement with its score, or set sft.eft_loss: all"
        )
    others = [
        chat.response_ids(f"{text[:start]}{other}{text[end:]}") for other in scores if str(other) != text[start:end]
    ]
    return tuple(sorted({_first_difference(ids, other) for other in others}))


def _first_difference(ids: Sequence[int], other: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, other, strict=False)))


def pair_examples(
    pairs: Sequence[PreferencePair],
    chat: Chat,
    max_length: int,
    token_ids: Mapping[str, Sequence[int]],
    cut_off: Collection[str] = (),
) -> TokenisedPairs:
    """Tokenise preference pairs.

    `token_ids` maps a candidate's id to the ids it was generated with (closing token included iff it finished), which
    are used as they are: text tokenised again need not give the ids whose probability is to change, and would close an
    answer that was cut off. A response without them is tokenised from its text, as a finished answer unless its id is
    in `cut_off`, and counted.
    Dropped and counted: either side longer than `max_length` or the model's positions with the prompt, empty, or both
    sides equal.
    """
    longest = _longest(chat, max_length)
    examples = []
    dropped: Counter[str] = Counter()
    from_text = 0
    for pair in pairs:
        prompt = chat.prompt_ids(pair.prompt)
        sides = []
        unknown = 0
        for candidate, messages in ((pair.chosen_id, pair.chosen), (pair.rejected_id, pair.rejected)):
            text = _assistant_text(messages, pair.id)
            ids = token_ids.get(candidate)
            unknown += ids is None
            own = chat.response_ids(text, finished=candidate not in cut_off) if ids is None else []
            sides.append(_nonempty_ids(own if ids is None else ids, text, chat))
        chosen, rejected = sides
        if not chosen or not rejected:
            dropped[EMPTY] += 1
        elif chosen == rejected:
            dropped[EQUAL] += 1
        elif len(prompt) + max(len(chosen), len(rejected)) > longest:
            dropped[TOO_LONG] += 1
        else:
            examples.append(PairExample(pair.id, prompt, chosen, rejected))
            from_text += unknown
    return TokenisedPairs(examples, dict(dropped), from_text)


def rows_beside(pairs: float, share: float) -> int:
    """So many rows beside `pairs` pairs that they are `share` of both, at least one."""
    return max(1, round(pairs * share / (1 - share)))


def _longest(chat: Chat, max_length: int) -> int:
    """Tokens that a sequence may have."""
    return max_length if chat.positions is None else min(max_length, chat.positions)


def _nonempty_ids(ids: Sequence[int], text: str, chat: Chat) -> list[int]:
    """The ids, or none if the response says nothing (no words, or no token but those that end a turn)."""
    speaks = text.strip() and any(token not in chat.end_ids for token in ids)
    return [int(token) for token in ids] if speaks else []


def _assistant_text(messages: Sequence[Message], row_id: str) -> str:
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise InputError(
            f"{row_id}: the response is not one assistant message; write [{{role: assistant, content: …}}]"
        )
    return messages[0]["content"]
