"""Grad-CAM, Grad-CAM++, Score-CAM and saliency of a Keras model, through tf-keras-vis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cxrkit import networks

#: Beyond this a sigmoid is 0 or 1 in float32; larger logits would make the softmax that Score-CAM takes underflow.
_LOGIT_LIMIT = 40.0
#: Covered images that Score-CAM runs at a time: 32 took 340 MB with findings14-small, 8 take 170 (2026-11-24).
_COVERED = 8


class Explainer:
    """A Keras model ready for heat maps; make one with `explain.explainer`.

    Attributes:
        labels, thresholds, input_size: as of a `Predictor`.
        layer: the layer whose feature maps Grad-CAM, Grad-CAM++ and Score-CAM read: the last one that gives a map of
            more than one place. tf-keras-vis would take the last convolution: in a DenseNet 32 of 1,024 channels.
        activation: "sigmoid", "softmax", or "" where the model ends in neither: then its output itself is explained.
    """

    def __init__(
        self,
        model: keras.Model,
        labels: Sequence[str] | None,
        preprocess: Callable[[np.ndarray], np.ndarray] | None,
        score_cam_channels: int,
        thresholds: Mapping[str, float] | None,
    ) -> None:
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                f"tf-keras-vis needs Keras on TensorFlow; it runs on {keras.backend.backend()}. Set "
                "KERAS_BACKEND=tensorflow before Python starts, or use class activation maps (networks.load)."
            )
        if score_cam_channels < 1:
            raise ValueError(f"score_cam_channels must be at least 1; got {score_cam_channels}.")
        _check(model)
        (height, _, self._channels), count = model.inputs[0].shape[1:], model.outputs[0].shape[1]
        self.labels = tuple(map(str, range(count))) if labels is None else tuple(labels)
        if len(self.labels) != count:
            raise ValueError(f"labels must be {count}, one for each output of {model.name}; got {len(self.labels)}.")
        logits, self.activation = _logits(model)
        self.layer, self.input_size = _feature_layer(model), height
        self._options: dict[str, Any] = {"penultimate_layer": self.layer, "seek_penultimate_conv_layer": False}
        self._options |= {"expand_cam": False, "normalize_cam": False}
        self._model, self._preprocess = model, preprocess
        self._most = min(score_cam_channels, model.get_layer(self.layer).output.shape[-1])
        self._logits = keras.Model(model.inputs, logits, name="explained")
        self._two_way = _Silent(model.inputs, self._with_absence(logits), name="two_way")
        info: dict[str, Any] = {"name": model.name, "version": "", "labels": self.labels, "not_shown": ()}
        info |= {"input_size": height, "thresholds": thresholds or dict.fromkeys(self.labels, 0.5)}
        self._predictor = networks.Predictor(info, "", self._run)
        self.thresholds = self._predictor.thresholds

    def predict(self, films: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probability of each label for each image, as `Predictor.predict` does."""
        return self._predictor.predict(films)

    def raw_maps(self, films: Sequence[np.ndarray], columns: Sequence[int], method: str) -> np.ndarray:
        """Return maps of the outputs `columns` as the method makes them, before they are scaled.

        Returns:
            (images, columns, h, w), float32: the size of the feature maps, of the input for saliency. Only Grad-CAM has
            negative values. All explain the logit; for softmax compared with the mean over classes. Score-CAM explains
            the probability: of each sigmoid against its absence, of softmax among the classes.
        """
        batch = self._shown(np.stack([self._predictor.prepare(film) for film in films])[..., None])
        maker = {"grad-cam": self._grad_cam, "grad-cam++": self._grad_cam_plus_plus}
        maker |= {"score-cam": self._score_cam, "saliency": self._saliency}
        return np.stack([maker[method](batch, column) for column in columns], axis=1).astype(np.float32)

    def _shown(self, batch: np.ndarray) -> np.ndarray:
        batch = np.repeat(batch, self._channels, axis=3)
        return batch if self._preprocess is None else np.asarray(self._preprocess(batch), np.float32)

    def _run(self, batch: np.ndarray, maps: bool) -> list[np.ndarray]:
        probs = ops.convert_to_numpy(self._model(self._shown(batch), training=False))
        if probs.min() < -1e-3 or probs.max() > 1 + 1e-3:
            raise ValueError(
                f"{self._model.name} gives {probs.min():.3g} to {probs.max():.3g}, which are no probabilities. "
                'End it in keras.layers.Activation("sigmoid") or "softmax"; its heat maps stay the same.'
            )
        return [probs]

    def _with_absence(self, logits: Any) -> Any:
        """Return logits whose softmax, which Score-CAM takes, can be turned back into probabilities.

        tf-keras-vis takes a softmax over all outputs, also over findings that occur together. With a logit of 0 for
        absence beside the others, exp(z) / (exp(z) + exp(0)) is the sigmoid again.
        """
        if self.activation == "softmax":
            return logits
        limited = ops.clip(logits, -_LOGIT_LIMIT, _LOGIT_LIMIT)
        return ops.concatenate([limited, ops.zeros_like(limited[:, :1])], axis=1)

    def _grad_cam(self, batch: np.ndarray, column: int) -> np.ndarray:
        from tf_keras_vis.gradcam import Gradcam

        # Evidence against the label is kept for now: like a class activation map it is cut after resizing.
        explain = Gradcam(self._logits)
        return np.asarray(explain(lambda logits: logits[:, column], batch, activation_modifier=None, **self._options))

    def _grad_cam_plus_plus(self, batch: np.ndarray, column: int) -> np.ndarray:
        import tensorflow as tf
        from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

        def level(logits):
            # tf-keras-vis multiplies by exp(logit), which scales the map of an image and may overflow.
            return logits[:, column] - tf.stop_gradient(logits[:, column])

        return np.asarray(GradcamPlusPlus(self._logits)(level, batch, **self._options))

    def _saliency(self, batch: np.ndarray, column: int) -> np.ndarray:
        from tf_keras_vis.saliency import Saliency

        return np.asarray(Saliency(self._logits)(lambda logits: logits[:, column], batch, normalize_map=False))

    def _score_cam(self, batch: np.ndarray, column: int) -> np.ndarray:
        from tf_keras_vis.scorecam import Scorecam

        def prob(shares):
            if self.activation == "softmax":
                return shares[:, column]
            return shares[:, column] / (shares[:, column] + shares[:, -1])

        # One image at a time: the channels that vary most are chosen per image, and memory stays bounded.
        options = {"batch_size": _COVERED, "max_N": self._most, **self._options}
        return np.concatenate([Scorecam(self._two_way)(prob, one[None], **options) for one in batch])


