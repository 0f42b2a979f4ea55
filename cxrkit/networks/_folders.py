"""Keras models on disk: class activation maps beside the probabilities, and the model folder."""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

# A model with SqueezeNet's layers cannot be loaded before these are known to Keras.
from cxrkit.networks import _squeeze  # noqa: F401 - registers the layer `Standardise`
from cxrkit.networks._predictor import folder_of, read_model, write_sidecar


def with_maps(model: keras.Model) -> keras.Model:
    """Add class activation maps to a model whose head is global average pooling and one dense layer.

    Args:
        model: (N, H, W, 1) -> (N, labels).
    Returns:
        A model with outputs "probs" (N, labels) and "maps" (N, h, w, labels): each label's logit before pooling,
        so that a map's mean, plus the dense layer's bias, is the logit. For softmax, logits are taken relative to
        their mean over classes, since only differences count.
    Raises:
        ValueError: another kind of head.
    Source:
        Zhou et al. 2016, arXiv:1512.04150.
    """
    dense = model.layers[-1]
    pools = [layer for layer in model.layers if isinstance(layer, layers.GlobalAveragePooling2D)]
    if not pools or not isinstance(dense, layers.Dense):
        raise ValueError(
            f"class activation maps need global average pooling and one dense layer as the head; {model.name} ends "
            f"in {', '.join(type(layer).__name__ for layer in model.layers[-3:])}. Use Grad-CAM (cxrkit.explain)."
        )
    kernel, bias = (np.asarray(value) for value in dense.get_weights())
    if dense.activation is keras.activations.softmax:
        kernel, bias = kernel - kernel.mean(axis=1, keepdims=True), bias - bias.mean()
    projection = layers.Conv2D(kernel.shape[1], 1, use_bias=False, name="maps")
    maps = projection(pools[-1].input)
    projection.set_weights([kernel[None, None]])
    # Probabilities are taken from the maps, so that the head's weights are in the exported file once.
    logits = layers.GlobalAveragePooling2D(name="logits")(maps) + bias
    probs = layers.Activation(dense.activation, name="probs")(logits)
    return keras.Model(model.input, {"probs": probs, "maps": maps}, name=model.name)


def save(model: keras.Model, folder: Path | str, sidecar: dict[str, Any]) -> Path:
    """Write a model folder: model.keras, model.onnx (with maps) and model.json.

    Args:
        model: (N, S, S, 1) -> (N, labels), as `build` makes it.
        folder: made if missing; these three files in it are replaced, the sidecar last.
        sidecar: the content of model.json except "files", which is added here: "name", "version", "labels",
            "input_size", "pixel_range" [0, 1], "thresholds" by label, "not_shown", and if known "training" and
            "figures".
    Returns:
        The folder.
    Raises:
        ValueError: the sidecar's labels or input size are not the model's.
        RuntimeError: with another backend than TensorFlow, the export failed in the process that does it.
    """
    folder = Path(folder)
    size, count = model.input_shape[1], model.output_shape[1]
    if (size, count) != (sidecar["input_size"], len(sidecar["labels"])):
        raise ValueError(
            f"the sidecar has {len(sidecar['labels'])} labels at {sidecar['input_size']} px; "
            f"the model has {count} at {size} px. Write the sidecar from the model."
        )
    folder.mkdir(parents=True, exist_ok=True)
    if keras.backend.backend() != "tensorflow":
        return _save_with_tensorflow(model, folder, sidecar)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        exported, kept = Path(scratch) / "model.onnx", Path(scratch) / "model.keras"
        inference = with_maps(model)
        inference(np.zeros((1, size, size, 1), np.float32))
        with warnings.catch_warnings():
            # Keras 3 replaces a part of tf2onnx with code that reads `np.object`, which NumPy 2 no longer has.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            inference.export(exported, format="onnx", verbose=False)
        # A copy that was never compiled: the optimiser's state would be two thirds of the file.
        bare = type(model).from_config(model.get_config())
        bare.set_weights(model.get_weights())
        bare.save(kept)
        for path in (exported, kept):
            path.replace(folder / path.name)
    return write_sidecar(folder, sidecar)


def _save_with_tensorflow(model: keras.Model, folder: Path, sidecar: dict[str, Any]) -> Path:
    """Save in another process: Keras exports ONNX on TensorFlow; on other backends it needs further packages."""
    code = (
        "import json, sys; from cxrkit import networks; save = networks.save; import keras; "
        "save(keras.models.load_model(sys.argv[1], compile=False), sys.argv[2], json.load(sys.stdin))"
    )
    with tempfile.TemporaryDirectory() as scratch:
        model.save(kept := f"{scratch}/model.keras")
        done = subprocess.run(
            [sys.executable, "-c", code, kept, str(folder)],
            input=json.dumps(sidecar),
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"the model could not be exported: {done.stderr.strip()}")
    return folder


def load_keras(name_or_folder: str | Path, *, input_size: int | None = None) -> keras.Model:
    """Load the Keras model of a model folder.

    Args:
        name_or_folder: a bundled name such as "covid-small", or the path of a model folder.
        input_size: side of another square input, pixels: a network of convolutions and a global pooling keeps its
            weights at every size. None: the size that it was saved with.
    Returns:
        A functional model that is not compiled, (N, S, S, 1) in [0, 1] -> (N, labels) probabilities.
    Raises:
        ModelError: no such model, a broken sidecar, or a file whose sha256 is not the sidecar's.
        ValueError: a size that the network cannot take.
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
