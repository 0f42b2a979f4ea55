"""Run a network's bundles elsewhere and here, with ONNX Runtime and NumPy alone: how far the predictions differ.

    python benchmarks/other_runtime.py older > OUT.md       # an old release of ONNX Runtime, as JetPack brings it
    python benchmarks/other_runtime.py arm64 > OUT.md       # 64-bit ARM, EMULATED

Packages are fetched with pip into a folder that is removed afterwards; for ARM also Debian's Python and qemu, with
apt-get and dpkg-deb. Nothing is installed and root is not needed, but for ARM a Debian of x86_64 is. It shows that the
runner and the aarch64 wheels work there, not the time of a Jetson.
"""

import argparse
import functools
import subprocess
import sys
import tempfile
from importlib.metadata import version
from os import environ
from pathlib import Path

from cxrkit import deploy
from cxrkit.deploy import _board

MODEL, IMAGES = "covid-small", 20
#: ONNX Runtime and NumPy there: the oldest for Python 3.11, and one that does not crash under qemu, as 1.32.0 does.
RUNTIMES = {"older": ("1.15.0", "1.26.4"), "arm64": ("1.20.1", version("numpy"))}
#: What pip may take for ARM; Debian 12 has glibc 2.36.
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
#: This machine's Python without the packages of its site.
HERE = (sys.executable, "-S")
#: What commands print goes to stderr, because stdout is the table.
call = functools.partial(subprocess.run, check=True, stdout=sys.stderr)


def emulated(folder: Path) -> tuple[str, ...]:
    """Fetch and unpack qemu and an arm64 Python; return the command that runs it."""
    state, cache, root = folder / "apt", folder / "cache", folder / "root"
    (state / "lists/partial").mkdir(parents=True)
    (cache / "archives/partial").mkdir(parents=True)
    # An empty list of installed packages and separate lists: those of the machine stay unchanged.
    (state / "status").touch()
    options = [f"Dir::State={state}", f"Dir::State::status={state / 'status'}", f"Dir::Cache={cache}"]
    options += ["APT::Architectures::=amd64", "APT::Architectures::=arm64"]
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    call([*apt, "update"])
    wanted = ("python3:arm64", "libstdc++6:arm64", "qemu-user-static:amd64")
    call([*apt, "install", "--download-only", "--yes", "--no-install-recommends", *wanted])
    for package in (cache / "archives").glob("*.deb"):
        call(["dpkg-deb", "-x", package, root if package.name.endswith("_arm64.deb") else folder / "qemu"])
    return str(folder / "qemu/usr/bin/qemu-aarch64-static"), "-L", str(root), str((root / "usr/bin/python3").resolve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("place", choices=RUNTIMES)
    place = parser.parse_args().place
    print(f"## {MODEL} elsewhere ({place}) and here, {IMAGES} course images\n")
    print("| bundle | largest difference | other label | machine | Python | NumPy | ONNX Runtime | ms per image |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        there, tags = (emulated(folder), [f"--platform={tag}" for tag in WHEELS]) if place == "arm64" else (HERE, [])
        if tags:
            tags += ["--implementation=cp", f"--python-version={Path(there[-1]).name.removeprefix('python')}"]
        # For ARM the same releases on both sides, so that only the processor differs.
        second = RUNTIMES["arm64"] if tags else (version("onnxruntime"), version("numpy"))
        sides = {"there": (there, RUNTIMES[place], tags), "here": (HERE, second, [])}
        for side, (_, (runtime, numpy), some) in sides.items():
            pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", *some)
            call([*pip, "--target", folder / side, f"onnxruntime=={runtime}", f"numpy=={numpy}"])
        for precision in deploy.PRECISIONS:
            work = folder / precision
            bundle = deploy.export(MODEL, work / "bundle", target="jetson-nano", precision=precision).folder
            (work / "images").mkdir()
            info, _ = deploy.read_bundle(bundle)
            files, *_ = _board.pack(None, IMAGES, info, work / "images", pillow=False)
            for side, (python, *_) in sides.items():
                held = {"PATH": environ["PATH"], "HOME": str(work), "PYTHONPATH": str(folder / side)}
                call([*python, bundle / "runner.py", bundle, files["images.csv"][0], "--out", work / side], env=held)
            runs = [deploy.read_run(work / side) for side in sides]
            found = deploy.compare(*runs).agreement
            for run in runs:
                device, ms = run.result["device"], 1000 * run.result["seconds"]["inference"]["mean"]
                cells = [precision, f"{found.largest:.2g}", f"{len(found.changed)} of {found.images}"]
                cells += [device["machine"], device["python"], device["numpy"], run.result["ran"]["engine_version"]]
                print(f"| {' | '.join(cells)} | {ms:.0f} |", flush=True)


if __name__ == "__main__":
    main()
