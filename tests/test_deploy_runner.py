"""The runner as a board would start it: a process of its own, numpy and ONNX Runtime alone, memory bounded."""

from __future__ import annotations

import csv
import ctypes
import hashlib
import json
import math
import os
import random
import re
import resource
import stat
import subprocess
import sys
import types
import weakref
from pathlib import Path

import loopback
import numpy as np
import pytest
import tiny_models

from cxrkit import deploy, film, networks
from cxrkit.deploy import _stand_in, runner
from cxrkit.labels import COVID, COVID_CLASSES

RUNNER = Path(runner.__file__)
#: What the tiny networks answer on these means is worked out in tiny_models.
MEANS = (0.1, 0.3, 0.6, 0.8, 0.9)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return _stand_in.bare_python(tmp_path_factory.mktemp("board"))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Five films and a list with what is true: the network calls all but the third rightly."""
    folder = tmp_path_factory.mktemp("films")
    rows = [("image", "truth")]
    for k, mean in enumerate(MEANS):
        (folder / f"covid_{k}.png").write_bytes(tiny_models.png(tiny_models.film(mean)))
        rows.append((f"covid_{k}.png", COVID if mean > 0.7 else ""))
    with (folder / "films.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def bundle_of(folder, *, batch=1, precision="fp32", source=None):
    """Make a bundle of a network, by default the tiny one, without measuring it on films."""
    from cxrkit.deploy import _bundle, _export, _graph

    source = source or tiny_models.covid_model(folder / "network")
    original, out = networks.load(source), folder / "bundle"
    out.mkdir()
    models = []
    for size in dict.fromkeys((batch, 1)):
        path = out / f"model-{size}.onnx"
        weights, live = _export._write(_graph, source, path, "onnx", precision, size, False, np.empty(0))
        models.append(
            {"file": path.name, "precision": precision, "batch": size, "sha256": _bundle.digest(path)}
            | {"weights_bytes": weights, "activation_bytes": live}
        )
    (out / "runner.py").write_bytes(RUNNER.read_bytes())
    info = {
        "format": 1, "name": "tiny", "version": "1", "labels": list(original.labels), "scored": [COVID],
        "thresholds": original.thresholds, "input_size": original.input_size, "models": models,
        "runner_sha256": _bundle.digest(RUNNER), "original": {"sha256": original.sha256},
    }  # fmt: skip
    (out / "bundle.json").write_text(json.dumps(info))
    return out


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundle_of(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def densenet(tmp_path_factory):
    """DenseNet121 at 224 px with random weights: what it takes is what a trained one takes."""
    from cxrkit import networks

    folder = tmp_path_factory.mktemp("densenet")
    sidecar = {"name": "densenet121", "version": "0", "labels": list(COVID_CLASSES), "input_size": 224}
    sidecar |= {"pixel_range": [0, 1], "thresholds": dict.fromkeys(COVID_CLASSES, 0.5), "not_shown": [COVID]}
    source = networks.save(networks.build("DenseNet121", "covid", input_size=224), folder / "network", sidecar)
    return bundle_of(folder, source=source)


def start(python, bundle, *arguments, memory=None, env=None):
    """Start the bundle's runner; with `memory`, under a limit of address space as `ulimit -v` sets it."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.run(
        [python, bundle / "runner.py", *map(str, arguments)],
        env={**loopback.environment(), **(env or {})},
        preexec_fn=limit if memory else None,
        capture_output=True,
        text=True,
        timeout=300,
    )


def rows_of(out):
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def result_of(out):
    return json.loads((out / "result.json").read_text())


