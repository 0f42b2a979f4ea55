"""Keras models as model folders."""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

# A model with SqueezeNet's layers cannot be loaded before these are known to Keras.
from cxrkit.networks import _small  # noqa: F401 - registers the layer `Standardise`
from cxrkit.networks._heads import with_maps
from cxrkit.networks._predictor import folder_of, read_model, write_sidecar


def save(
    model: keras.Model,
    folder: Path | str,
    labels: Sequence[str],
    *,
    name: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model folder: model.keras, model.onnx (with maps) and model.json (`Predictor.info`).

    No label counts as shown to work on real images. `write_sidecar` adds what is measured later.

    Args:
        model: (N, S, S, 1) -> (N, labels), as `build` makes it.
        folder: made if missing, and returned; these three files in it are replaced, model.json last.
        labels: names of the outputs, in order.
        name: of the model; None: that of the folder.
        thresholds: by label; None: 0.5 for all.
        training: how it was trained, for the model card.
    Raises:
        ValueError: another number of labels than the model has outputs, or another kind of head.
    """
    folder, size, count = Path(folder), model.input_shape[1], model.output_shape[1]
    if count != len(labels):
        raise ValueError(f"labels must name each output once; got {len(labels)} for the model's {count} outputs.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # A copy that was never compiled: the optimiser's state would be two thirds of the file.
        bare = type(model).from_config(model.get_config())
        bare.set_weights(model.get_weights())
        bare.save(Path(scratch) / "model.keras")
        if keras.backend.backend() == "tensorflow":
            export_onnx(with_maps(model), Path(scratch) / "model.onnx")
        else:
            _export_with_tensorflow(Path(scratch))
        for kind in ("keras", "onnx"):
            Path(scratch, f"model.{kind}").replace(folder / f"model.{kind}")
    sidecar = {
        "name": name or folder.resolve().name,
        "version": "1",
        "labels": list(labels),
        "input_size": size,
        "pixel_range": [0, 1],
        "thresholds": dict(thresholds or dict.fromkeys(labels, 0.5)),
        "not_shown": list(labels),
        "training": dict(training or {}),
        "figures": [],
    }
    return write_sidecar(folder, sidecar)


def export_onnx(model: keras.Model, path: Path | str) -> None:
    """Write a model that takes images (N, S, S, 1) as ONNX."""
    # Keras exports no model that was never called.
    model(np.zeros((1, *model.input_shape[1:]), np.float32))
    with warnings.catch_warnings():
        # Keras 3 replaces a part of tf2onnx with code that reads `np.object`, which NumPy 2 no longer has.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(path, format="onnx", verbose=False)


def _export_with_tensorflow(folder: Path) -> None:
    """Export in another process, because on other backends than TensorFlow Keras needs further packages for ONNX."""
    code = (
        "import sys; from cxrkit import networks; networks.start_tensorflow(); from cxrkit.networks import _folders; "
        "model = _folders.keras.models.load_model(sys.argv[1]); "
        "_folders.export_onnx(networks.with_maps(model), sys.argv[2])"
    )
    command = [sys.executable, "-c", code, *(str(folder / f"model.{kind}") for kind in ("keras", "onnx"))]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the model could not be exported: {done.stderr.strip()}")


def load_keras(name_or_folder: str | Path, *, input_size: int | None = None) -> keras.Model:
    """Load the Keras model of a model folder.

    Args:
        name_or_folder: as `load` takes it.
        input_size: side of another square input, pixels, with the same weights; None: the saved one.
    Returns:
        A functional model that is not compiled, (N, S, S, 1) in [0, 1] -> (N, labels) probabilities.
    Raises:
        ModelError, ValueError: as for `load`; a size that the network cannot take.
    """
    folder = folder_of(name_or_folder)
    read_model(folder, "model.keras")
    model = keras.models.load_model(folder / "model.keras", compile=False)
    if input_size is None or input_size == model.input_shape[1]:
        return model
    try:
        resized = keras.models.clone_model(model, input_tensors=keras.Input((input_size, input_size, 1), name="films"))
        resized.set_weights(model.get_weights())
    except ValueError as error:
        raise ValueError(f"{model.name} cannot take images of {input_size} px: {error}") from error
    return resized
