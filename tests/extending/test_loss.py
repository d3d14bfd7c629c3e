"""A preference loss of a user's own: one Python file outside the package, named in the config.

It is chosen by its name, trains, goes on after a kill, is written to the metrics under its name, and an edit of its
file makes the training anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import judgeloop
from judgeloop.config import choices, load
from judgeloop.config.choices import LOSSES
from judgeloop.errors import InputError
from tiny import make_tiny_model

SQUARED = '''
import os, signal
from pathlib import Path
from judgeloop.config.choices import LOSSES

@LOSSES.register("squared")
def squared(ratios, beta, smoothing):
    """(1 − βΔ)²"""
    calls = Path(__file__).with_name("calls")
    with calls.open("a") as file:
        file.write("x")
    if calls.stat().st_size == 3:  # once, in the third step
        os.kill(os.getpid(), signal.SIGKILL)
    return (1 - beta * ratios.margin) ** 2
'''
REFERENCE_FREE = """
from judgeloop.config.choices import LOSSES
from judgeloop.training.losses import PreferenceLoss

LOSSES.register("louder")(
    PreferenceLoss(
        "louder",
        lambda terms, section, smoothing: (terms.rejected - terms.chosen, {"chosen_logps": terms.chosen}),
        reference=False,
        ld_alpha=False,
    )
)
"""


@pytest.fixture(autouse=True)
def forget_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers in this process is gone after it."""
    monkeypatch.setattr(LOSSES, "_added", {})
    monkeypatch.setattr(choices, "_loaded", {})


def prepare(folder: Path, plugin: str = SQUARED, **train: Any) -> Path:
    """A config of a short run: four pairs, a step each."""
    (folder / "plugin.py").write_text(plugin, encoding="utf-8")
    for name, rows in (("seed", 8), ("prompts", 8), ("held_out", 2)):
        lines = [{"prompt": f"Say {name} {k}.", "response": f"It is {k}."} for k in range(rows)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    tree = {
        "model": "tiny", "threads": 1, "iterations": 1, "plugins": "plugin.py", "engine": {"kind": "scripted"},
        "seed_data": {"ift": "seed.jsonl"}, "sft": {"precision": "f32"},
        "prompts": {"source": "file", "files": ["prompts.jsonl"], "count": 4}, "candidates": {"count": 3},
        "train": {"loss": "squared", "precision": "f32", "batch_size": 1, "checkpoint_steps": 1, **train},
        "evaluation": {"prompts": "held_out.jsonl", "count": 2, "samples": 1, "bootstrap": 20},
    }  # fmt: skip
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def run(config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "judgeloop", "run", str(config), "--out", str(config.parent / "out")]
    path = str(Path(judgeloop.__file__).parents[1])
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    )


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [row for row in rows if row["model"] == "M2" and row["stage"] == "train"]
    assert [row["step"] for row in found] == [1, 2, 3, 4]
    assert all(row["squared_loss"] == row["preference_loss"] for row in found)
    return [row["squared_loss"] for row in found]


def test_a_loss_from_a_file_trains_resumes_and_is_fingerprinted(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "tiny")
    config, out = prepare(tmp_path, learning_rate=1e-3, beta=1.0), tmp_path / "out"
    killed = run(config)
    assert killed.returncode == 1, killed.stderr
    assert "killed by SIGKILL" in killed.stderr
    assert (out / "M2" / "checkpoints" / "checkpoint-2").exists()

    resumed = run(config)
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "calls").stat().st_size == 3 + 2  # steps 3 and 4, of which 3 was begun before
    found = losses(out)
    assert found[0] == pytest.approx(1.0, abs=1e-4)  # policy and reference agree, so Δ is 0
    assert all(abs(value - 1) > 1e-4 for value in found[1:])
    before = json.loads((out / "M2" / "train.json").read_text(encoding="utf-8"))
    assert before["first_loss"] == found[0]

    assert run(config).returncode == 0
    assert (tmp_path / "calls").stat().st_size == 5  # nothing to do
    (tmp_path / "plugin.py").write_text(SQUARED.replace("(1 - beta", "(2 - beta"), encoding="utf-8")
    refused = run(config)
    assert refused.returncode == 2
    assert "train.loss" in refused.stderr


def test_a_loss_without_a_reference_brings_its_own_declaration(tmp_path: Path) -> None:
    config = load(prepare(tmp_path, REFERENCE_FREE, loss="louder"))
    loss = LOSSES[config.train.loss]
    assert (loss.name, loss.reference, loss.metric) == ("louder", False, "louder_loss")
    with pytest.raises(InputError, match=r"config\.yaml: key 'train': ld_alpha changes log-ratios, and louder has"):
        load(tmp_path / "config.yaml", ["train.ld_alpha=0.5"])
    with pytest.raises(InputError, match=r"label_smoothing is for dpo, robust and exo_pair, not louder"):
        load(tmp_path / "config.yaml", ["train.label_smoothing=0.1"])
    with pytest.raises(InputError, match=r"train\.loss.*'sft_best' or 'louder'.*given: 'quieter'"):
        load(tmp_path / "config.yaml", ["train.loss=quieter"])


def test_a_plugin_that_registers_something_else_is_refused_as_the_config_is_read(tmp_path: Path) -> None:
    plugin = "from judgeloop.config.choices import LOSSES\nLOSSES.register('wrong')(lambda margin: margin)\n"
    with pytest.raises(InputError, match=r"train\.loss: 'wrong' is registered, but not as a loss") as found:
        load(prepare(tmp_path, plugin, loss="wrong"))
    assert found.value.exit_code == 2
