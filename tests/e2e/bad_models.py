"""Model folders, templates, endpoints, run directories and options that are wrong."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bad_input import Case, write
from safetensors.numpy import load_file, save_file

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


def reweighted(**tensors: Any) -> Callable[[Path], None]:
    """The model with other tensors: further ones, or in the place of its own."""

    def make(folder: Path) -> None:
        copied()(folder)
        path = folder / "mine" / "model.safetensors"
        save_file({**load_file(path), **tensors}, path, metadata={"format": "pt"})

    return make


def template(text: str) -> Callable[[Path], None]:
    return copied(tokenizer_config__json={"chat_template": text})


MODEL = {"model": "mine"}
LAST = "z.last"  # in its file, by its name
FIRST = "model.layers.0.self_attn"
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

# fmt: off
MODELS = [
    Case("model missing", RUN, ("no folder './nowhere'", "smollm2-135m-instruct"), config={"model": "./nowhere"}),
    Case("model is a word", RUN, ("no folder 'smollm'", "smollm2-135m-instruct"), config={"model": "smollm"}),
    Case("model of the hub offline", RUN, ("nobody/nothing", "not in the local cache", "local folder"),
         config={"model": "nobody/nothing"}),
    Case("model is an empty folder", RUN, ("mine", "no config.json"), config=MODEL,
         make=lambda f: (f / "mine").mkdir()),
    Case("model is a text file", RUN, ("mine", "not a GGUF file"), {"mine": "words"}, MODEL),
    Case("model is an empty file", RUN, ("mine", "not a GGUF file"), {"mine": ""}, MODEL),
    Case("model is a broken GGUF", RUN, ("mine.gguf", "cannot be restored", "get it again"),
         {"mine.gguf": b"GGUF\x03\x00\x00\x00" + b"\xff" * 40}, {"model": "mine.gguf"}),
    Case("model without config", RUN, ("mine", "no config.json"), config=MODEL, make=copied(without=("config.json",))),
    Case("model with a broken config", RUN, ("config.json", "cannot be read", "restore"), config=MODEL,
         make=copied(config__json="{")),
    Case("model with a list as config", RUN, ("config.json", "not a JSON object"), config=MODEL,
         make=copied(config__json=[1])),
    Case("model that is an encoder", RUN, ("mine", "is an encoder (BertModel)", "give a language model"),
         config=MODEL, make=copied(config__json={"model_type": "bert", "architectures": ["BertModel"]})),
    Case("model without weights", RUN, ("mine", "no safetensors weights"), config=MODEL,
         make=copied(without=("*.safetensors",))),
    Case("model with cut weights", RUN, ("model.safetensors", "cannot be read", "restore"), config=MODEL,
         make=copied(model__safetensors=b"\x10\x00")),
    Case("model with empty weights", RUN, ("model.safetensors", "cannot be read", "restore"), config=MODEL,
         make=copied(model__safetensors=b"")),
    Case("model with NaN in its weights", RUN, ("safetensors holds NaN or infinity", "model.norm.weight", "earlier"),
         config=MODEL, make=reweighted(**{"model.norm.weight": np.full(64, np.nan, np.float32)})),
    Case("model with zeros in place of its end", RUN, ("safetensors ends in zeros", "get the file again"), config=MODEL,
         make=reweighted(**{f"{LAST}.weight": np.zeros((64, 64), "f4"), f"{LAST}.bias": np.zeros(8, np.float32)})),
    Case("model of another family's weights", RUN, ("mine", "no place", "q_proj.bias", "restore the config"),
         config=MODEL, make=reweighted(**{f"{FIRST}.q_proj.bias": np.zeros(64, np.float32)})),
    Case("model with LFS pointer", RUN, ("model.safetensors", "git-lfs pointer", "git lfs pull"), config=MODEL,
         make=copied(model__safetensors="version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")),
    Case("model with pickled weights", RUN, ("mine", "pickle", "safetensors"), config=MODEL,
         make=copied(without=("*.safetensors",), pytorch_model__bin=b"PK")),
    Case("model of other shapes", RUN, ("hidden_size 128", "64", "restore"), config=MODEL,
         make=copied(config__json={"hidden_size": 128})),
    Case("model of other heads", RUN, ("mine", "k_proj.weight", "another shape", "restore"), config=MODEL,
         make=copied(config__json={"num_key_value_heads": 4})),
    Case("model with an unknown activation", RUN, ("mine", "cannot be loaded as a language model", "swigluu"),
         config=MODEL, make=copied(config__json={"hidden_act": "swigluu"})),
    Case("model with a padding token of its own", RUN, ("pad_token_id 999", "448"), config=MODEL,
         make=copied(config__json={"pad_token_id": 999})),
    Case("model that is a DeepSpeed checkpoint", RUN, ("mine", "DeepSpeed", "zero_to_fp32.py"), config=MODEL,
         make=copied(without=("*.safetensors",), global_step10=b"x")),
    Case("model with an LFS pointer as its template", RUN, ("chat_template.jinja", "git lfs pull"), config=MODEL,
         make=copied(chat_template__jinja="version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")),
    Case("model with an end token in words", RUN, ("eos_token_id is '</s>'", "number"), config=MODEL,
         make=copied(generation_config__json='{"eos_token_id": "</s>"}')),
    Case("model of more layers", RUN, ("3 layers", "weights have 2"), config=MODEL,
         make=copied(config__json={"num_hidden_layers": 3})),
    Case("model of fewer words than tokens", RUN, ("vocab_size 10", "448"), config=MODEL,
         make=copied(config__json={"vocab_size": 10})),
    Case("model without tokenizer", RUN, ("mine", "no tokenizer"), config=MODEL, make=copied(without=("tokenizer*",))),
    Case("model with a broken tokenizer", RUN, ("tokenizer.json", "cannot be read"), config=MODEL,
         make=copied(tokenizer__json="{")),
    Case("model with a tokenizer of nothing", RUN, ("mine", "tokenizer cannot be loaded"), config=MODEL,
         make=copied(tokenizer__json="{}")),
    Case("model without template", RUN, ("mine", "no chat template", "chat_template: plain"), config=MODEL,
         make=copied(tokenizer_config__json={"chat_template": ...})),
    Case("model with few positions", RUN, ("seed_data", "4 positions", "choose another model"), config=MODEL,
         make=copied(config__json={"max_position_embeddings": 4})),
    Case("template with a syntax error", RUN, ("mine", "chat template fails", "endfor"), config=MODEL,
         make=template("{% for m in messages %}")),
    Case("template that raises", RUN, ("mine", "chat template fails (never)"), config=MODEL,
         make=template("{{ raise_exception('never') }}")),
    Case("template of nothing", RUN, ("mine", "no chat template"), config=MODEL, make=template("")),
    Case("template that leaves out the answer", RUN, ("mine", "no EOS closes", "chat template"), config=MODEL,
         make=template("{{ messages[0]['content'] }}")),
    Case("template with two BOS", RUN, ("mine", "3 BOS tokens", "chat template"), config=MODEL,
         make=template("{{ bos_token }}{{ bos_token }}" + TURN)),
    Case("template without an end", RUN, ("mine", "no EOS closes"), config=MODEL,
         make=template("{% for m in messages %}{{ m['content'] }}{% endfor %}")),
    Case("template that is a number", RUN, ("mine", "chat template is no text", "set chat_template"), config=MODEL,
         make=template(3)),
    Case("chat_template missing", RUN, ("mine.jinja", "No such file", "chatml"),
         config={"chat_template": "mine.jinja"}),
    Case("chat_template unknown", RUN, ("llama", "No such file", "chatml"), config={"chat_template": "llama"}),
    Case("chat_template broken", RUN, ("mine.jinja: the chat template fails", "mend it"), {"mine.jinja": "{% if %}"},
         {"chat_template": "mine.jinja"}),
    Case("chat_template not UTF-8", RUN, ("mine.jinja", "not UTF-8"), {"mine.jinja": b"\xff\xfe"},
         {"chat_template": "mine.jinja"}),
    Case("chat_template is a folder", RUN, ("mine", "Is a directory"), config={"chat_template": "mine"},
         make=lambda f: (f / "mine").mkdir()),
    Case("judge role unknown", RUN, ("judge.role", "'nobody'", "model folder"), config={"judge.role": "nobody"}),
    Case("judge role of a later model", RUN, ("judge.role", "M7 does not exist yet"), config={"judge.role": "M7"}),
    Case("judge role frozen without a model", RUN, ("judge.role", "mine", "model folder"),
         config={"judge.role": "mine"}, make=lambda f: (f / "mine").mkdir()),
    Case("pairs anchor missing", RUN, ("pairs.anchor", "./nowhere"), config={"pairs.anchor": "./nowhere"}),
    Case("evaluation judge unknown", RUN, ("evaluation.judge", "./nowhere"), config={"evaluation.judge": "./nowhere"}),
    Case("thinking unknown", "models show model --thinking maybe", ("--thinking", "maybe", "auto, on, off")),
    Case("show a name that is too long", f"models show {'x' * 300}", ("no folder 'xxx", "model folder")),
    Case("show somebody's home", "models show ~nobody-at-all/model", ("no folder '~nobody-at-all/model'",)),
    Case("show missing", "models show ./nowhere", ("no folder './nowhere'",)),
    Case("show a word", "models show smollm", ("no folder 'smollm'", "smollm2-135m-instruct")),
    Case("pull unknown", "models pull smollm", ("no folder 'smollm'", "smollm2-135m-instruct")),
    Case("judge with a model missing", f"{JUDGE} --model ./nowhere", ("no folder './nowhere'",)),
    Case("judge with a model that the engine cannot run", f"{JUDGE} --model mine",
         ("rwkv", "in a way of its own", "vllm", "another model"), make=copied(config__json={"model_type": "rwkv"})),
    Case("judge with an unknown rubric", f"{JUDGE} --model model --rubric additive-6",
         ("judge.rubric", "additive-6", "additive-5-direct")),
    Case("judge with no samples", f"{JUDGE} --model model --samples 0", ("'--samples'", "greater than or equal to 1")),
    Case("judge with an unknown engine", "judge --in rows.jsonl --out s.jsonl --model model --engine gpu",
         ("'--engine'", "'gpu'", "transformers")),
    Case("judge with a key of runs", f"{JUDGE} --model model --set iterations=3",
         ("--set iterations=3", "no part in judging")),
    Case("judge with a wrong key", f"{JUDGE} --model model --set judge.sample=3",
         ("judge.sample", "did you mean 'judge.samples'?")),
    Case("judge without a model", f"{JUDGE}", ("'--model'", "judgeloop judge --help")),
    Case("judge without an input", "judge --model model --out s.jsonl", ("'--in'",)),
    Case("endpoint without http", f"{REMOTE} --endpoint localhost:8000/v1",
         ("endpoint.url", "localhost:8000/v1", "http://")),
    Case("endpoint with a password", f"{REMOTE} --endpoint http://me:hunter2@localhost/v1",
         ("endpoint.url", "password", "environment")),
    Case("endpoint with a wrong port", f"{REMOTE} --endpoint http://localhost:99999/v1", ("endpoint.url", "99999")),
    Case("endpoint that nobody serves", f"{REMOTE} --endpoint http://127.0.0.1:9/v1",
         ("http://127.0.0.1:9/v1", "connection refused", "start the server")),
    Case("endpoint with a NaN timeout", f"{REMOTE} --endpoint http://127.0.0.1:9/v1 --timeout nan", ("'--timeout'",)),
    Case("endpoint of eval with an endless timeout",
         "eval agreement --in seed.jsonl --model gpt --endpoint http://127.0.0.1:9/v1 --timeout inf",
         ("'timeout'", "finite")),
    Case("eval onto a folder", "eval agreement --in seed.jsonl --model gpt --endpoint http://127.0.0.1:9/v1 --out .",
         ("is a folder", "--out")),
    Case("endpoint with a key of two lines", f"{REMOTE} --endpoint http://127.0.0.1:9/v1",
         ("endpoint.key_variable", "OPENAI_API_KEY", "line break", "copy it again"),
         environment={"OPENAI_API_KEY": "sk-abc\ndef-ghijk"}),
    Case("endpoint with a key of no letters", f"{REMOTE} --endpoint http://127.0.0.1:9/v1",
         ("endpoint.key_variable", "OPENAI_API_KEY", "copy it again"),
         environment={"OPENAI_API_KEY": "sk-schlüssel-–-1"}),
    Case("endpoint that is not named", RUN, ("endpoint.url", "judge.role is openai:gpt"),
         config={"judge.role": "openai:gpt"}),
    Case("endpoint without a name", RUN, ("judge.role", "openai:NAME"),
         config={"judge.role": "openai:", "endpoint.url": "http://127.0.0.1:9/v1"}),
    Case("endpoint down in a run", RUN, ("http://127.0.0.1:9/v1", "connection refused"),
         config={"evaluation.judge": "openai:gpt", "endpoint.url": "http://127.0.0.1:9/v1"}),
    Case("endpoint prices negative", RUN, ("endpoint.prices.input", "-1"),
         config={"endpoint.prices": {"input": -1, "output": 1}}),
    Case("endpoint key in the config", RUN, ("unknown key 'endpoint.api_key'",),
         config={"endpoint.api_key": "sk-secret-in-config"}),
    Case("out below a file", "run config.yaml --out rows.jsonl/run", ("rows.jsonl/run", "Not a directory", "--out")),
    Case("out is a file", "run config.yaml --out rows.jsonl", ("rows.jsonl", "cannot be written", "--out")),
    Case("out of somebody else", "run config.yaml --out theirs", ("theirs", "not a run", "--out"),
         {"theirs/chapter.txt": "words"}),
    Case("out is locked", RUN, ("run", "another run"), make=locked),
    Case("status of no run", "status .", ("not a run directory", "judgeloop run")),
    Case("status of nothing", "status nowhere", ("nowhere", "not a run directory")),
    Case("report of no run", "report .", ("not a run directory",)),
    Case("status with a broken run.json", "status run", ("run/run.json", "damaged", "restore it"),
         run_of(run__json="{")),
    Case("status with a list as run.json", "status run", ("run/run.json", "not a JSON object"), run_of(run__json=[1])),
    Case("status with an unknown method", "status run", ("run", "'magic'"),
         run_of(run__json={"format": 2, "method": "magic", "started": ""})),
    Case("status with another format", "status run", ("format 1", "format 2", "--out"),
         run_of(run__json={"format": 1})),
    Case("status with a broken config", "status run", ("run/config.yaml:1", "broken YAML"),
         run_of(config__yaml="a: [")),
    Case("status with a config of old keys", "status run", ("run/config.yaml", "unknown key 'old'"),
         run_of(config__yaml="seed_data: {ift: seed.jsonl}\nold: 1\n")),
    Case("status with a broken marker", "status run", ("M0/.model.done.json", "damaged", "--redo"),
         run_of(**{"M0/model__json": "{}", "M0/__model__done__json": "{"})),
    Case("status with a broken decision", "status run", ("decision.json", "damaged"),
         run_of(**{"decision__json": "{"})),
    Case("run over a broken run.json", RUN, ("run/run.json", "damaged", "--out"), run_of(run__json="{")),
    Case("run over a broken marker", RUN, ("M0/.model.done.json", "damaged", "--redo"),
         run_of(**{"M0/model__json": "{}", "M0/__model__done__json": "{"})),
    Case("run over another method", RUN, ("'instructions'", "'loop'", "--out"),
         run_of(run__json={"format": 2, "method": "instructions", "started": ""})),
    Case("report of another method", "report run", ("'instructions'", "name another run"),
         run_of(run__json={"format": 2, "method": "instructions", "started": ""})),
]
# fmt: on
