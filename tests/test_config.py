from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from judgeloop.config import Config, documentation, known_keys, load, parse
from judgeloop.errors import InputError

SEED = {"seed_data": {"ift": "seed.jsonl"}}


def write(folder: Path, tree: object) -> Path:
    path = folder / "config.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"iteratons": 3}, "unknown key 'iteratons'; did you mean 'iterations'?"),
        ({"train": {"betta": 0.1}}, "unknown key 'train.betta'; did you mean 'train.beta'?"),
        ({"beta": 0.1}, "unknown key 'beta'; did you mean 'train.beta'?"),
        ({"sft": {"lora": {"ranks": 4}}}, "unknown key 'sft.lora.ranks'; did you mean 'sft.lora.rank'?"),
        ({"zzzzzzzz": 1}, "unknown key 'zzzzzzzz'; docs/configuration.md lists the keys"),
        ({"iterations": "two"}, "key 'iterations': .*valid integer.*given: 'two'"),
        ({"iterations": -1}, "key 'iterations': .*greater than or equal to 0.*given: -1"),
        ({"iterations": 1.5}, "key 'iterations': .*integer"),
        ({"sft": {"learning_rate": "fast"}}, "key 'sft.learning_rate': .*valid number"),
        ({"sft": {"learning_rate": float("nan")}}, "key 'sft.learning_rate'"),
        ({"sft": {"learning_rate": float("inf")}}, "key 'sft.learning_rate': .*finite"),
        ({"sft": 3}, "key 'sft'"),
        ({"seed_data": {"ift": [1]}}, r"key 'seed_data.ift.0': .*string"),
        ({"seed_data": {"ranked": "a", "lang": False}}, "key 'seed_data.lang': .*string"),  # YAML's `no`
        ({"engine": {"kind": "cpu"}}, "key 'engine.kind': .*'openvino'.*given: 'cpu'"),
        ({"judge": {"max_samples": 6}}, "max_samples needs written judgements"),
        ({"judge": {"scoring": "sampled", "samples": 4, "max_samples": 3}}, "max_samples .3. is below samples .4."),
        ({"judge": {"function": "x.py", "contrast": {"others": 1}}}, "function is no model; set contrast.others: 0"),
        ({"judge": {"contrast": {"others": 3}}, "prompts": {"count": 3}}, "3 other prompts of 3 an iteration"),
        (
            {"judge": {"contrast": {"others": 3}}, "prompts": {"count": 4, "later_counts": [9, 2]}},
            r"3 other prompts of 2 an iteration \(prompts\.later_counts\)",
        ),
        ({"evaluation": {"contrast": True, "compare": "scores"}}, "needs judge.contrast.others above 0"),
        ({"evaluation": {"contrast": True}, "judge": {"contrast": {"others": 1}}}, "set evaluation.compare: scores"),
        (
            {"evaluation": {"contrast": True, "compare": "scores", "count": 2}, "judge": {"contrast": {"others": 2}}},
            "2 other prompts .judge.contrast.others. of 2",
        ),
        ({"stop": {"metric": "prompt_blindness"}}, "is not measured; set judge.contrast.measure above 0"),
        ({"judge": {"meta": {"enabled": True}}}, "meta compares written judgements; set scoring: sampled"),
        ({"judge": {"scoring": "sampled", "samples": 1, "meta": {"enabled": True}}}, "set samples to 2 or more"),
        ({"prompts": {"source": "file"}}, "prompts.files names none"),
        (
            {"seed_data": {"ranked": "a"}, "judge": {"scoring": "sampled"}, "sft": {"eft_loss": "score"}},
            "teaches it the score alone; set sft.eft_loss: all, or judge.scoring: expected",
        ),
        ({"seed_data": {}}, "neither ift nor ranked"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(extra: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(write(tmp_path, {**SEED, **extra}))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "config.yaml"))


