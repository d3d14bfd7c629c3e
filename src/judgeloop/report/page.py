"""The report: one HTML file with everything in it, readable offline and safe to open whatever the model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from judgeloop import __version__
from judgeloop.jsonl import write_text_atomically
from judgeloop.report.concerns import headline, length_growth
from judgeloop.report.creation import creation_samples, diversity_table, without_samples
from judgeloop.report.equal_length import WORDS, flagged, one_sided, overlap
from judgeloop.report.falls import evaluated_before
from judgeloop.report.figures import AGREEMENT_LABELS, figures
from judgeloop.report.language import LANGUAGES, Words, words
from judgeloop.report.metrics import further_metrics, value_in_words, versus_in_words
from judgeloop.report.plotting import Figure
from judgeloop.report.reading import RunFiles
from judgeloop.report.samples import pair_samples
from judgeloop.report.summary import listed, summary_of, with_damage, write_summary
from judgeloop.report.truth import truth_table
from judgeloop.report.verdict import picture, verdict
from judgeloop.report.wording import NOTHING, duration, interval, number, percent, points, ranks_in_words


def write_reports(run: Path) -> Path:
    """Write `RUN/summary.json` and `RUN/report.html` from what the run directory holds, finished or not, and return the
    page's path.

    Raises InputError if `run` is not a run directory.
    """
    files = RunFiles(run)
    summary = summary_of(files)
    write_summary(files, summary)
    target = run / "report.html"
    write_text_atomically(target, _page(files, summary))
    return target


def render(run: Path) -> str:
    """The whole page as text."""
    files = RunFiles(run)
    return _page(files, summary_of(files))


def _page(files: RunFiles, summary: dict[str, Any]) -> str:
    """Model text is escaped by jinja2, data inside scripts by its `tojson`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    config_text = files.text("config.yaml")
    models = summary["models"]
    drawn = figures(models, list(files.rows("metrics.jsonl")), files.section("train").get("loss"))
    samples = {name: pair_samples(files, name) for name in files.models()}
    evaluations = {name: files.json(f"{name}/eval.json") or {} for name in files.models()}
    base_model = _base_model(files)
    summary = with_damage(summary, files)
    said = verdict(summary)
    language = str(files.section("report").get("language", "en"))
    translated = words(language if language in LANGUAGES else "en")

    environment = Environment(
        loader=PackageLoader("judgeloop.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "interval": interval, "percent": percent, "points": points, "number": number, "duration": duration,
        "words": _words,
    }  # fmt: skip
    return environment.get_template("template.html.j2").render(
        title=files.path.resolve().name,
        version=files.run.get("judgeloop", __version__),
        started=files.run.get("started"),
        seed=files.run.get("seed"),
        base_model=base_model,
        summary=summary,
        models=models,
        listed=listed(models),
        verdict=said,
        headline=[sentence for sentence in headline(summary) if sentence not in said],
        panels=picture(summary),
        path=files.path,
        language=language,
        t=translated,
        times=_times(models),
        opened=next((name for name in reversed(list(samples)) if samples[name]), None),
        growth={m["name"]: length_growth(m, p) for m, p in zip(models, evaluated_before(models), strict=True)},
        further=further_metrics(models),
        flagged=flagged,
        one_sided=one_sided,
        overlap=overlap,
        overlap_words=WORDS,
        ranks_in_words=ranks_in_words,
        value_in_words=value_in_words,
        versus_in_words=versus_in_words,
        agreement_labels=AGREEMENT_LABELS,
        diversity=diversity_table(models),
        truth=truth_table(models),
        creation=creation_samples(files),
        backtranslation=_single_accounts(files, "backtranslation"),
        accounts={kind: _account_table(models, kind) for kind in ("seed", "prompts", "pairs", "refresh", "solved")},
        samples=samples,
        evaluations=evaluations,
        figures=[_worded(figure, translated) for figure in drawn],
        config_text=config_text,
        plotly_js=plotly_js(),
    )


def plotly_js() -> str:
    """The library that draws the plots, with scatter plots and bars alone. It is ours, not the model's, and holds no
    closing script tag (a test looks)."""
    return (resources("judgeloop.report") / "vendor" / "plotly-basic.min.js").read_text(encoding="utf-8")


def _worded(figure: Figure, translated: Words) -> Figure:
    """A figure with the titles of its axes and the names of its curves translated; its own are in the page."""
    layout = {
        key: {**part, "title": {"text": translated(part["title"]["text"])}}
        if isinstance(part, dict) and isinstance(part.get("title"), dict) else part
        for key, part in figure["layout"].items()
    }  # fmt: skip
    data = [{**trace, "name": translated(trace["name"])} if "name" in trace else trace for trace in figure["data"]]
    return {**figure, "layout": layout, "data": data}


def _times(models: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Seconds of each stage by model and together, and of all stages: `{"columns", "rows": [(title, [seconds])]}`."""
    timed = [model for model in models if model["seconds"]]
    titles = {stage: title for model in timed for stage, title in model["stage_titles"].items()}
    if not titles:
        return None
    rows = [(title, [model["seconds"].get(stage) for model in timed]) for stage, title in titles.items()]
    rows.append(("all stages", [sum(model["seconds"].values()) for model in timed]))
    return {
        "columns": [model["name"] for model in timed],
        "rows": [(title, [*values, sum(value or 0 for value in values)]) for title, values in rows],
    }


def _base_model(files: RunFiles) -> str | None:
    """M0 as the config names it, else as its own record does."""
    named = files.config().get("model")
    if named:
        return str(named)
    base = files.json("M0/model.json") or {}
    return str(base["path"]) if base.get("path") else None


def _account_table(models: Sequence[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """Accounts of one kind side by side: `{"columns": models, "rows": [(label, [value per model])]}`, None if none."""
    columns = [(m["name"], _flat(m["accounts"][kind])) for m in models if m["accounts"][kind] is not None]
    if not columns:
        return None
    labels = list(dict.fromkeys(label for _, values in columns for label in values))
    return {
        "columns": [name for name, _ in columns],
        "rows": [(label, [values.get(label) for _, values in columns]) for label in labels],
    }


def _single_accounts(files: RunFiles, kind: str) -> dict[str, Any] | None:
    """The account `kind`.json of the models that have one, as a table."""
    found = [(name, files.json(f"{name}/{kind}.json")) for name in files.models()]
    columns = [{"name": name, "accounts": {kind: account}} for name, account in found]
    return _account_table(columns, kind)


def _flat(account: dict[str, Any]) -> dict[str, str]:
    """`{"kept": 3, "dropped": {"too long": 1}}` → `{"kept": "3", "dropped: too long": "1"}`, at any depth; objects in a
    list are numbered from 1."""
    found: dict[str, str] = {}
    for key, value in without_samples(account).items():
        inner = value
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            inner = {str(number): item for number, item in enumerate(value, 1)}
        if isinstance(inner, dict):
            found |= {f"{_words(key)}: {label}": cell for label, cell in _flat(inner).items()}
        else:
            found[_words(key)] = _cell(value)
    return found


def _cell(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, list):
        return "; ".join(str(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return number(value, 0 if isinstance(value, int) else 1)


def _words(key: str) -> str:
    return key.replace("_", " ")
