#!/usr/bin/env python3
"""Run a cxrkit bundle on a device and measure it: one file for Python 3.6, NumPy and one runtime.

    python3 runner.py --probe                       # print what this device has, as JSON
    python3 runner.py BUNDLE IMAGES --out DIR       # write DIR/result.json and DIR/predictions.csv

BUNDLE is a folder that `cxrkit model export` wrote. IMAGES is a folder, or a CSV with the column `image` (a path
relative to the CSV) and perhaps `truth` (labels joined by a bar), `file` (the path, where `image` is only a name),
`reason` (why an image cannot be read, where that is known) and `rejected` (why it is no frontal chest radiograph).
Such an image, and one that is blank, gets no prediction; --keep-rejected predicts it too.
Needs TensorRT or ONNX Runtime; Pillow for PNG and JPEG. For teaching and research; not a medical device.

Keep this file readable for Python 3.6, the version in JetPack 4.6.
"""

import argparse
import contextlib
import csv
import ctypes
import functools
import hashlib
import importlib
import io
import itertools
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

if platform.machine() == "aarch64":
    # NumPy 1.19.5, the last one for Python 3.6, stops with "Illegal instruction" on a Jetson because its OpenBLAS
    # detects the processor wrongly (github.com/numpy/numpy/issues/18131).
    os.environ.setdefault("OPENBLAS_CORETYPE", "ARMV8")

import numpy as np

# From release 1.29 on, ONNX Runtime reports usage to its maker unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

FORMAT = 2
#: What bundle.json must have beside `format` and `models`.
NEEDED = ("name", "version", "labels", "scored", "thresholds", "input_size", "original", "detector", "runner_sha256")
NOTICE = "Teaching and research only; not a medical device."
#: Exit codes: all went well; some images have no prediction; the run was not possible.
OK, ERROR_ROWS, MISUSE = 0, 1, 2

MEGABYTE = 2**20
#: Memory kept free for the rest of the device, bytes. Below it Linux starts to end processes.
RESERVE = 64 * MEGABYTE
#: Memory of a runtime beside the network, bytes; by runtime, the best first. TensorRT's is from NVIDIA's forum ("around
#: 800Mb" for cuBLAS, cuDNN and TensorRT 5: forums.developer.nvidia.com/t/79158); we did not measure it.
RUNTIME_BYTES = {"tensorrt": 800 * MEGABYTE, "onnxruntime": 64 * MEGABYTE}
#: Choices of --engine. "auto" takes the first of the others that works.
ENGINES = ("auto", *RUNTIME_BYTES)
#: Red, green, blue: the luma of ITU-R BT.601 as OpenCV rounds it.
_LUMA = (9798 / 32768.0, 19235 / 32768.0, 3735 / 32768.0, 0)
_ON_PC = "prepare it on the PC (cxrkit jetson bench)"


class RunnerError(Exception):
    """The run is not possible; the message says why and what to do."""


class UnreadableError(Exception):
    """An image that cannot be read; the message says why and what to do."""


class RejectedError(Exception):
    """An image that gets no prediction, because it is no frontal chest radiograph, or blank; the message says which."""


def say(text):
    """Print a note or an error."""
    print(text, file=sys.stderr, flush=True)


