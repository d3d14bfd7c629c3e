"""The section `engine` of commands: from --engine and --set, and from the run that made a model."""

from __future__ import annotations

from typing import Any

from judgeloop.commands.engine_choice import engine_for, engine_options
from judgeloop.config import EngineSection, VllmSection
from judgeloop.models.run_note import RunNote
from judgeloop.stages.run_note import shaping


def note(engine: dict[str, Any]) -> RunNote:
    return RunNote("M1", "0.0", None, None, "auto", {}, engine)


def test_keys_of_sections_within_the_engines_are_taken() -> None:
    section = engine_for(None, engine_options("vllm", ["engine.vllm.memory_share=0.5", "engine.cache_gib=3"]))
    assert (section.kind, section.vllm.memory_share, section.vllm.engines, section.cache_gib) == ("vllm", 0.5, None, 3)


def test_a_note_has_what_shapes_results_and_is_not_told_as_it_was_before(capsys: Any) -> None:
    plain = EngineSection()
    assert shaping(plain) == {"kind": "auto", "precision": "default"}
    rounded = EngineSection(kind="vllm", vllm=VllmSection(quantization="fp8", engines=2))
    assert shaping(rounded) == {"kind": "vllm", "precision": "default", "vllm": {"quantization": "fp8"}}
    assert engine_for(note(shaping(rounded)), {}).vllm.quantization == "fp8"
    assert "engine.vllm" in capsys.readouterr().err
    assert engine_for(note(shaping(plain)), {}) == plain
    assert capsys.readouterr().err == ""
