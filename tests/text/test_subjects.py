from __future__ import annotations

from judgeloop.text.subjects import same_subject

DEMANDS = ("Leave out every comma.", "Start with the word Well.", "Use capitals only.")
SUBJECTS = ("magnets", "owls", "bread", "chess", "drums", "rivers", "soap", "tea")
TEXTS = {f"{s}{k}": f"Explain {s} to a child. {demand}" for s in SUBJECTS for k, demand in enumerate(DEMANDS)}


def test_the_same_subject_with_another_demand_is_found() -> None:
    found = same_subject(TEXTS, 1.0, 2)
    assert all({other[:-1] for other in others} == {name[:-1]} for name, others in found.items())
    assert all(len(others) == 2 and name not in others for name, others in found.items())
    assert same_subject(dict(reversed(TEXTS.items())), 1.0, 2) == found


def test_of_equally_rare_words_the_least_alike_text_comes_first_and_equal_ones_never() -> None:
    texts = {"a": "Owls fly high.", "b": "Owls fly low now.", "c": "Some owls like mice.", "d": "owls fly high"}
    texts |= {f"x{k}": f"Say how {k} things fly." for k in range(40)}
    assert same_subject(texts, 0.99, 9)["a"] == ["c", "b"]
    assert same_subject(texts, 0.5, 9)["a"] == ["c"]


def test_words_that_many_texts_have_are_no_subject() -> None:
    assert same_subject({str(k): f"Tell me number {k}." for k in range(9)}, 1.0, 3) == {str(k): [] for k in range(9)}
