import json
import math
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

from judgeloop.config import LoraSection, TrainSection
from judgeloop.errors import InputError, StageFailed
from judgeloop.jsonl import read_rows
from judgeloop.models.chat import Chat
from judgeloop.records import PreferencePair, TrainedPair
from judgeloop.training.data import EQUAL, PairExample, pair_examples
from judgeloop.training.pair_trainer import PairTrainer, columns
from judgeloop.training.preference import train_preference
from judgeloop.training.summary import TrainingSummary
from judgeloop.training.trainer import Reporter, private_tokenizer

from .cases import PEFT_WARNS, assert_same_change, make_pair, token_logps

BETA = 0.1


class Run:
    """One training run of the tiny model: its summary and what it reported."""

    def __init__(self, pairs: list[PreferencePair], initial: Path, output: Path, chat: Chat, **keys: Any) -> None:
        reference = keys.pop("reference", initial)
        token_ids = keys.pop("token_ids", {})
        seed = keys.pop("seed", 0)
        eft, ift = keys.pop("eft", ()), keys.pop("ift", ())
        imitate = keys.pop("imitate", None)
        settings = {"precision": "f32", "batch_size": 4, "micro_batch_size": 2, "learning_rate": 1e-3, **keys}
        self.metrics: list[dict[str, float]] = []
        self.progress: list[tuple[int, int]] = []
        self.output = output
        self.summary: TrainingSummary = train_preference(
            pairs,
            initial=initial,
            reference=reference,
            output=output,
            chat=chat,
            token_ids=token_ids,
            config=TrainSection(**settings),
            seed=seed,
            threads=None,
            on_progress=lambda done, total: self.progress.append((done, total)),
            on_metrics=self.metrics.append,
            eft=eft,
            ift=ift,
            imitate=imitate,
        )

    def weights(self) -> dict[str, torch.Tensor]:
        return dict(load_file(self.output / "model.safetensors"))


def summed(folder: Path, example: PairExample) -> tuple[float, float]:
    """Log-probability of the chosen and of the rejected response, worked out the plain way."""
    chosen = sum(token_logps(folder, example.prompt_ids, example.chosen_ids))
    return chosen, sum(token_logps(folder, example.prompt_ids, example.rejected_ids))


def own_trainer(examples: list[PairExample], folder: Path, tmp_path: Path, chat: Chat, kind: type = PairTrainer) -> Any:
    arguments = DPOConfig(
        output_dir=str(tmp_path / "scratch"),
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        dataloader_pin_memory=False,
        report_to="none",
        max_length=None,
        beta=BETA,
        precompute_ref_log_probs=True,
    )
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    rows = Dataset.from_list([columns(example) for example in examples])
    return kind(model, args=arguments, train_dataset=rows, processing_class=private_tokenizer(chat))


