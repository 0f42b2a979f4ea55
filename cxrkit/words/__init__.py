"""The texts of dashboard and widgets in each language, one JSON file per language in cxrkit/words.

A key names a place and a thing, `film.verdict.covid`. A text may have fields, `{prob}`, the same in every language; the
value of a field may be a translated text itself (`Saying`). A translator needs these files only.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["LANGUAGES", "Saying", "WordedError", "label", "reason", "say", "table"]

#: Each language's name in that language, by BCP 47 tag; the first is the default.
LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "English", "zh-Hant": "繁體中文"})
_FOLDER = Path(__file__).parent


@functools.cache
def table(language: str) -> Mapping[str, str]:
    """Return all texts of a language, one of `LANGUAGES`, by key; ValueError for another language."""
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}; got {language!r}.")
    return MappingProxyType(json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8")))


def say(language: str, key: str, **values: object) -> str:
    """Return a text in a language.

    Args:
        language, key: one of `LANGUAGES`, and the text's key.
        values: of its fields; a `Saying` among them is translated too.
    Returns:
        Plain text, not HTML; the page escapes it.
    Raises:
        ValueError: another language.
        KeyError: no such text, or a field without a value.
    """
    said = {name: value.say(language) if isinstance(value, Saying) else value for name, value in values.items()}
    return table(language)[key].format(**said)


def label(language: str, name: str) -> str:
    """Return a finding's or class's name in a language; any other name is returned unchanged."""
    return table(language).get(f"label.{name}", name)


@dataclass(frozen=True)
class Saying:
    """A text that can be shown in every language: its key, and the values of its fields, plain ones or `Saying`s."""

    key: str
    values: Mapping[str, object]

    def say(self, language: str) -> str:
        """Return the text in a language."""
        return say(language, self.key, **self.values)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values: "key" and "fields", nested in the same way."""
        fields = {name: value.plain() if isinstance(value, Saying) else value for name, value in self.values.items()}
        return {"key": self.key, "fields": fields}


class WordedError(ValueError):
    """An error with a text in every language, `saying`; its message is the English one."""

    def __init__(self, key: str, **values: object) -> None:
        """Create it from the arguments of a `Saying`; KeyError without such a text or a field's value."""
        self.saying = Saying(key, values)
        super().__init__(self.saying.say("en"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by key and fields; by default an exception is rebuilt from its message."""
        return functools.partial(type(self), self.saying.key, **self.saying.values), (), self.__dict__


def reason(error: Exception) -> Saying:
    """Return why a file has no result; nothing of an error that others raised but its kind.

    Its message may hold a path, or values from the file's header, that name a patient.
    """
    if isinstance(error, WordedError):
        return error.saying
    if isinstance(error, MemoryError):
        return Saying("no_answer.memory", {})
    kind = type(error).__name__
    if isinstance(error, OSError):
        return Saying("no_answer.disk", {"why": error.strerror or kind})
    return Saying("no_answer.unknown", {"error": kind})
