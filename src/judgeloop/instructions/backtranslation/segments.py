"""Texts cut into segments that can stand alone as a response.

Instruction Backtranslation (arXiv 2308.06259, section 3.1 and appendix A): a segment is what is under a heading,
lower headings included. Here a section that is too long is cut between its paragraphs, and so is plain text.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from judgeloop.config import SegmentsSection
from judgeloop.errors import InputError
from judgeloop.instructions.backtranslation.html import Block, html_blocks, markdown_blocks
from judgeloop.instructions.backtranslation.segment_rules import Segment, SegmentRules
from judgeloop.instructions.backtranslation.texts import Document, Reading, read_texts
from judgeloop.jsonl import read_objects
from judgeloop.records import derive_seed, stable_id
from judgeloop.text.tokens import tokens_of

_BOILERPLATE = re.compile(
    r"\b(?:all rights reserved|copyright (?:©|\(c\)|\d{4})|cookie (?:policy|settings)|we use cookies|accept cookies"
    r"|privacy policy|terms of (?:use|service)|sign up for|subscribe to|follow us on|share this|back to top"
    r"|read more|click here|log ?in to|skip to (?:main )?content)\b"
    "|版权所有|隐私政策|使用条款|关注我们|点击这里|阅读全文|返回顶部|上一篇|下一篇|相关阅读",
    re.IGNORECASE,
)
_BOILERPLATE_WORDS = 30  # a longer paragraph only mentions it
_UNWRAPPED = 45  # a paragraph whose lines are longer than this was wrapped by a program


@dataclass(slots=True)
class Segments:
    """The segments kept, in the order of the texts, and what became of everything else."""

    kept: list[Segment]
    account: dict[str, Any]


def read_segments(path: Path) -> list[Segment]:
    """Read the segments that a stage wrote."""
    return [Segment(row["id"], row["text"], row["source"], row["title"]) for _, row in read_objects(path)]


def segments_of(paths: Sequence[str], text_key: str, config: SegmentsSection, seed: int) -> Segments:
    """Read the texts, cut them, and keep what passes the rules, at most `config.max_count` of it.

    The account says what was read, which blocks were left out, how many segments there were, and how many were
    dropped for which reason, with samples. Raises InputError if a file is wrong or no segment is left.
    """
    reading = Reading()
    rules = SegmentRules(config)
    left_out: Counter[str] = Counter()
    for document in read_texts(paths, text_key, reading):
        for segment in _cut(document, config, left_out):
            rules.judge(segment)
    kept = rules.kept
    if config.max_count is not None and len(kept) > config.max_count:
        chosen = random.Random(derive_seed(seed, "segments")).sample(range(len(kept)), config.max_count)
        rules.yields.dropped["above max_count"] += len(kept) - len(chosen)
        kept = [kept[i] for i in sorted(chosen)]
    lengths = sorted(len(tokens_of(segment.text)) for segment in kept)
    counted = rules.yields.as_account()
    account = {
        "documents": dict(reading.documents),
        "files_left_out": dict(reading.left_out),
        "files_left_out_named": reading.named,
        "blocks_left_out": dict(sorted(left_out.items())),
        "segments": rules.seen,
        "dropped": counted["dropped"],
        "kept": len(kept),
        "words": {"least": lengths[0], "median": lengths[len(lengths) // 2], "most": lengths[-1]} if lengths else {},
        "dropped_samples": counted["samples"]["dropped"],
    }
    if not kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rules.yields.dropped.items()) or "no running text"
        raise InputError(
            f"backtranslation.texts: no segment is left of {rules.seen} ({reasons}); "
            "bring other texts or widen backtranslation.segments"
        )
    return Segments(kept, account)


# Cutting -------------------------------------------------------------------------------------------------------------


def _cut(document: Document, config: SegmentsSection, left_out: Counter[str]) -> Iterator[Segment]:
    """The segments of one document, in order."""
    if document.form == "plain text":
        blocks = _paragraphs(document.text)
    else:
        blocks, gone = (html_blocks if document.form == "HTML" else markdown_blocks)(document.text)
        left_out.update(gone)
    whole = document.form != "plain text"  # without headings nothing says that paragraphs belong together
    for titles, piece in _pieces(_sections(_running_text(blocks, left_out)), config, whole):
        line = document.line if document.line is not None else piece[0].line
        text = _joined(piece)
        yield Segment(stable_id("s", text), text, f"{document.place}:{line}", " › ".join(titles))


def _paragraphs(text: str) -> list[Block]:
    """Plain text: paragraphs are between blank lines; lines that a program wrapped are joined again."""
    blocks = []
    line = 1
    for part in re.split(r"(\n[ \t]*\n\s*)", text):
        lines = [" ".join(row.split()) for row in part.split("\n") if row.strip()]
        if lines:
            begin = line + part[: len(part) - len(part.lstrip())].count("\n")
            wrapped = len(lines) > 1 and all(len(row) >= _UNWRAPPED for row in lines[:-1])
            blocks.append(Block("text", (" " if wrapped else "\n").join(lines), begin))
        line += part.count("\n")
    return blocks


def _running_text(blocks: Sequence[Block], left_out: Counter[str]) -> list[Block]:
    """Blocks without lists of links, phrases of a page's frame, and lines that announce what is gone."""
    kept: list[Block] = []
    for number, block in enumerate(blocks):
        last = number + 1 == len(blocks) or blocks[number + 1].kind == "heading"
        if block.kind == "heading":
            kept.append(block)
        elif block.linked > 0.5:
            left_out["mostly links"] += 1
        elif _BOILERPLATE.search(block.text) and len(tokens_of(block.text)) < _BOILERPLATE_WORDS:
            left_out["boilerplate"] += 1
        elif last and block.kind == "text" and block.text.endswith((":", "：")):
            left_out["announces something that is missing"] += 1
        else:
            kept.append(block)
    return kept


