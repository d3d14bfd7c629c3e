from judgeloop.judging.reasons import grouped


def test_reasons_that_differ_in_a_number_are_one_reason() -> None:
    given = ["A and B have 3% of the probability", None, "A and B have 11% of the probability", "no verdict line",
             "A and B have 5% of the probability", "score 7 outside 0-5", "score 6.5 outside 0-5"]  # fmt: skip
    assert grouped(given) == {
        "A and B have 3–11% of the probability": 3,
        "score 6.5–7 outside 0-5": 2,
        "no verdict line": 1,
    }
    assert grouped(["scores have 4% of the probability"] * 2) == {"scores have 4% of the probability": 2}
    assert grouped([]) == {}
