"""The runner as a board starts it: a process of its own, NumPy and ONNX Runtime alone, limited memory."""

import ctypes
import functools
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import types
import weakref
from pathlib import Path
from unittest import mock

import loopback
import numpy as np
import pandas as pd
import pytest
import servers
import tiny_models

from cxrkit import data, deploy, networks, phantom
from cxrkit.deploy import runner
from cxrkit.labels import COVID, COVID_CLASSES


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return loopback.bare_python(tmp_path_factory.mktemp("board"))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Five images as floats, and a list with the truth; the network takes the third wrongly for COVID-19."""
    folder, rows = tmp_path_factory.mktemp("films"), ["image,truth"]
    for k, mean in enumerate((0.1, 0.3, 0.6, 0.8, 0.9)):
        np.save(folder / f"covid_{k}.npy", tiny_models.film(mean) / np.float32(255))
        rows.append(f"covid_{k}.npy,{COVID if mean > 0.7 else ''}")
    (folder / "films.csv").write_text("\n".join(rows))
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


def start(python, bundle, images, out, memory=None, keep=True, **env):
    """Start the bundle's runner; with `memory`, under a limit of address space as `ulimit -v` sets it."""
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_AS, (memory, memory)) if memory else None
    command, env = [python, bundle / "runner.py", bundle, images, "--out", out], {**loopback.environment(), **env}
    command += ["--keep-rejected"] if keep else []
    return subprocess.run(command, env=env, preexec_fn=limit, capture_output=True, text=True, timeout=300)


def result_of(out):
    return json.loads((out / "result.json").read_text())


