import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

from judgeloop.config import LoraSection, SftSection
from judgeloop.errors import InputError, StageFailed
from judgeloop.models.chat import Chat
from judgeloop.records import SupervisedRow
from judgeloop.training.data import TOO_LONG, sft_examples
from judgeloop.training.packs import collate, pack
from judgeloop.training.sft import train_sft
from judgeloop.training.summary import TrainingSummary

from .cases import PEFT_WARNS, assert_same_change, make_row, token_logps


class Run:
    """One training run of the tiny model: its summary and what it reported."""

    def __init__(self, rows: list[SupervisedRow], initial: Path, output: Path, chat: Chat, **keys: Any) -> None:
        seed, alone = keys.pop("seed", 0), keys.pop("score_alone", None)
        settings = {"precision": "f32", "batch_size": 4, "micro_batch_size": 2, "learning_rate": 1e-3, **keys}
        self.metrics: list[dict[str, float]] = []
        self.progress: list[tuple[int, int]] = []
        self.output = output
        self.summary: TrainingSummary = train_sft(
            rows,
            initial=initial,
            output=output,
            chat=chat,
            config=SftSection(**settings),
            seed=seed,
            threads=None,
            on_progress=lambda done, total: self.progress.append((done, total)),
            on_metrics=self.metrics.append,
            score_alone=alone,
        )

    def weights(self) -> dict[str, torch.Tensor]:
        return dict(load_file(self.output / "model.safetensors"))


def test_labels_stand_on_the_response_and_nowhere_else(chat: Chat) -> None:
    (example,) = sft_examples([make_row(0, "Paris.")], chat, 100).examples
    batch = collate([pack([example], "row").columns()], pad_id=0)
    assert batch["input_ids"].tolist() == [example.prompt_ids + example.target_ids]
    labels = batch["labels"][0].tolist()
    assert labels[: len(example.prompt_ids)] == [-100] * len(example.prompt_ids)
    assert labels[len(example.prompt_ids) :] == [*chat.text_ids("Paris."), chat.close_id]


@pytest.mark.parametrize("weighting", ["row", "token"])
def test_the_first_loss_is_the_one_worked_by_hand(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat, weighting: str
) -> None:
    run = Run(rows, model_folder, tmp_path / "out", chat, batch_size=8, micro_batch_size=2, weighting=weighting)
    nll = [
        [-value for value in token_logps(model_folder, example.prompt_ids, example.target_ids)]
        for example in sft_examples(rows, chat, 1000).examples
    ]
    by_row = statistics.mean(statistics.mean(values) for values in nll)
    by_token = statistics.mean(value for values in nll for value in values)
    assert abs(by_row - by_token) > 0.01
    assert run.summary.first_loss == pytest.approx(by_row if weighting == "row" else by_token, abs=1e-4)


@pytest.mark.usefixtures("smooth_steps")
@pytest.mark.parametrize("weighting", ["row", "token"])
def test_a_step_by_tokens_is_the_step_of_the_same_rows(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat, weighting: str
) -> None:
    tokens = sum(example.tokens for example in sft_examples(rows, chat, 1000).examples)
    keys: dict[str, Any] = {"weighting": weighting, "warmup": 0.0}
    by_rows = Run(rows, model_folder, tmp_path / "rows", chat, batch_size=len(rows), **keys)
    by_tokens = Run(rows, model_folder, tmp_path / "tokens", chat, tokens_per_step=tokens, **keys)
    assert by_tokens.summary.steps == by_rows.summary.steps == 1
    assert by_tokens.summary.first_loss == pytest.approx(by_rows.summary.first_loss, abs=1e-5)
    assert_same_change(by_tokens.output, by_rows.output, model_folder)
    several = Run(rows, model_folder, tmp_path / "several", chat, tokens_per_step=tokens // 3, epochs=2, **keys)
    assert several.summary.steps >= 6
    assert several.summary.tokens == 2 * tokens


def test_the_learning_rate_falls_as_the_schedule_says(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    keys: dict[str, Any] = {"batch_size": 1, "micro_batch_size": 1, "warmup": 0.4, "lr_min": 0.2}
    rates = {}
    for schedule in ("cosine", "linear"):
        run = Run(rows[:5], model_folder, tmp_path / schedule, chat, schedule=schedule, **keys)
        rates[schedule] = [row["learning_rate"] / 1e-3 for row in run.metrics]
    third = 0.8 / 3
    assert rates["linear"] == pytest.approx([0.5, 1.0, 1 - third, 1 - 2 * third, 0.2])
    assert rates["cosine"] == pytest.approx([0.5, 1.0, 0.8, 0.4, 0.2])


@pytest.mark.usefixtures("smooth_steps")
@pytest.mark.parametrize("weighting", ["row", "token"])
def test_accumulation_changes_nothing(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat, weighting: str
) -> None:
    """Seven rows in batches of four: the second batch, and at two at once its last micro-batch, is short."""
    runs = [
        Run(rows, model_folder, tmp_path / f"out{micro}", chat, micro_batch_size=micro, weighting=weighting)
        for micro in (4, 2, 1)
    ]
    for run in runs[1:]:
        for found, expected in zip(run.metrics, runs[0].metrics, strict=True):
            assert found["loss"] == pytest.approx(expected["loss"], abs=2e-5)
        assert_same_change(run.output, runs[0].output, model_folder)


def test_token_weighted_loss_is_trls_own(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")  # TRL reports nothing home then
    ours = Run(rows, model_folder, tmp_path / "out", chat, batch_size=8, micro_batch_size=8, weighting="token")
    examples = sft_examples(rows, chat, 1000).examples
    labels = [[-100] * len(e.prompt_ids) + e.target_ids for e in examples]
    dataset = Dataset.from_dict({"input_ids": [e.prompt_ids + e.target_ids for e in examples], "labels": labels})
    arguments = SFTConfig(
        output_dir=str(tmp_path / "trl"),
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        dataloader_pin_memory=False,
        report_to="none",
        max_length=None,
    )
    model = AutoModelForCausalLM.from_pretrained(str(model_folder), dtype=torch.float32)
    trl = SFTTrainer(model, args=arguments, train_dataset=dataset, processing_class=chat.tokenizer)
    expected = trl.compute_loss(trl.model, trl.data_collator(list(dataset)))
    assert ours.summary.first_loss == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=PEFT_WARNS)])
