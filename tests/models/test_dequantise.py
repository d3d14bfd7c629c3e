"""A GGUF file is read once on its way to a folder: its header takes seconds for a vocabulary of fifty thousand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file

from judgeloop.models.dequantise import restore
from judgeloop.models.gguf_export import write_gguf
from tiny import make_tiny_model


def test_header_and_names_are_read_once_and_the_weights_are_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tiny_model(tmp_path / "tiny")
    file = write_gguf(folder, tmp_path / "tiny.gguf")
    made: Counter[str] = Counter()

    def counted(kind: Any) -> None:
        begin = kind.__init__

        def init(self: Any, *given: Any, **options: Any) -> None:
            made[kind.__name__] += 1
            begin(self, *given, **options)

        monkeypatch.setattr(kind, "__init__", init)

    counted(gguf.GGUFReader)
    counted(gguf.TensorNameMap)
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    restore(str(file), str(tmp_path / "made"))
    assert made == {"GGUFReader": 1, "TensorNameMap": 1}
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before
    ours, theirs = (load_file(place / "model.safetensors") for place in (tmp_path / "made", folder))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        stored = tensor.half() if tensor.dim() > 1 else tensor
        assert torch.equal(ours[name], stored.float()), name
