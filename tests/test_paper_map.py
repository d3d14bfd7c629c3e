"""docs/paper-map.md names keys, files, artifacts and places that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import judgeloop.loop
from every_stage import every_stage
from judgeloop.config import known_keys
from judgeloop.config.choices import INSTRUCTION_METHODS, LOSSES, PAIR_RULES

ROOT = Path(judgeloop.loop.__file__).resolve().parent
DOCS = ROOT.parents[1] / "docs"
TEXT = (DOCS / "paper-map.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| concept", "| table"))
]
NAMED = {"prompts.source": INSTRUCTION_METHODS, "train.loss": LOSSES, "pairs.rule": PAIR_RULES}


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_six_papers_and_every_column_are_there() -> None:
    for paper in ("2401.10020", "2305.18290", "2312.16682", "2212.10560", "2212.09689", "2308.06259"):
        assert paper in TEXT
    assert len(ROWS) > 60
    assert all(len(row) == 5 and all(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[f"{k}-{row[0]:.30}" for k, row in enumerate(ROWS)])
def test_a_row_names_what_there_is(row: list[str]) -> None:
    _, keys, file, artifacts, place = row
    known = set(known_keys())
    assert quoted(keys)
    assert set(quoted(keys)) <= known
    for key, value in re.findall(r"`([\w.]+)` \(([\w:]+)\)", keys):
        if key in NAMED:
            assert value in NAMED[key].names()
    (source,) = quoted(file)
    assert (ROOT / source).is_file(), source
    written = {name for stage in every_stage() for name in stage.writes}
    of_the_run = {"RUN/run.json", "RUN/decision.json", "RUN/summary.json", "RUN/metrics.jsonl"}
    assert quoted(artifacts)
    assert set(quoted(artifacts)) <= written | of_the_run
    if place.startswith("report: ") and "sentence" not in place:
        files = ("template.html.j2", "figures.py", "curves.py")
        shown = "".join((ROOT / "report" / name).read_text() for name in files)
        assert place.removeprefix("report: ") in shown
    elif not place.startswith("report"):
        (page,) = re.findall(r"\[[\w.-]+\]\(([\w.-]+)\)", place)
        assert (DOCS / page).is_file()
