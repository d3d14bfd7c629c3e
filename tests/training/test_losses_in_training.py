"""Each loss as the trainer computes it: against TRL's own on the same batch, and what it does to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

from judgeloop.config import CringeSection, TrainSection
from judgeloop.config.choices import LOSSES
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.records import PreferencePair
from judgeloop.training.data import pair_examples
from judgeloop.training.pair_trainer import PairTrainer, columns
from judgeloop.training.replay import Replay
from judgeloop.training.trainer import private_tokenizer

from .cases import assert_same_change, make_row, token_logps
from .test_preference import Run

# TRL computes this with its own smoothing; its "sigmoid" knows none.
SMOOTHING = {"robust": 0.1, "exo_pair": 0.05}


class TokenisedDPOTrainer(DPOTrainer):
    """TRL's own trainer, told only that the rows are tokenised and that the reference is known."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset


def trainer_of(
    kind: type, folder: Path, rows: Dataset, tmp_path: Path, chat: Chat, loss: str, keys: dict[str, Any], **own: Any
) -> Any:
    arguments = DPOConfig(
        output_dir=str(tmp_path / "scratch"),
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        dataloader_pin_memory=False,
        report_to="none",
        max_length=None,
        beta=0.3,
        loss_type=[{"dpo": "sigmoid"}.get(loss, loss)] if kind is TokenisedDPOTrainer else ["sigmoid"],
        precompute_ref_log_probs=True,
        **keys,
    )
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    return kind(model, args=arguments, train_dataset=rows, processing_class=private_tokenizer(chat), **own)


