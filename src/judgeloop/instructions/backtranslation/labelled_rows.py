"""Pairs of instruction and text from what the backward model wrote (Instruction Backtranslation, arXiv 2308.06259,
section 2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from judgeloop.config import BacktranslationSection
from judgeloop.instructions.backtranslation.training_rows import ift_row
from judgeloop.instructions.filters import is_request, lacks_input
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.yield_counts import YieldCounts
from judgeloop.records import Candidate, Message, SupervisedRow
from judgeloop.text.tokens import copied_share, tokens_of


def labelled_rows(
    labels: Sequence[Candidate],
    texts: Mapping[str, tuple[str, str]],
    gate: Gate,
    config: BacktranslationSection,
    taken: Iterable[str],
) -> tuple[list[SupervisedRow], dict[str, Any]]:
    """Pairs of instruction and text from what the backward model wrote, without those that are unfit.

    `labels` are its generations (`prompt_id` names the segment), `texts` maps segments to text and source, in order;
    `gate` holds what an instruction must differ from, `taken` are instructions that have another response (the seed's).
    The account counts the dropped by reason, with samples.
    """
    taken_by = {_plain(text): "" for text in taken}
    by_segment: dict[str, list[Candidate]] = {}
    for label in labels:
        by_segment.setdefault(label.prompt_id, []).append(label)
    rows: list[SupervisedRow] = []
    yields = YieldCounts()
    for segment, (text, source) in texts.items():
        for label in sorted(by_segment.get(segment, ()), key=lambda label: label.id):
            instruction = label.text.strip()
            reason = "cut off by length" if label.finish_reason == "length" else None
            reason = reason or _fault(instruction, text, gate, config.max_copied)
            if reason is None and (owner := taken_by.setdefault(_plain(instruction), segment)) != segment:
                reason = "has another text already" if owner else "is a seed instruction"
            prompt: list[Message] = [{"role": "user", "content": instruction}]
            row = ift_row(prompt, [{"role": "assistant", "content": text}], source)
            if reason is None and rows and rows[-1].id == row.id:
                reason = "written twice for one text"
            if reason is None:
                rows.append(row)
            else:
                yields.drop(reason, {"source": source, "instruction": instruction[:200]})
    counted = yields.as_account()
    account = {
        "segments": len(texts),
        "written": len(labels),
        "tokens": sum(len(label.token_ids) for label in labels),
        "dropped": counted["dropped"],
        "kept": len(rows),
        "segments_with_one": len({row.completion[0]["content"] for row in rows}),
        "dropped_samples": counted["samples"]["dropped"],
    }
    return rows, account


def _fault(instruction: str, text: str, gate: Gate, max_copied: float) -> str | None:
    """Why this is no instruction that the text could answer, or None."""
    if not instruction:
        return "empty"
    if copied_share(instruction, text) > max_copied:
        return "copies the text"
    if not is_request(instruction):
        return "states instead of asking"
    reason = gate.refusal(instruction)
    if reason is not None:
        return reason
    return "speaks of material that is missing" if lacks_input(instruction) else None


def _plain(text: str) -> str:
    return " ".join(tokens_of(text))
