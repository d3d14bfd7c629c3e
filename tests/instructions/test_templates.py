"""The texts that prompters are shown: in both languages, with the same places to fill in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from judgeloop import instructions
from judgeloop.instructions.self_instruct.task_form import task_form
from judgeloop.instructions.templates import words
from judgeloop.instructions.unnatural.example_form import example_form

ROOT = Path(str(instructions.__file__)).parent
PAIRED = ("backtranslation", "self_instruct", "unnatural")


@pytest.mark.parametrize("part", PAIRED)
def test_both_languages_have_the_same_texts_with_the_same_places(part: str) -> None:
    folder = ROOT / part / "templates"
    found = {path.name.removesuffix(".txt"): path.read_text(encoding="utf-8") for path in folder.iterdir()}
    english = {name.removesuffix(".en") for name in found if name.endswith(".en")}
    assert english == {name.removesuffix(".zh") for name in found if name.endswith(".zh")}
    assert len(found) == 2 * len(english)
    for name in english:
        places = [re.findall(r"\{\w+\}", found[f"{name}.{language}"]) for language in ("en", "zh")]
        assert sorted(places[0]) == sorted(places[1]), name
    package = f"judgeloop.instructions.{part}"
    assert words(package, "en").keys() == words(package, "zh").keys()


def test_every_text_is_shown_to_somebody() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py"))
    for path in ROOT.rglob("templates/*.txt"):
        name = path.name.split(".")[0]
        assert f'"{name}"' in code, path


def test_a_line_break_at_the_end_of_a_file_is_not_part_of_its_text() -> None:
    assert task_form("en").brief == "Answer briefly, in a few sentences."
    assert task_form("zh").line("输入", "雨") == "输入：雨"
    assert task_form("en").labels_order.endswith("in one line, separated by commas.")
    assert example_form("en").colon == ": "
    assert example_form("zh").examples_order.startswith("请写出{count}个")
