"""The table of preference losses: values worked by hand, gradients, which keys go with which, and that it is light."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

import judgeloop
from judgeloop.config import CringeSection, TrainSection
from judgeloop.config.choices import LOSSES
from judgeloop.errors import InputError
from judgeloop.training.losses import LogRatios, PairTerms, PreferenceLoss, as_loss

BETA = 0.5
TABLE = sorted(LOSSES)
# Before the first step these do not pull the chosen response up and the rejected one down: apo_down takes both down;
# discopop is not monotonic, and at Δ = 0 its slope points the other way; sft_best never sees the rejected response, and
# of Cringe the rejected one is pulled down through its tokens.
OTHERWISE = {"apo_down", "discopop", "sft_best", "cringe"}


def terms_of(chosen: torch.Tensor, rejected: torch.Tensor) -> PairTerms:
    """Pairs with these log-ratios, of 4 and 2 tokens; the mean token NLL 1.5 and the mean token loss 0.8."""
    one = torch.ones_like(chosen).detach()
    return PairTerms(chosen - 10, rejected - 7, -10 * one, -7 * one, 4 * one, 2 * one, 1.5 * one, 0.8 * one)


def value_of(name: str, chosen: torch.Tensor, rejected: torch.Tensor, smoothing: float = 0.1) -> torch.Tensor:
    section = TrainSection(beta=BETA, cringe=CringeSection(weight=0.5, bias=1.0, temperature=4.0))
    found: torch.Tensor = LOSSES[name].compute(terms_of(chosen, rejected), section, smoothing)[0]
    return found


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


# Log-ratios 2 and −4 at β = 0.5: rewards 1 and −2, βΔ = 3; per token 0.5 and −2, so Δ̄ = 2.5. Smoothing ε = 0.1.
BY_HAND = {
    "dpo": -0.9 * log_sigmoid(3) - 0.1 * log_sigmoid(-3),
    "robust": (-0.9 * log_sigmoid(3) + 0.1 * log_sigmoid(-3)) / 0.8,
    "hinge": 0.0,
    "ipo": (2.5 - 1) ** 2,
    "sigmoid_norm": -log_sigmoid(1.25),
    "exo_pair": sigmoid(3) * (log_sigmoid(3) - math.log(0.9)) + sigmoid(-3) * (log_sigmoid(-3) - math.log(0.1)),
    "nca_pair": -log_sigmoid(1) - 0.5 * log_sigmoid(-1) - 0.5 * log_sigmoid(2),
    "bco_pair": -log_sigmoid(1) - log_sigmoid(2),
    "sppo_hard": (2 - 1) ** 2 + (-4 + 1) ** 2,
    "apo_zero": 1 - sigmoid(1) + sigmoid(-2),
    "apo_down": sigmoid(1) + 1 - sigmoid(3),
    "sft_best": 1.5,
    # log π(chosen) = −8, log π(rejected) = −11: the margin is 3, the gate σ((1 − 3) / 4).
    "cringe": 1.5 + 0.5 * sigmoid(-0.5) * 0.8,
    "discopop": -log_sigmoid(3) * (1 - sigmoid(60)) + math.exp(-3) * sigmoid(60),
}


def double(*values: float, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.double, requires_grad=grad)


@pytest.mark.parametrize(
    ("keys", "by_hand"),
    [
        ({"gate": "contrast"}, 1.5 + 0.5 * sigmoid(-0.5) * 0.8),
        ({"gate": "pair"}, sigmoid(-0.5) * (1.5 + 0.5 * 0.8)),
        ({"gate": "pair", "pairwise": False}, 1.5 + 0.5 * 0.8),
        ({"gate": "pair", "bias": -1e6}, 0.0),
        ({"gate": "contrast", "bias": -1e6}, 1.5),
    ],
)
def test_what_the_gate_of_cringe_multiplies(keys: dict[str, Any], by_hand: float) -> None:
    section = TrainSection(cringe=CringeSection(**{"weight": 0.5, "bias": 1.0, "temperature": 4.0, **keys}))
    (value,) = LOSSES["cringe"].compute(terms_of(double(2.0), double(-4.0)), section, 0.0)[0].tolist()
    assert value == pytest.approx(by_hand, abs=1e-9)


def test_every_loss_is_worked_by_hand() -> None:
    assert sorted(BY_HAND) == TABLE


@pytest.mark.parametrize("name", TABLE)
def test_values_by_hand(name: str) -> None:
    (value,) = value_of(name, double(2.0), double(-4.0)).tolist()
    assert value == pytest.approx(BY_HAND[name], abs=1e-9)


@pytest.mark.parametrize("name", [name for name in TABLE if LOSSES[name].reference])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    # Away from the hinge's corner (βΔ = 1).
    chosen, rejected = double(0.3, -1.1, 0.8, grad=True), double(-0.4, 0.2, 1.7, grad=True)
    assert gradcheck(lambda one, other: value_of(name, one, other), (chosen, rejected))


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 0.5])
def test_dpo_begins_at_ln_2(smoothing: float) -> None:
    (value,) = value_of("dpo", double(0.0), double(0.0), smoothing).tolist()
    assert value == pytest.approx(math.log(2))


def test_dpo_gradient_by_hand() -> None:
    chosen, rejected = double(2.0, grad=True), double(-3.0, grad=True)
    value_of("dpo", chosen, rejected, smoothing=0.0).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    # d/dc −log σ(βΔ) = −β σ(−βΔ), equation 7's weight; the rejected side has the opposite sign.
    assert chosen.grad.item() == pytest.approx(-BETA * sigmoid(-2.5))
    assert rejected.grad.item() == pytest.approx(BETA * sigmoid(-2.5))


@pytest.mark.parametrize("name", [name for name in TABLE if name not in OTHERWISE])
def test_each_loss_pulls_chosen_up_and_rejected_down_at_the_start(name: str) -> None:
    chosen, rejected = double(0.0, grad=True), double(0.0, grad=True)
    value_of(name, chosen, rejected).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.item() < 0 < rejected.grad.item()


@pytest.mark.parametrize("name", TABLE)
def test_every_loss_has_its_row_in_the_docs(name: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "training.md"
    equations = page.read_text(encoding="utf-8").split("Modifiers:")[0]
    assert equations.count(f"| `{name}` |") == 1


@pytest.mark.parametrize("name", TABLE)
def test_a_loss_is_called_in_the_table_what_it_calls_itself(name: str) -> None:
    loss: PreferenceLoss = LOSSES[name]
    assert (loss.name, loss.metric) == (name, f"{name}_loss")
    _, logged = loss.compute(terms_of(double(0.0, 1.0), double(0.0, 0.0)), TrainSection(), 0.1)
    assert {"chosen_nll", "chosen_logps"} <= logged.keys()
    assert ("rejected_logps" in logged) == loss.rejected
    assert ("reward_margin" in logged) == loss.reference
    assert ("chosen_change" in logged) == ("reward_accuracy" in logged)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"loss": "exo_pair"}, "exo_pair needs label_smoothing above 0"),
        ({"loss": "hinge", "label_smoothing": 0.1}, "label_smoothing is for dpo, robust and exo_pair, not hinge"),
        ({"loss": "sft_best", "label_smoothing": 0.1}, "label_smoothing is for dpo, robust and exo_pair, not sft_best"),
        ({"nll_share": 0.5}, "nll_weight imitates the chosen, and nll_weight is 0; leave it 1"),
        ({"loss": "cringe", "nll_weight": 1.0, "nll_share": 0.5}, "and cringe takes no nll_weight; leave it 1"),
        ({"loss": "cringe", "ld_alpha": 0.5}, "ld_alpha changes log-ratios, and cringe has none"),
        ({"loss": "sft_best", "ld_alpha": 0.5}, "ld_alpha changes log-ratios, and sft_best has none"),
        ({"loss": "ipo", "consistency": True}, "consistency sets label_smoothing itself, for dpo"),
        ({"consistency": True, "label_smoothing": 0.1}, "consistency sets label_smoothing itself, for dpo"),
    ],
)
def test_modifiers_that_do_not_fit_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainSection(**keys)


def test_a_bare_function_is_a_loss_of_log_ratios() -> None:
    def mine(ratios: LogRatios, beta: float, _smoothing: float) -> torch.Tensor:
        return (1 - beta * ratios.margin) ** 2

    loss = as_loss("mine", mine)
    assert (loss.name, loss.reference, loss.smoothing) == ("mine", True, "never")
    (value,) = loss.compute(terms_of(double(2.0), double(-4.0)), TrainSection(beta=BETA), 0.0)[0].tolist()
    assert value == pytest.approx(4.0)
    assert as_loss("again", loss).metric == "again_loss"
    with pytest.raises(ValueError, match=r"label_smoothing is for .*, not mine"):
        loss.check(TrainSection(label_smoothing=0.1))


@pytest.mark.parametrize("thing", [3, lambda ratios: ratios.margin])
def test_what_is_no_loss_is_refused_by_its_name(thing: object) -> None:
    with pytest.raises(InputError, match=r"train\.loss: 'mine' is registered, but not as a loss"):
        as_loss("mine", thing)
    with pytest.raises(InputError, match="'eft' would be logged as eft_loss, as replayed rows are"):
        as_loss("eft", LOSSES["dpo"])


def test_asking_which_keys_go_with_a_loss_loads_no_torch() -> None:
    code = (
        "import sys\nfrom judgeloop.config import TrainSection\nfrom judgeloop.config.choices import LOSSES\n"
        "for name in LOSSES: TrainSection(loss=name, label_smoothing=0.1 * (LOSSES[name].smoothing == 'required'))\n"
        "print(len(list(LOSSES)), sorted({'torch', 'trl', 'transformers', 'numpy'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(judgeloop.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == f"{len(TABLE)} []\n", done.stderr
