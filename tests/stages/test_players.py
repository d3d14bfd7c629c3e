"""Every model of the user's is looked at before the first stage runs, and is asked without the run's system message."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import judgeloop, make_config, tiny_model  # noqa: F401
from endpoint import says, serving
from judgeloop.config import JudgeSection, load
from judgeloop.errors import InputError
from judgeloop.judging.rubric import load_rubric
from judgeloop.loop import method
from judgeloop.models.run_note import RunNote
from judgeloop.run.directory import RunDirectory
from judgeloop.stages.models import Model
from judgeloop.stages.players import check_players
from judgeloop.stages.run_note import ASKED
from tiny import make_base_model, make_tiny_model, write_tokenizer

MakeConfig = Callable[..., Path]


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def no_template(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    del tree["chat_template"]
    path.write_text(json.dumps(tree), encoding="utf-8")


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def no_digits(folder: Path) -> None:
    """A tokenizer that has no token for any digit."""
    path = folder / "tokenizer.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tree["model"]["vocab"]
    for digit in "0123456789":
        vocabulary[f"<no {digit}>"] = vocabulary.pop(digit)
    tree["model"]["unk_token"] = "<|endoftext|>"
    path.write_text(json.dumps(tree), encoding="utf-8")


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no template": (no_template, "has no chat template"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer"),
    "broken tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json: cannot be read"),
    "cut off": (cut_off, "cannot be read as safetensors|is cut off|ends before"),
    "git-lfs": (lambda f: (f / "model.safetensors").write_text("version https://git-lfs"), "git-lfs pointer"),
    "unknown config": (lambda f: changed(f / "config.json", model_type="nobody"), "its config cannot be loaded"),
    "no language model": (lambda f: changed(f / "config.json", model_type="vit"), "is a vit, which writes no text"),
    "few positions": (
        lambda f: changed(f / "config.json", max_position_embeddings=64),
        "its rubric and an answer of 12 tokens can take [0-9]+ tokens and more, and it has 64 positions",
    ),
    "no digits": (no_digits, "its tokenizer has no token for the answer '0' after 'Score:'"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_judge_that_cannot_judge_is_named_before_anything_runs(
    fault: str,
    make_config: MakeConfig,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = make_tiny_model(tmp_path / "judge")
    config = load(make_config(judge={"role": str(folder), "rubric": "additive-5-short", "min_mass": 0.0}, iterations=1))
    steps = method(config)
    run = RunDirectory(tmp_path / "run", config, steps)
    check_players(run, steps)
    breaks, said = BROKEN[fault]
    breaks(folder)
    with pytest.raises(InputError, match=rf"^judge\.role: .*({said})") as caught:
        check_players(run, steps)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("evaluation.judge", {"evaluation": {"judge": "FOLDER"}}),
        ("pairs.anchor", {"pairs": {"anchor": "FOLDER"}}),
        ("prompts.role", {"prompts": {"source": "few_shot", "role": "FOLDER"}}),
        ("seed_data.eft.writer", {"seed_data": {"eft": {"source": "written", "writer": "FOLDER"}}}),
    ],
)
def test_every_role_is_looked_at(
    key: str,
    changes: dict[str, Any],
    make_config: MakeConfig,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = make_base_model(tmp_path / "base")
    changes = json.loads(json.dumps(changes).replace("FOLDER", str(folder)))
    if "seed_data" in changes:
        changes["seed_data"] |= {"ranked": str(tmp_path / "seed.jsonl"), "eft_share": 1.0}
    config = load(make_config(iterations=1, **changes))
    steps = method(config)
    with pytest.raises(InputError, match=rf"^{key}: .*has no chat template"):
        check_players(RunDirectory(tmp_path / "run", config, steps), steps)


def test_the_runs_system_message_is_not_put_before_a_frozen_judges_prompts(
    make_config: MakeConfig,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = make_tiny_model(tmp_path / "judge")
    config = load(make_config(judge={"role": str(folder)}, system_prompt="Be brief."))
    run = RunDirectory(tmp_path / "run", config, method(config))
    (tmp_path / "run" / "M0").mkdir(parents=True)
    m0 = {"path": config.model, "hash": "0", "date": "2025-01-31"}
    (tmp_path / "run" / "M0" / "model.json").write_text(json.dumps(m0), encoding="utf-8")
    judge = Model.frozen(run, str(folder))
    assert judge.chat().system_prompt is None
    assert judge.chat(answers=True).system_prompt == "Be brief."  # as an anchor it answers prompts
    assert Model.made(run, run.maker("M0")).chat().system_prompt == "Be brief."
    said = JudgeSection().model_dump(mode="json", exclude=ASKED)
    judged = {**said, "rubric": asdict(load_rubric("additive-5"))}
    RunNote("M2", "0", "2024-01-31", "Judge well.", "auto", judged).write(folder)
    assert judge.chat().system_prompt == "Judge well."  # as it learnt to judge


@pytest.mark.parametrize("key", ["judge.role", "evaluation.judge"])
def test_an_endpoint_that_cannot_be_reached_is_named_before_anything_runs(
    key: str,
    make_config: MakeConfig,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-shown")
    section, name = key.split(".")

    def check(url: str) -> None:
        more = {"judge": {"min_mass": 0.0}} | {section: {name: "openai:gpt"}}
        config = load(make_config(iterations=1, endpoint={"url": url}, **more))
        steps = method(config)
        check_players(RunDirectory(tmp_path / "run", config, steps), steps)

    with serving(lambda asked: says("Score: 3")) as server:
        check(server.url)  # it does not say which models it has
        assert server.asked == []
    with pytest.raises(InputError, match=rf"^{key}: .*connection refused; start the server or check the URL"):
        check(server.url)
    with unauthorized() as url, pytest.raises(InputError, match=rf"^{key}: .*refuses access \(401\b") as caught:
        check(url)
    assert "sk-not" not in str(caught.value)


@contextmanager
def unauthorized() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_run_ends_at_once_if_its_judge_cannot_judge(
    make_config: MakeConfig,  # noqa: F811
    judgeloop: Callable[..., subprocess.CompletedProcess[str]],  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = make_tiny_model(tmp_path / "judge")
    write_tokenizer(folder, None)
    done = judgeloop("run", str(make_config(judge={"role": str(folder)})), "--out", str(tmp_path / "run"))
    assert done.returncode == 2, done.stderr
    assert "judge.role:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "M1").exists()
