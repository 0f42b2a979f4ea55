"""Grad-CAM, Grad-CAM++, Score-CAM and saliency of a Keras model, through tf-keras-vis."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from cxrkit import networks
from cxrkit.explain._unnest import At, Graph
from cxrkit.film import sha256_of

#: Beyond this a sigmoid is 0 or 1 in float32; larger logits would make the softmax that Score-CAM takes underflow.
_LOGIT_LIMIT = 40.0
#: Covered films that Score-CAM asks about at a time: 32 took 340 MB with findings14-small, 8 take 170 (2026-11-24).
_COVERED = 8


class Explainer:
    """A Keras model ready for heat maps; make one with `explain.explainer`.

    Attributes:
        labels: names of the outputs, in order.
        layer: the layer whose feature maps Grad-CAM, Grad-CAM++ and Score-CAM read.
        activation: "sigmoid", "softmax", or "" where the model ends in neither: then its output itself is explained.
        input_size: side of the square that a film is resized to, pixels.
    """

    def __init__(
        self,
        model: keras.Model,
        labels: Sequence[str] | None = None,
        *,
        layer: str | None = None,
        input_size: int | None = None,
        preprocess: Callable[[np.ndarray], np.ndarray] | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                f"tf-keras-vis needs Keras on TensorFlow; it runs on {keras.backend.backend()}. Set "
                "KERAS_BACKEND=tensorflow before Python starts, or use class activation maps (networks.load)."
            )
        graph = Graph(model, layer=layer, input_size=input_size)
        height, width, channels = graph.films.shape[1:]
        count = graph.logits.shape[1]
        self.labels = tuple(map(str, range(count))) if labels is None else tuple(labels)
        if len(self.labels) != count or height != width:
            raise ValueError(
                f"labels must be {count}, one for each output of {model.name}; got {len(self.labels)}."
                if height == width
                else f"{model.name} takes films of {height} x {width} px; cxrkit resizes films to a square."
            )
        self.layer, self.activation, self.input_size = graph.layer, graph.activation, height
        self._model, self._channels, self._preprocess = model, channels, preprocess
        self._place = At(graph.features)
        self._logits = keras.Model([graph.films], graph.logits, name="explained")
        self._two_way = _Silent(graph.films, self._with_absence(graph), name="two_way")
        info: dict[str, Any] = {"name": model.name, "version": "", "labels": self.labels, "not_shown": ()}
        info |= {"input_size": height, "thresholds": thresholds or dict.fromkeys(self.labels, 0.5)}
        self._predictor = networks.Predictor(info, "", self._run)
        self.thresholds = self._predictor.thresholds

    def predict(self, films: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probability of each label for each film, as `Predictor.predict` does.

        Raises:
            ValueError: the model answers something else than probabilities.
        """
        return self._predictor.predict(films)

    def raw_maps(
        self,
        films: Sequence[np.ndarray],
        columns: Sequence[int],
        method: str,
        *,
        score_cam_channels: int | None = None,
    ) -> np.ndarray:
        """Return maps as the method makes them, each on its own scale.

        Args:
            films: (H, W) each, in [0, 1].
            columns: of the outputs to explain.
            method: one of `KERAS_METHODS`.
            score_cam_channels: as for `heat_maps`.
        Returns:
            (films, columns, h, w), float32: the size of the feature maps, of the input for saliency. Only Grad-CAM has
            negative values. All explain the logit; for softmax against the mean over classes. Score-CAM explains the
            probability, as it is defined: of each sigmoid against its absence, of softmax among the classes.
        """
        maker = {"grad-cam": _grad_cam, "grad-cam++": _grad_cam_plus_plus, "saliency": _saliency}.get(method)
        batch = self._batch(films)
        found = []
        for column in columns:
            if maker is not None:
                found.append(maker(self._logits, self._place, batch, column))
            else:
                # One film at a time: the channels that vary most are chosen film by film, and memory stays bounded.
                single = [self._score_cam(batch[k : k + 1], column, score_cam_channels) for k in range(len(batch))]
                found.append(np.concatenate(single))
        return np.stack(found, axis=1).astype(np.float32)

    def _batch(self, films: Sequence[np.ndarray]) -> np.ndarray:
        return self._shown(np.stack([self._predictor.prepare(film) for film in films])[..., None])

    def _shown(self, batch: np.ndarray) -> np.ndarray:
        batch = np.repeat(batch, self._channels, axis=3)
        return batch if self._preprocess is None else np.asarray(self._preprocess(batch), np.float32)

    def _run(self, batch: np.ndarray, maps: bool) -> list[np.ndarray]:
        answers = ops.convert_to_numpy(self._model(self._shown(batch), training=False))
        if answers.min() < -1e-3 or answers.max() > 1 + 1e-3:
            raise ValueError(
                f"{self._model.name} answers {answers.min():.3g} to {answers.max():.3g}, which are no probabilities. "
                'End it in keras.layers.Activation("sigmoid") or "softmax"; its heat maps stay the same.'
            )
        return [answers]

    def _with_absence(self, graph: Graph) -> Any:
        """Return logits whose softmax, which Score-CAM takes, can be turned back into probabilities.

        tf-keras-vis takes a softmax over all outputs, also over findings that occur together. With a logit of 0 for
        absence beside the others, exp(z) / (exp(z) + exp(0)) is the sigmoid again.
        """
        if graph.activation == "softmax":
            return graph.logits
        limited = ops.clip(graph.logits, -_LOGIT_LIMIT, _LOGIT_LIMIT)
        return ops.concatenate([limited, ops.zeros_like(limited[:, :1])], axis=1)

    def _score_cam(self, batch: np.ndarray, column: int, channels: int | None) -> np.ndarray:
        from tf_keras_vis.scorecam import Scorecam

        def prob(shares):
            if self.activation == "softmax":
                return shares[:, column]
            return shares[:, column] / (shares[:, column] + shares[:, -1])

        count = self._place.output.shape[-1]
        return np.asarray(
            Scorecam(self._two_way)(
                prob,
                batch,
                penultimate_layer=self._place,
                seek_penultimate_conv_layer=False,
                batch_size=_COVERED,
                max_N=None if channels is None else min(channels, count),
                expand_cam=False,
                normalize_cam=False,
            )
        )


