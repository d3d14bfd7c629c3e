"""Which architectures work: a tiny model of each with random weights, its family's chat template, a tokenizer made by
code, through everything that a run does with a model.

    python benchmarks/matrix.py                 # all, a table in Markdown (docs/models.md)
    python benchmarks/matrix.py qwen3 gemma2    # some
    python benchmarks/matrix.py --loops         # whole runs, M0 → M1 → M2: LoRA and full, expected and sampled judging

Columns: `check` (weights, tokenizer and template, as before a run), `logits` (log-probabilities of options equal those
of plain transformers), `greedy` (generated ids equal those of plain transformers), `OpenVINO` (the same, for how many
of the prompts, or why this engine does not run the model), `score` (an expected score between 0 and 5), `SFT` and
`DPO` (one step, full and LoRA, the saved model loads and has changed).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from judgeloop.engines.base import OptionRequest, Request, Sampling
from matrix_loops import LOOPS, TOPICS, loop_in_a_process
from matrix_models import ARCHITECTURES, make


def examine(name: str, folder: Path) -> dict[str, str]:
    """Each column's result: "yes", or what went wrong."""
    from judgeloop.errors import JudgeloopError

    found: dict[str, str] = {}
    template = make(name, folder)
    for column, look in COLUMNS.items():
        try:
            found[column] = look(folder, template)
        except (
            JudgeloopError,
            AssertionError,
            ValueError,
            RuntimeError,
            TypeError,
            IndexError,
            AttributeError,
        ) as error:
            found[column] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
    return found


def _chat(folder: Path, template: str | None) -> Any:
    from judgeloop.models.chat import Chat

    return Chat.load(folder, chat_template=template, date="2026-01-31")


def _engine(folder: Path, chat: Any) -> Any:
    from judgeloop.config import EngineSection
    from judgeloop.engines.transformers import TransformersEngine

    return TransformersEngine(EngineSection(kind="transformers", precision="f32"), folder, chat)


QUESTIONS = ("Why is the sky blue?", "What is the capital of France? Explain it in one sentence, then give an example.")


def _check(folder: Path, template: str | None) -> str:
    from judgeloop.models.resolve import resolve

    resolve(str(folder))
    problems = _chat(folder, template).check()
    assert not problems, problems[0]
    return "yes"


def _logits(folder: Path, template: str | None) -> str:
    import torch

    from judgeloop.models.auto_class import auto_class

    chat = _chat(folder, template)
    engine = _engine(folder, chat)
    options = tuple(tuple(chat.response_ids(word, finished=False)) for word in ("Score: 3", "Rain and bread"))
    prompts = [tuple(chat.prompt_ids([{"role": "user", "content": text}])) for text in QUESTIONS]
    requests = [OptionRequest(str(n), ids, options) for n, ids in enumerate(prompts)]
    ours = {row.request_id: row.logprobs for row in engine.option_logprobs(requests)}
    plain = auto_class(folder).from_pretrained(folder, dtype=torch.float32).eval()
    worst = 0.0
    for request in requests:
        for option, logprob in zip(options, ours[request.id], strict=True):
            ids = torch.tensor([[*request.prompt_ids, *option]])
            with torch.no_grad():
                logprobs = plain(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)[0]
            places = range(len(request.prompt_ids) - 1, ids.shape[1] - 1)
            whole = sum(float(logprobs[n, ids[0, n + 1]]) for n in places)
            worst = max(worst, abs(whole - logprob))
    assert worst < 1e-3, f"log-probabilities differ by {worst:.2g}"
    return "yes"


def _greedy(folder: Path, template: str | None) -> str:
    chat = _chat(folder, template)
    asked = _greedy_requests(chat, QUESTIONS)
    ours = {row.request_id: row.token_ids for row in _engine(folder, chat).generate(asked)}
    assert ours == _plain_greedy(folder, chat, asked), "generated ids differ from plain transformers'"
    return "yes"


def _openvino(folder: Path, template: str | None) -> str:
    from judgeloop.config import EngineSection
    from judgeloop.engines.openvino import OpenVinoEngine, supports

    reason = supports(folder)
    if reason is not None:
        return f"no: {reason}"
    chat = _chat(folder, template)
    asked = _greedy_requests(chat, [*QUESTIONS, *(f"Explain {topic}, and write about it." for topic in TOPICS)])
    section = EngineSection(kind="openvino", precision="f32", cache_gib=1)
    engine = OpenVinoEngine(section, folder, chat, work_dir=folder / "engine", threads=1)
    ours = {row.request_id: row.token_ids for row in engine.generate(asked)}
    engine.close()
    theirs = _plain_greedy(folder, chat, asked)
    return f"{sum(ours[key] == ids for key, ids in theirs.items())}/{len(theirs)}"


def _greedy_requests(chat: Any, questions: Sequence[str]) -> list[Request]:
    prompts = (tuple(chat.prompt_ids([{"role": "user", "content": text}])) for text in questions)
    return [Request(str(number), ids, Sampling(12)) for number, ids in enumerate(prompts)]


