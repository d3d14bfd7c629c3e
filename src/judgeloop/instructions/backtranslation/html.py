"""HTML and Markdown as headings and blocks of running text, without what surrounds it on a page.

Instruction Backtranslation (arXiv 2308.06259, section 3.1 and its appendix) takes its texts from web pages: what
is under each heading. Markdown becomes HTML first, so both are read the same way.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Literal

Kind = Literal["heading", "text", "item", "code"]

_LEFT_OUT = {
    "title", "script", "style", "noscript", "template", "nav", "footer", "aside", "form", "button", "select",
    "textarea", "iframe", "object", "svg", "math", "canvas", "audio", "video", "figure", "dialog",
}  # fmt: skip
_HIDDEN_ROLES = {
    "navigation", "banner", "contentinfo", "search", "menu", "menubar", "dialog", "alert",
}  # fmt: skip
_BREAKS = {
    "html", "body", "main", "article", "section", "header", "div", "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul",
    "ol", "li", "dl", "dt", "dd", "blockquote", "pre", "hr", "address", "details", "summary", "center", "fieldset",
    "table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption",
}  # fmt: skip
_VOID = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
}  # fmt: skip
_HEADING = re.compile(r"h([1-6])")
_BREAK = "\x00"  # what `br` is until its block is closed; HTML cannot contain it
_LAYOUT_WORDS = 15  # cells that hold this many words on average are a page's layout, not data


@dataclass(frozen=True, slots=True)
class Block:
    """A heading (`level` 1 to 6), a paragraph, a list item, or code in its fence; `line` is where it begins in the
    file, `linked` the share of its characters that are link text."""

    kind: Kind
    text: str
    line: int
    level: int = 0
    linked: float = 0.0


def html_blocks(source: str) -> tuple[list[Block], dict[str, int]]:
    """The blocks of an HTML page in order, and what was left out: element → count.

    Left out are scripts, styles, navigation, footers, forms, hidden elements and tables of data; malformed HTML is
    read as far as it goes.
    """
    return _read(_Blocks(), source)


def markdown_blocks(source: str) -> tuple[list[Block], dict[str, int]]:
    """As `html_blocks`, for CommonMark with tables; lines are those of the Markdown file."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark").enable("table")
    tokens = reader.parse(_without_front_matter(source))
    for token in tokens:
        if token.map is not None and (token.nesting == 1 or token.type in ("fence", "code_block")):
            token.attrSet("data-line", str(token.map[0] + 1))
    return _read(_Blocks(lines_named=True), str(reader.renderer.render(tokens, reader.options, {})))


def _read(parser: _Blocks, source: str) -> tuple[list[Block], dict[str, int]]:
    parser.feed(source)
    parser.close()
    return parser.result()


def _without_front_matter(source: str) -> str:
    """The text with a leading YAML block (`---` … `---`) blanked, lines kept."""
    match = re.match(r"---[ \t]*\n(?:.*\n)*?---[ \t]*(?:\n|$)", source)
    return "\n" * match.group().count("\n") + source[match.end() :] if match else source


