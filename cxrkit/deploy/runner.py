#!/usr/bin/env python3
"""Run a cxrkit bundle on a device and measure it: one file for Python 3.6, NumPy and one runtime.

    python3 runner.py --probe                       # print what this device has, as JSON
    python3 runner.py BUNDLE IMAGES --out DIR       # write DIR/result.json and DIR/predictions.csv

BUNDLE is a folder that `cxrkit model export` wrote. IMAGES is a folder, or a CSV with the column `image` (a path
relative to the CSV). The CSV may also have `truth` (labels joined by a bar), `file` (the path, where `image` is only a
name) and `reason` (why an image cannot be read, where that is already known).
Needs TensorRT, ONNX Runtime or LiteRT; Pillow for PNG and JPEG. For teaching and research; not a medical device.

Keep this file readable for Python 3.6, the version in JetPack 4.6.
"""

import argparse
import array
import contextlib
import csv
import ctypes
import functools
import hashlib
import importlib.util
import io
import json
import math
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

if platform.machine() == "aarch64":
    # NumPy 1.19.5, the last one for Python 3.6, stops with "Illegal instruction" on a Jetson because its OpenBLAS
    # detects the processor wrongly (github.com/numpy/numpy/issues/18131).
    os.environ.setdefault("OPENBLAS_CORETYPE", "ARMV8")

import numpy as np

# From release 1.29 on, ONNX Runtime reports usage to its maker unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

FORMAT = 1
#: What bundle.json must have beside `format` and `models`.
NEEDED = ("name", "version", "labels", "scored", "thresholds", "input_size", "original", "runner_sha256")
NOTICE = "Teaching and research only; not a medical device."
#: Exit codes: all went well; some images have no prediction; the run was not possible.
OK, ERROR_ROWS, MISUSE = 0, 1, 2

MEGABYTE = 2**20
#: Memory kept free for the rest of the device, bytes. Below it Linux starts to end processes.
RESERVE = 64 * MEGABYTE
#: Memory of a runtime in addition to the network's own numbers, bytes. The value for TensorRT comes from NVIDIA's forum
#: ("around 800Mb" for cuBLAS, cuDNN and TensorRT 5: forums.developer.nvidia.com/t/79158); we did not measure it.
RUNTIME_BYTES = {"tensorrt": 800 * MEGABYTE, "onnxruntime": 64 * MEGABYTE, "litert": 64 * MEGABYTE}
#: Choices of --engine. "auto" takes the first of the others that works.
ENGINES = ("auto", *RUNTIME_BYTES)
#: Most memory that TensorRT may use to try kernels while it builds, bytes.
WORKSPACE = 256 * MEGABYTE
#: Runs of zeros before anything is timed.
WARM_UP = 3
MAX_PIXELS = 100 * 1000 * 1000
#: Red, green, blue: the luma of ITU-R BT.601 as OpenCV rounds it.
_LUMA = (9798 / 32768.0, 19235 / 32768.0, 3735 / 32768.0, 0)
_ON_PC = "prepare it on the PC (cxrkit jetson bench --prepared)"


class RunnerError(Exception):
    """The run is not possible; the message says why and what to do."""


class UnreadableError(Exception):
    """An image that cannot be read; the message says why and what to do."""


def say(text):
    """Print a note or an error."""
    print(text, file=sys.stderr, flush=True)


# --- memory -------------------------------------------------------------------------------------------------------


def _found(path, pattern):
    """Return the first group of a pattern in a small text file, or None."""
    match = re.search(pattern, _text(path), re.MULTILINE)
    return match.group(1).strip() if match else None


def _number(path, pattern=r"(\d+)"):
    text = _found(path, pattern)
    return int(text) if text else None


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _cgroups(listed="/proc/self/cgroup", root="/sys/fs/cgroup"):
    """Yield the files with limit, usage and statistics of each cgroup of this process (versions 1 and 2)."""
    for kinds, path in re.findall(r"^\d+:(.*?):(.*)$", _text(listed), re.MULTILINE):
        if kinds == "":
            folder, names = root, ("memory.max", "memory.current", "memory.stat")
        elif "memory" in kinds.split(","):
            folder, names = root + "/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
        else:
            continue
        place = (folder + os.path.normpath(path)).rstrip("/")
        while place.startswith(folder):
            yield tuple(os.path.join(place, name) for name in names)
            place = os.path.dirname(place)


