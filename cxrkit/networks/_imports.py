"""Published chest networks of others as model folders: CheXNet-Keras and TorchXRayVision.

Labels, preprocessing and thresholds are the original's. No finding counts as shown to work on real images.
"""

import importlib
import math
import re
import zipfile
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import layers

from cxrkit.film import sha256_of
from cxrkit.labels import FINDINGS
from cxrkit.networks._backbones import build
from cxrkit.networks._folders import save
from cxrkit.networks._heads import with_head
from cxrkit.networks._predictor import ModelError
from cxrkit.networks._small import keras2_weights

#: Outputs of TorchXRayVision's DenseNets, in order; a released model has gaps where it was not trained.
_XRV_LABELS = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion"),
    *("Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia"),
    *("Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"),
)
#: The weights of a batch normalisation, by torch's name and Keras'. torch adds 1e-5 to the variance and Keras' DenseNet
#: 1.001e-5, which is less than float32 resolves in variances of about one.
_NORM_WEIGHTS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def import_model(
    path: Path | str,
    folder: Path | str,
    *,
    release: str | None = None,
    trust: bool = False,
    expected_sha256: str | None = None,
) -> Path:
    """Make a model folder of a network that others published: CheXNet-Keras (.h5) or TorchXRayVision (.pt).

    TorchXRayVision's files are pickles of a whole module: opening one runs whatever code it names. So one is opened
    only if its sha256 is `expected_sha256`, or with `trust`. A state dict (`torch.save(model.state_dict(), path)`)
    contains only data, and needs neither.

    Args:
        path: CheXNet-Keras' `.h5` of weights or of the whole model (DenseNet121 with 14 sigmoid outputs, as Keras 2
            stored it), or a `.pt` of a TorchXRayVision DenseNet.
        folder: to write, and returned; a new or empty one. The report's 14 labels come first, in its order; outputs
            without a name are left out. CheXNet-Keras has no thresholds, so these are 0.5.
        release: of a .pt, e.g. "densenet121-res224-nih": take that release's labels and operating points. None takes
            all 18 labels, and the operating points in the state dict, or 0.5.
        trust, expected_sha256: open a pickle of a module whatever it is, or with this sha256 from a trusted source.
    Raises:
        ModelError: a file that is no such network, or may not be opened; an unknown release; torch is not installed.
    Source:
        https://github.com/brucechou1983/CheXNet-Keras; Rajpurkar et al. 2017, arXiv:1711.05225.
        Cohen et al. 2022, arXiv:2111.00595; https://github.com/mlmed/torchxrayvision.
    """
    path, folder = Path(path), Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; name a new folder.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    if path.suffix in (".h5", ".hdf5"):
        model, title = build("DenseNet121", "findings", input_size=224), "CheXNet-Keras"
        stored, thresholds = keras2_weights(path), dict.fromkeys(FINDINGS, 0.5)
        # CheXNet-Keras calls the head so.
        stored = {("probs" if layer == "predictions" else layer, name): each for (layer, name), each in stored.items()}
    elif path.suffix in (".pt", ".pth"):
        state = _torch_state(path, trust, expected_sha256)
        names, points = _release(release, state)
        row_of = {name: row for row, name in enumerate(names) if name}
        labels = (*(name for name in FINDINGS if name in row_of), *(name for name in row_of if name not in FINDINGS))
        films = keras.Input((224, 224, 1), name="films")
        # Its networks take pixels from -1024 to 1024.
        x = layers.Rescaling(2048.0, -1024.0, name="preprocess")(films)
        features = keras.applications.DenseNet121(include_top=False, weights=None, input_tensor=x).output
        model = with_head(films, features, labels, "sigmoid", name="densenet121")
        title = f"TorchXRayVision {release or 'DenseNet121'}"
        stored = _from_torch(state, [row_of[name] for name in labels])
        thresholds = {name: points[row_of[name]] for name in labels}
    else:
        raise ModelError(f"{path.name} must be a .h5 of CheXNet-Keras or a .pt of TorchXRayVision.")
    # Every weight, or an error.
    for layer in model.layers:
        for variable in layer.weights:
            key, shape = (layer.name, variable.name), tuple(variable.shape)
            if key not in stored or stored[key].shape != shape:
                came = f"shape {stored[key].shape}" if key in stored else "nothing"
                it_has = f"for {'/'.join(key)} it has {came}, DenseNet121 needs shape {shape}."
                raise ModelError(f"{path.name} is not this network: {it_has}")
            variable.assign(stored[key])
    about = {"imported": title, "file": path.name, "sha256": sha256_of(path), "date": date.today().isoformat()}
    return save(model, folder, list(thresholds), name=path.stem, thresholds=thresholds, training=about)


