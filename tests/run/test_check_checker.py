"""The user's checker is tried before anything is made."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from judgeloop.errors import InputError
from judgeloop.run.check_checker import try_checker


def run_with(tmp_path: Path, source: str) -> Any:
    (tmp_path / "checker.py").write_text(source, encoding="utf-8")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(
        "".join(json.dumps({"prompt": f"Say {k}.", "kind": k}) + "\n" for k in range(5)), encoding="utf-8"
    )
    section = SimpleNamespace(checker=str(tmp_path / "checker.py"), prompts=[str(prompts)])
    return SimpleNamespace(config=SimpleNamespace(evaluation=section))


def test_a_module_that_only_some_prompts_need_is_missed_at_once(tmp_path: Path) -> None:
    lines = ["def check(prompt, response, finished):", "    if prompt['kind'] == 4:", "        import not_installed"]
    source = "\n".join([*lines, "    return True", ""])
    with pytest.raises(InputError, match="No module named 'not_installed'"):
        try_checker(run_with(tmp_path, source))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check"):
        try_checker(run_with(tmp_path, "x = 1\n"))


def test_what_a_checker_makes_of_a_text_that_no_model_wrote_is_not_its_fault(tmp_path: Path) -> None:
    try_checker(run_with(tmp_path, "def check(prompt, response, finished):\n    raise ValueError(response)\n"))
