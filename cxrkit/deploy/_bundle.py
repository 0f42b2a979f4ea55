"""A bundle: the folder that goes to a device, with the network, bundle.json and the runner."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrkit.film import sha256_of

#: Of bundle.json; the runner refuses another.
FORMAT = 1
RUNNER = "runner.py"
#: What is read of bundle.json beside its list of files.
_NEEDED = ("name", "version", "labels", "scored", "thresholds", "input_size", "original")
_AGAIN = "delete the folder and export the model again"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle on this machine.

    Attributes:
        folder: where it lies.
        info: what bundle.json says.
        files: name -> sha256 of every file that belongs to it, bundle.json last.
    """

    folder: Path
    info: dict[str, Any]
    files: dict[str, str]


class ExportError(ValueError):
    """A network that cannot be exported as asked; the message says why and what to do."""


class BundleError(ValueError):
    """A bundle that cannot be used; the message says why and what to do."""


def read(folder: Path | str) -> Bundle:
    """Read a bundle and hold its files against their sha256.

    Args:
        folder: what `export` wrote.
    Returns:
        The bundle.
    Raises:
        BundleError: no bundle, one of another format, or a file that is missing or changed.
    """
    folder = Path(folder)
    try:
        info = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        if info["format"] != FORMAT:
            raise BundleError(f"{folder} is a bundle of format {info['format']}; legal is {FORMAT}; {_AGAIN}.")
        wanted = {entry["file"]: entry["sha256"] for entry in info["models"]} | {RUNNER: info["runner_sha256"]}
        if missing := [name for name in _NEEDED if name not in info]:
            raise BundleError(f"{folder}/bundle.json lacks {', '.join(missing)}; {_AGAIN}.")
        if foreign := [name for name in wanted if name != Path(name).name or name.startswith(".")]:
            raise BundleError(f"{folder}/bundle.json names {foreign[0]!r}, which lies outside of it; {_AGAIN}.")
    except BundleError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{folder} is no bundle; make one with `cxrkit model export`.") from error
    for name, sha256 in wanted.items():
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise BundleError(f"{folder}/{name} cannot be read ({error.strerror}); {_AGAIN}.") from error
        if found != sha256:
            raise BundleError(f"{folder}/{name} was changed since it was exported; {_AGAIN}.")
    return Bundle(folder, info, {**wanted, "bundle.json": sha256_of(folder / "bundle.json")})
