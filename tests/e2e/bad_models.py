"""Model folders, templates, endpoints, run directories and options that are wrong."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import Case, write

RUN = "run config.yaml --out run"
JUDGE = "judge --in rows.jsonl --out scored.jsonl --engine transformers"
REMOTE = "judge --model gpt --in rows.jsonl --out scored.jsonl"


def copied(*, without: tuple[str, ...] = (), **files: Any) -> Callable[[Path], None]:
    """The model as a folder of its own; a file's content is given by its name, `_` for its dot, or as a change of its
    JSON values."""

    def make(folder: Path) -> None:
        mine = folder / "mine"
        shutil.copytree(folder / "model", mine)
        for pattern in without:
            for path in mine.glob(pattern):
                path.unlink()
        for name, content in files.items():
            path = mine / name.replace("__", ".")
            if isinstance(content, dict):
                content = {**json.loads(path.read_text()), **content}
                content = {key: value for key, value in content.items() if value is not ...}
            write(path, content)

    return make


def template(text: str) -> Callable[[Path], None]:
    return copied(tokenizer_config__json={"chat_template": text})


MODEL = {"model": "mine"}
TURN = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def run_of(**files: Any) -> dict[str, Any]:
    """A run directory of this format with nothing made yet."""
    facts = {"judgeloop": "0", "format": 2, "method": "loop", "started": "2026-01-01", "models": [], "seed": 0}
    return {"run/config.yaml": "seed_data: {ift: seed.jsonl}\n", "run/run.json": facts,
            **{f"run/{name.replace('__', '.')}": content for name, content in files.items()}}  # fmt: skip


def locked(folder: Path) -> object:
    (folder / "run").mkdir()
    handle = (folder / "run" / ".lock").open("w")
    fcntl.flock(handle, fcntl.LOCK_EX)
    return HELD.append(handle)


HELD: list[object] = []

MODELS = [
    Case("model missing", RUN, (), config={"model": "./nowhere"}),
    Case("model is a word", RUN, (), config={"model": "smollm"}),
    Case("model of the hub offline", RUN, (), config={"model": "nobody/nothing"}),
    Case("model is an empty folder", RUN, (), config=MODEL, make=lambda f: (f / "mine").mkdir()),
    Case("model is a text file", RUN, (), {"mine": "words"}, MODEL),
    Case("model is an empty file", RUN, (), {"mine": ""}, MODEL),
    Case("model is a broken GGUF", RUN, (), {"mine.gguf": b"GGUF\x03\x00\x00\x00" + b"\xff" * 40}, {"model": "mine.gguf"}),
    Case("model without config", RUN, (), config=MODEL, make=copied(without=("config.json",))),
    Case("model with a broken config", RUN, (), config=MODEL, make=copied(config__json="{")),
    Case("model with a list as config", RUN, (), config=MODEL, make=copied(config__json=[1])),
    Case("model of an unknown kind", RUN, (), config=MODEL, make=copied(config__json={"model_type": "parrot", "architectures": ["ParrotForCausalLM"]})),
    Case("model that is an encoder", RUN, (), config=MODEL, make=copied(config__json={"model_type": "bert", "architectures": ["BertModel"]})),
    Case("model without weights", RUN, (), config=MODEL, make=copied(without=("*.safetensors",))),
    Case("model with cut weights", RUN, (), config=MODEL, make=copied(model__safetensors=b"\x10\x00")),
    Case("model with empty weights", RUN, (), config=MODEL, make=copied(model__safetensors=b"")),
    Case("model with LFS pointer", RUN, (), config=MODEL, make=copied(model__safetensors="version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")),
    Case("model with pickled weights", RUN, (), config=MODEL, make=copied(without=("*.safetensors",), pytorch_model__bin=b"PK")),
    Case("model of other shapes", RUN, (), config=MODEL, make=copied(config__json={"hidden_size": 128})),
    Case("model of more layers", RUN, (), config=MODEL, make=copied(config__json={"num_hidden_layers": 3})),
    Case("model of fewer words than tokens", RUN, (), config=MODEL, make=copied(config__json={"vocab_size": 10})),
    Case("model without tokenizer", RUN, (), config=MODEL, make=copied(without=("tokenizer*",))),
    Case("model with a broken tokenizer", RUN, (), config=MODEL, make=copied(tokenizer__json="{")),
    Case("model with a tokenizer of nothing", RUN, (), config=MODEL, make=copied(tokenizer__json="{}")),
    Case("model without template", RUN, (), config=MODEL, make=copied(tokenizer_config__json={"chat_template": ...})),
    Case("model with few positions", RUN, (), config=MODEL, make=copied(config__json={"max_position_embeddings": 4})),
    Case("template with a syntax error", RUN, (), config=MODEL, make=template("{% for m in messages %}")),
    Case("template that raises", RUN, (), config=MODEL, make=template("{{ raise_exception('never') }}")),
    Case("template of nothing", RUN, (), config=MODEL, make=template("")),
    Case("template that leaves out the answer", RUN, (), config=MODEL, make=template("{{ messages[0]['content'] }}")),
    Case("template with two BOS", RUN, (), config=MODEL, make=template("{{ bos_token }}{{ bos_token }}" + TURN)),
    Case("template without an end", RUN, (), config=MODEL, make=template("{% for m in messages %}{{ m['content'] }}{% endfor %}")),
    Case("template that is a number", RUN, (), config=MODEL, make=template(3)),  # type: ignore[arg-type]
    Case("chat_template missing", RUN, (), config={"chat_template": "mine.jinja"}),
    Case("chat_template unknown", RUN, (), config={"chat_template": "llama"}),
    Case("chat_template broken", RUN, (), {"mine.jinja": "{% if %}"}, {"chat_template": "mine.jinja"}),
    Case("chat_template not UTF-8", RUN, (), {"mine.jinja": b"\xff\xfe"}, {"chat_template": "mine.jinja"}),
    Case("chat_template is a folder", RUN, (), config={"chat_template": "mine"}, make=lambda f: (f / "mine").mkdir()),
    Case("judge role unknown", RUN, (), config={"judge.role": "nobody"}),
    Case("judge role of a later model", RUN, (), config={"judge.role": "M7"}),
    Case("judge role frozen without a model", RUN, (), config={"judge.role": "mine"}, make=lambda f: (f / "mine").mkdir()),
    Case("pairs anchor missing", RUN, (), config={"pairs.anchor": "./nowhere"}),
    Case("evaluation judge unknown", RUN, (), config={"evaluation.judge": "./nowhere"}),
    Case("thinking unknown", "models show model --thinking maybe", ()),
    Case("show missing", "models show ./nowhere", ()),
    Case("show a word", "models show smollm", ()),
    Case("pull unknown", "models pull smollm", ()),
    Case("judge with a model missing", f"{JUDGE} --model ./nowhere", ()),
    Case("judge with an unknown rubric", f"{JUDGE} --model model --rubric additive-6", ()),
    Case("judge with no samples", f"{JUDGE} --model model --samples 0", ()),
    Case("judge with an unknown engine", "judge --in rows.jsonl --out s.jsonl --model model --engine gpu", ()),
    Case("judge with a key of runs", f"{JUDGE} --model model --set iterations=3", ()),
    Case("judge with a wrong key", f"{JUDGE} --model model --set judge.sample=3", ()),
    Case("judge without a model", f"{JUDGE}", ()),
    Case("judge without an input", "judge --model model --out s.jsonl", ()),
    Case("endpoint without http", f"{REMOTE} --endpoint localhost:8000/v1", ()),
    Case("endpoint with a password", f"{REMOTE} --endpoint http://me:hunter2@localhost/v1", ()),
    Case("endpoint with a wrong port", f"{REMOTE} --endpoint http://localhost:99999/v1", ()),
    Case("endpoint that nobody serves", f"{REMOTE} --endpoint http://127.0.0.1:9/v1", ()),
    Case("endpoint with a NaN timeout", f"{REMOTE} --endpoint http://127.0.0.1:9/v1 --timeout nan", ()),
    Case("endpoint of eval with an endless timeout", "eval agreement --in seed.jsonl --model gpt --endpoint http://127.0.0.1:9/v1 --timeout inf", ()),
    Case("endpoint with a key in an option", f"{REMOTE} --endpoint http://127.0.0.1:9/v1 --key-variable ''", ()),
    Case("endpoint with a key of two lines", f"{REMOTE} --endpoint http://127.0.0.1:9/v1", (), environment={"OPENAI_API_KEY": "sk-abc\ndef-ghijk"}),
    Case("endpoint with a key of no letters", f"{REMOTE} --endpoint http://127.0.0.1:9/v1", (), environment={"OPENAI_API_KEY": "sk-schlüssel-–-1"}),
    Case("endpoint that is not named", RUN, (), config={"judge.role": "openai:gpt"}),
    Case("endpoint without a name", RUN, (), config={"judge.role": "openai:", "endpoint.url": "http://127.0.0.1:9/v1"}),
    Case("endpoint down in a run", RUN, (), config={"evaluation.judge": "openai:gpt", "endpoint.url": "http://127.0.0.1:9/v1"}),
    Case("endpoint prices negative", RUN, (), config={"endpoint.prices": {"input": -1, "output": 1}}),
    Case("endpoint key in the config", RUN, (), config={"endpoint.api_key": "sk-secret-in-config"}),
    Case("out below a file", "run config.yaml --out rows.jsonl/run", ()),
    Case("out is a file", "run config.yaml --out rows.jsonl", ()),
    Case("out of somebody else", "run config.yaml --out theirs", (), {"theirs/chapter.txt": "words"}),
    Case("out is locked", RUN, (), make=locked),
    Case("status of no run", "status .", ()),
    Case("status of nothing", "status nowhere", ()),
    Case("report of no run", "report .", ()),
    Case("status with a broken run.json", "status run", (), run_of(run__json="{")),
    Case("status with a list as run.json", "status run", (), run_of(run__json=[1])),
    Case("status with an unknown method", "status run", (), run_of(run__json={"format": 2, "method": "magic", "started": ""})),
    Case("status with another format", "status run", (), run_of(run__json={"format": 1})),
    Case("status with a broken config", "status run", (), run_of(config__yaml="a: [")),
    Case("status with a config of old keys", "status run", (), run_of(config__yaml="seed_data: {ift: seed.jsonl}\nold: 1\n")),
    Case("status with a broken marker", "status run", (), run_of(**{"M0/model__json": "{}", "M0/__model__done__json": "{"})),
    Case("status with a broken decision", "status run", (), run_of(**{"decision__json": "{"})),
    Case("report with a broken artifact", "report run", (), run_of(**{"M0/eval__json": "{", "M0/__eval__done__json": "{}"})),
    Case("run over a broken run.json", RUN, (), run_of(run__json="{")),
    Case("run over a broken marker", RUN, (), run_of(**{"M0/model__json": "{}", "M0/__model__done__json": "{"})),
    Case("run over another method", RUN, (), run_of(run__json={"format": 2, "method": "instructions", "started": ""})),
    Case("report of another method", "report run", (), run_of(run__json={"format": 2, "method": "instructions", "started": ""})),
]