def _extra(name: str, why: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModelError(f"{why}, which is an extra; install it with `pip install 'cxrkit[torch]'`.") from error


def _torch_state(path: Path, trust: bool, expected_sha256: str | None) -> dict[str, Any]:
    torch = _extra("torch", "reading a .pt file needs torch")
    if expected_sha256 is not None and sha256_of(path) != expected_sha256.lower():
        raise ModelError(
            f"{path.name} has sha256 {sha256_of(path)}, not {expected_sha256}: it is another file, or it was damaged. "
            "Download it again, and check where the sha256 came from."
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if not zipfile.is_zipfile(path) and path.read_bytes()[:1] != b"\x80":
            raise ModelError(f"{path.name} is no file of torch.save ({error}).") from error
        if not (trust or expected_sha256):
            raise ModelError(
                f"{path.name} is a pickle of a whole module: opening it runs the code that it names, and a changed "
                "file could do anything on this machine. Give its sha256 if you know it, or --trust if you know where "
                "the file came from; or save its state_dict() where it was made, which needs neither."
            ) from error
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=False)
        except ModuleNotFoundError as missing:
            way = "install that too, or save a state_dict()."
            raise ModelError(f"{path.name} is a pickle that needs {missing.name}; {way}") from missing
    state = loaded.state_dict() if hasattr(loaded, "state_dict") else loaded
    if not isinstance(state, dict) or not {"features.conv0.weight", "classifier.weight"} <= state.keys():
        raise ModelError(
            f"{path.name} holds no DenseNet of TorchXRayVision (features.conv0.weight to classifier.weight)."
        )
    return {name: np.asarray(value.detach()) for name, value in state.items() if hasattr(value, "detach")}


def _release(release: str | None, state: dict[str, Any]) -> tuple[list[str], list[float]]:
    """Return the labels ("" where the release has none) and the operating points, 0.5 where there is none."""
    count, about = len(state["classifier.bias"]), {"labels": _XRV_LABELS, **state}
    if release is not None:
        torchxrayvision = _extra("torchxrayvision", "a release's labels and operating points are in torchxrayvision")
        known = {name: about for name, about in torchxrayvision.models.model_urls.items() if "densenet121" in name}
        if release not in known:
            raise ModelError(f"release must be one of {', '.join(known)}; got {release!r}.")
        about = known[release]
    names, points = list(about["labels"]), about.get("op_threshs", [math.nan] * count)
    if len(names) != count:
        found = f"{release or 'TorchXRayVision'} has {len(names)}; name its release."
        raise ModelError(f"the network has {count} outputs, and {found}")
    return names, [float(p) if 0 <= float(p) <= 1 else 0.5 for p in points]


def _from_torch(state: dict[str, np.ndarray], rows: list[int]) -> dict[tuple[str, str], np.ndarray]:
    """Rename and turn TorchXRayVision's arrays: (layer, weight) -> array as Keras' DenseNet121 has them."""
    found = {}
    for name, array in state.items():
        layer, _, weight = name.rpartition(".")
        if layer == "classifier":
            found["probs", "kernel" if weight == "weight" else "bias"] = array[rows].T
        elif layer.startswith("features.") and array.ndim == 4:
            found[_keras_layer(layer), "kernel"] = array.transpose(2, 3, 1, 0)
        elif layer.startswith("features.") and weight != "num_batches_tracked":
            found[_keras_layer(layer), _NORM_WEIGHTS[weight]] = array
    return found


def _keras_layer(layer: str) -> str:
    """Return Keras' name of a layer: "features.denseblock2.denselayer3.norm1" is "conv3_block3_0_bn"."""
    kind = "bn" if "norm" in layer else "conv"
    match [int(number) for number in re.findall(r"\d+", layer)]:
        case [block, number_in_block, number]:
            # Keras counts a layer's normalisations from 0 and its convolutions from 1.
            return f"conv{block + 1}_block{number_in_block}_{number - (kind == 'bn')}_{kind}"
        case [0]:
            return f"conv1_{kind}"
        case [transition] if "transition" in layer:
            return f"pool{transition + 1}_{kind}"
    return "bn" if layer == "features.norm5" else layer
