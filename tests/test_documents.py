"""The documents agree with the code, and the project speaks of itself alone."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
import pytest
import typer

import judgeloop.config.choices
from judgeloop.cli import app
from judgeloop.config import documentation
from judgeloop.pairs import Judged
from judgeloop.records import Candidate, Prompt

ROOT = Path(__file__).resolve().parents[1]


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [path]
    return [found for name, sub in inner.items() for found in commands(sub, (*path, name))]


def script_of(name: str) -> ModuleType:
    """A file of scripts/, loaded."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_diagram_of_the_loop_is_up_to_date() -> None:
    written = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert written == script_of("write_loop_diagram").page(written), "run python scripts/write_loop_diagram.py"
    assert 'M2_train["M2/train<br/>preference training"]' in written


def test_the_newcomers_table_names_what_is_there() -> None:
    written = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line for line in written.splitlines() if "tests/extending/" in line]
    assert len(rows) == 6
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert (ROOT / cells[-1].strip("`")).is_file(), row
    for choices in re.findall(r"`(\w+)` in `config/choices\.py`", written):
        assert hasattr(judgeloop.config.choices, choices)


def test_the_example_of_a_plugin_works(tmp_path: Path) -> None:
    written = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (code,) = (part for part in re.findall(r"```python\n(.*?)```", written, re.S) if part.startswith("# mine.py"))
    plugin = tmp_path / "mine.py"
    plugin.write_text(code, encoding="utf-8")
    tree = {"seed_data": {"ift": "seed.jsonl"}, "plugins": [str(plugin)], "pairs": {"rule": "margin_of_two"}}
    config = judgeloop.config.parse(tree, "test")
    rule = judgeloop.config.choices.PAIR_RULES[config.pairs.rule]
    prompt = Prompt.of([{"role": "user", "content": "Why?"}], "test")
    rows = [Candidate(str(k), prompt.id, f"Answer {k}.", [1], "stop") for k in range(2)]
    close, far = ({"0": 3.0, "1": low} for low in (1.5, 0.5))
    made = [rule(Judged([prompt], rows, [], scores), config.pairs, 1, 0) for scores in (close, far)]
    assert [len(each.pairs) for each in made] == [0, 1]


def test_the_configuration_page_is_up_to_date() -> None:
    script = script_of("write_configuration_docs")
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == script.page(), "run python scripts/write_configuration_docs.py"
    assert all(written.count(f"| `{key}` | `{default}` |") == 1 for key, default, _ in documentation())


def test_the_commands_are_those_expected() -> None:
    found = {" ".join(path) for path in commands(typer.main.get_command(app))}
    assert found == {
        "init", "plan", "run", "status", "report", "view", "export", "push", "seed", "instruct", "judge",
        "eval agreement", "eval winrate", "eval ifeval", "models list", "models pull", "models show", "doctor",
        "completion",
    }  # fmt: skip


@pytest.mark.parametrize("command", [" ".join(path) for path in commands(typer.main.get_command(app))])
def test_the_readme_documents_the_command(command: str) -> None:
    assert f"judgeloop {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


PAGES = sorted(path for path in (*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md")) if path.name != "lab-log.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_a_page_tells_to_type_is_a_command_with_these_options(page: Path) -> None:
    """The lab log tells what was typed then."""
    blocks, prose = [], []
    for number, part in enumerate(re.split(r"^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE)):
        (blocks if number % 2 else prose).append(part)
    typed = "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", "\n".join(prose))])
    for line in re.findall(r"(?:^|&& |bin/)judgeloop ([^\n#|;&]*)", typed, re.MULTILINE):
        words = [word.strip("[]()…,.") for word in line.split()]
        command: click.Command = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
        assert not getattr(command, "commands", None) or not words or words[0].startswith("--"), line
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, line


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


PERMISSIVE = {"Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT", "BSD", "BSD-2-Clause", "BSD-3-Clause", "0BSD",
              "BSL-1.0", "Zlib", "CC0-1.0", "PSF-2.0"}  # fmt: skip


def test_every_dependency_has_a_permissive_licence() -> None:
    rows = script_of("write_licences_docs").table()
    assert {"torch", "transformers", "trl", "openai"} <= {name for name, *_ in rows}
    for name, version, licence, parts in rows:
        allowed = PERMISSIVE | ({"MPL-2.0"} if parts == "dev" else set())
        if version != "not installed":
            assert set(re.split(r" (?:AND|OR) ", licence)) <= allowed, name


def test_the_page_of_licences_names_every_dependency() -> None:
    written = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    script = script_of("write_licences_docs")
    assert written.startswith(script.INTRODUCTION)
    named = re.findall(r"^\| ([\w.-]+) \| [^|]+\|[^|]*\| ([^|]+) \|$", written, re.MULTILINE)[1:]
    wanted = {name: ", ".join(sorted(parts)) for name, parts in script.dependencies().items()}
    assert dict(named) == wanted, "run python scripts/write_licences_docs.py"


def test_the_quickstart_installs_the_same_with_and_without_make() -> None:
    made = re.search(r"-e '(\.\[[\w,]+\])'\n", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert made is not None
    assert made[1] == ".[eval,view]"
    for name in ("README.md", "README.zh-CN.md"):
        assert f"-e '{made[1]}' && .venv/bin/judgeloop run" in (ROOT / name).read_text(encoding="utf-8")
