"""Run a bundle on 64-bit ARM, emulated, and on x86_64: how far the answers lie apart and what emulation costs.

    python benchmarks/arm64.py > OUT.md

Debian's arm64 Python and qemu-user-static are fetched with apt-get and unpacked with dpkg-deb into a folder, numpy and
ONNX Runtime with pip: nothing is installed and root is not needed, a Debian of x86_64 with pip is. The processor is
EMULATED: that the runner and the aarch64 wheels work there is shown, a Jetson's time is not.
"""

import argparse
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from os import environ, getloadavg
from pathlib import Path

from cxrkit import deploy
from cxrkit.deploy import _films

MODEL = "covid-small"
#: What pip may take for ARM; Debian 12 has glibc 2.36.
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
#: A processor without the newer instructions, beside all that qemu knows: to see whether a crash is theirs.
PLAIN = "cortex-a57"
#: Runs a bundle's runner as its command line does, and says what the films alone took: no start, no warm-up.
TIMED = """
import sys, time
sys.path.insert(0, sys.argv[1])
import runner
films = runner.Run.films
def timed(self, listed):
    began = time.process_time()
    films(self, listed)
    print("films took", time.process_time() - began, file=sys.stderr)
runner.Run.films = timed
sys.exit(runner.main(sys.argv[1:]))
"""


def call(*command: str | Path) -> str:
    """Run a command to its end; return what it printed, or leave with its last words."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise SystemExit(f"{Path(command[0]).name} cannot bring what is needed: {said[-1]}")
    return done.stdout


def wheels(folder: Path, runtime: str, numpy: str, *options: str) -> Path:
    """Unpack ONNX Runtime and numpy, and nothing else, into a folder for PYTHONPATH."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade")
    call(*pip, "--only-binary=:all:", *options, "--target", folder, f"onnxruntime=={runtime}", f"numpy=={numpy}")
    return folder


