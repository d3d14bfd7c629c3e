"""What a message says of itself besides its words: not to be trained on, bad, or how good it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from judgeloop.data.fields import number_of
from judgeloop.data.marks import condemns, fault_of, label_of, mark_of
from judgeloop.data.names import NAMES, plain_name
from judgeloop.data.provenance import Place, Unusable
from judgeloop.data.within import parts_of

_TRAINED = (
    "weight",
    "train",
    "trainable",
    "training",
    "train_on_turn",
    "loss",
    "loss_weight",
    "loss_mask",
    "loss_scale",
)
_UNTRAINED = ("masked",)
_KNOWN = {*NAMES["score"], *NAMES["label"], *NAMES["bad_label"], "role", "from", "name"}
_SAID = ("content", "parts", "value", "text", "tool_calls")
_BY_ASPECT = re.compile(r"\s*\w+\s*:\s*\d+(?:\s*,\s*\w+\s*:\s*\d+)*\s*")  # SteerLM: "quality:4,toxicity:0"


class TurnMarks(NamedTuple):
    """Whether a turn is to be trained on, whether no label calls it bad, its rating if that is a number, and what of it
    may rate it in a way that is not known."""

    trained: bool = True
    good: bool = True
    rating: float | None = None
    unclear: str = ""

    def check(self, what: str, place: Place) -> None:
        """Raise Unusable if the turn is not to be imitated, InputError if that cannot be known."""
        if self.unclear:
            raise place.error(
                f"{self.unclear}, which may rate the turn, and bad ones must not be learnt",
                "write one number as the turn's 'rating', or remove it",
            )
        if not self.trained:
            raise Unusable(f"{what} has weight 0" if what == "last turn" else f"{what} of weight 0")
        if not self.good:
            raise Unusable(f"{what} that its label calls bad")


UNMARKED = TurnMarks()


def marks_of(item: Mapping[str, Any]) -> TurnMarks:
    """The marks of a message: a weight of 0, `"train": false`, a mask; a thumb, a rating, `"toxic": true`."""
    trained = not any(number_of(item.get(name)) == 0 for name in _TRAINED)
    trained = trained and all(number_of(item.get(name)) in (None, 0) for name in _UNTRAINED)
    trained = trained and not any(name in _TRAINED and number_of(value) == 0 for name, value in _within(item))
    good, rating, unclear = True, None, ""
    for key, value in _fields(item):
        name = plain_name(key)
        scored = mark_of(value) if name in NAMES["score"] else None
        if scored is not None and scored.value is not None:
            rating = scored.value if rating is None else rating
        elif name in NAMES["label"] or scored is not None:
            good = good and label_of(value) is not False
        elif name in NAMES["bad_label"]:
            good = good and fault_of(value) is not True
        aspects = name in ("label", "labels") and isinstance(value, str) and _BY_ASPECT.fullmatch(value)
        if aspects or (name not in _KNOWN and condemns(value)):
            unclear = f"a turn's '{key}' is {value!r:.60}"
    return TurnMarks(trained, good, rating, unclear)


def _fields(item: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((key, value) for key, value in item.items() if key not in _SAID)
    yield from _within(item)


def _within(item: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the objects in a message hold: a rating (Open WebUI), the parts that are not trained on (Axolotl)."""
    for key, value in item.items():
        if key not in _SAID:
            yield from ((path.rpartition(".")[2], part) for path, part in parts_of(key, value))
