"""A real vLLM server against the models that the adapters make, in an environment that has it (`make test-vllm`)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from adapted import adapted_model
from judgeloop.config import ServerSection
from judgeloop.engines.base import OptionRequest, Request, Sampling
from judgeloop.engines.server import ServerEngine
from judgeloop.engines.server_check import check
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.training.weights import load_model
from tiny import make_tiny_model
from training.cases import PEFT_WARNS
from vllm_server import MOST_RANK, needs_vllm, served

pytestmark = [needs_vllm, PEFT_WARNS]
ASKED = [Request(f"r{k}", tuple(range(20 + 3 * k, 50 + 5 * k)), Sampling(20)) for k in range(6)]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """M0, which the server holds, and three models, each made of the one before by adapters."""
    place = tmp_path_factory.mktemp("run")
    models = [served(0.0)[0]]
    for number, targets in enumerate(["all-linear", ["q_proj", "down_proj"], "all-linear"], 1):
        models.append(adapted_model(models[-1], place / f"M{number}", 8, targets, seed=number))
    return models


def opened(folder: Path, url: str, work_dir: Path) -> ServerEngine:
    return ServerEngine(ServerSection(url=url), folder, Chat.load(folder), work_dir=work_dir / folder.parent.name)


def plain(folder: Path) -> dict[str, tuple[int, ...]]:
    """transformers' greedy continuations of the merged weights, in float32."""
    model, ends = load_model(folder), list(Chat.load(folder).end_ids)
    found = {}
    for request in ASKED:
        ids = torch.tensor([request.prompt_ids])
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=20,
            eos_token_id=ends,
            pad_token_id=0,
        )
        found[request.id] = tuple(output[0, ids.shape[1] :].tolist())
    return found


def greedy(engine: ServerEngine) -> dict[str, tuple[int, ...]]:
    return {generation.request_id: generation.token_ids for generation in engine.generate(ASKED)}


def test_every_model_of_a_chain_of_trainings_is_served_whatever_was_asked_before(
    chain: list[Path], tmp_path: Path
) -> None:
    expected = [plain(model) for model in chain]
    assert len({tuple(sorted(found.items())) for found in expected}) == 4
    engines = [opened(model, served(0.0)[1], tmp_path) for model in chain]
    for number in (1, 2, 1, 3, 0, 1, 2, 0):
        assert greedy(engines[number]) == expected[number]


def test_models_that_are_asked_at_once_do_not_mix(chain: list[Path], tmp_path: Path) -> None:
    engines = [opened(model, served(0.0)[1], tmp_path) for model in chain]
    apart = [greedy(engine) for engine in engines]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(greedy, engines))
    assert together == apart
    assert len({tuple(sorted(found.items())) for found in apart}) == 4


def test_a_check_tells_what_the_server_can(chain: list[Path], tmp_path: Path) -> None:
    base, url = served(0.0)
    section = ServerSection(url=url)
    check(section, base, MOST_RANK, ["all-linear"], tmp_path / "check-one")
    with pytest.raises(InputError, match=f"greater than max_lora_rank {MOST_RANK}.*larger --max-lora-rank"):
        check(section, base, MOST_RANK + 1, ["all-linear"], tmp_path / "check-two")
    with pytest.raises(InputError, match="whose weights or tokenizer are others"):
        check(section, chain[1], 8, ["all-linear"], tmp_path / "check-three")


def test_a_model_of_whole_weights_is_refused(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "M1" / "model", "qwen3", seed=3)
    engine = opened(model, served(0.0)[1], tmp_path)
    with pytest.raises(InputError, match=r"has no adapter beside it.*engine\.kind: vllm"):
        list(engine.option_logprobs([OptionRequest("o", (1, 2), ((3,), (4,)))]))
