"""The licence of the model that a run began with: its text travels with every model made of it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from judgeloop.models.resolve import known_model

_FILES = re.compile(r"(licen[sc]e|notice|copying|use_policy|usage_policy)[\w.-]*", re.IGNORECASE)
_KNOWN_TEXTS = (
    (re.compile(r"Apache License\s+Version 2\.0"), "apache-2.0"),
    (re.compile(r"\bMIT License\b"), "mit"),
    (re.compile(r"LLAMA 3\.(\d) COMMUNITY LICENSE", re.IGNORECASE), "llama3.{}"),
    (re.compile(r"META LLAMA 3 COMMUNITY LICENSE", re.IGNORECASE), "llama3"),
    (re.compile(r"Gemma Terms of Use", re.IGNORECASE), "gemma"),
)


@dataclass(frozen=True, slots=True)
class Base:
    """What the base model's folder says of itself: `hub` is its id on the hub, `licence` the hub's name of it. None
    where it says nothing."""

    name: str
    folder: Path
    hub: str | None = None
    licence: str | None = None
    licence_name: str | None = None
    languages: tuple[str, ...] = ()

    def files(self) -> list[Path]:
        """Its licence and notices."""
        return sorted(path for path in self.folder.glob("*") if path.is_file() and _FILES.fullmatch(path.name))

    def texts(self) -> list[str]:
        """Of these files; the text that ships with judgeloop if the folder has none and its licence is known."""
        found = [path.read_text(encoding="utf-8", errors="replace") for path in self.files()]
        return found or [text for text in (_shipped(self.licence),) if text is not None]

    def copy_licence(self, out: Path) -> list[str]:
        """Copy them to a folder, but over none that is there; return their names."""
        made = []
        for path in self.files():
            if not (out / path.name).exists():
                shutil.copyfile(path, out / path.name)
            made.append(path.name)
        if not made and (text := _shipped(self.licence)) is not None:
            (out / "LICENSE").write_text(text, encoding="utf-8")
            made.append("LICENSE")
        return made


def base_of(name: str, folder: Path) -> Base:
    """The base model by the config's name of it and its folder."""
    known = known_model(name)
    card = _card(folder / "README.md")
    licence, hub = card.get("license"), None
    languages = card.get("language")
    if known is not None:
        licence, hub = licence or known.license.lower(), known.hub
    elif re.fullmatch(r"(hf:)?[\w.-]+/[\w.-]+(@.*)?", name) and not Path(name).exists():
        hub = name.removeprefix("hf:").partition("@")[0]
    if licence is None and folder.is_dir():
        licence = _recognised(folder)
    spoken = (languages,) if isinstance(languages, str) else tuple(map(str, languages or ()))
    return Base(name, folder, hub, licence if isinstance(licence, str) else None, card.get("license_name"), spoken)


def _recognised(folder: Path) -> str | None:
    for path in Base("", folder).files():
        text = path.read_text(encoding="utf-8", errors="replace")[:2000]
        for pattern, name in _KNOWN_TEXTS:
            if match := pattern.search(text):
                return name.format(*match.groups())
    return None


def _card(path: Path) -> dict[str, Any]:
    """The metadata at the head of a model card; empty if there is none that can be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    match = re.match(r"---\s*\n(.*?)\n---\s*\n", text, re.DOTALL)
    try:
        value = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        value = None
    return value if isinstance(value, dict) else {}


def _shipped(licence: str | None) -> str | None:
    if (licence or "").lower() != "apache-2.0":
        return None
    return (resources.files("judgeloop.export") / "licences" / "Apache-2.0.txt").read_text(encoding="utf-8")
