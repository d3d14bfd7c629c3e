"""A run's rows in the forms that other trainers read: TRL, LLaMA-Factory, Axolotl. What one of them would drop is left
out here and counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from judgeloop.errors import InputError
from judgeloop.export.chosen import opened
from judgeloop.jsonl import each_row, write_text_atomically
from judgeloop.records import Message, PreferencePair, SupervisedRow

Row = SupervisedRow | PreferencePair
ALTERNATION = "roles do not alternate from user to assistant, which LLaMA-Factory needs"


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of rows of a run: `name` is what the export calls it ("pairs.M2")."""

    name: str
    path: Path
    pairs: bool

    def rows(self) -> Iterator[Row]:
        if self.pairs:
            yield from each_row(self.path, PreferencePair)
        else:
            yield from each_row(self.path, SupervisedRow)


def row_files(run: Path) -> list[RowFile]:
    """The finished ones: the seed's IFT and EFT rows, and each model's pairs. Raises InputError if there is none."""
    directory = opened(run)
    found = []
    for step in directory.steps.values():
        if directory.state(step) != "done":
            continue
        for name in step.writes:
            path = directory.folder(step.model) / name
            stem = {"ift.jsonl": "ift", "eft.jsonl": "eft"}.get(name)
            pairs = name in ("pairs.jsonl", "agreed.jsonl", "judge_pairs.jsonl")
            if path.is_file() and path.stat().st_size and (stem or pairs):
                found.append(RowFile(stem or f"{name.removesuffix('.jsonl')}.{step.model}", path, pairs))
    if not found:
        raise InputError(f"{run}: has no finished rows to export; let the run go on")
    agreed = {each.name.partition(".")[2] for each in found if each.name.startswith("agreed.")}
    return [each for each in found if not (each.name.startswith("pairs.") and each.name[6:] in agreed)]


def for_trl(run: Path, out: Path) -> list[str]:
    """Conversational rows with the columns that TRL reads: prompt and completion, or prompt, chosen and rejected."""

    def columns(row: Row) -> dict[str, Any]:
        if isinstance(row, PreferencePair):
            return {"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected}
        return {"prompt": row.prompt, "completion": row.completion}

    files, said = _write(run, out, columns)
    script = "\n".join([
        "from datasets import load_dataset\n",
        "# prompt, completion: trl.SFTTrainer(completion_only_loss=True by default for such rows);",
        "# prompt, chosen, rejected: trl.DPOTrainer",
        *(f'{each.name.replace(".", "_").lower()} = load_dataset("json", data_files="{each.name}.jsonl", split="train")'
          for each in files),
    ])  # fmt: skip
    write_text_atomically(out / "load.py", script + "\n")
    return said


def for_llamafactory(run: Path, out: Path) -> list[str]:
    """Rows in its sharegpt form with the tags of chat messages, `dataset_info.json`, and settings that name them."""

    def columns(row: Row) -> dict[str, Any] | str:
        if not _alternates(row.prompt):
            return ALTERNATION
        if isinstance(row, PreferencePair):
            return {"messages": row.prompt, "chosen": row.chosen[-1], "rejected": row.rejected[-1]}
        return {"messages": [*row.prompt, *row.completion]}

    files, said = _write(run, out, columns)
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
            "system_tag": "system"}  # fmt: skip
    info = {}
    for each in files:
        ranked = {"chosen": "chosen", "rejected": "rejected"} if each.pairs else {}
        info[_name(each)] = {
            "file_name": f"{each.name}.jsonl", "formatting": "sharegpt", **({"ranking": True} if each.pairs else {}),
            "columns": {"messages": "messages", **ranked}, "tags": tags,
        }  # fmt: skip
    write_text_atomically(out / "dataset_info.json", json.dumps(info, indent=2) + "\n")
    for stage, named in (
        ("sft", [_name(f) for f in files if not f.pairs]),
        ("dpo", [_name(f) for f in files if f.pairs]),
    ):
        if named:
            settings = {"stage": stage, "do_train": True, "dataset_dir": str(out.resolve()), "dataset": ",".join(named)}
            if stage == "sft":
                settings["mask_history"] = True  # earlier turns of a prompt are no targets
            _write_yaml(out / f"{stage}.yaml", settings, "Add model_name_or_path, template and output_dir.")
    return said


def for_axolotl(run: Path, out: Path) -> list[str]:
    """Rows of its types chat_template and chat_template.default (DPO), and the parts of a config that name them."""

    def columns(row: Row) -> dict[str, Any]:
        if isinstance(row, PreferencePair):
            return {"messages": row.prompt, "chosen": row.chosen[-1], "rejected": row.rejected[-1]}
        asked = [{**message, "train": False} for message in row.prompt]
        return {"messages": [*asked, *({**message, "train": True} for message in row.completion)]}

    files, said = _write(run, out, columns)
    for stage, some in (("sft", [f for f in files if not f.pairs]), ("dpo", [f for f in files if f.pairs])):
        if not some:
            continue
        listed: list[dict[str, Any]] = []
        for each in some:
            entry: dict[str, Any] = {
                "path": str((out / f"{each.name}.jsonl").resolve()),
                "ds_type": "json",
                "split": "train",
            }
            if each.pairs:
                entry |= {"type": "chat_template.default", "field_messages": "messages", "field_chosen": "chosen",
                          "field_rejected": "rejected"}  # fmt: skip
            else:
                entry |= {"type": "chat_template", "field_messages": "messages", "message_field_training": "train",
                          "roles_to_train": [], "train_on_eos": "turn"}  # fmt: skip
            listed.append(entry)
        top = {"rl": "dpo"} if stage == "dpo" else {}
        settings = {**top, "chat_template": "tokenizer_default", "datasets": listed}
        _write_yaml(out / f"{stage}.yaml", settings, "Add base_model, output_dir and the training's settings.")
    return said


def _write(
    run: Path, out: Path, columns: Callable[[Row], dict[str, Any] | str]
) -> tuple[list[RowFile], list[str]]:  # fmt: skip
    """Every file of rows in another form; a row for which `columns` gives a reason instead is left out and counted."""
    out.mkdir(parents=True, exist_ok=True)
    kept, said = [], []
    for each in row_files(run):
        left_out: dict[str, int] = {}
        count = 0
        lines: list[str] = []
        for row in each.rows():
            found = columns(row)
            if isinstance(found, str):
                left_out[found] = left_out.get(found, 0) + 1
            else:
                lines.append(json.dumps(found, ensure_ascii=False))
                count += 1
        why = "".join(f"; {n} left out: {reason}" for reason, n in left_out.items())
        said.append(f"{each.name}.jsonl: {count} rows{why}")
        if lines:
            write_text_atomically(out / f"{each.name}.jsonl", "\n".join(lines) + "\n")
            kept.append(each)
    if not kept:
        raise InputError(f"{run}: none of its rows can be written: {'; '.join(said)}")
    return kept, said


def _alternates(prompt: Sequence[Message]) -> bool:
    """Whether a prompt is user, assistant, …, user, after a system message if there is one."""
    turns = prompt[1:] if prompt and prompt[0]["role"] == "system" else prompt
    wanted = ["user" if place % 2 == 0 else "assistant" for place in range(len(turns))]
    return len(turns) % 2 == 1 and [message["role"] for message in turns] == wanted


def _name(each: RowFile) -> str:
    return f"judgeloop_{each.name.replace('.', '_').lower()}"


def _write_yaml(path: Path, settings: dict[str, Any], remark: str) -> None:
    write_text_atomically(path, f"# {remark}\n" + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
