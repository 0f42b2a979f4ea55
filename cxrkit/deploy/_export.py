"""A model folder as a bundle for a device: converted, compared with the original, kept only if both agree."""

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

import cxrkit
from cxrkit import data, film, networks
from cxrkit.data import DataSet
from cxrkit.deploy import runner
from cxrkit.deploy._compare import Agreement, agreement, scored
from cxrkit.deploy._link import DeployError
from cxrkit.film import UnreadableImage, _frontal, read, sha256_of
from cxrkit.labels import DISCLAIMER

#: The files of a folder that goes to a board: name -> (path, sha256).
Files = dict[str, tuple[Path, str]]
_TARGETS = ("jetson-nano", "onnx")
#: By precision, the largest difference of a probability from the original's, on any image that is measured; above it,
#: the export fails. fp32 leaves room for the order of sums, the others for their smaller numbers.
TOLERANCES = {"fp32": 1e-4, "fp16": 0.02, "int8": 0.25}
PRECISIONS = tuple(TOLERANCES)
#: Images to calibrate int8 on, and images to measure, at most.
CALIBRATION_IMAGES, MEASURED_IMAGES = 64, 200
RUNNER = Path(runner.__file__)


@dataclass(frozen=True, eq=False)
class Export:
    """A bundle that was written: its folder, the content of bundle.json, how far it agrees with the original."""

    folder: Path
    info: dict[str, Any]
    agreement: Agreement


def read_bundle(folder: Path | str) -> tuple[dict[str, Any], Files]:
    """Return what bundle.json of an export holds, and its files; a folder that was changed raises DeployError."""
    folder, way = Path(folder), "Delete the folder and export the model again."
    try:
        info = runner.load_bundle(str(folder))
    except runner.RunnerError as error:
        raise DeployError(f"{error}. {way}") from error
    names = ("bundle.json", RUNNER.name, *(model["file"] for model in (*info["models"], info["detector"])))
    files = {name: (folder / name, sha256_of(folder / name)) for name in names}
    if files[RUNNER.name][1] != info["runner_sha256"]:
        raise DeployError(f"{folder / RUNNER.name} was changed since it was exported. {way}")
    return info, files


