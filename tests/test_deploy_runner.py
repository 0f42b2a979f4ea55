"""The runner as a board starts it: a process of its own, NumPy and ONNX Runtime alone, limited memory."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import types
import weakref
from pathlib import Path

import loopback
import numpy as np
import pandas as pd
import pytest
import tiny_models

from cxrkit import data, deploy, networks
from cxrkit.deploy import runner
from cxrkit.labels import COVID, COVID_CLASSES

RUNNER = Path(runner.__file__)
#: What the tiny networks predict for these means is worked out in tiny_models.
MEANS = (0.1, 0.3, 0.6, 0.8, 0.9)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return loopback.bare_python(tmp_path_factory.mktemp("board"))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Five images as floats, and a list with the truth; the network takes the third wrongly for COVID-19."""
    folder = tmp_path_factory.mktemp("films")
    rows = [f"covid_{k}.npy,{COVID if mean > 0.7 else ''}" for k, mean in enumerate(MEANS)]
    for k, mean in enumerate(MEANS):
        np.save(folder / f"covid_{k}.npy", tiny_models.film(mean) / np.float32(255))
    (folder / "films.csv").write_text("\n".join(["image,truth", *rows]))
    return folder


def bundle_of(folder, *, batch=1, source=None):
    """Make a bundle of a network, by default the tiny one."""
    source = source or tiny_models.covid_model(folder / "network")
    (folder / "film.png").write_bytes(tiny_models.png(tiny_models.film(0.3)))
    (folder / "manifest.csv").write_text("image\nfilm.png\n")
    images = data.read_manifest(folder / "manifest.csv")
    return deploy.export(source, folder / "bundle", target="onnx", batch=batch, images=images).folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundle_of(tmp_path_factory.mktemp("bundles"))


def start(python, bundle, images, out, memory=None, **env):
    """Start the bundle's runner; with `memory`, under a limit of address space as `ulimit -v` sets it."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.run(
        [python, bundle / "runner.py", bundle, images, "--out", out],
        env={**loopback.environment(), **env},
        preexec_fn=limit if memory else None,
        capture_output=True,
        text=True,
        timeout=300,
    )


def result_of(out):
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize(("code", "legal"), [(RUNNER.read_text(), True), ("if (n := 3):\n    print(n)\n", False)])
def test_the_file_needs_no_more_than_python_3_6(tmp_path, code, legal):
    (tmp_path / "code.py").write_text(code)
    vermin = [Path(sys.executable).parent / "vermin", "--target=3.6-", "--no-tips", "--violations"]
    done = subprocess.run([*vermin, tmp_path / "code.py"], capture_output=True, text=True)
    assert (done.returncode == 0) == legal, done.stdout + done.stderr


def in_board(python, code, folder, **env):
    """Run code on the board's Python, in a folder where nothing of ours lies."""
    environment = {**loopback.environment(), **env}
    done = subprocess.run([python, "-c", code], env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_imports_the_standard_library_and_numpy_alone(python, bundle):
    names = in_board(python, "import sys; sys.path.insert(0, '.'); import runner; print(*sys.modules)", bundle)
    # Names with an underscore belong to what compiled a part of NumPy.
    roots = {name.split(".")[0] for name in names if not name.startswith("_")} - set(sys.stdlib_module_names)
    assert roots - {"cython_runtime"} == {"runner", "numpy"}


def test_it_prints_the_reports_log_and_writes_what_it_measured(python, bundle, films, tmp_path):
    (tmp_path / "home").mkdir()
    done = start(python, bundle, films / "films.csv", tmp_path, HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "home").rglob("*")) == []
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"inference-2 covid_2\.npy result: \[\[0\.8\d+ 0\.1\d+\]\]", lines[4])
    assert re.fullmatch(r"needed time in inference-2: \d+\.\d+(e-\d+)?", lines[5])
    assert "ACC : 0.8" in lines
    assert lines[-1] == "Teaching and research only; not a medical device."
    result = result_of(tmp_path)
    assert result["accuracy"] == {"right": 4, "of": 5, "value": 0.8}
    assert result["images"] == {"predicted": 5, "failed": 0}
    assert result["ran"]["sha256"] == hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()
    assert (result["ran"]["engine"], result["ran"]["precision"], result["ran"]["batch"]) == ("onnxruntime", "fp32", 1)
    for part in ("reading", "preprocessing", "inference", "total"):
        seconds = result["seconds"][part]
        assert seconds["images"] == 5
        assert 0 < seconds["p50"] <= seconds["p95"]
        assert seconds["mean"] > 0
    assert result["seconds"]["load"] > 0
    assert result["seconds"]["warm_up"]["first"] > 0
    memory = result["memory_mb"]
    assert 0 < memory["start"] <= memory["with_runtime"] <= memory["peak"]
    assert result["fallbacks"] == []
    assert result["device"]["pillow"] is None


