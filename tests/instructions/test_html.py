from __future__ import annotations

import pytest

from judgeloop.instructions.backtranslation.html import Block, html_blocks, markdown_blocks

PAGE = """<!doctype html>
<html><head><title>The tab's name</title><style>p { color: red }</style>
<script>document.write("<p>not a paragraph</p>")</script></head>
<body>
<nav><ul><li><a href="/">Home</a></li></ul></nav>
<h1>Making <em>tea</em></h1>
<p>Boil the
   water &amp; wait.<br>Then pour.</p>
<div style="display: none">secret</div>
<h2>Leaves</h2>
<ul><li>black<li>green, from <a href="x">here</a>
<ol start="3"><li>first steep</ol></ul>
<pre><code>def steep(minutes):
    return minutes * 2
</code></pre>
<footer>Imprint</footer>
</body></html>"""


def texts(blocks: list[Block]) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in blocks]


def test_headings_paragraphs_lists_and_code_of_a_page() -> None:
    blocks, left_out = html_blocks(PAGE)
    assert texts(blocks) == [
        ("heading", "Making tea"),
        ("text", "Boil the water & wait.\nThen pour."),
        ("heading", "Leaves"),
        ("item", "- black"),
        ("item", "- green, from here"),
        ("item", "  3. first steep"),
        ("code", "```\ndef steep(minutes):\n    return minutes * 2\n```"),
    ]
    assert [block.level for block in blocks if block.kind == "heading"] == [1, 2]
    assert [block.line for block in blocks] == [6, 7, 10, 11, 11, 12, 13]
    assert left_out == {"title": 1, "style": 1, "script": 1, "nav": 1, "hidden element": 1, "footer": 1}


def test_link_text_is_measured() -> None:
    blocks, _ = html_blocks("<p><a href=x>all of it</a></p><p>half <a href=x>half</a></p>")
    assert [block.linked for block in blocks] == [1.0, 0.5]


def test_tables_of_data_are_left_out_and_tables_that_lay_out_a_page_are_not() -> None:
    prose = "A page that was laid out with a table in the way of the nineties holds its text in one cell like this."
    blocks, left_out = html_blocks(f"<table><tr><td>1<td>2</table><table><tr><td>{prose}</td></tr></table>")
    assert texts(blocks) == [("text", prose)]
    assert left_out == {"table": 1}


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>one<p>two", ["one", "two"]),
        ("<h2>open <p>after", ["open", "after"]),
        ("no markup at all", ["no markup at all"]),
        ("<p>a < b and b > c</p>", ["a < b and b > c"]),
        ("<p>fine</p></div></ul></table></pre><p>still", ["fine", "still"]),
        ("<ul><li>x</ul></ul></ul><p>y", ["- x", "y"]),
        ("<head><title>x</title><body><p>no end of the head", ["no end of the head"]),
    ],
)
def test_broken_pages_are_read_as_far_as_they_go(page: str, expected: list[str]) -> None:
    assert [block.text for block in html_blocks(page)[0]] == expected


def test_an_element_that_is_never_closed_is_named_for_it_hides_the_rest() -> None:
    blocks, left_out = html_blocks("<p>seen</p><aside><p>gone</p><p>gone too</p>")
    assert texts(blocks) == [("text", "seen")]
    assert left_out == {"aside": 1, "aside that is never closed": 1}


def test_elements_without_an_end_hide_nothing() -> None:
    blocks, left_out = html_blocks('<p hidden>gone</p><input hidden><img aria-hidden="true"><p>seen</p>')
    assert texts(blocks) == [("text", "seen")]
    assert left_out == {"hidden element": 1}


def test_markdown_is_read_the_same_way_with_its_own_lines() -> None:
    source = (
        "---\ntitle: not text\n---\n# Tea\n\nBoil the\nwater *well* with [care](https://x.org).\n\n"
        "1. wait\n2. pour `twice`\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1 < 2\n```\n\nEnd.\n"
    )
    blocks, left_out = markdown_blocks(source)
    assert [(block.kind, block.text, block.line) for block in blocks] == [
        ("heading", "Tea", 4),
        ("text", "Boil the water well with care.", 6),
        ("item", "1. wait", 9),
        ("item", "2. pour `twice`", 10),
        ("code", "```\nx = 1 < 2\n```", 16),
        ("text", "End.", 20),
    ]
    assert left_out == {"table": 1}


def test_html_inside_markdown_does_not_mend_lines() -> None:
    blocks, _ = markdown_blocks("First.\n\n<div>raw</div>\n\nLast.\n")
    assert [(block.text, block.line) for block in blocks if block.text != "raw"] == [("First.", 1), ("Last.", 5)]
