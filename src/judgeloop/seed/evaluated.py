"""Evaluation prompts in the seed: what is trained on must neither be, nor contain, nor be near one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from judgeloop.records import Message, stable_id
from judgeloop.seed.leakage import Known, prompt_texts
from judgeloop.text.containment import WholeTexts

NAMED = 5  # rows named in a message; the account has all


class Evaluated:
    """The evaluation's prompts by the file they are in, and the rows of the seed that were left out because of them."""

    def __init__(self, prompts: Mapping[str, Sequence[Sequence[Message]]], near_duplicate: float) -> None:
        self._known = Known(near_duplicate)
        self._whole = WholeTexts()
        self._ids: dict[str, str] = {}
        self.removed: list[dict[str, str]] = []
        for file, each in prompts.items():
            for messages in each:
                self._known.add(messages, file)
                self._ids.setdefault(stable_id("p", list(messages)), file)
                self._whole.add(_said(messages), file)

    def closes(self, row: str, part: str, messages: Sequence[Message], prompt_id: str = "") -> bool:
        """Whether a row is about an evaluation prompt; then it is noted under `removed`.

        `row` is its file and line, `part` what it would have been used for, `messages` its prompt (of a
        judgement whose instruction cannot be read out of it, the whole judge prompt).
        """
        file, why = self._ids.get(prompt_id), "equal"
        if file is None:
            file = self._known.same(messages)
            if file is None:
                file, why = self._whole.inside(_said(messages)), "contains it"
            if file is None:
                file, why = self._known.near(messages), "near"
        if file is None:
            return False
        self.removed.append({"row": row, "part": part, "evaluation": file, "why": why})
        return True


def sentence(removed: Sequence[Mapping[str, str]]) -> str | None:
    """One line that counts and names what was left out; None if nothing was."""
    if not removed:
        return None
    rows = list(dict.fromkeys(entry["row"] for entry in removed))
    files = ", ".join(dict.fromkeys(entry["evaluation"] for entry in removed))
    more = f" and {len(rows) - NAMED} more (seed.json)" if len(rows) > NAMED else ""
    return (
        f"{len(rows)} seed rows are not trained on: their prompts are, contain or are near prompts of {files}: "
        f"{', '.join(rows[:NAMED])}{more}"
    )


def _said(messages: Sequence[Message]) -> str:
    return (list(prompt_texts(messages)) or [""])[-1]
