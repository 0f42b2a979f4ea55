"""A bundle: the folder that goes to a device, with the network, bundle.json and the runner."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrkit.deploy import runner
from cxrkit.film import sha256_of

RUNNER = Path(__file__).parent / "runner.py"


class DeployError(ValueError):
    """An export, a bundle or a board that cannot be used; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle on this machine: the content of bundle.json, and name -> (path, sha256) of every file."""

    info: dict[str, Any]
    files: dict[str, tuple[Path, str]]


def read(folder: Path | str) -> Bundle:
    """Read a bundle, a folder that `export` wrote, and check the sha256 of its files.

    Raises:
        DeployError: no bundle, one of another format, or a file that is missing or was changed.
    """
    folder = Path(folder)
    way = "Delete the folder and export the model again."
    try:
        info = runner.load_bundle(str(folder))
    except runner.RunnerError as error:
        raise DeployError(f"{error}. {way}") from error
    names = ("bundle.json", RUNNER.name, *(model["file"] for model in info["models"]))
    files = {name: (folder / name, sha256_of(folder / name)) for name in names}
    if files[RUNNER.name][1] != info["runner_sha256"]:
        raise DeployError(f"{folder / RUNNER.name} was changed since it was exported. {way}")
    return Bundle(info, files)
