"""The search for new instructions, the same for every method: ask in batches, read what comes, keep what passes, count
everything, until there are enough. A search that was killed goes on with the same result.

A method says what the model is shown, how its reply is read, and what follows for an instruction (an input, an output,
other wordings). A file of your own adds one; name it in the config key `plugins`, and the method in `prompts.source`:

    @INSTRUCTION_METHODS.register("mine")
    class Mine(Method[Draft]):
        name = "mine"

        def show(self, number):
            return Shown("Ask me something.", "Question:", Sampling(64, temperature=0.8))

        def read(self, completion):
            task = Task.of(completion.text.strip(), "", "", completion.name)
            return [Draft(task, None if completion.finished else CUT_OFF)]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Sampling
from judgeloop.errors import InputError
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.prompter import Prompter
from judgeloop.instructions.yield_counts import YieldCounts
from judgeloop.records import Demonstrations, Task, request_of

BATCH = 16  # requests of a round, if the config asks for no other number, and however few rows are missing
REQUESTS_PER_ROW = 20  # unless the config sets prompts.max_requests
CUT_OFF = "cut off by length"
SURPLUS = "more than were wanted"


@dataclass(frozen=True, slots=True)
class Shown:
    """What one request shows the model: an order, and its own answer begun with `text`.

    `tasks` are the demonstrations in the text, in their order: written down with what is kept of the reply
    (`records.Demonstrations`), and at hand for a method that compares the reply with them. `seed` None: derived from
    the request's name.
    """

    order: str
    text: str
    sampling: Sampling
    tasks: tuple[Task, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote to the request `name`; `finished` False: it was cut off by length."""

    name: str
    text: str
    finished: bool
    shown: Shown


@dataclass(slots=True)
class Draft:
    """An instruction on its way to being kept. Its task's source is the name of its request, and its place in the reply
    if there are several.

    `reason` says why it is dropped, once that is known; `rows` are what is kept of it, if that is not its task alone.
    `shown` are the tasks that a later request showed the model when it made up the input of the row of this source.
    """

    task: Task
    reason: str | None = None
    rows: list[Task] = field(default_factory=list)
    shown: dict[str, Sequence[Task]] = field(default_factory=dict)


D = TypeVar("D", bound=Draft)


class Method(ABC, Generic[D]):
    """A way to have a model write instructions; one object serves one search.

    `whole_tasks`: the rows are tasks with parts (input, constraints, output), and so are the demonstrations; otherwise
    rows and demonstrations are prompts as a whole. `step` names the requests for instructions in the account.
    """

    name: ClassVar[str]
    whole_tasks: ClassVar[bool] = True
    step: ClassVar[str] = "instructions"

    def __init__(self, prompter: Prompter, seed_tasks: Sequence[Task], config: PromptsSection, gate: Gate) -> None:
        """`gate` is a fresh one that knows the seed's, earlier and evaluation prompts. Raises InputError if nothing in
        the seed can be shown."""
        self.prompter, self.seed_tasks, self.config, self.gate = prompter, seed_tasks, config, gate
        self.kept: list[Task] = []  # rows that count towards `config.count`

    @property
    def missing(self) -> int:
        """How many rows are still wanted."""
        return self.config.count - len(self.kept)

    def batch_size(self) -> int:
        """How many requests are answered before any of their rows is kept. The rows depend on it, on the seed and on
        nothing else: neither on the order in which generations finish, nor on how many engines there are, nor on where
        an attempt was killed. No more are asked than rows are missing: most would be a surplus."""
        return min(self.config.requests_per_round, max(BATCH, self.missing))

    @abstractmethod
    def show(self, number: int) -> Shown:
        """What request `number` shows; it may depend on the seed, the number and the rows kept so far, on nothing
        else."""

    def completions(self, shown: Mapping[str, Shown]) -> list[Completion]:
        """What the model writes to the requests of these names, in their order."""
        requests = [
            self.prompter.continuation(name, one.order, one.text, one.sampling, self.step, seed=one.seed)
            for name, one in shown.items()
        ]
        found = self.prompter.generate(requests, self.step)
        return [
            Completion(name, generation.text, generation.finish_reason == "stop", shown[name])
            for name, (generation,) in found.items()
        ]

    @abstractmethod
    def read(self, completion: Completion) -> Sequence[D]:
        """The instructions in one reply; one that is not usable already has its reason."""

    def follow_up(self, drafts: Sequence[D]) -> Iterator[D]:
        """Hand over all drafts of a batch, one at a time, each with its reason or its rows. Each is kept, if it may be,
        before the next is asked for, so a check made then knows of it."""
        for draft in drafts:
            draft.reason = draft.reason or self.gate.refusal(draft.task.instruction)
            yield draft

    def remember(self, row: Task) -> None:
        """A row was kept, in this attempt or an earlier one: no later one may repeat it."""
        self.gate.add(row.instruction)

    def counts(self, row: Task) -> bool:  # noqa: ARG002
        """Whether the row is one of the `config.count` that are wanted, or comes on top of them."""
        return True

    def sample(self, draft: D) -> str:
        """How the account shows the draft."""
        return draft.task.instruction

    def account(self) -> dict[str, Any]:
        """What the method counts by itself, in addition to what the search counts."""
        return {}

    def restore(self, account: Mapping[str, Any]) -> None:
        """Take up the counts of an earlier attempt."""


