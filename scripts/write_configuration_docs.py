"""Write docs/configuration.md from the descriptions in judgeloop.config. Run it after changing them."""

from __future__ import annotations

from pathlib import Path

from judgeloop.config import Config, Section, documentation

TARGET = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"

HEAD = """# Configuration

Made by `scripts/write_configuration_docs.py` from `src/judgeloop/config/`; change the descriptions there.

A config is a YAML file of sections and keys; every key may be left out but one of `seed_data.ift` and
`seed_data.ranked`. On the command line, `--set section.key=value` (any number of times) overrides the file; the value
is read as YAML, so `--set sft.learning_rate=1e-5`, `--set prompts.files=[a.jsonl,b.jsonl]` and `--set threads=null`
all work. Relative paths in the file are relative to the file, those of `--set` to the working directory. `null` is
YAML's word for "not set", `[]` an empty list. An unknown key is refused. The run directory keeps the whole tree,
defaults included, as `config.yaml`.
"""


def page() -> str:
    """The whole page: the keys of the top level, then a table for each section."""
    top = [row for row in documentation() if "." not in row[0]]
    parts = [HEAD, "## Top level\n", _table(top)]
    for name, info in Config.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, Section):
            about = " ".join((section.__doc__ or "").split())
            parts += [f"## {name}\n", f"{about}\n", _table(documentation(section, f"{name}."))]
    return "\n".join(parts)


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = ["| key | default | what it does |", "|---|---|---|"]
    lines += [f"| `{key}` | `{default}` | {about.replace('|', chr(92) + '|')} |" for key, default, about in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(page(), encoding="utf-8")