def execute(python: list[str], packages: Path, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python that sees no packages but those, with one thread."""
    held = {"PATH": environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(packages), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run([*python, *arguments], env=held, cwd=folder, capture_output=True, text=True)


def answers(python: list[str], packages: Path, bundle: Path, films: Path, out: Path) -> tuple[deploy.Run, float]:
    """Run a bundle; return its run and the seconds of processor time that all films took."""
    arguments = ["-c", TIMED, str(bundle), str(films), "--out", str(out), "--engine", "onnxruntime", "--threads", "1"]
    done = execute(python, packages, arguments, out.parent)
    took = re.search(r"^films took (\S+)$", done.stderr, re.MULTILINE)
    if done.returncode or took is None:
        raise SystemExit(f"the runner ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return deploy.read_run(out), float(took[1])


@contextmanager
def place(named: Path | None):
    """Yield the folder named, or one that goes when all is done."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        yield named.absolute()
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def machine(folder: Path) -> list[str]:
    """Fetch and unpack qemu and an arm64 Python; return the command that runs it."""
    for name in ("apt-get", "dpkg-deb"):
        if not shutil.which(name):
            raise SystemExit(f"{name} is missing; Debian's arm64 packages are fetched and unpacked with it.")
    state, cache, root = folder / "apt", folder / "cache", folder / "root"
    (state / "lists/partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives/partial").mkdir(parents=True, exist_ok=True)
    # An empty list of what is installed, and lists of its own: the machine's stay as they are.
    (state / "status").touch()
    options = [f"Dir::State={state}", f"Dir::State::status={state / 'status'}", f"Dir::Cache={cache}"]
    options += ["APT::Architectures::=amd64", "APT::Architectures::=arm64"]
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    call(*apt, "update")
    wanted = ("python3:arm64", "libstdc++6:arm64", "qemu-user-static:amd64")
    call(*apt, "install", "--download-only", "--yes", "--no-install-recommends", *wanted)
    for package in (cache / "archives").glob("*_arm64.deb"):
        call("dpkg-deb", "-x", package, root)
    for package in (cache / "archives").glob("qemu-user-static_*.deb"):
        call("dpkg-deb", "-x", package, folder / "qemu")
    return [
        str(folder / "qemu/usr/bin/qemu-aarch64-static"),
        "-L",
        str(root),
        str((root / "usr/bin/python3").resolve()),
    ]


def ended(done: subprocess.CompletedProcess[str]) -> str:
    """Say in words how a command that failed ended."""
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    return (done.stderr.strip().splitlines() or ["?"])[-1]


def runtime_for(python: list[str], asked: list[str], folder: Path) -> tuple[str, Path, list[str]]:
    """Return the first ONNX Runtime of those asked for that this Python imports, its folder, and how others ended."""
    said = call(*python, "-c", "import sys; print(*sys.version_info[:2], sep='.')").strip()
    options = [f"--platform={name}" for name in WHEELS] + ["--implementation=cp", f"--python-version={said}"]
    failed = []
    for runtime in asked:
        packages = wheels(folder / f"arm64-{runtime}", runtime, version("numpy"), *options)
        found = execute(python, packages, ["-c", "import onnxruntime"], folder)
        if not found.returncode:
            return runtime, packages, failed
        plain = execute([python[0], "-cpu", PLAIN, *python[1:]], packages, ["-c", "import onnxruntime"], folder)
        also = f"also as {PLAIN}" if plain.returncode else f"not as {PLAIN}"
        failed.append(f"ONNX Runtime {runtime} ends there on import ({ended(found)}, {also}).")
    raise SystemExit(f"no ONNX Runtime of {', '.join(asked)} can be imported under qemu; name another (--runtimes).")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keep here what is fetched and made; by default it goes")
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2, help="runs of both, in turn; the least time counts")
    parser.add_argument(
        "--runtimes", nargs="+", default=[version("onnxruntime"), "1.20.1"], help="the first that can be imported runs"
    )
    options = parser.parse_args()
    if platform.machine() != "x86_64":
        raise SystemExit(f"this machine is {platform.machine()}, not x86_64; run the bundle itself (docs/device.md).")
    load = getloadavg()[0]
    with place(options.folder) as folder:
        arm = machine(folder)
        runtime, arm_packages, failed = runtime_for(arm, options.runtimes, folder)
        # The same releases here, so that nothing but the processor is another.
        packages = wheels(folder / f"x86_64-{runtime}", runtime, version("numpy"))
        with tempfile.TemporaryDirectory(dir=folder) as name:
            work = Path(name)
            bundle = deploy.export(MODEL, work / "bundle", target="jetson-nano", precision="fp32").folder
            info = deploy.read(bundle).info
            side = info["input_size"]
            films = _films.pack(None, None, work, labels=info["labels"], side=side, most=options.films)
            count = len(films.patients)
            took: dict[str, list[float]] = {"arm": [], "here": []}
            for number in range(options.rounds):
                there, seconds = answers(arm, arm_packages, bundle, films.here, work / f"arm-{number}")
                took["arm"].append(seconds / count)
                # Without its site's packages: no Pillow on either side.
                here, seconds = answers([sys.executable, "-S"], packages, bundle, films.here, work / f"here-{number}")
                took["here"].append(seconds / count)
            found = deploy.compare(there, here, thresholds=info["thresholds"], patients=films.patients)
        qemu = re.search(r"version (\S+)", call(arm[0], "--version"))
    if found.unanswered or qemu is None:
        raise SystemExit(f"films without an answer: {', '.join(found.unanswered) or 'none'}; qemu: {qemu}")
    agreement, times = found.agreement, [min(took["arm"]), min(took["here"])]
    print(f"""## 64-bit ARM, emulated

{date.today()}, `python {shlex.join(sys.argv)}`, load {load:.1f} before, {getloadavg()[0]:.1f} after. {MODEL}'s fp32
bundle for jetson-nano over {count} course films with one thread; the arm64 Python is that of
{there.result["device"]["system"]}, under `qemu-aarch64-static` {qemu[1]}. The processor is
EMULATED: that the runner and the aarch64 wheels work is shown, a Jetson's time is not.

| machine | Python | numpy | ONNX Runtime | Pillow | processor time a film |
|---|---|---|---|---|---|""")
    for words, run, seconds in zip(("emulated", "this one"), (there, here), times, strict=True):
        device, engine = run.result["device"], run.result["ran"]["engine_version"]
        cells = [f"{device['machine']}, {words}", device["python"], device["numpy"], engine, device["pillow"] or "none"]
        print("| " + " | ".join([*cells, f"{seconds:.3g} s"]) + " |")
    print(f"""
Probabilities differ by at most {agreement.largest:.2g}; {len(agreement.changed)} of {agreement.films} films are
called otherwise. Emulation takes {times[0] / times[1]:.0f} times as long (least of {options.rounds} runs in turn).""")
    for words in failed:
        print(words)


if __name__ == "__main__":
    main()
