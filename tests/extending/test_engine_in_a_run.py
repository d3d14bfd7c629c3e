"""An engine from a user's file in a run: chosen by its name, cut off, gone on with, fingerprinted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from e2e.conftest import judgeloop, make_config, tiny_model  # noqa: F401
from e2e.test_checker_runs import trained_already

Command = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = """
from pathlib import Path

from judgeloop.config.choices import ENGINES
from judgeloop.engines.kinds import EngineKind
from judgeloop.engines.scripted import ScriptedEngine

FLAG = Path({flag!r})


class Fragile(ScriptedEngine):
    def generate(self, requests):
        for number, found in enumerate(super().generate(requests)):
            if number == 2 and FLAG.exists():
                raise RuntimeError("the engine fails here")
            yield found


ENGINES.register("fragile")(EngineKind(lambda given: Fragile(given.chat, seed=given.seed)))
"""


def test_an_engine_of_a_plugin_in_a_run(
    make_config: Callable[..., Path],  # noqa: F811
    judgeloop: Command,  # noqa: F811
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
) -> None:
    flag, plugin, out = tmp_path / "flag", tmp_path / "mine.py", tmp_path / "run"
    plugin.write_text(PLUGIN.format(flag=str(flag)), encoding="utf-8")
    config = make_config(iterations=0, engine={"kind": "fragile"}, plugins=[str(plugin)])
    trained_already(config, out, tiny_model)
    flag.touch()
    failed = judgeloop("run", str(config), "--out", str(out))
    assert failed.returncode == 1
    assert "the engine fails here" in failed.stderr
    path = out / "M0" / "eval.responses.jsonl"
    begun = path.read_bytes()
    assert begun.count(b"\n") == 2

    flag.unlink()
    done = judgeloop("run", str(config), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(begun)  # what was there is kept
    marker = json.loads((out / "M0" / ".eval.done.json").read_text())
    assert marker["settings"]["engine.kind"].startswith("fragile (sha256:")

    plugin.write_text(PLUGIN.format(flag=str(flag)) + "\n# changed\n", encoding="utf-8")
    stale = judgeloop("run", str(config), "--out", str(out))
    assert stale.returncode == 2
    assert "engine.kind was" in stale.stderr