def _plain_greedy(folder: Path, chat: Any, requests: Sequence[Request]) -> dict[str, tuple[int, ...]]:
    """What plain transformers generates in float32, one request at a time."""
    import torch

    from judgeloop.models.auto_class import auto_class

    plain = auto_class(folder).from_pretrained(folder, dtype=torch.float32).eval()
    found = {}
    for request in requests:
        ids = torch.tensor([request.prompt_ids])
        with torch.no_grad():
            out = plain.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
                eos_token_id=list(chat.end_ids), pad_token_id=chat.pad_id,
            )  # fmt: skip
        found[request.id] = tuple(out[0, len(request.prompt_ids) :].tolist())
    return found


def _score(folder: Path, template: str | None) -> str:
    from judgeloop.config import JudgeSection
    from judgeloop.judging.pointwise import ToJudge, judge
    from judgeloop.judging.rubric import load_rubric

    chat = _chat(folder, template)
    items = [ToJudge("c", [{"role": "user", "content": QUESTIONS[0]}], "Because of the air.")]
    config = JudgeSection(scoring="expected", min_mass=0.0)
    (row,) = judge(_engine(folder, chat), chat, load_rubric(config.rubric), config, items, 0)
    assert row.score is not None, row.reason
    assert 0 <= row.score <= 5, row.score
    return "yes"


def _trained(folder: Path, template: str | None, kind: str) -> str:
    from safetensors.torch import load_file

    from judgeloop.config import SftSection, TrainSection
    from judgeloop.records import Message, PreferencePair, SupervisedRow
    from judgeloop.training.preference import train_preference
    from judgeloop.training.sft import train_sft

    chat = _chat(folder, template)
    prompt: list[list[Message]] = [[{"role": "user", "content": text}] for text in QUESTIONS]
    answer: list[list[Message]] = [[{"role": "assistant", "content": text}] for text in ("The Moon and sea.", "Bread.")]
    for method in ("full", "lora"):
        output = folder / f"{kind}-{method}"
        options: dict[str, Any] = {
            "initial": folder, "output": output, "chat": chat, "seed": 0, "threads": 1,
            "on_progress": lambda _done, _total: None, "on_metrics": lambda _values: None,
        }  # fmt: skip
        keys = {
            "method": method,
            "epochs": 1,
            "batch_size": 2,
            "learning_rate": 1e-2,
            "max_length": 1024,
            "warmup": 0.0,
        }
        if kind == "sft":
            rows = [SupervisedRow(f"r{n}", "ift", f"p{n}", prompt[n], answer[n], "made") for n in (0, 1)]
            train_sft(rows, config=SftSection(**keys), **options)
        else:
            pairs = [
                PreferencePair(f"x{n}", f"p{n}", prompt[n], answer[0], answer[1], f"a{n}", f"b{n}", 4.0, 1.0)
                for n in (0, 1)
            ]
            train_preference(pairs, config=TrainSection(**keys), reference=folder, token_ids={}, **options)
        before, after = (load_file(place / "model.safetensors") for place in (folder, output))
        assert before.keys() == after.keys(), "the saved model has other tensors"
        assert any(not before[name].equal(after[name]) for name in before), f"{method}: nothing was learnt"
        made = _chat(output, None)
        assert made.prompt_ids(prompt[0]) == chat.prompt_ids(prompt[0])
        router = [_router_logits(place) for place in (folder, output)]
        assert router[0] == router[1], f"{method}: the saved config asks for the router's loss"
    return "yes"


def _router_logits(folder: Path) -> Any:
    from transformers import AutoConfig

    return getattr(AutoConfig.from_pretrained(folder), "output_router_logits", None)


COLUMNS: dict[str, Callable[[Path, str | None], str]] = {
    "check": _check,
    "logits": _logits,
    "greedy": _greedy,
    "OpenVINO": _openvino,
    "score": _score,
    "SFT": lambda folder, template: _trained(folder, template, "sft"),
    "DPO": lambda folder, template: _trained(folder, template, "dpo"),
}


def main() -> None:
    ways = [" + ".join(loop) for loop in LOOPS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="architectures, or their model types; all if none is given")
    parser.add_argument("--loops", action="store_true", help="whole runs: " + " and ".join(ways[:2]))
    parser.add_argument("--all-loops", action="store_true", help="also " + " and ".join(ways[2:]))
    arguments = parser.parse_args()
    loops = LOOPS if arguments.all_loops else LOOPS[:2] if arguments.loops else ()
    chosen = {name.lower() for name in arguments.names}
    columns = ways[: len(loops)] if loops else list(COLUMNS)
    warnings.simplefilter("ignore")
    print("| architecture | model type | template | tokenizer | " + " | ".join(columns) + " | seconds |")
    print("|---|---|---|---|" + "---|" * (len(columns) + 1))
    for name, made in ARCHITECTURES.items():
        if chosen and not {name.lower(), made.model_type} & chosen:
            continue
        started = time.monotonic()
        if loops:
            found = [loop_in_a_process(name, loop) for loop in loops]
        else:
            with tempfile.TemporaryDirectory() as folder:
                found = list(examine(name, Path(folder) / "model").values())
        seconds = f"{time.monotonic() - started:.0f}"
        cells = (name, f"`{made.model_type}`", made.template_name, made.splitting, *found, seconds)
        print("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
