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
from cxrkit.film._read import _STRANGERS
from cxrkit.labels import COVID_CLASSES, FINDINGS

ENGLISH, CHINESE = words.table("en"), words.table("zh-Hant")
PDF = words.Saying("unreadable.stranger", {"what": words.Saying("unreadable.stranger.pdf", {})})
#: What begins so is said of a file, an answer or a wish that came to nothing, by a literal key.
REASONS = ("unreadable", "no_answer", "rejected", "refused")


def fields(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_language_says_the_same_things_with_the_same_fields_in_its_own_words():
    assert {key: fields(text) for key, text in ENGLISH.items()} == {key: fields(text) for key, text in CHINESE.items()}
    for table in (ENGLISH, CHINESE):
        assert [key for key, text in table.items() if not text.strip() or re.search("[<>]", text)] == []
        named = {key.removeprefix("label.") for key in table if key.startswith("label.")}
        assert named == {*FINDINGS, *COVID_CLASSES}
    left = [key for key, text in CHINESE.items() if re.search(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", text)]
    assert left == []
    assert words.label("en", "Pleural_Thickening") == "Pleural Thickening"
    assert words.label("zh-Hant", "mine") == "mine"
    with pytest.raises(ValueError, match=r"language must be one of en, zh-Hant; got 'de'"):
        words.table("de")


def test_every_reason_that_the_code_gives_has_words_none_is_left_over_and_each_is_a_sentence_or_a_part_of_one():
    shape = re.compile(rf"(?:{'|'.join(REASONS)})(?:\.\w+)+")
    in_code = {
        node.value
        for path in (ROOT / "cxrkit").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and shape.fullmatch(node.value)
    }
    in_code |= {f"unreadable.stranger.{name}" for name in (*_STRANGERS.groupindex, "unknown")}
    assert in_code == {key for key in ENGLISH if key.split(".")[0] in REASONS}
    names = ("stranger", "path", "rare", "dicom.no_picture", "dicom.compression")
    parts = tuple(f"unreadable.{name}." for name in names)
    whole = [key for key in in_code if not key.startswith(parts) and "{why}" not in ENGLISH[key]]
    assert [key for key in whole if not CHINESE[key].endswith(("。", "{error}"))] == []


def test_words_within_words_are_said_in_the_same_language_and_are_plain_values_for_a_page():
    assert PDF.say("en").startswith("the file is a PDF document; supported are PNG")
    assert PDF.say("zh-Hant").startswith("此檔案是 PDF 文件。")
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
