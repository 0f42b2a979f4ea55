"""What the dashboard says, in each of its languages: one file of words for each, in cxrkit/words.

A key names a place and a thing, `film.verdict.covid`; a text may hold fields, `{prob}`, the same in every language. A
field may be words too: `Saying`. Nothing else of cxrkit holds words of the dashboard, so that one who translates needs
these files alone.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

#: What languages call themselves, by the tag that HTML takes (BCP 47); the first is the default.
LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "English", "zh-Hant": "繁體中文"})
_FOLDER = Path(__file__).parent


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
        values: of its fields; a `Saying` among them is said in the same language.
    Returns:
        Plain text, not HTML: what is put into a page is escaped there.
    Raises:
        ValueError: another language.
        KeyError: no such text, or a field without a value.
    """
    said = {name: value.say(language) if isinstance(value, Saying) else value for name, value in values.items()}
    return table(language)[key].format(**said)


def label(language: str, name: str) -> str:
    """Return what a label is called in a language.

    Args:
        language: one of `LANGUAGES`.
        name: one of `labels.FINDINGS` or `labels.COVID_CLASSES`; any other comes back as it is.
    """
    return table(language).get(f"label.{name}", name)


@dataclass(frozen=True)
class Saying:
    """Words of cxrkit's own, in whichever language.

    Attributes:
        key: of the text.
        values: of its fields; plain values, or words too.
    """

    key: str
    values: Mapping[str, object]

    def say(self, language: str) -> str:
        """Return the words in a language."""
        return say(language, self.key, **self.values)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it: "key" and "fields", words among these in the same way."""
        fields = {name: value.plain() if isinstance(value, Saying) else value for name, value in self.values.items()}
        return {"key": self.key, "fields": fields}


class WordedError(ValueError):
    """An error that can be said in every language; its message is what it says in English.

    Attributes:
        saying: what it says.
    """

    def __init__(self, key: str, **values: object) -> None:
        """Build it.

        Args:
            key: of the text.
            values: of its fields; plain values, or a `Saying`.
        Raises:
            KeyError: no such text, or a field without a value.
        """
        self.saying = Saying(key, values)
        super().__init__(self.saying.say("en"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Be built again of the key and the fields: an exception is otherwise built of its message."""
        return functools.partial(type(self), self.saying.key, **self.saying.values), (), self.__dict__