def test_training_lowers_the_loss_and_reports_every_step(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat, method: str
) -> None:
    keys = {"learning_rate": 1e-2, "lora": LoraSection(rank=8)} if method == "lora" else {}
    run = Run([*rows, make_row(9, "x " * 900)], model_folder, tmp_path / "out", chat, epochs=3, method=method, **keys)
    summary = run.summary
    assert summary.last_loss < summary.first_loss - 0.3
    assert (summary.rows, summary.dropped, summary.steps) == (7, {TOO_LONG: 1}, 6)
    assert summary.first_loss == run.metrics[0]["loss"]
    examples = sft_examples(rows, chat, 1000).examples
    assert summary.tokens == 3 * sum(example.tokens for example in examples)
    assert summary.target_tokens == 3 * sum(len(example.target_ids) for example in examples)
    assert (summary.precision, summary.seconds > 0, summary.peak_memory_mib > 50) == ("f32", True, True)
    assert summary.as_dict()["steps"] == 6
    assert run.progress == [(step, 6) for step in range(7)]
    assert [values["step"] for values in run.metrics] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "grad_norm", "learning_rate"} <= set(run.metrics[0])
    assert not [path for path in tmp_path.rglob("*") if "checkpoint" in path.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["finished.json", "out"]
    loaded = AutoModelForCausalLM.from_pretrained(str(tmp_path / "out"))
    assert torch.isfinite(loaded(input_ids=torch.tensor([[1, 2, 3]])).logits).all()


def test_the_seed_decides_the_weights(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    first, again, other = (
        Run(rows, model_folder, tmp_path / str(i), chat, seed=seed).weights() for i, seed in enumerate((5, 5, 6))
    )
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert any(not torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_bf16_autocast_keeps_float32_weights(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    half = Run(rows, model_folder, tmp_path / "half", chat, precision="bf16", batch_size=8)
    full = Run(rows, model_folder, tmp_path / "full", chat, precision="f32", batch_size=8)
    assert half.summary.first_loss == pytest.approx(full.summary.first_loss, abs=0.05)
    assert half.summary.first_loss != full.summary.first_loss
    assert {tensor.dtype for tensor in half.weights().values()} == {torch.float32}


def test_nan_stops_and_leaves_no_model(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    with pytest.raises(StageFailed, match=r"became (nan|inf)"):
        Run(rows, model_folder, tmp_path / "out", chat, learning_rate=1e30, epochs=4)
    assert not (tmp_path / "out").exists()


def test_nothing_to_train_on_is_the_users_to_mend(model_folder: Path, tmp_path: Path, chat: Chat) -> None:
    with pytest.raises(InputError, match=r"no row left to train on of 2 .*too long.*raise sft.max_length"):
        Run([make_row(0), make_row(1, "")], model_folder, tmp_path / "out", chat, max_length=5)


def test_a_model_is_never_written_over(
    rows: list[SupervisedRow], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(StageFailed, match="already exists"):
        Run(rows, model_folder, tmp_path / "out", chat)
    assert not list((tmp_path / "out").iterdir())


def test_frozen_embeddings_stay_and_all_else_learns(model_folder: Path, tmp_path: Path, chat: Chat) -> None:
    rows = [make_row(number) for number in range(4)]
    run = Run(rows, model_folder, tmp_path / "run", chat, freeze_embeddings=True, adam_beta2=0.9)
    before, after = dict(load_file(model_folder / "model.safetensors")), run.weights()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == before.keys() - {"model.embed_tokens.weight"}


def test_the_first_layers_stay_and_the_others_learn(model_folder: Path, tmp_path: Path, chat: Chat) -> None:
    rows = [make_row(number) for number in range(4)]
    run = Run(rows, model_folder, tmp_path / "run", chat, freeze_embeddings=True, freeze_layers=1, adam_beta2=0.9)
    before, after = dict(load_file(model_folder / "model.safetensors")), run.weights()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    stayed = {name for name in before if name.startswith("model.layers.0.")}
    assert stayed
    assert changed == before.keys() - stayed - {"model.embed_tokens.weight"}
    with pytest.raises(InputError, match=r"freeze_layers is 99, and the model in .* has \d+ layers"):
        Run(rows, model_folder, tmp_path / "all", chat, freeze_layers=99)
