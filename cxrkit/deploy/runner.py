#!/usr/bin/env python3
"""Run a cxrkit bundle on a device and time it: one file, Python 3.6 and numpy, and one runtime.

    python3 runner.py --probe                      # what this device has, as JSON
    python3 runner.py BUNDLE FILMS --out DIR       # answer about the films; DIR/result.json, DIR/predictions.csv

BUNDLE is a folder that `cxrkit model export` wrote. FILMS is a folder, or a CSV with the column `image` (relative to
it); with `truth` (joined by a bar) where there are labels; with `file` where a film is called otherwise than its file;
with `reason` where it is known already that a film cannot be read, and why.
Needs TensorRT, ONNX Runtime or LiteRT. For teaching and research; not a medical device.

This file must stay readable to Python 3.6: it is what JetPack 4.6 brings.
"""

import argparse
import array
import contextlib
import csv
import ctypes
import hashlib
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
import threading
import time
import zlib

if platform.machine() == "aarch64":
    # numpy 1.19.5, the last that pip finds for Python 3.6, ends with "Illegal instruction" on a Jetson, where its
    # OpenBLAS guesses the processor wrongly (github.com/numpy/numpy/issues/18131).
    os.environ.setdefault("OPENBLAS_CORETYPE", "ARMV8")

import numpy as np

# ONNX Runtime gives the machine a number and reports to its maker from 1.29 on, unless told not to before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

FORMAT = 1
NOTICE = "Teaching and research only; not a medical device."
#: Exit codes: all went well; some films got no answer; it could not be carried out.
OK, ERROR_ROWS, MISUSE = 0, 1, 2

MEGABYTE = 2**20
#: Kept free for the rest of the device, bytes: below it Linux starts to end processes.
RESERVE = 64 * MEGABYTE
#: What a runtime takes beside a network's own numbers, bytes. TensorRT's is what a reply in NVIDIA's forum gives for
#: loading cuBLAS, cuDNN and TensorRT ("around 800Mb", of TensorRT 5: forums.developer.nvidia.com/t/79158); on a board
#: it comes out of the one memory there is. It was not measured by us.
ROOM = {"tensorrt": 800 * MEGABYTE, "onnxruntime": 64 * MEGABYTE, "litert": 64 * MEGABYTE}
#: What may be asked for; the first takes what is best of what is there.
ENGINES = ("auto", "tensorrt", "onnxruntime", "litert")
#: Most that TensorRT may use to try out kernels while it builds, bytes.
WORKSPACE = 256 * MEGABYTE
MAX_PIXELS = 100 * 1000 * 1000


class Problem(Exception):  # noqa: N818 - as cxrkit.film names its own
    """What cannot be carried out; the message says why and what to do."""


class Unreadable(Exception):  # noqa: N818 - as cxrkit.film names its own
    """A film that cannot be read; the message says why and what to do."""


# --- memory -------------------------------------------------------------------------------------------------------


def _number_in(path, pattern=r"(\d+)"):
    """Return the first number that fits in a small file, or None."""
    try:
        with open(path) as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return None
    return int(found.group(1)) if found else None


