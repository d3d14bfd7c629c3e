"""M_{t+1} = preference training of M_t on its pairs, with M_t as the reference. Runs in a child process."""

from __future__ import annotations

import functools
import math
import random
import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from datasets import Dataset
from trl import DPOConfig

from judgeloop.config import TrainSection
from judgeloop.config.choices import LOSSES
from judgeloop.errors import InputError
from judgeloop.jsonl import write_rows_atomically
from judgeloop.models.chat import Chat
from judgeloop.models.contents import content_hash
from judgeloop.models.hardware import require_gpu_settings
from judgeloop.records import PreferencePair, SupervisedRow, TrainedPair, derive_seed
from judgeloop.training import collectives, distributed
from judgeloop.training.arguments import choose_precision, settings_that_matter, trainer_arguments
from judgeloop.training.checkpoints import checkpoint_folder, training_key
from judgeloop.training.data import (
    EMPTY,
    EQUAL,
    TOO_LONG,
    ScoreAlone,
    TokenisedPairs,
    pair_examples,
)
from judgeloop.training.early_stopping import JudgeCheckpoint, StopByJudge
from judgeloop.training.finished import record_finished
from judgeloop.training.logprobs import plain_head
from judgeloop.training.losses import PreferenceLoss
from judgeloop.training.memory import keep_freed_memory, peak_memory_mib
from judgeloop.training.order import steps_of_rows, token_blocks
from judgeloop.training.pair_trainer import PairTrainer, columns
from judgeloop.training.reference import ReferenceCache
from judgeloop.training.replay import Beside, replays_of
from judgeloop.training.summary import TrainingSummary
from judgeloop.training.trainer import (
    Metrics,
    Progress,
    Reporter,
    fit,
    private_tokenizer,
)
from judgeloop.training.weights import (
    keeps_adapter,
    load_model,
    load_policy,
    lora_config,
    save_model,
    set_adapter_aside,
    with_dropout,
)

STEPS = "train.steps.jsonl"


