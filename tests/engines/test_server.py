"""engine.kind: server against a stand-in that speaks the part of vLLM's HTTP interface that is used."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from adapted import adapted_model
from e2e.conftest import make_config, tiny_model  # noqa: F401
from judgeloop.config import Config, ServerSection, load
from judgeloop.engines.base import OptionRequest, Request, Sampling
from judgeloop.engines.server import ServerEngine
from judgeloop.engines.server_check import check
from judgeloop.engines.server_client import ServerClient
from judgeloop.engines.server_models import ServerModels
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.loop import method
from judgeloop.models.chat import Chat
from judgeloop.models.contents import content_hash
from judgeloop.run.driver import execute
from judgeloop.stages.served import highest_rank, require_adapters
from tiny import END_ID, make_tiny_model
from training.cases import PEFT_WARNS

pytestmark = PEFT_WARNS
PROMPT = (1, 40, 41, 42)


class StandIn:
    """Answers as vLLM does: two tokens that name the adapter and the seed, then the end. `faults` come first; `paths`
    that it does not have give 404."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, Any]] = []
        self.adapters: dict[str, Path] = {}
        self.root = "someone/model"
        self.most_rank = 64
        self.blind = False
        self.lacks: set[str] = set()
        self.faults: list[tuple[int, bytes]] = []
        self.change: Callable[[dict[str, Any]], None] = lambda answer: None
        self.lock = threading.Lock()

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        with self.lock:
            self.asked.append((path, body))
            if path == "/v1/completions" and self.faults:
                return self.faults.pop(0)
        if path in self.lacks:
            return 404, {"detail": "Not Found"}
        if path == "/v1/load_lora_adapter":
            return self.load(str(body["lora_name"]), Path(body["lora_path"]))
        if path == "/v1/unload_lora_adapter":
            del self.adapters[body["lora_name"]]
        elif path == "/v1/completions":
            choice: dict[str, Any] = {
                "token_ids": [50 + list(self.adapters).index(body["model"]), 60 + body.get("seed", 0) % 7, END_ID],
                "finish_reason": "stop",
            }
            if "logprob_token_ids" in body:
                top = {f"token_id:{t}": -t / 10 - len(body["prompt"]) for t in body["logprob_token_ids"]}
                choice["logprobs"] = {"top_logprobs": [{"token_id:9": -0.1, **top}]}
            value = {"choices": [choice]}
            self.change(value)
            return 200, value
        answers = {
            "/version": {"version": "0.32.0"},
            "/v1/models": {
                "data": [{"id": "policy", "root": self.root, "max_model_len": 100}]
                + [{"id": name, "root": str(place), "parent": "policy"} for name, place in self.adapters.items()]
            },
        }
        return 200, answers.get(path, {})

    def load(self, name: str, place: Path) -> tuple[int, Any]:
        """In vLLM 0.32's words."""
        if name in self.adapters:
            return 400, {"error": {"message": f"The lora adapter '{name}' has already been loaded."}}
        if self.blind or not (place / "adapter_config.json").is_file():
            return 404, {"error": {"message": f"Loading lora {name} failed: No adapter found for {place}"}}
        rank = json.loads((place / "adapter_config.json").read_text())["r"]
        if rank > self.most_rank:
            said = f"LoRA rank {rank} is greater than max_lora_rank {self.most_rank}."
            return 500, {"error": {"message": f"Call to add_lora method failed: {said}"}}
        self.adapters[name] = place
        return 200, f"Success: LoRA adapter '{name}' added successfully.".encode()


@pytest.fixture
def server() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, value = stand_in.answer(self.path, body)
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = respond  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{http.server_port}"
    yield stand_in
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """M0, and M1 and M2 made of it by adapters of ranks 4 and 8."""
    place = tmp_path_factory.mktemp("models")
    found = [make_tiny_model(place / "M0")]
    for number in (1, 2):
        found.append(adapted_model(found[-1], place / f"M{number}", 4 * number, seed=number))
    return found