@pytest.mark.parametrize(
    ("loss", "alpha"), [*((name, None) for name in sorted(LOSSES) if LOSSES[name].reference), ("dpo", 0.4)]
)
def test_the_loss_is_trls_own_on_the_same_batch(
    pairs: list[PreferencePair],
    model_folder: Path,
    other_folder: Path,
    tmp_path: Path,
    chat: Chat,
    monkeypatch: pytest.MonkeyPatch,
    loss: str,
    alpha: float | None,
) -> None:
    monkeypatch.setenv("CI", "1")  # TRL reports nothing home then
    rows = Dataset.from_list([columns(example) for example in pair_examples(pairs, chat, 1000, {}).examples])
    smoothing = SMOOTHING.get(loss, 0.0)
    section = TrainSection(loss=loss, beta=0.3, label_smoothing=smoothing, ld_alpha=alpha)
    keys = {"label_smoothing": smoothing, "ld_alpha": alpha}
    reference = trainer_of(PairTrainer, other_folder, rows, tmp_path, chat, loss, {}, section=section).train_dataset
    ours = trainer_of(PairTrainer, model_folder, rows, tmp_path, chat, loss, {}, section=section)
    theirs = trainer_of(TokenisedDPOTrainer, model_folder, rows, tmp_path, chat, loss, keys)
    batch = ours.data_collator(list(reference))
    found, wanted = ours.compute_loss(ours.model, batch), theirs.compute_loss(theirs.model, batch)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4, abs=1e-5)
    found.backward()
    wanted.backward()
    for (name, mine), (_, other) in zip(ours.model.named_parameters(), theirs.model.named_parameters(), strict=True):
        scale = max(1.0, float(other.grad.abs().max()))
        torch.testing.assert_close(
            mine.grad, other.grad, atol=2e-4 * scale, rtol=2e-3, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("loss", ["cringe", "sft_best", "apo_zero", "dpo"])
def test_what_each_loss_does_to_the_likelihoods(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat, loss: str
) -> None:
    run = Run(pairs, model_folder, tmp_path / "out", chat, loss=loss, epochs=3, learning_rate=3e-3)
    examples = pair_examples(pairs, chat, 1000, {}).examples

    def mean(folder: Path, side: str) -> float:
        return sum(sum(token_logps(folder, e.prompt_ids, getattr(e, side))) for e in examples) / len(examples)

    before = {side: mean(model_folder, side) for side in ("chosen_ids", "rejected_ids")}
    after = {side: mean(run.output, side) for side in ("chosen_ids", "rejected_ids")}
    assert after["chosen_ids"] > before["chosen_ids"]
    assert after["chosen_ids"] - before["chosen_ids"] > after["rejected_ids"] - before["rejected_ids"]
    if loss == "cringe":
        assert after["rejected_ids"] < before["rejected_ids"]
    assert (run.output.parent / "reference.json").exists() == LOSSES[loss].reference
    assert run.summary.last_loss < run.summary.first_loss


def test_plain_cringe_has_no_gate_and_a_closed_gate_no_contrast(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    def first(name: str, **keys: Any) -> dict[str, float]:
        section = CringeSection(**keys)
        run = Run(pairs, model_folder, tmp_path / name, chat, loss="cringe", cringe=section, batch_size=6)
        return run.metrics[0]

    plain, shut = first("plain", pairwise=False, weight=0.5), first("shut", bias=-1e6)
    assert plain["gate"] == 1
    assert plain["preference_loss"] == pytest.approx(plain["chosen_nll"] + 0.5 * plain["cringe"], abs=1e-4)
    assert shut["gate"] == 0
    assert shut["preference_loss"] == pytest.approx(shut["chosen_nll"], abs=1e-5)
    assert plain["cringe"] == pytest.approx(shut["cringe"], abs=1e-5)  # the same draws
    half = first("half", gate="pair", weight=0.5, temperature=1e6)  # a gate that is half open for every pair
    assert half["gate"] == pytest.approx(0.5, abs=1e-3)
    assert half["preference_loss"] == pytest.approx(plain["preference_loss"] / 2, abs=1e-3)


@pytest.mark.usefixtures("smooth_steps")
def test_replayed_rows_add_their_mean_loss_whatever_the_micro_batch(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    rows = [make_row(index, kind="eft") for index in range(5)]
    keys = {"eft_replay": 0.4, "eft_weight": 0.7, "batch_size": 6, "epochs": 2}
    whole = Run(pairs, model_folder, tmp_path / "whole", chat, eft=rows, micro_batch_size=6, **keys)
    split = Run(pairs, model_folder, tmp_path / "split", chat, eft=rows, micro_batch_size=2, **keys)
    alone = Run(pairs, model_folder, tmp_path / "alone", chat, micro_batch_size=6, **{**keys, "eft_replay": 0.0})
    assert (whole.summary.replayed, alone.summary.replayed) == (2 * 4, 0)  # 4 of 10 rows in a batch
    first = whole.metrics[0]
    assert first["loss"] == pytest.approx(first["dpo_loss"] + 0.7 * first["eft_loss"], abs=1e-3)
    replay = Replay(_tokenised(rows, chat), 4, chat.pad_id, 0)
    expected = [
        -sum(values) / len(values)
        for row in replay.of(0)
        for values in [token_logps(model_folder, row.prompt_ids, row.target_ids)]
    ]
    assert first["eft_loss"] == pytest.approx(sum(expected) / 4, abs=1e-3)
    assert_same_change(split.output, whole.output, model_folder)
    assert whole.metrics[1]["eft_loss"] < first["eft_loss"]
    assert "eft_loss" not in alone.metrics[0]


def test_instructions_and_judgements_are_replayed_side_by_side(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    eft, ift = ([make_row(index, kind=kind) for index in range(5)] for kind in ("eft", "ift"))
    keys = {"eft_replay": 0.4, "eft_weight": 0.7, "ift_replay": 0.25, "ift_weight": 0.3, "batch_size": 6}
    run = Run(pairs, model_folder, tmp_path / "both", chat, eft=eft, ift=ift, **keys)
    assert run.summary.replayed == 4 + 2
    first = run.metrics[0]
    expected = first["dpo_loss"] + 0.7 * first["eft_loss"] + 0.3 * first["ift_loss"]
    assert first["loss"] == pytest.approx(expected, abs=1e-3)
    with pytest.raises(InputError, match=r"train\.ift_replay: no IFT row to replay of 0"):
        Run(pairs, tmp_path / "no model", tmp_path / "out", chat, ift_replay=0.2)


def _tokenised(rows: list[Any], chat: Chat) -> list[Any]:
    from judgeloop.training.data import sft_examples

    return sft_examples(rows, chat, 1000).examples


def test_replay_without_rows_is_refused_before_anything_is_loaded(
    pairs: list[PreferencePair], tmp_path: Path, chat: Chat
) -> None:
    with pytest.raises(InputError, match=r"train\.eft_replay: no EFT row to replay of 0"):
        Run(pairs, tmp_path / "no model", tmp_path / "out", chat, eft_replay=0.2)
