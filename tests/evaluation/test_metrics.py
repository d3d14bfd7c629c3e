from typing import Any

import pytest

from judgeloop.config.choices import METRICS
from judgeloop.errors import InputError
from judgeloop.evaluation.metrics import EvaluatedPrompt, Measured, Metric, metric_block, per_prompt
from judgeloop.evaluation.statistics import as_dict, mean_interval, proportion_interval


def prompts(*texts: str) -> list[EvaluatedPrompt]:
    return [
        EvaluatedPrompt([len(text)], [1], [False], [None], id=f"p{k}", texts=[text]) for k, text in enumerate(texts)
    ]


def size(prompt: EvaluatedPrompt) -> float | None:
    return len(prompt.texts[0]) or None


def short(prompt: EvaluatedPrompt) -> bool:
    return len(prompt.texts[0]) < 3


MEASURED = Measured(
    {}, prompts("a", "bbb", "", "dddd"), prompts("aa", "b", "cc", "dd"), previous_model="M1", seed=3, resamples=200
)


def test_the_mean_over_prompts_and_the_paired_differences() -> None:
    found = per_prompt("size", size).estimate(MEASURED)
    assert found.value == as_dict(mean_interval([1, 3, 4], seed=3, resamples=200))  # the third has none
    assert found.versus is not None
    assert (found.versus.model, found.versus.even) == ("M1", 0.0)
    assert found.versus.value == as_dict(mean_interval([-1, 2, 2], seed=3, resamples=200))


def test_wilson_and_own_intervals() -> None:
    found = per_prompt("short", short, interval="wilson", compare="own").estimate(MEASURED)
    assert found.value == as_dict(proportion_interval(2, 4))
    assert found.versus is None
    with pytest.raises(InputError, match="Wilson's interval needs 0 or 1"):
        per_prompt("size", size, interval="wilson").estimate(MEASURED)


def test_no_numbers_no_value() -> None:
    found = per_prompt("none", lambda prompt: None).estimate(MEASURED)
    assert (found.value, found.versus) == (None, None)


@pytest.mark.parametrize(("given", "said"), [("much", "returns 'much'"), (float("nan"), "returns nan")])
def test_what_is_no_number_is_refused(given: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"metric 'mine' {said} for the prompt p0; return a number or None"):
        per_prompt("mine", lambda prompt: given).estimate(MEASURED)


def test_each_stage_leaves_the_metrics_that_it_measures() -> None:
    rate = {"value": 0.6, "low": 0.5, "high": 0.7, "n": 60}
    duel = {"previous": "M1", "rate": rate, "by_score": None}
    evaluated = metric_block("eval", Measured({"win_rate_vs_previous": duel, "agreement": None}))
    assert list(evaluated) == ["win_rate", "score", "agreement", "ifeval", "prompt_blindness"]
    assert evaluated["win_rate"]["versus"] == {"model": "M1", "value": rate, "even": 0.5}
    assert evaluated["score"]["value"] is None
    assert list(metric_block("checks", Measured({}))) == ["checker"]


def test_the_table_of_metrics_names_what_is_there() -> None:
    assert all(isinstance(METRICS[name], Metric) for name in METRICS.builtin())
    with pytest.raises(InputError, match="there is no 'other'"):
        metric_block("eval", Measured({}), ["other"])
