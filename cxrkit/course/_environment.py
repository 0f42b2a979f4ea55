"""Is this machine ready for the notebooks? A row for each requirement, with what to do where it is not met."""

import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import joblib
import pandas as pd

from cxrkit import networks
from cxrkit.film import sha256_of

#: Versions that pyproject.toml allows.
PYTHONS = ((3, 11), (3, 13))
#: What a notebook at course scale needs at most.
MEMORY_GB, DISK_GB = 1.5, 0.2
_INSTALL = "run `make setup` in the project's folder and use the Python in .venv"
#: Packages without which nothing works; and, one name is enough, those of some notebooks with their purpose.
_NEEDED = ("numpy", "onnxruntime", "opencv-python-headless", "pydicom", "pandas", "seaborn", "imaug")
_OPTIONAL = {"ipywidgets": "sliders", "tensorflow-cpu tensorflow": "training", "asyncssh": "connecting to a board"}


def check() -> pd.DataFrame:
    """Check Python, processor cores, memory, disk, packages and the bundled models.

    Columns: `what`, `found`, `ok` ("yes"; "no"; "optional" for a missing package that only some notebooks need)
    and `what to do` (empty if nothing).
    """
    low, high = (".".join(map(str, version)) for version in PYTHONS)
    mine, memory, free = sys.version_info[:3], memory_bytes(), shutil.disk_usage(tempfile.gettempdir()).free
    enough = memory is None or memory >= MEMORY_GB * 1e9
    size = "unknown" if memory is None else f"{memory / 1e9:.1f} GB"
    rows: list[tuple[str, str, bool | None, str]] = [
        ("Python", ".".join(map(str, mine)), PYTHONS[0] <= mine[:2] <= PYTHONS[1], f"use Python {low} to {high}"),
        ("processor cores", str(joblib.cpu_count()), True, ""),
        ("memory", size, enough, f"close other programs or find a machine with {MEMORY_GB:g} GB"),
        ("free disk space", f"{free / 1e9:.1f} GB", free >= DISK_GB * 1e9, f"free {DISK_GB:g} GB, or set TMPDIR"),
        *(_package(name) for name in _NEEDED),
        *(_package(*package) for package in _OPTIONAL.items()),
        *(map(_model, networks.bundled()) if networks.bundled() else [("bundled models", "none", False, _INSTALL)]),
    ]
    shown = {True: "yes", False: "no", None: "optional"}
    found = [(what, found, shown[met], "" if met else advice) for what, found, met, advice in rows]
    return pd.DataFrame(found, columns=["what", "found", "ok", "what to do"])


def memory_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that this process may use: the machine's, or the limit of its container; None if unknown."""
    # Version 2 and version 1 of what Linux shows.
    files = (cgroup / name for name in ("memory.max", "memory/memory.limit_in_bytes"))
    found = [int(path.read_text()) for path in files if path.is_file() and path.read_text().strip().isdigit()]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _package(names: str, purpose: str = "") -> tuple[str, str, bool | None, str]:
    about = f" ({purpose})" if purpose else ""
    for name in names.split():
        with suppress(importlib.metadata.PackageNotFoundError):
            return f"{name}{about}", importlib.metadata.version(name), True, ""
    return f"{names.split()[0]}{about}", "missing", None if purpose else False, _INSTALL


def _model(name: str) -> tuple[str, str, bool, str]:
    folder = networks.folder_of(name)
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    wanted, file = info["files"]["model.onnx"], folder / "model.onnx"
    if file.is_file() and sha256_of(file) == wanted:
        return f"model {name}", f"version {info['version']}, sha256 {wanted[:12]}", True, ""
    return f"model {name}", "damaged", False, "get the project's files again"
