"""Why prompts gave no pair, and what helps."""

from judgeloop import pairs
from judgeloop.config import Config
from judgeloop.pair_account import REMEDIES, in_words, reasons_of, remedies


def test_every_reason_has_a_remedy_that_names_keys_there_are() -> None:
    reasons = {
        value
        for name, value in vars(pairs).items()
        if name.isupper() and isinstance(value, str) and not name.startswith("_")
    }
    assert set(REMEDIES) == reasons
    keys = [word.strip(",;:()") for text in REMEDIES.values() for word in text.split() if "." in word]
    assert keys
    for key in keys:
        if key.endswith(".json"):
            continue
        node = Config
        for part in key.split("."):
            node = node.model_fields[part].annotation
            assert node is not None, key


def test_the_most_frequent_come_first_and_small_ones_have_no_remedy() -> None:
    reasons = reasons_of({"ties": 5, "dropped": {pairs.TOO_FEW_FINISHED: 90, pairs.WITHIN_MARGIN: 0, "mine": 40}})
    assert in_words(reasons) == "90 fewer than two finished candidates, 40 mine, 5 tie"
    assert remedies(reasons) == REMEDIES[pairs.TOO_FEW_FINISHED]


def test_a_rule_of_ones_own_has_the_general_remedy() -> None:
    assert remedies({"mine": 4}) == remedies({}) == "lower pairs.margin, or raise candidates.count or prompts.count"


def test_a_damaged_account_has_no_reasons() -> None:
    assert reasons_of({"ties": None, "dropped": [1]}) == {}
