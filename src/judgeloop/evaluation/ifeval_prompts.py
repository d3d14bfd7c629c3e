"""Prompts whose instructions a program can check, as IFEval's file has them."""

from __future__ import annotations

from pathlib import Path

from judgeloop.data.sources import open_source
from judgeloop.errors import InputError
from judgeloop.evaluation.verifiable import VerifiablePrompt
from judgeloop.records import stable_id


def read_verifiable(source: str | Path) -> list[VerifiablePrompt]:
    """Rows `{"key", "prompt", "instruction_id_list", "kwargs"}`. Raises InputError with file and row for any other."""
    found: dict[str, VerifiablePrompt] = {}
    for place, row in open_source(source).rows:
        prompt = row.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise place.error("a row without 'prompt'", "bring prompts in IFEval's format")
        names, arguments = row.get("instruction_id_list"), row.get("kwargs")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise place.error("a row without 'instruction_id_list'", "bring prompts in IFEval's format")
        if not isinstance(arguments, list) or not all(isinstance(value, dict) for value in arguments):
            raise place.error("'kwargs' is not a list of objects", "give one object for each instruction")
        if len(arguments) != len(names):
            raise place.error(f"{len(names)} instructions, {len(arguments)} kwargs", "give one for each instruction")
        name = str(row.get("key", stable_id("v", prompt, names)))
        if name in found:
            raise place.error(f"the key {name} occurs twice", "give each prompt a key of its own")
        found[name] = VerifiablePrompt(name, prompt, names, arguments)
    if not found:
        raise InputError.at(source, None, "has no rows", "add rows or name another file")
    return list(found.values())
