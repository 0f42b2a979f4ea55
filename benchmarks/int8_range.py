"""Show what eight bits of weights cost on this processor, and that seven do not.

    python benchmarks/int8_range.py

The bundled networks are quantised twice, with weights of seven bits as `cxrkit model export --precision int8` does it,
and with eight. Both predict the course's 120 test images: with ONNX Runtime's int8 kernels, and without its optimiser,
which computes the same quantised numbers in floating point and cannot overflow.
"""

import numpy as np
import onnx

from cxrkit import data, film, networks
from cxrkit.deploy import _compare, _export, _graph


def main() -> None:
    import onnxruntime  # after cxrkit, which turns its reports to its maker off

    print("| network | weights | computed in | largest difference | mean | images with another label |")
    print("|---|---|---|---|---|---|")
    for name in networks.bundled():
        original = networks.load(name)
        learn, test, root, _ = _export.choose(None, "int8")
        pixels = [
            np.stack([original.prepare(film.read(root / image).pixels) for image in rows["image"]])
            for rows in (learn, test)
        ]
        graph = _graph.lowered(onnx.load(networks.folder_of(name) / "model.onnx"), batch=1, maps=False)
        for bits in (8, 7):
            model = _export.quantised(graph, 1, pixels[0], reduce_range=bits == 7).SerializeToString()
            for how in ("int8 kernels", "floating point"):
                options = onnxruntime.SessionOptions()
                if how == "floating point":
                    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
                session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
                name_in = session.get_inputs()[0].name
                after = [session.run(["probs"], {name_in: image[None, ..., None]})[0][0] for image in pixels[1]]
                found = _compare.agreement(
                    list(test["image"]), original.predict(pixels[1], prepared=True), after, labels=original.labels,
                    thresholds=original.thresholds, truth=data.truth(test, _compare.scored(original.labels)),
                    patients=None,
                )  # fmt: skip
                cells = [name, f"{bits} bits", how, f"{found.largest:.3f}", f"{found.mean:.4f}"]
                print("| " + " | ".join([*cells, f"{len(found.changed)} of {found.images}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