def export(
    model: str | Path,
    out: Path | str,
    *,
    target: str,
    precision: str = "fp32",
    batch: int = 1,
    images: DataSet | None = None,
    tolerance: float | None = None,
) -> Export:
    """Write a bundle that a device can run, or nothing.

    The network is converted, then the result and the original predict the same images. Where a probability differs by
    more than the tolerance, the export fails.

    Args:
        model: a bundled model or a model folder.
        out: the folder to write; must not exist, or be empty.
        target: "jetson-nano" (ONNX for JetPack 4.6), or "onnx" (the same without TensorRT's limits).
        precision: "fp32"; "fp16"; or "int8", calibrated on images of val (without any: of train).
        batch: images of one run; above 1, the bundle also holds a file for single images to fall back on.
        images: to calibrate on and to measure, the latter of the split test (without any: of val, then all); None: the
            course's simulated ones.
        tolerance: replaces the one of `TOLERANCES`.
    Raises:
        DeployError: it does not agree, or an operator that the target lacks.
        ModelError: no such model, or a broken one.
        ValueError: an argument that is not legal, a folder that is not empty, no images, or one that cannot be read.
    """
    out = Path(out)
    for name, value, legal in (("target", target, _TARGETS), ("precision", precision, PRECISIONS)):
        if value not in legal:
            raise ValueError(f"{name} must be one of {', '.join(legal)}; got {value!r}.")
    if batch < 1:
        raise ValueError(f"batch must be at least 1; got {batch}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is no empty folder; name a new one with --out.")
    allowed = TOLERANCES[precision] if tolerance is None else tolerance
    original, source = networks.load(model), networks.folder_of(model)
    learn, test, root, words = choose(images, precision)
    calibration, pixels = (prepared(original, rows, root) for rows in (learn, test))
    before, kept = original.predict(pixels, prepared=True), scored(original.labels)
    columns, limits = [original.labels.index(name) for name in kept], [original.thresholds[name] for name in kept]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        unfinished = Path(scratch) / "bundle"
        unfinished.mkdir()
        models, agreements = [], []
        for size in dict.fromkeys((batch, 1)):
            path = unfinished / f"model{'' if size == batch else '-1'}.onnx"
            weights, live = _write(source, path, target, precision, size, calibration)
            entry = {"file": path.name, "precision": precision, "batch": size, "sha256": sha256_of(path)}
            models.append({**entry, "weights_bytes": weights, "activation_bytes": live})
            probs = (before, run(path, pixels, size))
            positive = [each[:, columns] >= limits for each in probs]
            truth, patients = data.truth(test, kept), test["patient_id"].tolist()
            found = agreement(test["image"].tolist(), probs, positive, truth, patients)
            # NaN is above any tolerance.
            if not found.largest <= allowed:
                raise DeployError(
                    f"the exported network differs from {original.name} by up to {found.largest:.3g} in a probability; "
                    f"at most {allowed:g} is allowed for {precision}, so nothing was written. Use a higher "
                    "--precision, or allow more with --tolerance."
                )
            agreements.append(found)
        shutil.copyfile(RUNNER, unfinished / RUNNER.name)
        # Unchanged: ONNX Runtime 1.10, the newest for Python 3.6, reads its opset and IR version.
        detector = shutil.copyfile(_frontal.FOLDER / "frontal.onnx", unfinished / "frontal.onnx")
        lines = {name: film.quality_limits()[name] for name in ("frontal", "inverted", "spread", "aspect")}
        notes = {
            "the Jetson Nano's GPU (compute capability 5.3) has no int8: TensorRT refuses this file there, and the "
            "runner falls back to ONNX Runtime on the CPU": target == "jetson-nano" and precision == "int8",
            "made for TensorRT 8.2 from its documentation; it was not run on a board": target == "jetson-nano",
            f"not shown to work on real images: {', '.join(sorted(original.not_shown))}": bool(original.not_shown),
        }
        # Images are counted, not named, because a name may be a patient's. pandas writes NaN as null.
        measures = {**asdict(agreements[0]), "changed": len(agreements[0].changed), "on": words, "tolerance": allowed}
        info = {
            "format": runner.FORMAT,
            **{name: original.info[name] for name in ("name", "version", "labels", "thresholds", "input_size")},
            "scored": list(kept),
            "pixel_range": [0, 1],
            "target": target,
            "models": models,
            "detector": {"file": detector.name, "sha256": sha256_of(detector), "limits": lines},
            "runner_sha256": sha256_of(RUNNER),
            "original": {"file": "model.onnx", "sha256": original.sha256},
            "agreement": json.loads(pd.Series(measures).to_json(double_precision=15)),
            "notes": [note for note, holds in notes.items() if holds],
            "made_by": f"cxrkit {cxrkit.__version__}",
            "notice": DISCLAIMER,
        }
        text = json.dumps(info, indent=2, ensure_ascii=False) + "\n"
        (unfinished / "bundle.json").write_text(text, encoding="utf-8")
        unfinished.rename(out)
    return Export(out, info, agreements[0])


def prepared(network: networks.Predictor, rows: pd.DataFrame, root: Path) -> np.ndarray:
    """Return the images of a manifest as the network takes them: (images, S, S), float32, in [0, 1]."""
    pixels = np.empty((len(rows), network.input_size, network.input_size), np.float32)
    for place, name in enumerate(rows["image"]):
        try:
            pixels[place] = network.prepare(read(root / str(name)).pixels)
        except UnreadableImage as error:
            raise ValueError(f"{name}: {error}") from error
    return pixels


def default_folder(model: str | Path, target: str, precision: str) -> Path:
    """Return the folder of a bundle that nobody names: MODEL-TARGET-PRECISION, here."""
    return Path(f"{Path(model).resolve().name}-{target}-{precision}")


