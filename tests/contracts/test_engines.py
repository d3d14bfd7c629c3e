"""One contract for every engine: whatever runs the model, callers may rely on the same things."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapted import adapted_model
from judgeloop.config import EngineSection
from judgeloop.config.choices import ENGINES
from judgeloop.engines import open_engine
from judgeloop.engines.base import Engine, Generation, OptionRequest, Request, Sampling
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from tiny import END_ID, Family, make_tiny_model
from training.cases import PEFT_WARNS
from vllm_server import served


def installed(*kinds: str) -> list[Any]:
    """The engines as parameters; one that is not installed here is skipped, and the server's where vLLM is not."""
    found = {kind: ENGINES["vllm" if kind == "server" else kind].missing() for kind in kinds}
    return [pytest.param(kind, marks=pytest.mark.skipif(bool(why), reason=str(why))) for kind, why in found.items()]


pytestmark = PEFT_WARNS
WITH_MODEL = ("openvino", "transformers", "vllm", "server")
KINDS = (*WITH_MODEL, "scripted")
# vLLM on a CPU has no attention for the 16 dimensions of the others.
FAMILY: dict[str, Family] = {"vllm": "qwen3", "server": "qwen3"}
URLS: dict[Path, str] = {}  # of the server for a model
SAMPLED = Sampling(max_new_tokens=24, temperature=1.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Family, float], Path]:
    """The model that this kind of engine is to run; a server's is made by adapters of the one that it holds."""
    made: dict[tuple[bool, Family, float], Path] = {}

    def folder(kind: str, family: Family, end_bias: float) -> Path:
        key = (kind == "server", family, end_bias)
        if key not in made:
            path = tmp_path_factory.mktemp("models") / f"{family}-{end_bias:g}"
            if kind == "server":
                base, url = served(end_bias)
                made[key] = adapted_model(base, path, 8, size=0.05)
                URLS[made[key]] = url
            else:
                made[key] = make_tiny_model(path, family, end_bias=end_bias)
        return made[key]

    return folder


def opened(kind: str, folder: Path, work_dir: Path, **settings: Any) -> Engine:
    values = {"kind": kind, "precision": "f32", "cache_gib": 1.0, **settings}
    if kind == "server":
        values["server"] = {"url": URLS[folder]}
    section = EngineSection.model_validate(values)
    return open_engine(section, folder, Chat.load(folder), work_dir=work_dir, threads=1, seed=3)


