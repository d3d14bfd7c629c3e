"""Make M1 by SFT and M_{t+1} by preference training, with the lineage written down before the model counts as made."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from judgeloop.config import Config, SftSection, TrainSection
from judgeloop.errors import InputError
from judgeloop.instructions.backtranslation.training_rows import training_rows
from judgeloop.jsonl import RowLog, read_objects
from judgeloop.judging.pointwise import taught_score
from judgeloop.judging.rubric import load_rubric
from judgeloop.judging.score_distribution import option_problems
from judgeloop.pairs import best_chosen
from judgeloop.records import Candidate, PreferencePair, SupervisedRow
from judgeloop.run.directory import drop_metrics
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.run.seals import sealed
from judgeloop.run.stage import Artifact, Change, Frozen, Stage
from judgeloop.stages import costs
from judgeloop.stages.checkpoint_judge import checkpoint_judge
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.keys import ENGINE, of
from judgeloop.stages.models import Model
from judgeloop.stages.no_pairs import no_pairs
from judgeloop.training import distributed
from judgeloop.training.finished import FINISHED

if TYPE_CHECKING:
    from judgeloop.training.data import ScoreAlone


def sft(context: Context) -> Outcome:
    """M1 = SFT of M0 on the IFT and EFT rows, and on those that backtranslation made where the config says so."""
    ift, eft = context.rows("ift", SupervisedRow), context.rows("eft", SupervisedRow)
    if context.has("backtranslated"):
        more = context.rows("backtranslated", SupervisedRow)
        ift = training_rows(ift, more, context.config.backtranslation)
    return fine_tune(context, [*ift, *eft], context.config.sft)


def fine_tune(context: Context, rows: Sequence[SupervisedRow], section: SftSection) -> Outcome:
    """SFT of the policy on the rows, into the step's weights, with train.json beside them."""
    from judgeloop.training.sft import train_sft

    policy = context.model("policy")
    chat = policy.chat()
    judged = any(row.kind == "eft" for row in rows)
    if judged:
        rubric = load_rubric(context.config.judge.rubric, context.config.judge.language)
        if problems := option_problems(chat, rubric.score_line, [str(score) for score in rubric.scores]):
            raise InputError(f"judge.rubric: {policy.name} cannot judge by '{rubric.name}': {problems[0]}")
    with _Metrics(context) as metrics:
        summary = train_sft(
            rows,
            initial=policy.folder,
            output=_partial(context),
            chat=chat,
            config=section,
            seed=context.config.seed,
            threads=context.config.threads,
            on_progress=metrics.progress,
            on_metrics=metrics.append,
            score_alone=score_alone(context.config) if judged else None,
            trust_remote_code=context.config.trust_remote_code,
        )
    return _settle(context, summary.as_dict())


def score_alone(config: Config) -> ScoreAlone | None:
    """How the loss of EFT rows finds their score, if `sft.eft_loss` is for that alone."""
    from judgeloop.training.data import ScoreAlone

    if config.sft.eft_loss != "score":
        return None
    rubric = load_rubric(config.judge.rubric, config.judge.language)
    return ScoreAlone(partial(taught_score, rubric), rubric.scores)