def choose(images: DataSet | None, precision: str) -> tuple[pd.DataFrame, pd.DataFrame, Path, str]:
    """Return rows to calibrate on, rows to measure, the images' folder, and a phrase for the measured ones."""
    if images is not None:
        rows, root, kind = images.frame, images.root, "images of the manifest"
    else:
        parts = [data.read_manifest(split=part) for part in (("val", "test") if precision == "int8" else ("test",))]
        rows, root, kind = pd.concat([part.rows for part in parts]), parts[0].root, "simulated course images"
    test, split = measured(rows, MEASURED_IMAGES)
    if test.empty:
        raise ValueError("the manifest has no images to measure the export on; name another, or leave it out.")
    learn = rows.iloc[:0]
    if precision == "int8":
        # By patient: other images of measured patients would make the loss look smaller than it is.
        others = rows[(rows["split"] != split) & ~rows["patient_id"].isin(test["patient_id"])]
        learn, _ = measured(others[others["split"].isin(("val", "train"))], CALIBRATION_IMAGES)
        if learn.empty:
            raise ValueError(
                "int8 is calibrated on images of val or train of other patients than those measured; the manifest has "
                "none. Split it with data.split_by_patient, or leave the manifest out to use the course's images."
            )
    return learn, test, root, f"{len(test)} {kind}" + (f", split {split}" if split else "")


def measured(rows: pd.DataFrame, most: int) -> tuple[pd.DataFrame, str]:
    """Return the rows of test (without any: of val, then all) and its name; at most so many, evenly spread; 0: all."""
    split = next((name for name in ("test", "val") if (rows["split"] == name).any()), "")
    chosen = rows[rows["split"] == split] if split else rows
    places = np.linspace(0, len(chosen) - 1, min(most or len(chosen), len(chosen)))
    return chosen.iloc[places.round().astype(int)], split


def _write(source: Path, path: Path, target: str, precision: str, batch: int, images: np.ndarray) -> tuple[int, int]:
    """Write one model file; return the bytes of its weights and of the values that are held at once in a run."""
    import onnx

    from cxrkit.deploy import _graph

    model = _graph.lowered(onnx.load(source / "model.onnx"), batch=batch)
    _, live = _graph.bytes_of(model)
    if precision == "fp16":
        from onnxruntime.transformers import float16

        # The functions that turn scores into probabilities are small and would lose most.
        kept = [*float16.DEFAULT_OP_BLOCK_LIST, "Softmax", "Sigmoid"]
        half = float16.convert_float_to_float16(model, keep_io_types=True, op_block_list=kept)
        model = onnx.shape_inference.infer_shapes(half)
    if precision == "int8":
        model = quantised(model, batch, images)
    if target == "jetson-nano":
        _graph.check_board(model)
    onnx.save(model, path)
    return _graph.bytes_of(model)[0], live


def quantised(model: Any, batch: int, images: np.ndarray) -> Any:
    """Return a graph of `_graph.lowered` with convolutions, and the pools and joins between them, in eight bits.

    Images are (images, S, S), to calibrate on.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if len(images) < batch:
        raise ValueError(f"int8 needs at least one batch of {batch} images to calibrate on; there are {len(images)}.")
    starts, name = range(0, len(images) - batch + 1, batch), model.graph.input[0].name
    batches = ({name: np.ascontiguousarray(images[k : k + batch, ..., None])} for k in starts)
    with tempfile.TemporaryDirectory() as scratch:
        plain, small = Path(scratch) / "plain.onnx", Path(scratch) / "int8.onnx"
        # Without its optimiser, it only marks the graph as ready.
        quant_pre_process(model, plain, skip_optimization=True, skip_onnx_shape=True, skip_symbolic_shape=True)
        quantization.quantize_static(
            plain,
            small,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "MaxPool", "AveragePool", "Concat", "Add"],
            per_channel=True,
            # Weights of seven bits: with eight, sums overflow on processors with AVX2 but without VNNI, and a bundle
            # would predict differently here and on the device (docs/results/2026-11-24-device.md).
            reduce_range=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            # TensorRT takes only zero points of 0, and no 32-bit integers for biases.
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
        )
        return onnx.shape_inference.infer_shapes(onnx.load(small))


def run(path: Path, images: np.ndarray, batch: int) -> np.ndarray:
    """Return the probabilities (images, labels) of a written file; the last batch is filled up with zeros."""
    one = runner.OnnxEngine(str(path), {}).run
    full = np.zeros((-(-len(images) // batch) * batch, *images.shape[1:], 1), np.float32)
    full[: len(images), ..., 0] = images
    found = np.concatenate([one(full[start : start + batch]) for start in range(0, len(full), batch)])
    return np.clip(found[: len(images)].astype(np.float64), 0.0, 1.0)
