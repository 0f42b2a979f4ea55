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
from importlib.metadata import version
from os import environ
from pathlib import Path

from cxrkit import deploy
from cxrkit.deploy import _films

MODEL = "covid-small"
#: What pip may take for ARM; Debian 12 has glibc 2.36.
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
#: This machine's Python without the packages of its site.
HERE = (sys.executable, "-S")


def call(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a command to its end; what it prints goes to stderr, because stdout is the table."""
    subprocess.run(command, env=env, check=True, stdout=sys.stderr)


def wheels(folder: Path, runtime: str, numpy: str, *options: str) -> Path:
    """Unpack ONNX Runtime and NumPy, and nothing else, into a folder for PYTHONPATH."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade")
    call(*pip, "--only-binary=:all:", *options, "--target", folder, f"onnxruntime=={runtime}", f"numpy=={numpy}")
    return folder


def predict(python: tuple[str, ...], packages: Path, bundle: Path, images: Path, out: Path) -> deploy.Run:
    """Run a bundle's runner in a Python that sees those packages alone, with one thread."""
    held = {"PATH": environ["PATH"], "HOME": str(out.parent), "PYTHONPATH": str(packages), "OPENBLAS_NUM_THREADS": "1"}
    options = ("--out", out, "--engine", "onnxruntime", "--threads", "1")
    call(*python, bundle / "runner.py", bundle, images, *options, env=held)
    return deploy.read_run(out)


def packed(bundle: Path, count: int, folder: Path) -> Path:
    """Prepare course images, for Pythons without Pillow; return their list."""
    folder.mkdir()
    files, *_ = _films.pack(deploy.Films(most=count), deploy.read(bundle).info, folder, pillow=False)
    return files["images.csv"][0]


def machine(folder: Path) -> tuple[str, ...]:
    """Fetch and unpack qemu and an arm64 Python; return the command that runs it."""
    state, cache, root = folder / "apt", folder / "cache", folder / "root"
    (state / "lists/partial").mkdir(parents=True)
    (cache / "archives/partial").mkdir(parents=True)
    # An empty list of installed packages and separate lists: those of the machine stay unchanged.
    (state / "status").touch()
    options = [f"Dir::State={state}", f"Dir::State::status={state / 'status'}", f"Dir::Cache={cache}"]
    options += ["APT::Architectures::=amd64", "APT::Architectures::=arm64"]
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    call(*apt, "update")
    wanted = ("python3:arm64", "libstdc++6:arm64", "qemu-user-static:amd64")
    call(*apt, "install", "--download-only", "--yes", "--no-install-recommends", *wanted)
    for name, place in (("*_arm64.deb", root), ("qemu-user-static_*.deb", folder / "qemu")):
        for package in (cache / "archives").glob(name):
            call("dpkg-deb", "-x", package, place)
    return str(folder / "qemu/usr/bin/qemu-aarch64-static"), "-L", str(root), str((root / "usr/bin/python3").resolve())


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
        release = Path(arm[-1]).name.removeprefix("python")
        tags = [f"--platform={tag}" for tag in WHEELS] + ["--implementation=cp", f"--python-version={release}"]
        bundle = deploy.export(MODEL, folder / "bundle", target="jetson-nano").folder
        images = packed(bundle, options.films, folder / "films")
        # The same releases on both sides, so that only the processor differs.
        runs = [
            predict(
                python, wheels(folder / kind, options.runtime, version("numpy"), *some), bundle, images, folder / out
            )
            for python, kind, some, out in ((arm, "arm64", tags, "there"), (HERE, "x86_64", (), "here"))
        ]
        found = deploy.compare(*runs, thresholds=deploy.read(bundle).info["thresholds"]).agreement
    print(f"## 64-bit ARM, EMULATED\n\n{MODEL}'s fp32 bundle, {options.films} course images.\n")
    print("| machine | Python | NumPy | ONNX Runtime | ms per image |\n|---|---|---|---|---|")
    for run in runs:
        device, ms = run.result["device"], 1000 * run.result["seconds"]["inference"]["mean"]
        cells = [device["machine"], device["python"], device["numpy"], run.result["ran"]["engine_version"], f"{ms:.0f}"]
        print(f"| {' | '.join(cells)} |")
    print(f"\nProbabilities differ by at most {found.largest:.2g}; predicted labels of ", end="")
    print(f"{len(found.changed)} of {found.images} images differ.")


if __name__ == "__main__":
    main()
