"""A Keras model with models inside of it, laid out as one graph, with its logits and its last feature map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops


class Graph:
    """One graph that does what a nested model does, on the same weights.

    A model called as a layer is a graph of its own: its layers' outputs belong to its own input, which is what
    "Graph disconnected" and, in Keras 3, "Output with path `1` is not connected to `inputs`" are about. Here every
    layer, at any depth, is called once more, on one new input.

    Attributes:
        films: the input, symbolic.
        logits: (N, labels), symbolic: the output before a last sigmoid or softmax; for softmax against their mean over
            classes, since only differences count; the output itself where neither ends the model.
        activation: "sigmoid", "softmax" or "" for neither.
        features: (N, h, w, channels), symbolic: the last feature map on the way to the output.
        layer: name of the layer that makes `features`.
    """

    def __init__(self, model: keras.Model, *, layer: str | None = None, input_size: int | None = None) -> None:
        """Lay out a functional or Sequential model; raises ValueError where that cannot be done."""
        _check(model)
        shape = model.inputs[0].shape[1:]
        if None in shape[:2]:
            if input_size is None:
                raise ValueError(f"{model.name} takes films of any size {shape}; say which with input_size=224.")
            shape = (input_size, input_size, shape[2])
        self._made: dict[int, tuple[Any, list[Any], Any]] = {}
        self._named: dict[str, Any] = {}
        self._stand_ins: dict[int, _StandIn] = {}
        self.films = keras.Input(shape, dtype=model.inputs[0].dtype, name="films")
        (output,) = keras.tree.flatten(self._call(model, self.films))
        if len(output.shape) != 2:
            raise ValueError(
                f"a model must answer (N, labels) to be explained; {model.name} answers {output.shape}. "
                "Add global average pooling and a dense layer."
            )
        self.logits, self.activation = self._logits(output)
        self.features, self.layer = self._layer(model, layer) if layer else self._last_map(model)

    def _call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a layer on symbolic tensors; of a model its layers one by one."""
        if isinstance(operation, keras.Sequential | keras.Function):
            tensor = args[0] if args else kwargs["inputs"]
            if isinstance(operation, keras.Function):
                # What keras.models.clone_model does, but for models within models and on the same layers.
                return operation._run_through_graph(tensor, call_fn=self._call)
            for inner in operation.layers:
                tensor = self._call(inner, tensor)
            return tensor
        outputs = self._uniquely_named(operation)(*args, **kwargs)
        inputs = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, keras.KerasTensor)]
        for tensor in keras.tree.flatten(outputs):
            self._made[id(tensor)] = (operation, inputs, tensor)
        return outputs

    def _uniquely_named(self, operation: Any) -> Callable[..., Any]:
        """Return the operation, or, where another one has its name already, a layer that calls it."""
        if self._named.setdefault(operation.name, operation) is operation:
            return operation
        if id(operation) not in self._stand_ins:
            name = f"{operation.name}_inner_{len(self._stand_ins) + 1}"
            self._stand_ins[id(operation)] = _StandIn(operation, name=name)
        return self._stand_ins[id(operation)]

    def _logits(self, output: Any) -> tuple[Any, str]:
        operation, inputs, _ = self._made[id(output)]
        kind = getattr(getattr(operation, "activation", None), "__name__", "")
        if isinstance(operation, layers.Activation) and kind == "linear":
            return self._logits(inputs[0])
        if isinstance(operation, layers.Activation | layers.Dense) and kind in ("sigmoid", "softmax"):
            dense = isinstance(operation, layers.Dense)
            logits = _Linear(operation, name="logits")(inputs[0]) if dense else inputs[0]
        elif type(operation).__name__ in ("Sigmoid", "Softmax"):
            kind, logits = type(operation).__name__.lower(), inputs[0]
        else:
            return output, ""
        if kind == "softmax":
            logits = logits - ops.mean(logits, axis=-1, keepdims=True)
        return logits, kind

    def _last_map(self, model: keras.Model) -> tuple[Any, str]:
        found: dict[int, Any] = {}
        seen, waiting = set(), [self.logits]
        while waiting:
            tensor = waiting.pop()
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            # One place is no map: pooling with keepdims=True, and what squeezes and excites.
            if len(tensor.shape) == 4 and tensor.shape[1:3] != (1, 1):
                found[id(tensor)] = tensor
            else:
                waiting += self._inputs(tensor)
        if len(found) != 1 or id(self.films) in found:
            names = sorted(self._made[key][0].name for key in found if key in self._made)
            raise ValueError(
                f"{model.name} has no one last feature map: its head reads {', '.join(names) or 'the film itself'}. "
                "Pass layer=NAME to say which layer's output to look at."
            )
        ((key, tensor),) = found.items()
        return tensor, self._made[key][0].name

    def _inputs(self, tensor: Any) -> list[Any]:
        if id(tensor) in self._made:
            return self._made[id(tensor)][1]
        # The steps from the output to the logits were added here, not met in the model.
        node = tensor._keras_history.operation
        return [] if isinstance(node, layers.InputLayer) else list(keras.tree.flatten(node.input))

    def _layer(self, model: keras.Model, name: str) -> tuple[Any, str]:
        tensors = [tensor for operation, _, tensor in self._made.values() if operation.name == name]
        maps = [tensor for tensor in tensors if len(tensor.shape) == 4]
        if not maps:
            known = [operation.name for operation, _, tensor in self._made.values() if len(tensor.shape) == 4]
            raise ValueError(
                f"layer must be one of {model.name}'s that give feature maps, the last of which are "
                f"{', '.join(known[-5:])}; got {name!r}."
            )
        return maps[-1], name


class At(layers.Layer):
    """Stands for one symbolic tensor where tf-keras-vis wants the layer that made it.

    It reads the layer's `output`, which for a layer called in two graphs is that of the first.
    """

    def __init__(self, tensor: Any) -> None:
        super().__init__()
        self._tensor = tensor

    @property
    def output(self) -> Any:
        """The tensor."""
        return self._tensor


class _StandIn(layers.Layer):
    """Calls another layer under another name: Keras takes each name once in a graph."""

    def __init__(self, inner: Any, *, name: str) -> None:
        super().__init__(name=name)
        self.inner = inner

    def call(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


class _Linear(layers.Layer):
    """A dense layer without its activation, on the same weights."""

    def __init__(self, dense: layers.Dense, *, name: str) -> None:
        super().__init__(name=name)
        self.dense = dense

    def call(self, pooled):
        logits = ops.matmul(pooled, self.dense.kernel)
        return logits + self.dense.bias if self.dense.use_bias else logits


def _check(model: keras.Model) -> None:
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ValueError(
                f"{model.name} has no input yet; call it on a film, or model.build((None, height, width, channels))."
            )
    elif not isinstance(model, keras.Function):
        raise ValueError(
            f"a model must be functional or Sequential to be explained; {model.name} is a {type(model).__name__} with "
            "a call of its own. Call its layers on a keras.Input and make a keras.Model of that."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"a model must have one input and one output to be explained; {model.name} has {len(model.inputs)} and "
            f"{len(model.outputs)}. Make a keras.Model of the input and output that you mean."
        )
    shape = model.inputs[0].shape
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise ValueError(f"a model must take (N, height, width, 1 or 3) to be explained; {model.name} takes {shape}.")