def _found(path, pattern):
    """Return the first group of a pattern in a small text file, or an empty text."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        match = re.search(pattern, file.read(), re.MULTILINE)
        return match.group(1).strip() if match else ""
    return ""


def _number(path, pattern=r"(\d+)", otherwise=0):
    return int(_found(path, pattern) or otherwise)


def free_bytes(cgroup="/sys/fs/cgroup"):
    """Return how much more memory this process may use: the least of what the system, a container and ulimit allow."""
    limits = [1024 * _number("/proc/meminfo", r"^MemAvailable:\s+(\d+) kB")]
    for folder, limit, used in (
        (cgroup, "memory.max", "memory.current"),
        (cgroup + "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        # Cached files count as used, but the system drops them when memory is needed.
        used = _number(f"{folder}/{used}") - _number(folder + "/memory.stat", r"^(?:total_)?inactive_file (\d+)")
        limits.append(_number(f"{folder}/{limit}", otherwise=sys.maxsize) - used)
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY:
        limits.append(most - 1024 * _number("/proc/self/status", r"^VmSize:\s+(\d+) kB"))
    return max(0, min(limits))


def memory_mb(kind="VmRSS"):
    """Return the memory that this process holds now, or with "VmHWM" the most that it ever held, MB."""
    return _number("/proc/self/status", "^" + kind + r":\s+(\d+) kB") / 1024.0


def read_image(data):
    """Decode an NPY file with floats in [0, 1], and with Pillow a PNG, JPEG or BMP, given as bytes.

    Returns:
        (H, W) of uint8, uint16 or float32, bones bright, alpha over black; and the value of full white.
    Raises:
        UnreadableError: another format, a damaged file, or too little memory.
    """
    if data[:6] == b"\x93NUMPY":
        return _npy(data)
    if not data.startswith((b"\x89PNG", b"\xff\xd8\xff", b"BM")):
        raise UnreadableError("legal are PNG, JPEG, BMP and NPY; " + _ON_PC)
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UnreadableError("this Python has no Pillow; install it, or " + _ON_PC) from None
    try:
        image: Any = Image.open(io.BytesIO(data))
        width, height = image.size
        # Several forms of the image are held at the same time, each of up to 4 bytes a pixel.
        if width * height > 10**8 or 12 * width * height > free_bytes():
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
            array = np.asarray(image).astype(np.uint16)
            full = 2 ** _used_bits(array) - 1
            return np.minimum(array, np.uint16(full)), full
        has_alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
        image = image.convert("RGBA") if has_alpha else image
        grey = np.asarray(image.convert("L") if image.mode in ("1", "L") else image.convert("RGB").convert("L", _LUMA))
        alpha = np.asarray(image.getchannel("A")) if has_alpha else np.uint8(255)
        # An alpha channel that is opaque or empty everywhere was written by mistake.
        if alpha.min() == 255 or alpha.max() == 0:
            return grey, 255
        return (grey / np.float32(255)) * (alpha / np.float32(255)), 1
    except UnreadableError:
        raise
    except Exception:  # Decoders raise errors of any type on a damaged file.
        raise UnreadableError("it is damaged, cut short or of a rare kind") from None


def _used_bits(array):
    """Return the bits that the values of a 16-bit image fill, as cxrkit judges them: 8, 10, 12, 14 or 16."""
    counts = np.bincount(array.ravel(), minlength=65536).astype(float)
    white, counts[65535] = counts[65535], 0
    levels = np.flatnonzero(counts)
    if white > 0.05 * (white + counts.sum()) or len(levels) <= 64 or levels[-1] >= 2**14:
        return 16
    bits = next(bits for bits in (8, 10, 12, 14) if levels[-1] < 2**bits)
    below = np.cumsum(counts)
    low, high = np.searchsorted(below, below[-1] * np.array([0.05, 0.95]))
    return bits if high - low >= 0.087 * 2**bits else 16


def _npy(data):
    try:
        pixels = np.load(io.BytesIO(data), allow_pickle=False)
        legal = pixels.ndim == 2 and pixels.dtype.kind == "f" and pixels.min() >= -1e-3 and pixels.max() <= 1 + 1e-3
    except Exception:  # NumPy parses the header as Python syntax, which raises errors of many types.
        raise UnreadableError("the NPY is damaged or empty") from None
    if not legal:
        raise UnreadableError("an NPY must hold floats of (H, W) in [0, 1]")
    return pixels.astype(np.float32), 1


def prepare(data, side, detector=None):
    """Read an image and resize it to (side, side), float32, in [0, 1]; a `Detector` may reject it or turn it over."""
    pixels, full = read_image(data)
    if detector:
        pixels = detector.check(pixels, full, headless=data[:6] != b"\x93NUMPY")
    return resize(pixels, full, side)


class Detector:
    """Rejects (but with `keep`) images that are blank or no frontal chest radiographs, and turns negatives over."""

    def __init__(self, bundle, about, keep=False):
        self.limits, self.keep = about["limits"], keep
        self.engine = OnnxEngine(os.path.join(bundle, about["file"]), about)

    def look(self, small):
        """Return an image's logits for a frontal chest radiograph and for a negative; (H, W) in [0, 1]."""
        if min(small.shape) < 32:
            return -10.0, -10.0
        small = resize(small, 1, 64)
        low, high = np.sort(small, axis=None)[[82, -83]]
        small = np.clip((small - low) / max(high - low, np.float32(0.01)), 0, 1)
        return self.engine.run(small[None, ..., None])[0].tolist()

    def check(self, pixels, full, headless):
        """Return an image, (H, W) with this value of white, bones bright; raise RejectedError if it is rejected.

        `headless` tells that its file does not say whether bones are bright.
        """
        small = resize(pixels, full, 256) if min(pixels.shape) > 256 else pixels / np.float32(full)
        frontal, inverted = self.look(small)
        if headless and frontal >= self.limits["frontal"] and inverted >= self.limits["inverted"]:
            pixels, small = full - pixels, 1 - small
            frontal = self.look(small)[0]
        if self.keep:
            return pixels
        greys = np.sort(resize(resize(resize(small, 1, 256), 1, 128), 1, 64), axis=None)
        edge = round(0.05 * (len(greys) - 1))
        if greys[-1 - edge] - greys[edge] < self.limits["spread"]:
            raise RejectedError("the image is blank: it has almost no contrast")
        aspect = max(pixels.shape) / float(min(pixels.shape))
        if aspect > self.limits["aspect"] or frontal < self.limits["frontal"]:
            raise RejectedError("the image does not look like a frontal chest radiograph")
        return pixels


