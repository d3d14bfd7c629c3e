"""The seed and the prompts in numbers: every file of the config is read as the run will read it, and a sample of its
rows is turned into tokens."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

from judgeloop.config import Config
from judgeloop.data.readers import read_prompts
from judgeloop.forecast.work import Sizes
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.token_tree import common
from judgeloop.records import Message, Prompt, SupervisedRow, derive_seed
from judgeloop.seed.build import SeedData, build_seed
from judgeloop.stages.contamination import evaluated_prompts
from judgeloop.stages.context import kept_from_training

_SAMPLE = 1500  # rows of a kind that are turned into tokens
_JUDGED = 240  # judge prompts that are
_STEPS = 60  # batches that are put together
_LENGTHS = 400  # answers whose lengths are kept


Row = TypeVar("Row")


class Tokens(Protocol):
    """What turns messages into token ids: a `models.chat.Chat`, or less (`models.words.PlainTokens`)."""

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]: ...
    def response_ids(self, text: str, *, finished: bool = True) -> list[int]: ...


def read_seed(config: Config) -> SeedData:
    """The seed as the stage `seed` reads it. Raises InputError if a file is wrong."""
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    return build_seed(config.seed_data, rubric, config.judge.justification, config.seed, evaluated_prompts(config))


def sizes(config: Config, seed: SeedData, chat: Tokens) -> Sizes:
    """What the costs of the stages are counted by."""
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    rng = random.Random(derive_seed(config.seed, "plan"))
    ift, eft = _sample(seed.ift, rng), _whole_groups(seed.eft, rng)
    asked = [(chat.prompt_ids(row.prompt), chat.response_ids(row.completion[0]["content"])) for row in ift]
    best = [chat.response_ids(one.responses[0]["text"]) for one in _sample(seed.eft_sets, rng)] if not ift else []
    answers = sorted(len(ids) for ids in (*(answer for _, answer in asked), *best))
    judged = [(chat.prompt_ids(row.prompt), chat.response_ids(row.completion[0]["content"])) for row in eft]
    evaluated = kept_from_training(config, seed.held_out)[: config.evaluation.count]
    of_files = list(_prompts(config)) if config.prompts.source == "file" else None
    some = _sample(of_files if of_files is not None else [_prompt(row) for row in seed.ift], rng)
    prompts = [chat.prompt_ids(prompt.messages) for prompt in some] or [[0] * 40]
    texts = [row.completion[0]["content"] for row in ift] or [one.responses[0]["text"] for one in seed.eft_sets[:50]]
    per_prompt = config.candidates.count
    asked_about = some or evaluated
    own = _judge_prompts(rubric, chat, [
        (prompt.messages, texts[(place * per_prompt + k) % len(texts)])
        for place, prompt in enumerate(asked_about[: max(1, _JUDGED // per_prompt)]) for k in range(per_prompt)
    ]) if texts else []  # fmt: skip
    held_out = _judge_prompts(rubric, chat, [
        (one.messages, response["text"]) for one in seed.held_out for response in one.responses
    ][:_JUDGED])  # fmt: skip
    steps = list(_batches(config, ift, eft, asked, judged))
    share = (len(seed.ift) + len(seed.eft)) / max(1, len(ift) + len(eft))
    lead = _lead(own)
    return Sizes(
        ift=len(seed.ift), eft=len(seed.eft), eft_sets=len(seed.eft_sets), held_out=len(seed.held_out),
        held_out_responses=sum(len(one.responses) for one in seed.held_out),
        prompt_rows=None if of_files is None else len(of_files),
        evaluated=len(evaluated), ifeval=_ifeval(config), segments=_segments(config),
        seed_prompt=_mean(len(prompt) for prompt, _ in asked), answers=_thinned(answers),
        prompt=_mean(map(len, prompts)), lead=_lead(prompts),
        evaluation_prompt=_mean(len(chat.prompt_ids(prompt.messages)) for prompt in evaluated[:_JUDGED]),
        judge_prompt=_mean(map(len, own)), judge_lead=lead,
        judge_new=(distinct(own) - lead) / len(own) if own else 0.0,
        held_out_new=(distinct(held_out) - _lead(held_out)) / len(held_out) if held_out else 0.0,
        eft_row=_mean(len(prompt) + len(answer) for prompt, answer in judged) or _mean(map(len, own)),
        sft_sequences=round(share * len(_groups(config, ift, eft))),
        sft_step=_mean(steps), sft_largest=max(steps, default=0.0),
        sft_text=share * sum(len(prompt) + len(answer) for prompt, answer in (*asked, *judged)),
    )  # fmt: skip


def distinct(sequences: Sequence[Sequence[int]]) -> int:
    """Tokens of the sequences' token tree: what several begin with counts once."""
    ordered = sorted(list(sequence) for sequence in sequences)
    shared = sum(common(one, other) for one, other in pairwise(ordered))
    return sum(map(len, ordered)) - shared


def sft_batches(
    config: Config, rows: Sequence[SupervisedRow], chat: Tokens
) -> Iterator[tuple[list[SupervisedRow], int]]:
    """Batches as SFT may draw them, and the tokens of each one's tree; for a calibration. At most `sft.max_length`."""
    ids = {row.id: [*chat.prompt_ids(row.prompt), *chat.response_ids(row.completion[0]["content"])] for row in rows}
    fitting = [row for row in rows if len(ids[row.id]) <= config.sft.max_length]
    groups = _groups(config, [r for r in fitting if r.kind == "ift"], [r for r in fitting if r.kind != "ift"])
    random.Random(derive_seed(config.seed, "plan")).shuffle(groups)
    size = config.sft.batch_size
    for start in range(0, len(groups) - size + 1, size):
        batch = [row for group in groups[start : start + size] for row in group]
        yield batch, distinct([ids[row.id] for row in batch])


