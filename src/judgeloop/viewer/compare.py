"""Two models side by side on the evaluation prompts, and two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.report.metrics import headline_metrics, value_in_words
from judgeloop.text.printable import printable
from judgeloop.viewer.charts import lines
from judgeloop.viewer.overview import curves, overview
from judgeloop.viewer.prompts import source_of
from judgeloop.viewer.run_view import RunView, mean
from judgeloop.viewer.verified import IFEVAL, verified_answers

PAGE = 25
ORDERS = {"score": "judge's score rises most", "fall": "judge's score falls most", "truth": "ground truth changes",
          "length": "length changes most", "file": "as in the files"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which prompts are looked for: words of the prompt, its file, its tag; an empty text is no condition."""

    text: str = ""
    source: str = ""
    tag: str = ""

    def fits(self, row: dict[str, Any]) -> bool:
        return (
            self.text.lower() in row["text"].lower()
            and self.source in ("", source_of(row))
            and (not self.tag or self.tag in map(printable, row["tags"]))
        )


def side_by_side(view: RunView, a: str, b: str, start: int, order: str, wanted: Wanted) -> dict[str, Any]:
    """The prompts that both models answered and that are `wanted`, in the files' order those of IFEval last. Each has
    both models' answers, and differences by which it is ordered; `names` are the sources and tags that there are."""
    one, other = view.responses(a), view.responses(b)
    scored = view.scores_by_one_judge(a, b)
    scores = scored[1] if scored else {}
    prompts = view.evaluation_prompts()
    truth = view.checks(a) | view.checks(b)
    rows = []
    for prompt_id in one:
        if prompt_id in other:
            asked = prompts.get(prompt_id, {"text": prompt_id, "tag": "", "source": ""})
            sides = [_side(answers[prompt_id], scores, truth) for answers in (one, other)]
            tags = [asked["tag"]] if asked["tag"] else []
            rows.append(_row(prompt_id, asked["text"], asked["source"], tags, *sides))
    rows += _ifeval(view, a, b)
    names = {"source": sorted({source_of(row) for row in rows if row["source"]}),
             "tag": sorted({printable(tag) for row in rows for tag in row["tags"]})}  # fmt: skip
    both = len(rows)
    rows = [row for row in rows if wanted.fits(row)]
    if order not in ORDERS:
        order = "score"
    if order != "file":
        key = "score" if order == "fall" else order
        sign = -1 if order == "fall" else 1

        def place(row: Mapping[str, Any]) -> tuple[bool, float]:
            change = row["change"][key]
            return change is None, 0.0 if change is None else -(sign * change if key == "score" else abs(change))

        rows.sort(key=place)
    return {"rows": rows[start : start + PAGE], "total": len(rows), "both": both, "names": names, "order": order,
            "orders": ORDERS, "page": PAGE, "judge": scored[0] if scored else None}  # fmt: skip


def _ifeval(view: RunView, a: str, b: str) -> list[dict[str, Any]]:
    """The rows of IFEval's prompts, if both models answered them; truth is that all instructions are followed
    strictly."""
    one, other = verified_answers(view, a), verified_answers(view, b)
    found = []
    for name in one:
        if name in other:
            sides = [_side([answer], {}, _truth(answer)) for answer in (one[name], other[name])]
            kinds = sorted({check["kind"] for check in one[name]["instructions"]})
            found.append(_row(name, one[name]["prompt"], IFEVAL, kinds, *sides))
    return found


def _truth(answer: Mapping[str, Any]) -> dict[str, float]:
    return {} if answer["followed"] is None else {str(answer["id"]): float(answer["followed"])}


def _side(rows: Sequence[Mapping[str, Any]], scores: Mapping[str, float], truth: Mapping[str, float]) -> dict[str, Any]:
    """A model's answers to a prompt, with the score of the first, and means of the others' figures."""
    texts = [{**row, "score": scores.get(str(row["id"])), "truth": truth.get(str(row["id"]))} for row in rows]
    return {"rows": texts, "score": mean([texts[0]["score"]]), "truth": mean([row["truth"] for row in texts]),
            "length": mean([float(len(str(row.get("text") or ""))) for row in rows])}  # fmt: skip


def _row(
    prompt_id: str, text: str, source: str, tags: Sequence[str], a: dict[str, Any], b: dict[str, Any]
) -> dict[str, Any]:
    change = {key: _less(b[key], a[key]) for key in ("score", "truth", "length")}
    return {"prompt_id": prompt_id, "text": text, "source": source, "tags": tags, "a": a, "b": b, "change": change}


def _less(new: float | None, old: float | None) -> float | None:
    return None if new is None or old is None else new - old


def compare_runs(one: RunView, other: RunView) -> dict[str, Any]:
    """The config keys that differ, the models' figures, and the training curves of both runs on one plot each."""
    configs = [flat(view.files().config()) for view in (one, other)]
    keys = [key for key in dict.fromkeys([*configs[0], *configs[1]]) if configs[0].get(key) != configs[1].get(key)]
    drawn = []
    both = [(view.key, curves(view)) for view in (one, other)]
    for name in dict.fromkeys(name for _, found in both for name in found):
        series = {f"{key} · {training}": points for key, found in both for training, points in
                  found.get(name, {}).items()}  # fmt: skip
        drawn.append(lines(series, name))
    figures: dict[tuple[str, str], list[str]] = {}
    for side, view in enumerate((one, other)):
        for metric in headline_metrics(overview(view)["models"]):
            for model, part in metric["of"].items():
                figures.setdefault((model, str(metric["label"])), ["–", "–"])[side] = value_in_words(part)
    return {"config": [(key, configs[0].get(key, "–"), configs[1].get(key, "–")) for key in keys], "plots": drawn,
            "figures": sorted(figures.items())}  # fmt: skip


def flat(tree: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """`{"judge": {"samples": 3}}` → `{"judge.samples": "3"}`."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{before}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, dict) and value else {name: str(value)}
    return found
