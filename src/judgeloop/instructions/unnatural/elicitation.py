"""Examples that elicit another one (Unnatural Instructions, arXiv 2212.09689, §2.1), field by field, so that a small
model leaves none out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import Completion, Shown
from judgeloop.instructions.unnatural.example_form import ExampleForm


def elicit_fields(prompter: Prompter, shown: Mapping[str, Shown], form: ExampleForm, step: str) -> list[Completion]:
    """The example that follows what each request shows, in their order.

    Instruction, input and constraints are asked for in turn, each after what was written before it. The text begins
    after the label of the example's instruction. A field that was cut off, or an empty instruction,
    ends its example.
    """
    texts = {name: one.text for name, one in shown.items()}
    result = dict.fromkeys(texts, ("", True))
    for field, opening, stops in (
        ("instruction", "", ("\n",)),
        ("input", f"\n{form.input}{form.colon}", (f"\n{form.constraints}", f"\n{form.output}", "\n\n")),
        ("constraints", f"\n{form.constraints}{form.colon}", ("\n",)),
    ):
        names = [name for name, (text, finished) in result.items() if finished and (text.strip() or not opening)]
        requests = []
        for name in names:
            texts[name] += opening.rstrip(" ")
            sampling = shown[name].sampling
            sampling = replace(sampling, stop_strings=(*sampling.stop_strings, *stops))
            requests.append(prompter.continuation(f"{name}.{field}", shown[name].order, texts[name], sampling, step))
        generations = prompter.generate(requests, step)
        for name in names:
            (generation,) = generations[f"{name}.{field}"]
            texts[name] += generation.text
            result[name] = (result[name][0] + opening + generation.text, generation.finish_reason == "stop")
    return [Completion(name, text, finished, shown[name]) for name, (text, finished) in result.items()]
