"""More frozen layers than the model has: said before anything is trained, whichever training has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from e2e.conftest import make_config, tiny_model, without_children
from judgeloop.config import load
from judgeloop.errors import InputError
from judgeloop.run import driver
from judgeloop.run.display import TerminalDisplay

__all__ = ["make_config", "tiny_model", "without_children"]


@pytest.mark.usefixtures("without_children")
@pytest.mark.parametrize("section", ["sft", "train"])
def test_too_many_frozen_layers_end_a_run_at_once(
    section: str, make_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = load(make_config(), [f"{section}.freeze_layers=99"])
    with pytest.raises(InputError, match=rf"{section}\.freeze_layers is 99, and the model in .* has \d+ layers"):
        driver.execute(config, tmp_path / "run", TerminalDisplay(Console(quiet=True)))
    assert not (tmp_path / "run" / "M1").exists()


def test_adapters_leave_no_layer_to_freeze(make_config: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"freeze_layers is for method: full; lora trains none of the layers"):
        load(make_config(), ["sft.method=lora", "sft.freeze_layers=1"])
