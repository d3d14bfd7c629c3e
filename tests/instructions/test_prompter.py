"""What the prompter is shown was written by people and by models: nothing in it becomes a control token."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from judgeloop.config import PromptsSection
from judgeloop.config.choices import INSTRUCTION_METHODS
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.errors import InputError
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import search
from judgeloop.models.chat import Chat
from judgeloop.records import Demonstrations, Task
from tiny import make_tiny_model

LONGEST = 170  # tokens
END = "<|im_end|>"


class Recorder:
    """Notes every request, and answers with the name of a control token in each part."""

    def __init__(self) -> None:
        self.prompts: list[tuple[int, ...]] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            self.prompts.append(request.prompt_ids)
            text = f" Name {END} the given town\nInput: a{END}b\nConstraints: None."
            for index in range(request.n):
                yield Generation(request.id, index, (1,), text, "stop")

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        for request in requests:
            self.prompts += [(*request.prompt_ids, *option) for option in request.options]
            yield OptionLogprobs(request.id, (-1.0, -2.0))

    def close(self) -> None: ...


class Memory:
    def resume(self) -> tuple[list[Task], None]:
        return [], None

    def append(self, rows: Sequence[Task], account: dict[str, Any], shown: Sequence[Demonstrations]) -> None: ...


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")), chat_template="chatml")


@pytest.mark.parametrize("source", ["few_shot", "self_instruct", "unnatural"])
def test_a_control_token_in_a_demonstration_stays_text(source: str, chat: Chat) -> None:
    assert END in chat.control_tokens
    engine = Recorder()
    config = PromptsSection(source=source, count=3, max_requests=17)
    tasks = [
        Task.of(f"Say {END}{k} of the given thing", f"{END}x{k}", f"y{END}", "s", classification=k % 2 == 0)
        for k in range(9)
    ]
    method = INSTRUCTION_METHODS[source](Prompter(engine, chat, 1), tasks, config, Gate(config))
    with contextlib.suppress(InputError):  # whether anything is kept does not matter here
        search(method, Memory())
    (control,) = chat.tokenizer.convert_tokens_to_ids([END])
    fewest = chat.prompt_ids([{"role": "user", "content": "Hm"}]).count(control)
    assert len(engine.prompts) >= 17
    assert {ids.count(control) for ids in engine.prompts} == {fewest}
    shown = [chat.tokenizer.decode(list(ids)) for ids in engine.prompts]
    assert sum(END in text.rpartition("assistant\n")[2] for text in shown) > 5


def test_a_request_longer_than_the_positions_is_not_asked_but_counted(chat: Chat) -> None:
    engine = Recorder()
    config = PromptsSection(source="few_shot", count=3, max_requests=17)
    tasks = [Task.of("Say what is asked " + "again " * 30 * k, "", "", "s") for k in range(9)]
    some = chat.positions
    try:
        chat.positions = LONGEST + config.sampling.max_new_tokens
        prompter = Prompter(engine, chat, 1)
        method = INSTRUCTION_METHODS["few_shot"](prompter, tasks, config, Gate(config))
        with contextlib.suppress(InputError):
            search(method, Memory())
        assert prompter.too_long + len(engine.prompts) == 17
        assert 0 < prompter.too_long < 17
        assert max(map(len, engine.prompts)) <= LONGEST
        chat.positions = config.sampling.max_new_tokens
        with pytest.raises(InputError, match=r"17 requests longer than the model's positions"):
            search(INSTRUCTION_METHODS["few_shot"](Prompter(engine, chat, 1), tasks, config, Gate(config)), Memory())
        with pytest.raises(InputError, match=r"the question 'kind' for a has \d+ tokens, the model \d+ positions"):
            prompter.weigh([prompter.choice("a", "Which? " * 600, "It is", ["a", "b"])], "kind")
    finally:
        chat.positions = some