def train_preference(
    pairs: Sequence[PreferencePair],
    *,
    initial: Path,
    reference: Path,
    output: Path,
    chat: Chat,
    token_ids: Mapping[str, Sequence[int]],
    config: TrainSection,
    cut_off: Collection[str] = (),
    seed: int,
    threads: int | None,
    on_progress: Progress,
    on_metrics: Metrics,
    eft: Sequence[SupervisedRow] = (),
    ift: Sequence[SupervisedRow] = (),
    refresh: Sequence[SupervisedRow] = (),
    solved: Sequence[SupervisedRow] = (),
    score_alone: ScoreAlone | None = None,
    smoothing: float | None = None,
    imitate: Collection[str] | None = None,
    judge_checkpoint: JudgeCheckpoint | None = None,
    trust_remote_code: bool = False,
) -> TrainingSummary:
    """Train the model in `initial` on the pairs against the model in `reference` and write it to `output`, which must
    not exist.

    `token_ids`: candidate id → the ids it was generated with; `cut_off`: those that did not finish, see
    `pair_examples`. `eft`, `ift`: rows for `eft_replay`, with `score_alone` as in SFT, and for `ift_replay`; `refresh`:
    EFT rows of the policy's own answers for `refresh_replay`, and `solved`, its best answers to prompts without a pair
    for `solved_replay`, each named by its candidate; none if it has none.
    `smoothing` replaces the config's label_smoothing if it was measured. `imitate`: ids of the pairs whose chosen
    response `nll_weight` is for, None for all. `on_progress(done, total)` counts steps. `on_metrics` gets each step's
    loss, grad_norm, learning_rate, the preference loss alone (preference_loss, and again under the loss's own name,
    such as dpo_loss), what the loss logs (for DPO chosen_nll, reward_margin, reward_accuracy, chosen_logps,
    rejected_logps: means over the batch, log-probabilities in nats a response), and eft_loss, ift_loss, refresh_loss
    and solved_loss of replayed rows. `judge_checkpoint` ends the training by `early_stopping`, and the last weights
    that won are written (the initial ones if none did). The reference has no dropout. Beside `output`,
    `train.steps.jsonl` says in which steps each pair was: written, though it derives from the seed, because only the
    tokenizer tells which pairs were too long and how many tokens fill a step, and whoever reads a run loads none. A
    killed training goes on from its last checkpoint beside `output`. Raises InputError if no pair (or no row to replay)
    is left, StageFailed (nothing written) if loss or gradient is not finite.
    """
    begun = time.perf_counter()
    require_gpu_settings(config)
    loss: PreferenceLoss = LOSSES[config.loss]
    data = _tokenised(pairs, chat, config, token_ids, cut_off)
    shuffled = list(data.examples)
    random.Random(derive_seed(seed, "order of pairs")).shuffle(shuffled)
    blocks = None
    if config.tokens_per_step is not None:
        blocks = token_blocks([example.tokens for example in shuffled], config.tokens_per_step)
    pairs_a_step = len(shuffled) / len(blocks) if blocks else config.batch_size
    steps = len(blocks) if blocks else math.ceil(len(shuffled) / config.batch_size)
    dropped = Counter(data.dropped)
    longer = "raise train.max_length, or "
    wanted = [
        Beside("eft", config.eft_replay, config.eft_weight, eft,
                f"set it to 0, {longer}give ranked responses in seed_data.ranked"),
        Beside("ift", config.ift_replay, config.ift_weight, ift,
                f"set it to 0, {longer}give instructions with responses in seed_data"),
        Beside("refresh", config.refresh_replay if refresh else 0, config.refresh_weight, refresh,
                f"{longer}set judge.refresh.enabled: false"),
        Beside("solved", config.solved_replay if solved else 0, config.solved_weight, solved, None, once=True),
    ]  # fmt: skip
    replays = replays_of(wanted, config.max_length, chat, score_alone, token_ids, pairs_a_step, steps, seed, dropped)
    if threads is not None:
        torch.set_num_threads(max(1, threads // distributed.local_processes()))
    collectives.join()
    precision = choose_precision(config.precision)
    keep_freed_memory()
    against = content_hash(reference)
    what = {**settings_that_matter(config), "loss": LOSSES.identity(config.loss)}  # a plugin's with its file's hash
    settings = {
        "stage": "train", "config": what, "seed": seed, "initial": content_hash(initial), "reference": against,
        "smoothing": smoothing, "precision": precision,
        **({} if imitate is None else {"imitate": sorted(imitate)}),
    }  # fmt: skip
    rows = [[e.prompt_ids, e.chosen_ids, e.rejected_ids] for e in shuffled]
    key = training_key(settings, [*rows, *([e.prompt_ids, e.target_ids] for r in replays for e in r.examples)])
    with checkpoint_folder(output, key) as folder:
        policy = load_policy(config, initial, trust_remote_code=trust_remote_code, by_layer=True)
        model = with_dropout(policy, config.dropout, "train.dropout")
        if loss.token_loss is not None and not plain_head(model):
            raise InputError(
                f"train.loss: {loss.name} needs a model whose logits are its output layer's alone, and those of "
                f"{initial} are changed after it; choose another loss"
            )
        same = reference.resolve() == initial.resolve() or not loss.reference
        arguments = trainer_arguments(config, stage="dpo", seed=seed, precision=precision, scratch=folder)
        other = functools.partial(load_model, reference, attention=config.attention, kernels=config.kernels)
        # In bf16 shards, attention and kernels round at other places; qlora's weights are of four bits.
        sharded = ", sharded" * distributed.sharded()
        form = f"ld_alpha {config.ld_alpha}{sharded}, {config.attention}, {config.kernels}, {config.method}"
        trainer = PairTrainer(
            model,
            None if same else other(trust_remote_code=trust_remote_code),
            section=config,
            replays=replays,
            cache=ReferenceCache(output.parent / "reference.json", against, form),
            smoothing=smoothing,
            blocks=blocks,
            args=DPOConfig(
                **arguments,
                beta=config.beta,
                loss_type=["sigmoid"],
                remove_unused_columns=False,  # TRL knows no column `imitated`
                precompute_ref_log_probs=True,
                disable_dropout=False,  # `with_dropout` has set it
            ),
            train_dataset=Dataset.from_list([columns(example, imitate) for example in shuffled]),
            processing_class=private_tokenizer(chat),
            peft_config=lora_config(config, model, dropout=0.0),
        )
        reporter = Reporter(on_progress, on_metrics, loss.metric)
        save = functools.partial(
            save_model, initial=initial, chat=chat, trust_remote_code=trust_remote_code, save_dtype=config.save_dtype
        )
        stopper = None
        if judge_checkpoint is not None and config.early_stopping.every is not None:

            def present(folder: Path) -> None:
                trainer.require_finite()  # it would be judged before its loss is looked at
                save(trainer.model, folder, keep_adapter=keeps_adapter(config))

            stopper = StopByJudge(config.early_stopping.every, folder, present, judge_checkpoint, on_metrics)
            trainer.add_callback(stopper)
        fit(trainer, reporter, folder)
        if stopper is None:
            save(trainer.model, output, keep_adapter=keeps_adapter(config))
        elif distributed.is_main():
            if stopper.kept is None:
                save(load_model(initial, trust_remote_code=trust_remote_code), output)
            else:
                # A copy: after a kill before the training counts as finished, the weights are still where they were.
                shutil.copytree(stopper.kept, output, ignore=shutil.ignore_patterns("engine"))
        if distributed.is_main():
            set_adapter_aside(output)
        passes = config.epochs * trainer.state.global_step / trainer.state.max_steps  # fewer if the judge ended it
        responses = sum(len(example.chosen_ids) + len(example.rejected_ids) for example in data.examples)
        summary = TrainingSummary(
            rows=len(data.examples),
            dropped=dict(dropped),
            steps=trainer.state.global_step,
            tokens=round(passes * sum(example.tokens for example in data.examples)),
            target_tokens=round(passes * responses),
            seconds=round(time.perf_counter() - begun, 3),
            first_loss=reporter.losses[0],
            last_loss=reporter.losses[-1],
            precision=precision,
            peak_memory_mib=round(peak_memory_mib(), 1),
            responses_from_text=data.from_text,
            stopped_at=stopper.stopped_at if stopper is not None else None,
            kept_step=stopper.kept_step if stopper is not None else None,
            why=stopper.why if stopper is not None else None,
            replayed=trainer.state.global_step * sum(replay.per_step for replay in replays),
        )
        if distributed.is_main():
            trained = steps_of_rows(trainer.order(), len(shuffled), trainer.state.global_step)
            rows_of_steps = [TrainedPair(e.id, steps) for e, steps in zip(shuffled, trained, strict=True)]
            write_rows_atomically(output.with_name(STEPS), rows_of_steps)
            record_finished(output, summary.as_dict())
    return summary


def _tokenised(
    pairs: Sequence[PreferencePair],
    chat: Chat,
    config: TrainSection,
    token_ids: Mapping[str, Sequence[int]],
    cut_off: Collection[str],
) -> TokenisedPairs:
    data = pair_examples(pairs, chat, config.max_length, token_ids, cut_off)
    if not data.examples:
        raise InputError(f"no preference pair left of {len(pairs)} (dropped: {data.dropped}); {_remedy(data.dropped)}")
    return data


def _remedy(dropped: Mapping[str, int]) -> str:
    """What helps against the reason for which most pairs were dropped."""
    most = max(dropped, key=dropped.__getitem__, default="")
    known = {
        TOO_LONG: "raise train.max_length, or lower candidates.sampling.max_new_tokens",
        EMPTY: "look at the answers in pairs.jsonl: one side says nothing",
        EQUAL: "raise candidates.sampling.temperature: both sides are the same tokens",
    }
    return known.get(most, "raise candidates.count or prompts.count")
