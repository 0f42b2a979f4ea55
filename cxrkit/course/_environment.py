"""Is this machine ready for the notebooks? One row per thing that matters, with what to do when it falls short.

A layer above `engine`, since it looks at the bundled models; nothing heavy is imported.
"""

import importlib
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

from cxrkit import networks
from cxrkit.film import sha256_of

#: Versions that pyproject.toml admits.
PYTHONS = ((3, 11), (3, 13))
#: What a notebook at course scale stays within (DESIGN.md).
MEMORY_GB = 1.5
DISK_GB = 0.2
COLUMNS = ("what", "found", "ok", "what to do")
_INSTALL = "run `make setup` in the project's folder and use the Python in .venv"
#: Distributions, what each is for, and whether nothing works without it. One name of a group is enough.
_PACKAGES = (
    (("numpy",), "arrays", True),
    (("onnxruntime",), "running the networks", True),
    (("opencv-python-headless",), "resizing films", True),
    (("pydicom",), "reading DICOM", True),
    (("pandas",), "tables", True),
    (("matplotlib",), "figures", True),
    (("ipywidgets",), "sliders", False),
    (("imaug",), "augmentation", False),
    (("tensorflow-cpu", "tensorflow"), "training", False),
    (("asyncssh",), "reaching a board", False),
)


def check() -> pd.DataFrame:
    """Look at Python, packages, cores, memory, disk and the bundled models.

    Returns:
        One row per thing: `what`, `found`, `ok` ("yes"; "no"; "optional" for a missing thing that only some notebooks
        need) and `what to do` (empty when nothing).
    """
    rows = [_python(), _cores(), _memory(memory_bytes()), _disk()]
    rows += [_package(*package) for package in _PACKAGES]
    rows += [_model(name) for name in networks.bundled()] or [("bundled models", "none", "no", _INSTALL)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def memory_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the memory that this process may use: the container's limit where there is one, else the machine's.

    Args:
        cgroup: where Linux shows the limits of a container (version 2, then version 1).
    Returns:
        Bytes; None where the system does not tell.
    """
    found = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text))
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _python() -> tuple[str, str, str, str]:
    (low, high), mine = PYTHONS, sys.version_info[:2]
    legal = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
    advice = "" if low <= mine <= high else f"use Python {legal}"
    return "Python", ".".join(map(str, sys.version_info[:3])), "no" if advice else "yes", advice


def _cores() -> tuple[str, str, str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return "processor cores", str(cores), "yes", "" if cores > 1 else "nothing; it takes about twice as long"


def _memory(found: int | None) -> tuple[str, str, str, str]:
    if found is None:
        return "memory", "unknown", "yes", f"nothing, if there are {MEMORY_GB:g} GB"
    enough = found >= MEMORY_GB * 1e9
    advice = "" if enough else f"close other programs or find a machine with {MEMORY_GB:g} GB"
    return "memory", f"{found / 1e9:.1f} GB", "yes" if enough else "no", advice


def _disk() -> tuple[str, str, str, str]:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    enough = free >= DISK_GB * 1e9
    advice = "" if enough else f"free {DISK_GB:g} GB, or point TMPDIR at a roomier disk"
    return "free disk for films and results", f"{free / 1e9:.1f} GB", "yes" if enough else "no", advice


def _package(names: tuple[str, ...], purpose: str, needed: bool) -> tuple[str, str, str, str]:
    for name in names:
        try:
            return f"{name} ({purpose})", importlib.metadata.version(name), "yes", ""
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{names[0]} ({purpose})", "missing", "no" if needed else "optional", _INSTALL


def _model(name: str) -> tuple[str, str, str, str]:
    folder = networks.folder_of(name)
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    file = folder / "model.onnx"
    whole = file.is_file() and sha256_of(file) == info["files"]["model.onnx"]
    found = f"version {info['version']}, sha256 {info['files']['model.onnx'][:12]}" if whole else "damaged"
    return f"model {name}", found, "yes" if whole else "no", "" if whole else "get the project's files again"
