"""Texts that a prompter is shown, kept as files beside the code that uses them."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Literal

TemplateLanguage = Literal["en", "zh"]


@lru_cache(maxsize=64)
def template(package: str, name: str, language: TemplateLanguage) -> str:
    """The text of `templates/<name>.<language>.txt` in a package, without the line break at its end."""
    file = resources.files(package) / "templates" / f"{name}.{language}.txt"
    return file.read_text(encoding="utf-8").removesuffix("\n")


def words(package: str, language: TemplateLanguage) -> dict[str, str]:
    """The labels of a form, `templates/words.<language>.txt`: one `name: word` a line."""
    lines = template(package, "words", language).splitlines()
    return {name: word for name, _, word in (line.partition(": ") for line in lines)}
