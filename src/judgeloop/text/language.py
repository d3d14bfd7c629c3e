"""Which language's rules a text is measured by: English, Chinese, Japanese, Korean, or none of these."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from judgeloop.text.tokens import UNSPACED

Language = Literal["en", "zh", "ja", "ko", "other"]

_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff]")
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_ANY = re.compile(rf"[{UNSPACED}]")
_WORD = re.compile(rf"[^\W\d_{UNSPACED}]+")
_QUOTED = re.compile(r"“[^“”]*”|「[^「」]*」|『[^『』]*』|《[^《》]*》|\"[^\"\n]*\"|`[^`]*`")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")
# Words that frame a sentence in one language and are rare in the others.
_ENGLISH = """
a an the of to and in is are was were be with for on by what which who how why when where do does did you your i it this
that these those can could should would write give tell explain describe list create name find make suggest translate
rewrite summarize summarise generate provide if or not from as at have has my me
"""
_OTHER_LATIN = """
der das und ist nicht ein eine einen mit für von wie warum welche schreibe erkläre auf im zum zur sie ich
le la les des du une est et dans pour avec sur que qui quel quelle comment pourquoi vous je qu écris explique
el los las un una es en por para con como qué cómo cuál cuáles escribe explica del al lo
il gli di che è per non come perché scrivi spiega della nel sono
os e é em um uma não escreva explique da na het een van niet hoe waarom schrijf zijn
och är att det som inte hur skriv og ikke hvordan
"""
ENGLISH_WORDS, _OTHER_WORDS = frozenset(_ENGLISH.split()), frozenset(_OTHER_LATIN.split())


def language_of(text: str) -> Language:
    """The language that frames a text; what it quotes, and terms of another script inside it, do not decide.

    A text is Chinese, Japanese or Korean if it begins in that script, or has at least as many of its characters as
    words of spaced scripts ("Python里的列表是什么？"); of the three, kana make it Japanese and Hangul, if they
    outnumber Han, Korean. Latin script is English unless words or letters of another language outnumber English ones.
    """
    plain = unicodedata.normalize("NFC", text)
    frame = _QUOTED.sub(" ", plain)
    if not _WORD.search(frame) and not _ANY.search(frame):
        frame = plain
    words = _WORD.findall(frame)
    characters = _ANY.findall(frame)
    first = next((character for character in frame if character.isalpha()), "")
    if characters and (_ANY.match(first) or len(characters) >= len(words)):
        return _unspaced_language("".join(characters))
    latin = [word.lower() for word in words if _LATIN.fullmatch(word)]
    if len(latin) * 2 < len(words) or not latin:
        return "other"
    foreign = sum(not word.isascii() or word in _OTHER_WORDS for word in latin)
    return "en" if sum(word in ENGLISH_WORDS for word in latin) >= foreign else "other"


def _unspaced_language(characters: str) -> Language:
    if _KANA.search(characters):
        return "ja"
    hangul, han = len(_HANGUL.findall(characters)), len(_HAN.findall(characters))
    if hangul > han:
        return "ko"
    return "zh" if han else "other"
