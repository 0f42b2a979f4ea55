"""An ONNX graph brought down to what the board's software reads: opset 13, IR 8, one batch size, known operators."""

import math
from collections.abc import Sequence

import onnx
from onnx import numpy_helper

from cxrkit.deploy._bundle import ExportError

#: JetPack 4.6 is the last for the Jetson Nano: TensorRT 8.2 parses up to opset 13, and ONNX Runtime 1.11, the last
#: with wheels for its Python 3.6, reads IR version 8 at most.
OPSET, IR_VERSION = 13, 8

#: What TensorRT's ONNX parser takes. Source: onnx-tensorrt, docs/operators.md of TensorRT 8.0; 8.2 took operators
#: in and dropped none of these. Those left out here are recurrent, random or without a place in a network of ours.
BOARD_OPS = frozenset(
    """
    Abs Add AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv ConvTranspose
    DepthToSpace DequantizeLinear Div Elu Equal Erf Exp Expand Flatten Floor Gather Gemm GlobalAveragePool
    GlobalMaxPool Greater HardSigmoid Identity InstanceNormalization LRN LeakyRelu Less Log LogSoftmax MatMul Max
    MaxPool Mean Min Mul Neg Not Or PRelu Pad Pow QuantizeLinear ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Selu Shape Sigmoid Slice Softmax Softplus Softsign
    SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu Tile Transpose Unsqueeze Where
    """.split()  # noqa: SIM905 - as a list it would take sixty lines
)
#: Inputs that the parser wants as stored numbers, by position.
_STORED = {"Conv": (1,), "ConvTranspose": (1,), "Squeeze": (1,), "Unsqueeze": (1,), "QuantizeLinear": (1, 2)}
#: These took their axes as an attribute up to opset 17.
_REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare")


def lowered(model: onnx.ModelProto, *, batch: int, maps: bool, opset: int = OPSET) -> onnx.ModelProto:
    """Return the network at an older opset, with a fixed batch.

    `onnx.version_converter` knows no way down from opset 14. An operator may stay as it is where the older version
    of it has all the attributes that are used; whether it means the same is for the caller to measure.

    Args:
        model: input (N, S, S, 1); outputs "probs" and "maps".
        batch: films that one run takes.
        maps: keep the feature maps as second output; else drop them and what only they need.
        opset: to come down to; a model that is older stays.
    Returns:
        A model with the shape of every value filled in.
    Raises:
        ExportError: an operator that the older opset does not have.
    """
    lower = onnx.ModelProto()
    lower.CopyFrom(model)
    graph = lower.graph
    was = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=opset)
    if was > opset:
        _axes_to_attributes(graph)
    # After the axes, whose numbers nothing reads any more.
    _keep_outputs(graph, ["probs", "maps"] if maps else ["probs"])
    faults = [fault for node in graph.node if (fault := _fault(node, opset))]
    if faults:
        raise ExportError(
            f"the network cannot be written at opset {opset}: {'; '.join(sorted(set(faults)))}. "
            "Build it of other layers, or export it with --target onnx."
        )
    del lower.opset_import[:]
    lower.opset_import.append(onnx.helper.make_opsetid("", min(was, opset)))
    lower.ir_version = min(model.ir_version, IR_VERSION)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del graph.value_info[:]
    try:
        onnx.checker.check_model(lower, full_check=True)
        return onnx.shape_inference.infer_shapes(lower, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"the network is no legal graph at opset {opset} with a batch of {batch} ({_first_line(error)}). "
            "Build it of other layers, or export it with --target onnx."
        ) from error


def check_board(model: onnx.ModelProto) -> None:
    """Hold a graph against what the board's TensorRT parses.

    Args:
        model: as `lowered` gives it.
    Raises:
        ExportError: an operator that is not among `BOARD_OPS`, or an input that has to be a stored number and is not.
    """
    graph = model.graph
    foreign = sorted({f"{node.domain}.{node.op_type}".strip(".") for node in graph.node if not _is_known(node)})
    if foreign:
        raise ExportError(
            f"TensorRT 8.2 has no {', '.join(foreign)}. Build the network of other layers, or export it with "
            "--target onnx for a board with ONNX Runtime."
        )
    stored = {tensor.name for tensor in graph.initializer}
    stored |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    # Quantised weights reach a convolution through the node that unpacks them.
    stored |= {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in stored}
    for node in graph.node:
        for place in _STORED.get(node.op_type, ()):
            if place < len(node.input) and node.input[place] and node.input[place] not in stored:
                raise ExportError(
                    f"TensorRT 8.2 wants input {place} of {node.op_type} ({node.name}) as a stored number; here it is "
                    "computed. Build the network of other layers, or export it with --target onnx."
                )


def bytes_of(model: onnx.ModelProto) -> tuple[int, int]:
    """Return what a graph needs in memory.

    Args:
        model: as `lowered` gives it.
    Returns:
        Bytes of its stored numbers; and of the values that live at once, at the worst moment, when each is freed after
        its last use. A runtime adds its own room to work in.
    """
    graph = model.graph
    weights = sum(math.prod(tensor.dims) * _width(tensor.data_type) for tensor in graph.initializer)
    sizes = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        tensor = value.type.tensor_type
        sizes[value.name] = math.prod(dim.dim_value for dim in tensor.shape.dim) * _width(tensor.elem_type)
    last = {name: place for place, node in enumerate(graph.node) for name in node.input}
    last |= {value.name: len(graph.node) for value in graph.output}
    live = sum(sizes[value.name] for value in graph.input)
    peak = live
    for place, node in enumerate(graph.node):
        live += sum(sizes.get(name, 0) for name in node.output)
        peak = max(peak, live)
        live -= sum(sizes.get(name, 0) for name in {*node.input, *node.output} if last.get(name, place) == place)
    return weights, peak


def _keep_outputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    outputs = {value.name: value for value in graph.output}
    missing = [name for name in names if name not in outputs]
    if missing:
        raise ExportError(
            f"the network has no output {' or '.join(missing)}; it has {', '.join(outputs)}. Save it with "
            "cxrkit.networks.save."
        )
    kept = [outputs[name] for name in names]
    del graph.output[:]
    graph.output.extend(kept)
    needed, nodes = set(names), []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    nodes.reverse()
    stored = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(stored)


def _axes_to_attributes(graph: onnx.GraphProto) -> None:
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in _REDUCTIONS and len(node.input) == 2 and node.input[1] in stored:
            axes = numpy_helper.to_array(stored[node.input.pop()]).tolist()
            node.attribute.append(onnx.helper.make_attribute("axes", axes))


def _fault(node: onnx.NodeProto, opset: int) -> str:
    if node.domain not in ("", "ai.onnx"):
        return f"{node.op_type} is of {node.domain}"
    try:
        schema = onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        return f"there is no {node.op_type} yet"
    unknown = sorted({attribute.name for attribute in node.attribute} - set(schema.attributes))
    return f"{node.op_type} has no {', '.join(unknown)} yet" if unknown else ""


def _is_known(node: onnx.NodeProto) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type in BOARD_OPS


def _width(element: int) -> int:
    return onnx.helper.tensor_dtype_to_np_dtype(element).itemsize


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
