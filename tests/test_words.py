"""Words: the same texts with the same fields in every language, and none that nobody says."""

import re
import string

import pytest

from cxrkit import words
from cxrkit.labels import COVID_CLASSES, FINDINGS

OTHERS = [language for language in words.LANGUAGES if language != "en"]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_says_the_same_things_with_the_same_fields(language):
    english, other = words.table("en"), words.table(language)
    assert set(english) == set(other)
    assert {key: fields(text) for key, text in english.items()} == {key: fields(text) for key, text in other.items()}


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_no_text_is_empty_or_holds_html(language):
    assert [key for key, text in words.table(language).items() if not text.strip() or re.search("[<>]", text)] == []


def test_chinese_texts_hold_no_sentence_that_was_left_in_english():
    left = [
        key
        for key, text in words.table("zh-Hant").items()
        if len(re.findall(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", text))
    ]
    assert left == []


def test_a_text_is_said_with_its_fields():
    assert words.say("en", "label.Pleural_Thickening") == "Pleural Thickening"
    assert [words.label("zh-Hant", name) for name in (*FINDINGS, *COVID_CLASSES, "mine")][-1] == "mine"


def test_another_language_is_refused():
    with pytest.raises(ValueError, match=r"language must be one of en, zh-Hant; got 'de'"):
        words.table("de")