class Log(Protocol):
    """Where rows go (`batch_log.BatchLog`)."""

    def resume(self) -> tuple[list[Task], dict[str, Any] | None]: ...

    def append(self, rows: Sequence[Task], account: dict[str, Any], shown: Sequence[Demonstrations]) -> None: ...


def search(method: Method[Any], log: Log, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Ask the model until `prompts.count` rows are kept or `prompts.max_requests` are spent.

    The rows of each batch are appended to the log, with what their requests showed. If it holds rows of an earlier
    attempt, the search goes on after them and comes to the same result. `progress(kept, requests)` is called after each
    batch. Returns the account: source, asked (rows), got (instructions read), kept, dropped (by reason), samples,
    requests, max_requests, tokens, tokens_by_step, seconds_by_step, what the method counts, and stopped ("count
    reached" or "max_requests reached"). Fewer rows than asked for is not an error; none at all is an InputError.
    """
    state = _State(method)
    state.restore(*log.resume())
    account = state.account()
    while account["stopped"] is None:
        rows, shown = state.batch()
        account = state.account()
        log.append(rows, account, shown)
        if progress is not None:
            progress(account["kept"], account["requests"])
    if not method.kept:
        dropped = {**account["dropped"]}
        if (too_long := account.get("requests_too_long")) is not None:
            dropped["requests longer than the model's positions"] = too_long
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise InputError(
            f"prompts: no {'task' if method.whole_tasks else 'prompt'} was kept of {account['got']} from "
            f"{account['requests']} requests ({reasons or 'no instruction could be read'}); raise prompts.max_requests "
            "or prompts.max_rouge_l, or choose another prompts.source"
        )
    return account


class _State:
    """What was asked, and what became of it; the same after any resume."""

    def __init__(self, method: Method[Any]) -> None:
        self._method = method
        self._requests, self._got = 0, 0
        self._max_requests = method.config.max_requests or REQUESTS_PER_ROW * method.config.count
        self._yields = YieldCounts()

    def restore(self, rows: Sequence[Task], account: Mapping[str, Any] | None) -> None:
        for row in rows:
            if not row.source.startswith(f"{self._method.name}:"):
                raise InputError(
                    f"prompts: the row {row.id} is not from {self._method.name} (source '{row.source}'); "
                    "redo the prompts"
                )
            self._take(row)
        if account is not None:
            self._requests, self._got = account["requests"], account["got"]
            self._yields = YieldCounts(account)
            self._method.prompter.tokens.update(account["tokens_by_step"])
            self._method.prompter.seconds.update(account["seconds_by_step"])
            self._method.prompter.too_long = account.get("requests_too_long", 0)
            self._method.restore(account)

    def batch(self) -> tuple[list[Task], list[Demonstrations]]:
        """Ask the next requests; return the rows kept, and what was shown when they and their inputs were written."""
        method = self._method
        numbers = range(self._requests, min(self._requests + method.batch_size(), self._max_requests))
        shown = {f"{method.name}:{number}": method.show(number) for number in numbers}
        drafts = [draft for completion in method.completions(shown) for draft in method.read(completion)]
        self._requests += len(numbers)
        self._got += len(drafts)
        new: list[Task] = []
        for_inputs: list[Demonstrations] = []
        for draft in method.follow_up(drafts):
            if draft.reason is None and method.missing <= 0:
                draft.reason = SURPLUS
            if draft.reason is not None:
                self._yields.drop(draft.reason, method.sample(draft))
                continue
            self._yields.keep(method.sample(draft))
            for row in draft.rows or [draft.task]:
                self._take(row)
                new.append(row)
                if row.source in draft.shown:
                    for_inputs.append(_demonstrations(row.source, draft.shown[row.source]))
        asked = {request_of(row.source) for row in new}
        listed = [_demonstrations(name, one.tasks) for name, one in shown.items() if one.tasks and name in asked]
        return new, [*listed, *for_inputs]

    def _take(self, row: Task) -> None:
        if self._method.counts(row):
            self._method.kept.append(row)
        self._method.remember(row)

    def account(self) -> dict[str, Any]:
        config, prompter = self._method.config, self._method.prompter
        stopped = None
        if self._method.missing <= 0:
            stopped = "count reached"
        elif self._requests >= self._max_requests:
            stopped = "max_requests reached"
        return {
            "source": self._method.name,
            "asked": config.count,
            "got": self._got,
            **self._yields.as_account(),
            "kept": len(self._method.kept),
            **self._method.account(),
            "requests": self._requests,
            "max_requests": self._max_requests,
            "tokens": prompter.tokens.total(),
            "tokens_by_step": dict(prompter.tokens),
            "seconds_by_step": {step: round(seconds, 2) for step, seconds in prompter.seconds.items()},
            **({"requests_too_long": prompter.too_long} if prompter.too_long else {}),
            "stopped": stopped,
        }


def _demonstrations(name: str, tasks: Sequence[Task]) -> Demonstrations:
    return Demonstrations(name, [{"source": task.source, "text": task.messages()[0]["content"]} for task in tasks])
