"""A model folder run on this machine as a board runs a bundle: the same log, the same files, a process of its own.

    python -m cxrkit.deploy._here MODEL LIST OUT ENGINE

A process of its own, so that its peak memory is that of reading films and answering.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cxrkit import networks
from cxrkit.deploy import _answers, runner
from cxrkit.deploy._link import DeviceError
from cxrkit.deploy._runs import Run, read_run
from cxrkit.film import UnreadableImage, read, resize


def run_here(model: str | Path, listed: Path, out: Path, *, engine: str = "onnx") -> Run:
    """Run a model over a list of films, in a process of its own.

    Args:
        model: a bundled model or a model folder.
        listed: a CSV with `image`, `file` and perhaps `truth`.
        out: the folder for result.json, predictions.csv and log.txt.
        engine: as for `cxrkit.networks.load`.
    Returns:
        The run.
    Raises:
        DeviceError: it failed; the message has its last line.
    """
    command = [sys.executable, "-m", "cxrkit.deploy._here", str(model), str(listed), str(out), engine]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (runner.OK, runner.ERROR_ROWS):
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DeviceError(f"the run here failed: {said[-1] if said else f'code {done.returncode}'}")
    (out / "log.txt").write_text(done.stdout, encoding="utf-8")
    return read_run(out)


#: The package that runs each engine of `cxrkit.networks.load`.
_RUNTIMES = {"onnx": "onnxruntime", "keras": "keras"}


class _Original(runner.Run):
    """Films read and resized by cxrkit itself."""

    def film(self, data: bytes) -> np.ndarray:
        try:
            return resize(read(data).pixels, self.side)
        except UnreadableImage as error:
            raise runner.Unreadable(str(error)) from error


class _Predictor:
    """A `Predictor` in the shape of a runner's engines."""

    def __init__(self, predictor: networks.Predictor, kind: str, model: dict[str, Any]) -> None:
        self.name = _RUNTIMES[kind]
        self.version: str = __import__(self.name).__version__
        self.model, self._predictor = model, predictor

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self._predictor.predict(batch[..., 0], prepared=True).astype(np.float32)


def main(model: str, listed: str, out: str, kind: str) -> int:
    """Run one model; return the exit code."""
    memory = {"start": runner.held_mb(), "with_runtime": None}
    info = json.loads((networks.folder_of(model) / "model.json").read_text(encoding="utf-8"))
    file = f"model.{kind}"
    entry = {"file": file, "sha256": info["files"][file], "precision": "fp32", "batch": 1}
    entry |= {"weights_bytes": 0, "activation_bytes": 0}
    tries = iter([(kind, "onnxruntime", entry, lambda: _Predictor(networks.load(model, engine=kind), kind, entry))])
    engines = runner.Engines(tries, lambda text: print(text, file=sys.stderr))
    said = {**info, "scored": list(_answers.scored(info["labels"]))}
    return runner.measure(_Original, said, engines, listed, out, 3, memory, print)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