def resize(pixels, full, side):
    """Resize an image, (H, W) with this value of white, to (side, side), float32, in [0, 1].

    As cxrkit does it: by area where an axis shrinks, linearly where it grows.
    """
    down, across = (_weights(size, side) for size in pixels.shape)
    rows = np.empty((side, pixels.shape[1]), np.float32)
    for place, weights in enumerate(down):
        # A few rows at a time: nine megapixels as floats would take 36 MB.
        first, last = np.flatnonzero(weights)[[0, -1]]
        rows[place] = weights[first : last + 1].dot(pixels[first : last + 1].astype(np.float32))
    scale = np.float32(full)
    return np.clip(rows.dot(across.T) / scale, pixels.min() / scale, pixels.max() / scale)


def _weights(size, wanted):
    """Return the weight of each old place in each new one, (wanted, size), as OpenCV has them."""
    old, new, scale = np.arange(size), np.arange(wanted)[:, None], size / float(wanted)
    if wanted < size:
        weights = (np.minimum(old + 1, (new + 1) * scale) - np.maximum(old, new * scale)) / scale
    else:
        weights = 1 - np.abs(np.clip((new + 0.5) * scale - 0.5, 0, size - 1) - old)
    return np.maximum(weights, 0).astype(np.float32)


class OnnxEngine:
    """ONNX Runtime on the processor."""

    name = "onnxruntime"

    def __init__(self, path, model):
        import onnxruntime

        self.version, self.model = onnxruntime.__version__, model
        options = onnxruntime.SessionOptions()
        # The arena trades memory for speed in runs of changing size; here all runs have one size.
        options.enable_cpu_mem_arena = False
        make = functools.partial(onnxruntime.InferenceSession, path, options, providers=["CPUExecutionProvider"])
        try:
            self.session = make()
        except Exception:  # Any other cause raises again below.
            # Release 1.10, the newest for Python 3.6, cannot fuse the int8 form of MobileNetV2.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            self.session = make()
        self.input = self.session.get_inputs()[0].name

    def run(self, batch):
        """Return (batch, labels) of (batch, S, S, 1)."""
        return self.session.run(None, {self.input: batch})[0]


