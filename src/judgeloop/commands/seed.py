"""`judgeloop seed`: IFT and EFT files from whatever data there is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from judgeloop.commands.arguments import AsJson, Overrides
from judgeloop.errors import InputError

if TYPE_CHECKING:
    from judgeloop.config import Config
    from judgeloop.judging.rubric import Rubric
    from judgeloop.records import SupervisedRow
    from judgeloop.seed.build import SeedData

_EFT = "EFT rows and what is held out"


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The sources by what can be made of them."""

    ranked: tuple[str, ...]
    ift: tuple[str, ...]
    eft: tuple[str, ...]
    prompts: tuple[str, ...]


def seed(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="[FORMAT] IN…",
            help="files, folders or hf:org/name; FORMAT first (oasst, ranked, preferences, chat, sharegpt, pairs, "
            "alpaca, self-instruct, rated, compared, transcripts, prompts, eft) refuses every other",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="folder to write: ift.jsonl, eft.jsonl, held_out.jsonl, …")] = None,
    fields: Annotated[
        str | None, typer.Option(metavar="'{ROLE: COLUMN}'", help="which column says what, if its name is not known")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what was detected and three rows of each kind; write nothing")
    ] = False,
    turns: Annotated[
        Literal["first", "all"], typer.Option(help="Open Assistant: first turns only, or every turn")
    ] = "first",
    lang: Annotated[str, typer.Option(help="Open Assistant: keep this language; 'all' keeps every one")] = "en",
    held_out_share: Annotated[
        float | None, typer.Option(rich_help_panel=_EFT, help="share of ranked prompts kept for evaluation")
    ] = None,
    eft_share: Annotated[
        float | None, typer.Option(rich_help_panel=_EFT, help="share of the others used for EFT, the rest for IFT")
    ] = None,
    max_share: Annotated[
        float | None, typer.Option(rich_help_panel=_EFT, help="no score holds more than this share of the EFT rows")
    ] = None,
    eft: Annotated[
        Literal["ranks", "written"] | None,
        typer.Option(
            rich_help_panel=_EFT,
            help="judgements from the ranks (default), or written by --model and kept where they order the "
            "responses as the ranks do",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(rich_help_panel=_EFT, help="who writes them: a folder, a hub id or an alias")
    ] = None,
    rubric: Annotated[
        str, typer.Option(rich_help_panel=_EFT, help="the judge's rubric, by name or file")
    ] = "additive-5",
    language: Annotated[Literal["en", "zh"], typer.Option(rich_help_panel=_EFT, help="the rubric's language")] = "en",
    justification: Annotated[
        bool | None,
        typer.Option(
            "--justification/--no-justification",
            rich_help_panel=_EFT,
            help="a justification before the score; default: if the shipped rubric asks for one",
            show_default=False,
        ),
    ] = None,
    random_seed: Annotated[int, typer.Option("--seed", help="every random choice derives from it")] = 0,
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier seed in --out")] = False,
    as_json: AsJson = False,
) -> None:
    """Make IFT and EFT files from ranked answers, chats, instructions: read, checked, split, counted.

    The files serve a run as they are: seed_data.ift: OUT/ift.jsonl, seed_data.ranked: OUT/held_out.jsonl.
    """
    from judgeloop.commands.seed_text import print_detected, print_rows, print_yields
    from judgeloop.seed.folder import WRITTEN, publish, refuse_used, working_folder

    if out is None and not dry_run:
        raise InputError("judgeloop seed: no folder to write to; name one with --out, or look first with --dry-run")
    if out is not None and not dry_run:
        refuse_used(out, overwrite)
    columns = fields_of(fields, overrides or [])
    inputs = sort_sources(given, columns)
    account: dict[str, Any] = {"detected": [], "taken": 0, "dropped": {}}
    contents: dict[str, Sequence[Any]] = {}
    logs: tuple[str, ...] = ()
    made: _Made | None = None
    if inputs.ranked or inputs.ift or inputs.eft:
        options = {
            "seed": random_seed,
            "judge.rubric": rubric,
            "judge.language": language,
            "seed_data.turns": turns,
            "seed_data.lang": None if lang == "all" else lang,
            "seed_data.held_out_share": held_out_share,
            "seed_data.eft_share": eft_share,
            "seed_data.eft.max_share": max_share,
            "seed_data.eft.source": eft,
            "seed_data.eft.writer": model,
            "seed_data.ranked": inputs.ranked,
            "seed_data.fields": columns,
            "seed_data.ift": inputs.ift,
            "seed_data.eft_files": inputs.eft,
        }
        made = _build(_config(options, overrides or []), justification)
        account |= made.account
        contents |= made.contents
    if inputs.prompts:
        contents["prompts.jsonl"] = _prompts(inputs.prompts, account, columns)
    account |= _counts(contents)
    if not as_json:
        print_detected(account)
    if dry_run or out is None:
        print_rows(account, contents, as_json)
        return
    working = working_folder(out)
    if made is not None and made.config.seed_data.eft.source == "written":
        contents["eft.jsonl"] = _written(made, working / WRITTEN, account)
        logs = (WRITTEN,)
        account |= _counts(contents)
    publish(working, out, contents, account, logs)
    if as_json:
        typer.echo(json.dumps({"out": str(out), **account}, ensure_ascii=False, indent=2))
    else:
        print_yields(account)
        typer.echo(f"\n{out}: {', '.join([*contents, *logs, 'seed.json'])}")