class _Silent(keras.Model):
    """A model whose `predict`, which Score-CAM calls, draws no progress bar."""

    def predict(self, x, batch_size=None):
        (batch,) = x
        return super().predict(batch, batch_size=batch_size, verbose=0)


def read(name_or_folder: str | Path) -> tuple[keras.Model, dict[str, Any]]:
    """Read `model.keras` of a bundled model or a model folder, and the sidecar.

    Raises:
        networks.ModelError: no such model, or a file that is not the sidecar's.
    """
    folder = networks.folder_of(name_or_folder)
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    path = folder / "model.keras"
    if not path.is_file() or sha256_of(path) != info["files"].get("model.keras"):
        raise networks.ModelError(
            f"{folder.name}/model.keras is missing or not the file that model.json names. Copy the model folder again."
        )
    return keras.models.load_model(path, compile=False), info


def shuffled(model: keras.Model, seed: int) -> keras.Model:
    """Return a copy of a model with each array of weights in a random order; the model stays as it was."""
    rng = np.random.default_rng(seed)
    copy = keras.models.clone_model(model)
    copy.set_weights([rng.permuted(weights) for weights in model.get_weights()])
    return copy


def _grad_cam(model: keras.Model, place: At, batch: np.ndarray, column: int) -> np.ndarray:
    from tf_keras_vis.gradcam import Gradcam

    # What speaks against the label is kept for now: like a class activation map it is cut after resizing.
    maps = Gradcam(model)(lambda logits: logits[:, column], batch, activation_modifier=None, **_at(place))
    return np.asarray(maps)


def _grad_cam_plus_plus(model: keras.Model, place: At, batch: np.ndarray, column: int) -> np.ndarray:
    import tensorflow as tf
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

    def level(logits):
        # tf-keras-vis multiplies by exp(logit), which scales a film's map and nothing else, but may overflow.
        return logits[:, column] - tf.stop_gradient(logits[:, column])

    return np.asarray(GradcamPlusPlus(model)(level, batch, **_at(place)))


def _saliency(model: keras.Model, place: At, batch: np.ndarray, column: int) -> np.ndarray:
    from tf_keras_vis.saliency import Saliency

    return np.asarray(Saliency(model)(lambda logits: logits[:, column], batch, normalize_map=False))


def _at(place: At) -> dict[str, Any]:
    return {
        "penultimate_layer": place,
        "seek_penultimate_conv_layer": False,
        "expand_cam": False,
        "normalize_cam": False,
    }