def _cgroups(listed="/proc/self/cgroup", root="/sys/fs/cgroup"):
    """Yield the files that hold limit, usage and its parts of this process' cgroups (versions 1 and 2)."""
    try:
        with open(listed) as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if not kinds:
            folder, names = root, ("memory.max", "memory.current")
        elif "memory" in kinds.split(","):
            folder, names = os.path.join(root, "memory"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        parts = [part for part in path.split("/") if part]
        for count in range(len(parts), -1, -1):
            yield tuple(os.path.join(folder, *parts[:count], name) for name in (*names, "memory.stat"))


def free_bytes():
    """Return how much more memory this process may take: the least of what the system, a cgroup and ulimit allow."""
    room = []
    available = _number_in("/proc/meminfo", r"^MemAvailable:\s+(\d+) kB")
    if available is not None:
        room.append(available * 1024)
    for limit, usage, parts in _cgroups():
        most, used = _number_in(limit), _number_in(usage)
        if most is not None and used is not None:
            # Files that are kept for later count as used, and make room when it is wanted.
            room.append(most - used + (_number_in(parts, r"^(?:total_)?inactive_file (\d+)") or 0))
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _number_in("/proc/self/status", r"^VmSize:\s+(\d+) kB")
    if most != resource.RLIM_INFINITY and used is not None:
        room.append(most - used * 1024)
    return max(0, min(room)) if room else 0


def peak_mb():
    """Return the most memory this process held, MB."""
    kilobytes = _number_in("/proc/self/status", r"^VmHWM:\s+(\d+) kB")
    if kilobytes is None:
        # Counts what the process that started this one held, where that was more.
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / 1024.0


def held_mb():
    """Return the memory this process holds, MB; None where /proc is missing."""
    kilobytes = _number_in("/proc/self/status", r"^VmRSS:\s+(\d+) kB")
    return None if kilobytes is None else kilobytes / 1024.0


def needed_bytes(model, engine):
    """Return what loading and running a network takes at the most, by what its bundle says.

    Runtimes keep the file, their own form of its numbers and, while they make that, two more; the values of a run take
    several times the least, since a runtime places them less well than possible and unfolds films for convolutions.
    DenseNet121 at 224 px took 131 to 155 MB with ONNX Runtime; this says 200 (docs/results/2026-11-24-device.md).
    """
    return ROOM[engine] + 4 * model["weights_bytes"] + 4 * model["activation_bytes"]


# --- films --------------------------------------------------------------------------------------------------------


def read_film(data):
    """Decode a film.

    Args:
        data: the file's bytes: PNG, PGM, PPM or NPY; with Pillow also JPEG and BMP and every kind of PNG.
    Returns:
        (H, W) of uint8, uint16 or float32, bones bright, and the value of full white.
    """
    if data[:2] in (b"P5", b"P6"):
        pixels, full = _pnm(data)
    elif data[:6] == b"\x93NUMPY":
        return _npy(data)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        pixels, full = _png_of_any_kind(data)
    elif data[:3] == b"\xff\xd8\xff" or data[:2] == b"BM":
        pixels, full = _by_pillow(data)
    else:
        raise Unreadable("legal are PNG, JPEG, BMP, PGM, PPM and NPY; let the host prepare the film")
    return _grey(pixels, full)


def _check_size(width, height, sample_bytes):
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise Unreadable(f"it is {width} x {height} pixels; 1 to {MAX_PIXELS} are legal")
    # Raw rows, decoded rows and what is made of them lie side by side for a moment.
    need = 3 * width * height * sample_bytes
    if need > free_bytes():
        raise Unreadable(f"decoding takes {need / 1e6:.0f} MB, which are not free; let the host prepare it")


def _npy(data):
    try:
        pixels = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception:  # Its header is read as Python's own syntax, whose errors are of many kinds.
        raise Unreadable("the NPY is damaged") from None
    if pixels.ndim != 2 or not pixels.size or pixels.dtype.kind != "f":
        raise Unreadable("an NPY must hold floats of (H, W) in [0, 1]")
    if not (pixels.min() >= -1e-3 and pixels.max() <= 1 + 1e-3):
        raise Unreadable("an NPY must lie in [0, 1]")
    return pixels.astype(np.float32), 1


def _pnm(data):
    head = re.match(rb"P([56])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s", data)
    if not head:
        raise Unreadable("the header of the PGM or PPM is damaged")
    channels = 3 if head.group(1) == b"6" else 1
    width, height, full = (int(head.group(k)) for k in (2, 3, 4))
    kind = np.dtype(np.uint8) if full < 256 else np.dtype(">u2")
    _check_size(width, height, channels * kind.itemsize)
    count = width * height * channels
    if not 0 < full < 65536 or len(data) - head.end() < count * kind.itemsize:
        raise Unreadable("the PGM or PPM is cut short or damaged")
    pixels = np.frombuffer(data, kind, count, head.end()).reshape(height, width, channels)
    return (pixels if kind.itemsize == 1 else pixels.astype(np.uint16)), full


def _png_of_any_kind(data):
    if len(data) < 33:
        raise Unreadable("the PNG is cut short")
    depth, colour = data[24], data[25]
    # Pillow keeps the upper byte of 16-bit colour only.
    if depth == 16 and colour in (2, 6):
        return _png(data)
    try:
        return _by_pillow(data)
    except ImportError:
        return _png(data)


def _png(data):
    """Decode a PNG of 8 or 16 bits, grey or RGB, with or without alpha, not interlaced (W3C PNG, second edition)."""
    place, header, packed = 8, None, []
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        body = data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            packed.append(body)
        elif kind == b"tRNS":
            raise Unreadable("a PNG with a transparent colour needs Pillow; let the host prepare it")
        elif kind == b"IEND":
            break
        place += length + 12
    if header is None or len(header) != 13:
        raise Unreadable("the PNG is damaged")
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    depth, colour, interlaced = header[8], header[9], header[12]
    channels = {0: 1, 2: 3, 4: 2, 6: 4}.get(colour)
    if channels is None or depth not in (8, 16) or interlaced:
        raise Unreadable("a PNG with a palette, less than 8 bits or interlacing needs Pillow; let the host prepare it")
    pixel_bytes = channels * depth // 8
    _check_size(width, height, pixel_bytes)
    size = height * (1 + width * pixel_bytes)
    try:
        raw = zlib.decompressobj().decompress(b"".join(packed), size)
    except zlib.error:
        raise Unreadable("the PNG is damaged") from None
    if len(raw) != size:
        raise Unreadable("the PNG is cut short")
    rows = np.frombuffer(raw, np.uint8).reshape(height, 1 + width * pixel_bytes)
    filters = rows[:, 0]
    if filters.max() > 4:
        raise Unreadable("the PNG is damaged")
    pixels = rows[:, 1:].reshape(height, width, pixel_bytes)
    if filters.any():
        pixels = _unfilter(pixels, filters)
    if depth == 16:
        pixels = np.ascontiguousarray(pixels).view(">u2").astype(np.uint16)
    return pixels, 2**depth - 1


def _unfilter(packed, filters):
    """Undo PNG's row filters, all five at once.

    A byte is predicted from those to its left, above it and above to the left. So all pixels of one diagonal, from
    upper right to lower left, can be done together once the diagonals before it are: a few thousand steps in numpy,
    where going pixel by pixel would be millions in Python.
    """
    height, width, size = packed.shape
    # A row and a column of zeros stand for what lies outside.
    padded = np.zeros((height + 1, width + 1, size), np.uint8)
    padded[1:, 1:] = packed
    flat = padded.reshape(-1, size)
    for diagonal in range(width + height - 1):
        top, bottom = max(0, diagonal - width + 1), min(height - 1, diagonal)
        # One step down and one to the left in rows of width + 1.
        here = top * width + width + diagonal + 2
        end = here + (bottom - top) * width + 1
        left = flat[here - 1 : end - 1 : width].astype(np.int16)
        above = flat[here - width - 1 : end - width - 1 : width].astype(np.int16)
        corner = flat[here - width - 2 : end - width - 2 : width].astype(np.int16)
        to_left, to_above = np.abs(above - corner), np.abs(left - corner)
        to_corner = np.abs(left + above - 2 * corner)
        nearest = np.where(to_above <= to_corner, above, corner)
        nearest = np.where((to_left <= to_above) & (to_left <= to_corner), left, nearest)
        kind = filters[top : bottom + 1, None]
        guess = np.where(kind == 4, nearest, np.where(kind == 3, (left + above) >> 1, 0))
        guess = np.where(kind == 1, left, np.where(kind == 2, above, guess))
        flat[here:end:width] += guess.astype(np.uint8)
    return padded[1:, 1:]


def _by_pillow(data):
    try:
        from PIL import Image
    except ImportError:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            raise
        raise Unreadable("this device has no Pillow to read it with; let the host prepare it") from None
    try:
        opened = Image.open(io.BytesIO(data))
        _check_size(opened.size[0], opened.size[1], 4)
        sixteen = opened.format == "PNG" and data[24] == 16
        opened.load()
        if sixteen and opened.mode not in ("LA", "RGBA"):
            # Older releases call this mode I, newer ones I;16.
            return _turned(np.asarray(opened).astype(np.uint16), opened), 65535
        if opened.mode in ("P", "PA"):
            image = opened.convert("RGBA" if opened.mode == "PA" or "transparency" in opened.info else "RGB")
        elif "transparency" in opened.info and opened.mode in ("1", "L", "RGB"):
            image = opened.convert("RGBA")
        elif opened.mode not in ("1", "L", "LA", "RGB", "RGBA"):
            image = opened.convert("RGB")
        else:
            image = opened
        pixels = np.asarray(image)
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        return _turned(pixels, opened), 255
    except Unreadable:
        raise
    except Exception:  # Decoders raise whatever they like on a damaged file.
        raise Unreadable("it is damaged, cut short or of a rare kind") from None


def _turned(pixels, image):
    """Carry out the EXIF orientation (TIFF 6.0, tag 274)."""
    try:
        orientation = image.getexif().get(274, 1)
    except Exception:  # EXIF is an ornament here: a damaged one leaves the film as it lies.
        return pixels
    if orientation not in range(2, 9):
        return pixels
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _grey(pixels, full):
    """Return (H, W) and its full white: the luma of ITU-R BT.601 as OpenCV rounds it, over black where there is alpha.

    An alpha channel that is opaque, or empty throughout, was written by mistake and is dropped.
    """
    if pixels.ndim == 2:
        return pixels, full
    alpha = None
    if pixels.shape[2] in (2, 4):
        alpha, pixels = pixels[..., -1], pixels[..., :-1]
        if alpha.min() == full or alpha.max() == 0:
            alpha = None
    if pixels.shape[2] == 1:
        grey = pixels[..., 0]
    else:
        grey = np.empty(pixels.shape[:2], pixels.dtype)
        # In strips: the sums take four times the room of the picture.
        for top in range(0, len(grey), 256):
            red, green, blue = (pixels[top : top + 256, :, k].astype(np.uint32) for k in range(3))
            grey[top : top + 256] = (9798 * red + 19235 * green + 3735 * blue + 16384) >> 15
    if alpha is None:
        return grey, full
    return (grey / np.float32(full)) * (alpha / np.float32(full)), 1


def prepare(pixels, full, side):
    """Resize a film to a square, as cxrkit.film does: axes that shrink by areas, axes that grow linearly.

    Args:
        pixels: (H, W), as `read_film` gives it.
        full: the value of full white.
        side: of the square, pixels.
    Returns:
        (side, side), float32, in [0, 1].
    """
    height, width = pixels.shape
    rows = np.empty((side, width), np.float32)
    for place, (start, weights) in enumerate(_weights(height, side)):
        # A few rows at a time: a film of nine megapixels as floats would be 36 MB.
        rows[place] = weights.dot(pixels[start : start + len(weights)].astype(np.float32))
    across = np.zeros((width, side), np.float32)
    for place, (start, weights) in enumerate(_weights(width, side)):
        across[start : start + len(weights), place] = weights
    scale = np.float32(full)
    small = rows.dot(across) / scale
    return np.clip(small, pixels.min() / scale, pixels.max() / scale)


def _weights(size, wanted):
    """Return, for each new place on an axis, the first old place and the weights from there on, as OpenCV has them."""
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
            pair = [1.0 - share, share] if share else [1.0]
            found.append((first, np.array(pair, np.float32)))
    return found


# --- runtimes -----------------------------------------------------------------------------------------------------


class OnnxEngine:
    """ONNX Runtime on the processor."""

    name = "onnxruntime"

    def __init__(self, path, model, threads):
        import onnxruntime

        self.version, self.model = onnxruntime.__version__, model
        options = onnxruntime.SessionOptions()
        # The arena and the memory pattern trade memory for speed in runs of changing size; ours are all alike.
        options.enable_cpu_mem_arena = False
        if threads:
            options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception:  # Whatever it is, it comes again below where fusing had no part in it.
            # Release 1.10, the newest that pip finds for Python 3.6, cannot fuse what int8 makes of MobileNetV2.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def run(self, batch):
        """Return (batch, labels) of (batch, S, S, 1)."""
        return self.session.run(["probs"], {self.input: batch})[0]


class LitertEngine:
    """LiteRT, by whichever of its names is installed."""

    name = "litert"

    def __init__(self, path, model, threads):
        module = _litert_module()
        self.version, self.model = getattr(module, "__version__", "unknown"), model
        self.interpreter = module.Interpreter(model_path=path, num_threads=threads or None)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        # Probabilities are (batch, labels), feature maps have two axes more.
        self.output = next(o["index"] for o in self.interpreter.get_output_details() if len(o["shape"]) == 2)

    def run(self, batch):
        """Return (batch, labels) of (batch, S, S, 1)."""
        self.interpreter.set_tensor(self.input, batch)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)