@pytest.mark.parametrize(
    ("judge", "sft", "meant"),
    [
        ({}, {}, "score"),
        ({"justification": True}, {}, "all"),
        ({"scoring": "sampled"}, {}, "all"),
        ({"scoring": "sampled"}, {"eft_loss": "auto"}, "all"),
        ({}, {"eft_loss": "all"}, "all"),
        ({"justification": True}, {"eft_loss": "score"}, "score"),
    ],
)
def test_the_judge_is_taught_as_it_is_read(
    judge: dict[str, object], sft: dict[str, object], meant: str, tmp_path: Path
) -> None:
    config = load(write(tmp_path, {**SEED, "judge": judge, "sft": sft}))
    assert config.sft.eft_loss == meant
    assert yaml.safe_load(config.resolved_yaml())["sft"]["eft_loss"] == meant
    (tmp_path / "resolved.yaml").write_text(config.resolved_yaml(), encoding="utf-8")
    assert load(tmp_path / "resolved.yaml") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", r"config\.yaml:2: broken YAML"),
        ("- a\n", "is not a mapping"),
        ("just words\n", "is not a mapping"),
        ("", "neither ift nor ranked"),
    ],
)
def test_a_broken_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load(write(tmp_path, text))


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: the config cannot be read \(No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        load(tmp_path / "config.yaml")


def test_overrides_win_and_nest(tmp_path: Path) -> None:
    path = write(tmp_path, {**SEED, "iterations": 1, "train": {"beta": 0.5}})
    config = load(
        path,
        [
            "iterations=3",
            "sft.learning_rate=1e-5",
            "train.lora.rank=4",
            " seed = 7",
            "system_prompt=a=b",
            "threads=null",
            "train.report_to=[tensorboard]",
            "judge.sampling.temperature=0.25",
        ],
    )
    assert config.iterations == 3
    assert config.sft.learning_rate == pytest.approx(1e-5, rel=1e-12)
    assert config.train.lora.rank == 4
    assert config.train.beta == 0.5
    assert config.seed == 7
    assert config.system_prompt == "a=b"
    assert config.threads is None
    assert config.train.report_to == ("tensorboard",)
    assert config.judge.sampling.temperature == 0.25
    assert config.judge.sampling.max_new_tokens == 200  # one key of a section leaves its others as they were
    assert config.candidates.sampling.temperature == 0.7
    assert load(path, ["iterations=3", "iterations=4"]).iterations == 4


def test_a_number_with_an_exponent_is_a_number_in_the_file_too(tmp_path: Path) -> None:
    path = write(tmp_path, "seed_data: {ift: a}\nsft: {learning_rate: 1e-5}\ntrain: {learning_rate: 2.0e-6}\n")
    config = load(path)
    assert (config.sft.learning_rate, config.train.learning_rate) == (1e-5, 2e-6)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("iterations", "is not key=value"),
        ("=3", "is not key=value"),
        ("iterations.more=3", "'iterations' is a value, not a section"),
        ("seed=[1", "not valid YAML"),
        ("sft.lr=1", "unknown key 'sft.lr'"),
        ("sft.epochs=", "key 'sft.epochs'"),
    ],
)
def test_a_bad_override_is_named(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load(write(tmp_path, {**SEED, "iterations": 1}), [override])


def test_relative_paths_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "rubric.txt").write_text("x")
    (tmp_path / "chat.jinja").write_text("x")
    tree = {
        "model": "model",
        "chat_template": "chat.jinja",
        "seed_data": {"ift": ["a.jsonl", "../b.jsonl"], "ranked": "/data/c.jsonl"},
        "prompts": {"files": "p.jsonl"},
        "evaluation": {"prompts": "e.jsonl"},
        "engine": {"script": "s.jsonl"},
        "judge": {"rubric": "rubric.txt"},
    }
    config = load(write(tmp_path, tree))
    assert config.model == str(tmp_path / "model")
    assert config.chat_template == str(tmp_path / "chat.jinja")
    assert config.seed_data.ift == (str(tmp_path / "a.jsonl"), str(tmp_path.parent / "b.jsonl"))
    assert config.seed_data.ranked == ("/data/c.jsonl",)
    assert config.prompts.files == (str(tmp_path / "p.jsonl"),)
    assert config.evaluation.prompts == (str(tmp_path / "e.jsonl"),)
    assert config.engine.script == str(tmp_path / "s.jsonl")
    assert config.judge.rubric == str(tmp_path / "rubric.txt")