def free_bytes():
    """Return how much more memory this process may use: the least of what the system, a cgroup and ulimit allow."""
    limits = []
    available = _number("/proc/meminfo", r"^MemAvailable:\s+(\d+) kB")
    if available is not None:
        limits.append(available * 1024)
    for limit, usage, statistics in _cgroups():
        most, used = _number(limit), _number(usage)
        if most is not None and used is not None:
            # Cached files count as used, but the system drops them when memory is needed.
            limits.append(most - used + (_number(statistics, r"^(?:total_)?inactive_file (\d+)") or 0))
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _number("/proc/self/status", r"^VmSize:\s+(\d+) kB")
    if most != resource.RLIM_INFINITY and used is not None:
        limits.append(most - used * 1024)
    return max(0, min(limits)) if limits else 0


def memory_mb(kind="VmRSS"):
    """Return the memory that this process holds now, or with "VmHWM" the most that it ever held, MB."""
    return (_number("/proc/self/status", "^" + kind + r":\s+(\d+) kB") or 0) / 1024.0


def needed_bytes(model, engine):
    """Return the most memory that loading and running a network may take, from the sizes in its bundle.

    A runtime keeps the file, converted weights and, during the conversion, two more copies. The values of one run take
    several times the least possible, because images are unfolded for convolutions. DenseNet121 at 224 px took 131 to
    155 MB with ONNX Runtime; this estimate gives 200 (docs/results/2026-11-24-device.md).
    """
    return RUNTIME_BYTES[engine] + 4 * model["weights_bytes"] + 4 * model["activation_bytes"]


# --- images -------------------------------------------------------------------------------------------------------


def read_image(data):
    """Decode an image.

    Args:
        data: the bytes of an NPY file with floats in [0, 1]; with Pillow also of a PNG, JPEG or BMP.
    Returns:
        (H, W) of uint8, uint16 or float32, bones bright, alpha over black; and the value of full white.
    Raises:
        UnreadableError: another format, a damaged file, or too little memory.
    """
    if data[:6] == b"\x93NUMPY":
        return _npy(data)
    if data[:4] != b"\x89PNG" and data[:3] != b"\xff\xd8\xff" and data[:2] != b"BM":
        raise UnreadableError("legal are PNG, JPEG, BMP and NPY; " + _ON_PC)
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UnreadableError("this Python has no Pillow; install it, or " + _ON_PC) from None
    try:
        image = Image.open(io.BytesIO(data))  # type: Image.Image
        width, height = image.size
        # Several forms of the image are held at the same time, each of up to 4 bytes a pixel.
        if width * height > MAX_PIXELS or 12 * width * height > free_bytes():
            raise UnreadableError(f"{width} x {height} pixels take more memory than is free; " + _ON_PC)
        sixteen = image.format == "PNG" and data[24] == 16
        if sixteen and data[25] != 0:
            raise UnreadableError("Pillow keeps 8 of the 16 bits of colour and alpha; " + _ON_PC)
        image.load()
        # Damaged EXIF must not cost the image, and releases before 6.0 cannot turn it: it stays as stored.
        with contextlib.suppress(Exception):
            image = ImageOps.exif_transpose(image)
        if sixteen:
            # Pillow calls this mode I or I;16, depending on the release.
            return np.asarray(image).astype(np.uint16), 65535
        alpha = None
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            alpha = np.asarray(image.getchannel("A"))
        grey = np.asarray(image.convert("L") if image.mode in ("1", "L") else image.convert("RGB").convert("L", _LUMA))
        # An alpha channel that is opaque or empty everywhere was written by mistake.
        if alpha is None or alpha.min() == 255 or alpha.max() == 0:
            return grey, 255
        return (grey / np.float32(255)) * (alpha / np.float32(255)), 1
    except UnreadableError:
        raise
    except Exception:  # Decoders raise errors of any type on a damaged file.
        raise UnreadableError("it is damaged, cut short or of a rare kind") from None