class TokenisedDPOTrainer(DPOTrainer):
    """TRL's own trainer, told only that the rows are tokenised and that the reference is known."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=PEFT_WARNS)])
def test_the_first_loss_is_ln_2(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat, precision: str, method: str
) -> None:
    run = Run(pairs, model_folder, tmp_path / "out", chat, precision=precision, method=method, nll_weight=0.5)
    tolerance = 1e-5  # in bf16 too: the same shapes, so the same rounding
    assert run.summary.first_loss == pytest.approx(math.log(2), abs=tolerance)
    first = run.metrics[0]
    assert first["dpo_loss"] == first["preference_loss"] == run.summary.first_loss
    assert first["reward_margin"] == pytest.approx(0, abs=2 * tolerance)
    assert first["loss"] == pytest.approx(first["dpo_loss"] + 0.5 * first["chosen_nll"], abs=1e-4)


@pytest.mark.parametrize("micro", [1, 3])
def test_the_nll_is_that_of_the_pairs_to_imitate(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat, micro: int
) -> None:
    few = pairs[:3]
    keys = {"batch_size": 3, "micro_batch_size": micro, "nll_weight": 2.0}
    run = Run(few, model_folder, tmp_path / "out", chat, imitate={few[1].id}, **keys)
    examples = {e.id: e for e in pair_examples(few, chat, 1000, {}).examples}
    chosen = examples[few[1].id]
    nll = -summed(model_folder, chosen)[0] / len(chosen.chosen_ids)
    assert run.metrics[0]["loss"] == pytest.approx(math.log(2) + 2.0 * nll / 3, abs=1e-4)
    every = Run(few, model_folder, tmp_path / "every", chat, imitate={pair.id for pair in few}, **keys)
    plain = Run(few, model_folder, tmp_path / "plain", chat, **keys)
    assert every.metrics == plain.metrics
    assert every.metrics[0]["loss"] > run.metrics[0]["loss"]


def test_dropout_of_the_model_is_off(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    shutil.copytree(model_folder, tmp_path / "dropping")
    config = json.loads((tmp_path / "dropping" / "config.json").read_text())
    (tmp_path / "dropping" / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.5}))
    run = Run(pairs, tmp_path / "dropping", tmp_path / "out", chat)
    assert run.summary.first_loss == pytest.approx(math.log(2), abs=1e-5)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["attention_dropout"] == 0.5


@PEFT_WARNS
@pytest.mark.parametrize("method", ["full", "lora"])
def test_dropout_is_the_policys_alone(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat, method: str
) -> None:
    keys = {"dropout": 0.3, "batch_size": 8, "method": method}
    run = Run(pairs, model_folder, tmp_path / "out" / "model", chat, **keys)
    plain = Run(pairs, model_folder, tmp_path / "plain" / "model", chat, **{**keys, "dropout": 0.0})
    assert abs(run.summary.first_loss - math.log(2)) > 1e-4
    sums = [json.loads((tmp_path / name / "reference.json").read_text())["sums"] for name in ("out", "plain")]
    for mine, others in zip(*sums, strict=True):  # with dropout no token tree: float32 rounds at other places
        assert mine == pytest.approx(others, abs=1e-3)
    again = Run(pairs, model_folder, tmp_path / "again" / "model", chat, **keys)
    assert again.summary.first_loss == run.summary.first_loss
    assert plain.summary.first_loss == pytest.approx(math.log(2), abs=1e-5)


@pytest.mark.usefixtures("smooth_steps")
@pytest.mark.parametrize("micro", [1, 8])
def test_a_step_by_tokens_is_the_step_of_the_same_pairs(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat, micro: int
) -> None:
    """One step of all pairs: by their number, and by their tokens."""
    tokens = sum(example.tokens for example in pair_examples(pairs, chat, 1000, {}).examples)
    keys: dict[str, Any] = {"epochs": 2, "warmup": 0.0}
    by_rows = Run(pairs, model_folder, tmp_path / "rows" / "model", chat, batch_size=len(pairs), **keys)
    by_tokens = Run(
        pairs, model_folder, tmp_path / "tokens" / "model", chat, tokens_per_step=tokens, micro_batch_size=micro, **keys
    )
    assert by_tokens.summary.steps == by_rows.summary.steps == 2
    assert by_tokens.summary.first_loss == pytest.approx(math.log(2), abs=1e-5)
    assert by_tokens.summary.last_loss == pytest.approx(by_rows.summary.last_loss, abs=1e-4)
    assert_same_change(by_tokens.output, by_rows.output, model_folder)


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=PEFT_WARNS)])
def test_another_reference_is_really_used(
    pairs: list[PreferencePair], model_folder: Path, other_folder: Path, tmp_path: Path, chat: Chat, method: str
) -> None:
    run = Run(
        pairs, model_folder, tmp_path / "out", chat, reference=other_folder, method=method, batch_size=8, beta=BETA
    )
    examples = pair_examples(pairs, chat, 1000, {}).examples
    expected = []
    for example in examples:
        policy, reference = summed(model_folder, example), summed(other_folder, example)
        margin = (policy[0] - reference[0]) - (policy[1] - reference[1])
        expected.append(math.log1p(math.exp(-BETA * margin)))
    assert abs(statistics.mean(expected) - math.log(2)) > 0.02
    assert run.summary.first_loss == pytest.approx(statistics.mean(expected), abs=1e-4)
    chosen = statistics.mean(summed(model_folder, example)[0] for example in examples)
    assert run.metrics[0]["chosen_logps"] == pytest.approx(chosen, abs=1e-3)


def test_the_loss_is_trls_own_on_the_same_batch(
    pairs: list[PreferencePair],
    model_folder: Path,
    other_folder: Path,
    tmp_path: Path,
    chat: Chat,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "1")  # TRL reports nothing home then
    examples = pair_examples(pairs, chat, 1000, {}).examples
    ours = own_trainer(examples, model_folder, tmp_path, chat)
    theirs = own_trainer(examples, model_folder, tmp_path, chat, TokenisedDPOTrainer)
    reference = own_trainer(examples, other_folder, tmp_path, chat).train_dataset
    batch = ours.data_collator(list(reference))
    loss, expected = ours.compute_loss(ours.model, batch), theirs.compute_loss(theirs.model, batch)
    assert abs(expected.item() - math.log(2)) > 0.02
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    for (name, found), (_, wanted) in zip(ours.model.named_parameters(), theirs.model.named_parameters(), strict=True):
        torch.testing.assert_close(
            found.grad, wanted.grad, atol=1e-4, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_response_tokens_are_marked_and_a_truncated_answer_is_not_closed(
    model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    ids = {"c-0-best": [20, 21, chat.close_id], "c-0-worst": [30, 31, 32, 33]}
    examples = pair_examples([make_pair(0)], chat, 1000, ids).examples
    trainer = own_trainer(examples, model_folder, tmp_path, chat)
    batch = trainer.data_collator(list(trainer.train_dataset))
    start = len(examples[0].prompt_ids)
    chosen, rejected = batch["input_ids"].tolist()
    assert chosen[start : start + 3] == [20, 21, chat.close_id]
    assert rejected[start:] == [30, 31, 32, 33]
    assert batch["completion_mask"].tolist() == [[0] * start + [1, 1, 1, 0], [0] * start + [1, 1, 1, 1]]
    scored = trainer.log_probs(trainer.model, batch) != 0
    assert scored.tolist() == [[bool(mark) for mark in row[1:]] for row in batch["completion_mask"].tolist()]


def test_the_reference_stays_in_memory_in_the_rows_order(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    examples = pair_examples(pairs, chat, 1000, {}).examples
    trainer = own_trainer(examples, model_folder, tmp_path, chat)
    assert trainer.train_dataset.cache_files == []
    assert trainer.ref_model is None
    for row, example in zip(trainer.train_dataset, examples, strict=True):
        assert row["chosen_ids"] == example.chosen_ids
        assert [row["ref_chosen_logps"], row["ref_rejected_logps"]] == pytest.approx(
            summed(model_folder, example), abs=1e-3
        )


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=PEFT_WARNS)])
def test_training_raises_the_margin_and_reports_every_step(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat, method: str
) -> None:
    keys = {"learning_rate": 1e-2, "lora": LoraSection(rank=8)} if method == "lora" else {}
    same = make_pair(9, chosen="same", rejected="same")
    run = Run([*pairs, same], model_folder, tmp_path / "out", chat, epochs=3, method=method, **keys)
    summary = run.summary
    assert run.metrics[-1]["reward_margin"] > 0.3
    assert run.metrics[-1]["reward_accuracy"] == 1
    assert summary.last_loss < summary.first_loss - 0.1
    assert (summary.rows, summary.dropped, summary.steps, summary.responses_from_text) == (6, {EQUAL: 1}, 6, 12)
    assert run.progress == [(step, 6) for step in range(7)]
    assert {"dpo_loss", "chosen_nll", "chosen_logps", "rejected_logps", "grad_norm", "learning_rate"} <= set(
        run.metrics[0]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "finished.json", "out", "reference.json", "train.steps.jsonl",
    ]  # fmt: skip
    examples = pair_examples(pairs, chat, 1000, {}).examples
    gains = []
    for example in examples:
        before, after = summed(model_folder, example), summed(tmp_path / "out", example)
        gains.append((after[0] - after[1]) - (before[0] - before[1]))
    assert min(gains) > 0


@pytest.mark.usefixtures("smooth_steps")
def test_accumulation_changes_nothing(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    """Six pairs in batches of four: the second batch is short."""
    whole, parts = (
        Run(pairs, model_folder, tmp_path / str(micro), chat, micro_batch_size=micro, nll_weight=1.0, epochs=2)
        for micro in (4, 1)
    )
    for found, expected in zip(parts.metrics, whole.metrics, strict=True):
        for name in ("loss", "dpo_loss", "reward_margin", "chosen_logps", "grad_norm"):
            assert found[name] == pytest.approx(expected[name], abs=1e-3, rel=1e-3), name
    assert_same_change(parts.output, whole.output, model_folder)


def test_every_epoch_sees_every_pair_in_an_order_of_its_own(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    run = Run(
        pairs, model_folder, tmp_path / "out", chat, epochs=2, batch_size=1, micro_batch_size=1, learning_rate=1e-30
    )
    seen = [round(values["chosen_logps"] + values["rejected_logps"], 2) for values in run.metrics]
    expected = [
        round(sum(summed(model_folder, example)), 2) for example in pair_examples(pairs, chat, 1000, {}).examples
    ]
    assert sorted(seen[:6]) == pytest.approx(sorted(expected), abs=0.02)
    assert sorted(seen[6:]) == pytest.approx(sorted(expected), abs=0.02)
    assert seen[:6] != seen[6:]
    assert all(values["dpo_loss"] == pytest.approx(math.log(2), abs=1e-5) for values in run.metrics)


@pytest.mark.parametrize("by_tokens", [False, True])
def test_the_steps_of_each_pair_are_those_it_was_trained_in(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat, by_tokens: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Compared with the ids that the trainer was given, in two and a half epochs of short last batches."""
    seen: list[tuple[int, list[int]]] = []
    own_step = PairTrainer.own_step

    def looked_at(self: Any, model: Any, inputs: dict[str, Any], items: float) -> Any:
        count = len(inputs["input_ids"]) // 2
        for ids, mask in zip(inputs["input_ids"][:count], inputs["attention_mask"][:count], strict=True):
            seen.append((self.state.global_step + 1, ids[mask == 1].tolist()))
        return own_step(self, model, inputs, items)

    monkeypatch.setattr(PairTrainer, "own_step", looked_at)
    longest = max(example.tokens for example in pair_examples(pairs, chat, 1000, {}).examples)
    size = {"tokens_per_step": longest} if by_tokens else {"batch_size": 4, "micro_batch_size": 2}
    same = make_pair(9, chosen="same", rejected="same")
    run = Run([*pairs, same], model_folder, tmp_path / "out", chat, epochs=2.5, **size)
    written = {row.id: row.steps for row in read_rows(tmp_path / "train.steps.jsonl", TrainedPair)}
    assert same.id not in written
    expected: dict[str, list[int]] = {}
    for example in pair_examples(pairs, chat, 1000, {}).examples:
        ids = [*example.prompt_ids, *example.chosen_ids]
        expected[example.id] = [step for step, given in seen if given == ids]
    assert written == expected
    assert max(step for steps in written.values() for step in steps) == run.summary.steps