def _counts(contents: Mapping[str, Sequence[Any]]) -> dict[str, int]:
    return {name.removesuffix(".jsonl"): len(rows) for name, rows in contents.items()}


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of the sources, the files it goes into, and the account."""

    config: Config
    rubric: Rubric
    justification: bool
    data: SeedData
    contents: dict[str, Sequence[Any]]
    account: dict[str, Any]


def sort_sources(given: Sequence[str], fields: dict[str, str | None]) -> _Inputs:
    """Tell the sources apart by their first rows; what was rated answer by answer may give sets and single rows. Raises
    InputError if one is not of the FORMAT asked for."""
    from judgeloop.data.detection import detect
    from judgeloop.data.layouts import WORDS

    word = given[0] if given[0] in WORDS else None
    sources = list(given[1:] if word else given)
    if not sources:
        raise InputError(
            f"judgeloop seed {word}: no input; name files, folders or hf:org/name (a file called {word}: ./{word})"
        )
    groups: dict[str, list[str]] = {"ranked": [], "ift": [], "eft": [], "prompts": []}
    for source in dict.fromkeys(sources):
        form = detect(source, fields)
        if word is not None and form.word != word:
            raise InputError(f"{source}: holds {form.name}, not {word}; leave out '{word}', or write {form.word}")
        if form.rated or form.word == "compared":  # what is no set may still be an answer to learn
            groups["ranked"].append(source)
            groups["ift"].append(source)
            continue
        use = "ranked" if form.rankings else "ift" if form.answers else "eft" if form.judgements else "prompts"
        groups[use].append(source)
    return _Inputs(**{use: tuple(found) for use, found in groups.items()})


def _config(options: Mapping[str, Any], overrides: Sequence[str]) -> Config:
    """The defaults with what the options say; `--set` goes last."""
    from judgeloop.config import configure

    always = ("seed_data.lang",)
    said = [f"{key}={json.dumps(value)}" for key, value in options.items() if value is not None or key in always]
    return configure([*said, *overrides], "judgeloop seed")


def _build(config: Config, justification: bool | None) -> _Made:
    """Read, split and make rows; those that a model is to write are left."""
    from judgeloop.eft.from_ranks import eft_rows
    from judgeloop.judging.rubric import load_rubric
    from judgeloop.seed.build import build_seed

    section = config.seed_data.eft
    if section.source == "contrast":
        raise InputError(
            "seed_data.eft.source: contrast needs a model's answers to the seed, which a run makes (judgeloop run); "
            "set ranks or written here"
        )
    if section.source == "ranks" and section.writer != "sft":
        raise InputError("--model: nothing to write where judgements come from ranks; add --eft written")
    if section.source == "written" and section.writer == "sft":
        raise InputError(
            "--eft written: nobody to write; name a model with --model (its SFT on the seed: judgeloop run)"
        )
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    if justification is None:
        justification = _asks_for_justification(rubric, config.judge.language)
    data = build_seed(config.seed_data, rubric, justification, config.seed)
    left_out: Counter[str] = Counter()
    held_out = eft_rows(data.held_out, rubric, justification, config.seed, left_out)
    settings = {
        "seed": config.seed,
        "rubric": config.judge.rubric,
        "lowest_score": rubric.low,
        "language": config.judge.language,
        "justification": justification,
        "seed_data": config.seed_data.model_dump(mode="json"),
    }
    dropped = Counter(data.account["dropped"]) + left_out
    return _Made(
        config,
        rubric,
        justification,
        data,
        {
            "ift.jsonl": data.ift,
            "eft.jsonl": data.eft,
            "eft_eval.jsonl": [row for _, row in held_out],
            "held_out.jsonl": data.held_out,
        },
        {**data.account, "dropped": dict(sorted(dropped.items())), "settings": settings},
    )


def _written(made: _Made, log: Path, account: dict[str, Any]) -> list[SupervisedRow]:
    """The EFT rows that the model writes, after those of files; the account tells the yield of each step."""
    from judgeloop.commands.progress import bar
    from judgeloop.eft.existing_eft import score_in
    from judgeloop.eft.generated_eft import build_written, yields
    from judgeloop.engines.open_model import loaded
    from judgeloop.seed.build import histogram

    config, section = made.config, made.config.seed_data.eft
    with (
        bar("judgements", loading=section.writer) as progress,
        loaded(
            section.writer,
            engine=config.engine,
            seed=config.seed,
            threads=config.threads,
            chat_template=config.chat_template,
            system_prompt=config.system_prompt,
            trust_remote_code=config.trust_remote_code,
        ) as writer,
    ):
        found, told = build_written(
            writer.engine, writer.chat, made.data.eft_sets, made.rubric, section, config.seed, log,
            justification=made.justification, writer=writer.hash,
            on_progress=lambda done, total: progress(done, total, ""),
        )  # fmt: skip
    rows = list({row.id: row for row in (*made.data.eft, *found)}.values())
    if not rows:
        raise InputError(
            f"--eft written: no row is left of {told['written']} judgements ({'; '.join(yields(told)[1:4])}); set "
            "seed_data.eft.examples, samples or ties: lenient, name another --model, or take --eft ranks; "
            f"{log} keeps what was written"
        )
    account["eft_written"] = told
    account["eft_scores"] = histogram([score_in(row, made.rubric) for row in rows], made.rubric)
    return rows


def _asks_for_justification(rubric: Rubric, language: str) -> bool:
    """Whether a shipped rubric asks for one: it has a sister that asks for the score alone."""
    from judgeloop.judging.rubric import shipped_rubrics

    shipped = shipped_rubrics(language)
    if rubric.name not in shipped:
        raise InputError(
            f"--rubric {rubric.name}: does it ask for a justification? say --justification or --no-justification"
        )
    return f"{rubric.name}-direct" in shipped


def fields_of(option: str | None, overrides: Sequence[str]) -> dict[str, str | None]:
    """Role → column, of --fields or of --set seed_data.fields, which goes last."""
    import yaml

    said = [option] if option else []
    said += [o.partition("=")[2] for o in overrides if o.partition("=")[0].strip() == "seed_data.fields"]
    if not said:
        return {}
    try:
        found = yaml.safe_load(said[-1])
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str | None) for pair in found.items() for v in pair):
        raise InputError(
            f"--fields {said[-1]}: write {{prompt: COLUMN, response: COLUMN}}; docs/data.md lists the roles"
        )
    return found


def _prompts(sources: Sequence[str], account: dict[str, Any], fields: dict[str, str | None]) -> list[Any]:
    from judgeloop.data.readers import read_prompts

    found: dict[str, Any] = {}
    for source in sources:
        rows, read = read_prompts(source, fields=fields)
        account["detected"].append(read.sentence(source))
        account["taken"] += read.taken
        repeated = sum(row.id in found for row in rows)
        for reason, count in [*read.dropped.items(), ("duplicate", repeated)]:
            if count:
                account["dropped"][reason] = account["dropped"].get(reason, 0) + count
        found |= {row.id: row for row in rows if row.id not in found}
    return list(found.values())
