"""Show what eight bits of weights cost on this processor, and that seven do not.

    python benchmarks/int8_range.py

Weights of seven bits are those of `cxrkit model export --precision int8`. Both predict the course's 120 test images
with ONNX Runtime's int8 kernels, and without its optimiser, which computes the same numbers in floating point.
"""

import numpy as np
import onnx

from cxrkit import networks
from cxrkit.deploy import _compare, _export, _graph


def main() -> None:
    import onnxruntime  # after cxrkit, which turns its reports to its maker off

    levels = onnxruntime.GraphOptimizationLevel
    ways = {"int8 kernels": levels.ORT_ENABLE_ALL, "floating point": levels.ORT_DISABLE_ALL}
    print("| network | weights | computed in | largest difference | mean | images with another label |")
    print("|---|---|---|---|---|---|")
    for name in networks.bundled():
        original = networks.load(name)
        learn, test, root, _ = _export.choose(None, "int8")
        calibration, images = (_export.prepared(original, rows, root) for rows in (learn, test))
        kept = [original.labels.index(label) for label in _compare.scored(original.labels)]
        limits = np.array(list(original.thresholds.values()))[kept]
        before, unknown = original.predict(images, prepared=True), np.full((len(images), len(kept)), np.nan)
        graph = _graph.lowered(onnx.load(networks.folder_of(name) / "model.onnx"), batch=1)
        for bits in (8, 7):
            model = _export.quantised(graph, 1, calibration, reduce_range=bits == 7).SerializeToString()
            for how, level in ways.items():
                options = onnxruntime.SessionOptions()
                options.graph_optimization_level = level
                session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
                feed = session.get_inputs()[0].name
                after = np.array([session.run(["probs"], {feed: image[None, ..., None]})[0][0] for image in images])
                positive = [probs[:, kept] >= limits for probs in (before, after)]
                found = _compare.agreement(list(test["image"]), (before, after), positive, unknown, None)
                cells = [name, f"{bits} bits", how, f"{found.largest:.3f}", f"{found.mean:.4f}"]
                print(f"| {' | '.join(cells)} | {len(found.changed)} of {found.images} |", flush=True)


if __name__ == "__main__":
    main()
