from judgeloop.judging.mean_scores import mean_scores
from judgeloop.records import Judgement


def judgement(name: str, k: int, score: float | None) -> Judgement:
    return Judgement(f"{name}.j{k}", name, k, "", score, None if score is not None else "no score line")


def test_means_leave_missing_scores_out() -> None:
    rows = [judgement("a", 0, 4.0), judgement("a", 1, None), judgement("a", 2, 1.0), judgement("b", 0, None)]
    assert mean_scores(rows) == {"a": 2.5, "b": None}
    assert mean_scores(rows, min_valid=2) == {"a": 2.5, "b": None}
    assert mean_scores(rows, min_valid=3) == {"a": None, "b": None}
    assert mean_scores([judgement("a", 0, 0.0)]) == {"a": 0.0}
    assert mean_scores(reversed(rows)) == {"a": 2.5, "b": None}