@pytest.fixture(scope="module", params=installed(*KINDS))
def engine(request: pytest.FixtureRequest, folders: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = folders(request.param, FAMILY.get(request.param, "llama"), 16.0)
    engine = opened(request.param, folder, tmp_path_factory.mktemp("work"), max_sequences=16)
    yield engine
    engine.close()


@pytest.fixture(scope="module", params=installed(*WITH_MODEL))
def model_engine(
    request: pytest.FixtureRequest, folders: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    folder = folders(request.param, FAMILY.get(request.param, "llama"), 16.0)
    engine = opened(request.param, folder, tmp_path_factory.mktemp("work"), max_sequences=16)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def chat(folders: Any) -> Chat:
    return Chat.load(folders("transformers", "llama", 16.0))


def prompt(chat: Chat, text: str) -> tuple[int, ...]:
    return tuple(chat.prompt_ids([{"role": "user", "content": text}]))


def requests(chat: Chat, sampling: Sampling = SAMPLED, n: int = 3) -> list[Request]:
    texts = ["Rain?", "Why is the sky blue? " * 20, "bread and the sea", "a b c " * 60, "The Moon."]
    return [Request(f"r{k}", prompt(chat, text), sampling, n, seed=k) for k, text in enumerate(texts)]


def collected(engine: Engine, asked: list[Request]) -> dict[tuple[str, int], Generation]:
    found: dict[tuple[str, int], Generation] = {}
    for generation in engine.generate(asked):
        key = (generation.request_id, generation.index)
        assert key not in found
        found[key] = generation
    return found


def test_every_sample_comes_exactly_once_and_a_requests_samples_together(engine: Engine, chat: Chat) -> None:
    asked = [*requests(chat), Request("wide", prompt(chat, "sea"), SAMPLED, n=40, seed=9)]
    order = [(g.request_id, g.index) for g in engine.generate(asked)]
    assert sorted(order) == sorted((r.id, k) for r in asked for k in range(r.n))
    starts = [name for place, (name, _) in enumerate(order) if place == 0 or order[place - 1][0] != name]
    assert sorted(starts) == sorted({r.id for r in asked})


def test_an_engine_is_an_engine(engine: Engine) -> None:
    assert isinstance(engine, Engine)
    assert engine.name in KINDS


def test_samples_differ_and_repeat_with_their_seed(engine: Engine, chat: Chat) -> None:
    asked = requests(chat, n=4)
    first, second = collected(engine, asked), collected(engine, asked)
    assert first == second
    for request in asked:
        assert len({first[request.id, k].token_ids for k in range(4)}) > 1
    other = [Request(r.id, r.prompt_ids, r.sampling, r.n, seed=r.seed + 100) for r in asked]
    assert collected(engine, other) != first


def test_a_request_does_not_depend_on_its_neighbours(engine: Engine, chat: Chat) -> None:
    asked = requests(chat)
    together = collected(engine, asked)
    for request in asked:
        alone = collected(engine, [request])
        assert alone == {key: value for key, value in together.items() if key[0] == request.id}


def test_length_and_stop(engine: Engine, chat: Chat) -> None:
    found = collected(engine, [Request(f"r{k}", prompt(chat, f"word {k}"), SAMPLED, 8, seed=k) for k in range(8)])
    short = collected(engine, [Request("s", prompt(chat, "word"), Sampling(2, temperature=1.0), 8, seed=1)])
    reasons = {g.finish_reason for g in (*found.values(), *short.values())}
    assert reasons == {"stop", "length"}
    for generation in found.values():
        ended = generation.token_ids[-1] == END_ID
        assert END_ID not in generation.token_ids[:-1]
        assert generation.finish_reason == ("stop" if ended else "length")
        assert len(generation.token_ids) == 24 or ended
        assert generation.text == chat.decode(generation.token_ids)
    assert {len(g.token_ids) for g in short.values() if g.finish_reason == "length"} == {2}


def test_greedy_samples_are_equal(engine: Engine, chat: Chat) -> None:
    found = collected(engine, requests(chat, Sampling(12), n=2))
    assert len(found) == 10
    for name in {name for name, _ in found}:
        assert found[name, 0].token_ids == found[name, 1].token_ids


def test_a_stop_string_ends_the_text_before_it(engine: Engine, chat: Chat) -> None:
    plain = collected(engine, [Request("r", prompt(chat, "sea"), SAMPLED, 8, seed=4)])
    text = max((g.text for g in plain.values()), key=len)
    stop = re.findall(r"[a-zA-Z]{2}", text)[-1]
    sampling = Sampling(24, temperature=1.0, stop_strings=(stop, "never written"))
    found = collected(engine, [Request("r", prompt(chat, "sea"), sampling, 8, seed=4)])
    cut = [g for g in found.values() if stop in chat.decode(g.token_ids)]
    assert cut
    for generation in cut:
        assert generation.finish_reason == "stop"
        assert generation.text == chat.decode(generation.token_ids).split(stop)[0]
    assert all(stop not in g.text for g in found.values())


def test_nothing_asked_nothing_answered(engine: Engine) -> None:
    assert list(engine.generate([])) == []
    assert list(engine.option_logprobs([])) == []


def test_a_caller_may_stop_listening(engine: Engine, chat: Chat) -> None:
    for _ in engine.generate(requests(chat)):
        break
    assert len(collected(engine, requests(chat))) == 15


def test_option_logprobs_come_for_every_request(engine: Engine, chat: Chat) -> None:
    digits = tuple(tuple(chat.text_ids(str(score))) for score in range(6))
    asked = [OptionRequest(r.id, r.prompt_ids, digits) for r in requests(chat)]
    found = {result.request_id: result.logprobs for result in engine.option_logprobs(asked)}
    assert set(found) == {r.id for r in asked}
    assert all(len(values) == 6 and max(values) < 0 for values in found.values())
    again = {result.request_id: result.logprobs for result in engine.option_logprobs(asked)}
    assert again == found


@pytest.mark.parametrize("kind", installed(*KINDS))
def test_closing_twice_is_fine(kind: str, folders: Any, chat: Chat, tmp_path: Path) -> None:
    engine = opened(kind, folders(kind, FAMILY.get(kind, "llama"), 16.0), tmp_path)
    assert len(list(engine.generate(requests(chat)[:1]))) == 3
    engine.close()
    engine.close()


def plain_logprobs(folder: Path, asked: list[OptionRequest]) -> dict[str, list[float]]:
    """One torch forward an option, nothing shared, nothing padded."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    found = {}
    with torch.no_grad():
        for request in asked:
            values = []
            for option in request.options:
                ids = request.prompt_ids + option
                logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
                start = len(request.prompt_ids) - 1
                values.append(sum(float(logprobs[start + k, token]) for k, token in enumerate(option)))
            found[request.id] = values
    return found


@pytest.mark.parametrize("shared", [True, False])
def test_option_logprobs_equal_a_plain_forward(model_engine: Engine, chat: Chat, folders: Any, shared: bool) -> None:
    rubric = "Judge the response. Points from 0 to 5, one for each question answered. " if shared else ""
    digits = tuple(tuple(chat.text_ids(str(score))) for score in range(6))
    words = (*digits, *(tuple(chat.text_ids(text)) for text in ("Score: 3 points", "Score: 4", "the sea", "rain")))
    texts = ["rain", "the lazy dog " * 30, "x", "Paris is a city " * 5]
    asked = [
        OptionRequest(f"o{k}", prompt(chat, rubric + text), words if k % 2 else digits) for k, text in enumerate(texts)
    ]
    expected = plain_logprobs(folders(model_engine.name, FAMILY.get(model_engine.name, "llama"), 16.0), asked)
    for result in model_engine.option_logprobs(asked):
        assert result.logprobs == pytest.approx(expected.pop(result.request_id), abs=1e-4)
    assert not expected


def ties_where_they_part(folder: Path, prompt: tuple[int, ...], one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether the first tokens that differ are equally likely, to within what one processor rounds otherwise than
    another."""
    place = next(k for k, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    options = ((one[place],), (other[place],))
    (values,) = plain_logprobs(folder, [OptionRequest("r", prompt + one[:place], options)]).values()
    return abs(values[0] - values[1]) < 1e-4


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("kind", installed("openvino", "vllm", "server"))
def test_greedy_equals_transformers(kind: str, family: Family, folders: Any, tmp_path: Path) -> None:
    if family != FAMILY.get(kind, family):
        pytest.skip("this engine cannot run the family's tiny model here")
    folder = folders(kind, family, 0.0)
    chat = Chat.load(folder)
    asked = requests(chat, Sampling(24), n=1)
    engines = [opened(kind, folder, tmp_path), opened("transformers", folder, tmp_path)]
    first, second = (collected(engine, asked) for engine in engines)
    for request in asked:
        one, other = (found[request.id, 0].token_ids for found in (first, second))
        assert one == other or ties_where_they_part(folder, request.prompt_ids, one, other)
    assert len({g.token_ids for g in first.values()}) == len(asked)
    for engine in engines:
        engine.close()


@pytest.mark.skipif(ENGINES["openvino"].missing() is not None, reason="openvino-genai is not installed")
def test_auto_picks_openvino_where_it_can_and_says_what_else_costs(folders: Any, chat: Chat, tmp_path: Path) -> None:
    folder = folders("transformers", "llama", 16.0)
    assert opened("auto", folder, tmp_path).name == "openvino"
    scaled = make_tiny_model(tmp_path / "scaled")
    config = json.loads((scaled / "config.json").read_text())
    config["rope_parameters"] = {"rope_theta": 10000.0, "rope_type": "linear", "factor": 2.0}
    (scaled / "config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="rope scaling.*three times as long"):
        engine = opened("auto", scaled, tmp_path)
    assert engine.name == "transformers"
    engine.close()
    with pytest.raises(InputError, match=r"engine\.kind: openvino cannot run"):
        opened("openvino", scaled, tmp_path)