def test_its_predictions_are_those_of_the_one_path_from_a_file(tmp_path):
    rows = data.read_manifest(split="test")
    paths = [rows.root / name for name in rows.rows["image"][::10]]
    pd.DataFrame({"image": [path.name for path in paths], "file": paths}).to_csv(tmp_path / "list.csv", index=False)
    bundle = deploy.export("covid-small", tmp_path / "bundle", target="onnx").folder
    # This machine's Python, with Pillow.
    done = start(sys.executable, bundle, tmp_path / "list.csv", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "out" / "predictions.csv")
    network = networks.load("covid-small")
    expected = list(networks.predict_images(network, paths))
    probs = found[[f"prob_{label}" for label in network.labels]].to_numpy()
    assert probs == pytest.approx(np.stack([each.probs for each in expected]), abs=1e-5)
    assert list(found["sha256"]) == [each.sha256 for each in expected]
    covid = np.where(probs[:, 0] >= network.thresholds[COVID], *COVID_CLASSES)
    assert list(found["predicted"]) == covid.tolist()


@pytest.mark.parametrize("batch", [1, 3])
def test_rows_are_in_order_in_any_batch_and_an_unreadable_image_has_a_reason(python, films, tmp_path, batch):
    bundle = bundle_of(tmp_path, batch=batch)
    (tmp_path / "broken.npy").write_bytes((films / "covid_0.npy").read_bytes()[:200])
    (tmp_path / "list.csv").write_text(
        f"image,truth,reason\n{films}/covid_4.npy,{COVID},\nbroken.npy,,\nmissing.png,,\nscan.dcm,,the DICOM is cut "
        f"short\n{films}/covid_0.npy,,\n{films}/covid_2.npy,,\n{films}/covid_3.npy,{COVID},\n"
    )
    done = start(python, bundle, tmp_path / "list.csv", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    rows, result = pd.read_csv(tmp_path / "out" / "predictions.csv"), result_of(tmp_path / "out")
    assert list(rows["index"]) == list(range(7))
    assert list(rows["status"]) == ["ok", "error", "error", "error", "ok", "ok", "ok"]
    for reason, expected in zip(rows["reason"][1:4], ("damaged", "No such file", "DICOM is cut short"), strict=True):
        assert expected in reason
    expected = [tiny_models.covid_prob(mean) for mean in (0.9, 0.1, 0.6, 0.8)]
    assert list(rows["prob_COVID-19"].dropna()) == pytest.approx(expected, abs=0.05)
    assert result["accuracy"] == {"right": 3, "of": 4, "value": 0.75}
    assert (result["ran"]["batch"], result["images"]) == (batch, {"predicted": 4, "failed": 3})


@pytest.mark.slow
def test_densenet121_at_224_px_takes_under_300_mb_beyond_the_runtime_or_is_not_loaded(tmp_path, python, films):
    # Random weights need the memory of trained ones.
    source = networks.save(networks.build("DenseNet121", "covid", input_size=224), tmp_path / "network", COVID_CLASSES)
    densenet = bundle_of(tmp_path, source=source)
    done = start(python, densenet, films / "films.csv", tmp_path, memory=400 * 2**20)
    assert done.returncode == 2, done.stderr
    assert "memory is short for onnxruntime fp32 batch 1: it may take" in done.stderr
    assert "no runtime is left that can run this bundle here" in done.stderr
    done = start(python, densenet, films / "films.csv", tmp_path, memory=1024 * 2**20)
    assert done.returncode == 0, done.stderr
    result, model = result_of(tmp_path), json.loads((densenet / "bundle.json").read_text())["models"][0]
    taken = result["memory_mb"]["peak"] - result["memory_mb"]["with_runtime"]
    # The estimate of the bundle has to be more than it took.
    assert taken < min(300, runner.needed_bytes(model, "onnxruntime") / 2**20)
    assert result["images"] == {"predicted": 5, "failed": 0}


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(python, bundle, films, tmp_path):
    peaks = {}
    for count in (20, 400):
        listed = tmp_path / f"{count}.csv"
        listed.write_text("image\n" + "".join(f"{films}/covid_{k % 5}.npy\n" for k in range(count)))
        start(python, bundle, listed, tmp_path / str(count))
        result = result_of(tmp_path / str(count))
        assert result["images"]["predicted"] == count
        peaks[count] = result["memory_mb"]["peak"]
    assert peaks[400] < peaks[20] + 4


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_an_image_may_have_any_name_whatever_the_locale(python, bundle, films, tmp_path, locale):
    folder, content = tmp_path / "films", (films / "covid_4.npy").read_bytes()
    folder.mkdir()
    for name in ("胸片é.npy".encode(), b"\xff\xfe.npy", b'-lead \'n "quote".npy', b"new\nline.npy"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(content)
    done = start(python, bundle, folder, tmp_path / "out", LC_ALL=locale)
    assert (done.returncode, result_of(tmp_path / "out")["images"]["predicted"]) == (0, 4)
    expected = ['-lead \'n "quote".npy', "new\nline.npy", "胸片é.npy", "\\xff\\xfe.npy"]
    assert list(pd.read_csv(tmp_path / "out" / "predictions.csv")["image"]) == expected
    (folder / "films.csv").write_text("image\n胸片é.npy\n", encoding="utf-8")
    done = start(python, bundle, folder / "films.csv", tmp_path / "out", LC_ALL=locale)
    assert (done.returncode, list(pd.read_csv(tmp_path / "out" / "predictions.csv")["image"])) == (0, ["胸片é.npy"])


def test_numpy_is_told_of_a_jetsons_processor(python, bundle, monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    code = (
        "import os, sys, platform; platform.machine = lambda: {!r}; sys.path.insert(0, '.'); import runner; "
        "print(os.environ.get('OPENBLAS_CORETYPE'))"
    )
    assert in_board(python, code.format("aarch64"), bundle) == ["ARMV8"]
    assert in_board(python, code.format("x86_64"), bundle) == ["None"]
    assert in_board(python, code.format("aarch64"), bundle, OPENBLAS_CORETYPE="Haswell") == ["Haswell"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.onnx").write_bytes(b"cut"), "was changed or cut short; copy the bundle"),
        (lambda folder: (folder / "bundle.json").write_text("{"), "is no bundle"),
        (lambda folder: (folder / "images.csv").write_bytes("image\nBrüche.png\n".encode("latin-1")), "can't decode"),
        (lambda folder: (folder / "images.csv").write_text("file\n"), "has no column `image`"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(python, tmp_path, spoil, message):
    folder = bundle_of(tmp_path)
    spoil(folder)
    done = start(python, folder, folder / "images.csv", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_tegrastats_is_read_while_it_runs(python, bundle, films, tmp_path):
    # Program and numbers are made up. The first line has the form of a Nano's tegrastats as DataDog's agent is tested
    # against it (datadog-agent, its check of tegrastats), the second that of an Orin.
    lines = (
        "RAM 2448/3956MB (lfb 2x2MB) CPU [12%@1479,5%@1479] EMC_FREQ 0% GR3D_FREQ 0% PLL@25C CPU@27.5C PMIC@100C "
        "GPU@26C POM_5V_IN 2077/2077\n"
        "11-24-2026 17:11:36 RAM 1205/30623MB (lfb 6429x4MB) SWAP 0/15311MB (cached 0MB) CPU [0%@729,off] EMC_FREQ "
        "0%@204 VIC_FREQ 729 APE 233 CV0@-256C cpu@43.5C Tboard@-3C VDD_GPU_SOC 4788mW/4100mW VIN_SYS_5V0 3842mW/3842mW"
    )
    program, written = tmp_path / "bin" / "tegrastats", tmp_path / "written"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{lines}\n{lines}'\ntouch {written}\nexec tail -f /dev/null\n")
    program.chmod(0o755)
    # The list ends when the lines are there.
    listed = tmp_path / "list.csv"
    os.mkfifo(listed)
    run = subprocess.Popen(
        [python, bundle / "runner.py", bundle, listed, "--out", tmp_path / "out"],
        env={**loopback.environment(), "PATH": f"{program.parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
    )
    with listed.open("w") as file:
        file.write(f"image\n{films}/covid_0.npy\n")
        while not written.exists():
            assert run.poll() is None
    assert run.wait(timeout=60) == 0
    seen = result_of(tmp_path / "out")["sensors"]
    assert seen["temperature_c"]["CPU"] == {"mean": 27.5, "max": 27.5, "readings": 2}
    # PMIC is always 100, whatever it is; CV0 is off.
    assert {kind: {name: each["max"] for name, each in sensors.items()} for kind, sensors in seen.items()} == {
        "temperature_c": {"PLL": 25.0, "CPU": 27.5, "GPU": 26.0, "cpu": 43.5, "Tboard": -3.0},
        "power_mw": {"POM_5V_IN": 2077.0, "VDD_GPU_SOC": 4788.0, "VIN_SYS_5V0": 3842.0},
    }


# --- falling back ----------------------------------------------------------------------------------------------


class Fake:
    """A runtime that fails as told."""

    name, version = "onnxruntime", "0"

    def __init__(self, model, fails=False):
        self.model, self.fails = model, fails

    def run(self, batch):
        if self.fails:
            raise RuntimeError("Failed to allocate memory for requested buffer\nof some size")
        return np.zeros((len(batch), 2), np.float32)


def tries(*entries):
    """Attempts of given batch, memory in bytes and loader."""
    for batch, size, load in entries:
        model = {"batch": batch, "weights_bytes": 0, "activation_bytes": size, "precision": "fp32"}
        yield f"onnxruntime fp32 batch {batch}", "onnxruntime", model, lambda model=model, load=load: load(model)


def predicted(engines, images):
    """Predict the images of a list; return the rows."""
    engines.next()
    info = {"labels": list(COVID_CLASSES), "scored": [COVID], "input_size": 64}
    info["thresholds"] = dict.fromkeys(COVID_CLASSES, 0.5)
    return list(runner.predictions(info, engines, lambda data: runner.prepare(runner.read_image(data), 64), images))


def test_what_does_not_fit_is_not_loaded(monkeypatch):
    monkeypatch.setattr(runner, "free_bytes", lambda: 400 * 2**20)
    loaded = []
    engines = runner.Engines(tries((8, 400 * 2**20, lambda model: loaded.append(8)), (1, 50 * 2**20, Fake)))
    engines.next()
    assert (engines.engine.model["batch"], loaded) == (1, [])
    assert "memory is short for onnxruntime fp32 batch 8: it may take 1745 MB" in engines.notes[0]
    assert engines.notes[1] == "running onnxruntime fp32 batch 1 instead"


def test_after_a_runtime_that_cannot_be_loaded_the_next_is_tried(capsys):
    def broken(model):
        raise MemoryError

    engines = runner.Engines(tries((4, 0, broken), (1, 0, Fake)))
    engines.next()
    assert engines.engine.model["batch"] == 1
    note = "note: onnxruntime fp32 batch 4 cannot be loaded (MemoryError); falling back\n"
    assert capsys.readouterr().err.startswith(note)
    with pytest.raises(runner.RunnerError, match=r"no runtime is left.*systemctl isolate.*smaller --batch"):
        engines.next()


def test_a_network_that_an_old_release_cannot_fuse_is_run_unfused(monkeypatch):
    levels = []

    class Session:
        def __init__(self, path, options, providers):
            levels.append(getattr(options, "graph_optimization_level", None))
            if path == "broken" or levels[-1] is None:
                raise RuntimeError("node_index < nodes_.size() was false")

        def get_inputs(self):
            return [types.SimpleNamespace(name="films")]

    simulated = types.ModuleType("onnxruntime")
    simulated.__version__, simulated.InferenceSession = "1.10.0", Session
    simulated.SessionOptions = types.SimpleNamespace
    simulated.GraphOptimizationLevel = types.SimpleNamespace(ORT_ENABLE_BASIC="basic")
    monkeypatch.setitem(sys.modules, "onnxruntime", simulated)
    assert runner.OnnxEngine("model.onnx", {}, 0).input == "films"
    assert levels == [None, "basic"]
    with pytest.raises(RuntimeError, match="node_index"):
        runner.OnnxEngine("broken", {}, 0)


def test_a_run_that_fails_is_repeated_in_smaller_batches_after_the_failed_runtime_is_freed(films):
    held, freed = [], []

    def first(model):
        made = Fake(model, fails=True)
        held.append(weakref.ref(made))
        return made

    def second(model):
        freed.append(held[0]() is None)
        return Fake(model)

    engines = runner.Engines(tries((4, 0, first), (1, 0, second)))
    rows = predicted(engines, runner.images_in(str(films / "films.csv")))
    assert [row["status"] for row in rows] == ["ok"] * 5
    assert freed == [True]
    assert "batch 4 failed (Failed to allocate memory for requested buffer); falling back" in engines.notes[0]


def test_the_order_of_attempts():
    """TensorRT first, then half precision, then smaller batches; LiteRT runs its own files alone."""
    models = [{"file": "m.onnx", "precision": "fp32", "batch": n, "sha256": "0" * 64} for n in (8, 1)]
    found = runner.attempts("", {"models": models}, {"tensorrt": "8.2", "onnxruntime": "1.11"}, "auto", 0)
    expected = [f"tensorrt {precision} batch {batch}" for batch in (8, 1) for precision in ("fp32", "fp16")]
    expected += ["onnxruntime fp32 batch 8", "onnxruntime fp32 batch 1"]
    assert [label for label, *_ in found] == expected
    models = [{"file": "m.tflite", "precision": "fp32", "batch": 1, "sha256": "0" * 64}]
    with pytest.raises(runner.RunnerError, match=r"onnxruntime cannot run m\.tflite"):
        next(runner.attempts("", {"models": models}, {"onnxruntime": "1"}, "onnxruntime", 0))


# --- TensorRT, as its documentation has it ---------------------------------------------------------------------


@pytest.fixture
def tensorrt(monkeypatch):
    """TensorRT 8.2's Python API, SIMULATED: it records calls and builds nothing.

    Its network has the output before the input and gives the mean of each image.
    """
    space, made = types.SimpleNamespace, types.ModuleType("tensorrt")
    made.plan, made.calls, made.__version__ = memoryview(b"plan"), [], "8.2.1"
    config = space(set_flag=lambda flag: made.calls.append(("flag", flag)), max_workspace_size=None)

    def build(network, used):
        made.calls.append(("build", network, used.max_workspace_size))
        return made.plan

    def execute(pointers):
        floats = [ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)) for pointer in pointers]
        probs, images = np.ctypeslib.as_array(floats[0], (2, 2)), np.ctypeslib.as_array(floats[1], (2, 4, 4, 1))
        probs[:, 0] = images.mean(axis=(1, 2, 3))
        probs[:, 1] = 1 - probs[:, 0]
        return True

    made.Builder = lambda logger: space(
        platform_has_fast_fp16=True, platform_has_fast_int8=False, build_serialized_network=build,
        create_network=lambda flags: flags, create_builder_config=lambda: config,
    )  # fmt: skip
    loaded = space(
        num_bindings=2, get_binding_shape=[(2, 2), (2, 4, 4, 1)].__getitem__,
        binding_is_input=[False, True].__getitem__, get_binding_name=["probs", "films"].__getitem__,
        create_execution_context=lambda: space(execute_v2=execute),
    )  # fmt: skip
    made.Logger = type("Logger", (), {"WARNING": 2, "__init__": lambda self, level: None})
    made.NetworkDefinitionCreationFlag = space(EXPLICIT_BATCH=0)
    made.BuilderFlag = space(FP16="FP16", INT8="INT8")
    made.OnnxParser = lambda network, logger: space(parse=lambda data: data == b"onnx")
    made.Runtime = lambda logger: space(deserialize_cuda_engine={b"plan": loaded}.get)
    monkeypatch.setitem(sys.modules, "tensorrt", made)
    monkeypatch.setattr(runner, "free_bytes", lambda: 400 * 2**20)
    return made


def simulated_cuda(code=0):
    """The three calls of CUDA's runtime that are used, SIMULATED in this machine's memory."""
    cuda = types.SimpleNamespace(blocks=[], freed=[])

    def allocate(reference, size):
        cuda.blocks.append(ctypes.create_string_buffer(size.value))
        reference._obj.value = ctypes.addressof(cuda.blocks[-1])
        return code

    def copy(to, source, size, direction):
        assert direction.value in (1, 2)
        ctypes.memmove(to, source, size.value)
        return 0

    cuda.cudaMalloc, cuda.cudaMemcpy = allocate, copy
    cuda.cudaFree = lambda pointer: cuda.freed.append(pointer.value)
    return cuda


@pytest.fixture
def files(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    return str(tmp_path / "model.onnx"), str(tmp_path / "kept.plan")


def test_a_plan_is_built_once_with_a_bounded_workspace_and_kept_or_leaves_nothing(tensorrt, tmp_path, files):
    with pytest.raises(RuntimeError, match="has no fast int8"):
        runner.tensorrt_plan(*files, "int8")
    tensorrt.plan = None
    with pytest.raises(RuntimeError, match="because memory is short"):
        runner.tensorrt_plan(*files, "fp32")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    tensorrt.plan = memoryview(b"plan")
    tensorrt.calls.clear()
    for _ in range(2):
        assert runner.tensorrt_plan(*files, "fp16") == b"plan"
        assert tensorrt.calls == [("flag", "FP16"), ("build", 1, 100 * 2**20)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.plan", "model.onnx"]


def test_images_go_to_the_card_and_probabilities_come_back(monkeypatch, tensorrt, files):
    monkeypatch.setattr(runner, "_cuda", simulated_cuda)
    engine = runner.TensorrtEngine(files[0], {"precision": "fp32", "batch": 2}, files[1])
    images = np.stack([np.full((4, 4, 1), 0.25, np.float32), np.full((4, 4, 1), 0.5, np.float32)])
    np.testing.assert_allclose(engine.run(images), [[0.25, 0.75], [0.5, 0.5]])
    cuda = engine.cuda
    del engine
    assert cuda.freed == [ctypes.addressof(block) for block in cuda.blocks]
    monkeypatch.setattr(runner, "_cuda", lambda: simulated_cuda(2))
    with pytest.raises(RuntimeError, match="CUDA error 2: out of memory"):
        runner.TensorrtEngine(files[0], {"precision": "fp32"}, files[1])


# --- small parts -----------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(monkeypatch, tmp_path):
    (tmp_path / "kept").write_bytes(b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        runner.write_whole(str(tmp_path / "kept"), b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("kept", b"old")]


@pytest.mark.parametrize(
    ("line", "folder", "names"),
    [
        ("0::/board/runs", "board", ("memory.max", "memory.current")),
        ("7:cpu,memory:/board/runs", "memory/board", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
    ],
)
def test_the_limit_of_a_cgroup_above_counts_too(monkeypatch, tmp_path, line, folder, names):
    (tmp_path / "listed").write_text(f"3:freezer:/\n{line}\n")
    (tmp_path / folder / "runs").mkdir(parents=True)
    (tmp_path / folder / names[0]).write_text("600000000")
    (tmp_path / folder / names[1]).write_text("100000000")
    (tmp_path / folder / "runs" / names[0]).write_text("max")
    (tmp_path / folder / "memory.stat").write_text("active_file 5\ninactive_file 40000000\n")
    real = runner._cgroups
    monkeypatch.setattr(runner, "_cgroups", lambda: real(str(tmp_path / "listed"), str(tmp_path)))
    assert runner.free_bytes() == 540_000_000
