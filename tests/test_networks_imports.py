"""Networks of others as model folders: the files are made by the original libraries, and predictions compared."""

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cxrkit import networks
from cxrkit.labels import FINDINGS
from cxrkit.networks import _imports

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".peers"


def made_by(script, folder):
    """Run a script of tests/peers with the original libraries."""
    assert (PEERS / ".stamp").is_file(), "run `make peers` first: it installs the libraries that this is compared with"
    environment = {**os.environ, "PYTHONPATH": str(PEERS), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, ROOT / "tests/peers" / script, folder]
    made = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    with np.load(folder / "answers.npz") as stored:
        return folder, stored["films"], stored["answers"]


@pytest.fixture(scope="module")
def xrv(tmp_path_factory):
    return made_by("torchxrayvision_files.py", tmp_path_factory.mktemp("xrv"))


@pytest.fixture(scope="module")
def chexnet(tmp_path_factory):
    return made_by("chexnet_keras_files.py", tmp_path_factory.mktemp("chexnet"))


@pytest.fixture
def peers(monkeypatch):
    """Run code in a process that has torch and torchxrayvision, as if the extra were installed."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(PEERS)]))
    preamble = """
import torch
from cxrkit import networks
operators = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

def refused(*arguments, **named):
    try:
        networks.import_model(*arguments, **named)
    except networks.ModelError as error:
        print("refused:", *str(error).split())

"""
    return lambda code: subprocess.run([sys.executable, "-c", preamble + code], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weights.h5", "whole.h5"])
def test_chexnet_keras_answers_as_it_did_in_keras_2(chexnet, tmp_path, name):
    source, films, answers = chexnet
    predictor = networks.load(networks.import_model(source / name, tmp_path / "model"))
    assert predictor.labels == FINDINGS
    assert answers.std(axis=0).max() > 1e-3
    assert predictor.predict(films) == pytest.approx(answers, abs=1e-4)
    assert predictor.not_shown == set(FINDINGS)
    assert predictor.info["training"]["sha256"] == hashlib.sha256((source / name).read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_state_dict_and_a_release_of_torchxrayvision_answer_as_in_torch(xrv, tmp_path, peers):
    source, films, answers = xrv
    done = peers(
        f"source, here = {str(source)!r}, {str(tmp_path)!r}\n"
        "networks.import_model(source + '/state.pt', here + '/all')\n"
        "networks.import_model(source + '/whole.pt', here + '/nih', trust=True, release='densenet121-res224-nih')\n"
        "import torchxrayvision\n"
        "print(torchxrayvision.models.model_urls['densenet121-res224-nih']['op_threshs'][13])\n"
    )
    assert done.returncode == 0, done.stderr
    predictor, release = (networks.load(tmp_path / name) for name in ("all", "nih"))
    assert predictor.labels == (*FINDINGS, "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum")
    columns = [_imports._XRV_LABELS.index(label) for label in predictor.labels]
    assert answers.std(axis=0).max() > 1e-3
    assert predictor.predict(films) == pytest.approx(answers[:, columns], abs=1e-4)
    assert set(predictor.thresholds.values()) == {0.5}
    # The release has gaps, and operating points.
    assert release.labels == FINDINGS
    assert release.thresholds["Hernia"] == pytest.approx(float(done.stdout.splitlines()[-1]))
    assert release.predict(films)[:, 13] == pytest.approx(answers[:, 13], abs=1e-4)


@pytest.mark.slow
def test_a_pickle_is_opened_with_its_sha256_only_and_what_is_no_network_of_theirs_is_named(xrv, tmp_path, peers):
    source, model = xrv[0], tmp_path / "model"
    digest = hashlib.sha256((source / "whole.pt").read_bytes()).hexdigest()
    (tmp_path / "text.pt").write_text("nothing")
    done = peers(
        f"source, here = {str(source)!r}, {str(tmp_path)!r}\n"
        "torch.save({'a': torch.zeros(1)}, here + '/a.pt')\n"
        "for path in (source + '/whole.pt', source + '/evil.pt', here + '/text.pt', here + '/a.pt'):\n"
        "    refused(path, here + '/no')\n"
        "refused(source + '/state.pt', here + '/no', release='resnet')\n"
        "refused(source + '/whole.pt', here + '/no', expected_sha256='0' * 64)\n"
        f"networks.import_model(source + '/whole.pt', here + '/model', expected_sha256={digest!r})"
    )
    assert done.returncode == 0, done.stderr
    # TorchXRayVision prints further lines while it loads.
    lines = [line for line in done.stdout.splitlines() if line.startswith("refused:")]
    expected = [
        *["opening it runs the code that it names"] * 2,
        "text.pt is no file of torch.save",
        "holds no DenseNet of TorchXRayVision",
        "release must be one of densenet121-res224-all, ",
        "it is another file, or it was damaged",
    ]
    assert [text in line for text, line in zip(expected, lines, strict=True)] == [True] * 6, lines
    assert not (source / "was-run").exists()
    assert not (tmp_path / "no").exists()
    assert networks.load(model).info["training"]["sha256"] == digest


def test_a_file_that_is_no_such_network_is_named(tmp_path):
    for name in ("no.h5", "no.onnx", "a.pt"):
        (tmp_path / name).touch()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = np.zeros(3)
    with h5py.File(tmp_path / "small.h5", "w") as file:
        file.attrs["layer_names"] = ["conv1/conv"]
        file.create_group("conv1/conv").attrs["weight_names"] = ["conv1/conv/kernel:0"]
        file["conv1/conv/conv1/conv/kernel:0"] = np.zeros((3, 3, 3, 64), np.float32)
    for name, message in (
        ("a.pt", "needs torch, which is an extra"),
        ("no.h5", "no.h5 is no HDF5 file"),
        ("other.h5", "other.h5 holds no weights as Keras 2"),
        ("small.h5", r"conv1_conv/kernel it has shape \(3, 3, 3, 64\), .*7, 7, 3"),
        ("no.onnx", "no.onnx must be a .h5 of CheXNet-Keras or a .pt of TorchXRayVision"),
    ):
        with pytest.raises(networks.ModelError, match=message):
            networks.import_model(tmp_path / name, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_operating_points_that_are_no_probability_become_a_half():
    state = {"classifier.bias": np.zeros(18), "op_threshs": np.array([0.1, math.nan, *[0.2] * 16])}
    assert _imports._release(None, state)[1][:3] == [0.1, 0.5, 0.2]