def _npy(data):
    try:
        pixels = np.load(io.BytesIO(data), allow_pickle=False)
        legal = pixels.ndim == 2 and pixels.dtype.kind == "f" and pixels.min() >= -1e-3 and pixels.max() <= 1 + 1e-3
    except Exception:  # NumPy parses the header as Python syntax, which raises errors of many types.
        raise UnreadableError("the NPY is damaged or empty") from None
    if not legal:
        raise UnreadableError("an NPY must hold floats of (H, W) in [0, 1]")
    return pixels.astype(np.float32), 1


def prepare(image, side):
    """Resize the result of `read_image` as cxrkit does: by area where an axis shrinks, linearly where it grows.

    Returns:
        (side, side), float32, in [0, 1].
    """
    pixels, full = image
    height, width = pixels.shape
    rows = np.empty((side, width), np.float32)
    for place, (start, weights) in enumerate(_weights(height, side)):
        # A few rows at a time: nine megapixels as floats would take 36 MB.
        rows[place] = weights.dot(pixels[start : start + len(weights)].astype(np.float32))
    across = np.zeros((width, side), np.float32)
    for place, (start, weights) in enumerate(_weights(width, side)):
        across[start : start + len(weights), place] = weights
    scale = np.float32(full)
    return np.clip(rows.dot(across) / scale, pixels.min() / scale, pixels.max() / scale)


def _weights(size, wanted):
    """Return the first old place and the weights from there on, for each new place on an axis, as OpenCV has them."""
    scale = size / float(wanted)
    found = []
    for place in range(wanted):
        if wanted < size:
            low, high = place * scale, min((place + 1) * scale, size)
            first, last = math.floor(low), math.ceil(high - 1e-9)
            edges = np.arange(first, last + 1, dtype=np.float64)
            share = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
            found.append((first, (share / share.sum()).astype(np.float32)))
        else:
            centre = (place + 0.5) * scale - 0.5
            first = min(max(math.floor(centre), 0), size - 1)
            share = min(max(centre - first, 0.0), 1.0) if first < size - 1 else 0.0
            found.append((first, np.array([1.0 - share, share] if share else [1.0], np.float32)))
    return found


# --- runtimes -----------------------------------------------------------------------------------------------------


class OnnxEngine:
    """ONNX Runtime on the processor."""

    name = "onnxruntime"

    def __init__(self, path, model, threads):
        import onnxruntime

        self.version, self.model = onnxruntime.__version__, model
        options = onnxruntime.SessionOptions()
        # The arena trades memory for speed in runs of changing size; here all runs have one size.
        options.enable_cpu_mem_arena = False
        if threads:
            options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception:  # Any other cause raises again below.
            # Release 1.10, the newest for Python 3.6, cannot fuse the int8 form of MobileNetV2.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def run(self, batch):
        """Return (batch, labels) of (batch, S, S, 1)."""
        return self.session.run(["probs"], {self.input: batch})[0]


class LitertEngine:
    """LiteRT, under either of its package names."""

    name = "litert"

    def __init__(self, path, model, threads):
        module = _litert_module()
        self.version, self.model = getattr(module, "__version__", "unknown"), model
        self.interpreter = module.Interpreter(model_path=path, num_threads=threads or None)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        # Probabilities are (batch, labels); feature maps have two axes more.
        self.output = next(o["index"] for o in self.interpreter.get_output_details() if len(o["shape"]) == 2)

    def run(self, batch):
        """Return (batch, labels) of (batch, S, S, 1)."""
        self.interpreter.set_tensor(self.input, batch)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)


def _litert_module():
    try:
        return importlib.import_module("tflite_runtime.interpreter")
    except ImportError:
        return importlib.import_module("ai_edge_litert.interpreter")


