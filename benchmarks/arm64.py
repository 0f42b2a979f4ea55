"""Run a bundle on 64-bit ARM, emulated, and on x86_64: how far the predictions differ.

    python benchmarks/arm64.py > OUT.md

Debian's arm64 Python and qemu-user-static are fetched with apt-get and unpacked with dpkg-deb into a folder, NumPy and
ONNX Runtime with pip: nothing is installed and root is not needed, but a Debian of x86_64 with pip is. The processor is
EMULATED: this shows that the runner and the aarch64 wheels work, not the time of a Jetson.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from os import environ
from pathlib import Path

from cxrkit import deploy
from cxrkit.deploy import _films

MODEL = "covid-small"
#: What pip may take for ARM; Debian 12 has glibc 2.36.
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")


def call(*command: str | Path) -> str:
    """Run a command to its end; return what it printed, or exit with its last line."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"code {done.returncode}"]
        raise SystemExit(f"{Path(command[0]).name} failed: {lines[-1]}")
    return done.stdout


def wheels(folder: Path, runtime: str, numpy: str, *options: str) -> Path:
    """Unpack ONNX Runtime and NumPy, and nothing else, into a folder for PYTHONPATH."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade")
    call(*pip, "--only-binary=:all:", *options, "--target", folder, f"onnxruntime=={runtime}", f"numpy=={numpy}")
    return folder


def predict(python: list[str], packages: Path, bundle: Path, images: Path, out: Path) -> deploy.Run:
    """Run a bundle's runner in a Python that sees those packages alone, with one thread."""
    held = {"PATH": environ["PATH"], "HOME": str(out.parent), "PYTHONPATH": str(packages), "OPENBLAS_NUM_THREADS": "1"}
    command = [*python, bundle / "runner.py", bundle, images, "--out", out, "--engine", "onnxruntime", "--threads", "1"]
    done = subprocess.run(command, env=held, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the runner ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return deploy.read_run(out)


def packed(bundle: Path, count: int, folder: Path) -> _films.Packed:
    """Prepare course images: neither side has Pillow."""
    folder.mkdir()
    return _films.pack(deploy.Films(most=count), deploy.read(bundle).info, folder, pillow=False)


def machine(folder: Path) -> list[str]:
    """Fetch and unpack qemu and an arm64 Python; return the command that runs it."""
    state, cache, root = folder / "apt", folder / "cache", folder / "root"
    (state / "lists/partial").mkdir(parents=True)
    (cache / "archives/partial").mkdir(parents=True)
    # An empty list of installed packages and lists of its own: those of the machine stay unchanged.
    (state / "status").touch()
    options = [f"Dir::State={state}", f"Dir::State::status={state / 'status'}", f"Dir::Cache={cache}"]
    options += ["APT::Architectures::=amd64", "APT::Architectures::=arm64"]
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    call(*apt, "update")
    wanted = ("python3:arm64", "libstdc++6:arm64", "qemu-user-static:amd64")
    call(*apt, "install", "--download-only", "--yes", "--no-install-recommends", *wanted)
    for package in (cache / "archives").glob("*.deb"):
        if package.name.endswith("_arm64.deb") or package.name.startswith("qemu-user-static_"):
            call("dpkg-deb", "-x", package, root if package.name.endswith("_arm64.deb") else folder / "qemu")
    python = str((root / "usr/bin/python3").resolve())
    return [str(folder / "qemu/usr/bin/qemu-aarch64-static"), "-L", str(root), python]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--runtime", default="1.20.1", help="ONNX Runtime on both sides; 1.32.0 crashes under qemu")
    options = parser.parse_args()
    if platform.machine() != "x86_64":
        raise SystemExit(f"this machine is {platform.machine()}, not x86_64; run the bundle itself (docs/device.md).")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arm = machine(folder)
        release = call(*arm, "-c", "import sys; print(*sys.version_info[:2], sep='.')").strip()
        tags = [f"--platform={tag}" for tag in WHEELS] + ["--implementation=cp", f"--python-version={release}"]
        there = wheels(folder / "arm64", options.runtime, version("numpy"), *tags)
        # The same releases here, so that only the processor differs.
        here = wheels(folder / "x86_64", options.runtime, version("numpy"))
        bundle = deploy.export(MODEL, folder / "bundle", target="jetson-nano").folder
        films = packed(bundle, options.films, folder / "films")
        images = films.files["images.csv"][0]
        runs = [
            predict(arm, there, bundle, images, folder / "arm"),
            # Without the packages of its site.
            predict([sys.executable, "-S"], here, bundle, images, folder / "here"),
        ]
        found = deploy.compare(*runs, thresholds=deploy.read(bundle).info["thresholds"], patients=films.patients)
    print(f"## 64-bit ARM, EMULATED\n\n{date.today()}; {MODEL}'s fp32 bundle, {len(films.patients)} course images.\n")
    print("| machine | Python | NumPy | ONNX Runtime | ms per image |\n|---|---|---|---|---|")
    for run in runs:
        device, ms = run.result["device"], 1000 * run.result["seconds"]["inference"]["mean"]
        cells = [device["machine"], device["python"], device["numpy"], run.result["ran"]["engine_version"]]
        print("| " + " | ".join([*cells, f"{ms:.0f}"]) + " |")
    print(f"\nProbabilities differ by at most {found.agreement.largest:.2g}; predicted labels of ", end="")
    print(f"{len(found.agreement.changed)} of {found.agreement.images} images differ.")


if __name__ == "__main__":
    main()
