from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from judgeloop.config import EngineSection
from judgeloop.engines import open_engine
from judgeloop.judging.likelihood import gains
from judgeloop.judging.pointwise import ToJudge
from judgeloop.models.chat import Chat
from judgeloop.records import Message
from tiny import make_tiny_model


def ask(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def test_the_gain_is_a_difference_of_mean_log_probabilities(folder: Path) -> None:
    chat = Chat.load(folder)
    engine = open_engine(
        EngineSection(kind="transformers", precision="f32"), folder, chat, work_dir=folder / "work", threads=1, seed=0
    )
    items = [
        ToJudge("a", ask("Tell me about rain."), "Rain falls on the sea."),
        ToJudge("b", ask("What is bread?"), "Rain falls on the sea."),
        ToJudge("c", ask("What is bread?"), "Bread."),
    ]
    found = {row.candidate_id: row for row in gains(engine, chat, items, "Write something.")}
    engine.close()
    assert [(found[name].id, found[name].k, found[name].reason) for name in "abc"] == [
        ("a.j0", 0, None), ("b.j0", 0, None), ("c.j0", 0, None)
    ]  # fmt: skip

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)

    def mean_log_probability(request: str, response: str) -> float:
        prompt, target = chat.prompt_ids(ask(request)), chat.response_ids(response)
        with torch.no_grad():
            logits = model(torch.tensor([prompt + target])).logits[0].log_softmax(-1)
        return sum(float(logits[len(prompt) + k - 1, token]) for k, token in enumerate(target)) / len(target)

    for item in items:
        expected = mean_log_probability(item.prompt[0]["content"], item.response)
        expected -= mean_log_probability("Write something.", item.response)
        assert found[item.id].score == pytest.approx(expected, abs=1e-4)
    assert found["a"].score != found["b"].score