class _Blocks(HTMLParser):
    """Collects blocks; a stack of left-out elements says whether text counts at all. `lines_named`: elements say their
    line in `data-line`, and the parser's own position means nothing."""

    def __init__(self, *, lines_named: bool = False) -> None:
        super().__init__(convert_charrefs=True)
        self._lines_named = lines_named
        self._blocks: list[Block] = []
        self._left_out: Counter[str] = Counter()
        self._skipping: list[str] = []
        self._text: list[str] = []
        self._linked = 0
        self._line = 0
        self._named_line = 1
        self._level = 0
        self._links = 0
        self._code = 0
        self._pre = False
        self._lists: list[int | None] = []
        self._marker = ""
        self._tables: list[int] = []  # how many blocks there were where each open table began

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipping:
            if tag == self._skipping[-1]:
                self._skipping.append(tag)
            return
        values = dict(attrs)
        if tag not in _VOID and (tag in _LEFT_OUT or _is_hidden(values)):
            self._flush()
            self._skipping.append(tag)
            self._left_out[tag if tag in _LEFT_OUT else "hidden element"] += 1
            return
        if tag == "br":
            self._text.append("\n" if self._pre else _BREAK)
        elif tag == "a":
            self._links += 1
        elif tag == "code" and not self._pre:
            self._code += 1
            self._text.append("`")
        if tag in _BREAKS:
            self._flush()
            self._open(tag, values)
        if (values.get("data-line") or "").isdigit():
            self._named_line = int(values["data-line"] or 0)

    def _open(self, tag: str, values: dict[str, str | None]) -> None:
        heading = _HEADING.fullmatch(tag)
        self._level = int(heading.group(1)) if heading else 0
        if tag in ("ul", "ol"):
            start = values.get("start") or "1"
            self._lists.append(None if tag == "ul" else int(start) if start.isdigit() else 1)
        elif tag == "li":
            self._marker = self._next_marker()
        elif tag == "pre":
            self._pre = True
        elif tag == "table":
            self._tables.append(len(self._blocks))

    def _next_marker(self) -> str:
        indent = "  " * max(0, len(self._lists) - 1)
        number = self._lists[-1] if self._lists else None
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            if tag == self._skipping[-1]:
                self._skipping.pop()
            return
        if tag == "a":
            self._links = max(0, self._links - 1)
        elif tag == "code" and self._code:
            self._code -= 1
            self._text.append("`")
        if tag not in _BREAKS:
            return
        self._flush()
        self._level = 0
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._marker = ""
        elif tag == "pre":
            self._pre = False
        elif tag == "table" and self._tables:
            self._close_table(self._tables.pop())

    def _close_table(self, begin: int) -> None:
        """Cells of data make no running text; a table that only lays out a page does."""
        cells = self._blocks[begin:]
        if cells and sum(len(cell.text.split()) for cell in cells) < _LAYOUT_WORDS * len(cells):
            del self._blocks[begin:]
            self._left_out["table"] += 1

    def handle_data(self, data: str) -> None:
        if self._skipping:
            return
        if not self._line and data.strip():
            blank = data[: len(data) - len(data.lstrip())].count("\n")
            self._line = self._named_line if self._lines_named else self.getpos()[0] + blank
        self._text.append(data)
        if self._links:
            self._linked += len("".join(data.split()))

    def _flush(self) -> None:
        """Close the block that is open, if it has any text."""
        raw = "".join(self._text)
        text = raw.strip("\n") if self._pre else _run_together(raw)
        if text.strip():
            kind: Kind = "heading" if self._level else "code" if self._pre else "item" if self._marker else "text"
            shown = f"```\n{text}\n```" if self._pre else self._marker + text if kind == "item" else text
            linked = min(1.0, self._linked / len("".join(text.split())))
            self._blocks.append(Block(kind, shown, self._line, self._level, linked))
            self._marker = ""
        self._text, self._linked, self._line, self._code = [], 0, 0, 0

    def result(self) -> tuple[list[Block], dict[str, int]]:
        self._flush()
        while self._tables:
            self._close_table(self._tables.pop())
        if self._skipping:  # the rest of the page was taken for a part of it
            self._left_out[f"{self._skipping[0]} that is never closed"] += 1
        return self._blocks, dict(self._left_out)


def _run_together(raw: str) -> str:
    """Running text: white space of the source is one space, and `br` alone breaks the line."""
    lines = (" ".join(line.split()) for line in raw.split(_BREAK))
    return "\n".join(line for line in lines if line)


def _is_hidden(values: dict[str, str | None]) -> bool:
    style = (values.get("style") or "").replace(" ", "").lower()
    return (
        "hidden" in values
        or values.get("aria-hidden") == "true"
        or values.get("role") in _HIDDEN_ROLES
        or "display:none" in style
    )
