"""Texts that a prompter is shown, kept as files beside the code that uses them."""

from __future__ import annotations

from typing import Literal

from judgeloop.shipped import shipped_text

TemplateLanguage = Literal["en", "zh"]


def template(package: str, name: str, language: TemplateLanguage) -> str:
    """The text of `templates/<name>.<language>.txt` in a package, without the line break at its end."""
    return shipped_text(package, f"templates/{name}.{language}.txt").removesuffix("\n")


def words(package: str, language: TemplateLanguage) -> dict[str, str]:
    """The labels of a form, `templates/words.<language>.txt`: one `name: word` a line."""
    lines = template(package, "words", language).splitlines()
    return {name: word for name, _, word in (line.partition(": ") for line in lines)}
