"""Two networks of a few numbers whose answers can be worked out by hand, and films for them.

A film whose mean is m has COVID-19 with probability 1 / (1 + exp(-16 (m - 0.5))): bright films have it. Finding k has
probability 1 / (1 + exp(-(20 m - k))): a film of mean 0.22 is positive for the first five, one of 0.02 for the first.
"""

import csv
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cxrkit import networks
from cxrkit.labels import COVID_CLASSES, FINDINGS

SIZE = 64


def covid_prob(mean: float) -> float:
    return 1 / (1 + math.exp(-16 * (mean - 0.5)))


def finding_prob(mean: float, k: int) -> float:
    return 1 / (1 + math.exp(-(20 * mean - k)))


def covid_model(folder: Path, *, slope: float = 8.0, **sidecar: object) -> Path:
    """Make the COVID-19 network in a folder; keywords replace entries of model.json."""
    return _model(folder, dict(zip(COVID_CLASSES, [(slope, -4.0), (-slope, 4.0)], strict=True)), "Softmax", sidecar)


def findings_model(folder: Path, **sidecar: object) -> Path:
    """Make the 14-finding network in a folder; keywords replace entries of model.json."""
    return _model(folder, {label: (20.0, -float(k)) for k, label in enumerate(FINDINGS)}, "Sigmoid", sidecar)


def brightness(
    name: str = "bright", labels: Sequence[str] = COVID_CLASSES, seen: list[int] | None = None, **info: object
) -> networks.Predictor:
    """A network in memory that predicts a film's mean m, and 1 - m, with maps in the upper left corner.

    `seen` is given the number of films of each batch; keywords replace entries of model.json.
    """

    def run(batch: np.ndarray, maps: bool) -> list[np.ndarray]:
        if seen is not None:
            seen.append(len(batch))
        mean = batch.mean(axis=(1, 2, 3))
        cams = np.zeros((len(batch), 2, 2, len(labels)), np.float32)
        cams[:, 0, 0] = 1
        return [np.stack([mean, 1 - mean][: len(labels)], axis=1), cams]

    thresholds = dict.fromkeys(labels, 0.5)
    usual = {"version": "1", "labels": labels, "input_size": 16, "thresholds": thresholds, "not_shown": []}
    return networks.Predictor({"name": name, **usual, **info}, "0" * 64, run)


def _model(folder: Path, logits: dict[str, tuple[float, float]], activation: str, sidecar: dict[str, object]) -> Path:
    """Make a network of each label's (slope, bias)."""
    slopes, biases = np.array(list(logits.values()), np.float32).T
    node, info, count = helper.make_node, helper.make_tensor_value_info, len(logits)
    steps = [
        node("Transpose", ["films"], ["planes"], perm=[0, 3, 1, 2]),
        node("AveragePool", ["planes"], ["small"], kernel_shape=[16, 16], strides=[16, 16]),
        node("Conv", ["small", "kernel"], ["features"]),
        node("Transpose", ["features"], ["maps"], perm=[0, 2, 3, 1]),
        node("ReduceMean", ["maps", "axes"], ["pooled"], keepdims=0),
        node("Add", ["pooled", "bias"], ["logits"]),
        node(activation, ["logits"], ["probs"]),
    ]
    shapes = {"films": ["n", SIZE, SIZE, 1], "probs": ["n", count], "maps": ["n", 4, 4, count]}
    ends = [info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    constants = {"kernel": slopes.reshape(-1, 1, 1, 1), "axes": np.array([1, 2]), "bias": biases}
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(steps, "tiny", ends[:1], ends[1:], weights)
    folder.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    about = {"name": folder.name, "version": "1", "labels": list(logits), "input_size": SIZE, "pixel_range": [0, 1]}
    about |= {"thresholds": dict.fromkeys(logits, 0.5), "not_shown": []}
    about["files"] = {"model.onnx": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()}
    (folder / "model.json").write_text(json.dumps(about | sidecar), encoding="utf-8")
    return folder


def film(mean: float, *, seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Draw a film of noise with this mean to a hundredth, uint8."""
    noise = np.random.default_rng(seed).uniform(-0.02, 0.02, (size, size))
    return np.rint((mean + noise - noise.mean()) * 255).astype(np.uint8)


def run_options(folder: Path) -> dict[str, Any]:
    """Make both networks in a folder and give the options of `triage.run` that name them and predict noise too."""
    models = {"covid_model": covid_model(folder / "covid"), "findings_model": findings_model(folder / "findings")}
    return {**models, "keep_rejected": True}


def command_line(options: dict[str, Any]) -> list[str]:
    """Return options of `triage.run` as its command takes them."""
    named = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    return [name if value is True else f"{name}={value}" for name, value in named.items()]


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def rows(out: Path, table: str = "combined") -> dict[str, dict[str, str]]:
    """Return the rows of one of triage's tables by name of the file."""
    with open(out / f"{table}.csv", encoding="utf-8", newline="") as file:
        return {row["Image Index"]: row for row in csv.DictReader(file)}
