"""One run as the pages show it: rows joined by their ids, read from the run directory alone."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.records import Candidate, stable_id
from judgeloop.report.reading import RunFiles
from judgeloop.viewer.prompts import PromptList
from judgeloop.viewer.rows import RowFile, parsed


def _own(candidate_id: str) -> str:
    """The candidate of a judgement: one made under another prompt is called CANDIDATE@PROMPT."""
    return candidate_id.partition("@")[0]


class RunView:
    """`key` names the run in addresses."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path.resolve(), key
        RunFiles(self.path)  # raises InputError if it is no run
        self._open: dict[str, RowFile] = {}
        self._lists: dict[str, PromptList] = {}
        self._lock = threading.Lock()
        self._evaluated: tuple[object, dict[str, dict[str, Any]]] | None = None

    @property
    def name(self) -> str:
        return self.path.name

    def files(self) -> RunFiles:
        """A fresh look at the JSON files."""
        return RunFiles(self.path)

    def live(self) -> bool:
        """Whether a run holds the directory's lock."""
        try:
            with (self.path / ".lock").open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def rows(self, name: str) -> RowFile:
        """A JSONL file by its path in the run."""
        with self._lock:
            found = self._open.setdefault(name, RowFile(self.path / name))
        return found.refresh()

    def prompt_list(self, model: str) -> PromptList:
        with self._lock:
            return self._lists.setdefault(model, PromptList(self.path / model))

    def iterations(self) -> list[str]:
        """The models whose folders have prompts."""
        return [name for name in self.files().models() if (self.path / name / "prompts.jsonl").is_file()]

    def evaluated(self) -> list[str]:
        """The models that have answered evaluation prompts."""
        return [name for name in self.files().models() if (self.path / name / "eval.responses.jsonl").is_file()]

    # A prompt and what became of it -----------------------------------------------------------------------------------

    def prompt(self, model: str, prompt_id: str) -> dict[str, Any] | None:
        """A prompt with its candidates, their judgements, and its pairs; None if the model's folder has none such."""
        found = self.rows(f"{model}/prompts.jsonl").by("id")(prompt_id)
        if not found:
            return None
        candidates = self.rows(f"{model}/candidates.jsonl").by("prompt_id")(prompt_id)
        candidates.sort(key=lambda row: str(row.get("id")))
        anchors = self.rows(f"{model}/anchors.jsonl").by("prompt_id")(prompt_id)
        pairs = self.rows(f"{model}/pairs.jsonl").by("prompt_id")(prompt_id)
        chosen = {pair.get("chosen_id") for pair in pairs}
        rejected = {pair.get("rejected_id") for pair in pairs}
        judged = self.rows(f"{model}/judgements.jsonl").by("candidate_id", _own)
        shown = []
        for row in (*candidates, *anchors):
            given = judged(str(row.get("id")))
            own = [j for j in given if "@" not in str(j.get("candidate_id"))]
            role = "chosen" if row.get("id") in chosen else "rejected" if row.get("id") in rejected else ""
            shown.append({**row, "judgements": own, "others": [j for j in given if j not in own], "role": role,
                          "score": mean([j.get("score") for j in own]), "anchor": row in anchors})  # fmt: skip
        ranked = sorted(shown, key=lambda row: (row["score"] is None, -(row["score"] or 0.0)))
        return {"row": found[0], "candidates": ranked, "pairs": pairs,
                "why": None if pairs else self.why_no_pair(model, prompt_id, candidates, shown)}  # fmt: skip

    def why_no_pair(self, model: str, prompt_id: str, rows: Sequence[dict[str, Any]], shown: Sequence[dict[str, Any]]
                    ) -> str:  # fmt: skip
        """Why a prompt gave no pair, by the run's own rule; what cannot be told is said."""
        if not (self.path / model / "pairs.jsonl").is_file():
            return "no pairs have been made yet"
        section = self.files().section("pairs")
        contrast = self.files().section("judge").get("contrast")
        if isinstance(contrast, dict) and contrast.get("others") and section.get("contrast", True):
            return "by their contrasts (judge.contrast) no two candidates made one"
        if section.get("rule", "best_worst") != "best_worst":
            return f"the run's rule ({section.get('rule')}) made none"
        from judgeloop.config import PairsSection
        from judgeloop.pairs import BestWorst, Scored, pairs_of

        try:
            said = PairsSection.model_validate(section)
            number = int(model[1:]) - 1
            rule = BestWorst(said.margin, said.unfinished, said.rho(number), said.max_per_prompt, 0.0, said.max_gap,
                             said.min_rejected, said.min_rejected_characters)  # fmt: skip
            scores = {row["id"]: row["score"] for row in shown}
            scored = [
                Scored(Candidate(row["id"], prompt_id, str(row.get("text") or ""), [], row["finish_reason"]),
                       scores[row["id"]])
                for row in rows
            ]  # fmt: skip
            found = pairs_of(scored, rule)
        except (ValueError, KeyError, TypeError, AttributeError, InputError):
            return "the config or the rows do not say why"
        return found if isinstance(found, str) else "its pair was left out afterwards (top share, or agreement)"

    # Lineage ----------------------------------------------------------------------------------------------------------

    def lineage(self, model: str, pair_id: str) -> dict[str, Any] | None:
        """A pair, from where its prompt came from to the training that used it; None if there is no such pair."""
        rows = self.rows(f"{model}/pairs.jsonl")
        found = rows.by("id")(pair_id)
        if not found:
            return None
        pair, files = found[0], self.files()
        prompt = self.rows(f"{model}/prompts.jsonl").by("id")(str(pair.get("prompt_id")))
        sides = {}
        for side in ("chosen", "rejected"):
            name = str(pair.get(f"{side}_id"))
            held = self.rows(f"{model}/candidates.jsonl").by("id")(name)
            held = held or self.rows(f"{model}/anchors.jsonl").by("id")(name)
            sides[side] = {
                "row": held[0] if held else None,
                "score": pair.get(f"{side}_score"),
                "judgements": self.rows(f"{model}/judgements.jsonl").by("candidate_id")(name),
            }
        train = files.json(f"{model}/train.json", whole=False) or {}
        done = {stage: files.json(f"{model}/.{stage}.done.json", whole=False) or {} for stage in
                ("prompts", "candidates", "judge", "pairs", "train")}  # fmt: skip
        judge = files.json(f"{model}/judge.json", whole=False) or {}
        name = str(judge.get("judge") or "")
        identity: dict[str, Any] = {}
        if name in files.models():
            identity = (
                files.json(f"{name}/train.json", whole=False) or files.json(f"{name}/model.json", whole=False) or {}
            )
        metrics = [row for row in files.rows("metrics.jsonl") if row.get("model") == model and row.get("stage") ==
                   "train"]  # fmt: skip
        return {"pair": pair, "prompt": prompt[0] if prompt else None, "sides": sides, "train": train, "done": done,
                "judge": name, "judge_hash": identity.get("hash"), "steps": len(metrics),
                "seed_rows": self.seed_rows(prompt[0] if prompt else {}),
                "agreed": self._agreed(model, pair_id)}  # fmt: skip

    def _agreed(self, model: str, pair_id: str) -> bool | None:
        """Whether the pair was kept by the agreement of two rewards; None if the run does not ask for it."""
        if not (self.path / model / "agreed.jsonl").is_file():
            return None
        return bool(self.rows(f"{model}/agreed.jsonl").by("id")(pair_id))

    def seed_rows(self, prompt: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The seed rows that a generated prompt names as its demonstrations."""
        named = prompt.get("demonstrations")
        names = [str(name) for name in named] if isinstance(named, list) else []
        by_prompt = self.rows("M1/ift.jsonl").by("prompt_id")
        return [row for name in names for row in by_prompt(name)[:1]]

    # Evaluation -------------------------------------------------------------------------------------------------------

    def evaluation_prompts(self) -> dict[str, dict[str, Any]]:
        """Prompt id → {"text", "tag"} of what was asked in the evaluation: the held-out rows, or the files that the
        config names, as far as they can still be read."""
        files = self.files()
        named = files.section("evaluation").get("prompts")
        paths = [Path(str(path)) for path in named] if isinstance(named, list) else []
        state = tuple((str(p), p.stat().st_mtime_ns if p.is_file() else 0) for p in
                      (*paths, self.path / "M1/held_out.jsonl"))  # fmt: skip
        if self._evaluated is not None and self._evaluated[0] == state:
            return self._evaluated[1]
        found: dict[str, dict[str, Any]] = {}
        for _, line in self.rows("M1/held_out.jsonl").lines():
            row = parsed(line) or {}
            if isinstance(row.get("messages"), list):
                found[stable_id("p", row["messages"])] = {"text": said(row["messages"]), "tag": "", "row": row}
        for path in paths:
            found |= _read(path)
        for model in self.evaluated():
            for sample in (files.json(f"{model}/eval.json", whole=False) or {}).get("samples") or []:
                held = self.rows(f"{model}/eval.responses.jsonl").by("id")(str(sample.get("id")))
                for row in held:
                    found.setdefault(row["prompt_id"], {"text": str(sample.get("prompt") or ""), "tag": ""})
        self._evaluated = (state, found)
        return found

    def responses(self, model: str) -> dict[str, list[dict[str, Any]]]:
        """Prompt id → the model's answers in the evaluation, in the order of their ids."""
        found: dict[str, list[dict[str, Any]]] = {}
        for _, line in self.rows(f"{model}/eval.responses.jsonl").lines():
            row = parsed(line)
            if row is not None and isinstance(row.get("id"), str) and isinstance(row.get("prompt_id"), str):
                found.setdefault(row["prompt_id"], []).append(row)
        return {name: sorted(rows, key=lambda row: str(row["id"])) for name, rows in found.items()}

    def scores(self, name: str) -> dict[str, float]:
        """Candidate id → mean score in a file of judgements."""
        given: dict[str, list[Any]] = {}
        for _, line in self.rows(name).lines():
            row = parsed(line) or {}
            if "@" not in str(row.get("candidate_id")):
                given.setdefault(str(row.get("candidate_id")), []).append(row.get("score"))
        means = {candidate: mean(scores) for candidate, scores in given.items()}
        return {candidate: score for candidate, score in means.items() if score is not None}

    def scores_by_one_judge(self, a: str, b: str) -> tuple[str, dict[str, float]] | None:
        """Scores of both models' answers that the same judge gave, with its name; None if there are none."""
        files = self.files()
        first, second = (files.json(f"{name}/eval.json", whole=False) or {} for name in (a, b))
        if first.get("judge") and first.get("judge") == second.get("judge"):
            both = self.scores(f"{a}/eval.judgements.jsonl") | self.scores(f"{b}/eval.judgements.jsonl")
            return str(first["judge"]), both
        for old, new, told in ((a, b, second), (b, a, first)):
            if (told.get("win_rate_vs_previous") or {}).get("previous") == old:
                before = self.scores(f"{new}/eval.previous.judgements.jsonl")
                return str(told.get("judge")), self.scores(f"{new}/eval.judgements.jsonl") | {
                    name.removesuffix(".vs"): score for name, score in before.items()
                }
        return None

    def checks(self, model: str) -> dict[str, float]:
        """Response id → what the user's own code says, by its first measure."""
        headline = (self.files().json(f"{model}/checks.json", whole=False) or {}).get("headline")
        found = {}
        for _, line in self.rows(f"{model}/checks.jsonl").lines():
            row = parsed(line) or {}
            measures = row.get("measures")
            value = measures.get(headline) if isinstance(measures, dict) else None
            if isinstance(value, (int, float)):
                found[str(row.get("id"))] = float(value)
        return found


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The prompts of a file, empty if it is gone or cannot be read any more: the page then says ids alone."""
    from judgeloop.data.readers import read_prompt_rows, read_prompts
    from judgeloop.viewer.prompts import tag_of

    try:
        prompts, rows = read_prompts(path)[0], read_prompt_rows(path)
    except InputError:
        return {}
    return {
        prompt.id: {
            "text": said(prompt.messages),
            "tag": tag_of(rows[prompt.id][1]) if prompt.id in rows else "",
            "row": {"messages": prompt.messages},
        }
        for prompt in prompts
    }


def said(messages: object) -> str:
    """Chat messages as a text: the last alone if it is the only one, else each with its role."""
    given = [m for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
    if len(given) == 1:
        return str(given[0].get("content") or "")
    return "\n\n".join(f"{m.get('role')}: {m.get('content')}" for m in given)


def mean(scores: Sequence[Any]) -> float | None:
    """Of the scores that are numbers."""
    known = [float(score) for score in scores if isinstance(score, (int, float)) and not isinstance(score, bool)]
    return sum(known) / len(known) if known else None
