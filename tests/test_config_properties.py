"""Whatever stands in a config file, it is read or refused with one line: never another exception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from judgeloop.config import Config, known_keys, load, parse
from judgeloop.errors import InputError

KEYS = [key for key in known_keys() if key != "plugins"]  # a plugin is run, and random names are no files
reproducible = settings(
    max_examples=300, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
TEXT = st.text(max_size=20) | st.sampled_from(("", "~", "~nobody-at-all/x", "a\0b", "M1", "openai:", "hf:", "x" * 300))
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.dates()
    | st.sampled_from((10**400, -(10**400), 1e308, 0, -1))
)  # fmt: skip
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def outcome(read: Callable[[], Config]) -> Config | None:
    try:
        return read()
    except InputError as error:
        said = str(error)
    assert said.strip()
    assert "\n" not in said
    return None


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        inner = tree.setdefault(section, {})
        if not isinstance(inner, dict):
            return
        tree = inner
    tree[name] = value


@reproducible
@given(changes=st.lists(st.tuples(st.sampled_from(KEYS) | TEXT, VALUES), max_size=4))
@example(changes=[("plugins", 3)])
@example(changes=[("plugins", {"a": 1})])
@example(changes=[("judge.rubric", "Is it good? " * 50)])
@example(changes=[("evaluation", [1])])
@example(changes=[("seed_data.ift", ["a\0b"])])
@example(changes=[("seed_data.fields", {"prompt": 3})])
def test_a_tree_is_a_config_or_an_input_error(changes: list[tuple[str, Any]], tmp_path: Path) -> None:
    tree: dict[str, Any] = {"seed_data": {"ift": "seed.jsonl"}}
    for key, value in changes:
        put(tree, key, value)
    found = outcome(lambda: parse(tree, "test"))
    file = tmp_path / "config.yaml"
    try:
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    except (yaml.YAMLError, ValueError):
        return  # what YAML cannot say nobody can write
    outcome(lambda: load(file))
    if found is not None:  # what was accepted can be written and read again
        assert outcome(lambda: parse(yaml.safe_load(found.resolved_yaml()), "again")) == found


@reproducible
@given(text=st.text() | st.text(alphabet=":-[]{}&*!?|>'\"%@`#, \n\tab1~<"))
@example(text="a: " + "[" * 3000)
@example(text="a: &a {b: *a}")
@example(text="a: &a [*a]\n")
@example(text="<<: 3\n")
@example(text="<<: [1, 2]\n")
@example(text="? {a: 1}\n: 2\n")
@example(text="seed: 1\nseed: 2\n")
@example(text="seed: 2001-99-99\n")
@example(text="seed: !!binary 3\n")
@example(text="seed: !!int x\n")
@example(text="seed: 0x\n")
@example(text="seed: 1:99:99\n")
@example(text="seed_data: &a\n  ift: *a\n")
def test_a_text_is_a_config_or_an_input_error(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    outcome(lambda: load(file))


@reproducible
@given(override=st.text() | st.builds("{}={}".format, st.sampled_from(KEYS), TEXT | VALUES.map(str)))
@example(override="seed=2001-99-99")
@example(override="a.b..c=1")
@example(override=".=1")
@example(override="seed_data.=x")
@example(override="judge.rubric=~nobody-at-all/x")
@example(override="seed=[" + "[" * 3000)
def test_an_override_is_a_config_or_an_input_error(override: str, tmp_path: Path) -> None:
    if override.strip().startswith("plugins"):
        return
    file = tmp_path / "config.yaml"
    file.write_text("seed_data: {ift: seed.jsonl}\n", encoding="utf-8")
    outcome(lambda: load(file, [override]))


def test_a_key_is_there_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("seed_data: {ift: a}\ntrain:\n  beta: 0.1\n  epochs: 1\n  beta: 0.2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.yaml:5: .*'beta' is there twice"):
        load(file)
    file.write_text("seed_data: &s {ift: a}\nsft: &t {epochs: 1}\ntrain: {<<: *t, epochs: 2}\n", encoding="utf-8")
    assert load(file).train.epochs == 2  # a merged key may be said anew
