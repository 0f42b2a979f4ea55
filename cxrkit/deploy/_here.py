"""A model folder run on this machine as a runner runs a bundle on a board: the same log and files.

    python -m cxrkit.deploy._here MODEL LIST OUT ENGINE

It runs in a separate process, so that its peak memory is that of reading and predicting images alone.
"""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from cxrkit import film, networks
from cxrkit.deploy import runner
from cxrkit.deploy._bundle import DeployError
from cxrkit.deploy._compare import Run, read_run, scored

#: What each engine of `networks.load` runs: its file and its package.
_ENGINES = {"onnx": ("model.onnx", "onnxruntime"), "keras": ("model.keras", "keras")}


def run_here(model: str | Path, images: Path, out: Path, *, engine: str) -> Run:
    """Run a model over a list of images (a CSV for `runner.images_in`) in a separate process; write into `out`."""
    command = [sys.executable, "-m", "cxrkit.deploy._here", str(model), str(images), str(out), engine]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (runner.OK, runner.ERROR_ROWS):
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"code {done.returncode}"]
        raise DeployError(f"the run on this machine failed: {lines[-1]}")
    (out / "log.txt").write_text(done.stdout, encoding="utf-8")
    return read_run(out)


class _Engine:
    """A `Predictor` in the shape of a runner's engine."""

    def __init__(self, predictor: networks.Predictor, engine: str) -> None:
        file, self.name = _ENGINES[engine]
        self.version: str = importlib.import_module(self.name).__version__
        self.model = {"file": file, "sha256": predictor.sha256, "precision": "fp32", "batch": 1}
        self._predictor = predictor

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self._predictor.predict(batch[..., 0], prepared=True).astype(np.float32)


def main(model: str, images: str, out: str, engine: str) -> int:
    """Run one model; return the exit code."""
    memory = {"start": runner.memory_mb()}
    predictor = networks.load(model, engine=engine)

    def prepare(data: bytes) -> np.ndarray:
        try:
            return predictor.prepare(film.read(data).pixels)
        except film.UnreadableImage as error:
            raise runner.UnreadableError(str(error)) from error

    # Bytes of 0: there is no other runtime to fall back on.
    sizes = {"weights_bytes": 0, "activation_bytes": 0}
    tries = iter([(engine, "onnxruntime", sizes, lambda: _Engine(predictor, engine))])
    info = {**predictor.info, "scored": list(scored(predictor.labels))}
    return runner.measure(info, runner.Engines(tries), prepare, images, out, memory)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
