"""A model folder as a bundle for a device: converted, compared with the original, kept only if both agree."""

import json
import logging
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import cxrkit
from cxrkit import data, networks
from cxrkit.deploy._bundle import RUNNER, DeployError
from cxrkit.deploy._compare import Agreement, agreement, scored
from cxrkit.deploy._films import spread
from cxrkit.deploy.runner import FORMAT, OnnxEngine
from cxrkit.film import UnreadableImage, read, sha256_of
from cxrkit.labels import DISCLAIMER

if TYPE_CHECKING:
    from cxrkit.data._manifest import DataSet

_SUFFIX = {"jetson-nano": ".onnx", "onnx": ".onnx", "litert": ".tflite"}
#: By precision, the largest difference of a probability from the original's, on any image that is measured; above it,
#: the export fails. fp32 leaves room for the order of sums, the others for their smaller numbers.
TOLERANCES = {"fp32": 1e-4, "fp16": 0.02, "int8": 0.25}
PRECISIONS = tuple(TOLERANCES)
#: Images to calibrate int8 on, and images to measure, at most.
CALIBRATION_IMAGES, MEASURED_IMAGES = 64, 200


@dataclass(frozen=True, eq=False)
class Export:
    """A bundle that was written: its folder, the content of bundle.json, how far it agrees with the original."""

    folder: Path
    info: dict[str, Any]
    agreement: Agreement

    @property
    def size(self) -> int:
        """Bytes of the first model file."""
        return (self.folder / self.info["models"][0]["file"]).stat().st_size


def export(
    model: str | Path,
    out: Path | str,
    *,
    target: str,
    precision: str = "fp32",
    batch: int = 1,
    maps: bool = False,
    images: "DataSet | None" = None,
    tolerance: float | None = None,
) -> Export:
    """Write a bundle that a device can run, or nothing.

    The network is converted, then the result and the original predict the same images. Where a probability differs by
    more than the tolerance, the export fails.

    Args:
        model: a bundled model or a model folder.
        out: the folder to write; must not exist, or be empty.
        target: "jetson-nano" (ONNX for JetPack 4.6), "onnx" (the same without TensorRT's limits) or "litert".
        precision: "fp32"; "fp16"; or "int8", calibrated on images of val (without any: of train).
        batch: images of one run; above 1, the bundle also holds a file for single images to fall back on.
        maps: keep the feature maps as second output.
        images: to calibrate on and to measure, the latter of the split test (without any: of val, then all); None: the
            course's simulated ones.
        tolerance: replaces the one of `TOLERANCES`.
    Returns:
        The bundle and how it was measured.
    Raises:
        DeployError: it does not agree, or an operator that the target lacks.
        ModelError: no such model, or a broken one; TensorFlow is missing for "litert".
        ValueError: an unknown target or precision, a batch below 1, a folder that is not empty, no images, or one that
            cannot be read.
    """
    out = Path(out)
    for name, value, legal in (("target", target, _SUFFIX), ("precision", precision, PRECISIONS)):
        if value not in legal:
            raise ValueError(f"{name} must be one of {', '.join(legal)}; got {value!r}.")
    if batch < 1:
        raise ValueError(f"batch must be at least 1; got {batch}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is no empty folder; name a new one with --out.")
    allowed = TOLERANCES[precision] if tolerance is None else tolerance
    original, source = networks.load(model), networks.folder_of(model)
    learn, test, root, words = choose(images, precision)

    def prepared(rows: pd.DataFrame) -> np.ndarray:
        pixels = np.empty((len(rows), original.input_size, original.input_size), np.float32)
        for place, name in enumerate(rows["image"]):
            try:
                pixels[place] = original.prepare(read(root / str(name)).pixels)
            except UnreadableImage as error:
                raise ValueError(f"{name}: {error}") from error
        return pixels

    names, patients = list(test["image"]), list(test["patient_id"])
    labels, truth = original.labels, data.truth(test, scored(original.labels))
    calibration, measured = prepared(learn), prepared(test)
    # One by one: together, 200 images of 224 px take more memory than a small machine has.
    before = np.concatenate([original.predict(image[None], prepared=True) for image in measured])
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        unfinished = Path(scratch) / "bundle"
        unfinished.mkdir()
        models, agreements = [], []
        for size in dict.fromkeys((batch, 1)):
            path = unfinished / f"model{'' if size == batch else '-1'}{_SUFFIX[target]}"
            weights, live = _write(source, path, target, precision, size, maps, calibration)
            entry = {"file": path.name, "precision": precision, "batch": size, "sha256": sha256_of(path)}
            models.append({**entry, "weights_bytes": weights, "activation_bytes": live})
            after = run(path, measured, size)
            found = agreement(
                names, before, after, labels=labels, thresholds=original.thresholds, truth=truth, patients=patients
            )
            agreements.append(found)
        worst = float(np.max([found.largest for found in agreements]))
        # NaN is above any tolerance.
        if not worst <= allowed:
            raise DeployError(
                f"the exported network differs from {original.name} by up to {worst:.3g} in a probability on "
                f"{len(test)} images; at most {allowed:g} is allowed for {precision}, so nothing was written. "
                "Use a higher --precision, or allow more with --tolerance."
            )
        shutil.copyfile(RUNNER, unfinished / RUNNER.name)
        notes = {
            "the Jetson Nano's GPU (compute capability 5.3) has no int8: TensorRT refuses this file there, and the "
            "runner falls back to ONNX Runtime on the CPU": target == "jetson-nano" and precision == "int8",
            "made for TensorRT 8.2 from its documentation; it was not run on a board": target == "jetson-nano",
            f"not shown to work on real films: {', '.join(sorted(original.not_shown))}": bool(original.not_shown),
        }
        # Images are counted, not named, because a name may be a patient's. pandas writes NaN as null.
        measures = {**asdict(agreements[0]), "changed": len(agreements[0].changed), "on": words, "tolerance": allowed}
        info = {
            "format": FORMAT,
            "name": original.name,
            "version": original.version,
            "labels": list(labels),
            "scored": list(scored(labels)),
            "thresholds": original.thresholds,
            "input_size": original.input_size,
            "pixel_range": [0, 1],
            "target": target,
            "models": models,
            "runner_sha256": sha256_of(unfinished / RUNNER.name),
            "original": {"file": "model.onnx", "sha256": original.sha256},
            "agreement": json.loads(pd.Series(measures).to_json(double_precision=15)),
            "notes": [note for note, holds in notes.items() if holds],
            "made_by": f"cxrkit {cxrkit.__version__}",
            "notice": DISCLAIMER,
        }
        text = json.dumps(info, indent=2, ensure_ascii=False) + "\n"
        (unfinished / "bundle.json").write_text(text, encoding="utf-8")
        if out.exists():
            out.rmdir()
        unfinished.rename(out)
    return Export(out, info, agreements[0])


