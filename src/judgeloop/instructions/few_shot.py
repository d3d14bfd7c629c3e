"""New prompts few-shot from the model itself: it is shown a numbered list of prompts and continues it.

Source: Self-Instruct (arXiv 2212.10560, §2.2 and its appendix): six demonstrations from the seed and two of the
model's own, in random order; Self-Rewarding Language Models (arXiv 2401.10020, §3.1.3) makes each iteration's new
prompts this way. Filters and novelty are theirs too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Sampling
from judgeloop.errors import InputError
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.search import Completion, Draft, Method, Shown
from judgeloop.instructions.templates import template
from judgeloop.records import Task, derive_seed
from judgeloop.text.tokens import tokens_of

LONGEST_DEMONSTRATION = 60  # words, or characters of scripts that count by characters
NEW_ITEMS = 8
_ITEM = re.compile(r"(?m)^[ \t]*(?:\**\d{1,3}[.)]\**(?:[ \t]+|$))+")


class FewShot(Method[Draft]):
    """The model is asked for a list and finds its own answer begun with the demonstrations.

    With the embedded 135M model and Open Assistant demonstrations this form keeps about half of the items; the bare
    list without a chat turn a little less, and the list in the user's turn copies demonstrations more often.
    """

    name: ClassVar[str] = "few_shot"
    whole_tasks: ClassVar[bool] = False

    def __init__(self, prompter: Prompter, seed_tasks: Sequence[Task], config: PromptsSection, gate: Gate) -> None:
        super().__init__(prompter, seed_tasks, config, gate)
        self._demonstrations = [t for t in seed_tasks if len(tokens_of(t.instruction)) <= LONGEST_DEMONSTRATION]
        self._too_long = len(seed_tasks) - len(self._demonstrations)
        if not self._demonstrations:
            raise InputError(
                f"prompts: no seed prompt is short enough to demonstrate ({LONGEST_DEMONSTRATION} words at most); "
                "bring shorter ones, or set prompts.source: file"
            )

    def show(self, number: int) -> Shown:
        seed, section = self.prompter.seed, self.config.sampling
        rng = random.Random(derive_seed(seed, self.name, "demonstrations", number))
        shown = draw_demonstrations(self._demonstrations, self.kept, self.config, rng)
        listed = demonstration_prompt([task.instruction for task in shown])
        total = listed.count("\n") + NEW_ITEMS
        order = template("judgeloop.instructions", self.name, "en").format(count=total)
        stop = (f"\n{total + 1}.",)
        sampling = Sampling(section.max_new_tokens, section.temperature, section.top_p, section.top_k, stop)
        return Shown(order, listed, sampling, tuple(shown), derive_seed(seed, self.name, "sampling", number))

    def read(self, completion: Completion) -> list[Draft]:
        return [
            Draft(Task.of(item, "", "", completion.name))
            for item in parse_completion(completion.text, completion.finished)
        ]

    def account(self) -> dict[str, Any]:
        return {"seed_prompts_too_long_to_show": self._too_long}


def draw_demonstrations(
    seed_tasks: Sequence[Task], own_tasks: Sequence[Task], config: PromptsSection, rng: random.Random
) -> list[Task]:
    """Demonstrations of a list: `config.own_demonstrations` of `own_tasks` (as many as there are), the others from the
    seed, up to `config.seed_demonstrations` + `config.own_demonstrations` in all, shuffled."""
    own = rng.sample(list(own_tasks), min(config.own_demonstrations, len(own_tasks)))
    wanted = config.seed_demonstrations + config.own_demonstrations - len(own)
    shown = own + rng.sample(list(seed_tasks), min(wanted, len(seed_tasks)))
    rng.shuffle(shown)
    return shown


def demonstration_prompt(texts: Sequence[str]) -> str:
    """A numbered list of the texts, each on one line, that ends with the next number, to be continued."""
    lines = [f"{number}. {' '.join(text.split())}" for number, text in enumerate(texts, 1)]
    return "\n".join([*lines, f"{len(lines) + 1}."])


def parse_completion(text: str, finished: bool) -> list[str]:
    """The items of a continued list. The text begins inside the first of them.

    An item is the line after its number. A completion cut off by length (`finished` False) loses its last item and
    keeps the others.
    """
    bounds = [(0, 0), *((match.start(), match.end()) for match in _ITEM.finditer(text)), (len(text), len(text))]
    pieces = [text[bounds[i][1] : bounds[i + 1][0]] for i in range(len(bounds) - 1)]
    if not finished:
        pieces = pieces[:-1]
    return [item for piece in pieces if (item := first_line(piece))]


def first_line(text: str) -> str:
    """The first line that says something, without the asterisks of bold type around it; empty if there is none."""
    line = next((line for line in text.splitlines() if line.strip()), "").strip()
    bold = re.fullmatch(r"\*\*(.+)\*\*", line)
    return bold.group(1).strip() if bold else line
