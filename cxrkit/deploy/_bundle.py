"""A bundle: the folder that goes to a device, with the network, bundle.json and the runner."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrkit.deploy.runner import FORMAT
from cxrkit.film import sha256_of

RUNNER = Path(__file__).parent / "runner.py"
#: What bundle.json must have beside its list of files.
_NEEDED = ("name", "version", "labels", "scored", "thresholds", "input_size", "original")
_AGAIN = "delete the folder and export the model again"


class DeployError(ValueError):
    """An export, a bundle or a board that cannot be used; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle on this machine.

    Attributes:
        folder: where it lies.
        info: the content of bundle.json.
        files: name -> (path, sha256) of every file of the bundle.
    """

    folder: Path
    info: dict[str, Any]
    files: dict[str, tuple[Path, str]]


def read(folder: Path | str) -> Bundle:
    """Read a bundle and check the sha256 of its files.

    Args:
        folder: a folder that `export` wrote.
    Returns:
        The bundle.
    Raises:
        DeployError: no bundle, one of another format, or a file that is missing or was changed.
    """
    folder = Path(folder)
    try:
        info = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        has, runner = info["format"], {RUNNER.name: info["runner_sha256"]}
        wanted = {entry["file"]: entry["sha256"] for entry in info["models"]} | runner
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeployError(f"{folder} is no bundle; make one with `cxrkit model export`.") from error
    if has != FORMAT:
        raise DeployError(f"{folder} is a bundle of format {has}; legal is {FORMAT}; {_AGAIN}.")
    if missing := [name for name in _NEEDED if name not in info]:
        raise DeployError(f"{folder}/bundle.json lacks {', '.join(missing)}; {_AGAIN}.")
    files = {"bundle.json": (folder / "bundle.json", sha256_of(folder / "bundle.json"))}
    for name, sha256 in wanted.items():
        if name != Path(name).name or name.startswith("."):
            raise DeployError(f"{folder}/bundle.json names {name!r}, which lies outside the folder; {_AGAIN}.")
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise DeployError(f"{folder}/{name} cannot be read ({error.strerror}); {_AGAIN}.") from error
        if found != sha256:
            raise DeployError(f"{folder}/{name} was changed since it was exported; {_AGAIN}.")
        files[name] = (folder / name, sha256)
    return Bundle(folder, info, files)