def tensorrt_plan(path, plan_path, precision):
    """Return TensorRT's plan for an ONNX file: the one kept at `plan_path`, or a new one, which is then kept.

    Written from the documentation of TensorRT 8.2. It was never run on a board.
    """
    import tensorrt

    if os.path.exists(plan_path):
        with open(plan_path, "rb") as file:
            return file.read()
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    parser = tensorrt.OnnxParser(network, logger)
    with open(path, "rb") as file:
        if not parser.parse(file.read()):
            raise RuntimeError(f"TensorRT cannot read it: {parser.get_error(0)}")
    config = builder.create_builder_config()
    config.max_workspace_size = int(min(WORKSPACE, max(free_bytes() // 4, 16 * MEGABYTE)))
    if precision != "fp32":
        if not getattr(builder, "platform_has_fast_" + precision):
            raise RuntimeError("the graphics processor of this device has no fast " + precision)
        config.set_flag(getattr(tensorrt.BuilderFlag, precision.upper()))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("TensorRT could not build it, most likely because memory is short")
    write_whole(plan_path, bytes(plan))
    return bytes(plan)


class TensorrtEngine:
    """TensorRT on the graphics processor, through CUDA's own library."""

    name = "tensorrt"

    def __init__(self, path, model, plan_path):
        self.host, self.device = [], []
        import tensorrt

        self.version, self.model = tensorrt.__version__, model
        plan = tensorrt_plan(path, plan_path, model["precision"])
        self.cuda = _cuda()
        self.runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise RuntimeError(f"TensorRT cannot load its plan; delete {plan_path} and try again")
        self.context = self.engine.create_execution_context()
        places = range(self.engine.num_bindings)
        for place in places:
            self.host.append(np.zeros(tuple(self.engine.get_binding_shape(place)), np.float32))
            pointer = ctypes.c_void_p()
            self._check(self.cuda.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(self.host[-1].nbytes)))
            self.device.append(pointer)
        self.output = [self.engine.get_binding_name(place) for place in places].index("probs")
        self.input = next(place for place in places if self.engine.binding_is_input(place))

    def run(self, batch):
        """Return (batch, labels) of (batch, S, S, 1)."""
        probs = self.host[self.output]
        self._copy(self.device[self.input], batch.ctypes.data_as(ctypes.c_void_p), batch.nbytes, 1)
        if not self.context.execute_v2([pointer.value for pointer in self.device]):
            raise RuntimeError("TensorRT could not run the network")
        self._copy(probs.ctypes.data_as(ctypes.c_void_p), self.device[self.output], probs.nbytes, 2)
        return probs

    def __del__(self):
        # The next attempt needs this memory.
        for pointer in self.device:
            self.cuda.cudaFree(pointer)

    def _copy(self, to, source, size, direction):
        self._check(self.cuda.cudaMemcpy(to, source, ctypes.c_size_t(size), ctypes.c_int(direction)))

    def _check(self, code):
        if code:
            raise RuntimeError("CUDA error {}{}".format(code, ": out of memory" if code == 2 else ""))


def _cuda():
    for name in ("libcudart.so", "libcudart.so.10.2", "/usr/local/cuda/lib64/libcudart.so"):
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    raise ImportError("CUDA's runtime library, libcudart.so, is not there")


def engines_here():
    """Return the runtimes that can be imported: name -> version."""
    found = {}
    for name in RUNTIME_BYTES:
        with contextlib.suppress(ImportError):
            module = _litert_module() if name == "litert" else importlib.import_module(name)
            found[name] = getattr(module, "__version__", "unknown")
    return found


def attempts(bundle, info, engines, wanted, threads):
    """Yield (label, runtime, model, a function that loads it), the best first.

    TensorRT comes before the processor, the chosen precision before a lower one, large batches before single images.
    """
    models = info["models"]
    able = ["litert"] if models[0]["file"].endswith(".tflite") else ["tensorrt", "onnxruntime"]
    if wanted not in ("auto", *able):
        raise RunnerError("{} cannot run {}; leave out --engine".format(wanted, models[0]["file"]))
    able = [name for name in able if wanted in ("auto", name)]
    here = [name for name in able if name in engines]
    if not here:
        text = "none of {} is installed for {}; install one, or use the Python that has it"
        raise RunnerError(text.format(", ".join(able), sys.executable))
    for name in here:
        for model in models:
            lower = ["fp16"] if name == "tensorrt" and model["precision"] == "fp32" else []
            for precision in [model["precision"], *lower]:
                entry = dict(model, precision=precision)
                label = "{} {} batch {}".format(name, precision, model["batch"])
                yield label, name, entry, functools.partial(_load, name, bundle, entry, engines[name], threads)


def _load(name, bundle, model, version, threads):
    path = os.path.join(bundle, model["file"])
    if name == "tensorrt":
        kept = "{}-{}-trt{}.plan".format(model["sha256"][:16], model["precision"], version)
        return TensorrtEngine(path, model, os.path.join(bundle, kept))
    return (OnnxEngine if name == "onnxruntime" else LitertEngine)(path, model, threads)


class Engines:
    """The runtimes to try, in order; `engine` is the one that works."""

    def __init__(self, tries):
        self.tries = tries
        self.engine, self.label, self.notes, self.load_s = None, "", [], 0.0

    def next(self, why=None):
        """Load the next one that fits into free memory; note it where it is not the first."""
        if why is not None:
            self._note(f"{self.label} failed ({why}); falling back")
        self.engine = None
        for label, name, model, load in self.tries:
            need, free = needed_bytes(model, name), free_bytes()
            if need + RESERVE > free:
                self._note(
                    "memory is short for {}: it may take {:.0f} MB, {:.0f} MB must stay free, and {:.0f} MB are free; "
                    "falling back".format(label, *(size / 1e6 for size in (need, RESERVE, free)))
                )
                continue
            began = time.perf_counter()
            try:
                self.engine, self.label = load(), label
            except Exception as error:  # Each runtime has other errors; the next runtime is tried after any of them.
                self._note(f"{label} cannot be loaded ({first_line(error)}); falling back")
                continue
            self.load_s = time.perf_counter() - began
            if self.notes:
                self._note(f"running {label} instead")
            return
        raise RunnerError(
            "no runtime is left that can run this bundle here; see the notes above. Free some memory (on a Jetson, "
            "`sudo systemctl isolate multi-user.target` ends the desktop), or export with a smaller --batch"
        )

    def _note(self, text):
        self.notes.append(text)
        say("note: " + text)


# --- measuring ----------------------------------------------------------------------------------------------------


def summary(seconds):
    """Return mean, median and 95th percentile of times in seconds, and their number."""
    if not len(seconds):
        return {"mean": None, "p50": None, "p95": None, "images": 0}
    p50, p95 = np.percentile(seconds, [50, 95])
    return {"mean": float(np.mean(seconds)), "p50": float(p50), "p95": float(p95), "images": len(seconds)}


def read_tegrastats(text):
    """Return temperature and power from the output of tegrastats: kind -> sensor -> mean, max, readings.

    A Nano writes `POM_5V_IN 2077/2077`, JetPack 5 and 6 `VDD_IN 4056mW/4056mW`: the present value and the mean.
    """
    # PMIC is always 100 (github.com/balena-os/balena-jetson/issues/142); a sensor that is off gives -256.
    heat = [pair for pair in re.findall(r"(\w+)@(-?[\d.]+)C\b", text) if pair[0] != "PMIC" and float(pair[1]) > -256]
    power = re.findall(r"((?:POM|VDD)_\w+(?= \d+/)|\w+(?= \d+mW/)) (\d+)", text)
    found = {}  # type: dict
    for kind, pairs in (("temperature_c", heat), ("power_mw", power)):
        for name in dict(pairs):
            values = [float(value) for sensor, value in pairs if sensor == name]
            statistics = {"mean": sum(values) / len(values), "max": max(values), "readings": len(values)}
            found.setdefault(kind, {})[name] = statistics
    return found


@contextlib.contextmanager
def tegrastats():
    """Run tegrastats, where there is one; yield a dict that holds its readings at the end."""
    program = shutil.which("tegrastats")
    readings = {}  # type: dict
    with tempfile.TemporaryFile("w+", encoding="latin-1") as file:
        process = subprocess.Popen([program, "--interval", "500"], stdout=file) if program else None
        try:
            yield readings
        finally:
            if process:
                process.terminate()
                process.wait()
            file.seek(0)
            readings.update(read_tegrastats(file.read()))


# --- running ------------------------------------------------------------------------------------------------------


def first_line(error):
    """Return the first line of an error, or its type where it has no text."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


def sha256_of(path):
    """Return the sha256 of a file, in hex."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(MEGABYTE), b""):
            found.update(piece)
    return found.hexdigest()


def write_whole(path, data):
    """Write a file so that it appears whole or not at all."""
    try:
        with open(path + ".part", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".part", path)
    except OSError:
        os.remove(path + ".part")
        raise


def load_bundle(folder):
    """Read bundle.json and check the sha256 of each model file."""
    try:
        with open(os.path.join(folder, "bundle.json"), encoding="utf-8") as file:
            info = json.load(file)
        if info["format"] != FORMAT:
            raise RunnerError("{} is a bundle of format {}; legal is {}".format(folder, info["format"], FORMAT))
        missing = [name for name in NEEDED if name not in info]
        models = {model["file"]: model["sha256"] for model in info["models"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunnerError(
            f"{folder} is no bundle ({first_line(error)}); make one with `cxrkit model export`"
        ) from error
    if missing:
        raise RunnerError("{}/bundle.json lacks {}".format(folder, ", ".join(missing)))
    for name, sha256 in models.items():
        path = os.path.join(folder, name)
        if name != os.path.basename(name) or name.startswith("."):
            raise RunnerError(f"{folder}/bundle.json names {name!r}, which lies outside the folder")
        if not os.path.isfile(path) or sha256_of(path) != sha256:
            raise RunnerError(f"{path} is missing, was changed or cut short; copy the bundle again")
    return info


def images_in(path):
    """Yield (name, file, truth, reason) of each image of a folder or a CSV, one after the other.

    `truth` is None where it is not known; `reason` is not empty where it is already known that the file is unreadable.
    """
    if os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            file = os.path.join(path, name)
            if os.path.isfile(file) and not name.startswith("."):
                # A file name is bytes of any encoding, and the locale of a board over SSH is often ASCII.
                yield os.fsencode(name).decode("utf-8", "backslashreplace"), file, None, ""
        return
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if "image" not in (rows.fieldnames or ()):
                raise RunnerError(f"{path} has no column `image`")
            for row in rows:
                name = (row.get("file") or row["image"] or "").encode("utf-8")
                place = os.path.join(os.fsencode(os.path.dirname(path)), name)
                yield row["image"], place, row.get("truth"), row.get("reason") or ""
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunnerError(f"{path} cannot be read ({first_line(error)})") from error


def probe():
    """Return what this device has."""
    pillow = importlib.import_module("PIL").__version__ if importlib.util.find_spec("PIL") else None
    return {
        "machine": platform.machine(),
        "model": _found("/proc/device-tree/model", r"([^\n\0]*)"),
        "jetpack": _found("/etc/nv_tegra_release", r"([^\n\0]*)"),
        "system": _found("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": pillow,
        "engines": engines_here(),
        "memory_mb": (_number("/proc/meminfo", r"^MemTotal:\s+(\d+) kB") or 0) / 1024.0,
        "free_mb": free_bytes() / float(MEGABYTE),
        "disk_free_mb": shutil.disk_usage(os.getcwd()).free / float(MEGABYTE),
        "tegrastats": bool(shutil.which("tegrastats")),
    }


def predictions(info, engines, prepare, images):
    """Yield a row of predictions.csv for each image of `images_in`, in order; only one batch of pixels is held."""
    rows, waiting = [], []
    for index, (name, path, truth, reason) in enumerate(images):
        row = {"index": index, "image": name, "status": "error", "reason": reason, "truth": truth}
        rows.append(row)
        if not reason:
            _read(row, path, prepare)
        if row["status"] == "ok":
            waiting.append(row)
        if not waiting or len(waiting) >= engines.engine.model["batch"]:
            _predict(waiting, info, engines)
            yield from rows
            rows, waiting = [], []
    _predict(waiting, info, engines)
    yield from rows


def _read(row, path, prepare):
    began = time.perf_counter()
    try:
        with open(path, "rb") as file:
            data = file.read()
        row["sha256"] = hashlib.sha256(data).hexdigest()
        read = time.perf_counter()
        row["pixels"] = prepare(data)
        row.update(status="ok", reading_s=read - began, preprocessing_s=time.perf_counter() - read)
    except UnreadableError as error:
        row["reason"] = first_line(error)
    except OSError as error:
        row["reason"] = f"cannot be read: {error.strerror}"
    except MemoryError:
        row["reason"] = "memory is short; " + _ON_PC


def _infer(engines, images, side):
    """Return (images, labels), at most one batch; None when it failed and another runtime was loaded."""
    batch = np.zeros((engines.engine.model["batch"], side, side, 1), np.float32)
    for place, image in enumerate(images):
        batch[place, :, :, 0] = image
    try:
        return np.array(engines.engine.run(batch))[: len(images)]
    except Exception as error:  # As in `Engines.next`: the next runtime is tried after any error.
        why = first_line(error)
    # Outside of `except`: there the error still holds the failed runtime and its memory.
    engines.next(why)
    return None


def _predict(waiting, info, engines):
    labels, scored = info["labels"], info["scored"]
    while waiting:
        part = waiting[: engines.engine.model["batch"]]
        began = time.perf_counter()
        found = _infer(engines, [row["pixels"] for row in part], info["input_size"])
        if found is None:
            # The runtime that took over may have another batch size.
            continue
        seconds = (time.perf_counter() - began) / len(part)
        for row, probs in zip(part, found):
            positive = [label for label, prob in zip(labels, probs) if prob >= info["thresholds"][label]]
            if len(scored) == 1 and len(labels) == 2:
                # Two classes that exclude each other: the threshold of the scored one decides.
                positive = [label for label in labels if (label == scored[0]) == (scored[0] in positive)]
            row.update(probs=probs, predicted="|".join(positive), inference_s=seconds)
            row.update(("prob_" + label, float(prob)) for label, prob in zip(labels, probs))
        waiting = waiting[len(part) :]


def measure(info, engines, prepare, images, out, memory):
    """Predict images, measure, and write result.json and predictions.csv; return the exit code.

    Args:
        info: name, version, labels, scored, thresholds and input_size of the network.
        engines: the runtimes to try.
        prepare: from the bytes of a file to (S, S), float32, in [0, 1].
        images: a folder or a CSV, for `images_in`.
        out: the folder for the results.
        memory: what was held before, MB.
    """
    os.makedirs(out, exist_ok=True)
    engines.next()
    memory["loaded"] = memory_mb()
    path = os.path.join(out, "predictions.csv")
    times = ("reading_s", "preprocessing_s", "inference_s")
    head = ["index", "image", "status", "reason", "truth", "predicted", *("prob_" + name for name in info["labels"])]
    seconds = {name[:-2]: array.array("d") for name in (*times, "total_s")}
    failed = right = judged = 0
    with tegrastats() as readings, open(path + ".part", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*head, "sha256", *times], restval="", extrasaction="ignore")
        table.writeheader()
        warm_up = []
        for _ in range(WARM_UP):
            began = time.perf_counter()
            _infer(engines, [], info["input_size"])
            warm_up.append(time.perf_counter() - began)
        began = time.perf_counter()
        for row in predictions(info, engines, prepare, images_in(images)):
            if row["status"] == "error":
                say("image {index} {image}: no prediction: {reason}".format(**row))
                failed += 1
            else:
                # The words of the report's figure 18, here and below.
                print("inference-{index} {image} result:".format(**row), end=" ")
                print("[{}]".format(np.array2string(row["probs"], max_line_width=10**6)))
                print("needed time in inference-{index}: {inference_s}".format(**row))
                row["total_s"] = sum(row[name] for name in times)
                for part, values in seconds.items():
                    values.append(row[part + "_s"])
                if row["truth"] is not None:
                    known, found = row["truth"].split("|"), row["predicted"].split("|")
                    judged += len(info["scored"])
                    right += sum((label in known) == (label in found) for label in info["scored"])
                row.update((name, round(row[name], 6)) for name in times)
            table.writerow(row)
        wall = time.perf_counter() - began
    os.replace(path + ".part", path)
    engine = engines.engine
    statistics = {name: summary(values) for name, values in seconds.items()}
    accuracy = {"right": right, "of": judged, "value": right / float(judged)} if judged else None
    ran = {name: engine.model[name] for name in ("file", "sha256", "precision", "batch")}
    result = {
        "format": FORMAT,
        "notice": NOTICE,
        "name": info["name"],
        "version": info["version"],
        "labels": info["labels"],
        "ran": dict(ran, engine=engine.name, engine_version=engine.version, runner_sha256=sha256_of(__file__)),
        "device": probe(),
        "images": {"predicted": len(seconds["total"]), "failed": failed},
        "seconds": dict(statistics, load=engines.load_s, warm_up={"first": warm_up[0], "last": warm_up[-1]}, all=wall),
        "memory_mb": dict(memory, peak=memory_mb("VmHWM")),
        "sensors": readings or None,
        "accuracy": accuracy,
        "fallbacks": engines.notes,
        "predictions_sha256": sha256_of(path),
    }
    write_whole(os.path.join(out, "result.json"), (json.dumps(result, indent=2) + "\n").encode("utf-8"))
    if seconds["total"]:
        print("average inference time: {}".format(statistics["inference"]["mean"]))
    if accuracy:
        print("ACC : {}".format(accuracy["value"]))
    print("peak memory: {:.0f} MB".format(memory_mb("VmHWM")))
    print(NOTICE)
    return ERROR_ROWS if failed else OK


def main(arguments=None):
    """Read the command line and run; every refusal is one line on stderr."""
    parser = argparse.ArgumentParser(description="Run a cxrkit bundle on this device. " + NOTICE)
    parser.add_argument("bundle", nargs="?", help="a folder that `cxrkit model export` wrote")
    parser.add_argument("images", nargs="?", help="a folder, or a CSV with `image` and perhaps `truth`")
    parser.add_argument("--out", default="run", help="folder for result.json and predictions.csv")
    parser.add_argument("--engine", default=ENGINES[0], choices=ENGINES)
    parser.add_argument("--threads", type=int, default=0, help="threads of one run; 0 lets the runtime choose")
    parser.add_argument("--probe", action="store_true", help="print what this device has, as JSON")
    options = parser.parse_args(arguments)

    try:
        if options.probe:
            print(json.dumps(probe(), indent=2))
            return OK
        if not options.bundle or not options.images:
            raise RunnerError("name a bundle and images, or --probe")
        info = load_bundle(options.bundle)
        memory = {"start": memory_mb()}
        here = engines_here()
        memory["with_runtime"] = memory_mb()
        engines = Engines(attempts(options.bundle, info, here, options.engine, options.threads))

        def prepared(data):
            return prepare(read_image(data), info["input_size"])

        return measure(info, engines, prepared, options.images, options.out, memory)
    except RunnerError as error:
        say(f"runner: {error}.")
    except OSError as error:
        say("runner: {} ({}).".format(error.strerror or "an error of the system", error.filename or ""))
    except MemoryError:
        say("runner: memory is short; free some, or export with a smaller --batch.")
    return MISUSE


if __name__ == "__main__":
    # Image names may hold characters that the device's locale cannot print.
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, errors="backslashreplace", line_buffering=True)
    sys.exit(main())
