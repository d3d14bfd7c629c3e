"""What `judgeloop run` ends with: the table of its models, a plot, and a few preference pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from judgeloop.report.concerns import decided
from judgeloop.report.equal_length import at_equal_length
from judgeloop.report.metrics import further_metrics, headline_metrics, value_in_words
from judgeloop.report.plot import print_plot
from judgeloop.report.printing import print_samples, say
from judgeloop.report.reading import RunFiles
from judgeloop.report.samples import pair_samples
from judgeloop.report.summary import listed, summary_of, with_damage
from judgeloop.report.wording import NOTHING, interval, number, percent, points
from judgeloop.run.samples import Answer, Sample, Samples, last_turn
from judgeloop.text.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


_PAIRS = 3


def print_ending(console: Console, run: Path) -> None:
    """The table of models, a plot, example pairs of the last iteration that made some, the report's path, and what was
    decided."""
    files = RunFiles(run)
    summary = with_damage(summary_of(files), files)
    print_table(console, summary)
    print_plot(console, headline_metrics(summary["models"]))
    _print_pairs(console, files, summary)
    console.print(f"report: {printable(str(run / 'report.html'))}", markup=False, soft_wrap=True)
    for sentence in decided(summary["decision"]):
        say(console, sentence)


def print_table(console: Console, summary: dict[str, Any]) -> None:
    """`summary_table`, or where the columns are too few for it the same figures line by line."""
    from rich.measure import Measurement

    table = summary_table(summary)
    if Measurement.get(console, console.options.update(width=10_000), table).minimum <= console.width:
        console.print(table)
        return
    columns = [str(column.header).replace("\n", " ") for column in table.columns]
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        name, *values = (str(cell).replace("\n", "; ") for cell in cells)
        known = [f"{label} {value}" for label, value in zip(columns[1:], values, strict=True) if value != NOTHING]
        say(console, ", ".join(known) or NOTHING, lead=f"  {name}  ")
    if table.title or table.caption:
        say(console, "\n".join(str(said) for said in (table.title, table.caption) if said))


def _print_pairs(console: Console, files: RunFiles, summary: dict[str, Any]) -> None:
    made = [model for model in summary["models"] if model["pairs"]]
    if not made:
        return
    last = made[-1]
    pairs = []
    for pair in pair_samples(files, last["name"], _PAIRS):
        sides = [Answer(side["label"], side["text"], side["score"]) for side in pair["sides"]]
        pairs.append(Sample(last_turn(pair["prompt"]), sides))
    title = f"{last['name']}: {len(pairs)} of its {last['pairs']} preference pairs, drawn at random"
    judge = last["loop_judge"] or {}
    print_samples(console, last["name"], Samples(title, pairs, judge.get("name"), judge.get("scale")))


def summary_table(summary: dict[str, Any]) -> Table:
    """One row a model: parse rate, agreement, length, win rates against the previous model, ground truth if the
    user's own code measured it, pairs, seconds (by stage if there is room for that);
    below, a line for each further metric."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    checked = next((model["truth"] for model in summary["models"] if model["truth"]), None)
    table = Table(
        title=None if summary["complete"] else "not finished yet", header_style="bold", box=SIMPLE_HEAD,
        collapse_padding=checked is not None, pad_edge=checked is None,
    )  # fmt: skip
    table.add_column("model", no_wrap=True)
    table.add_column("parse\nrate", justify="right", no_wrap=True)
    table.add_column("agreement", justify="right", min_width=11)
    table.add_column("length", justify="right", no_wrap=True)
    table.add_column("win rate\nvs previous,\nat equal length", justify="right", min_width=12)
    if checked is not None:
        table.add_column(f"truth\n({checked['measure']})", justify="right", min_width=14)
    table.add_column("pairs", justify="right", no_wrap=True)
    if checked is None:
        table.add_column("seconds", ratio=1)
    else:
        longest = max(len(_time(model)) for model in summary["models"])
        table.add_column("time", justify="right", no_wrap=True, min_width=longest)
    further = further_metrics(summary["models"])
    if further:
        table.caption = Text("\n".join(map(_further, further)))
        table.caption_justify = "left"
    for model in listed(summary["models"]):
        versus = model["win_rate_vs_previous"] or {}
        cells = (
            model["name"],
            percent(model["judge"]["parse_rate"]),
            interval((model["agreement"] or {}).get("pairwise_ties_half")),
            number(model["length"]["mean_characters"], 0),
            _rates(versus),
            *([] if checked is None else [_truth(model["truth"])]),
            NOTHING if model["pairs"] is None else str(model["pairs"]),
            stage_seconds(model["seconds"]) if checked is None else _time(model),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _time(model: dict[str, Any]) -> str:
    return f"{sum(model['seconds'].values()):.0f} s"


def _further(metric: dict[str, Any]) -> str:
    """One line: "refusals: M1 48% (38–58%), M2 36% (26–46%)"."""
    values = ", ".join(f"{name} {value_in_words(found)}" for name, found in metric["of"].items())
    return f"{metric['label']}: {values}"


def _rates(versus: dict[str, Any]) -> str:
    """The win rate, and under it the one at equal length."""
    rate, controlled = versus.get("rate"), versus.get("length_controlled")
    found = [] if rate is None else [interval(rate, as_percent=True)]
    return "\n".join([*found, *([] if controlled is None else [at_equal_length(controlled)])]) or NOTHING


def _truth(truth: dict[str, Any] | None) -> str:
    """The headline measure, and under it its difference to the model before in percentage points."""
    if truth is None:
        return NOTHING
    value = interval(truth["value"], as_percent=True)
    if truth["difference"] is None:
        return value
    change, _, bounds = points(truth["difference"]).partition(" ")
    return f"{value}\n{change} vs {truth['previous']}\n{bounds}"


def stage_seconds(seconds: dict[str, float]) -> str:
    """`{"judge": 41.3, "train": 112.0}` → "153: judge 41, train 112"; stages of less than a second are left out."""
    if not seconds:
        return NOTHING
    parts = ", ".join(f"{stage} {value:.0f}" for stage, value in seconds.items() if value >= 1)
    total = f"{sum(seconds.values()):.0f}"
    return f"{total}: {parts}" if parts else total
