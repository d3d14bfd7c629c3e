"""The documents agree with the code, and the project speaks of itself alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click
import pytest
import typer

from judgeloop.cli import app
from judgeloop.config import documentation

ROOT = Path(__file__).resolve().parents[1]


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [path]
    return [found for name, sub in inner.items() for found in commands(sub, (*path, name))]


def test_the_configuration_page_is_up_to_date() -> None:
    path = ROOT / "scripts" / "write_configuration_docs.py"
    spec = importlib.util.spec_from_file_location("write_configuration_docs", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == script.page(), "run python scripts/write_configuration_docs.py"
    assert all(written.count(f"| `{key}` | `{default}` |") == 1 for key, default, _ in documentation())


def test_the_commands_are_those_expected() -> None:
    found = {" ".join(path) for path in commands(typer.main.get_command(app))}
    assert found == {
        "run", "status", "report", "seed", "instruct", "judge", "eval agreement", "eval winrate", "eval ifeval",
        "models list", "models pull", "models show", "doctor",
    }  # fmt: skip


@pytest.mark.parametrize("command", [" ".join(path) for path in commands(typer.main.get_command(app))])
def test_the_readme_documents_the_command(command: str) -> None:
    assert f"judgeloop {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_file_names_a_path_of_one_machine() -> None:
    suffixes = {".py", ".md", ".yaml", ".yml", ".jsonl", ".txt", ".j2", ".html", ".toml"}
    files = [ROOT / "README.md", ROOT / "pyproject.toml"]
    for folder in ("src", "docs", "configs", "scripts", "benchmarks"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    assert len(files) > 60
    for path in files:
        text = path.read_text(encoding="utf-8")
        found = [place for place in ("/work/", "/tmp/", "/home/", "/root/") if place in text]
        assert not found, f"{path.relative_to(ROOT)} names {found}"