class _Silent(keras.Model):
    """A model whose `predict`, which Score-CAM calls, draws no progress bar."""

    def predict(self, x, batch_size=None):
        (batch,) = x
        return super().predict(batch, batch_size=batch_size, verbose=0)


class _Linear(layers.Layer):
    """A dense layer without its activation, on the same weights."""

    def __init__(self, dense: layers.Dense) -> None:
        super().__init__(name="logits")
        self.dense = dense

    def call(self, pooled):
        logits = ops.matmul(pooled, self.dense.kernel)
        return logits + self.dense.bias if self.dense.use_bias else logits


def shuffled(model: keras.Model, seed: int) -> keras.Model:
    """Return a copy of a model with each array of weights in a random order; the model stays unchanged."""
    rng = np.random.default_rng(seed)
    copy = keras.models.clone_model(model)
    copy.set_weights([rng.permuted(weights) for weights in model.get_weights()])
    return copy


def _logits(model: keras.Model) -> tuple[Any, str]:
    """Return the output before a last sigmoid or softmax, symbolic (N, labels), and which of them it is."""
    last = model.outputs[0]._keras_history.operation
    kind = getattr(getattr(last, "activation", None), "__name__", type(last).__name__.lower())
    if kind not in ("sigmoid", "softmax"):
        return model.outputs[0], ""
    logits = _Linear(last)(last.input) if isinstance(last, layers.Dense) else last.input
    # Softmax depends on differences of logits only.
    return (logits - ops.mean(logits, axis=-1, keepdims=True) if kind == "softmax" else logits), kind


def _feature_layer(model: keras.Model) -> str:
    for layer in reversed(model.layers):
        shape = () if isinstance(layer, layers.InputLayer) else getattr(layer.output, "shape", ())
        # Pooling with keepdims and squeeze-and-excite give "maps" of one place.
        if len(shape) == 4 and shape[1:3] != (1, 1):
            return layer.name
    raise ValueError(f"{model.name} has no layer that gives feature maps; a convolution is needed.")


def _check(model: keras.Model) -> None:
    """Refuse a model that cannot be explained, with a way out."""
    if isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(f"{model.name} has no input yet; use model.build((None, height, width, channels)).")
    if not isinstance(model, keras.Sequential | keras.Function):
        raise ValueError(
            f"a model must be functional or Sequential to be explained; {model.name} is a {type(model).__name__}. "
            "Call its layers on a keras.Input and make a keras.Model of that."
        )
    if inner := [layer.name for layer in model.layers if isinstance(layer, keras.Model)]:
        raise ValueError(
            f"{model.name} holds another model, {inner[0]}, whose layers tf-keras-vis cannot reach. Connect the head "
            "to its output: keras.Model(backbone.input, head(backbone.output))."
        )
    match [list(tensor.shape) for tensor in (*model.inputs, *model.outputs)]:
        case [[_, height, width, 1 | 3], [_, _]] if height is not None and height == width:
            return
    raise ValueError(
        f"a model must take one input (N, side, side, 1 or 3) and give one output (N, labels) to be explained; "
        f"{model.name} takes {[one.shape for one in model.inputs]} and gives {[one.shape for one in model.outputs]}. "
        "Build it with a fixed square input, global average pooling and a dense layer."
    )