def _litert_module():
    import importlib

    for name in ("tflite_runtime.interpreter", "ai_edge_litert.interpreter"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError("neither tflite_runtime nor ai_edge_litert is installed")


def tensorrt_plan(path, plan_path, precision):
    """Return TensorRT's plan for an ONNX file: the one kept beside it, or one built here and now.

    Written after the Python API of TensorRT 8.2 as documented. It was never run on a board: there was none.

    Args:
        path: the ONNX file.
        plan_path: where the plan is kept.
        precision: "fp32", "fp16" or "int8".
    Returns:
        (plan, seconds that building took; 0 when it was kept).
    """
    import tensorrt

    if os.path.exists(plan_path):
        with open(plan_path, "rb") as file:
            return file.read(), 0.0
    began = time.perf_counter()
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    parser = tensorrt.OnnxParser(network, logger)
    with open(path, "rb") as file:
        if not parser.parse(file.read()):
            raise RuntimeError(f"TensorRT cannot read it: {parser.get_error(0)}")
    config = builder.create_builder_config()
    config.max_workspace_size = int(min(WORKSPACE, max(free_bytes() // 4, 16 * MEGABYTE)))
    if precision == "fp16":
        if not builder.platform_has_fast_fp16:
            raise RuntimeError("this device has no fast fp16")
        config.set_flag(tensorrt.BuilderFlag.FP16)
    if precision == "int8":
        if not builder.platform_has_fast_int8:
            raise RuntimeError("the graphics processor of this device has no int8")
        config.set_flag(tensorrt.BuilderFlag.INT8)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("TensorRT could not build it, most likely for want of memory")
    plan = bytes(plan)
    write_whole(plan_path, plan)
    return plan, time.perf_counter() - began


class TensorrtEngine:
    """TensorRT on the graphics processor, through CUDA's own library."""

    name = "tensorrt"

    def __init__(self, path, model, plan_path):
        self.host, self.device = [], []
        import tensorrt

        self.version, self.model = tensorrt.__version__, model
        plan, self.build_s = tensorrt_plan(path, plan_path, model["precision"])
        self.cuda = _cuda()
        self.runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise RuntimeError(f"TensorRT cannot load its plan; delete {plan_path} and try again")
        self.context = self.engine.create_execution_context()
        for place in range(self.engine.num_bindings):
            shape = tuple(self.engine.get_binding_shape(place))
            self.host.append(np.zeros(shape, np.float32))
            pointer = ctypes.c_void_p()
            self._check(self.cuda.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(self.host[-1].nbytes)))
            self.device.append(pointer)
        names = [self.engine.get_binding_name(place) for place in range(self.engine.num_bindings)]
        self.output = names.index("probs")
        self.input = next(k for k in range(len(names)) if self.engine.binding_is_input(k))

    def run(self, batch):
        """Return (batch, labels) of (batch, S, S, 1)."""
        self._copy(self.device[self.input], batch.ctypes.data_as(ctypes.c_void_p), batch.nbytes, 1)
        if not self.context.execute_v2([pointer.value for pointer in self.device]):
            raise RuntimeError("TensorRT could not run the network")
        probs = self.host[self.output]
        self._copy(probs.ctypes.data_as(ctypes.c_void_p), self.device[self.output], probs.nbytes, 2)
        return probs

    def __del__(self):
        # A board's one memory is wanted by what is tried next.
        for pointer in self.device:
            self.cuda.cudaFree(pointer)

    def _copy(self, to, source, size, direction):
        self._check(self.cuda.cudaMemcpy(to, source, ctypes.c_size_t(size), ctypes.c_int(direction)))

    def _check(self, code):
        if code:
            raise RuntimeError("CUDA error {}{}".format(code, ": out of memory" if code == 2 else ""))


def _cuda():
    for name in ("libcudart.so", "libcudart.so.10.2", "/usr/local/cuda/lib64/libcudart.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise ImportError("CUDA's runtime library, libcudart.so, is not there")


def engines_here():
    """Return the runtimes that can be imported: name -> version."""
    found = {}
    for name, module in (("tensorrt", "tensorrt"), ("onnxruntime", "onnxruntime")):
        try:
            found[name] = __import__(module).__version__
        except ImportError:
            continue
    with contextlib.suppress(ImportError):
        found["litert"] = getattr(_litert_module(), "__version__", "unknown")
    return found


def attempts(bundle, info, engines, asked, threads):
    """Yield (what is tried, its runtime, its model, a function that loads it), the best first.

    TensorRT before the processor; there the precision asked for before a lower one; large batches before single films.
    """
    models = info["models"]
    kind = "litert" if models[0]["file"].endswith(".tflite") else "onnx"
    wanted = ["litert"] if kind == "litert" else ["tensorrt", "onnxruntime"]
    if asked != "auto":
        if asked not in wanted:
            raise Problem("{} cannot run {}; leave --engine out".format(asked, models[0]["file"]))
        wanted = [asked]
    here = [name for name in wanted if name in engines]
    if not here:
        raise Problem(
            "none of {} is installed for {}; install one, or run this with the Python that has it".format(
                ", ".join(wanted), sys.executable
            )
        )
    for name in here:
        for model in models:
            path = os.path.join(bundle, model["file"])
            lower = ["fp16"] if name == "tensorrt" and model["precision"] == "fp32" else []
            for precision in [model["precision"], *lower]:
                entry = dict(model, precision=precision)
                label = "{} {} batch {}".format(name, precision, model["batch"])
                yield label, name, entry, _loader(name, bundle, path, entry, engines[name], threads)


def _loader(name, bundle, path, model, version, threads):
    if name == "tensorrt":
        kept = "{}-{}-trt{}.plan".format(model["sha256"][:16], model["precision"], version)
        return lambda: TensorrtEngine(path, model, os.path.join(bundle, kept))
    kind = OnnxEngine if name == "onnxruntime" else LitertEngine
    return lambda: kind(path, model, threads)


class Engines:
    """The runtimes to try, in turn; holds the one that works."""

    def __init__(self, tries, say):
        self.tries, self.say = tries, say
        self.engine, self.label, self.notes, self.load_s = None, "", [], 0.0

    def next(self, why=None):
        """Load the next that fits into what is free, and say so where it is not the first."""
        if why is not None:
            self._note(f"{self.label} failed ({why}); falling back")
        self.engine = None
        for label, name, model, load in self.tries:
            need, free = needed_bytes(model, name), free_bytes()
            if need + RESERVE > free:
                self._note(
                    "memory is short for {}: it may take {:.0f} MB and {:.0f} MB are to stay free, {:.0f} MB are "
                    "free; falling back".format(label, *(size / 1e6 for size in (need, RESERVE, free)))
                )
                continue
            began = time.perf_counter()
            try:
                self.engine, self.label = load(), label
            except Exception as error:  # Each runtime has errors of its own; what matters is that the next is tried.
                self._note(f"{label} cannot be loaded ({first_line(error)}); falling back")
                continue
            self.load_s = time.perf_counter() - began
            if self.notes:
                self._note(f"running {label} instead")
            return self.engine
        raise Problem(
            "nothing that can run this bundle here is left; see the notes above. Free memory (on a Jetson: "
            "`sudo systemctl isolate multi-user.target` ends the desktop), or export with a smaller --batch"
        )

    def _note(self, text):
        self.notes.append(text)
        self.say("note: " + text)


# --- measuring ----------------------------------------------------------------------------------------------------


class Spread:
    """Mean exactly, quantiles to half a percent, in the same memory for ten films or ten million."""

    STEP = 1.01

    def __init__(self):
        self.count, self.sum, self.bins = 0, 0.0, array.array("L", [0] * 4000)

    def add(self, seconds):
        """Take in one time."""
        self.count += 1
        self.sum += seconds
        place = int(math.log(max(seconds, 1e-9) / 1e-9) / math.log(self.STEP))
        self.bins[min(place, len(self.bins) - 1)] += 1

    def quantile(self, share):
        """Return the time below which this share of them lies; None of none."""
        wanted, seen = share * self.count, 0
        for place, count in enumerate(self.bins):
            seen += count
            if count and seen >= wanted:
                return 1e-9 * self.STEP ** (place + 0.5)
        return None

    def summary(self):
        """Return mean, p50 and p95 in seconds, and of how many films."""
        mean = self.sum / self.count if self.count else None
        return {"mean": mean, "p50": self.quantile(0.5), "p95": self.quantile(0.95), "films": self.count}


class Sensors:
    """Temperature and power while it runs, from tegrastats where there is one, else the kernel's temperatures."""

    def __init__(self):
        self.found, self.process, self.lock = {}, None, threading.Lock()
        program = shutil.which("tegrastats")
        if program:
            self.process = subprocess.Popen(
                [program, "--interval", "500"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            threading.Thread(target=self._follow, args=(self.process.stdout,), daemon=True).start()

    def _follow(self, lines):
        for line in iter(lines.readline, b""):
            self.read(line.decode("ascii", "replace"))

    def read(self, line):
        """Take in one line of tegrastats.

        A Nano writes `POM_5V_IN 2077/2077`, JetPack 5 and 6 `VDD_IN 4056mW/4056mW`; both the present and the mean.
        """
        for name, value in re.findall(r"(\w+)@(-?[\d.]+)C\b", line):
            # PMIC is 100 whatever it is (github.com/balena-os/balena-jetson/issues/142), what is off is -256.
            if name != "PMIC" and float(value) > -256:
                self._keep("temperature_c", name, float(value))
        for name, value in re.findall(r"((?:POM|VDD)_\w+(?= \d+/)|\w+(?= \d+mW/)) (\d+)", line):
            self._keep("power_mw", name, float(value))

    def _keep(self, kind, name, value):
        with self.lock:
            entry = self.found.setdefault(kind, {}).setdefault(name, {"mean": 0.0, "max": value, "readings": 0})
            entry["readings"] += 1
            entry["mean"] += (value - entry["mean"]) / entry["readings"]
            entry["max"] = max(entry["max"], value)

    def stop(self):
        """End tegrastats; return what was seen, or None."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        else:
            folder = "/sys/class/thermal"
            for zone in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                value = _number_in(os.path.join(folder, zone, "temp"))
                if value is not None:
                    self._keep("temperature_c", zone, value / 1000.0)
        with self.lock:
            return self.found or None


# --- running ------------------------------------------------------------------------------------------------------


def first_line(error):
    """Return an error's first line, or its type where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


def sha256_of(path):
    """Return the sha256 of a file, in hex, read in pieces."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(MEGABYTE), b""):
            found.update(piece)
    return found.hexdigest()


def write_whole(path, data):
    """Write a file that is there whole or not at all."""
    unfinished = f"{path}.{os.getpid()}.part"
    try:
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


def load_bundle(folder):
    """Read bundle.json and hold the model files against their sha256."""
    try:
        with open(os.path.join(folder, "bundle.json"), encoding="utf-8") as file:
            info = json.load(file)
    except (OSError, ValueError) as error:
        raise Problem(f"{folder} is no bundle ({first_line(error)}); copy it again") from error
    if info.get("format") != FORMAT:
        raise Problem("the bundle has format {}; this runner reads {}".format(info.get("format"), FORMAT))
    for model in info["models"]:
        try:
            found = sha256_of(os.path.join(folder, model["file"]))
        except OSError as error:
            raise Problem(
                "{} cannot be read ({}); copy the bundle again".format(model["file"], first_line(error))
            ) from error
        if found != model["sha256"]:
            raise Problem("{} was changed or cut short; copy the bundle again".format(model["file"]))
    return info


def films_in(path):
    """Yield the films of a folder or a CSV, one after the other.

    Args:
        path: of the folder or the CSV.
    Returns:
        (name, file, truth, reason) each: truth is None where it is not known, reason says why a film cannot be read
        where that is known already.
    """
    if os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            file = os.path.join(path, name)
            if os.path.isfile(file) and not name.startswith("."):
                # A name is bytes, of any encoding; the locale of a board that is reached over SSH is often ASCII.
                yield os.fsencode(name).decode("utf-8", "backslashreplace"), file, None, ""
        return
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if not rows.fieldnames or "image" not in rows.fieldnames:
                raise Problem(f"{path} has no column `image`")
            for row in rows:
                file_of = (row.get("file") or row["image"] or "").encode("utf-8")
                file = os.path.join(os.fsencode(os.path.dirname(path)), file_of)
                yield row["image"], file, row.get("truth"), row.get("reason") or ""
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Problem(f"{path} cannot be read ({first_line(error)})") from error


def probe():
    """Return what this device has."""
    try:
        import PIL

        pillow = PIL.__version__
    except ImportError:
        pillow = None
    return {
        "machine": platform.machine(),
        "model": _text("/proc/device-tree/model"),
        "jetpack": _text("/etc/nv_tegra_release"),
        "system": _text("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": pillow,
        "engines": engines_here(),
        "memory_mb": (_number_in("/proc/meminfo", r"^MemTotal:\s+(\d+) kB") or 0) / 1024.0,
        "free_mb": free_bytes() / float(MEGABYTE),
        "disk_free_mb": shutil.disk_usage(os.getcwd()).free / float(MEGABYTE),
        "tegrastats": bool(shutil.which("tegrastats")),
    }


def _text(path, pattern=r"([^\n\0]*)"):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return None
    return found.group(1).strip() if found else None


class Run:
    """One run over films: answers as they come, and the sums of what was measured."""

    def __init__(self, info, engines, table, say):
        self.info, self.engines, self.say = info, engines, say
        self.labels, self.side = info["labels"], info["input_size"]
        self.spreads = {name: Spread() for name in ("reading", "preprocessing", "inference", "total")}
        self.done = self.failed = self.right = self.judged = 0
        self.table = csv.writer(table)
        self.table.writerow(
            ["index", "image", "status", "reason", "truth", "called"]
            + ["prob_" + label for label in self.labels]
            + ["sha256", "reading_s", "preprocessing_s", "inference_s"]
        )

    def warm_up(self, count):
        """Run zeros; return the seconds of the first and of the last run."""
        seconds = []
        for _ in range(count):
            batch = np.zeros((self.engines.engine.model["batch"], self.side, self.side, 1), np.float32)
            began = time.perf_counter()
            self._infer(batch)
            seconds.append(time.perf_counter() - began)
        return {"runs": count, "first": seconds[0] if seconds else None, "last": seconds[-1] if seconds else None}

    def films(self, films):
        """Answer about all films; as many are held as a batch takes."""
        waiting = []
        for index, (name, path, truth, reason) in enumerate(films):
            if reason:
                self._error(index, name, truth, "", reason)
                continue
            began = time.perf_counter()
            digest = ""
            try:
                with open(path, "rb") as file:
                    data = file.read()
                digest = hashlib.sha256(data).hexdigest()
                read = time.perf_counter()
                small = self.film(data)
            except Unreadable as error:
                self._error(index, name, truth, digest, first_line(error))
                continue
            except OSError as error:
                self._error(index, name, truth, digest, f"cannot be read: {error.strerror}")
                continue
            except MemoryError:
                self._error(index, name, truth, digest, "memory is short; let the host prepare it")
                continue
            now = time.perf_counter()
            waiting.append((index, name, truth, digest, small, read - began, now - read))
            if len(waiting) >= self.engines.engine.model["batch"]:
                self._answer(waiting)
                waiting = []
        if waiting:
            self._answer(waiting)

    def film(self, data):
        """Return a film as the network takes it, of its file's bytes."""
        pixels, full = read_film(data)
        return prepare(pixels, full, self.side)

    def _answer(self, waiting):
        while waiting:
            size = self.engines.engine.model["batch"]
            part = waiting[:size]
            batch = np.zeros((size, self.side, self.side, 1), np.float32)
            for place, film in enumerate(part):
                batch[place, :, :, 0] = film[4]
            began = time.perf_counter()
            probs = self._infer(batch)
            if probs is None:
                # Another runtime with another batch took over.
                continue
            seconds = (time.perf_counter() - began) / len(part)
            for film, row in zip(part, probs):
                self._row(film, row, seconds)
            waiting = waiting[size:]

    def _infer(self, batch):
        """Run one batch; None when it failed and another runtime was loaded."""
        try:
            return np.array(self.engines.engine.run(batch))
        except Exception as error:  # As in `Engines.next`: the next is tried, and says so when none is left.
            why = first_line(error)
        # Not above, where the error still holds what failed, and with it the memory that the next one needs.
        self.engines.next(why)
        return None

    def _row(self, film, probs, seconds):
        index, name, truth, digest, _, reading, preprocessing = film
        print(f"inference-{index} {name} result: [{np.array2string(probs, max_line_width=10**6)}]")
        print(f"needed time in inference-{index}: {seconds}")
        called = [name for name, prob in zip(self.labels, probs) if prob >= self.info["thresholds"][name]]
        if len(self.info["scored"]) == 1 and len(self.labels) == 2:
            first = self.info["scored"][0]
            called = [first] if first in called else [label for label in self.labels if label != first]
        if truth is not None:
            known = truth.split("|")
            for label in self.info["scored"]:
                self.judged += 1
                self.right += (label in known) == (label in called)
        for key, value in (("reading", reading), ("preprocessing", preprocessing), ("inference", seconds)):
            self.spreads[key].add(value)
        self.spreads["total"].add(reading + preprocessing + seconds)
        numbers = [repr(float(prob)) for prob in probs]
        times = [f"{value:.6f}" for value in (reading, preprocessing, seconds)]
        self.table.writerow([index, name, "ok", "", truth or "", "|".join(called), *numbers, digest, *times])
        self.done += 1

    def _error(self, index, name, truth, digest, reason):
        self.say(f"film {index} {name}: no answer: {reason}")
        self.table.writerow(
            [index, name, "error", reason, truth or "", ""] + [""] * len(self.labels) + [digest, "", "", ""]
        )
        self.failed += 1


def run(bundle, films, out, engine, threads, warm_up, say):
    """Run a bundle over films; return the exit code."""
    info = load_bundle(bundle)
    memory = {"start": held_mb()}
    here = engines_here()
    memory["with_runtime"] = held_mb()
    engines = Engines(attempts(bundle, info, here, engine, threads), say)
    return measure(Run, info, engines, films, out, warm_up, memory, say)


def measure(kind, info, engines, films, out, warm_up, memory, say):
    """Answer about films and measure; return the exit code.

    Args:
        kind: `Run`, or one that prepares films otherwise.
        info: name, version, labels, scored, thresholds, input_size.
        engines: the runtimes to try.
        films: a folder or a list, as `films_in` takes it.
        out: the folder for result.json and predictions.csv.
        warm_up: runs before anything is timed.
        memory: what was held before, MB.
        say: takes notes.
    """
    os.makedirs(out, exist_ok=True)
    engines.next()
    memory["loaded"] = held_mb()
    predictions = os.path.join(out, "predictions.csv")
    sensors = Sensors()
    try:
        with open(predictions + ".part", "w", newline="", encoding="utf-8") as table:
            work = kind(info, engines, table, say)
            warm = work.warm_up(warm_up)
            began = time.perf_counter()
            work.films(films_in(films))
            wall = time.perf_counter() - began
    finally:
        seen = sensors.stop()
    os.replace(predictions + ".part", predictions)
    model = engines.engine.model
    result = {
        "format": FORMAT,
        "notice": NOTICE,
        "name": info["name"],
        "version": info["version"],
        "labels": info["labels"],
        "ran": {
            "file": model["file"],
            "sha256": model["sha256"],
            "runner_sha256": sha256_of(os.path.abspath(__file__)),
            "engine": engines.engine.name,
            "engine_version": engines.engine.version,
            "precision": model["precision"],
            "batch": model["batch"],
            "build_s": getattr(engines.engine, "build_s", None),
        },
        "device": probe(),
        "films": {"answered": work.done, "failed": work.failed},
        "seconds": dict(
            {name: spread.summary() for name, spread in work.spreads.items()},
            load=engines.load_s,
            warm_up=warm,
            all=wall,
        ),
        "memory_mb": dict(memory, peak=peak_mb()),
        "sensors": seen,
        "accuracy": {"right": work.right, "of": work.judged, "value": work.right / float(work.judged)}
        if work.judged
        else None,
        "fallbacks": engines.notes,
        "predictions_sha256": sha256_of(predictions),
    }
    write_whole(os.path.join(out, "result.json"), (json.dumps(result, indent=2) + "\n").encode("utf-8"))
    # In the words of the report's figure 18.
    if work.done:
        print("average inference time: {}".format(work.spreads["inference"].summary()["mean"]))
    if work.judged:
        print(f"ACC : {work.right / float(work.judged)}")
    print(f"peak memory: {peak_mb():.0f} MB")
    print(NOTICE)
    return ERROR_ROWS if work.failed else OK


def main(arguments=None):
    """Read the command line and run; every refusal is one line on stderr."""
    parser = argparse.ArgumentParser(description="Run a cxrkit bundle on this device. " + NOTICE)
    parser.add_argument("bundle", nargs="?", help="a folder that `cxrkit model export` wrote")
    parser.add_argument("films", nargs="?", help="a folder of films, or a CSV with `image` and perhaps `truth`")
    parser.add_argument("--out", default="run", help="where result.json and predictions.csv go")
    parser.add_argument("--engine", default=ENGINES[0], choices=ENGINES)
    parser.add_argument("--threads", type=int, default=0, help="of one run; 0 leaves it to the runtime")
    parser.add_argument("--warm-up", type=int, default=3, help="runs before anything is timed")
    parser.add_argument("--probe", action="store_true", help="say what this device has, as JSON")
    options = parser.parse_args(arguments)

    def say(text):
        print(text, file=sys.stderr)
        sys.stderr.flush()

    try:
        if options.probe:
            print(json.dumps(probe(), indent=2))
            return OK
        if not options.bundle or not options.films:
            raise Problem("name a bundle and films, or --probe")
        # Film names may hold what the device's locale cannot print.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")
        else:
            # Python 3.6.
            sys.stdout = io.TextIOWrapper(sys.stdout.buffer, sys.stdout.encoding, "backslashreplace")
        return run(options.bundle, options.films, options.out, options.engine, options.threads, options.warm_up, say)
    except Problem as error:
        say(f"runner: {error}.")
    except OSError as error:
        say("runner: {} ({}).".format(error.strerror or "cannot go on", error.filename or ""))
    except MemoryError:
        say("runner: memory is short; free some, or export with a smaller --batch.")
    return MISUSE


if __name__ == "__main__":
    sys.exit(main())
