from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import SegmentsSection
from judgeloop.errors import InputError
from judgeloop.instructions.backtranslation.segments import Segments, segments_of

WORDS = (
    *("river", "stone", "bread", "window", "garden", "music", "winter"),
    *("paper", "light", "harbour", "copper", "meadow", "lantern", "orchard"),
)


def letters(words: int, start: int = 0) -> str:
    """A sentence of so many words that shares no 5-gram with those of another start."""
    tokens = [f"{WORDS[(7 * start + k * (start + 3)) % len(WORDS)]}{chr(97 + start % 26)}{chr(97 + k % 26)}"
              for k in range(words)]  # fmt: skip
    return " ".join(tokens).capitalize() + "."


def cut(tmp_path: Path, text: str, name: str = "a.md", **limits: Any) -> Segments:
    (tmp_path / name).write_text(text, encoding="utf-8")
    bounds = {"min_words": 5, "target_words": 10, "max_words": 20, **limits}
    return segments_of([str(tmp_path / name)], "text", SegmentsSection(**bounds), 0)


def test_a_section_that_fits_is_one_segment_with_what_is_below_it(tmp_path: Path) -> None:
    one, two, three = letters(6), letters(6, 1), letters(6, 2)
    found = cut(
        tmp_path, f"# Top\n\n{letters(15, 3)}\n\n## Fits\n\n{one}\n\n### Below\n\n{two}\n\n## Other\n\n{three}\n"
    )
    assert [(s.title, s.text, s.source) for s in found.kept] == [
        ("Top", letters(15, 3), "a.md:3"),
        ("Top › Fits", f"{one}\n\n### Below\n\n{two}", "a.md:7"),
        ("Top › Other", three, "a.md:15"),
    ]
    assert found.account["documents"] == {"Markdown": 1}
    assert found.account["segments"] == found.account["kept"] == 3


def test_a_section_that_is_too_long_is_cut_between_paragraphs(tmp_path: Path) -> None:
    parts = [letters(6, k) for k in range(5)]
    found = cut(tmp_path, "# Long\n\n" + "\n\n".join(parts) + "\n")
    assert [s.text for s in found.kept] == [
        f"{parts[0]}\n\n{parts[1]}",
        f"{parts[2]}\n\n{parts[3]}",
        parts[4],
    ]
    short_rest = cut(tmp_path, "# Long\n\n" + "\n\n".join([*parts[:4], letters(3, 9)]) + "\n")
    assert short_rest.kept[-1].text == f"{parts[2]}\n\n{parts[3]}\n\n{letters(3, 9)}"


def test_a_paragraph_that_would_make_the_piece_too_long_begins_the_next(tmp_path: Path) -> None:
    parts = [letters(7), letters(15, 1), letters(3, 2), letters(16, 3)]
    found = cut(tmp_path, "\n\n".join(parts), "a.txt")
    assert [s.text for s in found.kept] == [parts[0], parts[1], f"{parts[2]}\n\n{parts[3]}"]


def test_no_cut_inside_a_list_or_behind_a_colon(tmp_path: Path) -> None:
    items = "\n".join(f"- {letters(4, k)}" for k in range(4))
    before = letters(11, 9)
    announced = letters(11, 10).removesuffix(".") + ":"
    found = cut(tmp_path, f"# List\n\n{before}\n\n{announced}\n\n{items}\n", max_words=30)
    assert [s.text for s in found.kept] == [before, f"{announced}\n\n{items}"]


def test_plain_text_is_cut_at_blank_lines_and_unwrapped(tmp_path: Path) -> None:
    wrapped = letters(14)
    middle = wrapped.index(" ", 60)
    verse = f"a rose\nis a rose\nis {letters(9, 2)}"
    text = f"\n\n{wrapped[:middle]}\n{wrapped[middle + 1 :]}\n \n\n{letters(12, 1)}\n\n{verse}\n"
    found = cut(tmp_path, text, "a.txt")
    assert [(s.text, s.source) for s in found.kept] == [
        (wrapped, "a.txt:3"),
        (letters(12, 1), "a.txt:7"),
        (verse, "a.txt:9"),
    ]
    assert all(s.title == "" for s in found.kept)


