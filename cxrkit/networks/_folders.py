"""Models on disk: class activation maps beside the probabilities, and the model folder."""

import hashlib
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers


def with_maps(model: keras.Model) -> keras.Model:
    """Add class activation maps to a model whose head is global average pooling and one dense layer.

    Args:
        model: (N, H, W, 1) -> (N, labels).
    Returns:
        A model with outputs "probs" (N, labels) and "maps" (N, h, w, labels): each label's logit before pooling,
        so that a map's mean, plus the dense layer's bias, is the logit. For softmax, logits are taken against
        their mean over classes, since only differences count.
    Raises:
        ValueError: the head is another one.
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
        model: (N, S, S, 1) -> (N, labels).
        folder: made when missing; what it held of these three is replaced, the sidecar last.
        sidecar: what `cxrkit.networks._predictor` asks of model.json, without "files", which is filled in here.
    Returns:
        The folder.
    Raises:
        ValueError: the sidecar's labels or input size are not the model's.
    """
    folder = Path(folder)
    size, count = model.input_shape[1], model.output_shape[1]
    if (size, count) != (sidecar["input_size"], len(sidecar["labels"])):
        raise ValueError(
            f"the sidecar says {len(sidecar['labels'])} labels at {sidecar['input_size']} px; "
            f"the model has {count} at {size} px. Write the sidecar from the model."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        exported, kept = Path(scratch) / "model.onnx", Path(scratch) / "model.keras"
        inference = with_maps(model)
        inference(np.zeros((1, size, size, 1), np.float32))
        with warnings.catch_warnings():
            # Keras 3's own stand-in for tf2onnx asks NumPy 2 for a name that is gone, and a notebook would show that
            # as an error of ours.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            inference.export(exported, format="onnx", verbose=False)
        # A copy that was never compiled: the optimiser's state would be two thirds of the file.
        bare = type(model).from_config(model.get_config())
        bare.set_weights(model.get_weights())
        bare.save(kept)
        for path in (exported, kept):
            path.replace(folder / path.name)
    return write_sidecar(folder, sidecar)


def write_sidecar(folder: Path, sidecar: dict[str, Any]) -> Path:
    """Write model.json with the sha256 of the model files beside it.

    Args:
        folder: holds model.keras and model.onnx.
        sidecar: everything else that model.json says.
    Returns:
        The folder.
    """
    files = {name: sha256(folder / name) for name in ("model.keras", "model.onnx")}
    text = json.dumps({**sidecar, "files": files}, indent=2, ensure_ascii=False) + "\n"
    (folder / "model.json").write_text(text, encoding="utf-8")
    return folder


def sha256(path: Path | str) -> str:
    """Return the sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
