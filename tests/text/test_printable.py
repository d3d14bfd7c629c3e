import pytest

from judgeloop.text.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07gone", "␛[2J␛]0;owned␇gone"),
        ("\x9b31mred", "�31mred"),  # one-byte CSI
        ("over\rwritten\x08\x7f\x00", "over␍written␈␡␀"),
        ("admin\u202etxt.exe\u2066", "admin�txt.exe�"),
        ("half \ud83d of a pair", "half � of a pair"),
        ("one\r\ntwo\u2028three\n\tfour", "one\ntwo\nthree\n    four"),
        ("答案：42 ✓ 👩‍🚀", "答案：42 ✓ 👩‍🚀"),
    ],
)
def test_no_control_character_is_left(text: str, shown: str) -> None:
    assert printable(text) == shown
    shown.encode("utf-8")
