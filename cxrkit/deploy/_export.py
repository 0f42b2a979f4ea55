"""A model folder made into a bundle for a device: converted, measured against the original, kept only if it agrees."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cxrkit
from cxrkit import data, film, networks
from cxrkit.deploy import _answers
from cxrkit.deploy._answers import Agreement
from cxrkit.deploy._bundle import FORMAT, RUNNER, ExportError
from cxrkit.film import sha256_of
from cxrkit.labels import DISCLAIMER

TARGETS = ("jetson-nano", "onnx", "litert")
PRECISIONS = ("fp32", "fp16", "int8")
#: How far a probability may lie from the original's, on any film that is measured; above it, the export fails. That
#: of fp32 is room for the order of sums, those of the others for what the smaller numbers cost.
TOLERANCES = {"fp32": 1e-4, "fp16": 0.02, "int8": 0.25}
#: Films that int8 is calibrated on, and films that are measured, at most.
CALIBRATION_FILMS, MEASURED_FILMS = 64, 200
_SUFFIX = {"jetson-nano": ".onnx", "onnx": ".onnx", "litert": ".tflite"}

Progress = Callable[[int, int], None]
#: (films, S, S) float32 -> (films, labels).
Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Export:
    """A bundle that was written.

    Attributes:
        folder: holds the model files, bundle.json and runner.py.
        info: what bundle.json says.
        size: bytes of the first model file.
        original_size: bytes of the model.onnx that it was made from.
        agreement: of the exported network with the original, on `films`.
        tolerance: that it was held to.
        films: what films were measured, in words.
        notes: what to know before using it.
    """

    folder: Path
    info: dict[str, Any]
    size: int
    original_size: int
    agreement: Agreement
    tolerance: float
    films: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Films:
    names: tuple[str, ...]
    pixels: np.ndarray
    rows: pd.DataFrame


def export(
    model: str | Path,
    out: Path | str,
    *,
    target: str,
    precision: str = "fp32",
    batch: int = 1,
    maps: bool = False,
    manifest: pd.DataFrame | None = None,
    root: Path | str | None = None,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Export:
    """Write a bundle that a device can run, or nothing.

    The network is converted, then both it and the original answer about the same films. Where a probability differs
    by more than the tolerance the export fails.

    Args:
        model: a bundled model or a model folder.
        out: the folder to write; must not be there yet, or be empty.
        target: "jetson-nano" (ONNX for JetPack 4.6), "onnx" (the same without TensorRT's limits) or "litert".
        precision: "fp32"; "fp16"; or "int8", calibrated on films of val (without any: of train).
        batch: films that one run takes; above 1, the bundle also holds a file for single films to fall back on.
        maps: keep the feature maps as second output; a device that only answers needs none.
        manifest: films to calibrate on and to measure, the latter of the split test (without any: of val, then all);
            None: the course's simulated ones.
        root: what the manifest's image paths are relative to.
        tolerance: replaces the precision's own of `TOLERANCES`.
        progress: called with (films read, films in all).
    Returns:
        The bundle and how it was measured.
    Raises:
        ExportError: it does not agree, or an operator that the target lacks.
        ModelError: no such model, or a broken one; `onnx` or TensorFlow is not installed.
        ValueError: an unknown target or precision, a batch below 1, a folder that is not empty, no films, or one that
            cannot be read.
    """
    out = Path(out)
    _check(out, target, precision, batch)
    allowed = TOLERANCES[precision] if tolerance is None else tolerance
    graph = _needed("cxrkit.deploy._graph", "onnx")
    original = networks.load(model)
    source = networks.folder_of(model)
    calibration, measured, which = _films(original, precision, manifest, root, progress)
    before = original.predict(measured.pixels, prepared=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        unfinished = Path(scratch) / "bundle"
        unfinished.mkdir()
        models: list[dict[str, Any]] = []
        runs: list[Run] = []
        for size in dict.fromkeys((batch, 1)):
            path = unfinished / f"model{'' if size == batch else '-1'}{_SUFFIX[target]}"
            weights, live = _write(graph, source, path, target, precision, size, maps, calibration.pixels)
            entry: dict[str, Any] = {
                "file": path.name,
                "precision": precision,
                "batch": size,
                "sha256": sha256_of(path),
            }
            models.append({**entry, "weights_bytes": weights, "activation_bytes": live})
            runs.append(_run_of(path, target, size, len(original.labels)))
        answers = [run(measured.pixels) for run in runs]
        agreements = [
            _answers.compare(
                measured.names,
                before,
                after,
                labels=original.labels,
                thresholds=original.thresholds,
                truth=data.truth(measured.rows, _answers.scored(original.labels)),
                patients=[str(name) for name in measured.rows["patient_id"]],
            )
            for after in answers
        ]
        worst = float(np.max([agreement.largest for agreement in agreements]))
        # NaN is above any tolerance.
        if not worst <= allowed:
            raise ExportError(
                f"the exported network differs from {original.name} by up to {worst:.3g} in a probability on "
                f"{agreements[0].films} films; at most {allowed:g} is allowed for {precision}, so nothing was written. "
                "Use a higher --precision, or allow more with --tolerance."
            )
        shutil.copyfile(Path(__file__).parent / RUNNER, unfinished / RUNNER)
        notes = _notes(target, precision, original.info)
        info = {
            "format": FORMAT,
            "name": original.name,
            "version": original.version,
            "labels": list(original.labels),
            "scored": list(_answers.scored(original.labels)),
            "thresholds": original.thresholds,
            "not_shown": sorted(original.not_shown),
            "input_size": original.input_size,
            "pixel_range": [0, 1],
            "target": target,
            "models": models,
            "runner_sha256": sha256_of(unfinished / RUNNER),
            "original": {"file": "model.onnx", "sha256": original.sha256},
            "agreement": {**_plain(agreements[0]), "on": which, "tolerance": allowed},
            "notes": list(notes),
            "made_by": f"cxrkit {cxrkit.__version__}",
            "notice": DISCLAIMER,
        }
        text = json.dumps(info, indent=2, ensure_ascii=False) + "\n"
        (unfinished / "bundle.json").write_text(text, encoding="utf-8")
        if out.exists():
            out.rmdir()
        unfinished.rename(out)
    sizes = [(folder / name).stat().st_size for folder, name in ((out, models[0]["file"]), (source, "model.onnx"))]
    return Export(out, info, sizes[0], sizes[1], agreements[0], allowed, which, notes)


def default_folder(model: str | Path, target: str, precision: str) -> Path:
    """Return where a bundle goes when nobody says: a folder here, named after all three."""
    return Path(f"{Path(model).resolve().name}-{target}-{precision}")


def _check(out: Path, target: str, precision: str, batch: int) -> None:
    if target not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}; got {target!r}.")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}.")
    if batch < 1:
        raise ValueError(f"batch must be at least 1; got {batch}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there and not an empty folder; name a new one with --out.")


def _needed(module: str, package: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "cxrkit":
            raise
        raise networks.ModelError(
            f"to export, {package} is needed and {error.name} is not installed; install cxrkit's extra tf."
        ) from error


def _films(
    predictor: networks.Predictor,
    precision: str,
    manifest: pd.DataFrame | None,
    root: Path | str | None,
    progress: Progress | None,
) -> tuple[_Films, _Films, str]:
    """Return films to calibrate on, films to measure, and what the latter are, in words."""
    simulated = manifest is None
    if manifest is None:
        from cxrkit.data import course_images, course_manifest

        manifest, parts = course_manifest(), ("val", "test") if precision == "int8" else ("test",)
        root = next(course_images(part).parent for part in parts)
    folder = Path("." if root is None else root)
    split = manifest["split"]
    tests = next((name for name in ("test", "val") if (split == name).any()), None)
    test = _some(manifest if tests is None else manifest[split == tests], MEASURED_FILMS)
    if test.empty:
        raise ValueError("the manifest has no films to measure the export on; name one that has, or leave it out.")
    learn = manifest.iloc[:0]
    if precision == "int8":
        others = manifest[split != "test"] if tests == "test" else manifest[split == "train"]
        chosen = others[others["split"] == "val"] if (others["split"] == "val").any() else others
        # By patient: films of the people that are measured would make the loss look smaller than it is.
        chosen = chosen[~chosen["patient_id"].isin(set(test["patient_id"]))]
        learn = _some(chosen, CALIBRATION_FILMS)
        if learn.empty:
            raise ValueError(
                "int8 is calibrated on films of val or train of other patients than those measured; the manifest has "
                "none. Split it (cxrkit.data._manifest.split), or leave the manifest out to use the course's films."
            )
    total, done = len(learn) + len(test), 0
    found = []
    for rows in (learn, test):
        pixels = np.empty((len(rows), predictor.input_size, predictor.input_size), np.float32)
        for place, name in enumerate(rows["image"]):
            try:
                pixels[place] = predictor.prepare(film.read(folder / str(name)).pixels)
            except film.UnreadableImage as error:
                raise ValueError(f"{name}: {error}") from error
            done += 1
            if progress is not None:
                progress(done, total)
        found.append(_Films(tuple(str(name) for name in rows["image"]), pixels, rows))
    kind = "simulated course films" if simulated else "films of the manifest given"
    which = f"{len(test)} {kind}" + (f", split {tests}" if tests else "")
    return found[0], found[1], which


def _some(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return at most so many rows, spread evenly."""
    if len(rows) <= most:
        return rows
    return rows.iloc[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _write(
    graph: Any, source: Path, path: Path, target: str, precision: str, batch: int, maps: bool, films: np.ndarray
) -> tuple[int, int]:
    """Write one model file; return the bytes of its weights and of what lives at once in a run."""
    import onnx

    model = graph.lowered(onnx.load(source / "model.onnx"), batch=batch, maps=maps)
    weights, live = graph.bytes_of(model)
    if target == "litert":
        networks.export_litert(source, path, batch=batch, precision=precision, maps=maps, films=films)
        return weights, live
    if precision == "fp16":
        model = _halved(model)
    if precision == "int8":
        model = _quantised(model, batch, films)
    if target == "jetson-nano":
        graph.check_board(model)
    onnx.save(model, path)
    return graph.bytes_of(model)[0], live


def _halved(model: Any) -> Any:
    """Return the graph in half precision; what goes in and comes out stays float32."""
    import onnx
    from onnxruntime.transformers import float16

    # The functions that turn scores into probabilities are small and lose most: they stay.
    half = float16.convert_float_to_float16(
        model, keep_io_types=True, op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, "Softmax", "Sigmoid"]
    )
    return onnx.shape_inference.infer_shapes(half)


def _quantised(model: Any, batch: int, films: np.ndarray, *, reduce_range: bool = True) -> Any:
    """Return the graph with convolutions in eight bits, and the pools and joins between them."""
    import logging

    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.places = iter(range(0, len(films) - batch + 1, batch))

        def get_next(self) -> dict[str, np.ndarray] | None:
            place = next(self.places, None)
            name = model.graph.input[0].name
            return None if place is None else {name: np.ascontiguousarray(films[place : place + batch, ..., None])}

    if len(films) < batch:
        raise ValueError(f"int8 needs at least one batch of {batch} films to calibrate on; there are {len(films)}.")
    root = logging.getLogger()
    level = root.level
    # It advises on the root logger to fuse operators first; the graph here is the one that was measured.
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            plain, quantised = Path(scratch) / "plain.onnx", Path(scratch) / "int8.onnx"
            onnx.save(model, plain)
            quantization.quantize_static(
                plain,
                quantised,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "Relu", "MaxPool", "AveragePool", "Concat", "Add"],
                per_channel=True,
                # Weights of seven bits: with eight, sums overflow on processors with AVX2 but without VNNI, and a
                # bundle would answer otherwise here than on the device (docs/results/2026-11-24-device.md).
                reduce_range=reduce_range,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                # TensorRT takes zero points of 0 alone, and no 32-bit integers for biases.
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
            )
            return onnx.shape_inference.infer_shapes(onnx.load(quantised))
    finally:
        root.setLevel(level)


