"""The arms of `evidence.py`: what each changes in the config.

An arm is `main`, the config as it is, or ingredients joined by "+" (`contrast`, `contrast+refresh`) on top of `plain`,
the recipe before the second step was worked on, whatever the config has by now. A recipe stands for the arms that tell
what each of its ingredients is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TRACK = Path(__file__).resolve().parent.parent / "configs" / "verifiable" / "verifiable_track.py"
MAIN, PLAIN = "main", "plain"
CONTROLS = ("random", "imitation")


@dataclass(frozen=True, slots=True)
class Arm:
    """What differs from `plain`. `each`: iterations that do the work of one. `most`: steps it makes at most, None: as
    many as asked for."""

    what: str
    changes: Sequence[str] = ()
    each: int = 1
    most: int | None = None


_PLAIN = (
    "judge.contrast.others=0", "judge.refresh.enabled=false", "pairs.implicit=false", "pairs.max_gap=null",
    "pairs.min_rejected=null", "pairs.min_rejected_characters=null", "pairs.rejected=own", "pairs.anchor=null",
    "pairs.chosen=own", "train.nll_share=1.0", "sft.epochs=1", "sft.batch_size=6", "train.epochs=1",
    "train.learning_rate=4.0e-5", "train.nll_weight=3.0", "train.solved_replay=0",
    "sft.freeze_layers=0", "train.freeze_layers=0", "prompts.count=250", "prompts.later_counts=[]",
    "evaluation.every=1",
)  # fmt: skip
# M1 must learn to write the whole judgement: five tokens ("Score: 4", the end), of which the score is one. At five
# times the weight it counts as much against IFT and pairs as in the main arm, which learns the score's token alone.
_LIGHT = ("judge.scoring=sampled", "sft.eft_loss=all")
_WRITTEN = (*_LIGHT, "sft.eft_weight=1.5", "train.eft_weight=5.0")
INGREDIENTS: dict[str, Arm] = {
    # The second step.
    "contrast": Arm("scores set against other prompts", ["judge.contrast.others=2"]),
    "nll_half": Arm("the half of the chosen answers that score highest are imitated", ["train.nll_share=0.5"]),
    "refresh": Arm("EFT rows of the model's own answers, each iteration", ["judge.refresh.enabled=true"]),
    "rip": Arm(
        "poor prompts dropped (RIP)", ["pairs.min_rejected=2.0", "pairs.max_gap=1.5"]
    ),  # M1's answers to the old test prompts: a tenth has a worst answer below, a quarter a wider gap
    "scir": Arm("pairs that the implicit reward agrees with (SCIR)", ["pairs.implicit=true"]),
    "anchor": Arm("M1's answer is rejected if it scores lower", ["pairs.anchor=M1"]),
    "anchored": Arm("M1's worst answer is rejected always", ["pairs.anchor=M1", "pairs.rejected=anchored"]),
    "provisional": Arm("a provisional next model's answer is chosen if better", ["pairs.chosen=provisional"]),
    "temporal": Arm(
        "anchored and provisional (Temporal Self-Rewarding)",
        ["pairs.anchor=M1", "pairs.rejected=anchored", "pairs.chosen=provisional"],
    ),
    "small": Arm(
        "semi-online: five iterations of 50 prompts for one of 250", ["prompts.count=50", "evaluation.every=5"], each=5
    ),
    "two_epochs": Arm("two epochs of SFT, IFT and EFT rows", ["sft.epochs=2"]),
    "dpo_two_epochs": Arm("two epochs of DPO", ["train.epochs=2"]),
    "dpo_larger_steps": Arm(
        "its steps twice as large, less NLL", ["train.learning_rate=8.0e-5", "train.nll_weight=1.0"]
    ),
    "solved": Arm("the best answers to prompts without a pair are rehearsed", ["train.solved_replay=0.5"]),
    "more_prompts": Arm("more prompts in later iterations: 250, 400, 700", ["prompts.later_counts=[400, 700]"]),
    "batches_of_3": Arm("SFT in batches of 3", ["sft.batch_size=3"]),
    "frozen": Arm("the first ten layers stay as they are", ["sft.freeze_layers=10", "train.freeze_layers=10"]),
    # Controls and the ceiling.
    "random": Arm("control: chosen and rejected by a coin", ["pairs.control=random"]),
    "imitation": Arm("control: imitate the best, no contrast of pairs", ["train.loss=sft_best"]),
    "oracle": Arm("ceiling: pairs by the checkers", [f"judge.function={TRACK}"]),
    # The judge and the losses, one step.
    "fixed_judge": Arm("M1 judges in every iteration", ["judge.role=M1"]),
    "no_replay": Arm("no EFT rows beside the pairs", ["train.eft_replay=0"], most=1),
    "sampled": Arm("judge: 3 written scores", _WRITTEN, most=1),
    "sampled_light": Arm("the same, the score at a fifth of the weight", _LIGHT, most=1),
    "sampled_1": Arm("judge: 1 written score", [*_WRITTEN, "judge.samples=1"], most=1),
    "sampled_5": Arm("judge: 5 written scores", [*_WRITTEN, "judge.samples=5"], most=1),
    "cringe": Arm("Pairwise Cringe", ["train.loss=cringe"], most=1),
    "no_eft": Arm("no EFT rows at all", ["seed_data.eft_share=0", "train.eft_replay=0"], most=1),
    "multiple_choice": Arm("multiple-choice rubric", ["judge.rubric=multiple-choice-5-direct"], most=1),
    "few_shot": Arm("prompts written by the current model", ["prompts.source=few_shot"], most=1),
    "few_shot_m0": Arm("prompts written by M0", ["prompts.source=few_shot", "prompts.role=M0"], most=1),
    "self_instruct": Arm(
        "prompts by Self-Instruct, without outputs",
        ["prompts.source=self_instruct", "prompts.self_instruct.inputs=false", "prompts.self_instruct.outputs=false"],
        most=1,
    ),
    "unnatural": Arm(
        "prompts by Unnatural Instructions, without outputs and other wordings",
        ["prompts.source=unnatural", "prompts.unnatural.outputs=false", "prompts.unnatural.alternatives=0"],
        most=1,
    ),
    "meta": Arm(
        "a meta-judge trains the judge too (with written scores)", [*_WRITTEN, "judge.meta.enabled=true"], most=1
    ),
    "hacking": Arm(
        "what goes wrong: plain DPO, twice the step size, no NLL, no replay",
        ["train.learning_rate=8.0e-5", "train.nll_weight=0", "train.eft_replay=0"],
    ),
    "collapse": Arm(
        "what goes wrong: the same at five times the step size",
        ["train.learning_rate=2.0e-4", "train.nll_weight=0", "train.eft_replay=0"],
        most=1,
    ),
    "larger": Arm("twice the prompts, twice the candidates", ["prompts.count=600", "candidates.count=8"], most=1),
}
OLD_NAMES: Mapping[str, str] = {"best_only": "imitation"}  # in rows that were measured before


@dataclass(frozen=True, slots=True)
class Arms:
    """The arms by their names; `defined` are ingredients of the command line."""

    defined: Mapping[str, Arm] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Arm:
        """Raises KeyError, with what is known, if an ingredient is unknown or a key is given two values."""
        if name in (MAIN, PLAIN):
            return Arm("the config as it is" if name == MAIN else "the recipe before", () if name == MAIN else _PLAIN)
        known = {**INGREDIENTS, **self.defined}
        parts = name.split("+")
        if unknown := [part for part in parts if part not in known]:
            raise KeyError(f"no arm '{unknown[0]}'; there are {MAIN}, {PLAIN}, {', '.join(known)}, joined by '+'")
        mine = [known[part] for part in parts]
        most = [arm.most for arm in mine if arm.most is not None]
        return Arm(
            "; ".join(arm.what for arm in mine),
            [*_PLAIN, *(change for arm in mine for change in arm.changes)],
            max(arm.each for arm in mine),
            min(most) if most else None,
        )

    def what(self, name: str) -> str:
        """In words; of an arm that only the rows know, its name."""
        try:
            return self[name].what
        except KeyError:
            return name


def recipe_arms(recipe: str) -> list[str]:
    """The arms that tell what a recipe ("contrast+refresh") is worth: what was before, the recipe, the recipe without
    each of its ingredients, its controls, and the ceiling."""
    parts = recipe.split("+")
    without = ["+".join(p for p in parts if p != part) for part in parts] if len(parts) > 1 else []
    return [PLAIN, recipe, *without, *(f"{recipe}+{control}" for control in CONTROLS), "oracle"]


def defined(given: Sequence[Sequence[str]]) -> dict[str, Arm]:
    """Ingredients of the command line: a name and its KEY=VALUE pairs."""
    found: dict[str, Arm] = {}
    for name, *changes in given:
        if name in INGREDIENTS or name in (MAIN, PLAIN) or not changes or "+" in name:
            raise ValueError(f"--define {name}: give a new name without '+', and KEY=VALUE for what it changes")
        found[name] = Arm(", ".join(changes), changes)
    return found
