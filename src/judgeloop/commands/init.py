"""`judgeloop init`: a config for the user's own data, after five questions."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from judgeloop.errors import InputError

if TYPE_CHECKING:
    from judgeloop.config import Config

Size = Literal["try", "usual", "long"]
# Iterations, prompts an iteration, candidates a prompt, prompts of the evaluation.
SIZES: dict[str, tuple[int, int, int, int]] = {
    "try": (1, 40, 3, 20),
    "usual": (2, 200, 4, 60),
    "long": (3, 1000, 4, 200),
}
_DEFAULT_MODEL = "smollm2-135m-instruct"


def init(
    path: Annotated[Path, typer.Argument(metavar="CONFIG", help="the file to write")] = Path("judgeloop.yaml"),
    model: Annotated[str | None, typer.Option(help="M0: a folder, a hub id or an alias")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="your data: a file, a folder or hf:org/name; any number of times")
    ] = None,
    language: Annotated[Literal["en", "zh"] | None, typer.Option(help="of the rubric, new prompts and report")] = None,
    prompts: Annotated[
        str | None, typer.Option(metavar="model|FILE", help="who asks: the model itself, or a file of prompts")
    ] = None,
    held_out: Annotated[
        str | None, typer.Option(metavar="FILE", help="prompts to evaluate on; needed if nothing in the data is ranked")
    ] = None,
    size: Annotated[Size | None, typer.Option(help="try: minutes; usual: an afternoon; long: a night or more")] = None,
) -> None:
    """Write a commented config for your own data, and say in a few lines what becomes of the data.

    Asks what the options do not say; where nobody can be asked, defaults are taken, and --data must be given.
    """
    from rich.console import Console

    from judgeloop.commands.seed import sort_sources
    from judgeloop.config.loading import load
    from judgeloop.report.printing import say

    if path.exists():
        raise InputError.at(path, None, "exists already", "remove it, or name another file: judgeloop init my.yaml")
    sources = data or _ask("Your data (files, folders, hf:org/name; spaces between them)", None, "--data").split()
    sorted_ = sort_sources(sources, {})
    if not (sorted_.ranked or sorted_.ift or sorted_.eft):
        raise InputError(
            f"--data {' '.join(sources)}: holds prompts without answers, and M1 is made from answers; add chats, "
            "instructions with responses or ranked responses, and give the prompts with --prompts"
        )
    model = model or _ask("Model (a folder, a hub id or an alias)", _DEFAULT_MODEL, "--model")
    spoken = language or _choice("Language", ("en", "zh"), "--language")
    asked = prompts or _ask("Who asks: 'model' (it writes new prompts), or a file of prompts", "model", "--prompts")
    if held_out is None and not sorted_.ranked:  # of ranked data a part is held out
        held_out = _ask("Nothing is ranked: a file of held-out prompts to evaluate on", None, "--held-out")
    lasting = size or _choice("How long may it take", tuple(SIZES), "--size", "usual")
    files = [] if asked == "model" else [asked]
    text = _text(model, sorted_, spoken, [*sorted_.prompts, *files], held_out, lasting)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.partial")
    draft.write_text(text, encoding="utf-8")
    try:
        found = _seed_of(load(draft))  # what was written is what is run
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    for line in found:
        say(Console(), line)
    seeds = shlex.join(source for source in sources if source not in sorted_.prompts)
    typer.echo(f"the rows as the model will see them: judgeloop seed {seeds} --dry-run")
    typer.echo(f"\n{path} is written. What it will cost:\n\n  judgeloop plan {shlex.quote(str(path))}")


def _seed_of(config: Config) -> list[str]:
    """What the run will make of the data, in a few lines, and whether too little is left to evaluate on. Raises
    InputError if that is nothing."""
    from judgeloop.forecast.concerns import few_prompts
    from judgeloop.judging.rubric import load_rubric
    from judgeloop.seed.build import build_seed
    from judgeloop.stages.contamination import evaluated_prompts
    from judgeloop.stages.context import kept_from_training
    from judgeloop.stages.seed import yields

    rubric = load_rubric(config.judge.rubric, config.judge.language)
    evaluated = evaluated_prompts(config)
    seed = build_seed(config.seed_data, rubric, config.judge.justification, config.seed, evaluated)
    few = few_prompts(config, len(kept_from_training(config, seed.held_out)))
    return [*yields(seed.account), *(f"warning: {sentence}" for sentence in few)]


def _ask(question: str, default: str | None, option: str) -> str:
    """The answer to a question, or the default if nobody can be asked. Raises InputError if there is none."""
    if not _can_ask():
        if default is None:
            raise InputError(f"judgeloop init: {option} is missing, and there is no terminal to ask on")
        return default
    return str(typer.prompt(question, default=default)).strip()


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _choice(question: str, among: tuple[str, ...], option: str, default: str | None = None) -> str:
    """One of a few words; a typing error is asked about again."""
    while (answer := _ask(f"{question} ({', '.join(among)})", default or among[0], option)) not in among:
        typer.echo(f"{answer}: is none of {', '.join(among)}")
    return answer


def _text(model: str, sources: Any, language: str, prompts: list[str], held_out: str | None, size: str) -> str:
    iterations, count, candidates, evaluated = SIZES[size]
    if prompts:
        count = min(count, _each_iteration(prompts, iterations))
    seed = [(key, found) for key, found in
            (("ranked", sources.ranked), ("ift", sources.ift), ("eft_files", sources.eft)) if found]  # fmt: skip
    what = {
        "ranked": "ranked answers: the best to learn to answer, all to learn to judge",
        "ift": "instructions with one answer each: M1 learns to answer from them",
        "eft_files": "judgements that are made already",
    }
    lines = [
        "# Written by `judgeloop init`. docs/configuration.md lists every key; what is left out has its default.",
        f"model: {_yaml(model)}",
        f"iterations: {iterations}  # preference-training iterations after M1: {iterations} gives M{iterations + 1}",
        "",
        "seed_data:",
        *(f"  {key}: {_yaml([_place(s) for s in found])}  # {what[key]}" for key, found in seed),
    ]
    if sources.ranked:
        lines += ["  held_out_share: 0.1  # ranked prompts that nothing is trained on: agreement is measured with them"]
    else:
        lines += [
            "  eft:",
            "    source: contrast  # nothing is ranked: the model learns to judge from answers to other instructions",
        ]
    if language != "en":
        lines += ["  lang: null  # of Open Assistant trees every language"]
    lines += ["", "prompts:"]
    if prompts:
        lines += ["  source: file", f"  files: {_yaml([_place(p) for p in prompts])}"]
    else:
        lines += ["  source: few_shot  # the model writes new prompts like those of the seed"]
    lines += [
        f"  count: {count}  # an iteration",
        f"  language: {language}",
        "",
        "candidates:",
        f"  count: {candidates}  # answers to each prompt, of which the best and the worst make a pair",
        "",
        "judge:",
        "  rubric: additive-5-direct  # 0 to 5 points; `additive-5` asks for a justification too",
        "  scoring: expected  # from the probabilities of the scores; large models: sampled, with additive-5",
        f"  language: {language}",
        "",
        "pairs:",
        "  margin: 0.1  # best and worst are this far apart, or they make no pair",
        "",
        "train:",
        "  eft_replay: 0.3  # judging is rehearsed, or preference training makes the model forget it",
        "",
        "evaluation:",
        *([f"  prompts: {_yaml(_place(held_out))}  # nothing is trained on these"] if held_out else []),
        f"  count: {evaluated}  # held-out prompts that every model answers",
        "  compare: scores  # small judges; larger ones: pairwise, in both orders",
    ]
    if language != "en":
        lines += ["", "report:", f"  language: {language}"]
    return "\n".join(lines) + "\n"


def _each_iteration(prompts: list[str], iterations: int) -> int:
    """How many prompts of the files each iteration can have; each is used once."""
    from judgeloop.data.readers import read_prompts

    found = {row.id for source in prompts for row in read_prompts(Path(source))[0]}
    if len(found) < iterations:
        raise InputError(f"--prompts {' '.join(prompts)}: {len(found)} prompts for {iterations} iterations; add some")
    return len(found) // iterations


def _place(source: str) -> str:
    """A path as the config takes it, wherever the config is: absolute; hub data sets by their name."""
    return source if source.startswith("hf:") else str(Path(source).expanduser().resolve())


def _yaml(value: object) -> str:
    """A value on one line; JSON is YAML."""
    return (
        value if isinstance(value, str) and value.replace("-", "").isalnum() else json.dumps(value, ensure_ascii=False)
    )
