"""Is this machine ready for the notebooks? A row for each requirement, with what to do where it is not met."""

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

#: Versions that pyproject.toml allows.
PYTHONS = ((3, 11), (3, 13))
#: What a notebook at course scale needs at most.
MEMORY_GB, DISK_GB = 1.5, 0.2
_INSTALL = "run `make setup` in the project's folder and use the Python in .venv"
#: Packages, the purpose of each, and whether nothing works without it. One name of a group is enough.
_PACKAGES = (
    (("numpy",), "arrays", True),
    (("onnxruntime",), "running networks", True),
    (("opencv-python-headless",), "resizing images", True),
    (("pydicom",), "reading DICOM", True),
    (("pandas",), "tables", True),
    (("seaborn",), "figures", True),
    (("imaug",), "augmentation", True),
    (("ipywidgets",), "sliders", False),
    (("tensorflow-cpu", "tensorflow"), "training", False),
    (("asyncssh",), "connecting to a board", False),
)


def check() -> pd.DataFrame:
    """Check Python, processor cores, memory, disk, packages and the bundled models.

    Returns:
        A row for each: `what`, `found`, `ok` ("yes"; "no"; "optional" for a missing package that only some notebooks
        need) and `what to do` (empty if nothing).
    """
    low, high = (".".join(map(str, version)) for version in PYTHONS)
    mine, memory = sys.version_info[:3], memory_bytes()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = shutil.disk_usage(tempfile.gettempdir()).free
    rows = [
        _row("Python", ".".join(map(str, mine)), PYTHONS[0] <= mine[:2] <= PYTHONS[1], f"use Python {low} to {high}"),
        ("processor cores", str(cores), "yes", "" if cores > 1 else "nothing; it takes about twice as long"),
        _row(
            "memory",
            "unknown" if memory is None else f"{memory / 1e9:.1f} GB",
            memory is None or memory >= MEMORY_GB * 1e9,
            f"close other programs or find a machine with {MEMORY_GB:g} GB",
        ),
        _row(
            "free disk space",
            f"{free / 1e9:.1f} GB",
            free >= DISK_GB * 1e9,
            f"free {DISK_GB:g} GB, or set TMPDIR to another disk",
        ),
        *(_package(*package) for package in _PACKAGES),
        *map(_model, networks.bundled()),
    ]
    if not networks.bundled():
        rows.append(_row("bundled models", "none", False, _INSTALL))
    return pd.DataFrame(rows, columns=["what", "found", "ok", "what to do"])


def memory_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the memory that this process may use: the limit of the container if there is one, else the machine's.

    Args:
        cgroup: where Linux shows the limits of a container (version 2, then version 1).
    Returns:
        Bytes; None where the system does not tell.
    """
    files = [cgroup / name for name in ("memory.max", "memory/memory.limit_in_bytes")]
    texts = [path.read_text().strip() for path in files if path.is_file()]
    found = [int(text) for text in texts if text.isdigit()]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _row(what: str, found: str, met: bool, advice: str) -> tuple[str, str, str, str]:
    return what, found, "yes" if met else "no", "" if met else advice


def _package(names: tuple[str, ...], purpose: str, needed: bool) -> tuple[str, str, str, str]:
    for name in names:
        try:
            return _row(f"{name} ({purpose})", importlib.metadata.version(name), True, "")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{names[0]} ({purpose})", "missing", "no" if needed else "optional", _INSTALL


def _model(name: str) -> tuple[str, str, str, str]:
    folder = networks.folder_of(name)
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    wanted, file = info["files"]["model.onnx"], folder / "model.onnx"
    if file.is_file() and sha256_of(file) == wanted:
        return _row(f"model {name}", f"version {info['version']}, sha256 {wanted[:12]}", True, "")
    return _row(f"model {name}", "damaged", False, "get the project's files again")
