"""Imports run one way, and what must be light is light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import judgeloop

ROOT = Path(judgeloop.__file__).resolve().parent
FILES = sorted(ROOT.rglob("*.py"))

# From the top down. A part may import what is in a lower row, and itself. A name with a dot is a single module that has
# a row of its own; the other modules of its folder are in the folder's row.
LAYERS = (
    {"__main__"},
    {
        "cli",
        "run.worker",
        "run.check_players",
        "run.check_checker",
        "run.check_served",
        "run.check_cluster",
        "run.cluster_training",
    },
    {"api"},
    {"commands"},
    {"run.driver", "run.display", "run.child"},
    {"run.preflight"},
    {"run.children"},
    {"forecast", "export", "tracking"},
    {"run.other_ranks"},
    {"run.stopping"},
    {"run.comparison"},
    {"run.methods"},
    {"viewer"},
    {"loop", "report"},
    {"stages"},
    {"training"},
    {"compute"},
    {"evaluation", "seed"},
    {"eft"},
    {"seed.leakage"},
    {"instructions"},
    {"judging"},
    {"engines"},
    {"run.seals", "run.short_training"},
    {"run.directory"},
    {"run.fingerprints"},
    {"run.plan"},
    {"run"},
    {"pair_account"},
    {"models", "pairs", "data"},
    {"text"},
    {"forecast.work"},
    {"config", "records"},
    {"training.distributed", "jsonl", "shipped", "artifacts"},
    {"errors"},
    {"__init__"},
)
# Tighter than their row.
ONLY = {
    "config": {"errors"},
    "records": set(),
    "artifacts": set(),
    "jsonl": {"errors"},
    "run.stage": {"config", "errors"},
    "run.plan": {"config", "errors", "run.stage"},
    "run.fingerprints": {"config", "models.contents", "run.stage"},
    "run.json_artifacts": {"artifacts", "errors", "jsonl"},
    "run.directory": {
        "__init__",
        "config",
        "errors",
        "jsonl",
        "run.circumstances",
        "run.fingerprints",
        "run.json_artifacts",
        "run.stage",
    },
    "run.seals": {"errors", "models.contents", "run.directory", "run.json_artifacts", "run.stage"},
    "run.display": {"report.bars", "report.printing", "run.samples", "run.stage"},
    "run.stopping": {"config", "errors", "run.comparison", "run.directory", "run.json_artifacts", "run.stage"},
    "run.comparison": {"errors", "evaluation.statistics", "report.wording"},
    "run.methods": {"config", "errors", "loop", "run.plan", "run.stage", "stages"},
    "loop": {"config", "errors", "run.plan", "run.stage", "stages"},
    "pairs": {"config", "records"},
    "models": {"artifacts", "config", "errors", "jsonl", "records", "text"},
    "data": {"config", "errors", "jsonl", "models", "records", "text"},
    "text": {"errors"},
    "report": {
        "__init__",
        "artifacts",
        "errors",
        "jsonl",
        "records",
        "run.samples",
        "text.printable",
    },  # it reads the run directory, not the code that wrote it
    "viewer": {
        "config",
        "data",
        "errors",
        "evaluation.statistics",
        "jsonl",
        "pairs",
        "records",
        "report",
        "text.printable",
    },  # it reads the run directory and loads neither an engine nor a training
    "evaluation": {"config", "data", "engines.base", "errors", "jsonl", "judging", "models.chat", "records"},
    "compute": {
        "__init__",
        "config",
        "engines",
        "errors",
        "models.chat",
        "models.hardware",
        "training.distributed",
    },
    "judging": {
        "config",
        "data",
        "engines.base",
        "engines.messages",
        "errors",
        "jsonl",
        "models.chat",
        "models.check_rows",
        "records",
        "shipped",
        "text",
    },
    "instructions": {
        "config",
        "data",
        "engines.base",
        "errors",
        "jsonl",
        "judging",
        "models.chat",
        "records",
        "shipped",
        "text",
    },
    "training": {"config", "errors", "jsonl", "models", "records", "training.distributed"},
}
HEAVY = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "openvino", "openvino_genai", "gguf"}
HEAVY |= {"plotly", "tokenizers", "huggingface_hub"}
MAY_BE_HEAVY = ("engines/", "training/", "models/dequantise.py", "models/gguf_export.py", "models/merge.py")
MAY_BE_HEAVY += ("models/tree_attention.py", "models/tree_plan.py")


def part(module: str) -> str:
    """judgeloop.engines.base → engines; judgeloop.run.driver → run.driver; judgeloop → __init__."""
    pieces = module.split(".")
    alone = ".".join(pieces[1:3])
    return alone if any(alone in layer for layer in LAYERS) else pieces[1] if len(pieces) > 1 else "__init__"


def module_of(path: Path) -> str:
    pieces = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(pieces[:-1] if pieces[-1] == "__init__" else pieces)


def imported(path: Path, *, top_only: bool = False) -> list[str]:
    """Modules that a file imports: `from judgeloop.stages import seed` counts as judgeloop.stages.seed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they go"
            module = node.module or ""
            for alias in node.names:
                inner = ROOT.parent.joinpath(*module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                found.append(f"{module}.{alias.name}" if is_module else module)
    return found


def ours(path: Path) -> list[str]:
    return [name for name in imported(path) if name.split(".")[0] == "judgeloop"]


def row(name: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if name in layer)


def test_every_part_has_its_row() -> None:
    parts = {part(module_of(path)) for path in FILES}
    assert parts == set().union(*LAYERS)
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    mine = part(module_of(path))
    for name in ours(path):
        other = part(name)
        assert other == mine or row(other) > row(mine), f"{path.relative_to(ROOT)} imports {name}"
        if mine in ONLY and other != mine:
            allowed = {other, name.removeprefix("judgeloop.")} & ONLY[mine]
            assert allowed, f"{path.relative_to(ROOT)} imports {name}; {mine} may import {sorted(ONLY[mine])}"


def test_modules_of_one_part_form_no_circle() -> None:
    graph = {module_of(path): set(ours(path)) for path in FILES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " → ".join([*trail, module])
        if module in done:
            return
        for other in graph.get(module, set()) - {module}:
            visit(other, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_are_imported_where_they_work(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    heavy = {module.split(".")[0] for module in imported(path, top_only=True)} & HEAVY
    assert not heavy or name.startswith(MAY_BE_HEAVY), f"{name} imports {sorted(heavy)} when it is imported"


@pytest.mark.parametrize(
    "code",
    [
        "import judgeloop.cli",
        "import judgeloop.run.driver, judgeloop.run.display",
        "import judgeloop.commands.examine_machine; judgeloop.commands.examine_machine.examine()",
        "import judgeloop.run.worker",
        "import judgeloop; judgeloop.run; judgeloop.open_run",
        "import sys, judgeloop.cli; sys.argv = ['judgeloop', '--help']\n"
        "try: judgeloop.cli.main()\nexcept SystemExit as end: assert end.code == 0\n"
        "assert 'rich' not in sys.modules",
    ],
    ids=["cli", "driver", "doctor", "worker", "api", "help"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    after = f"\nimport sys; print('loaded:', sorted(set({sorted(HEAVY)!r}) & sys.modules.keys()))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    done = subprocess.run([sys.executable, "-c", code + after], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        ("judgeloop.config, judgeloop.records, judgeloop.evaluation.metrics", {"numpy", "scipy", "rich", "typer"}),
        ("judgeloop.loop, judgeloop.run.driver", {"scipy", "typer", "plotly"}),
        ("judgeloop.cli", {"numpy", "pydantic", "rich", "torch", "yaml"}),  # --help
    ],
    ids=["config", "driver", "cli"],
)
def test_what_every_process_imports_is_light(modules: str, without: set[str]) -> None:
    code = f"import sys, {modules}\n"
    code += f"print(sorted({{m.split('.')[0] for m in sys.modules}} & {without}))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "[]\n", done.stderr