def _run_of(path: Path, target: str, batch: int, labels: int) -> Run:
    """Return what runs a written file on any number of films; the last batch is filled up with zeros."""
    one = _litert_batch(path) if target == "litert" else _onnx_batch(path)

    def run(films: np.ndarray) -> np.ndarray:
        found = [np.empty((0, labels))]
        for start in range(0, len(films), batch):
            part = films[start : start + batch, ..., None]
            full = np.zeros((batch, *part.shape[1:]), np.float32)
            full[: len(part)] = part
            found.append(one(full)[: len(part)].astype(np.float64))
        return np.clip(np.concatenate(found), 0.0, 1.0)

    return run


def _onnx_batch(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(["probs"], {name: batch})[0]


def _litert_batch(path: Path) -> Run:
    return networks.load_litert(path)


def _notes(target: str, precision: str, info: dict[str, Any]) -> tuple[str, ...]:
    notes = []
    if target == "jetson-nano" and precision == "int8":
        notes.append(
            "the Jetson Nano's GPU (compute capability 5.3) has no int8: TensorRT refuses this file there, and the "
            "runner falls back to ONNX Runtime on the CPU"
        )
    if target == "jetson-nano":
        notes.append("made for TensorRT 8.2 by its documentation; it was not run on a board")
    if info["not_shown"]:
        notes.append(f"not shown to work on real films: {', '.join(info['not_shown'])}")
    return tuple(notes)


def _plain(agreement: Agreement) -> dict[str, Any]:
    """Return an agreement as JSON has it, null for NaN; films are counted, since their names may be a patient's."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [clean(inner) for inner in value]
        return None if isinstance(value, float) and value != value else value

    return clean({**asdict(agreement), "changed": len(agreement.changed)})


def summary(result: Export) -> str:
    """Say in a few lines what was exported and what it cost."""
    agreement = result.agreement
    first = result.info["models"][0]
    lines = [
        f"{result.folder}: {first['file']}, {first['precision']}, batch {first['batch']}, "
        f"{result.size / 1e6:.2f} MB (the original has {result.original_size / 1e6:.2f} MB)",
        f"agreement with the original on {result.films}: probabilities differ by at most {agreement.largest:.2g} "
        f"({result.tolerance:g} allowed), {agreement.mean:.2g} on average",
        f"films called otherwise: {len(agreement.changed)}" + _listed(agreement.changed),
    ]
    if agreement.before.n:
        change = agreement.difference
        lines.append(
            f"accuracy: {agreement.before.value:.4f} before, {agreement.after.value:.4f} after; change "
            f"{change.value:+.4f} (95% interval {change.low:+.4f} to {change.high:+.4f})"
        )
    else:
        lines.append(f"accuracy: not known ({agreement.before.reason or 'the films have no labels'})")
    return "\n".join([*lines, *(f"note: {note}" for note in result.notes)])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return f" ({shown}{', ...' if len(names) > 10 else ''})" if names else ""
