"""Make M1 by SFT and M_{t+1} by preference training, with the lineage written down before the model counts as made."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from judgeloop.records import Candidate, PreferencePair, RowLog, SupervisedRow, read_rows
from judgeloop.rundir import drop_metrics, write_json
from judgeloop.stages.context import Context, Outcome, read_anchors


def sft(context: Context) -> Outcome:
    """M1 = SFT of M0 on the IFT and EFT rows."""
    from judgeloop.training.sft import train_sft

    rows = [row for name in ("ift.jsonl", "eft.jsonl") for row in read_rows(context.folder / name, SupervisedRow)]
    with _Metrics(context) as metrics:
        summary = train_sft(
            rows,
            initial=context.weights("M0"),
            output=_partial(context),
            chat=context.chat(),
            config=context.config.sft,
            seed=context.config.seed,
            threads=context.config.threads,
            on_progress=metrics.progress,
            on_metrics=metrics.append,
            trust_remote_code=context.config.trust_remote_code,
        )
    return _settle(context, initial="M0", reference=None, summary=summary.as_dict())


def train(context: Context) -> Outcome:
    """M_{t+1} = preference training initialised from M_t, with M_t as the reference, whatever was restarted before."""
    from judgeloop.training.dpo import train_dpo

    current = context.current()
    rows = read_rows(context.folder / "pairs.jsonl", PreferencePair)
    used = {name for row in rows for name in (row.chosen_id, row.rejected_id)}
    generated = [*read_rows(context.folder / "candidates.jsonl", Candidate), *read_anchors(context.folder)]
    with _Metrics(context) as metrics:
        summary = train_dpo(
            rows,
            initial=context.weights(current),
            reference=context.weights(current),
            output=_partial(context),
            chat=context.chat(),
            token_ids={row.id: row.token_ids for row in generated if row.id in used},
            config=context.config.train,
            seed=context.config.seed,
            threads=context.config.threads,
            on_progress=metrics.progress,
            on_metrics=metrics.append,
            trust_remote_code=context.config.trust_remote_code,
        )
    return _settle(context, initial=current, reference=current, summary=summary.as_dict())


def _partial(context: Context) -> Path:
    """Where a training writes until it is complete; what an attempt before left there is no use to anyone."""
    path = context.folder / "model.partial"
    shutil.rmtree(path, ignore_errors=True)
    return path


def _settle(context: Context, initial: str, reference: str | None, summary: Mapping[str, Any]) -> Outcome:
    """Write train.json, then move the finished model to its place."""
    from judgeloop.models import content_hash

    run, folder = context.run, context.folder
    partial, final = folder / "model.partial", folder / "model"
    record = {
        "name": context.step.model,
        "initial": run.model_identity(initial),
        "reference": run.model_identity(reference) if reference is not None else None,
        "hash": content_hash(partial),
        **summary,
    }
    write_json(folder / "train.json", record)
    shutil.rmtree(final, ignore_errors=True)  # left by an attempt that was killed between here and its done-marker
    shutil.rmtree(folder / "engine", ignore_errors=True)
    partial.rename(final)
    return Outcome(("train.json",), {"rows": summary.get("rows")})


class _Metrics:
    """Rows of metrics.jsonl for one training; those of an attempt that did not finish are taken out first."""

    def __init__(self, context: Context) -> None:
        self._context = context
        step = context.step
        drop_metrics(context.run.path, {(step.model, step.stage)})
        self._log = RowLog(context.run.path / "metrics.jsonl")
        self._note = ""

    def __enter__(self) -> _Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def append(self, values: Mapping[str, float]) -> None:
        step = self._context.step
        self._log.append([{"model": step.model, "stage": step.stage, **values}])
        if "loss" in values:
            self._note = f"loss {values['loss']:.3f}"

    def progress(self, done: int, total: int) -> None:
        self._context.progress(done, total, self._note)
