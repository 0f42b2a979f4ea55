"""Show what eight bits of weights cost on this processor, and that seven do not.

    python benchmarks/int8_range.py

The bundled networks are quantised twice, with weights of seven bits as `cxrkit model export --precision int8` does it,
and with eight. Both predict the course's 120 test images: with ONNX Runtime's int8 kernels, and without its optimiser,
which computes the same quantised numbers in floating point and cannot overflow.
"""

import numpy as np
import onnx

from cxrkit import film, networks
from cxrkit.deploy import _compare, _export, _graph


def main() -> None:
    import onnxruntime  # after cxrkit, which turns its reports to its maker off

    levels = onnxruntime.GraphOptimizationLevel
    ways = {"int8 kernels": levels.ORT_ENABLE_ALL, "floating point": levels.ORT_DISABLE_ALL}
    print("| network | weights | computed in | largest difference | mean | images with another label |")
    print("|---|---|---|---|---|---|")
    for name in networks.bundled():
        original = networks.load(name)
        scored = _compare.scored(original.labels)
        columns, limits = [original.labels.index(s) for s in scored], [original.thresholds[s] for s in scored]
        learn, test, root, _ = _export.choose(None, "int8")
        pixels = [
            np.stack([original.prepare(film.read(root / image).pixels) for image in rows["image"]])
            for rows in (learn, test)
        ]
        before = original.predict(pixels[1], prepared=True)
        graph = _graph.lowered(onnx.load(networks.folder_of(name) / "model.onnx"), batch=1, maps=False)
        for bits in (8, 7):
            model = _export.quantised(graph, 1, pixels[0], reduce_range=bits == 7).SerializeToString()
            for how, level in ways.items():
                options = onnxruntime.SessionOptions()
                options.graph_optimization_level = level
                session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
                feed = session.get_inputs()[0].name
                after = np.array([session.run(["probs"], {feed: image[None, ..., None]})[0][0] for image in pixels[1]])
                apart = np.abs(after - before)
                positive = [probs[:, columns] >= limits for probs in (before, after)]
                changed = (positive[0] != positive[1]).any(axis=1)
                cells = [name, f"{bits} bits", how, f"{apart.max():.3f}", f"{apart.mean():.4f}"]
                print(f"| {' | '.join(cells)} | {changed.sum()} of {len(changed)} |", flush=True)


if __name__ == "__main__":
    main()
