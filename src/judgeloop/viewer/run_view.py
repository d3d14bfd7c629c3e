"""One run as the pages show it: rows joined by their ids, read from the run directory alone."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.records import Candidate
from judgeloop.report.reading import RunFiles
from judgeloop.viewer.asked import Asked, AskedPrompts
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
        self._asked = AskedPrompts(self)

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

    # Evaluation -------------------------------------------------------------------------------------------------------

    def evaluation_prompts(self) -> Asked:
        """Prompt id → text, source and tag of what was asked in the evaluation (`asked.AskedPrompts`)."""
        return self._asked.all()

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


def mean(scores: Sequence[Any]) -> float | None:
    """Of the scores that are numbers."""
    known = [float(score) for score in scores if isinstance(score, (int, float)) and not isinstance(score, bool)]
    return sum(known) / len(known) if known else None
