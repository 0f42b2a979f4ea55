"""Show what eight bits of weights cost on this processor, and that seven do not.

    python benchmarks/int8_range.py

The bundled networks are quantised twice, as `cxrkit model export --precision int8` does it (weights of seven bits)
and with eight, and answer about the course's 120 test films: once with ONNX Runtime's int8 kernels, once with its
optimiser off, which computes the same quantised numbers in floating point and cannot overflow.
"""

import onnx

from cxrkit import data, networks
from cxrkit.deploy import _answers, _export, _graph


def main() -> None:
    import onnxruntime  # after cxrkit, which lets it report to nobody

    print("| network | weights | computed in | largest difference | mean | films called otherwise |")
    print("|---|---|---|---|---|---|")
    for name in networks.bundled():
        original = networks.load(name)
        learn, test, _ = _export._films(original, "int8", None, None, None)
        before = original.predict(test.pixels, prepared=True)
        graph = _graph.lowered(onnx.load(networks.folder_of(name) / "model.onnx"), batch=1, maps=False)
        for bits in (8, 7):
            model = _export._quantised(graph, 1, learn.pixels, reduce_range=bits == 7).SerializeToString()
            for how in ("int8 kernels", "floating point"):
                options = onnxruntime.SessionOptions()
                if how == "floating point":
                    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
                session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
                film_input = session.get_inputs()[0].name
                after = [session.run(["probs"], {film_input: film[None, ..., None]})[0][0] for film in test.pixels]
                found = _answers.compare(
                    test.names, before, after, labels=original.labels, thresholds=original.thresholds,
                    truth=data.truth(test.rows, _answers.scored(original.labels)), patients=None,
                )  # fmt: skip
                cells = [name, f"{bits} bits", how, f"{found.largest:.3f}", f"{found.mean:.4f}"]
                print("| " + " | ".join([*cells, f"{len(found.changed)} of {found.films}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
