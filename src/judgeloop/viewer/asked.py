"""What the models of a run were asked in the evaluation: texts, sources and tags of the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from judgeloop.data.names import tag_of
from judgeloop.errors import InputError
from judgeloop.records import stable_id
from judgeloop.report.reading import RunFiles
from judgeloop.viewer.rows import RowFile, parsed, said

FILE = "eval.prompts.jsonl"
Asked = dict[str, dict[str, Any]]


class Run(Protocol):
    """What is needed of a run that is looked at."""

    path: Path

    def files(self) -> RunFiles: ...
    def evaluated(self) -> list[str]: ...
    def rows(self, name: str) -> RowFile: ...


class AskedPrompts:
    """Prompt id → {"text", "source", "tag", "row"}. The evaluation writes them (eval.prompts.jsonl). For a run of a
    version that did not, they are those of the seed's held-out part, and of the files that the config names as far as
    they are still there; else the few that eval.json shows."""

    def __init__(self, view: Run) -> None:
        self._view = view
        self._known: tuple[object, Asked] | None = None

    def all(self) -> Asked:
        view, files = self._view, self._view.files()
        models = view.evaluated()
        checks = (files.json(f"{name}/checks.json", whole=False) or {} for name in models)
        group = next((str(found["group"]) for found in checks if found.get("group")), None)
        named = files.section("evaluation").get("prompts")
        paths = [Path(str(path)) for path in named] if isinstance(named, list) else []
        written = [view.path / name / FILE for name in models]
        watched = [*written, *paths, view.path / "M1/held_out.jsonl"]
        state = (group, *((str(p), p.stat().st_mtime_ns if p.is_file() else 0) for p in watched))
        if self._known is None or self._known[0] != state:
            self._known = state, self._read([p for p in written if p.is_file()], paths, group)
        return self._known[1]

    def _read(self, written: list[Path], paths: list[Path], group: str | None) -> Asked:
        view, found = self._view, Asked()
        if not written:
            for _, line in view.rows("M1/held_out.jsonl").lines():
                row = parsed(line) or {}
                if isinstance(row.get("messages"), list):
                    found[stable_id("p", row["messages"])] = _entry(row, {}, group)
            for path in paths:
                found |= _of_file(path, group) if path.is_file() else {}
            return self._with_samples(found)
        for path in written:
            for _, line in view.rows(path.relative_to(view.path).as_posix()).lines():
                row = parsed(line) or {}
                if isinstance(row.get("messages"), list) and isinstance(row.get("id"), str):
                    fields = row.get("fields")
                    found.setdefault(row["id"], _entry(row, fields if isinstance(fields, dict) else {}, group))
        return found

    def _with_samples(self, found: Asked) -> Asked:
        for model in self._view.evaluated():
            evaluation = self._view.files().json(f"{model}/eval.json", whole=False) or {}
            for sample in evaluation.get("samples") or []:
                for row in self._view.rows(f"{model}/eval.responses.jsonl").by("id")(str(sample.get("id"))):
                    text = str(sample.get("prompt") or "")
                    found.setdefault(row["prompt_id"], {"text": text, "tag": "", "source": ""})
        return found


def _entry(row: Mapping[str, Any], fields: Mapping[str, Any], group: str | None) -> dict[str, Any]:
    """`group` is the field by which the user's checker groups prompts (evaluation.checker)."""
    tag = tag_of(fields if group is None or group not in fields else {"tag": fields[group]})
    return {"text": said(row["messages"]), "tag": tag, "source": str(row.get("source") or ""), "row": dict(row)}


def _of_file(path: Path, group: str | None) -> Asked:
    """The prompts of a file, empty if it cannot be read any more."""
    from judgeloop.data.readers import read_prompt_rows, read_prompts

    try:
        prompts, rows = read_prompts(path)[0], read_prompt_rows(path)
    except InputError:
        return {}
    return {
        prompt.id: _entry(
            {"messages": prompt.messages, "source": prompt.source}, rows[prompt.id][1] if prompt.id in rows else {},
            group,
        )
        for prompt in prompts
    }  # fmt: skip
