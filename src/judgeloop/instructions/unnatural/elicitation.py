"""Examples that elicit another one (Unnatural Instructions, arXiv 2212.09689, §2.1): whole, as in the paper, or field
by field, so that a small model leaves none out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Sampling
from judgeloop.instructions.prompter import Asking
from judgeloop.instructions.unnatural.example_form import FORMS, shown
from judgeloop.records import Task

STEP = "examples"


def elicit(
    asking: Asking, demonstrations: Mapping[str, Sequence[Task]], config: PromptsSection
) -> dict[str, tuple[str, bool]]:
    """Name → what follows the demonstrations of that name, and whether it came to its own end.

    The text begins behind the label of the next example's instruction.
    """
    form, ask = FORMS[config.language], config.unnatural.examples
    orders = {name: form.order.format(count=len(tasks) + ask) for name, tasks in demonstrations.items()}
    texts = {name: shown(tasks, form) for name, tasks in demonstrations.items()}
    numbers = {name: len(tasks) + ask + 1 for name, tasks in demonstrations.items()}

    def go_on(names: Sequence[str], suffix: str, stops: tuple[str, ...]) -> dict[str, tuple[str, bool]]:
        requests = [
            asking.continuation(
                f"{name}{suffix}",
                orders[name],
                texts[name],
                _sampling(config, (f"\n{form.example} {numbers[name]}", *stops)),
                STEP,
            )
            for name in names
        ]
        generations = asking.generate(requests, STEP)
        found = {}
        for name in names:
            (generation,) = generations[f"{name}{suffix}"]
            found[name] = (generation.text, generation.finish_reason == "stop")
        return found

    if config.unnatural.fields == "together":
        return go_on(list(texts), "", ())
    result = dict.fromkeys(texts, ("", True))
    # A field that was cut off, or is empty where it may not be, ends its example.
    for field, opening, stops in (
        ("instruction", "", ("\n",)),
        ("input", f"\n{form.input}{form.colon}", (f"\n{form.constraints}", f"\n{form.output}", "\n\n")),
        ("constraints", f"\n{form.constraints}{form.colon}", ("\n",)),
    ):
        names = [name for name, (text, finished) in result.items() if finished and (text.strip() or not opening)]
        for name in names:
            texts[name] += opening.rstrip(" ")
        for name, (text, finished) in go_on(names, f".{field}", stops).items():
            texts[name] += text
            result[name] = (result[name][0] + opening + text, finished)
    return result


def _sampling(config: PromptsSection, stops: tuple[str, ...]) -> Sampling:
    section = config.sampling
    return Sampling(section.max_new_tokens, section.temperature, section.top_p, section.top_k, stops)
