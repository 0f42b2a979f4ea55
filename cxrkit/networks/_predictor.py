"""One `Predictor`: radiographs in, probabilities and class activation maps out.

A model on disk is a folder: `model.onnx`, `model.keras`, `model.json` (the sidecar) and `README.md` (its model
card). The sidecar holds `name`, `version`, `labels` in order, `input_size` in pixels, `pixel_range` [0, 1],
`thresholds` per label, `not_shown` (labels not shown to work on real images), `training`, `figures` and `files`
(sha256 of both model files). `load` runs `model.onnx`, without TensorFlow.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxrkit.film import as_pixels, resize, sha256_of

_BUNDLED = Path(__file__).parent / "weights"
_REQUIRED = ("name", "version", "labels", "input_size", "pixel_range", "thresholds", "not_shown", "files")
#: Images of one forward pass, which bounds the memory.
_BATCH = 16


class ModelError(ValueError):
    """A model that cannot be used; the message gives the reason and what to do."""


class Predictor:
    """A model ready to predict; make one with `load`.

    Attributes:
        labels: names of the outputs, in order.
        input_size: side of the square that an image is resized to, pixels.
        thresholds: per label; an image is positive for the label from this probability on.
        not_shown: labels not shown to work on real images.
        sha256: of the model file that runs.
        info, name, version: the whole sidecar, and two of its entries.
    """

    def __init__(self, info: dict[str, Any], sha256: str, run: Callable[[np.ndarray, bool], list[np.ndarray]]) -> None:
        self.info, self.sha256, self._run = info, sha256, run
        self.name: str = info["name"]
        self.version: str = info["version"]
        self.labels: tuple[str, ...] = tuple(info["labels"])
        self.input_size: int = info["input_size"]
        self.thresholds: dict[str, float] = {label: float(info["thresholds"][label]) for label in self.labels}
        self.not_shown: frozenset[str] = frozenset(info["not_shown"])

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """Resize one image, (H, W) in [0, 1], to (input_size, input_size), float32; safe in several threads.

        An image that is not square is squashed to one, as in training. Wrong rank or range is a ValueError.
        """
        return resize(as_pixels(pixels), self.input_size)

    def predict(self, films: Sequence[np.ndarray] | np.ndarray, *, prepared: bool = False) -> np.ndarray:
        """Return the probability of each label for each image.

        Args:
            films: a sequence of (H, W) in [0, 1]; or, if `prepared`, (films, input_size, input_size) from `prepare`.
        Returns:
            (films, labels), float64, in [0, 1].
        """
        return self._outputs(films, prepared, maps=False)[0]

    def predict_maps(
        self, films: Sequence[np.ndarray] | np.ndarray, *, prepared: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities and class activation maps of films as for `predict`.

        Returns:
            (films, labels) float64 in [0, 1]; and (films, labels, h, w) float32, each label's logit before pooling,
            without its bias: positive where the image supports the label. Row 0 is the top of the image.
        """
        probs, maps = self._outputs(films, prepared, maps=True)
        return probs, np.moveaxis(maps, 3, 1)

    def _outputs(self, films: Sequence[np.ndarray] | np.ndarray, prepared: bool, *, maps: bool) -> list[np.ndarray]:
        if not len(films):
            return [np.empty((0, len(self.labels))), np.empty((0, 0, 0, len(self.labels)), np.float32)]
        size = self.input_size
        if prepared and (shape := np.shape(films))[1:] != (size, size):
            raise ValueError(f"prepared films must be (films, {size}, {size}); got shape {shape}.")
        found = []
        for start in range(0, len(films), _BATCH):
            batch = films[start : start + _BATCH]
            batch = np.asarray(batch if prepared else [self.prepare(film) for film in batch])
            found.append(self._run(np.ascontiguousarray(batch[..., None], np.float32), maps))
        probs, *rest = map(np.concatenate, zip(*found, strict=True))
        return [np.clip(probs.astype(np.float64), 0.0, 1.0), *rest]


def bundled() -> tuple[str, ...]:
    """Return the names of the models that come with cxrkit, sorted."""
    return tuple(sorted(path.parent.name for path in _BUNDLED.glob("*/model.json")))


def folder_of(name_or_folder: str | Path) -> Path:
    """Return the folder of a bundled model, such as "covid-small", or of a path; ModelError where there is none."""
    for folder in (_BUNDLED / str(name_or_folder), Path(name_or_folder)):
        if (folder / "model.json").is_file():
            return folder
    # A user's own network is usually a single file.
    way = " cxrkit.networks.save makes such a folder of a Keras model." if Path(name_or_folder).is_file() else ""
    raise ModelError(
        f"model must be one of {', '.join(bundled())} or a folder with a model.json; got {str(name_or_folder)!r}.{way}"
    )


def load(name_or_folder: str | Path, *, threads: int | None = None) -> Predictor:
    """Load a model folder; its Keras model is loaded by `load_keras`.

    Args:
        name_or_folder: a bundled name such as "covid-small", or the path of a model folder.
        threads: number of threads of one forward pass; None leaves the choice to ONNX Runtime.
    Raises:
        ModelError: no such model, a broken sidecar, or a file whose sha256 is not the sidecar's.
    """
    import onnxruntime

    info, data = read_model(folder_of(name_or_folder), "model.onnx")
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (film_input,) = session.get_inputs()

    def run(batch: np.ndarray, maps: bool) -> list[np.ndarray]:
        return session.run(["probs", "maps"] if maps else ["probs"], {film_input.name: batch})

    return Predictor(info, info["files"]["model.onnx"], run)


def read_model(folder: Path, file: str) -> tuple[dict[str, Any], bytes]:
    """Return a folder's sidecar and the bytes of its "model.onnx" or "model.keras", both checked (ModelError)."""
    name, again = f"{folder.name}/model.json", "copy the model folder again."
    try:
        info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{name} is no readable JSON ({error}); {again}") from error
    if missing := [key for key in _REQUIRED if not isinstance(info, dict) or key not in info]:
        raise ModelError(f"{name} lacks {', '.join(missing)}; export the model again.")
    for label in info["labels"]:
        value = info["thresholds"].get(label)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ModelError(f"{name}: the threshold of {label} must be a number in [0, 1]; got {value!r}.")
    if (pixel_range := info["pixel_range"]) != [0, 1]:
        way = "Put the scaling inside the model's graph."
        raise ModelError(f"{name}: pixel_range must be [0, 1]; got {pixel_range!r}. {way}")
    try:
        data = (folder / file).read_bytes()
    except OSError as error:
        raise ModelError(f"{folder.name}/{file} cannot be read ({error.strerror}); {again}") from error
    found, expected = hashlib.sha256(data).hexdigest(), str(info["files"].get(file))
    if found != expected:
        raise ModelError(
            f"{folder.name}/{file} has sha256 {found[:16]}..., but its sidecar has {expected[:16]}...: the file was "
            f"changed or is incomplete; {again}"
        )
    return info, data


def write_sidecar(folder: Path, sidecar: dict[str, Any]) -> Path:
    """Write model.json: `sidecar`, and the sha256 of the model files beside it; return the folder."""
    files = {name: sha256_of(folder / name) for name in ("model.keras", "model.onnx")}
    text = json.dumps({**sidecar, "files": files}, indent=2, ensure_ascii=False) + "\n"
    (folder / "model.json").write_text(text, encoding="utf-8")
    return folder
