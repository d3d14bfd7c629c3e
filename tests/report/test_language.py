"""The report in Chinese: the catalogue lacks nothing that a report says, and fills in what it should."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import judgeloop.loop
import judgeloop.report
from every_stage import every_stage
from judgeloop.config.choices import METRICS
from judgeloop.report.concerns import headline
from judgeloop.report.figures import AGREEMENT_LABELS, figures
from judgeloop.report.language import LANGUAGES, catalogue, words
from judgeloop.report.page import render
from judgeloop.report.reading import RunFiles
from judgeloop.report.summary import summarise
from judgeloop.report.verdict import picture, verdict
from report.make_run import make_run

FOLDER = Path(judgeloop.report.__file__).parent
TEMPLATE = (FOLDER / "template.html.j2").read_text(encoding="utf-8")
chinese = words("zh")


def said_in_chinese(text: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", chinese(text)) is not None


def test_every_language_of_the_config_has_its_catalogue() -> None:
    from judgeloop.config import ReportSection

    assert set(ReportSection.model_fields["language"].annotation.__args__) == set(LANGUAGES)
    for language in LANGUAGES[1:]:
        assert len(catalogue(language)) > 150


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_translation_fills_in_what_its_key_has(language: str) -> None:
    for key, text in catalogue(language).items():
        assert text.strip(), key
        named = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        wanted = key.count("{}")
        in_order = [""] * wanted
        assert named == in_order or sorted(named) == [str(k) for k in range(wanted)], key


def test_no_heading_of_the_page_is_missing() -> None:
    keys: list[str] = re.findall(r'\bt\("((?:[^"\\]|\\.)*)"(?:\)|\.replace)', TEMPLATE)
    assert len(keys) > 60
    missing = [key for key in keys if key not in catalogue("zh")]
    assert missing == []
    plain = re.findall(r"<(?:h2|h3|th|figcaption|summary)[^>]*>([A-Za-z][^<{]+)<", TEMPLATE)
    assert plain == []  # every heading goes through t()


def test_no_stage_metric_or_figure_is_missing() -> None:
    shipped = [stage for stage in every_stage() if stage.plugin is None]
    titles = {stage.title for stage in shipped if stage.run.__module__.startswith("judgeloop.")}
    assert len(titles) > 20
    labels = [METRICS[name].label for name in METRICS.builtin()]
    known = catalogue("zh")
    assert [text for text in (*titles, *labels, *AGREEMENT_LABELS.values()) if text not in known] == []


@pytest.fixture(scope="module", params=["improving", "hacking", "checked", "begun"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "mine"
    made = make_run(folder, improving=request.param != "hacking", checked=request.param == "checked")
    if request.param == "begun":
        for path in made.glob("M*/eval.json"):
            path.unlink()
    return made


def test_no_sentence_of_a_report_stays_english(run: Path) -> None:
    summary = summarise(run)
    sentences = [*verdict(summary), *headline(summary), *(warning["text"] for warning in summary["warnings"])]
    assert sentences
    assert [text for text in sentences if not said_in_chinese(text)] == []
    drawn = figures(summary["models"], RunFiles(run).rows("metrics.jsonl"), "dpo")
    texts = [text for figure in drawn for text in (figure["title"], figure["note"]) if text]
    texts += [panel["label"] for panel in picture(summary)]
    for figure in drawn:
        layout = figure["layout"]
        texts += [
            layout[key]["title"]["text"] for key in layout if isinstance(layout[key], dict) and "title" in layout[key]
        ]
    own = {"refusals", "passes"}  # of the run's own metric and checker
    assert [text for text in texts if text and not said_in_chinese(text) and text not in own] == []


def test_no_key_hides_another() -> None:
    """The first that fits counts, so none may come before one that says more."""
    keys = [key for key in catalogue("zh") if "{}" in key]
    for place, key in enumerate(keys):
        filled = key.replace("{}", "M2")
        first = next(k for k in keys if re.fullmatch(".*?".join(map(re.escape, k.split("{}"))), filled))
        assert first == key, f"{first!r} at {keys.index(first)} hides {key!r} at {place}"


def test_what_was_filled_in_stays_and_english_is_untouched() -> None:
    text = "By your own code (passes), M2 is at 54% (49–60%), +14.2 (10.0 to 18.4) points against M1, clear of 0."
    assert words("en")(text) == text
    assert (
        chinese(text)
        == "按您自己的代码（passes），M2 为 54% (49–60%)，比 M1 变化 +14.2 (10.0 to 18.4) 个百分点，区间不含 0。"
    )
    assert chinese("Use M2: M2 is better than M1 by checker.") == "请用 M2：按“检验代码”，M2 优于 M1。"
    warned = "2 warnings, the first: M2: trained on 3 preference pairs, fewer than 20."
    assert chinese(warned).startswith("2 条警告，第一条：M2：只用")
    assert chinese("M2 against M1") == "M2 对 M1"
    rate = "M2 against M1: win rate 75% (70–81%), ties as half, by the scores of both: "
    rate += "the judge (M2 itself) prefers M2, clear of 50%."
    said = "M2 对 M1：胜率 75% (70–81%)，平局算一半，按双方的分数：评判者（M2 自己）偏好 M2，明显偏离 50%。"
    assert chinese(rate) == said
    assert chinese("Use M2: the only trained model that was evaluated.") == "请用 M2：唯一评测过的训练所得模型。"
    assert chinese("nothing of ours {} <b>") == "nothing of ours {} <b>"


def test_the_config_chooses_the_language_of_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine", checked=True)
    config = run / "config.yaml"
    assert '<html lang="en">' in render(run)
    config.write_text(config.read_text().replace("language: en\ntracking", "language: zh\ntracking"))
    page = render(run)
    assert '<html lang="zh">' in page
    assert "<h2>警告</h2>" in page
    assert "<h2>Warnings</h2>" not in page
    assert "各模型的评判分数" in page
    assert "\\u5206\\u6570" in page or "分数" in page
