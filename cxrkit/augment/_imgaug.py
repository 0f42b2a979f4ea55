"""A nested call of imgaug's classes as data, which becomes Python source or an augmenter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgaug.augmenters import Augmenter

_LINE = 100


@dataclass(frozen=True)
class Call:
    """A call of a class in imgaug.augmenters.

    Args:
        name: of the class.
        positional: values, calls, or lists of calls.
        named: values by argument.
    """

    name: str
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)

    def augmenter(self) -> "Augmenter":
        """Make the augmenter of a single operation; imgaug is imported here."""
        from imgaug import augmenters

        # An augmenter without a seed would use imgaug's global generator.
        return getattr(augmenters, self.name)(*self.positional, **{"seed": 0, **self.named})

    def source(self) -> str:
        """Return Python source that makes the augmenter, as `augmenter`."""
        return f"import imgaug.augmenters as iaa\n\naugmenter = {_source(self, 0)}\n"


def _source(part: Any, indent: int) -> str:
    if isinstance(part, Call):
        items = [_source(each, indent + 1) for each in part.positional]
        items += [f"{key}={_source(value, indent + 1)}" for key, value in part.named.items()]
        opened, closed = f"iaa.{part.name}(", ")"
        if len(items) == 1 and "\n" in items[0]:
            # The brackets of the call and of its one list share their lines.
            return opened + _source(part.positional[0], indent) + closed
    elif isinstance(part, list):
        items, opened, closed = [_source(each, indent + 1) for each in part], "[", "]"
    else:
        return repr(part)
    flat = f"{opened}{', '.join(items)}{closed}"
    if "\n" not in flat and len(flat) + 4 * indent <= _LINE:
        return flat
    inner = "".join(f"{' ' * 4 * (indent + 1)}{item},\n" for item in items)
    return f"{opened}\n{inner}{' ' * 4 * indent}{closed}"
