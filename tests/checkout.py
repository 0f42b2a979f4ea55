"""This checkout as tests read it: the files that belong to the project, and what a lock pins."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ("3.11", "3.12", "3.13")
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+?)(?: ; (?P<marker>.+?))? \\$")


class Pin(NamedTuple):
    """One package of a lock: its canonical name, the marker of the machines it is for, and the sha256 of its files."""

    name: str
    version: str
    marker: str | None
    hashes: frozenset[str]


def tracked_files() -> list[Path]:
    """Files of the project: those git knows, or all that are not made by a tool where there is no git."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    made = {".git", ".venv", ".peers", ".hypothesis", "__pycache__", "runs"}
    made |= {f".{tool}_cache" for tool in ("mypy", "pytest", "ruff")}
    return [path for path in ROOT.rglob("*") if path.is_file() and not made & set(path.relative_to(ROOT).parts)]


def read_lock(path: Path) -> list[Pin]:
    """The packages of a lock that `make lock` wrote, in its order."""
    pins = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", path.read_text(encoding="utf-8")):
        pin = _PIN.match(block.splitlines()[0])
        assert pin, block.splitlines()[0]
        hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
        pins.append(Pin(canonicalize_name(pin["name"]), pin["version"], pin["marker"], hashes))
    return pins


def machine(python: str) -> dict[str, str]:
    """Values of markers on Linux x86, where they may differ from this machine's."""
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
    return linux | {"python_version": python, "python_full_version": f"{python}.9"}


def versions(lock: list[Pin], python: str) -> dict[str, str]:
    """Version by package that a lock means for one Python on Linux x86."""
    environment = machine(python)
    return {pin.name: pin.version for pin in lock if pin.marker is None or Marker(pin.marker).evaluate(environment)}


def required(*extras: str, python: str = "3.11") -> list[Requirement]:
    """What pyproject.toml requires on Linux x86: to run and to build, and for some extras."""
    project = PYPROJECT["project"]
    lines = [*project["dependencies"], *PYPROJECT["build-system"]["requires"]]
    lines += [line for extra in extras for line in project["optional-dependencies"][extra]]
    needs = map(Requirement, lines)
    return [need for need in needs if need.marker is None or need.marker.evaluate(machine(python))]
