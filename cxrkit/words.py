"""What the dashboard says, in each of its languages: one file of words for each, in cxrkit/data/words.

A key names a place and a thing, `film.verdict.covid`; a text may hold fields, `{prob}`, the same in every language.
Nothing else of cxrkit holds words of the dashboard, so that one who translates needs these files alone.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from cxrkit.labels import COVID, FINDINGS, NOT_COVID

#: What languages call themselves, by the tag that HTML takes (BCP 47); the first is the default.
LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "English", "zh-Hant": "繁體中文"})
_FOLDER = Path(__file__).parent / "data" / "words"


@functools.cache
def table(language: str) -> Mapping[str, str]:
    """Return all words of a language, by key.

    Args:
        language: one of `LANGUAGES`.
    Raises:
        ValueError: another language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}; got {language!r}.")
    return MappingProxyType(json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8")))


def say(language: str, key: str, **values: object) -> str:
    """Return a text in a language.

    Args:
        language: one of `LANGUAGES`.
        key: of the text.
        values: of its fields.
    Returns:
        Plain text, not HTML: what is put into a page is escaped there.
    Raises:
        ValueError: another language.
        KeyError: no such text, or a field without a value.
    """
    return table(language)[key].format(**values)


def label(language: str, name: str) -> str:
    """Return what a label is called in a language.

    Args:
        language: one of `LANGUAGES`.
        name: one of `labels.FINDINGS` or `labels.COVID_CLASSES`; any other comes back as it is.
    """
    return table(language)[f"label.{name}"] if name in (*FINDINGS, COVID, NOT_COVID) else name
