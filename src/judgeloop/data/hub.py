"""Data sets of the Hugging Face hub: `hf:org/name`, `hf:org/name:config`, `hf:org/name@split`."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from judgeloop.data.provenance import Place
from judgeloop.data.tables import table_rows
from judgeloop.errors import InputError

_ID = re.compile(r"hf:(?P<name>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[^@:]+))?(?:@(?P<split>[^@]+))?")


@dataclass(frozen=True, slots=True)
class HubId:
    """A data set of the hub; `config` and `split` None where the id names none."""

    name: str
    config: str | None
    split: str | None

    @classmethod
    def of(cls, text: str) -> HubId:
        """Raises InputError where the text is no such id."""
        match = _ID.fullmatch(text)
        if match is None:
            raise InputError(f"{text}: is no data set id; write hf:org/name, hf:org/name:config or hf:org/name@split")
        return cls(match["name"], match["config"], match["split"])

    def at(self, split: str) -> str:
        """The id as it is written with a split."""
        return f"hf:{self.name}{f':{self.config}' if self.config else ''}@{split}"


def hub_rows(text: str) -> tuple[str, Iterator[tuple[Place, dict[str, Any]]]]:
    """What was loaded, in words, and its rows. Code that comes with a data set is never run.

    Raises InputError where the hub cannot be reached, the data set is not there, or the id leaves open which of its
    configs or splits is meant.
    """
    wanted = HubId.of(text)
    import datasets

    with _quiet(), _offline_unless_it_answers():
        try:
            split = wanted.split or _only_split(wanted, datasets.get_dataset_split_names(wanted.name, wanted.config))
            found = datasets.load_dataset(wanted.name, wanted.config, split=split)
        except InputError:
            raise
        except Exception as error:  # datasets, its builders and the HTTP client below each have errors of their own
            raise _explained(text, error) from error
    return f"hub data set, split {split}", table_rows(found.with_format("arrow").iter(1000), wanted.at(split))


def _only_split(wanted: HubId, splits: list[str]) -> str:
    if len(splits) == 1:
        return splits[0]
    names = ", ".join(wanted.at(split) for split in splits)
    raise InputError(f"hf:{wanted.name}: has {len(splits)} splits; name one: {names}")


def _explained(text: str, error: Exception) -> InputError:
    import datasets.exceptions

    if isinstance(error, datasets.exceptions.DatasetNotFoundError):
        return InputError(f"{text}: not found on the hub, or not open to you; check the id, or run 'hf auth login'")
    if isinstance(error, ConnectionError):
        return InputError(
            f"{text}: the hub cannot be reached (offline?); go online, unset HF_HUB_OFFLINE, or bring the data as files"
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = reason if len(reason) <= 300 else reason[:299] + "…"
    return InputError(f"{text}: cannot be loaded ({reason}); check config and split: hf:org/name:config@split")


@contextlib.contextmanager
def _offline_unless_it_answers() -> Iterator[None]:
    """The hub is asked once for a sign of life. If none comes, what is in the local cache is used. The libraries ask
    six times for each file, half a minute where the connection fails and six where nobody answers."""
    import datasets
    from huggingface_hub import constants, get_session

    before = datasets.config.HF_HUB_OFFLINE
    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:  # the HTTP client has errors of its own
        datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines of the libraries, which would come between the user and our one line; bars on a terminal only."""
    import datasets

    names = ("huggingface_hub", "datasets")
    levels = {name: logging.getLogger(name).level for name in names}
    bars = datasets.are_progress_bars_disabled()
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if not bars:
            datasets.enable_progress_bars()
