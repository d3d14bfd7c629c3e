"""What is particular to vLLM, in an environment that has it (`make test-vllm`), and what is said without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from pydantic import ValidationError

from judgeloop.config import EngineSection, VllmSection
from judgeloop.engines import open_engine, pick
from judgeloop.engines.base import Request, Sampling
from judgeloop.engines.vllm import VllmEngine
from judgeloop.engines.vllm_arguments import devices
from judgeloop.engines.vllm_steps import last_line
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.models.chat import Chat
from tiny import make_tiny_model

HERE = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HERE, reason="vllm is not installed")
PROMPT = tuple(range(20, 60))
OPTIONS = (*((token,) for token in range(100, 110)), (100, 101, 102), (100, 7), (9, 9, 9))


def engine(folder: Path, **own: object) -> VllmEngine:
    section = EngineSection.model_validate({"precision": "f32", "cache_gib": 0.5, "max_sequences": 16, "vllm": own})
    return VllmEngine(section, folder, Chat.load(folder), threads=1)


@pytest.mark.skipif(HERE, reason="vllm is installed")
def test_without_vllm_the_message_says_how_to_install_it(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", "qwen3")
    with pytest.raises(InputError, match=r"vllm is not installed; run `pip install 'judgeloop\[vllm\]'`$"):
        open_engine(EngineSection(kind="vllm"), folder, Chat.load(folder), work_dir=tmp_path, threads=1, seed=0)


@needs_vllm
def test_auto_never_means_vllm_on_a_cpu(tmp_path: Path) -> None:
    assert pick(make_tiny_model(tmp_path / "model", "qwen3")) != "vllm"


@needs_vllm
def test_a_request_too_long_is_refused_before_any_is_asked(tmp_path: Path) -> None:
    opened = engine(make_tiny_model(tmp_path / "model", "qwen3"), max_model_len=64)
    asked = [Request("short", PROMPT, Sampling(4)), Request("long", PROMPT, Sampling(25))]
    with pytest.raises(InputError, match=r"engine\.vllm\.max_model_len: request long has 40 prompt tokens"):
        list(opened.generate(asked))
    assert len(list(opened.generate(asked[:1]))) == 1
    opened.close()


@needs_vllm
def test_more_prompts_than_one_step_reads_are_sampled_with_their_seeds(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", "qwen3")
    opened = engine(folder, max_model_len=64, max_batched_tokens=64)
    asked = [Request(f"r{k}", PROMPT[k:], Sampling(12, temperature=1.0, top_p=0.95), 2, seed=k) for k in range(8)]
    rows = {(g.request_id, g.index): g.token_ids for g in opened.generate(asked)}
    assert len(rows) == 16
    alone = {(g.request_id, g.index): g.token_ids for request in asked for g in opened.generate([request])}
    assert alone == rows
    opened.close()


@needs_vllm
def test_what_vllm_cannot_run_is_said_in_one_line(tmp_path: Path) -> None:
    opened = engine(make_tiny_model(tmp_path / "model", "llama"))  # its heads have 16 dimensions
    with pytest.raises(JudgeloopError, match="head_dim=16") as caught:
        list(opened.generate([Request("r", PROMPT, Sampling(4))]))
    assert "\n" not in str(caught.value)
    opened.close()


@needs_vllm
def test_steps_too_small_for_a_whole_prompt_are_refused_with_both_sizes(tmp_path: Path) -> None:
    opened = engine(make_tiny_model(tmp_path / "model", "qwen3"), max_model_len=64, max_batched_tokens=32)
    with pytest.raises(JudgeloopError, match=r"max_num_batched_tokens \(32\) is smaller than max_model_len \(64\)"):
        list(opened.generate([Request("r", PROMPT, Sampling(4))]))


def test_of_a_refused_value_the_complaint_is_told() -> None:
    with pytest.raises(ValidationError) as caught:
        VllmSection.model_validate({"tensor_parallel": 0})
    assert last_line(caught.value) == "Input should be greater than 0"
    assert last_line(RuntimeError("one\ntwo")) == "two"
    assert last_line(KeyError()) == "KeyError"


@needs_vllm
def test_several_engines_share_the_rows_and_change_none(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", "qwen3")
    asked = [Request(f"r{k}", PROMPT[k:], Sampling(12, temperature=1.0), 3, seed=k) for k in range(12)]
    one, two = engine(folder), engine(folder, engines=2)
    found = {(g.request_id, g.index): g for g in one.generate(asked)}
    for _ in two.generate(asked):
        break  # the caller stops listening: what is under way is given up
    rows = list(two.generate(asked))
    assert len(rows) == 36
    assert {(g.request_id, g.index): g for g in rows} == found
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("visible", "keys", "expected"),
    [
        ("0,1,2,3", {}, ["0", "1", "2", "3"]),
        ("4,5,6,7", {"tensor_parallel": 2}, ["4,5", "6,7"]),
        ("0,1,2,3", {"engines": 2}, ["0", "1"]),
        ("0,1,2", {"tensor_parallel": 3}, [None]),
        ("3", {}, [None]),
    ],
)
def test_each_engine_has_gpus_of_its_own(
    visible: str, keys: dict[str, int], expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [own.get("CUDA_VISIBLE_DEVICES") for own in devices(VllmSection(**keys), cuda=True)] == expected


def test_more_engines_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(InputError, match="3 engines on 1 GPUs each need 3, and this process sees 2"):
        devices(VllmSection(engines=3), cuda=True)
