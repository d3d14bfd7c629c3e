import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly import graph_objects

import judgeloop.report
from judgeloop.report.creation import creation_samples, diversity_table
from judgeloop.report.curves import loss_curves, preference_curves
from judgeloop.report.figures import figures, score_histogram, seconds_by_stage, win_tie_lose
from judgeloop.report.page import plotly_js, render, write_reports
from judgeloop.report.reading import RunFiles
from judgeloop.report.samples import pair_samples
from judgeloop.report.summary import summarise
from judgeloop.report.wording import duration, interval, number, percent
from judgeloop.run.samples import draw
from report.make_run import HOSTILE, PROMPTS, leave_unfinished, make_run


class Page(HTMLParser):
    """What a browser would see: tags with attributes, the text outside scripts, and the scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] == "script":
            self.scripts[-1] += data
        elif not self.inside or self.inside[-1] != "style":
            self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "hostile", improving=False, sampled=True)


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return write_reports(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_report_is_one_file_in_the_run(run: Path, html: str) -> None:
    assert (run / "report.html").is_file()
    assert html.startswith("<!doctype html>")
    assert not list(run.glob("report.html.*"))


def test_model_text_is_shown_and_never_run(page: Page) -> None:
    assert "</script" not in plotly_js().lower()
    assert len(page.scripts) == 2  # plotly.js and ours
    assert page.text.count(HOSTILE) >= 4  # prompt, response, held-out sample, judgement
    assert "window.hacked" not in "".join(page.scripts)
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "link", "base", "form")]
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]


def test_hostile_names_cannot_leave_the_script(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    row = {"model": "</script><b>", "stage": "train", "step": 1, "loss": 0.5}
    with (run / "metrics.jsonl").open("a") as handle:
        handle.write(json.dumps(row) + "\n")
    (run / "run.json").write_text(json.dumps({"models": ["M1", "../../etc"], "judgeloop": "<b>", "started": "<i>x"}))
    page = Page(render(run))
    assert len(page.scripts) == 2
    assert "&lt;b&gt;" in page.scripts[1].replace("\\u0026", "&")
    assert "<i>x" in page.text
    assert "etc" not in page.text


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    assert not [attrs for _, attrs in page.tags if {"src", "href", "srcset", "action"} & set(attrs)]
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert not re.search(r"https?://|url\(", page.scripts[1])


def test_report_says_what_the_run_says(page: Page) -> None:
    for text in (
        "Warnings", "smollm2-135m-instruct", "complete", "take it for a more generous judge", "ROUGE-L above 0.7",
        "fewer than two finished candidates", "Spearman ρ", "additive-5", "no score (no score line)",
        "length is the known hack",
    ):  # fmt: skip
        assert text in page.text
    assert "not finished" not in page.text
    places = {attrs["id"] for tag, attrs in page.tags if attrs.get("class") == "plot"}
    names = ("scores", "length", "wins", "agreement", "metric-0", "loss-sft", "loss-train", "seconds")
    assert places == {f"plot-{name}" for name in (*names, "prompt-lengths", "prompt-openings")}


def test_the_page_is_small_and_draws_what_its_library_can(run: Path, html: str) -> None:
    """The bundled plotly.js has scatter plots, bars and pies alone."""
    assert len(html) < 1_500_000
    drawn = figures(summarise(run)["models"], RunFiles(run).rows("metrics.jsonl"), "dpo")
    assert {trace["type"] for figure in drawn for trace in figure["data"]} <= {"scatter", "bar", "pie"}
    assert "MIT license" in html
    assert (Path(judgeloop.report.__file__).parent / "vendor" / "LICENSE.plotly.js.txt").is_file()


def test_the_page_begins_with_the_verdict_its_picture_and_how_to_look_further(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", checked=True)
    rests = {"verdict": "better", "model": "M3", "against": "M2", "basis": "…", "metric": "checker"}
    decision = {"stopped": False, "at": "M3/checks", "reason": "all iterations done", "best": "M3",
                "why_best": "M3 is better than M2", "rests_on": rests, "failed_gates": []}  # fmt: skip
    (run / "decision.json").write_text(json.dumps(decision))
    html = render(run)
    lead = html[html.index('class="lead"') : html.index("</section>")]
    sentences = re.findall(r"<p>(.*?)</p>", lead)
    assert len(sentences) == 3
    assert sentences[0] == "Use M3: M3 is better than M2."
    assert sentences[1].startswith("By your own code")
    assert "ground truth by evaluation.checker" in lead
    assert lead.count('class="row best"') == 3  # truth, agreement, length
    assert f"judgeloop view {run}" in lead
    assert html.index('class="lead"') < html.index("Warnings") < html.index(">Models<") < html.index(">Examples<")
    assert html.count("<details open>") == 1


def test_times_of_all_stages_and_their_sum(run: Path, page: Page) -> None:
    models = summarise(run)["models"]
    assert "Time of the stages" in page.text
    for title in {title for model in models for title in model["stage_titles"].values()}:
        assert title in page.text
    whole = sum(sum(model["seconds"].values()) for model in models)
    rest = page.text[page.text.index("all stages") :]
    assert duration(whole) in rest[: rest.index("Configuration")]


def test_same_run_same_report(run: Path, html: str) -> None:
    assert render(run) == html


def test_unfinished_run(tmp_path: Path) -> None:
    text = Page(render(leave_unfinished(make_run(tmp_path / "run")))).text
    assert "not finished" in text
    assert "M3/judge" in text


def test_run_that_has_only_begun(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"models": ["M0", "M1", "M2"]}')
    text = Page(render(tmp_path)).text
    assert "No model has been evaluated yet." in text
    assert text.count("Not there yet") == 10  # nine plots and the agreement table
    for missing in ("No model has been trained yet", "No pairs yet", "No new prompts yet", "config.yaml is not there"):
        assert missing in text


@pytest.mark.parametrize(
    "name", ["config.yaml", "run.json", "metrics.jsonl", "M1/seed.json", "M1/train.json", "M2/pairs.jsonl",
             "M2/pairs.json", "M2/prompts.json", "M2/judgements.jsonl", "M2/candidates.jsonl",
             "M3/eval.json", "M0/model.json"],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["missing", "torn"])
def test_any_file_may_be_missing_or_torn(tmp_path: Path, name: str, damage: str) -> None:
    run = make_run(tmp_path / "run")
    path = run / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-7])
    page = Page(render(run))
    assert len(page.scripts) == 2
    if damage == "torn" and name.endswith(".json"):
        assert f"{name} is damaged." in page.text


def test_figures_are_valid_plotly(run: Path) -> None:
    drawn = figures(summarise(run)["models"], RunFiles(run).rows("metrics.jsonl"), "dpo")
    assert all(figure["data"] for figure in drawn)
    for figure in drawn:
        graph_objects.Figure(data=figure["data"], layout=figure["layout"])


def test_a_step_written_twice_counts_once_and_a_lost_loss_is_a_gap() -> None:
    rows = [
        {"model": "M2", "stage": "train", "step": 1, "loss": 0.9},
        {"model": "M2", "stage": "train", "step": 2, "loss": 0.8},
        {"model": "M2", "stage": "train", "step": 1, "loss": 0.7},
        {"model": "M2", "stage": "train", "step": 3, "loss": float("nan")},
        {"model": "M1", "stage": "sft", "step": 1, "loss": 2.0},
    ]
    (curve,) = loss_curves(rows, "train", "", "")["data"]
    assert (curve["x"], curve["y"]) == ([1, 2, 3], [0.7, 0.8, None])


def test_samples_are_drawn_by_the_seed_and_carry_their_judgements(run: Path) -> None:
    files = RunFiles(run)
    rows = list(files.rows("M2/pairs.jsonl"))
    few = pair_samples(files, "M2", count=3)
    by_id = {row["id"]: row for row in rows}
    drawn = [by_id[name] for name in draw(by_id, 0, 3)]
    assert [sample["prompt"] for sample in few] == [row["prompt"] for row in drawn]
    files.run["seed"] = 5
    assert [sample["prompt"] for sample in pair_samples(files, "M2", count=3)] != [row["prompt"] for row in drawn]
    chosen, rejected = few[0]["sides"]
    assert chosen["score"] > rejected["score"]
    assert chosen["text"] == drawn[0]["chosen"][0]["content"]
    assert {row["candidate_id"] for row in chosen["judgements"]} == {drawn[0]["chosen_id"]}
    assert len(chosen["judgements"]) == 3
    assert len(pair_samples(files, "M2", count=100)) == len(rows)
    assert pair_samples(files, "M1") == []


def test_diversity_stands_side_by_side(run: Path) -> None:
    table = diversity_table(summarise(run)["models"])
    assert table is not None
    assert table["columns"] == ["seed", "M2", "M3"]
    rows = dict(table["rows"])
    assert rows["prompts"] == ["8", "6", "7"]
    assert "explain 17%" in rows["most frequent opening words"][1]
    assert rows["ROUGE-L with the nearest seed prompt, mean"][0] == "–"
    assert diversity_table([{"name": "M2", "diversity": None}]) is None


def test_samples_of_kept_and_dropped_are_shown_and_escaped(run: Path, page: Page) -> None:
    (prompts,) = [part for part in creation_samples(RunFiles(run)) if part["title"] == "M3, new prompts"]
    assert prompts["kept"][1] == f"instruction: {PROMPTS[0]}\noutput: {HOSTILE}"
    assert prompts["dropped"] == [("cut off", 9, ["Write a list of", HOSTILE])]
    assert "dropped, cut off (9)" in page.text
    assert f"output: {HOSTILE}" in page.text
    assert page.text.count("samples: kept") == 0  # not in the account's table


def test_the_account_of_backtranslation_is_shown_step_by_step(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    account = {
        "segments": {"kept": 40, "dropped": {"too short": 3}, "dropped_samples": {"too short": [{"text": "Hm"}]}},
        "labels": {"written": 80, "dropped": {"cut off": 2}, "dropped_samples": {}},
        "rounds": [
            {"kept": 9, "dropped": {"no score": 1}, "kept_samples": [{"instruction": "Why?", "score": 4.5}],
             "dropped_samples": {"no score": [{"instruction": HOSTILE, "score": None}]}},
            {"kept": 11, "dropped": {}, "kept_samples": [], "dropped_samples": {}},
        ],
    }  # fmt: skip
    (run / "M1/backtranslation.json").write_text(json.dumps(account))
    text = Page(render(run)).text
    for said in ("rounds: 1: kept", "segments: dropped: too short", "M1, backtranslation: round 1", "score: 4.5",
                 "dropped, no score (1)", "instruction: " + HOSTILE, "M1, backtranslation: segments"):  # fmt: skip
        assert said in text
    assert "M1, backtranslation: round 2" not in text


def test_wording() -> None:
    assert [percent(v) for v in (None, 0.0, 0.001, 0.124, 0.998, 1.0)] == ["–", "0%", "<1%", "12%", ">99%", "100%"]
    assert number(1234.5) == "1,234.50"
    assert interval({"value": 0.5, "low": -0.1, "high": 0.9, "n": 4}) == "0.50 (−0.10 to 0.90)"
    assert interval({"value": 0.5, "low": 0.25, "high": 0.75, "n": 4}, as_percent=True) == "50% (25–75%)"
    assert interval({"value": 1.0, "low": 1.0, "high": 1.0, "n": 1}) == "1.00 (n = 1)"
    assert interval(None) == "–"
    assert [duration(v) for v in (None, 3.21, 48, 75, 4000)] == ["–", "3.2 s", "48 s", "1:15 min", "1:07 h"]


def test_the_preference_loss_is_drawn_without_its_other_terms() -> None:
    rows = [{"model": "M2", "stage": "train", "step": 1, "loss": 1.9, "dpo_loss": 0.6931}]
    (curve,) = loss_curves(rows, "train", "", "")["data"]
    assert curve["y"] == [0.6931]


@pytest.mark.parametrize(("loss", "lines"), [("dpo", 1), ("sft_best", 0), ("cringe", 0), ("ipo", 0), (None, 0)])
def test_only_the_loss_of_dpo_is_held_against_ln_2(loss: str | None, lines: int) -> None:
    rows = [{"model": "M2", "stage": "train", "step": 1, "loss": 1.9, "preference_loss": 0.25}]
    figure = preference_curves(rows, loss)
    assert len(figure["layout"].get("shapes", [])) == lines
    assert ("ln 2" in figure["note"]) is (lines == 1)
    assert figure["data"][0]["y"] == [0.25]


def test_the_loss_is_the_one_of_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert "ln 2" in render(run)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("loss: dpo", "loss: ipo"))
    assert "ln 2" not in render(run)


def test_every_finished_stage_is_in_the_time_chart(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for name, stage, marker in (("M2", "meta", {"title": "pairs of judgements", "order": 205.5}), ("M3", "mine", {})):
        path = run / name / f".{stage}.done.json"
        said = {"stage": stage, "fingerprint": "f", "settings": {}, "inputs": {}, "files": {}, "seconds": 500.0}
        path.write_text(json.dumps({**said, "finished": "2026-05-03", **marker}))
    models = summarise(run)["models"]
    traces = {trace["name"]: trace for trace in seconds_by_stage(models)["data"]}
    assert traces["meta"]["x"] == [0, 0, 500.0, 0]
    assert traces["meta"]["hovertemplate"].startswith("pairs of judgements: ")
    assert traces["mine"]["x"] == [0, 0, 0, 500.0]
    assert list(models[2]["seconds"]) == ["prompts", "candidates", "judge", "meta", "pairs", "train", "eval"]
    drawn = sum(sum(trace["x"]) for trace in traces.values())
    assert drawn == pytest.approx(sum(sum(m["seconds"].values()) for m in models))
    looks = [(t["marker"]["color"], t["marker"]["pattern"]["shape"]) for t in traces.values()]
    assert len(set(looks)) == len(looks) == 11


def test_a_metric_that_the_report_does_not_know_is_shown(page: Page, run: Path) -> None:
    assert "Further metrics" in page.text
    assert "refusals" in page.text
    assert "−12.0 (−20.0 to −4.0) vs M2" in page.text
    (figure,) = [f for f in figures(summarise(run)["models"], [], "dpo") if f["title"] == "refusals"]
    assert figure["note"] == "Lower is better; 95% intervals."
    assert figure["data"][0]["y"] == pytest.approx([0.6, 0.48, 0.36, 0.24])


def compared(name: str, judge: str | None, by: str | None) -> dict[str, Any]:
    rate = {"previous": "M0", "win": 3, "tie": 1, "lose": 2, "unparsed": 0, **({} if by is None else {"by": by})}
    return {"name": name, "judge": {"name": judge}, "win_rate_vs_previous": rate}


def test_the_caption_says_how_and_by_whom_answers_were_compared() -> None:
    scores = win_tie_lose([compared("M1", "M1", "scores"), compared("M2", "M2", "scores")])["note"]
    assert scores == (
        "Each response is scored by itself: the higher score wins, equal scores are a tie. Each model is judged by "
        "itself."
    )
    assert "orders" in win_tie_lose([compared("M2", "M1", "pairwise")])["note"]
    assert win_tie_lose([compared("M2", "openai:gpt", None)])["note"] == (
        "Both orders are judged; a judge that contradicts itself makes a tie. Judged: M2 by gpt, behind an endpoint."
    )


def test_scores_are_drawn_on_the_judges_own_scale() -> None:
    def bars(scale: list[int] | None) -> list[int]:
        (trace,) = score_histogram([{"name": "M1", "judge": {"histogram": [1, 0, 5], "scale": scale}}])["data"]
        return list(trace["x"])

    assert bars([1, 3]) == [1, 2, 3]
    assert bars(None) == [0, 1, 2]


def test_an_m0_that_was_not_evaluated_has_no_row_of_dashes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ("M0", "M1", "M2"))
    row = r"<tr>\s*<th>M0</th>\s*<td class=\"n\">"
    assert re.search(row, render(run))
    (run / "M0/eval.json").unlink()
    html = render(run)
    assert not re.search(row, html)
    assert re.search(r"<tr>\s*<th>M1</th>\s*<td class=\"n\">", html)
    assert "<th>M0</th>" in html  # the lineage has it
    assert [model["name"] for model in summarise(run)["models"]] == ["M0", "M1", "M2"]