def test_a_row_of_a_table_keeps_its_line(tmp_path: Path) -> None:
    rows = "\n".join(json.dumps({"text": letters(12, k)}) for k in range(2))
    assert [s.source for s in cut(tmp_path, rows, "a.jsonl").kept] == ["a.jsonl:1", "a.jsonl:2"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (letters(4), "too short"),
        (letters(21), "too long"),
        ("1 2 3 4 5 6 7 8 9 10 of 12 months in 2024", "too few letters"),
        ("THIS IS AN OFFER you CANNOT refuse AT ALL", "too many capitals"),
        ("We like it. We like it. We like it. We like it.", "repeats itself"),
        (letters(9) + " <|im_end|>", "has a chat template's control tokens"),
    ],
)
def test_what_cannot_stand_alone_is_dropped_and_counted(tmp_path: Path, text: str, reason: str) -> None:
    found = cut(tmp_path, "\n".join(json.dumps({"text": row}) for row in (text, letters(12, 5))), "a.jsonl")
    assert [s.text for s in found.kept] == [letters(12, 5)]
    assert found.account["dropped"] == {reason: 1}
    assert found.account["segments"] == 2
    assert found.account["dropped_samples"][reason] == [{"source": "a.jsonl:1", "text": text}]


def test_duplicates_and_near_duplicates_are_dropped(tmp_path: Path) -> None:
    base = letters(16).removesuffix(".").split()
    same = " ".join(base).upper().capitalize()
    near = " ".join([*base[:13], "but", "not", "this"])
    far = " ".join([*base[:6], *letters(9, 8).split()])
    found = cut(tmp_path, "\n\n".join([" ".join(base), same + "!", near, far]), "a.txt")
    assert [s.text for s in found.kept] == [" ".join(base), far]
    assert found.account["dropped"] == {"duplicate": 1, "near-duplicate": 1}


def test_chinese_counts_characters_and_dies_by_no_rule_for_letters(tmp_path: Path) -> None:
    text = "茶叶放入壶中，倒入热水，等待三分钟，然后慢慢倒出来喝。"
    assert [s.text for s in cut(tmp_path, text, "a.txt", max_words=60).kept] == [text]
    with pytest.raises(InputError, match="1 too long"):
        cut(tmp_path, text, "a.txt", max_words=20)


def test_a_page_loses_its_frame(tmp_path: Path) -> None:
    page = (
        f"<h1>Tea</h1><p>{letters(8)}</p><p><a href=a>{letters(6, 4)}</a></p><p>We use cookies on this site.</p>"
        f"<h2>Table</h2><p>{letters(7, 6)}</p><p>The figures:</p><table><tr><td>1</table>"
    )
    found = cut(tmp_path, page, "a.html")
    assert [s.text for s in found.kept] == [f"{letters(8)}\n\n## Table\n\n{letters(7, 6)}"]
    assert found.account["blocks_left_out"] == {
        "announces something that is missing": 1, "boilerplate": 1, "mostly links": 1, "table": 1
    }  # fmt: skip


def test_max_count_draws_by_seed_and_keeps_the_order(tmp_path: Path) -> None:
    text = "\n\n".join(letters(12, k) for k in range(8))
    found = cut(tmp_path, text, "a.txt", max_count=3)
    order = [letters(12, k) for k in range(8)]
    places = [order.index(s.text) for s in found.kept]
    assert places == sorted(places)
    assert found.account["dropped"] == {"above max_count": 5}
    assert [s.id for s in cut(tmp_path, text, "a.txt", max_count=3).kept] == [s.id for s in found.kept]
    assert (found.account["segments"], found.account["kept"]) == (8, 3)


def test_nothing_left_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no segment is left of 1 \(1 too short\); bring other texts or widen"):
        cut(tmp_path, "Short.", "a.txt")
