"""Make M1 by SFT and M_{t+1} by preference training, with the lineage written down before the model counts as made."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judgeloop.config import SftSection
from judgeloop.instructions.backtranslation.method import training_rows
from judgeloop.jsonl import RowLog, read_rows
from judgeloop.records import Candidate, PreferencePair, SupervisedRow
from judgeloop.run.directory import drop_metrics, read_json, write_json
from judgeloop.stages.checkpoint_judge import checkpoint_judge
from judgeloop.stages.context import Context, Outcome, read_anchors
from judgeloop.training import distributed


def sft(context: Context) -> Outcome:
    """M1 = SFT of M0 on the IFT and EFT rows, and on those that backtranslation made where the config says so."""
    ift, eft = (read_rows(context.folder / name, SupervisedRow) for name in ("ift.jsonl", "eft.jsonl"))
    section = context.config.backtranslation
    if section.texts and section.train != "nothing":
        ift = training_rows(ift, read_rows(context.folder / "backtranslated.jsonl", SupervisedRow), section)
    return fine_tune(context, [*ift, *eft], context.folder, context.config.sft)


def fine_tune(context: Context, rows: Sequence[SupervisedRow], folder: Path, section: SftSection) -> Outcome:
    """SFT of M0 on the rows, into `folder`/model, with train.json beside it."""
    from judgeloop.training.sft import train_sft

    with _Metrics(context) as metrics:
        summary = train_sft(
            rows,
            initial=context.weights("M0"),
            output=_partial(folder),
            chat=context.chat(),
            config=section,
            seed=context.config.seed,
            threads=context.config.threads,
            on_progress=metrics.progress,
            on_metrics=metrics.append,
            trust_remote_code=context.config.trust_remote_code,
        )
    return _settle(context, folder, initial="M0", reference=None, summary=summary.as_dict())


def train(context: Context) -> Outcome:
    """M_{t+1} = preference training initialised from M_t, with M_t as the reference, whatever was restarted before."""
    from judgeloop.training.preference import train_preference

    current = context.current()
    rows = read_rows(context.folder / "pairs.jsonl", PreferencePair)
    if context.config.judge.meta.enabled:
        rows += read_rows(context.folder / "judge_pairs.jsonl", PreferencePair)
    used = {name for row in rows for name in (row.chosen_id, row.rejected_id)}
    generated = [*read_rows(context.folder / "candidates.jsonl", Candidate), *read_anchors(context.folder)]
    section, seed_rows = context.config.train, context.run.folder("M1")
    eft = read_rows(seed_rows / "eft.jsonl", SupervisedRow) if section.eft_replay else []
    ift = read_rows(seed_rows / "ift.jsonl", SupervisedRow) if section.ift_replay else []
    with _Metrics(context) as metrics:
        summary = train_preference(
            rows,
            initial=context.weights(current),
            reference=context.weights(current),
            output=_partial(context.folder),
            chat=context.chat(),
            token_ids={
                row.id: row.token_ids
                for row in generated
                if row.id in used and (row.thought is None or context.config.train_thoughts)
            },
            config=section,
            seed=context.config.seed,
            threads=context.config.threads,
            on_progress=metrics.progress,
            on_metrics=metrics.append,
            eft=eft,
            ift=ift,
            eft_loss=context.config.sft.eft_loss,
            smoothing=read_json(context.folder / "consistency.json")["smoothing"] if section.consistency else None,
            judge_checkpoint=checkpoint_judge(context),
            trust_remote_code=context.config.trust_remote_code,
        )
    return _settle(context, context.folder, initial=current, reference=current, summary=summary.as_dict())


def _partial(folder: Path) -> Path:
    """Where a training writes until it is complete; what an attempt before left there is no use to anyone."""
    path = folder / "model.partial"
    if distributed.is_main():
        shutil.rmtree(path, ignore_errors=True)
    return path


def _settle(context: Context, folder: Path, initial: str, reference: str | None, summary: Mapping[str, Any]) -> Outcome:
    """Write train.json, then move the finished model to its place in `folder`."""
    from judgeloop.models.resolve import content_hash

    if not distributed.is_main():
        return Outcome((), {})
    run = context.run
    partial, final = folder / "model.partial", folder / "model"
    record = {
        "name": context.step.model if folder == context.folder else context.step.name,
        "initial": run.model_identity(initial),
        "reference": run.model_identity(reference) if reference is not None else None,
        "hash": content_hash(partial),
        **summary,
    }
    write_json(folder / "train.json", record)
    shutil.rmtree(final, ignore_errors=True)  # left by an attempt that was killed between here and its done-marker
    shutil.rmtree(folder / "engine", ignore_errors=True)
    partial.rename(final)
    return Outcome(((folder / "train.json").relative_to(context.folder).as_posix(),), {"rows": summary.get("rows")})


class _Metrics:
    """Rows of metrics.jsonl for one training; those of an attempt that did not finish are taken out first."""

    def __init__(self, context: Context) -> None:
        self._context = context
        step = context.step
        self._note = ""
        self._log: RowLog | None = None
        if distributed.is_main():
            drop_metrics(context.run.path, {(step.model, step.stage)})
            self._log = RowLog(context.run.path / "metrics.jsonl")

    def __enter__(self) -> _Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            self._log.close()

    def append(self, values: Mapping[str, float]) -> None:
        if self._log is None:
            return
        step = self._context.step
        self._log.append([{"model": step.model, "stage": step.stage, **values}])
        if "loss" in values:
            self._note = f"loss {values['loss']:.3f}"

    def progress(self, done: int, total: int) -> None:
        if distributed.is_main():
            self._context.progress(done, total, self._note)
