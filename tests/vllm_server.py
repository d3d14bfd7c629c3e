"""A real `vllm serve` on this machine, in an environment that has vLLM (`make test-vllm`)."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny import make_tiny_model

HERE = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HERE, reason="vllm is not installed")
MOST_RANK = 32


@functools.cache
def served(end_bias: float) -> tuple[Path, str]:
    """A tiny model with this `end_bias`, and the address of a server that holds it until the tests end."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    base = make_tiny_model(place / "M0", "qwen3", end_bias=end_bias)
    return base, stack.enter_context(serving(base, place / "log"))


@contextlib.contextmanager
def serving(base: Path, log: Path) -> Iterator[str]:
    """The address of a server that holds the model in `base`, in float32, and loads adapters up to rank 32."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        # `vllm serve` looks for a package of the name vllm, which the CPU build has not.
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base), "--port", str(port),
        "--dtype", "float32", "--enforce-eager", "--generation-config", "vllm", "--max-num-seqs", "32",
        "--kv-cache-memory-bytes", "268435456", "--hf-overrides", '{"head_dtype": "float32"}',
        "--enable-lora", "--max-lora-rank", str(MOST_RANK),
        # On a CPU 0.32 ends where a prompt is read in parts and has a seed.
        "--no-enable-chunked-prefill",
    ]  # fmt: skip
    environment = {**os.environ, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        address = f"http://127.0.0.1:{port}"
        begun = time.monotonic()
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() - begun < 800, log.read_text()[-3000:]
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(60)