def train(context: Context) -> Outcome:
    """M_{t+1} = preference training initialised from M_t, with M_t as the reference, whatever was restarted before."""
    from judgeloop.training.preference import train_preference

    policy, reference = context.model("policy"), context.model("reference")
    answers, judgements = context.rows("pairs", PreferencePair), context.rows("judge_pairs", PreferencePair)
    rows = [*answers, *judgements]
    if not rows:
        raise InputError(no_pairs(context))
    solved = context.rows("solved", SupervisedRow)
    used = {name for row in rows for name in (row.chosen_id, row.rejected_id)} | {row.id for row in solved}
    candidates, anchors = context.rows("candidates", Candidate), context.rows("anchors", Candidate)
    ours = candidates if _another_tokenizer(context) else [*candidates, *anchors]
    section = context.config.train
    with _Metrics(context) as metrics:
        summary = train_preference(
            rows,
            initial=policy.folder,
            reference=reference.folder,
            output=_partial(context),
            chat=policy.chat(),
            token_ids={
                row.id: row.token_ids
                for row in ours
                if row.id in used and (row.thought is None or context.config.train_thoughts)
            },
            cut_off={row.id for row in (*candidates, *anchors) if row.finish_reason == "length"},
            config=section,
            seed=context.config.seed,
            threads=context.config.threads,
            on_progress=metrics.progress,
            on_metrics=metrics.append,
            eft=context.rows("eft", SupervisedRow),
            ift=context.rows("ift", SupervisedRow),
            refresh=context.rows("refresh", SupervisedRow),
            solved=solved,
            score_alone=score_alone(context.config),
            smoothing=context.json("consistency")["smoothing"] if context.has("consistency") else None,
            imitate=to_imitate(section, answers, judgements),
            judge_checkpoint=checkpoint_judge(context),
            trust_remote_code=context.config.trust_remote_code,
        )
    return _settle(context, summary.as_dict())


def to_imitate(
    section: TrainSection, answers: Sequence[PreferencePair], judgements: Sequence[PreferencePair] = ()
) -> set[str] | None:
    """The pairs whose chosen side is imitated, None for all: `nll_share` of those of answers. Pairs of judgements have
    scores of another kind and are imitated as before."""
    if section.nll_share == 1 or not answers:
        return None
    return {pair.id for pair in (*best_chosen(answers, section.nll_share), *judgements)}


def _another_tokenizer(context: Context) -> bool:
    """Whether the anchors' token ids are those of a user's model: its vocabulary may be another, where they would mean
    other words. Such answers are tokenised from their text."""
    if not context.has("anchors"):
        return False
    (anchors,) = context.step.given["anchors"]
    return isinstance(anchors, Artifact) and isinstance(context.run.steps[anchors.step].given["anchor"][0], Frozen)


def _home(context: Context) -> Path:
    """The folder that the model's folder is in."""
    return context.run.weights(context.step).parent


def _partial(context: Context) -> Path:
    """Where a training writes until it is complete; what an attempt before left there is no use to anyone."""
    path = _home(context) / "model.partial"
    path.parent.mkdir(parents=True, exist_ok=True)
    if distributed.is_main():
        path.with_name(FINISHED).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
    return path


def _settle(context: Context, summary: Mapping[str, Any]) -> Outcome:
    """Write train.json, then move the finished model to its place."""
    if not distributed.is_main():
        return Outcome({})
    final = context.run.weights(context.step)
    partial = final.with_name("model.partial")
    reference = context.model("reference") if context.has("reference") else None
    record = {
        "name": Model.made(context.run, context.step).name,
        "initial": context.model("policy").identity,
        "reference": reference.identity if reference is not None else None,
        **sealed(partial),
        **summary,
        **_chosen_change(context),
    }
    write_json(final.with_name("train.json"), record)
    shutil.rmtree(final, ignore_errors=True)  # of an attempt that left no record of it, or another one
    shutil.rmtree(final.with_name("engine"), ignore_errors=True)
    partial.rename(final)
    return _tidied(final, record)


