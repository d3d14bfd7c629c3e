"""Lines and samples for a terminal or a log file: they fit its width and break at words; no control characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from judgeloop.report.metrics import value_in_words, versus_in_words
from judgeloop.report.wording import judge_name, number
from judgeloop.run.samples import Answer, Samples
from judgeloop.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_MAX_WIDTH = 100  # columns of a sample; longer lines are hard to read
_MIN_WIDTH = 20
_CHARACTERS, _LINES = 360, 8  # of a text in a sample
_LABEL = 16  # columns


def say(console: Console, text: str, *, lead: str = "", style: str = "", width: int | None = None) -> None:
    """Print a text, each further line indented to where it begins after its `lead` ("  chosen 4.53  "). `width`:
    columns, if not all that the console has."""
    from rich.cells import cell_len
    from rich.text import Text

    first = printable(lead)
    room = max(_MIN_WIDTH, (width or console.width) - cell_len(first))
    for paragraph in printable(text).split("\n"):
        for line in Text(paragraph).wrap(console, room) or [Text()]:
            whole = Text.assemble((first, "dim"), (line.plain.rstrip(), style))
            whole.rstrip()
            console.print(whole, soft_wrap=True)
            first = " " * cell_len(first)


def print_samples(console: Console, model: str, found: Samples) -> None:
    """What was measured, if anything was; a title and the samples, each with its prompt, its responses and what is said
    of them."""
    title, width = found.title, min(console.width, _MAX_WIDTH)
    if found.judge is not None:
        scale = f" from {found.scale[0]} to {found.scale[1]}" if found.scale is not None else ""
        title += f"; scored{scale} by {judge_name(found.judge, model)}"
    if found.measured:
        console.print()
        for metric in found.measured:
            say(console, _measured(metric), lead=f"{model}  ", style="bold", width=width)
    console.print()
    say(console, title, style="bold", width=width)
    for sample in found.samples:
        console.print()
        say(console, clipped(sample.prompt), lead=f"  {'prompt':<{_LABEL}}", width=width)
        for answer in sample.answers:
            say(console, clipped(answer.text), lead=f"  {_labelled(answer):<{_LABEL}}", width=width)
            if answer.measures:
                said = "   ".join(_verdict(*each) for each in answer.measures.items())
                say(console, said, lead=" " * (_LABEL + 2), width=width)
    console.print()


def _measured(metric: Mapping[str, Any]) -> str:
    """ "mean score: 3.10 (2.90–3.30); -0.20 (-0.40 to 0.00) vs M1"."""
    versus = versus_in_words(metric)
    if versus is None:
        said = value_in_words(metric)
    elif metric["versus"]["value"] == metric["value"]:  # a comparison, and nothing besides
        said = versus
    else:
        said = f"{value_in_words(metric)}; {versus}"
    return f"{metric['label']}: {said}"


def _labelled(answer: Answer) -> str:
    if not answer.judged:
        return answer.label
    return f"{answer.label} {number(answer.score)}"


def _verdict(measure: str, value: float) -> str:
    """A measure of the user's own code: ✓ for 1 and ✗ for 0, which is what True and False count as."""
    return f"{'✓' if value else '✗'} {measure}" if value in (0, 1) else f"{measure} {number(value)}"


def clipped(text: str, characters: int = _CHARACTERS, lines: int = _LINES) -> str:
    """A text's beginning, if it is long, and how much is left out."""
    whole = printable(text).strip()
    kept = "\n".join(whole.split("\n")[:lines])[:characters]
    if len(kept) == len(whole):
        return whole or "(empty)"
    words = kept.rsplit(None, 1)
    inside = not whole[len(kept)].isspace() and not kept[-1].isspace()
    if inside and len(words) == 2 and len(words[1]) < 30:  # else a language without spaces, or one long word
        kept = words[0]
    return f"{kept.rstrip()} … ({len(whole) - len(kept.rstrip()):,} more characters)"