def test_the_file_needs_no_more_than_python_3_6():
    vermin = [Path(sys.executable).parent / "vermin", "--target=3.6-", "--no-tips", "--violations", runner.__file__]
    done = subprocess.run(vermin, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


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
    ran, seconds, memory = (result[name] for name in ("ran", "seconds", "memory_mb"))
    assert ran["sha256"] == hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()
    assert (ran["engine"], ran["precision"], ran["batch"]) == ("onnxruntime", "fp32", 1)
    for part in ("reading", "preprocessing", "inference", "total"):
        assert seconds[part]["images"] == 5
        assert 0 < seconds[part]["p50"] <= seconds[part]["p95"]
    assert min(seconds["load"], seconds["warm_up"]["first"]) > 0
    assert 0 < memory["start"] <= memory["with_runtime"] <= memory["peak"]
    assert (result["fallbacks"], result["device"]["pillow"]) == ([], None)


def test_its_predictions_are_those_of_the_one_path_from_a_file(tmp_path):
    rows = data.read_manifest(split="test")
    paths = [rows.root / name for name in rows.rows["image"][::10]]
    pd.DataFrame({"image": [path.name for path in paths], "file": paths}).to_csv(tmp_path / "list.csv", index=False)
    bundle = deploy.export("covid-small", tmp_path / "bundle", target="onnx").folder
    # This machine's Python, with Pillow.
    done = start(sys.executable, bundle, tmp_path / "list.csv", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found, network = pd.read_csv(tmp_path / "out" / "predictions.csv"), networks.load("covid-small")
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
    for reason, expected in zip(rows["reason"][1:4], ("damaged", "No such file", "DICOM is cut short"), strict=True):
        assert expected in reason
    expected = [tiny_models.covid_prob(mean) for mean in (0.9, 0.1, 0.6, 0.8)]
    assert list(rows["prob_COVID-19"][rows["status"] == "ok"]) == pytest.approx(expected, abs=0.05)
    assert result["accuracy"] == {"right": 3, "of": 4, "value": 0.75}
    assert (result["ran"]["batch"], result["images"]) == (batch, {"predicted": 4, "rejected": 0, "failed": 3})


def test_what_is_no_frontal_chest_radiograph_gets_no_prediction_and_makes_no_error(python, bundle, films, tmp_path):
    np.save(tmp_path / "chest.npy", phantom.simulate(3, size_px=256).pixels / np.float32(255))
    listed = f"image,reason,rejected\nchest.npy,,\n{films}/covid_4.npy,,\nchest.npy,,the DICOM header says CT\n"
    (tmp_path / "list.csv").write_text(listed)
    for keep, expected in ((False, ["ok", "rejected", "rejected"]), (True, ["ok", "ok", "rejected"])):
        done = start(python, bundle, tmp_path / "list.csv", tmp_path / "out", keep=keep)
        assert done.returncode == 0, done.stderr
        rows = pd.read_csv(tmp_path / "out" / "predictions.csv")
        assert list(rows["status"]) == expected
        probs = rows[[f"prob_{label}" for label in COVID_CLASSES]]
        assert (probs.notna().all(axis=1) == (rows["status"] == "ok")).all()
        assert probs[rows["status"] == "rejected"].isna().all(axis=None)
        assert rows["reason"][2] == "the DICOM header says CT"
        predicted = expected.count("ok")
        assert result_of(tmp_path / "out")["images"] == {"predicted": predicted, "rejected": 3 - predicted, "failed": 0}


def test_a_board_that_cannot_recognise_a_chest_predicts_only_if_told_to(bundle, films, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "engines_here", lambda: {"tensorrt": "8.2.1"})
    line = [str(bundle), str(films), "--out", str(tmp_path / "out")]
    assert runner.main(line) == runner.MISUSE
    assert "recognised with onnxruntime, which is not installed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert runner.main([*line, "--keep-rejected"]) == runner.MISUSE
    assert "no runtime is left" in capsys.readouterr().err


@pytest.mark.slow
def test_densenet121_takes_under_300_mb_for_any_number_of_images_or_is_not_loaded(tmp_path, python, bundle, films):
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
    need = runner.RUNTIME_BYTES["onnxruntime"] + 4 * (model["weights_bytes"] + model["activation_bytes"])
    assert taken < min(300, need / 2**20)
    peaks = []
    for count in (20, 400):
        (tmp_path / "list.csv").write_text("image\n" + f"{films}/covid_0.npy\n" * count)
        start(python, bundle, tmp_path / "list.csv", tmp_path / "out")
        result = result_of(tmp_path / "out")
        assert result["images"]["predicted"] == count
        peaks.append(result["memory_mb"]["peak"])
    assert peaks[1] < peaks[0] + 4


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_an_image_may_have_any_name_whatever_the_locale(python, bundle, films, tmp_path, locale):
    folder, out = tmp_path / "films", tmp_path / "out"
    folder.mkdir()
    for name in ("胸片é.npy".encode(), b"\xff\xfe.npy", b'-lead \'n "quote".npy', b"new\nline.npy"):
        shutil.copyfile(films / "covid_4.npy", bytes(folder) + b"/" + name)
    (tmp_path / "films.csv").write_text("image\nfilms/胸片é.npy\n", encoding="utf-8")
    names = ['-lead \'n "quote".npy', "new\nline.npy", "胸片é.npy", "\\xff\\xfe.npy"]
    for images, expected in ((folder, names), (tmp_path / "films.csv", ["films/胸片é.npy"])):
        assert start(python, bundle, images, out, LC_ALL=locale).returncode == 0
        assert list(pd.read_csv(out / "predictions.csv")["image"]) == expected
    assert result_of(out)["images"]["predicted"] == 1


@pytest.mark.parametrize(
    ("machine", "given", "found"), [("aarch64", "", "ARMV8"), ("x86_64", "", "None"), ("aarch64", "Haswell", "Haswell")]
)
def test_numpy_is_told_of_a_jetsons_processor(python, bundle, monkeypatch, machine, given, found):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    env = loopback.environment() | ({"OPENBLAS_CORETYPE": given} if given else {})
    code = f"import sys, os, platform; sys.path.insert(0, '.'); platform.machine = lambda: {machine!r}; import runner; "
    code += "print(os.environ.get('OPENBLAS_CORETYPE'))"
    done = subprocess.run([python, "-c", code], env=env, cwd=bundle, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [found]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.onnx", b"cut", "was changed or cut short; copy the bundle"),
        ("bundle.json", b"{", "is no bundle"),
        ("images.csv", "image\nBr\u00fcche.png\n".encode("latin-1"), "can't decode"),
        ("images.csv", b"file\n", "has no column `image`"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(python, bundle, tmp_path, name, content, message):
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    (folder / name).write_bytes(content)
    done = start(python, folder, folder / "images.csv", tmp_path / "out")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr


def test_tegrastats_is_read_while_it_runs(tmp_path, monkeypatch):
    # Numbers are made up. The first line has the form of a Nano's tegrastats as DataDog's agent is tested against it
    # (datadog-agent, its check of tegrastats), the second that of an Orin. PMIC is always 100; CV0 is off.
    lines = (
        "RAM 2448/3956MB CPU [12%@1479,5%@1479] GR3D_FREQ 0% PLL@25C CPU@27.5C PMIC@100C POM_5V_IN 2077/2077\n"
        "11-24-2026 17:11:36 RAM 1205/30623MB CPU [0%@729,off] EMC_FREQ 0%@204 VIC_FREQ 729 CV0@-256C cpu@43.5C "
        "Tboard@-3C VDD_GPU_SOC 4788mW/4100mW VIN_SYS_5V0 3842mW/3842mW"
    )
    program, written = tmp_path / "tegrastats", tmp_path / "written"
    program.write_text(f"#!/bin/sh\necho '{lines}\n{lines}'\ntouch {written}\nexec tail -f /dev/null\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with runner.tegrastats() as seen:
        servers.until(written.exists, "tegrastats was not started")
    assert seen["temperature_c"]["CPU"] == {"mean": 27.5, "max": 27.5, "readings": 2}
    assert {kind: {name: each["max"] for name, each in sensors.items()} for kind, sensors in seen.items()} == {
        "temperature_c": {"PLL": 25.0, "CPU": 27.5, "cpu": 43.5, "Tboard": -3.0},
        "power_mw": {"POM_5V_IN": 2077.0, "VDD_GPU_SOC": 4788.0, "VIN_SYS_5V0": 3842.0},
    }


def fake(model, fails=False):
    """Load a runtime that fails as told."""

    def run(batch):
        if fails:
            raise RuntimeError("Failed to allocate memory for requested buffer\nof some size")
        return np.zeros((len(batch), 2), np.float32)

    return types.SimpleNamespace(name="onnxruntime", version="0", model=model, run=run)


def engines_of(*entries):
    """Runtimes of given batch, memory in bytes and loader."""
    attempts = []
    for batch, size, load in entries:
        model = {"weights_bytes": 0, "precision": "fp32", "batch": batch, "activation_bytes": size}
        attempts.append(("onnxruntime", model, functools.partial(load, model)))
    return runner.Engines(iter(attempts))


def test_a_runtime_that_does_not_fit_or_cannot_be_loaded_is_passed_over(monkeypatch, capsys):
    monkeypatch.setattr(runner, "free_bytes", lambda: 400 * 2**20)
    large, broken = mock.Mock(), mock.Mock(side_effect=MemoryError)
    engines = engines_of((8, 400 * 2**20, large), (4, 0, broken), (1, 50 * 2**20, fake))
    engines.next()
    assert (engines.engine.model["batch"], large.called) == (1, False)
    assert "memory is short for onnxruntime fp32 batch 8: it may take 1745 MB" in engines.notes[0]
    assert engines.notes[1:] == [
        "onnxruntime fp32 batch 4 cannot be loaded (MemoryError); falling back",
        "running onnxruntime fp32 batch 1 instead",
    ]
    assert capsys.readouterr().err == "".join(f"note: {note}\n" for note in engines.notes)
    with pytest.raises(runner.RunnerError, match=r"no runtime is left.*systemctl isolate.*smaller --batch"):
        engines.next()


def test_a_network_that_an_old_release_cannot_fuse_is_run_unfused(monkeypatch):
    levels, space = [], types.SimpleNamespace

    def session(path, options, providers):
        levels.append(getattr(options, "graph_optimization_level", None))
        if path == "broken" or levels[-1] is None:
            raise RuntimeError("node_index < nodes_.size() was false")
        return space(get_inputs=lambda: [space(name="films")])

    level = space(ORT_ENABLE_BASIC="basic")
    simulated = space(
        __version__="1.10.0", InferenceSession=session, SessionOptions=space, GraphOptimizationLevel=level
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", simulated)
    assert runner.OnnxEngine("model.onnx", {}).input == "films"
    assert levels == [None, "basic"]
    with pytest.raises(RuntimeError, match="node_index"):
        runner.OnnxEngine("broken", {})


def test_a_run_that_fails_is_repeated_in_smaller_batches_after_the_failed_runtime_is_freed(films):
    held, freed = [], []

    def load(model):
        freed.extend(one() is None for one in held)
        made = fake(model, fails=not held)
        held.append(weakref.ref(made.run))
        return made

    engines = engines_of((4, 0, load), (1, 0, load))
    engines.next()
    thresholds = dict.fromkeys(COVID_CLASSES, 0.5)
    info = {"labels": list(COVID_CLASSES), "scored": [COVID], "input_size": 64, "thresholds": thresholds}
    images = runner.images_in(str(films / "films.csv"))
    rows = runner.predictions(info, engines, lambda data: runner.prepare(data, 64), images)
    assert [row["status"] for row in rows] == ["ok"] * 5
    assert freed == [True]
    assert "batch 4 failed (Failed to allocate memory for requested buffer); falling back" in engines.notes[0]


def test_tensorrt_comes_first_then_half_precision_then_smaller_batches():
    models = [{"file": "m.onnx", "precision": "fp32", "batch": n, "sha256": "0" * 64} for n in (8, 1)]
    found = runner.attempts("", {"models": models}, {"tensorrt": "8.2", "onnxruntime": "1.11"}, "auto")
    expected = [("tensorrt", precision, batch) for batch in (8, 1) for precision in ("fp32", "fp16")]
    expected += [("onnxruntime", "fp32", 8), ("onnxruntime", "fp32", 1)]
    assert [(name, model["precision"], model["batch"]) for name, model, _ in found] == expected


@pytest.fixture
def tensorrt(monkeypatch):
    """TensorRT 8.2's Python API and CUDA, as their documentation has them, SIMULATED: nothing is built.

    The network has the output before the input and gives the mean of each image.
    """
    made = mock.MagicMock(__version__="8.2.1", code=0, freed=[], blocks=[])
    made.builder = made.Builder.return_value
    made.builder.platform_has_fast_int8 = False
    made.OnnxParser.return_value.parse = lambda data: data == b"onnx"
    engine = made.Runtime.return_value.deserialize_cuda_engine.return_value
    engine.num_bindings, engine.get_binding_shape = 2, [(2, 2), (2, 4, 4, 1)].__getitem__
    engine.binding_is_input, engine.get_binding_name = [False, True].__getitem__, ["probs", "films"].__getitem__

    def execute(pointers):
        assert pointers == [ctypes.addressof(block) for block in made.blocks[-2:]]
        probs, images = (np.frombuffer(block, np.float32).reshape(2, -1) for block in made.blocks[-2:])
        probs[:, 0] = images.mean(axis=1)
        probs[:, 1] = 1 - probs[:, 0]
        return True

    def allocate(reference, size):
        made.blocks.append(ctypes.create_string_buffer(size.value))
        reference._obj.value = ctypes.addressof(made.blocks[-1])
        return made.code

    engine.create_execution_context.return_value.execute_v2 = execute
    cuda = mock.Mock(cudaMalloc=allocate, cudaFree=lambda pointer: made.freed.append(pointer.value))
    cuda.cudaMemcpy = lambda to, source, size, direction: ctypes.memmove(to, source, size.value) and 0
    monkeypatch.setitem(sys.modules, "tensorrt", made)
    monkeypatch.setattr(runner, "_cuda", lambda: cuda)
    monkeypatch.setattr(runner, "free_bytes", lambda: 400 * 2**20)
    return made


def test_tensorrt_builds_a_plan_once_with_a_bounded_workspace_and_predicts(tensorrt, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"onnx")

    def load(precision):
        return runner.TensorrtEngine(str(tmp_path / "model.onnx"), {"precision": precision, "sha256": "a" * 64})

    build = tensorrt.builder.build_serialized_network
    build.side_effect = [None, b"plan"]
    for precision, message in (("int8", "has no fast int8"), ("fp32", "because memory is short")):
        with pytest.raises(RuntimeError, match=message):
            load(precision)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    images = np.full((2, 4, 4, 1), [[[[0.25]]], [[[0.5]]]], np.float32)
    for _ in range(2):
        np.testing.assert_allclose(load("fp16").run(images), [[0.25, 0.75], [0.5, 0.5]])
    assert build.call_count == 2
    assert build.call_args.args[1].max_workspace_size == 100 * 2**20
    build.call_args.args[1].set_flag.assert_called_once_with(tensorrt.BuilderFlag.FP16)
    assert tensorrt.freed == [ctypes.addressof(block) for block in tensorrt.blocks]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aaaaaaaaaaaaaaaa-fp16-trt8.2.1.plan", "model.onnx"]
    tensorrt.code = 2
    with pytest.raises(RuntimeError, match="CUDA error 2: out of memory"):
        load("fp16")


@pytest.mark.parametrize(("version", "limit", "used"), [(1, "limit_in_bytes", "usage_in_bytes"), (2, "max", "current")])
def test_the_limit_of_a_container_counts_without_cached_files(tmp_path, version, limit, used):
    (folder := tmp_path / "memory" if version == 1 else tmp_path).mkdir(exist_ok=True)
    for name, content in ((limit, "600000000"), (used, "100000000"), ("stat", "active_file 5\ninactive_file 40000000")):
        (folder / f"memory.{name}").write_text(f"{content}\n")
    assert runner.free_bytes(str(tmp_path)) == 540_000_000