def _chosen_change(context: Context) -> dict[str, float]:
    """What training did to the likelihood of the chosen answers, log π/π_ref in nats a response: the mean over the last
    quarter of the steps that are in metrics.jsonl. Empty for a loss without reference. DPO may lower both sides, the
    rejected more; a model whose chosen answers became unlikely writes others."""
    path, step = context.run.path / "metrics.jsonl", context.step
    with RowLog(path):  # a torn last line is cut off
        rows = [row for _, row in read_objects(path)]
    mine = [row for row in rows if (row.get("model"), row.get("stage")) == (step.model, step.label)]
    values = [float(row["chosen_change"]) for row in mine if "chosen_change" in row]
    last = values[-max(1, len(values) // 4) :]
    return {"chosen_change": round(sum(last) / len(last), 4)} if last else {}


def _tidied(final: Path, record: Mapping[str, Any]) -> Outcome:
    """Remove what served the training; `checkpoints` are still there if a kill came before they were removed."""
    shutil.rmtree(final.with_name("checkpoints"), ignore_errors=True)
    final.with_name(FINISHED).unlink(missing_ok=True)
    return Outcome({"rows": record["rows"]})


def recover(context: Context) -> Outcome | None:
    """The model of a training that was killed after its last step: in its place already, or still to be put there."""
    final = context.run.weights(context.step)
    record, trained = final.with_name("train.json"), final.with_name(FINISHED)
    if record.exists() and final.is_dir():
        said = read_json(record, needs=("rows",))
        if {**said, **sealed(final)} == said:
            return _tidied(final, said)
    if trained.exists() and final.with_name("model.partial").is_dir():
        return _settle(context, read_json(trained))
    return None


class _Metrics:
    """Rows of metrics.jsonl for one training; those of an attempt that did not finish are taken out first."""

    def __init__(self, context: Context) -> None:
        self._context = context
        step = context.step
        self._note = ""
        self._log: RowLog | None = None
        if distributed.is_main():
            drop_metrics(context.run.path, {(step.model, step.label)})
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
        self._log.append([{"model": step.model, "stage": step.label, **values}])
        if "loss" in values:
            self._note = f"loss {values['loss']:.3f}"

    def progress(self, done: int, total: int) -> None:
        if distributed.is_main():
            self._context.progress(done, total, self._note)


def _sft_keys(config: Config) -> tuple[str, ...]:
    """Backtranslated rows matter only if they are trained on."""
    section = config.backtranslation
    used = section.texts and section.train != "nothing"
    rows = of("backtranslation", "train", "language", "seed_system_prompt") if used else ()
    return ("seed", "sft", *rows, *_score_keys(config))


def _score_keys(config: Config) -> tuple[str, ...]:
    """What says where the score of an EFT row is."""
    return of("judge", "rubric", "language") if config.sft.eft_loss == "score" else ()


def _train_keys(config: Config) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("seed", "train", "train_thoughts")
    if config.train.eft_replay or config.judge.refresh.enabled:
        keys += ("sft.eft_loss", *_score_keys(config))
    if config.train.early_stopping.every is not None:
        keys += (*of("evaluation", "prompts", "count", "sampling"), "seed_data.near_duplicate")
        keys += (*of("judge", "language", "min_mass"), *ENGINE)
    return keys


TRAINED = ("model", "train.json", "engine", "model.partial", FINISHED, "checkpoints", "adapter")
FOREIGN_ANCHORS = Change(
    "anchors from text",
    "the answers of a user's model in pairs.anchor are tokenised by the trained model's tokenizer",
    lambda config: not re.fullmatch(r"current|previous|M\d+", config.pairs.anchor or "current"),
)
SFT = Stage(
    "sft",
    "supervised fine-tuning",
    run=sft,
    cost=costs.sft,
    reads=("policy", "ift", "eft"),
    may_read=("backtranslated",),
    writes=TRAINED,
    keys=_sft_keys,
    gives="policy",
    trains="sft",
    weights="model",
    recover=recover,
)
TRAIN = Stage(
    "train",
    "preference training",
    run=train,
    cost=costs.train,
    reads=("policy", "reference", "pairs", "candidates"),
    may_read=("anchors", "judge_pairs", "consistency", "eft", "ift", "refresh", "solved", "held_out"),
    writes=(*TRAINED, "reference.json", "train.steps.jsonl"),
    keys=_train_keys,
    gives="policy",
    trains="train",
    weights="model",
    recover=recover,
    changes=(FOREIGN_ANCHORS,),
)
PROVISIONAL = Stage(
    "provisional",
    "a provisional next model",
    run=train,
    cost=costs.train,
    reads=TRAIN.reads,
    may_read=TRAIN.may_read,
    writes=("provisional", "provisional/train.json"),
    keys=_train_keys,
    trains="train",
    weights="provisional/model",
    recover=recover,
    changes=TRAIN.changes,
)
