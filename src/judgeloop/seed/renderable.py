"""The part of a seed that can be put to the model at all: its chat template takes the row, and there are positions for
it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from judgeloop.eft.existing_eft import score_in
from judgeloop.errors import InputError
from judgeloop.judging.rubric import Rubric
from judgeloop.models.chat import Chat
from judgeloop.models.check_rows import check_rows
from judgeloop.records import RankedSet, SupervisedRow
from judgeloop.seed.build import SeedData, histogram


def renderable(data: SeedData, chat: Chat, rubric: Rubric) -> SeedData:
    """The rows and sets that the model can be given, and the account with the others counted under "dropped".

    Raises InputError if there were rows to train on and none is left.
    """
    dropped = Counter(data.account["dropped"])
    ift, eft = _rows(data.ift, "IFT row", chat, dropped), _rows(data.eft, "EFT row", chat, dropped)
    held_out = _sets(data.held_out, "held-out set", chat, dropped)
    eft_sets = _sets(data.eft_sets, "EFT set", chat, dropped)
    if not ift and not eft and not eft_sets:
        left_out = dropped - Counter(data.account["dropped"])
        reasons = "; ".join(f"{count} × {reason}" for reason, count in left_out.items())
        raise InputError(f"seed_data: no row can be put to {chat.origin}: {reasons}; choose another model or template")
    account = {
        **data.account,
        "dropped": dict(sorted(dropped.items())),
        "ift": len(ift),
        "eft": len(eft),
        "held_out": len(held_out),
        "eft_sets": len(eft_sets),
        "eft_scores": histogram([score_in(row, rubric) for row in eft], rubric),
    }
    folded = {kind: count for kind, count in chat.template.folded.items() if count}
    return SeedData(ift, eft, held_out, eft_sets, {**account, **({"folded": folded} if folded else {})})


def _rows(rows: Sequence[SupervisedRow], what: str, chat: Chat, dropped: Counter[str]) -> list[SupervisedRow]:
    named = [(str(place), row.prompt, row.completion[0]["content"]) for place, row in enumerate(rows)]
    found = check_rows(chat, named)
    dropped.update(f"{what}: {reason}" for reason in found.left_out.values())
    return [row for place, row in enumerate(rows) if str(place) in found.usable]


def _sets(sets: Sequence[RankedSet], what: str, chat: Chat, dropped: Counter[str]) -> list[RankedSet]:
    found = check_rows(chat, [(ranked.id, ranked.messages, "") for ranked in sets], new_tokens=1)
    dropped.update(f"{what}: {reason}" for reason in found.left_out.values())
    return [ranked for ranked in sets if ranked.id in found.usable]