class TensorrtEngine:
    """TensorRT on the graphics processor, through CUDA's own library.

    Written from the documentation of TensorRT 8.2. It was never run on a board.
    """

    name = "tensorrt"

    def __init__(self, path, model):
        self.host, self.device = [], []
        import tensorrt

        self.version, self.model, self.cuda = tensorrt.__version__, model, _cuda()
        logger = tensorrt.Logger(tensorrt.Logger.WARNING)
        name = "{}-{}-trt{}.plan".format(model["sha256"][:16], model["precision"], self.version)
        plan_path = os.path.join(os.path.dirname(path), name)
        if not os.path.exists(plan_path):
            self._build(tensorrt, logger, path, plan_path)
        self.runtime = tensorrt.Runtime(logger)
        with open(plan_path, "rb") as file:
            self.engine = self.runtime.deserialize_cuda_engine(file.read())
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

    def _build(self, tensorrt, logger, path, plan_path):
        """Write TensorRT's plan for the ONNX file, which takes minutes on a board."""
        builder = tensorrt.Builder(logger)
        network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
        parser = tensorrt.OnnxParser(network, logger)
        with open(path, "rb") as file:
            if not parser.parse(file.read()):
                raise RuntimeError(f"TensorRT cannot read it: {parser.get_error(0)}")
        config, precision = builder.create_builder_config(), self.model["precision"]
        # Memory to try kernels in.
        config.max_workspace_size = int(min(256 * MEGABYTE, max(free_bytes() // 4, 16 * MEGABYTE)))
        if precision != "fp32":
            if not getattr(builder, "platform_has_fast_" + precision):
                raise RuntimeError("the graphics processor of this device has no fast " + precision)
            config.set_flag(getattr(tensorrt.BuilderFlag, precision.upper()))
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise RuntimeError("TensorRT could not build it, most likely because memory is short")
        write_whole(plan_path, bytes(plan))

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


def _version(name):
    """Return the version of a package that can be imported, or None."""
    try:
        return getattr(importlib.import_module(name), "__version__", "unknown")
    except ImportError:
        return None


def engines_here():
    """Return the runtimes that can be imported: name -> version."""
    return {name: version for name, version in zip(RUNTIME_BYTES, map(_version, RUNTIME_BYTES)) if version}


def attempts(bundle, info, here, wanted):
    """Yield (runtime, model, a function that loads it), the best first.

    TensorRT comes before the processor, the chosen precision before a lower one, large batches before single images.
    """
    able = [each for each in (TensorrtEngine, OnnxEngine) if wanted in ("auto", each.name)]
    if not any(each.name in here for each in able):
        names = " or ".join(each.name for each in able)
        raise RunnerError(f"{names} is not installed for {sys.executable}; install it, or use the Python that has it")
    for each in able:
        for model in info["models"] if each.name in here else ():
            lower = ["fp16"] if each is TensorrtEngine and model["precision"] == "fp32" else []
            for precision in [model["precision"], *lower]:
                entry = dict(model, precision=precision)
                yield each.name, entry, functools.partial(each, os.path.join(bundle, model["file"]), entry)


class Engines:
    """The runtimes to try, in order, as `attempts` gives them; `engine` is the one that works."""

    def __init__(self, tries):
        self.tries, self.label, self.notes, self.load_s = tries, "", [], 0.0
        self.engine: Any = None

    def predict(self, images, side):
        """Return (images, labels) of the first images, one batch at most, and the seconds that it took.

        When a run fails, the next runtime takes over, perhaps with another batch size.
        """
        while True:
            began = time.perf_counter()
            batch = np.zeros((self.engine.model["batch"], side, side, 1), np.float32)
            count = min(len(images), len(batch))
            for place in range(count):
                batch[place, :, :, 0] = images[place]
            try:
                probs = np.array(self.engine.run(batch))[:count]
                return probs, time.perf_counter() - began
            except Exception as error:  # As in `next`: the next runtime is tried after any error.
                why = first_line(error)
            # Outside of `except`: there the error still holds the failed runtime and its memory.
            self._note(f"{self.label} failed ({why}); falling back")
            self.next()

    def next(self):
        """Load the next one that fits into free memory; note it where it is not the first."""
        self.engine = None
        for name, model, load in self.tries:
            self.label = "{} {precision} batch {batch}".format(name, **model)
            # A runtime keeps the file, converted weights and, meanwhile, two more copies; images are unfolded.
            # DenseNet121 at 224 px took 131 to 155 MB; this gives 200 (docs/results/2026-11-24-device.md).
            need = RUNTIME_BYTES[name] + 4 * model["weights_bytes"] + 4 * model["activation_bytes"]
            free = free_bytes()
            if need + RESERVE > free:
                self._note(
                    "memory is short for {}: it may take {:.0f} MB, {:.0f} MB must stay free, and {:.0f} MB are free; "
                    "falling back".format(self.label, *(size / 1e6 for size in (need, RESERVE, free)))
                )
                continue
            began = time.perf_counter()
            try:
                self.engine = load()
                self.load_s = time.perf_counter() - began
                if self.notes:
                    self._note(f"running {self.label} instead")
                return
            except Exception as error:  # Each runtime has other errors; the next runtime is tried after any of them.
                self._note(f"{self.label} cannot be loaded ({first_line(error)}); falling back")
        raise RunnerError(
            "no runtime is left that can run this bundle here; see the notes above. Free some memory (on a Jetson, "
            "`sudo systemctl isolate multi-user.target` ends the desktop), or export with a smaller --batch"
        )

    def _note(self, text):
        self.notes.append(text)
        say("note: " + text)


@contextlib.contextmanager
def tegrastats():
    """Run tegrastats, where there is one; yield a dict: at the end kind -> sensor -> mean, max, readings.

    A Nano writes `POM_5V_IN 2077/2077`, JetPack 5 and 6 `VDD_IN 4056mW/4056mW`: the present value and the mean.
    """
    program = shutil.which("tegrastats")
    found: Any = {}
    with tempfile.TemporaryFile("w+", encoding="latin-1") as file:
        process = subprocess.Popen([program, "--interval", "500"], stdout=file) if program else None
        try:
            yield found
        finally:
            if process:
                process.terminate()
                process.wait()
            file.seek(0)
            text = file.read()
    # PMIC is always 100 (github.com/balena-os/balena-jetson/issues/142); a sensor that is off gives -256.
    heat = re.findall(r"(?!PMIC@)\b(\w+)@(?!-256)(-?[\d.]+)C\b", text)
    power = re.findall(r"((?:POM|VDD)_\w+(?= \d+/)|\w+(?= \d+mW/)) (\d+)", text)
    for kind, pairs in (("temperature_c", heat), ("power_mw", power)):
        for name in dict(pairs):
            values = [float(value) for sensor, value in pairs if sensor == name]
            statistics = {"mean": sum(values) / len(values), "max": max(values), "readings": len(values)}
            found.setdefault(kind, {})[name] = statistics


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
    part = path + ".part"
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        os.remove(part)
        raise


def load_bundle(folder):
    """Read bundle.json and check the sha256 of each model file."""
    try:
        with open(os.path.join(folder, "bundle.json"), encoding="utf-8") as file:
            info = json.load(file)
        if info["format"] != FORMAT:
            raise RunnerError("{} is a bundle of format {}; legal is {}".format(folder, info["format"], FORMAT))
        models = {model["file"]: model["sha256"] for model in [*info["models"], info["detector"]]}
        if set(NEEDED) - set(info):
            raise ValueError("a part of bundle.json is missing")
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = f"{folder} is no bundle ({first_line(error)}); make one with `cxrkit model export`"
        raise RunnerError(text) from error
    for name, sha256 in models.items():
        path = os.path.join(folder, name)
        if name != os.path.basename(name) or name.startswith("."):
            raise RunnerError(f"{folder}/bundle.json names {name!r}, which lies outside the folder")
        if not os.path.isfile(path) or sha256_of(path) != sha256:
            raise RunnerError(f"{path} is missing, was changed or cut short; copy the bundle again")
    return info


def images_in(path):
    """Yield (name, file, truth or None, reason or "", rejected or "") of each image of a folder or a CSV, in order."""
    if os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            file = os.path.join(path, name)
            if os.path.isfile(file) and not name.startswith("."):
                # A file name is bytes of any encoding, and the locale of a board over SSH is often ASCII.
                yield os.fsencode(name).decode("utf-8", "backslashreplace"), file, None, "", ""
        return
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if "image" not in (rows.fieldnames or ()):
                raise RunnerError(f"{path} has no column `image`")
            for row in rows:
                name = (row.get("file") or row["image"] or "").encode("utf-8")
                place = os.path.join(os.fsencode(os.path.dirname(path)), name)
                yield row["image"], place, row.get("truth"), row.get("reason") or "", row.get("rejected") or ""
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunnerError(f"{path} cannot be read ({first_line(error)})") from error


def probe():
    """Return what this device has."""
    return {
        "machine": platform.machine(),
        "model": _found("/proc/device-tree/model", r"([^\n\0]*)"),
        "jetpack": _found("/etc/nv_tegra_release", r"([^\n\0]*)"),
        "system": _found("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": _version("PIL"),
        "engines": engines_here(),
        "memory_mb": _number("/proc/meminfo", r"^MemTotal:\s+(\d+) kB") / 1024.0,
        "free_mb": free_bytes() / float(MEGABYTE),
        "disk_free_mb": shutil.disk_usage(os.getcwd()).free / float(MEGABYTE),
        "tegrastats": bool(shutil.which("tegrastats")),
    }


def predictions(info, engines, prepare, images):
    """Yield a row of predictions.csv for each image of `images_in`, in order; only one batch of pixels is held."""
    labels, scored = info["labels"], info["scored"]
    rows = (_read(prepare, index, *image) for index, image in enumerate(images))
    for first in rows:
        batch = [first, *itertools.islice(rows, engines.engine.model["batch"] - 1)]
        waiting = [row for row in batch if row["status"] == "ok"]
        while waiting:
            found, seconds = engines.predict([row["pixels"] for row in waiting], info["input_size"])
            for row, probs in zip(waiting, found):
                positive = [label for label, prob in zip(labels, probs) if prob >= info["thresholds"][label]]
                if len(scored) == 1 and len(labels) == 2:
                    # Two classes that exclude each other: the threshold of the scored one decides.
                    positive = [label for label in labels if (label == scored[0]) == (scored[0] in positive)]
                row.update(probs=probs, predicted="|".join(positive), inference_s=seconds / len(found))
                row.update(("prob_" + label, float(prob)) for label, prob in zip(labels, probs))
            waiting = waiting[len(found) :]
        yield from batch


def _read(prepare, index, name, path, truth, reason, rejected):
    status = "rejected" if rejected and not reason else "error"
    row = {"index": index, "image": name, "status": status, "reason": reason or rejected, "truth": truth}
    if row["reason"]:
        return row
    began = time.perf_counter()
    try:
        with open(path, "rb") as file:
            data = file.read()
        row["sha256"] = hashlib.sha256(data).hexdigest()
        read = time.perf_counter()
        row["pixels"] = prepare(data)
        row.update(status="ok", reading_s=read - began, preprocessing_s=time.perf_counter() - read)
    except RejectedError as error:
        row.update(status="rejected", reason=first_line(error))
    except UnreadableError as error:
        row["reason"] = first_line(error)
    except OSError as error:
        row["reason"] = f"cannot be read: {error.strerror}"
    except MemoryError:
        row["reason"] = "memory is short; " + _ON_PC
    return row


def measure(info, engines, prepare, images, out, memory):
    """Predict the images of `images_in` and write result.json and predictions.csv; return the exit code.

    `info` describes the network; `prepare` turns the bytes of a file into (S, S), float32, in [0, 1]; `memory` is what
    was held before, MB.
    """
    os.makedirs(out, exist_ok=True)
    engines.next()
    memory["loaded"] = memory_mb()
    path = os.path.join(out, "predictions.csv")
    times = ("reading_s", "preprocessing_s", "inference_s")
    head = ["index", "image", "status", "reason", "truth", "predicted", *("prob_" + name for name in info["labels"])]
    seconds: Any = {name[:-2]: [] for name in (*times, "total_s")}
    failed = rejected = right = judged = 0
    with tegrastats() as readings, open(path + ".part", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*head, "sha256", *times], restval="", extrasaction="ignore")
        table.writeheader()
        # Zeros, before anything is timed.
        warm_up = [engines.predict([], info["input_size"])[1] for _ in range(3)]
        began = time.perf_counter()
        for row in predictions(info, engines, prepare, images_in(images)):
            if row["status"] != "ok":
                say("image {index} {image}: no prediction: {reason}".format(**row))
                failed += row["status"] == "error"
                rejected += row["status"] == "rejected"
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
    statistics = {}
    for name, values in seconds.items():
        mean, p50, p95 = (np.mean(values), *np.percentile(values, [50, 95])) if values else (None, None, None)
        statistics[name] = {"mean": mean, "p50": p50, "p95": p95, "images": len(values)}
    accuracy = {"right": right, "of": judged, "value": right / float(judged)} if judged else None
    ran = {name: engine.model[name] for name in ("file", "sha256", "precision", "batch")}
    result = {name: info[name] for name in ("name", "version", "labels")}
    result.update(
        format=FORMAT,
        notice=NOTICE,
        ran=dict(ran, engine=engine.name, engine_version=engine.version, runner_sha256=sha256_of(__file__)),
        device=probe(),
        images={"predicted": len(seconds["total"]), "rejected": rejected, "failed": failed},
        seconds=dict(statistics, load=engines.load_s, warm_up={"first": warm_up[0], "last": warm_up[-1]}, all=wall),
        memory_mb=dict(memory, peak=memory_mb("VmHWM")),
        sensors=readings or None,
        accuracy=accuracy,
        fallbacks=engines.notes,
        predictions_sha256=sha256_of(path),
    )
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
    parser.add_argument("--keep-rejected", action="store_true", help="predict also what is no frontal chest radiograph")
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
        engines, detector = Engines(attempts(options.bundle, info, here, options.engine)), None
        if "onnxruntime" in here:
            detector = Detector(options.bundle, info["detector"], options.keep_rejected)
        elif not options.keep_rejected:
            raise RunnerError(
                "images that are no frontal chest radiographs are recognised with onnxruntime, which is not installed "
                f"for {sys.executable}; install it, or add --keep-rejected to predict every image"
            )
        prepared = functools.partial(prepare, side=info["input_size"], detector=detector)
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
