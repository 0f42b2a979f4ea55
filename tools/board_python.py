"""A Python that holds numpy and ONNX Runtime and nothing else, as a board has it: the lock's versions, no network."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("numpy", "onnxruntime")


def make(folder: Path) -> Path:
    """Make the environment; return its interpreter. Packages are linked from the environment that runs the tests."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    for name in PACKAGES:
        found = find_spec(name)
        assert found is not None, f"{name} is not installed"
        assert found.origin is not None
        package = Path(found.origin).parent
        # What a wheel's own libraries are called beside it.
        for part in (package, package.with_name(f"{name}.libs")):
            if part.is_dir():
                (site / part.name).symlink_to(part)
    return folder / "bin" / "python"


def environment() -> dict[str, str]:
    """Return an environment that lets no package of ours in."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    return {name: os.environ[name] for name in kept if name in os.environ}