def test_the_seed_decides_the_weights(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    first, again, other = (
        Run(pairs, model_folder, tmp_path / str(i), chat, seed=seed).weights() for i, seed in enumerate((5, 5, 7))
    )
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert any(not torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_no_pair_left_names_the_key_to_change(model_folder: Path, tmp_path: Path, chat: Chat) -> None:
    with pytest.raises(InputError, match=r"no preference pair left of 1 .*too long.*train\.max_length"):
        Run([make_pair(0)], model_folder, tmp_path / "out", chat, max_length=8)


def test_a_diverging_run_stops_and_leaves_no_model(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat
) -> None:
    with pytest.raises(StageFailed, match=r"became (nan|inf).*lower the learning rate"):
        Run(pairs, model_folder, tmp_path / "out", chat, learning_rate=1e30, epochs=4)
    assert not (tmp_path / "out").exists()


def test_a_gradient_that_is_no_number_stops_the_run() -> None:
    class State:
        global_step = 3

    reporter = Reporter(lambda done, total: None, lambda values: None, "loss")
    reporter.on_log(None, State, None, {"loss": 0.5, "grad_norm": 1.0})
    with pytest.raises(StageFailed, match="gradient became nan at step 3"):
        reporter.on_log(None, State, None, {"loss": 0.5, "grad_norm": math.nan})
    assert reporter.losses == [0.5]
