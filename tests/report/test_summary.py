import json
from pathlib import Path

import pytest
from rich.console import Console

from judgeloop.errors import InputError
from judgeloop.report.page import write_reports
from judgeloop.report.summary import summarise
from judgeloop.report.terminal import stage_seconds, summary_table
from report.make_run import leave_unfinished, make_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "good")


def test_summary_has_the_promised_fields(finished: Path) -> None:
    summary = json.loads(json.dumps(summarise(finished)))
    assert [m["name"] for m in summary["models"]] == ["M0", "M1", "M2", "M3"]
    assert summary["complete"] is True
    m0, m1, m2, m3 = summary["models"]
    assert m0["initial"] is None
    assert m0["reference"] is None
    assert len(m0["hash"]) == 64
    assert m1["initial"]["name"] == "M0"
    assert m1["reference"] is None
    assert (m3["initial"]["name"], m3["reference"]["name"], m3["reference"]["hash"]) == ("M2", "M2", m2["hash"])
    assert (m1["pairs"], m2["pairs"], m3["pairs"]) == (None, 104, 118)
    evaluated = json.loads((finished / "M3/eval.json").read_text())
    assert m3["judge"]["parse_rate"] == evaluated["judge_health"]["parse_rate"]
    assert m3["judge"]["mean_score"] == evaluated["judge_health"]["mean_score"]["value"]
    assert len(m3["judge"]["histogram"]) == 6
    assert m3["agreement"] == evaluated["agreement"]
    assert m3["win_rate_vs_previous"]["previous"] == "M2"
    assert m3["length"] == evaluated["length"]
    assert list(m3["seconds"]) == ["prompts", "candidates", "judge", "pairs", "train", "eval"]
    assert m3["seconds"]["judge"] == 26.3
    assert m1["accounts"]["seed"]["dropped"] == {"other language": 58, "fewer than two ranked replies": 31}
    judged = json.loads((finished / "M2/judge.json").read_text())
    assert m2["loop_judge"]["name"] == judged["judge"] == "M1"
    assert (m2["loop_judge"]["judgements"], m2["loop_judge"]["parse_rate"]) == (24, 1.0)
    assert m2["loop_judge"]["tie_rate"] == judged["health"]["tie_rate"]
    assert m2["metrics"]["refusals"]["versus"]["model"] == "M1"
    assert m2["metrics"]["win_rate"]["value"] == m2["win_rate_vs_previous"]["rate"]


def test_summary_is_written_as_it_is_read(finished: Path) -> None:
    write_reports(finished)
    assert json.loads((finished / "summary.json").read_text()) == summarise(finished)


def test_unfinished_run(tmp_path: Path) -> None:
    summary = summarise(leave_unfinished(make_run(tmp_path / "run")))
    m3 = summary["models"][3]
    assert summary["complete"] is False
    assert summary["under_way"] == ["M3/judge"]
    assert m3["judge"]["parse_rate"] is None
    assert m3["judge"]["histogram"] is None
    assert set(m3["length"].values()) == {None}
    assert (m3["agreement"], m3["win_rate_vs_previous"], m3["pairs"], m3["hash"]) == (None, None, None, None)
    assert m3["loop_judge"] is None
    assert not [w for w in summary["warnings"] if w["kind"] == "damaged file"]


def test_run_that_has_only_begun(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"models": ["M0", "M1"]}')
    summary = summarise(tmp_path)
    assert [m["name"] for m in summary["models"]] == ["M0", "M1"]
    assert summary["complete"] is False
    assert all(m["seconds"] == {} for m in summary["models"])


def test_models_are_found_without_run_json(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "run.json").unlink()
    (run / "M10").mkdir()
    assert [m["name"] for m in summarise(run)["models"]] == ["M0", "M1", "M2", "M3", "M10"]


def test_base_model_that_is_not_evaluated_does_not_hold_up_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "M0/eval.json").unlink()
    (run / "M0/.eval.done.json").unlink()
    assert summarise(run)["complete"] is True
    (run / "M0/.eval.begun.json").write_text("{}")
    assert summarise(run)["complete"] is False


def test_models_that_are_not_to_be_evaluated_do_not_hold_up_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", improving=False)
    for name in ("eval.json", ".eval.done.json"):
        (run / "M2" / name).unlink()
    assert summarise(run)["complete"] is False
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "evaluated": ["M0", "M1", "M3"]}))
    summary = summarise(run)
    assert summary["complete"] is True
    growth = [w["text"] for w in summary["warnings"] if w["kind"] == "length growth"]
    assert any("longer than M1's" in text for text in growth if text.startswith("M3: ")), growth
    (run / "M3/.eval.done.json").unlink()
    assert summarise(run)["complete"] is False


def test_damaged_files_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "M2/eval.json").write_text('{"model": "M2", "ju')
    (run / "M3/train.json").write_bytes(b"\xff\xfe")
    summary = summarise(run)
    damaged = [w["text"] for w in summary["warnings"] if w["kind"] == "damaged file"]
    assert damaged == [
        "M2/eval.json is damaged.",
        "M3/train.json cannot be read.",
    ]
    assert summary["models"][2]["judge"]["parse_rate"] is None


def test_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory; give the folder"):
        summarise(tmp_path)


def test_terminal_table(finished: Path) -> None:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(summary_table(summarise(finished)))
    text = captured.get()
    row = next(line for line in text.splitlines() if "M3" in line)
    assert "118" in row
    assert "275: prompts 24" in text
    assert "not finished" not in text
    assert "refusals: M0 60% (50–70%), M1 48% (38–58%), M2 36% (26–46%)" in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_terminal_table_of_an_unfinished_run_fits_80_columns(tmp_path: Path) -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(summary_table(summarise(leave_unfinished(make_run(tmp_path / "run")))))
    text = captured.get()
    assert "not finished yet" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    for heading in ("model", "parse", "agreement", "length", "win rate", "pairs", "seconds"):
        assert heading in text


def test_a_base_model_that_was_not_evaluated_has_no_row(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for path in (run / "M0").glob("*eval*"):
        path.unlink()
    (run / "M0/.eval.done.json").unlink(missing_ok=True)
    console = Console(width=120)
    with console.capture() as captured:
        console.print(summary_table(summarise(run)))
    first = [line.split()[0] for line in captured.get().splitlines() if line.strip().startswith("M")]
    assert first == ["M1", "M2", "M3"]


def test_stage_seconds() -> None:
    assert stage_seconds({"judge": 41.3, "pairs": 0.1, "train": 112.0}) == "153: judge 41, train 112"
    assert stage_seconds({"pairs": 0.2}) == "0"
    assert stage_seconds({}) == "–"