def test_the_file_needs_no_more_than_python_3_6():
    done = subprocess.run(
        [Path(sys.executable).parent / "vermin", "--target=3.6-", "--no-tips", "--violations", RUNNER],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_for_python_3_6_finds_what_is_newer(tmp_path):
    (tmp_path / "newer.py").write_text("import subprocess\nif (n := 3):\n    subprocess.run([], capture_output=True)\n")
    done = subprocess.run(
        [Path(sys.executable).parent / "vermin", "--target=3.6-", "--no-tips", "--violations", tmp_path / "newer.py"],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "3.8" in done.stdout


def in_board(python, code, folder):
    """Run code on the board's Python, in a folder where nothing of ours lies."""
    done = subprocess.run([python, "-c", code], env=loopback.environment(), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_imports_the_standard_library_and_numpy_alone(python, bundle):
    names = in_board(python, "import sys; sys.path.insert(0, '.'); import runner; print(*sys.modules)", bundle)
    # Names with an underscore belong to what compiled a part of numpy.
    roots = {name.split(".")[0] for name in names if not name.startswith("_")} - set(sys.stdlib_module_names)
    assert roots - {"cython_runtime"} == {"runner", "numpy"}


def test_a_board_has_neither_pillow_nor_ours(python, tmp_path):
    names = ("PIL", "cv2", "cxrkit", "onnx", "numpy", "onnxruntime")
    code = f"import importlib.util as u; print(*[n for n in {names} if u.find_spec(n)])"
    assert in_board(python, code, tmp_path) == ["numpy", "onnxruntime"]


def test_it_prints_the_reports_log_and_writes_what_it_measured(python, bundle, films, tmp_path):
    done = start(python, bundle, bundle, films / "films.csv", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"inference-2 covid_2\.png result: \[\[0\.8\d+ 0\.1\d+\]\]", lines[4])
    assert re.fullmatch(r"needed time in inference-2: \d+\.\d+(e-\d+)?", lines[5])
    assert "ACC : 0.8" in lines
    assert lines[-1] == "Teaching and research only; not a medical device."
    result = result_of(tmp_path)
    assert result["accuracy"] == {"right": 4, "of": 5, "value": 0.8}
    assert result["films"] == {"answered": 5, "failed": 0}
    assert result["ran"]["sha256"] == hashlib.sha256((bundle / "model-1.onnx").read_bytes()).hexdigest()
    assert (result["ran"]["engine"], result["ran"]["precision"], result["ran"]["batch"]) == ("onnxruntime", "fp32", 1)
    for part in ("reading", "preprocessing", "inference", "total"):
        seconds = result["seconds"][part]
        assert seconds["films"] == 5
        assert 0 < seconds["p50"] <= seconds["p95"]
        assert seconds["mean"] > 0
    assert result["seconds"]["load"] > 0
    assert result["seconds"]["warm_up"]["runs"] == 3
    memory = result["memory_mb"]
    assert 0 < memory["start"] <= memory["with_runtime"] <= memory["peak"]
    assert result["fallbacks"] == []
    assert result["device"]["pillow"] is None


def test_its_answers_are_those_of_the_engine(python, bundle, films, tmp_path):
    start(python, bundle, bundle, films, "--out", tmp_path)
    network = networks.load(bundle.parent / "network")
    rows = {row["image"]: row for row in rows_of(tmp_path)}
    for k in range(len(MEANS)):
        row = rows[f"covid_{k}.png"]
        (expected,) = network.predict([film.read(films / f"covid_{k}.png").pixels])
        found = [float(row[f"prob_{label}"]) for label in network.labels]
        assert found == pytest.approx(expected, abs=1e-5)
        assert row["sha256"] == hashlib.sha256((films / f"covid_{k}.png").read_bytes()).hexdigest()
        assert row["called"] == network.labels[int(found[0] < 0.5)]
    # The folder also holds the list, which is no film.
    assert rows["films.csv"]["status"] == "error"
    assert "legal are PNG" in rows["films.csv"]["reason"]


def test_a_run_leaves_nothing_in_the_home_folder(python, bundle, films, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    done = start(python, bundle, bundle, films, "--out", tmp_path / "out", env={"HOME": str(home)})
    assert (tmp_path / "out" / "result.json").exists(), done.stderr
    assert list(home.rglob("*")) == []


def test_batches_give_what_single_films_give(python, bundle, films, tmp_path):
    (tmp_path / "more").mkdir()
    larger = bundle_of(tmp_path / "more", batch=3)
    start(python, bundle, bundle, films / "films.csv", "--out", tmp_path / "one")
    done = start(python, larger, larger, films / "films.csv", "--out", tmp_path / "three")
    assert done.returncode == 0, done.stderr
    assert result_of(tmp_path / "three")["ran"]["batch"] == 3
    one, three = rows_of(tmp_path / "one"), rows_of(tmp_path / "three")
    assert [row["image"] for row in one] == [row["image"] for row in three]
    for left, right in zip(one, three, strict=True):
        assert float(left["prob_COVID-19"]) == pytest.approx(float(right["prob_COVID-19"]), abs=1e-6)


@pytest.mark.parametrize("limit_mb", [1024, 2048])
def test_it_runs_under_a_boards_memory(python, bundle, films, tmp_path, limit_mb):
    done = start(python, bundle, bundle, films / "films.csv", "--out", tmp_path, memory=limit_mb * 2**20)
    assert done.returncode == 0, done.stderr
    result = result_of(tmp_path)
    assert result["memory_mb"]["peak"] < limit_mb
    assert result["device"]["free_mb"] < limit_mb
    assert result["accuracy"]["right"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("limit_mb", [1024, 2048])
def test_densenet121_at_224_px_takes_under_300_mb_beyond_the_runtime(python, densenet, films, tmp_path, limit_mb):
    done = start(python, densenet, densenet, films / "films.csv", "--out", tmp_path, memory=limit_mb * 2**20)
    assert done.returncode == 0, done.stderr
    memory = result_of(tmp_path)["memory_mb"]
    assert memory["peak"] - memory["with_runtime"] < 300
    assert result_of(tmp_path)["films"] == {"answered": 5, "failed": 0}
    # What the bundle says it may take was asked for before; it has to be more than it took.
    model = json.loads((densenet / "bundle.json").read_text())["models"][0]
    assert memory["peak"] - memory["with_runtime"] < runner.needed_bytes(model, "onnxruntime") / 2**20


@pytest.mark.slow
def test_a_network_that_does_not_fit_is_refused_before_it_is_loaded(python, densenet, films, tmp_path):
    done = start(python, densenet, densenet, films / "films.csv", "--out", tmp_path, memory=400 * 2**20)
    assert done.returncode == 2, done.stderr
    assert "memory is short for onnxruntime fp32 batch 1: it may take" in done.stderr
    assert "nothing that can run this bundle here is left" in done.stderr


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_films(python, bundle, films, tmp_path):
    peaks = {}
    for count in (20, 400):
        listed = tmp_path / f"{count}.csv"
        listed.write_text("image\n" + "".join(f"{films}/covid_{k % 5}.png\n" for k in range(count)))
        start(python, bundle, bundle, listed, "--out", tmp_path / str(count))
        result = result_of(tmp_path / str(count))
        assert result["films"]["answered"] == count
        peaks[count] = result["memory_mb"]["peak"]
    assert peaks[400] < peaks[20] + 4


def test_a_film_that_cannot_be_read_is_a_row_with_a_reason(python, bundle, films, tmp_path):
    (tmp_path / "broken.png").write_bytes((films / "covid_0.png").read_bytes()[:200])
    (tmp_path / "list.csv").write_text(f"image,truth\nbroken.png,\nmissing.png,\n{films}/covid_4.png,{COVID}\n")
    done = start(python, bundle, bundle, tmp_path / "list.csv", "--out", tmp_path / "out")
    assert done.returncode == 1
    broken, missing, good = rows_of(tmp_path / "out")
    assert (broken["status"], missing["status"], good["status"]) == ("error", "error", "ok")
    assert "cut short" in broken["reason"]
    assert "No such file" in missing["reason"]
    assert result_of(tmp_path / "out")["accuracy"] == {"right": 1, "of": 1, "value": 1.0}


def test_what_the_host_could_not_read_is_a_row_with_the_hosts_reason(python, bundle, films, tmp_path):
    (tmp_path / "list.csv").write_text(f"image,reason\nscan.dcm,the DICOM is cut short\n{films}/covid_4.png,\n")
    done = start(python, bundle, bundle, tmp_path / "list.csv", "--out", tmp_path / "out")
    assert done.returncode == 1
    refused, good = rows_of(tmp_path / "out")
    assert (refused["status"], refused["reason"]) == ("error", "the DICOM is cut short")
    assert good["status"] == "ok"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_film_may_be_called_anything_whatever_the_locale(python, bundle, films, tmp_path, locale):
    folder, data = tmp_path / "films", (films / "covid_4.png").read_bytes()
    folder.mkdir()
    for name in ("胸片é.png".encode(), b"\xff\xfe.png", b'-lead \'n "quote".png', b"new\nline.png"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(data)
    done = start(python, bundle, bundle, folder, "--out", tmp_path / "out", env={"LC_ALL": locale})
    assert (done.returncode, result_of(tmp_path / "out")["films"]["answered"]) == (0, 4)
    expected = ['-lead \'n "quote".png', "new\nline.png", "胸片é.png", "\\xff\\xfe.png"]
    assert [row["image"] for row in rows_of(tmp_path / "out")] == expected
    (folder / "films.csv").write_text("image\n胸片é.png\n", encoding="utf-8")
    done = start(python, bundle, bundle, folder / "films.csv", "--out", tmp_path / "out", env={"LC_ALL": locale})
    assert (done.returncode, rows_of(tmp_path / "out")[0]["image"]) == (0, "胸片é.png")


def test_a_list_that_is_no_text_is_said(python, bundle, tmp_path):
    (tmp_path / "list.csv").write_bytes("image\nBrüche.png\n".encode("latin-1"))
    done = start(python, bundle, bundle, tmp_path / "list.csv", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "list.csv cannot be read ('utf-8' codec can't decode" in done.stderr
    assert "Traceback" not in done.stderr


def test_numpy_is_told_of_a_jetsons_processor(python, bundle):
    code = "import os, sys, platform; platform.machine = lambda: {!r}; sys.path.insert(0, '.'); import runner; {}"
    said = "print(os.environ.get('OPENBLAS_CORETYPE'))"
    assert in_board(python, code.format("aarch64", said), bundle) == ["ARMV8"]
    assert in_board(python, code.format("x86_64", said), bundle) == ["None"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model-1.onnx").write_bytes(b"cut"), "was changed or cut short; copy the bundle"),
        (lambda folder: (folder / "model-1.onnx").unlink(), "cannot be read"),
        (lambda folder: (folder / "bundle.json").write_text("{"), "is no bundle"),
        (lambda folder: (folder / "bundle.json").write_text('{"format": 9}'), "has format 9; this runner reads 1"),
    ],
)
def test_a_bundle_that_is_not_whole_is_refused_in_one_line(python, films, tmp_path, spoil, message):
    folder = bundle_of(tmp_path)
    spoil(folder)
    done = start(python, folder, folder, films, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_runtime_that_is_not_there_is_said(python, bundle, films, tmp_path):
    done = start(python, bundle, bundle, films, "--out", tmp_path, "--engine", "tensorrt")
    assert (done.returncode, "none of tensorrt is installed" in done.stderr) == (2, True)


def test_probe_says_what_the_device_has(python, bundle):
    done = start(python, bundle, "--probe")
    found = json.loads(done.stdout)
    assert set(found["engines"]) == {"onnxruntime"}
    assert found["pillow"] is None
    assert found["numpy"] == np.__version__
    assert 0 < found["free_mb"] <= found["memory_mb"]


@pytest.mark.slow
def test_tegrastats_is_read_while_it_runs(python, bundle, films, tmp_path):
    # Program and numbers are made up; the form is that of a Nano's tegrastats as DataDog's agent is tested against it
    # (datadog-agent, its check of tegrastats).
    line = (
        "RAM 2448/3956MB (lfb 2x2MB) CPU [12%@1479,5%@1479] EMC_FREQ 0% GR3D_FREQ 0% PLL@25C CPU@27.5C PMIC@100C "
        "GPU@26C AO@34C thermal@26.5C POM_5V_IN 2077/2077 POM_5V_GPU 0/0 POM_5V_CPU 285/285"
    )
    program = tmp_path / "bin" / "tegrastats"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nfor k in 1 2 3; do echo '{line}'; done\nexec cat\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = f"{program.parent}:{os.environ['PATH']}"
    listed = tmp_path / "many.csv"
    listed.write_text("image\n" + "".join(f"{films}/covid_{k % 5}.png\n" for k in range(200)))
    done = start(python, bundle, bundle, listed, "--out", tmp_path / "out", env={"PATH": path})
    assert done.returncode == 0, done.stderr
    seen = result_of(tmp_path / "out")["sensors"]
    assert seen["temperature_c"]["CPU"] == {"mean": 27.5, "max": 27.5, "readings": 3}
    # Always 100, whatever it is.
    assert "PMIC" not in seen["temperature_c"]
    assert seen["power_mw"]["POM_5V_IN"]["max"] == 2077
    assert "lfb" not in json.dumps(seen)


def test_tegrastats_of_newer_boards_is_read(monkeypatch):
    monkeypatch.setattr(runner.shutil, "which", lambda name: None)
    sensors = runner.Sensors()
    # Numbers are made up; the form is that of an Orin.
    sensors.read(
        "11-24-2026 17:11:36 RAM 1205/30623MB (lfb 6429x4MB) SWAP 0/15311MB (cached 0MB) CPU [0%@729,off] EMC_FREQ "
        "0%@204 GR3D_FREQ 0%@[114,0] VIC_FREQ 729 APE 233 CV0@-256C cpu@43.5C Tboard@-3C tj@44C VDD_GPU_SOC "
        "4788mW/4100mW VIN_SYS_5V0 3842mW/3842mW"
    )
    last = {kind: {name: each["max"] for name, each in found.items()} for kind, found in sensors.found.items()}
    assert last == {
        "temperature_c": {"cpu": 43.5, "Tboard": -3.0, "tj": 44.0},
        "power_mw": {"VDD_GPU_SOC": 4788.0, "VIN_SYS_5V0": 3842.0},
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
    """Attempts of given batch, room in bytes and loader."""
    for batch, size, load in entries:
        model = {"batch": batch, "weights_bytes": 0, "activation_bytes": size, "precision": "fp32"}
        yield f"onnxruntime fp32 batch {batch}", "onnxruntime", model, lambda model=model, load=load: load(model)


def test_what_does_not_fit_is_not_even_loaded(monkeypatch):
    monkeypatch.setattr(runner, "free_bytes", lambda: 400 * 2**20)
    loaded, said = [], []
    engines = runner.Engines(
        tries((8, 400 * 2**20, lambda model: loaded.append(8)), (1, 50 * 2**20, Fake)), said.append
    )
    assert engines.next().model["batch"] == 1
    assert loaded == []
    assert "memory is short for onnxruntime fp32 batch 8: it may take 1745 MB" in said[0]
    assert said[1] == "note: running onnxruntime fp32 batch 1 instead"


def test_a_runtime_that_cannot_be_loaded_is_followed_by_the_next():
    def broken(model):
        raise MemoryError

    said = []
    engines = runner.Engines(tries((4, 0, broken), (1, 0, Fake)), said.append)
    assert engines.next().model["batch"] == 1
    assert said[0] == "note: onnxruntime fp32 batch 4 cannot be loaded (MemoryError); falling back"


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


def test_when_nothing_is_left_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(runner, "free_bytes", lambda: 0)
    with pytest.raises(runner.Problem, match=r"nothing .* is left.*systemctl isolate.*smaller --batch"):
        runner.Engines(tries((1, 0, Fake)), lambda text: None).next()


def test_a_run_that_fails_is_done_again_in_smaller_batches(films, tmp_path):
    said = []
    engines = runner.Engines(tries((4, 0, lambda model: Fake(model, fails=True)), (1, 0, Fake)), said.append)
    engines.next()
    info = {"labels": ["COVID-19", "Not COVID-19"], "scored": [COVID], "input_size": 8}
    info["thresholds"] = dict.fromkeys(info["labels"], 0.5)
    with (tmp_path / "rows.csv").open("w") as table:
        work = runner.Run(info, engines, table, said.append)
        work.films(runner.films_in(str(films / "films.csv")))
    assert (work.done, work.failed) == (5, 0)
    assert "batch 4 failed (Failed to allocate memory for requested buffer); falling back" in said[0]
    with (tmp_path / "rows.csv").open() as table:
        assert [row["index"] for row in csv.DictReader(table)] == ["0", "1", "2", "3", "4"]


def test_what_failed_is_let_go_before_the_next_is_loaded(films, tmp_path):
    held = []

    def second(model):
        gone.append(held[0]() is None)
        return Fake(model)

    def first(model):
        made = Fake(model, fails=True)
        held.append(weakref.ref(made))
        return made

    gone = []
    engines = runner.Engines(tries((4, 0, first), (1, 0, second)), lambda text: None)
    engines.next()
    info = {"labels": ["COVID-19", "Not COVID-19"], "scored": [COVID], "input_size": 8}
    with (tmp_path / "rows.csv").open("w") as table:
        runner.Run(info, engines, table, lambda text: None).warm_up(1)
    assert gone == [True]


def test_of_several_runtimes_tensorrt_comes_first_then_half_precision_then_smaller_batches(tmp_path):
    models = [{"file": "m.onnx", "precision": "fp32", "batch": n, "sha256": "0" * 64} for n in (8, 1)]
    found = runner.attempts(str(tmp_path), {"models": models}, {"tensorrt": "8.2", "onnxruntime": "1.11"}, "auto", 0)
    assert [label for label, *_ in found] == [
        "tensorrt fp32 batch 8",
        "tensorrt fp16 batch 8",
        "tensorrt fp32 batch 1",
        "tensorrt fp16 batch 1",
        "onnxruntime fp32 batch 8",
        "onnxruntime fp32 batch 1",
    ]


def test_litert_runs_its_own_files_alone():
    info = {"models": [{"file": "m.tflite", "precision": "fp32", "batch": 1, "sha256": "0" * 64}]}
    with pytest.raises(runner.Problem, match=r"onnxruntime cannot run m\.tflite"):
        next(runner.attempts("", info, {"onnxruntime": "1"}, "onnxruntime", 0))


# --- TensorRT, as its documentation has it ---------------------------------------------------------------------


class SimulatedTensorrt(types.ModuleType):
    """The part of TensorRT 8.2's Python API that builds, SIMULATED: it records what it is asked, and builds nothing."""

    __version__ = "8.2.1"

    class NetworkDefinitionCreationFlag:
        EXPLICIT_BATCH = 0

    class BuilderFlag:
        FP16 = "FP16"
        INT8 = "INT8"

    def __init__(self, *, fails=False, int8=False):
        super().__init__("tensorrt")
        self.asked = asked = types.SimpleNamespace(flags=[], workspace=None, network=None, parsed=None, built=0)

        class Logger:
            WARNING = 2

            def __init__(self, level):
                pass

        class Config:
            def set_flag(self, flag):
                asked.flags.append(flag)

            def __setattr__(self, name, value):
                asked.workspace = (name, value)

        class Builder:
            platform_has_fast_fp16 = True
            platform_has_fast_int8 = int8

            def __init__(self, logger):
                pass

            def create_network(self, flags):
                asked.network = flags
                return object()

            def create_builder_config(self):
                return Config()

            def build_serialized_network(self, network, config):
                asked.built += 1
                return None if fails else memoryview(b"plan")

        class OnnxParser:
            def __init__(self, network, logger):
                pass

            def parse(self, data):
                asked.parsed = data
                return True

        self.Logger, self.Builder, self.OnnxParser = Logger, Builder, OnnxParser


def test_a_plan_is_built_once_with_a_bounded_workspace_and_kept(monkeypatch, tmp_path):
    tensorrt = SimulatedTensorrt()
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    monkeypatch.setattr(runner, "free_bytes", lambda: 400 * 2**20)
    files = str(tmp_path / "model.onnx"), str(tmp_path / "kept.plan")
    plan, seconds = runner.tensorrt_plan(*files, "fp16")
    assert (plan, seconds > 0) == (b"plan", True)
    assert tensorrt.asked.workspace == ("max_workspace_size", 100 * 2**20)
    assert (tensorrt.asked.flags, tensorrt.asked.network, tensorrt.asked.parsed) == (["FP16"], 1, b"onnx")
    assert runner.tensorrt_plan(*files, "fp16") == (b"plan", 0.0)
    assert tensorrt.asked.built == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.plan", "model.onnx"]


def test_a_plan_that_cannot_be_built_says_so_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorrt", SimulatedTensorrt(fails=True))
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(RuntimeError, match="for want of memory"):
        runner.tensorrt_plan(str(tmp_path / "model.onnx"), str(tmp_path / "kept.plan"), "fp32")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_card_without_int8_says_so_and_one_with_it_is_told(monkeypatch, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    files = str(tmp_path / "model.onnx"), str(tmp_path / "kept.plan")
    monkeypatch.setitem(sys.modules, "tensorrt", SimulatedTensorrt())
    with pytest.raises(RuntimeError, match="has no int8"):
        runner.tensorrt_plan(*files, "int8")
    able = SimulatedTensorrt(int8=True)
    monkeypatch.setitem(sys.modules, "tensorrt", able)
    assert runner.tensorrt_plan(*files, "int8")[0] == b"plan"
    assert able.asked.flags == ["INT8"]


class SimulatedCuda:
    """The three calls of CUDA's runtime that are used, SIMULATED in this machine's memory."""

    def __init__(self):
        self.blocks, self.freed = [], []

    def cudaMalloc(self, reference, size):  # noqa: N802 - CUDA's name
        self.blocks.append(ctypes.create_string_buffer(size.value))
        reference._obj.value = ctypes.addressof(self.blocks[-1])
        return 0

    def cudaFree(self, pointer):  # noqa: N802 - CUDA's name
        self.freed.append(pointer.value)
        return 0

    def cudaMemcpy(self, to, source, size, direction):  # noqa: N802 - CUDA's name
        assert direction.value in (1, 2)
        ctypes.memmove(to, source, size.value)
        return 0


def simulated_run(tensorrt):
    """Give the stand-in a runtime whose network has its output before its input and answers with each film's mean."""

    class Context:
        def execute_v2(self, pointers):
            films = np.ctypeslib.as_array(ctypes.cast(pointers[1], ctypes.POINTER(ctypes.c_float)), (2, 4, 4, 1))
            probs = np.ctypeslib.as_array(ctypes.cast(pointers[0], ctypes.POINTER(ctypes.c_float)), (2, 2))
            probs[:, 0] = films.mean(axis=(1, 2, 3))
            probs[:, 1] = 1 - probs[:, 0]
            return True

    class Loaded:
        num_bindings = 2

        def get_binding_shape(self, place):
            return [(2, 2), (2, 4, 4, 1)][place]

        def get_binding_name(self, place):
            return ["probs", "films"][place]

        def binding_is_input(self, place):
            return place == 1

        def create_execution_context(self):
            return Context()

    class Runtime:
        def __init__(self, logger):
            pass

        def deserialize_cuda_engine(self, plan):
            assert plan == b"plan"
            return Loaded()

    tensorrt.Runtime = Runtime


def test_films_go_to_the_card_and_probabilities_come_back(monkeypatch, tmp_path):
    tensorrt = SimulatedTensorrt()
    simulated_run(tensorrt)
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
    monkeypatch.setattr(runner, "_cuda", SimulatedCuda)
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    model = {"precision": "fp32", "batch": 2}
    engine_ = runner.TensorrtEngine(str(tmp_path / "model.onnx"), model, str(tmp_path / "kept.plan"))
    films = np.stack([np.full((4, 4, 1), 0.25, np.float32), np.full((4, 4, 1), 0.5, np.float32)])
    np.testing.assert_allclose(engine_.run(films), [[0.25, 0.75], [0.5, 0.5]])
    assert engine_.build_s > 0
    cuda = engine_.cuda
    del engine_
    assert cuda.freed == [ctypes.addressof(block) for block in cuda.blocks]


def test_a_card_whose_memory_is_short_is_said(monkeypatch, tmp_path):
    tensorrt = SimulatedTensorrt()
    simulated_run(tensorrt)
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
    monkeypatch.setattr(SimulatedCuda, "cudaMalloc", lambda *_: 2)
    monkeypatch.setattr(runner, "_cuda", SimulatedCuda)
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(RuntimeError, match="CUDA error 2: out of memory"):
        runner.TensorrtEngine(str(tmp_path / "model.onnx"), {"precision": "fp32"}, str(tmp_path / "kept.plan"))


# --- small parts -----------------------------------------------------------------------------------------------


def test_quantiles_are_right_to_half_a_percent_and_means_exactly():
    draws = random.Random(0)
    times = [draws.lognormvariate(-3, 1) for _ in range(2001)]
    spread = runner.Spread()
    for seconds in times:
        spread.add(seconds)
    found = spread.summary()
    assert found["mean"] == pytest.approx(math.fsum(times) / len(times))
    assert found["p50"] == pytest.approx(sorted(times)[1000], rel=0.0051)
    assert found["p95"] == pytest.approx(sorted(times)[1900], rel=0.0051)


def test_of_no_times_nothing_is_said():
    assert runner.Spread().summary() == {"mean": None, "p50": None, "p95": None, "films": 0}


def test_a_file_is_written_whole_or_not_at_all(monkeypatch, tmp_path):
    (tmp_path / "kept").write_bytes(b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        runner.write_whole(str(tmp_path / "kept"), b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("kept", b"old")]


def test_free_memory_is_no_more_than_the_limit_leaves(python):
    code = f"import sys; sys.path.insert(0, {str(RUNNER.parent)!r}); import runner; print(runner.free_bytes())"

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (700 * 2**20, 700 * 2**20))

    done = subprocess.run(
        [python, "-c", code], env=loopback.environment(), preexec_fn=limit, capture_output=True, text=True
    )
    assert 0 < int(done.stdout) < 700 * 2**20


@pytest.mark.parametrize(
    ("line", "folder", "names"),
    [
        ("0::/board/runs", "board", ("memory.max", "memory.current")),
        ("7:cpu,memory:/board/runs", "memory/board", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
    ],
)
def test_a_cgroups_limit_counts_also_where_it_stands_above(monkeypatch, tmp_path, line, folder, names):
    (tmp_path / "listed").write_text(f"3:freezer:/\n{line}\n")
    (tmp_path / folder / "runs").mkdir(parents=True)
    for place, text in zip((folder, folder, folder + "/runs"), ("600000000", "100000000", "max"), strict=True):
        name = names[0] if text != "100000000" else names[1]
        (tmp_path / place / name).write_text(text)
    (tmp_path / folder / "memory.stat").write_text("active_file 5\ninactive_file 40000000\n")
    real = runner._cgroups
    monkeypatch.setattr(runner, "_cgroups", lambda: real(str(tmp_path / "listed"), str(tmp_path)))
    assert runner.free_bytes() == 540_000_000


def test_deploy_offers_the_runner_that_is_tested_here(bundle):
    assert deploy.read(bundle).info["runner_sha256"] == hashlib.sha256(RUNNER.read_bytes()).hexdigest()