def default_folder(model: str | Path, target: str, precision: str) -> Path:
    """Return the folder of a bundle that nobody names: MODEL-TARGET-PRECISION, here."""
    return Path(f"{Path(model).resolve().name}-{target}-{precision}")


def choose(images: "DataSet | None", precision: str) -> tuple[pd.DataFrame, pd.DataFrame, Path, str]:
    """Return rows to calibrate on, rows to measure, the images' folder, and a phrase for the measured ones."""
    if images is not None:
        rows, root, kind = images.frame, images.root, "images of the manifest"
    else:
        parts = [data.read_manifest(split=part) for part in (("val", "test") if precision == "int8" else ("test",))]
        rows, root, kind = pd.concat([part.rows for part in parts]), parts[0].root, "simulated course images"
    split = rows["split"]
    tests = next((name for name in ("test", "val") if (split == name).any()), None)
    test = spread(rows if tests is None else rows[split == tests], MEASURED_IMAGES)
    if test.empty:
        raise ValueError("the manifest has no images to measure the export on; name another, or leave it out.")
    learn = rows.iloc[:0]
    if precision == "int8":
        others = rows[split != "test"] if tests == "test" else rows[split == "train"]
        learn = others[others["split"] == "val"] if (others["split"] == "val").any() else others
        # By patient: other images of measured patients would make the loss look smaller than it is.
        learn = spread(learn[~learn["patient_id"].isin(set(test["patient_id"]))], CALIBRATION_IMAGES)
        if learn.empty:
            raise ValueError(
                "int8 is calibrated on images of val or train of other patients than those measured; the manifest has "
                "none. Split it with data.split_by_patient, or leave the manifest out to use the course's images."
            )
    return learn, test, root, f"{len(test)} {kind}" + (f", split {tests}" if tests else "")


def _write(
    source: Path, path: Path, target: str, precision: str, batch: int, maps: bool, images: np.ndarray
) -> tuple[int, int]:
    """Write one model file; return the bytes of its weights and of the values that are held at once in a run."""
    import onnx

    from cxrkit.deploy import _graph

    model = _graph.lowered(onnx.load(source / "model.onnx"), batch=batch, maps=maps)
    weights, live = _graph.bytes_of(model)
    if target == "litert":
        networks.export_litert(source, path, batch=batch, precision=precision, maps=maps, films=images)
        return weights, live
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


def quantised(model: Any, batch: int, images: np.ndarray, *, reduce_range: bool = True) -> Any:
    """Return the graph with convolutions, and the pools and joins between them, in eight bits.

    Args:
        model: from `_graph.lowered`.
        batch: of the graph.
        images: (images, S, S), to calibrate on.
        reduce_range: weights of seven bits. With eight, sums overflow on processors with AVX2 but without VNNI, and a
            bundle would predict differently here and on the device (docs/results/2026-11-24-device.md).
    """
    import onnx
    from onnxruntime import quantization

    if len(images) < batch:
        raise ValueError(f"int8 needs at least one batch of {batch} images to calibrate on; there are {len(images)}.")
    starts, name = range(0, len(images) - batch + 1, batch), model.graph.input[0].name
    batches = ({name: np.ascontiguousarray(images[k : k + batch, ..., None])} for k in starts)
    reader = SimpleNamespace(get_next=lambda: next(batches, None))
    root = logging.getLogger()
    level = root.level
    # It advises on the root logger to fuse operators first, which the graph that is measured here does not need.
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            plain, small = Path(scratch) / "plain.onnx", Path(scratch) / "int8.onnx"
            onnx.save(model, plain)
            quantization.quantize_static(
                plain,
                small,
                reader,
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "Relu", "MaxPool", "AveragePool", "Concat", "Add"],
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                # TensorRT takes only zero points of 0, and no 32-bit integers for biases.
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
            )
            return onnx.shape_inference.infer_shapes(onnx.load(small))
    finally:
        root.setLevel(level)


def run(path: Path, images: np.ndarray, batch: int) -> np.ndarray:
    """Return the probabilities (images, labels) of a written file; the last batch is filled up with zeros."""
    one = networks.load_litert(path) if path.suffix == ".tflite" else OnnxEngine(str(path), {}, 0).run
    full = np.zeros((-(-len(images) // batch) * batch, *images.shape[1:], 1), np.float32)
    full[: len(images), ..., 0] = images
    found = np.concatenate([one(full[start : start + batch]) for start in range(0, len(full), batch)])
    return np.clip(found[: len(images)].astype(np.float64), 0.0, 1.0)
