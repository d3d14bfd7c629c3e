from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from bad_configs import CONFIGS
from bad_data import DATA
from bad_input import Case, contents, prepare
from bad_models import MODELS

from judgeloop.cli import main
from judgeloop.run import driver
from judgeloop.run.directory import RunDirectory
from judgeloop.run.stage import Step
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context

CASES = [*CONFIGS, *DATA, *MODELS]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_one_line(case, tmp_path, tiny_model, monkeypatch, capfd):
    def here(run: RunDirectory, step: Step, display: driver.Display) -> None:
        run_stage(Context(run, step, display.progress))

    monkeypatch.setattr(driver, "_in_child", here)
    monkeypatch.setattr(RunDirectory._take_lock, "__defaults__", (0.0,))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "work"
    folder.mkdir()
    prepare(folder, case, tiny_model)
    monkeypatch.chdir(folder)
    before = contents(folder)
    monkeypatch.setattr(sys, "argv", ["judgeloop", *shlex.split(case.command)])
    code = 0
    kind = ""
    try:
        main()
    except SystemExit as e:
        code = e.code
    except BaseException as e:
        code = f"TRACEBACK {type(e).__name__}: {e}"
        import traceback
        tb = traceback.extract_tb(e.__traceback__)
        kind = " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(tb[-6:]))
    said = capfd.readouterr()
    after = contents(folder)
    changed = [n for n in before if after.get(n) != before[n]]
    new = [n for n in after if n not in before]
    with open(os.environ["EXPLORE"], "a") as out:
        print(f"== {case.name} | {case.command} | {code} {kind}", file=out)
        print("  ERR:", said.err.strip().replace(str(folder), "$W"), file=out)
        if changed: print("  CHANGED:", changed, file=out)
        if [n for n in new if "/M1/model" in n]: print("  TRAINED", file=out)
        print("  NEW:", len(new), [n for n in new if not n.startswith("run/")][:5], file=out)
