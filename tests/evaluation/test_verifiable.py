"""IFEval's checks, through the package that has them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from judgeloop.errors import InputError
from judgeloop.evaluation import verifiable
from judgeloop.evaluation.ifeval_prompts import read_verifiable
from judgeloop.evaluation.verifiable import InstructionCheck, InstructionChecker, VerifiablePrompt, summarise

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "ifeval_prompts.jsonl"


@pytest.fixture(scope="module")
def checker() -> InstructionChecker:
    pytest.importorskip("if_verifiable", reason="the extra 'eval' is not installed")
    return InstructionChecker()


def one(name: str, **arguments: Any) -> VerifiablePrompt:
    return VerifiablePrompt("k", "Write something.", [name], [arguments])


@pytest.mark.parametrize(
    ("prompt", "response", "strict", "loose"),
    [
        (one("punctuation:no_comma"), "No comma here.", True, True),
        (one("punctuation:no_comma"), "One, here.", False, False),
        (one("punctuation:no_comma"), "Sure, here it is:\nNo comma.", False, True),  # without its first line
        (one("length_constraints:number_words", num_words=3, relation="at least"), "one two three", True, True),
        (one("length_constraints:number_words", num_words=4, relation="at least"), "one two three", False, False),
        (one("length_constraints:number_sentences", num_sentences=3, relation="less than"), "Mr. Po ran. He won.",
         True, True),
        (one("length_constraints:number_sentences", num_sentences=3, relation="at least"), "Mr. Po ran. He won.",
         False, False),
        (one("change_case:capital_word_frequency", capital_frequency=2, capital_relation="at least"), "I SAY NO", True,
         True),
        (one("detectable_format:title"), "<<Rain>>\nIt rains.", True, True),
        (one("keywords:existence", keywords=["rain", "sea"]), "Rain on the sea", True, True),
        (one("language:response_language", language="de"), "Der Regen fällt leise auf das alte Dach.", True, True),
        (one("language:response_language", language="fr"), "Der Regen fällt leise auf das alte Dach.", False, False),
        (one("startend:end_checker", end_phrase="The end."), "A story. The end.", True, True),
        (one("punctuation:no_comma"), "", False, False),  # an empty answer follows nothing
        (one("punctuation:no_comma"), " \n", False, False),
    ],
)  # fmt: skip
def test_instructions_are_checked(
    prompt: VerifiablePrompt, response: str, strict: bool, loose: bool, checker: InstructionChecker
) -> None:
    assert checker.check(prompt, response) == [InstructionCheck(prompt.instructions[0], strict, loose)]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (one("magic:make_it_good"), "unknown instruction"),
        (one("length_constraints:number_words", relation="at least"), "'num_words' is not given"),
        (one("length_constraints:number_words"), "'num_words' is not given"),
        (one("length_constraints:number_words", num_words=3, relation="about"), "do not fit (ValueError)"),
        (one("punctuation:no_comma", colour="red"), "do not fit (TypeError)"),
    ],
)
def test_what_cannot_be_checked_has_a_reason(
    prompt: VerifiablePrompt, reason: str, checker: InstructionChecker
) -> None:
    (found,) = checker.check(prompt, "Some words.")
    assert (found.strict, found.loose) == (None, None)
    assert reason in str(found.reason)


def test_without_a_sentence_model_two_kinds_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("if_verifiable", reason="the extra 'eval' is not installed")
    import nltk.data
    from if_verifiable.ifeval import instructions_util

    monkeypatch.setattr(verifiable, "provide_sentence_model", lambda: None)
    monkeypatch.setattr(nltk.data, "path", [])
    instructions_util._get_sentence_tokenizer.cache_clear()
    checker = InstructionChecker()
    prompt = one("length_constraints:number_sentences", num_sentences=3, relation="less than")
    (found,) = checker.check(prompt, "It rained. It stopped.")
    assert found.strict is None
    assert "needs NLTK's sentence model" in str(found.reason)
    assert checker.check(one("punctuation:no_comma"), "No comma.")[0].strict is True


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'judgeloop\[eval\]'"):
        InstructionChecker()


def test_the_checks_say_nothing_of_their_own(checker: InstructionChecker, capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.root.manager.disable
    (found,) = checker.check(one("language:response_language", language="de"), "12345 !!!")  # no language at all
    assert found.strict is True  # as IFEval has it
    assert logging.root.manager.disable == before
    assert capfd.readouterr() == ("", "")


def test_every_published_instruction_can_be_checked(checker: InstructionChecker) -> None:
    if not PUBLISHED.is_file():
        pytest.skip("IFEval's prompts are not here")
    prompts = read_verifiable(PUBLISHED)
    checked = [checker.check(prompt, "HELLO, this is *one* answer. It has [two] sentences.") for prompt in prompts]
    found = summarise(checked, seed=0, resamples=20)
    assert (found["prompts"], found["instructions"]) == (541, 834)
    assert (found["prompts_checked"], found["instructions_checked"], found["unchecked"]) == (541, 834, {})
    assert len(found["by_kind"]) == 25
    assert 0 < found["instruction_strict"]["value"] < 1


def test_the_accuracies_by_hand() -> None:
    checked = [
        [InstructionCheck("a", True, True), InstructionCheck("b", True, True)],  # all followed
        [InstructionCheck("a", True, True), InstructionCheck("b", False, True)],  # loosely
        [InstructionCheck("a", False, False)],
        [InstructionCheck("a", True, True), InstructionCheck("c", None, None, "why")],  # not all can be told
    ]
    found = summarise(checked, seed=0)
    assert (found["prompts"], found["prompts_checked"]) == (4, 3)
    assert (found["instructions"], found["instructions_checked"]) == (7, 6)
    assert found["prompt_strict"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["prompt_loose"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["instruction_strict"]["value"] == pytest.approx(4 / 6, abs=1e-6)
    assert found["instruction_loose"]["value"] == pytest.approx(5 / 6, abs=1e-6)
    assert found["unchecked"] == {"c: why": 1}
    assert {name: (kind["strict"]["value"], kind["strict"]["n"]) for name, kind in found["by_kind"].items()} == {
        "a": (0.75, 4),
        "b": (0.5, 2),
    }


def test_nothing_checked_is_no_accuracy() -> None:
    found = summarise([[InstructionCheck("a", None, None, "why")]], seed=0)
    assert found["prompt_strict"] is None
    assert found["instruction_loose"] is None
    assert found["by_kind"] == {}
