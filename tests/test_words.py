"""Words: the same texts with the same fields in every language, and none that nobody says."""

import ast
import copy
import json
import pickle
import re
import string
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from checkout import ROOT

from cxrkit import film, words
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


#: What begins so is said of a file, an answer or a wish that came to nothing, by a literal key.
REASONS = ("unreadable", "no_answer", "refused")


def keys_in_code() -> set[str]:
    """Every string of the package that is a key of a reason, whole."""
    shape = re.compile(rf"(?:{'|'.join(REASONS)})(?:\.\w+)+")
    return {
        node.value
        for path in (ROOT / "cxrkit").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and shape.fullmatch(node.value)
    }


def test_every_reason_that_the_code_gives_has_words_and_none_is_left_over():
    assert keys_in_code() == {key for key in words.table("en") if key.split(".")[0] in REASONS}


def test_every_reason_is_a_sentence_in_chinese_or_a_part_of_one():
    parts = ("unreadable.stranger.", "unreadable.path.", "unreadable.dicom.no_picture.")
    whole = [key for key in keys_in_code() if not key.startswith(parts) and "{why}" not in words.table("en")[key]]
    left = [key for key in whole if not words.table("zh-Hant")[key].endswith(("。", "{error}"))]
    assert left == []


def test_labels_alone_have_the_keys_of_labels():
    named = {key.removeprefix("label.") for key in words.table("en") if key.startswith("label.")}
    assert named == {*FINDINGS, *COVID_CLASSES}


PDF = words.Saying("unreadable.stranger", {"what": words.Saying("unreadable.stranger.pdf", {})})


def test_words_within_words_are_said_in_the_same_language():
    assert PDF.say("en").startswith("the file is a PDF document; supported are PNG")
    assert PDF.say("zh-Hant").startswith("此檔案是 PDF 文件。")
    assert words.say("zh-Hant", PDF.key, **PDF.values) == PDF.say("zh-Hant")


def test_words_are_plain_values_for_a_page():
    plain = {"key": "unreadable.stranger", "fields": {"what": {"key": "unreadable.stranger.pdf", "fields": {}}}}
    assert json.loads(json.dumps(PDF.plain())) == plain


def refuse(data):
    film.read(data)


def test_an_error_comes_back_the_same_from_a_copy_and_from_another_process():
    error = film.UnreadableImage(PDF.key, **PDF.values)
    error.add_note("of the second folder")
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is film.UnreadableImage
        assert (again.saying, str(again), again.__notes__) == (PDF, PDF.say("en"), ["of the second folder"])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(film.UnreadableImage) as got:
        pool.submit(refuse, b"%PDF").result()
    assert got.value.saying == PDF


def test_an_error_without_words_is_a_fault_of_ours():
    with pytest.raises(KeyError):
        words.WordedError("unreadable.nothing")
    with pytest.raises(KeyError):
        words.WordedError("unreadable.stranger")


def test_another_language_is_refused():
    with pytest.raises(ValueError, match=r"language must be one of en, zh-Hant; got 'de'"):
        words.table("de")
