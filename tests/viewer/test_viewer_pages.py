"""Every page, on whole, partial and damaged runs; what a model wrote is text and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from judgeloop.errors import InputError
from judgeloop.viewer.app import make_app
from viewer.viewed_run import HOSTILE, QUESTIONS, make_viewed

PAGES = (
    "/r/a", "/r/a/prompts/M2", "/r/a/prompt/M2/p-0", "/r/a/prompt/M2/p-3", "/r/a/pair/M2/pair-3", "/r/a/models",
    "/r/a/models?order=truth&a=M1&b=M2", "/r/a/judge", "/r/a/judge?model=M1", "/r/a/instructions", "/r/a/vote",
    "/r/a/votes", "/compare", "/", "/r/a/pair/M2/pair-2", "/r/a/prompt/M2/p-2", "/r/a/models?tag=short",
)  # fmt: skip


def client(*runs: Path) -> TestClient:
    return TestClient(make_app(runs), base_url="http://127.0.0.1:7878", headers={"origin": "http://127.0.0.1:7878"})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_viewed(tmp_path / "a")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_escapes_what_a_model_wrote(run: Path, page: str) -> None:
    answer = client(run).get(page)
    assert answer.status_code == 200, answer.text
    assert "<script>window" not in answer.text
    assert not re.search(r"<img|\son\w+\s*=\s*[\"']", re.sub(r"&lt;.*?&gt;", "", answer.text))
    assert "\x1b" not in answer.text
    assert not re.search(r"<script(?![^>]*src=)|<style|style=", answer.text)  # nothing inline
    assert "{{ 7*7 }}" in answer.text or "7*7" not in answer.text


def test_hostile_texts_reach_the_pages_as_text(run: Path) -> None:
    page = client(run).get("/r/a/prompt/M2/p-3").text
    assert "&lt;/script&gt;&lt;script&gt;window.hacked=1" in page
    assert "␛[31m" in page


def test_a_prompt_tells_what_became_of_its_candidates(run: Path) -> None:
    page = client(run).get("/r/a/prompt/M2/p-2").text
    assert "4.00 over 3.00, gap 1.00" in page
    assert page.count('class="badge chosen"') == page.count('class="badge rejected"') == 1
    assert "98" in page  # the mass of the judgement
    assert "<summary>thought" in page


@pytest.mark.parametrize(("prompt", "why"), [("p-0", "tie"), ("p-1", "within the margin")])
def test_a_prompt_without_a_pair_says_why(run: Path, prompt: str, why: str) -> None:
    assert f"<b>No pair</b> {why}" in client(run).get(f"/r/a/prompt/M2/{prompt}").text


def test_lineage_names_source_judge_and_training(run: Path) -> None:
    page = client(run).get("/r/a/pair/M2/pair-2").text
    assert "few_shot:7" in page
    assert "M1M1M1" in page  # the judge's hash
    assert "M2M2M2" in page  # the model's that the training made
    assert "2 pairs in" in page


def test_lineage_goes_back_to_the_demonstrations_and_their_lines(run: Path) -> None:
    for page in ("/r/a/pair/M2/pair-2", "/r/a/prompt/M2/p-2"):
        said = client(run).get(page).text
        assert "3 demonstrations that the model was shown<" in said
        assert "1 demonstration that the model was shown when it made up the input<" in said
        assert "seed.jsonl:2" in said
        assert "Seed answer 2." in said
        assert '<a href="/r/a/prompt/M2/p-1">few_shot:4</a>' in said  # one of its own, and what that was made from
        assert "written by hand, ships with judgeloop" in said
    assert "demonstrations" not in client(run).get("/r/a/prompt/M2/p-0").text  # of a file


def test_lineage_goes_on_to_the_training_steps(run: Path) -> None:
    page = client(run).get("/r/a/pair/M2/pair-2").text
    assert re.findall(r"<td>(\d) of 5</td><td class=\"num\">([\d.]+)</td>", page) == [("2", "0.500"), ("5", "0.200")]
    assert "left out of the training" in client(run).get("/r/a/pair/M2/pair-3").text
    train = json.loads((run / "M2/train.json").read_text())
    (run / "M2/train.json").write_text(json.dumps({**train, "kept_step": 4, "stopped_at": 5}))
    page = client(run).get("/r/a/pair/M2/pair-2").text
    assert page.count("after the weights that were kept (step 4)") == 1


def test_a_run_that_lacks_what_lineage_needs_says_so(run: Path) -> None:
    (run / "M2/demonstrations.jsonl").unlink()
    (run / "M2/train.steps.jsonl").unlink()
    page = client(run).get("/r/a/pair/M2/pair-2").text
    assert "does not say which demonstrations the model was shown" in page
    assert "does not say in which steps" in page
    assert "does not say which demonstrations" not in client(run).get("/r/a/prompt/M2/p-0").text


def test_the_overview_has_no_row_for_an_m0_that_was_not_evaluated(run: Path) -> None:
    assert re.findall(r"<td><b>(M\d)</b>", client(run).get("/r/a").text) == ["M1", "M2"]
    shutil.copy(run / "M1/eval.json", run / "M0/eval.json")
    evaluation = json.loads((run / "M0/eval.json").read_text())
    (run / "M0/eval.json").write_text(json.dumps({**evaluation, "length": {"mean_characters": 9.0}}))
    assert re.findall(r"<td><b>(M\d)</b>", client(run).get("/r/a").text) == ["M0", "M1", "M2"]


def test_filters_by_text_account_gap_source_and_tag(run: Path) -> None:
    pages = client(run)

    def found(query: str) -> list[str]:
        return re.findall(r"/prompt/M2/(p-\d)", pages.get(f"/r/a/prompts/M2?{query}").text)

    assert found("") == ["p-0", "p-1", "p-2", "p-3"]
    assert found("q=SKY") == ["p-0"]
    assert found("account=pair") == ["p-2", "p-3"]
    assert found("account=no+pair") == ["p-0", "p-1"]
    assert found("low=0.5") == ["p-2", "p-3"]
    assert found("low=1.5") == []
    assert found("source=few_shot") == ["p-1", "p-2"]
    assert found("tag=plain&account=pair") == ["p-2"]
    assert found("start=2") == ["p-2", "p-3"]
    assert found("q=onerror%3D%22") == ["p-3"]  # a quotation mark is escaped in the file


def test_the_judge_page_shows_where_it_errs(run: Path) -> None:
    page = client(run).get("/r/a/judge").text
    assert "4 of 4 pairs the other way round" in page
    assert "fail, and scored highest" in page


def test_two_models_are_ordered_by_what_changed(run: Path) -> None:
    page = client(run).get("/r/a/models?a=M1&b=M2").text
    assert page.index("1 says") < page.index("2 says")
    assert "scores by judge" in page


def test_two_models_are_filtered_by_tag_source_and_text(run: Path) -> None:
    pages = client(run)

    def found(query: str) -> list[str]:
        page = pages.get(f"/r/a/models?a=M1&b=M2&order=file&{query}").text
        return re.findall(r"from (asked\.jsonl:\d)", page)

    assert len(found("")) == len(QUESTIONS) == 4
    assert found("tag=short") == ["asked.jsonl:1", "asked.jsonl:3"]
    assert found("q=SKY") == ["asked.jsonl:0"]
    assert found("tag=short&q=sonnet") == []
    assert found("source=asked.jsonl&start=2") == ["asked.jsonl:2", "asked.jsonl:3"]
    assert "No prompt fits." in pages.get("/r/a/models?tag=nothing").text
    assert "2 of 6 evaluation prompts" in pages.get("/r/a/models?tag=short").text


def test_answers_to_ifeval_are_side_by_side_with_what_they_follow(run: Path) -> None:
    pages = client(run)
    page = pages.get("/r/a/models?a=M1&b=M2&source=IFEval").text
    assert "2 of 6 evaluation prompts" in page
    assert page.count("Verified. ") == 4
    assert page.count('<span class="badge warn">cut off</span>') == 4
    marks = re.findall(r'<span class="badge (\w*)">(. \w+:\w+)( \(loosely ✓\))?(: &lt;/script)?', page)
    broken = ("rejected", "✗ punctuation:no_comma", " (loosely ✓)", "")
    kept = ("chosen", "✓ punctuation:no_comma", "", "")
    unknown = ("", "? made:up", "", ": &lt;/script")
    assert marks == [broken, kept, broken, unknown, kept, unknown]
    assert re.findall(r"truth (\d+%)", page) == ["0%", "100%"]  # nobody can tell where an instruction is unknown
    assert re.findall(r'<section class="duel"[^>]*id="([^"]+)"', pages.get("/r/a/models?order=truth").text)[0] == "0"
    assert "1 of 6" in pages.get("/r/a/models?tag=made:up").text
    for name in ("eval.ifeval.jsonl", "eval.ifeval.checks.jsonl"):
        (run / "M1" / name).unlink()
        assert "4 evaluation prompts" in client(run).get("/r/a/models?a=M1&b=M2").text


def test_the_field_that_the_checker_groups_by_is_the_tag(run: Path) -> None:
    from judgeloop.viewer.run_view import RunView

    view = RunView(run, "a")
    rows = [json.loads(line) for line in (run / "M2/eval.prompts.jsonl").read_text().splitlines()]
    for name in ("M1", "M2"):
        lines = [json.dumps({**row, "fields": {"tag": "short", "level": 3}}) + "\n" for row in rows]
        (run / name / "eval.prompts.jsonl").write_text("".join(lines))
    assert {one["tag"] for one in view.evaluation_prompts().values()} == {"short"}
    checks = json.loads((run / "M2/checks.json").read_text())
    (run / "M2/checks.json").write_text(json.dumps({**checks, "group": "level"}))
    assert {one["tag"] for one in view.evaluation_prompts().values()} == {"3"}


def test_without_the_written_ones_evaluation_prompts_of_a_file_have_text_and_tag(run: Path, tmp_path: Path) -> None:
    from judgeloop.records import Prompt
    from judgeloop.viewer.run_view import RunView

    asked = tmp_path / "asked.jsonl"
    asked.write_text('{"instruction": "Name a fish.", "input": "", "rule": "short"}\n')
    (run / "config.yaml").write_text(f"evaluation: {{prompts: [{asked}, {tmp_path}/gone.jsonl, hf:org/name]}}\n")
    for model in ("M1", "M2"):
        (run / model / "eval.prompts.jsonl").unlink()
    found = RunView(run, "a").evaluation_prompts()
    name = Prompt.of([{"role": "user", "content": "Name a fish."}], "").id
    assert (found[name]["text"], found[name]["tag"]) == ("Name a fish.", "short")


def test_two_runs_show_keys_that_differ(tmp_path: Path, run: Path) -> None:
    other = tmp_path / "b"
    shutil.copytree(run, other)
    (other / "config.yaml").write_text("model: tiny\npairs: {rule: best_worst, margin: 0.9}\n")
    page = client(run, other).get("/compare?a=a&b=b").text
    assert "pairs.margin" in page
    assert "<code>model</code>" not in page
    assert "a · M2/train" in page
    assert "b · M2/train" in page


def test_a_row_half_written_appears_when_it_is_whole(run: Path) -> None:
    pages, file = client(run), run / "M2/prompts.jsonl"
    row = json.dumps({"id": "p-9", "messages": [{"role": "user", "content": "Late."}], "source": "s"})
    with file.open("a") as handle:
        handle.write(row[:20])
        handle.flush()
        assert "Late." not in pages.get("/r/a/prompts/M2").text
        handle.write(row[20:] + "\n")
        handle.flush()
        assert "Late." in pages.get("/r/a/prompts/M2").text


def test_a_damaged_line_is_shown_as_such(run: Path) -> None:
    file = run / "M2/prompts.jsonl"
    file.write_bytes(b"{broken\n" + file.read_bytes())
    assert "this line is damaged" in client(run).get("/r/a/prompts/M2").text


@pytest.mark.parametrize("gone", ["M2", "M2/judgements.jsonl", "M2/eval.json", "M1/held_out.jsonl", "config.yaml",
                                  "metrics.jsonl", "M2/candidates.jsonl", "M2/pairs.jsonl", "M2/eval.prompts.jsonl",
                                  "M2/demonstrations.jsonl", "M2/train.steps.jsonl", "M1/ift.jsonl",
                                  "M2/train.json", "M2/eval.ifeval.jsonl", "M2/eval.ifeval.checks.jsonl"])  # fmt: skip
@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_runs_that_lack_parts_still_have_pages(run: Path, gone: str, how: str) -> None:
    path = run / gone
    if path.is_dir():
        shutil.rmtree(path)
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(b'{"id": 3, "prompt_id": [], "models": 7, "score": {}}\n\xff\xfe[[[\n')
    pages = client(run)
    for page in PAGES:
        answer = pages.get(page)
        assert answer.status_code in (200, 404), (page, answer.text)
    assert pages.get("/r/a").status_code == 200


def test_values_of_wrong_types_break_no_page(run: Path) -> None:
    odd = [None, 7, [1], {"a": 1}, "9" * 5000]
    originals = {path: path.read_text() for path in run.rglob("*.jsonl")}
    for number, value in enumerate(odd):
        for path, text in originals.items():
            rows = [json.loads(line) for line in text.splitlines()]
            for k, row in enumerate(rows):
                key = list(row)[(k + number) % len(row)]
                row[key] = value
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        pages = client(run)
        for page in PAGES:
            assert pages.get(page).status_code in (200, 404), (page, value)


def test_live_only_while_the_run_holds_its_lock(run: Path) -> None:
    import fcntl

    pages = client(run)
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert 'hx-trigger="every 3s"' in pages.get("/r/a").text
        fragment = pages.get("/r/a", headers={"hx-request": "true"}).text
        assert fragment.lstrip().startswith('<div id="overview"')
    assert "every 3s" not in pages.get("/r/a").text


def test_hostile_is_hostile() -> None:
    assert "<script>" in HOSTILE


def test_a_training_of_one_step_is_a_point() -> None:
    from judgeloop.viewer.charts import lines

    drawn = lines({"one": [(1, 2.0)], "more": [(1, 2.0), (2, 3.0), (3, float("nan"))]}, "loss")
    assert drawn.count('<circle class="line s0"') == 1
    assert drawn.count("<polyline") == 1
    assert "nan" not in drawn
    assert lines({"none": [(1, float("inf"))]}, "loss") == ""


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory"):
        make_app([tmp_path])


def test_a_run_at_its_beginning_has_pages(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"models": ["M0", "M1"]}))
    pages = client(tmp_path)
    assert pages.get(f"/r/{tmp_path.name}").status_code == 200
    for page in ("prompts", "models", "judge"):
        assert "This run has no" in pages.get(f"/r/{tmp_path.name}/{page}").text
    assert "fewer yet" in pages.get(f"/r/{tmp_path.name}/vote").text