def signature(config: Config, model: str) -> str:
    """What the sizes depend on: the config, the contents of every file it names, and the model's hash."""
    found = hashlib.sha256(f"{model}\n{config.resolved_yaml()}".encode())
    for path in files_of(config):
        stat = path.stat()
        found.update(f"{path}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return found.hexdigest()[:24]


def named_rows(config: Config) -> list[str]:
    """The names of all rows that a plan reads: files, or data sets of the hub."""
    seed, evaluation = config.seed_data, config.evaluation
    named = [*seed.ift, *seed.ranked, *seed.eft_files, *config.prompts.files, *config.prompts.contamination]
    return [*named, *evaluation.prompts, *([evaluation.ifeval] if evaluation.ifeval else [])]


def files_of(config: Config) -> list[Path]:
    """What of a config's rows, rubric and texts are files of this machine."""
    found = [Path(name) for name in (*named_rows(config), config.judge.rubric)]
    for name in config.backtranslation.texts:
        found += [Path(name)] if Path(name).is_file() else sorted(Path(name).rglob("*"))
    return [path for path in found if path.is_file()]


def as_json(found: Sizes) -> str:
    return json.dumps(dataclasses.asdict(found))


def from_json(text: str) -> Sizes:
    values = json.loads(text)
    return Sizes(**{**values, "answers": tuple(values["answers"])})


def _sample(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    return list(rows) if len(rows) <= _SAMPLE else rng.sample(list(rows), _SAMPLE)


def _whole_groups(rows: Sequence[SupervisedRow], rng: random.Random) -> list[SupervisedRow]:
    """A sample that has all rows of a prompt or none: they are packed together."""
    if len(rows) <= _SAMPLE:
        return list(rows)
    by_prompt: dict[str, list[SupervisedRow]] = {}
    for row in rows:
        by_prompt.setdefault(row.prompt_id, []).append(row)
    groups = list(by_prompt.values())
    rng.shuffle(groups)
    found: list[SupervisedRow] = []
    for group in groups:
        if len(found) >= _SAMPLE:
            break
        found += group
    return found


def _groups(config: Config, ift: Sequence[SupervisedRow], eft: Sequence[SupervisedRow]) -> list[list[SupervisedRow]]:
    """Rows as the sequences that a step counts: judgements of one prompt's responses packed, `sft.pack_judgements`."""
    found: list[list[SupervisedRow]] = [[row] for row in ift]
    open_groups: dict[str, list[SupervisedRow]] = {}
    for row in eft:
        group = open_groups.get(row.prompt_id)
        if row.prompt_id and group is not None and len(group) < config.sft.pack_judgements:
            group.append(row)
            continue
        found.append([row])
        open_groups[row.prompt_id] = found[-1]
    return found


def _batches(
    config: Config, ift: Sequence[SupervisedRow], eft: Sequence[SupervisedRow],
    asked: Sequence[tuple[list[int], list[int]]], judged: Sequence[tuple[list[int], list[int]]],
) -> Iterator[float]:  # fmt: skip
    """Tokens of the trees of some batches of SFT."""
    ids = {row.id: [*prompt, *answer] for row, (prompt, answer) in zip((*ift, *eft), (*asked, *judged), strict=True)}
    groups = _groups(config, ift, eft)
    random.Random(derive_seed(config.seed, "plan")).shuffle(groups)
    size = min(config.sft.batch_size, len(groups)) or 1
    for start in range(0, min(len(groups) - size + 1, _STEPS * size), size):
        batch = groups[start : start + size]
        yield float(distinct([ids[row.id] for group in batch for row in group]))


def _judge_prompts(
    rubric: Rubric, chat: Tokens, asked: Sequence[tuple[list[Message], str]]
) -> list[list[int]]:  # fmt: skip
    return [chat.prompt_ids(rubric.messages(prompt, text)) for prompt, text in asked]


def _lead(sequences: Sequence[list[int]]) -> float:
    """What all of them begin with, in tokens."""
    if len(sequences) < 2:
        return 0.0
    return float(common(min(sequences), max(sequences)))


def _prompt(row: SupervisedRow) -> Prompt:
    return Prompt.of(row.prompt, row.source)


def _prompts(config: Config) -> list[Prompt]:
    found = [prompt for path in config.prompts.files for prompt in read_prompts(Path(path))[0]]
    return list({prompt.id: prompt for prompt in found}.values())


def _ifeval(config: Config) -> int:
    section = config.evaluation
    if section.ifeval is None:
        return 0
    from judgeloop.evaluation.ifeval_prompts import read_verifiable

    found = len(read_verifiable(Path(section.ifeval)))
    return min(found, section.ifeval_count or found)


def _segments(config: Config) -> int:
    """About how many segments the texts of backtranslation give: by their bytes, six a word."""
    section = config.backtranslation
    size = 0
    for name in section.texts:
        path = Path(name)
        size += sum(each.stat().st_size for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())
    count = round(size / 6 / section.segments.target_words)
    return min(count, section.segments.max_count or count)


def _thinned(lengths: Sequence[int]) -> tuple[int, ...]:
    step = max(1, -(-len(lengths) // _LENGTHS))
    return tuple(lengths[step // 2 :: step])


def _mean(values: Iterator[int] | Iterator[float] | Sequence[float] | map[int]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