@dataclass(slots=True)
class _Section:
    """A heading with the blocks right under it and the sections below it; the whole document has level 0."""

    level: int
    title: Block | None = None
    blocks: list[Block] = field(default_factory=list)
    below: list[_Section] = field(default_factory=list)

    def words(self) -> int:
        own = sum(len(tokens_of(block.text)) for block in self.blocks)
        return own + sum(section.words() for section in self.below)

    def all_blocks(self) -> list[Block]:
        """Its blocks and those below, lower headings included."""
        found = list(self.blocks)
        for section in self.below:
            under = section.all_blocks()
            if under and section.title is not None:
                found.append(section.title)
            found += under
        return found


def _sections(blocks: Sequence[Block]) -> _Section:
    top = _Section(0)
    trail = [top]
    for block in blocks:
        if block.kind != "heading":
            trail[-1].blocks.append(block)
            continue
        while trail[-1].level >= block.level:
            trail.pop()
        section = _Section(block.level, block)
        trail[-1].below.append(section)
        trail.append(section)
    return top


def _pieces(
    section: _Section, config: SegmentsSection, whole: bool, titles: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[Block]]]:
    """A section that fits, with all below it; else its own paragraphs in pieces, then each section below."""
    if section.title is not None:
        titles = (*titles, section.title.text)
    blocks = section.all_blocks()
    if not blocks:
        return
    if whole and section.level and section.words() <= config.max_words:
        yield titles, blocks
        return
    for piece in _between_paragraphs(section.blocks, config):
        yield titles, piece
    for below in section.below:
        yield from _pieces(below, config, whole, titles)


def _between_paragraphs(blocks: Sequence[Block], config: SegmentsSection) -> list[list[Block]]:
    """Pieces of at least `target_words` (of `min_words`, if the next paragraph would make one too long), never cut
    inside a list or after a colon; a short rest joins the last piece if that still fits."""
    pieces: list[list[Block]] = []
    piece: list[Block] = []
    words = 0
    for block in blocks:
        size = len(tokens_of(block.text))
        enough = words >= config.target_words or (words >= config.min_words and words + size > config.max_words)
        if piece and enough and block.kind == "text" and not piece[-1].text.endswith((":", "：")):
            pieces.append(piece)
            piece, words = [], 0
        piece.append(block)
        words += size
    if piece:
        before = sum(len(tokens_of(block.text)) for block in pieces[-1]) if pieces else 0
        if pieces and words < config.min_words and before + words <= config.max_words:
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces


def _joined(blocks: Sequence[Block]) -> str:
    """Paragraphs with a blank line between them, items of a list without; lower headings as Markdown has them."""
    parts = [f"{'#' * block.level} {block.text}" if block.kind == "heading" else block.text for block in blocks]
    text = parts[0]
    for before, block, part in zip(blocks, blocks[1:], parts[1:], strict=False):
        text += ("\n" if before.kind == block.kind == "item" else "\n\n") + part
    return text