@pytest.fixture
def folder(server: StandIn, models: list[Path]) -> Path:
    """M1, on a server that holds M0."""
    server.root = str(models[0])
    return models[1]


@pytest.fixture
def engine(server: StandIn, tmp_path: Path) -> Callable[..., ServerEngine]:
    def opened(folder: Path, **keys: Any) -> ServerEngine:
        section = ServerSection(url=server.url, attempts=3, **keys)
        return ServerEngine(section, folder, Chat.load(folder), work_dir=tmp_path / folder.parent.name, first_wait=0.01)

    return opened


def asked(n: int = 3, count: int = 4) -> list[Request]:
    return [
        Request(f"r{k}", PROMPT, Sampling(8, temperature=1.0, stop_strings=("zz",)), n, seed=k) for k in range(count)
    ]


def test_token_ids_go_in_and_come_out_and_each_sample_has_its_seed(server: StandIn, folder: Path, engine: Any) -> None:
    found = list(engine(folder).generate(asked()))
    assert sorted((g.request_id, g.index) for g in found) == [(f"r{k}", n) for k in range(4) for n in range(3)]
    assert all(g.token_ids[-1] == END_ID and g.finish_reason == "stop" for g in found)
    bodies = [body for path, body in server.asked if path == "/v1/completions"]
    assert all(body["prompt"] == list(PROMPT) and body["return_token_ids"] for body in bodies)
    assert {body["model"] for body in bodies} == set(server.adapters)
    assert len({body["seed"] for body in bodies}) == 12
    again = {(g.request_id, g.index): g for g in engine(folder).generate(asked(count=2))}
    assert all(again[key] == next(g for g in found if (g.request_id, g.index) == key) for key in again)


def test_each_model_is_asked_by_an_adapter_of_its_own_that_is_loaded_once(
    server: StandIn, folder: Path, models: list[Path], engine: Any
) -> None:
    m0, m1, m2 = (engine(model) for model in models)
    first = [g.token_ids[0] for e in (m1, m2, m1, m0, m2, engine(models[2])) for g in e.generate(asked(1, 1))]
    assert first == [50, 51, 50, 52, 51, 51]
    loads = [body for path, body in server.asked if path == "/v1/load_lora_adapter"]
    assert len(loads) == 3
    assert [body["lora_name"] for body in loads] == [f"judgeloop-{content_hash(models[k])[:32]}" for k in (1, 2, 0)]
    ranks = [json.loads((Path(body["lora_path"]) / "adapter_config.json").read_text())["r"] for body in loads]
    assert ranks == [4, 12, 1]


def test_an_adapter_whose_run_was_deleted_is_loaded_anew(
    server: StandIn, folder: Path, engine: Any, tmp_path: Path
) -> None:
    assert len(list(engine(folder).generate(asked(1, 1)))) == 1
    ((name, place),) = server.adapters.items()
    server.adapters[name] = tmp_path / "deleted"
    assert len(list(engine(folder).generate(asked(1, 1)))) == 1
    assert server.adapters == {name: place}


def test_an_adapter_that_another_run_loaded_meanwhile_is_used(server: StandIn, folder: Path, engine: Any) -> None:
    one, two = engine(folder), engine(folder)
    assert len(list(one.generate(asked(1, 1)))) == 1
    loaded = dict(server.adapters)
    server.adapters.clear()
    two._load("r", 1)  # it has seen a server without the adapter
    assert server.adapters == loaded
    models = ServerModels(ServerClient(ServerSection(url=server.url)))
    models.load(*next(iter(loaded.items())))  # the server says that it has it
    assert server.adapters == loaded


def test_option_logprobs_sum_the_tokens_of_each_option(server: StandIn, folder: Path, engine: Any) -> None:
    options = ((5,), (6,), (5, 7))
    (result,) = engine(folder).option_logprobs([OptionRequest("o", PROMPT, options)])
    assert result.logprobs == pytest.approx((-4.5, -4.6, -4.5 - 5.7))


