"""docs/judgeloop.ipynb runs from its first cell to its last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.conftest import tiny_model  # noqa: F401

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "judgeloop.ipynb"


def settings(model: Path, folder: Path) -> dict[str, str]:
    return {**os.environ, "NOTEBOOK_MODEL": str(model), "NOTEBOOK_FOLDER": str(folder), "HF_HUB_OFFLINE": "1"}


def test_the_notebook_holds_no_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_its_cells_run_one_after_another(tiny_model: Path, tmp_path: Path) -> None:  # noqa: F811
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    script = tmp_path / "cells.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=settings(tiny_model, tmp_path / "made")
    )
    assert done.returncode == 0, done.stderr
    for said in ("M2  preference training", "M2 agreement", "chosen ", "Salt keeps food"):
        assert said in done.stdout


def test_it_runs_in_a_kernel(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    for name, value in settings(tiny_model, tmp_path / "made").items():
        monkeypatch.setenv(name, value)
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    assert any("<judgeloop run" in str(output) for output in outputs)
