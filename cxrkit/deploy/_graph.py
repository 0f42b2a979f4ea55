"""An ONNX graph in the form that a board's software reads: opset 13, IR 8, one batch size, known operators."""

import math

import onnx
from onnx import numpy_helper
from onnx.utils import Extractor

from cxrkit.deploy._link import DeployError

#: JetPack 4.6 is the last for the Jetson Nano: TensorRT 8.2 parses up to opset 13, and ONNX Runtime 1.11, the last
#: with wheels for its Python 3.6, reads at most IR version 8.
OPSET, IR_VERSION = 13, 8

#: Operators of TensorRT's ONNX parser. Source: onnx-tensorrt, docs/operators.md of TensorRT 8.0; 8.2 removed none of
#: these. Recurrent and random operators are left out, because no network here uses them.
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
_WAY_OUT = "Build the network of other layers, or export it with --target onnx."


def lowered(model: onnx.ModelProto, *, batch: int) -> onnx.ModelProto:
    """Return the network's "probs" at opset 13 (an older one keeps its opset), with a fixed batch and all shapes.

    `onnx.version_converter` cannot go down from opset 14. Operators stay the same here, so the caller has to measure
    whether the result agrees. An operator that the older opset lacks raises DeployError.
    """
    was = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=OPSET)
    lower = onnx.ModelProto()
    lower.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in lower.graph.initializer}
    for node in lower.graph.node:
        # Up to opset 17 the axes of a reduction are an attribute, up to opset 12 those of ReduceSum too.
        reduces = node.op_type.startswith("Reduce") and node.op_type != "ReduceSum"
        if was > OPSET and reduces and len(node.input) == 2 and node.input[1] in stored:
            axes = numpy_helper.to_array(stored[node.input.pop()]).tolist()
            node.attribute.append(onnx.helper.make_attribute("axes", axes))
    lower = Extractor(lower).extract_model([model.graph.input[0].name], ["probs"])
    del lower.opset_import[:]
    lower.opset_import.append(onnx.helper.make_opsetid("", min(was, OPSET)))
    lower.ir_version = min(model.ir_version, IR_VERSION)
    for value in (*lower.graph.input, *lower.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del lower.graph.value_info[:]
    try:
        # It names operators and attributes that the older opset lacks.
        onnx.checker.check_model(lower, full_check=True)
        return onnx.shape_inference.infer_shapes(lower, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        why = " ".join(str(error).split())[:200]
        raise DeployError(f"the network cannot be written at opset {OPSET} ({why}). {_WAY_OUT}") from error


def check_board(model: onnx.ModelProto) -> None:
    """Raise DeployError for an operator that the board's TensorRT lacks."""
    if foreign := sorted({node.op_type for node in model.graph.node} - BOARD_OPS):
        raise DeployError(f"TensorRT 8.2 has no {', '.join(foreign)}. {_WAY_OUT}")


def bytes_of(model: onnx.ModelProto) -> tuple[int, int]:
    """Return the bytes of a graph of `lowered`, of its stored numbers and of the most values that are held at once.

    Each value is freed after its last use; a runtime needs more to work in.
    """
    graph = model.graph
    weights = sum(math.prod(tensor.dims) * _width(tensor.data_type) for tensor in graph.initializer)
    types = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.input, *graph.output)}
    sizes = {name: math.prod(d.dim_value for d in t.shape.dim) * _width(t.elem_type) for name, t in types.items()}
    last = {name: place for place, node in enumerate(graph.node) for name in node.input}
    last |= {value.name: len(graph.node) for value in graph.output}
    live = peak = sum(sizes[value.name] for value in graph.input)
    for place, node in enumerate(graph.node):
        live += sum(sizes.get(name, 0) for name in node.output)
        peak = max(peak, live)
        live -= sum(sizes.get(name, 0) for name in {*node.input, *node.output} if last.get(name, place) == place)
    return weights, peak


def _width(element: int) -> int:
    return onnx.helper.tensor_dtype_to_np_dtype(element).itemsize