def test_what_fails_for_a_while_is_asked_again_and_counted(server: StandIn, folder: Path, engine: Any) -> None:
    server.faults = [(503, b"busy"), (500, b"{}"), (200, b"<html>")]
    opened = engine(folder)
    assert len(list(opened.generate(asked()))) == 12
    assert opened.retries == {"503": 1, "500": 1, "an answer that is not JSON": 1}


def test_a_server_that_keeps_failing_ends_it_in_one_line(server: StandIn, folder: Path, engine: Any) -> None:
    server.faults = [(503, b"busy")] * 99
    with pytest.raises(JudgeloopError, match="still 503 after 3 tries of r0"):
        list(engine(folder, concurrency=1).generate(asked(1, 1)))


def test_nobody_listens() -> None:
    section = ServerSection(url="http://127.0.0.1:9")
    with pytest.raises(InputError, match="connection refused; start the server"):
        ServerModels(ServerClient(section))


@pytest.mark.parametrize(
    ("lacks", "reason"),
    [
        ({"/version", "/get_model_info", "/model_info"}, "llama.cpp server, which loads no adapters"),
        ({"/version", "/props"}, "SGLang server"),
        ({"/version", "/props", "/get_model_info", "/model_info"}, "is not vLLM's server"),
        (
            {"/v1/load_lora_adapter"},
            "loads no adapters while it runs.*VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve",
        ),
    ],
)
def test_a_server_that_cannot_do_it_is_refused_with_why(
    server: StandIn, folder: Path, engine: Any, lacks: set[str], reason: str
) -> None:
    server.lacks = lacks
    with pytest.raises(InputError, match=reason):
        list(engine(folder).generate(asked(1, 1)))
    assert not [path for path, _ in server.asked if path == "/v1/completions"]


def test_a_request_too_long_for_the_server_is_refused_before_any_is_asked(
    server: StandIn, folder: Path, engine: Any
) -> None:
    with pytest.raises(InputError, match=r"needs 204 tokens.*takes 100"):
        list(engine(folder).generate([*asked(), Request("long", PROMPT, Sampling(200))]))
    assert not [path for path, _ in server.asked if path == "/v1/completions"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda answer: answer["choices"][0].pop("token_ids"), "an answer without token_ids"),
        (lambda answer: answer["choices"][0].update(finish_reason="abort"), "ended with 'abort'"),
        (lambda answer: answer.pop("choices"), "an answer without choices"),
    ],
)
def test_an_answer_of_another_form_is_refused(
    server: StandIn, folder: Path, engine: Any, change: Any, reason: str
) -> None:
    server.change = change
    with pytest.raises(InputError, match=reason):
        list(engine(folder).generate(asked(1, 1)))


def test_the_address_is_checked() -> None:
    for url, reason in ((None, "needs it"), ("gpu1:8000", "no plain http address")):
        with pytest.raises(InputError, match=reason):
            ServerClient(ServerSection(url=url))


def test_a_check_loads_the_largest_adapter_asks_with_it_and_forgets_it(
    server: StandIn, folder: Path, models: list[Path], tmp_path: Path
) -> None:
    section = ServerSection(url=server.url)
    check(section, models[0], 64, ["all-linear"], tmp_path / "largest")
    assert not server.adapters
    (body,) = [body for path, body in server.asked if path == "/v1/completions"]
    assert body["model"] == "largest"
    for rank, base, reason in (
        (65, models[0], "rank 65 is greater than max_lora_rank 64.*larger --max-lora-rank"),
        (8, models[1], "whose weights or tokenizer are others.*vllm serve .*M1/model --enable-lora"),
    ):
        with pytest.raises(InputError, match=reason):
            check(section, base, rank, ["all-linear"], tmp_path / f"another-{rank}")
    assert not server.adapters


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda answer: answer["choices"][0].pop("token_ids"), "an answer without token_ids.*vLLM 0.32"),
        (lambda answer: answer["choices"][0].pop("logprobs"), "without the log-probabilities.*vLLM 0.32"),
    ],
)
def test_a_server_that_takes_no_token_ids_is_found_at_once(
    server: StandIn, folder: Path, models: list[Path], tmp_path: Path, change: Any, reason: str
) -> None:
    server.change = change
    with pytest.raises(InputError, match=reason):
        check(ServerSection(url=server.url), models[0], 8, ["q_proj"], tmp_path / "one")
    assert not server.adapters