def test_names_are_no_paths(tmp_path: Path) -> None:
    config = load(write(tmp_path, {**SEED, "model": "org/name", "chat_template": "chatml"}))
    assert (config.model, config.chat_template, config.judge.rubric) == ("org/name", "chatml", "additive-5")


def test_relative_paths_of_overrides_are_those_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    here = tmp_path / "here"
    (here / "model").mkdir(parents=True)
    monkeypatch.chdir(here)
    overrides = ["seed_data.ranked=[r.jsonl]", "prompts.files=p.jsonl", "model=model"]
    config = load(write(tmp_path / "there", SEED), overrides)
    assert config.seed_data.ranked == (str(here / "r.jsonl"),)
    assert config.prompts.files == (str(here / "p.jsonl"),)
    assert config.model == str(here / "model")
    assert config.seed_data.ift == (str(tmp_path / "there" / "seed.jsonl"),)


def test_the_resolved_file_reads_back_to_an_equal_tree(tmp_path: Path) -> None:
    tree = {
        **SEED,
        "system_prompt": "Sei höflich: 'ja' oder \"nein\"\n  #1 – 好",
        "sft": {"learning_rate": 1e-5, "report_to": ["tensorboard"]},
        "train": {"learning_rate": 3e-7, "method": "lora"},
        "prompts": {"source": "file", "files": ["p.jsonl"]},
        "threads": 2,
    }
    config = load(write(tmp_path, tree))
    (tmp_path / "run").mkdir()
    again = load(write(tmp_path / "run", config.resolved_yaml()))
    assert again == config
    assert again.resolved_yaml() == config.resolved_yaml()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compute": {"offload": True}}, "compute.offload: moves the parts of a sharded model"),
        (
            {"compute": {"sharding": "fsdp", "processes": 2}, "train": {"method": "qlora"}},
            "compute.sharding: fsdp cannot shard weights of 4 bits",
        ),
    ],
)
def test_what_cannot_be_sharded_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        parse({**SEED, **changes}, "test")
    assert "\n" not in str(found.value)
    assert parse({**SEED, "compute": {"sharding": "fsdp", "processes": 2}}, "test").compute.sharding == "fsdp"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": {"vllm": {"engines": 8}}}, "engine.vllm.engines: 8 engines share one machine.* compute.engines: 8"),
        ({"engine": {"kind": "vllm", "vllm": {"tensor_parallel": 4}}}, "compute.gpus_per_engine: 1 .*parallel: 4"),
        ({"compute": {"cluster": "auto", "gpus_per_engine": 4}}, "compute.gpus_per_engine: 4 .*tensor_parallel: 1"),
    ],
)
def test_an_engine_of_a_cluster_is_one_engine(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        parse({**SEED, "compute": {"cluster": "auto"}, **changes}, "test")
    assert "\n" not in str(found.value)
    alone = {name: value for name, value in changes.items() if name != "compute"}
    assert parse({**SEED, **alone}, "test").compute.cluster is None  # without Ray they have their meaning
    spread = {"compute": {"cluster": "auto", "gpus_per_engine": 4}, "engine": {"vllm": {"tensor_parallel": 4}}}
    assert parse({**SEED, **spread}, "test").engine.vllm.tensor_parallel == 4


def test_the_tree_cannot_be_changed() -> None:
    config = parse(SEED, "test")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


def test_every_key_is_documented() -> None:
    rows = documentation()
    assert all(about for _, _, about in rows)
    leaves = {key for key, _, _ in rows}
    sections = {key for key in known_keys() if key not in leaves}
    assert leaves < set(known_keys())
    assert all(any(leaf.startswith(f"{section}.") for leaf in leaves) for section in sections)
    assert ("train.learning_rate", "1.0e-06", "peak learning rate") in rows
    assert ("sft.learning_rate", "2.0e-05", "peak learning rate") in rows
    assert len(Config.model_fields) > 10
