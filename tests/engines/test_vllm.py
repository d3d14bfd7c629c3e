"""What is particular to vLLM, in an environment that has it (`make test-vllm`), and what is said without it."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from judgeloop.config import EngineSection, ServerSection, VllmSection
from judgeloop.engines import open_engine, pick
from judgeloop.engines.base import OptionRequest, Request, Sampling
from judgeloop.engines.server import ServerEngine
from judgeloop.engines.vllm import VllmEngine
from judgeloop.engines.vllm_arguments import devices
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
def test_what_vllm_cannot_run_is_said_in_one_line(tmp_path: Path) -> None:
    opened = engine(make_tiny_model(tmp_path / "model", "llama"))  # its heads have 16 dimensions
    with pytest.raises(JudgeloopError, match="head_dim=16") as caught:
        list(opened.generate([Request("r", PROMPT, Sampling(4))]))
    assert "\n" not in str(caught.value)
    opened.close()


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


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("models")
    return [make_tiny_model(place / f"M{seed}", "qwen3", seed=seed, end_bias=0) for seed in range(2)]


@pytest.fixture(scope="module")
def url(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `vllm serve` with the weights of M0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        # `vllm serve` looks for a package of the name vllm, which the CPU build has not.
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folders[0]), "--port", str(port),
        "--dtype", "float32", "--enforce-eager", "--max-model-len", "512", "--generation-config", "vllm",
        "--kv-cache-memory-bytes", "268435456", "--hf-overrides", '{"head_dtype": "float32"}',
    ]  # fmt: skip
    log = tmp_path_factory.mktemp("server") / "log"
    environment = {**os.environ, "VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{address}/health", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, log.read_text()[-3000:]
                    time.sleep(0.5)
            yield address
        finally:
            server.terminate()
            server.wait(60)


@needs_vllm
def test_a_real_server_gives_what_the_engine_gives_for_each_model(url: str, folders: list[Path]) -> None:
    asked = [
        Request("greedy", PROMPT, Sampling(12), n=2),
        Request("sampled", PROMPT, Sampling(12, temperature=1.0, top_p=0.9, top_k=50), n=4, seed=5),
    ]
    options = [OptionRequest("o", PROMPT, OPTIONS), OptionRequest("p", PROMPT[:9], OPTIONS[:3])]
    found = {}
    for folder in (folders[1], folders[0], folders[1]):
        server = ServerEngine(ServerSection(url=url), folder, Chat.load(folder))
        own = engine(folder)
        rows = {(g.request_id, g.index): g for g in server.generate(asked)}
        assert rows == {(g.request_id, g.index): g for g in own.generate(asked)}
        given = {result.request_id: result.logprobs for result in server.option_logprobs(options)}
        for result in own.option_logprobs(options):
            assert given[result.request_id] == pytest.approx(result.logprobs, abs=1e-4)
        own.close()
        assert found.setdefault(folder, rows) == rows
    assert found[folders[0]] != found[folders[1]]


@needs_vllm
def test_a_real_server_refuses_a_model_of_another_architecture(url: str, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", "llama")
    with pytest.raises(InputError, match="same architecture"):
        list(
            ServerEngine(ServerSection(url=url), folder, Chat.load(folder)).generate(
                [Request("r", PROMPT, Sampling(4))]
            )
        )