def test_a_folder_that_the_server_does_not_see_is_named(server: StandIn, folder: Path, engine: Any) -> None:
    server.blind = True
    with pytest.raises(InputError, match=r"cannot load the adapter in .*404.*must see the folder under this path"):
        list(engine(folder).generate(asked(1, 1)))


def test_a_model_that_is_not_here_cannot_be_served(server: StandIn, folder: Path, engine: Any) -> None:
    server.root = "/models/elsewhere"
    with pytest.raises(InputError, match="serves /models/elsewhere, which is not here"):
        list(engine(folder).generate(asked(1, 1)))


def test_log_probabilities_that_are_none_are_refused(server: StandIn, folder: Path, engine: Any) -> None:
    server.change = lambda answer: answer["choices"][0]["logprobs"]["top_logprobs"][0].update({"token_id:5": 3.5})
    with pytest.raises(InputError, match="logprobs-mode raw_logprobs"):
        list(engine(folder).option_logprobs([OptionRequest("o", PROMPT, ((5,), (6,)))]))


LORA = {"method": "lora", "lora": {"rank": 4, "keep_adapter": True}}
HIGH = {"method": "lora", "lora": {"rank": 256, "keep_adapter": True}}
TRAINED = {"sft": LORA, "train": LORA}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"sft": LORA}, r"train\.method: full.*whole weights.*set train\.method: lora, or set engine\.kind: vllm"),
        ({"sft": {"method": "lora"}, "train": LORA}, r"sft\.lora\.keep_adapter: false"),
        ({"sft": {**LORA, "save_dtype": "bf16"}, "train": LORA}, r"sft\.save_dtype: bf16 rounds"),
        ({"sft": LORA, "train": HIGH, "iterations": 2}, r"516 for the last model.*512; lower train\.lora\.rank"),
        ({"sft": LORA, "train": {**LORA, "early_stopping": {"every": 2}}}, r"early_stopping\.every: was not tried"),
    ],
)
def test_a_run_whose_models_no_server_can_serve_is_refused_before_anything_is_made(
    make_config: Any,  # noqa: F811
    tmp_path: Path,
    keys: dict[str, Any],
    reason: str,
) -> None:
    config = load(make_config(engine={"kind": "server", "server": {"url": "http://127.0.0.1:9"}}, **keys))
    with pytest.raises(InputError, match=reason):
        execute(config, tmp_path / "run", None)  # type: ignore[arg-type]  # nothing is displayed
    assert not (tmp_path / "run").exists()


def test_a_frozen_judge_is_refused(make_config: Any, models: list[Path], tmp_path: Path) -> None:  # noqa: F811
    engine = {"kind": "server", "server": {"url": "http://127.0.0.1:9"}}
    config = load(make_config(engine=engine, judge={"role": str(models[1])}, **TRAINED))
    with pytest.raises(InputError, match=r"serves models of this run alone, and .*M1/model is to be judge in M2/judge"):
        execute(config, tmp_path / "run", None)  # type: ignore[arg-type]  # nothing is displayed


def test_a_cluster_is_refused(make_config: Any) -> None:  # noqa: F811
    config: Config = load(make_config(engine={"kind": "server"}, compute={"cluster": "local"}, **TRAINED))
    with pytest.raises(InputError, match=r"compute\.cluster: was not tried"):
        require_adapters(config, method(config))


def test_the_highest_rank_is_that_of_the_last_model(make_config: Any) -> None:  # noqa: F811
    config: Config = load(
        make_config(iterations=3, sft=LORA, train={**LORA, "lora": {"rank": 8, "keep_adapter": True}})
    )
    assert highest_rank(config, method(config)) == 4 + 3 * 8
