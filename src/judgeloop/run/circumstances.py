"""What shapes a step's result and is no key of the config: what the code does by now, texts that ship with it, files of
a user's models, the engine that `auto` picked.

They are noted in a step's markers beside the fingerprint and are no part of it. So a new version of judgeloop makes
nothing stale by its number alone, and a marker that does not note one of them yet says nothing against it. With the
version in the fingerprint, a typing error mended in a message would send every user back to M1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from judgeloop import shipped
from judgeloop.config import Config
from judgeloop.models.contents import beside_hash, content_hash
from judgeloop.run.stage import Frozen, Step

TEXTS, ENGINES = "texts", "engines"  # noted while the step is at work
_CHANGES, _MODELS = "changes", "models"
KEY = "circumstances"  # of the markers


def circumstances(step: Step, config: Config) -> dict[str, Any]:
    """What is known before the step begins: the changes of its stage that matter under this config, and the contents
    of the user's models that play a role."""
    frozen = {g.path for given in step.given.values() for g in given if isinstance(g, Frozen)}
    return {
        _CHANGES: [change.name for change in step.stage.changes if change.matters(config)],
        _MODELS: {path: _contents(Path(path)) for path in sorted(frozen) if (Path(path) / "config.json").is_file()},
    }


def difference(made: Mapping[str, Any], step: Step, expected: Mapping[str, Any]) -> str | None:
    """The first thing that is otherwise than in the circumstances `made`, in words; None if nothing is."""
    before = made.get(_CHANGES, [])
    says = {change.name: change.says for change in step.stage.changes}
    for name in expected[_CHANGES]:
        if name not in before:
            return f"judgeloop does it otherwise than the one that made it: {says[name]}"
    if later := [name for name in before if name not in says]:
        return f"a later judgeloop made it ({', '.join(later)})"
    for path, contents in made.get(_MODELS, {}).items():
        if expected[_MODELS].get(path, contents) != contents:
            return f"{path} changed (its weights, tokenizer, generation_config.json or code)"
    for name, digest in made.get(TEXTS, {}).items():
        if shipped.hash_now(name) != digest:
            return f"judgeloop's text {name} is another than the one it was made with"
    return None


def _contents(folder: Path) -> list[str]:
    return [content_hash(folder), beside_hash(folder)]
