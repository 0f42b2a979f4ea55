"""Bundles: the form of the graph, agreement with the original, nothing left behind where it fails."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pandas as pd
import pytest
import tiny_models
from onnx import TensorProto, helper

from cxrkit import data, deploy, film, networks
from cxrkit.deploy import _export, _graph, runner
from cxrkit.labels import COVID_CLASSES, FINDINGS
from cxrkit.show import _device as device


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return tiny_models.covid_model(tmp_path_factory.mktemp("networks") / "tiny")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve images, bright ones with COVID-19."""
    folder, rows = tmp_path_factory.mktemp("films"), ["image,patient_id,covid,split,findings"]
    for k, mean in enumerate(np.linspace(0.05, 0.95, 12).tolist()):
        (folder / f"{k}.png").write_bytes(tiny_models.png(tiny_models.film(mean)))
        rows.append(f"{k}.png,made/{k},{int(mean > 0.5)},{('test', 'val')[k % 2]},")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return data.read_manifest(folder / "manifest.csv")


@pytest.fixture
def make(network, images, tmp_path):
    """Export the tiny network into tmp_path/bundle, by default for the board; keywords replace options."""
    usual = {"target": "jetson-nano", "images": images, "out": tmp_path / "bundle"}
    return lambda model=network, **options: deploy.export(model, **usual | options)


@pytest.mark.parametrize("precision", deploy.PRECISIONS)
def test_a_bundle_is_opset_13_ir_8_with_a_fixed_batch_and_the_boards_operators(make, tmp_path, precision):
    agreement = make(precision=precision).agreement
    model = onnx.load(tmp_path / "bundle" / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version <= 8
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*model.graph.input, *model.graph.output)]
    assert shapes == [[1, 64, 64, 1], [1, 2]]
    assert {node.op_type for node in model.graph.node} <= _graph.BOARD_OPS
    assert (agreement.images, agreement.largest <= _export.TOLERANCES[precision]) == (6, True)


def test_a_bundle_has_all_that_the_runner_needs_and_names_no_image(make, network, tmp_path):
    make(batch=4, precision="int8", tolerance=1.0)
    (info, files), original = deploy.read_bundle(tmp_path / "bundle"), networks.load(network)
    assert (info["labels"], info["input_size"], info["scored"]) == (list(COVID_CLASSES), 64, ["COVID-19"])
    assert (info["thresholds"], info["original"]["sha256"]) == (original.thresholds, original.sha256)
    assert info["runner_sha256"] == film.sha256_of(runner.__file__)
    assert "not a medical device" in info["notice"]
    # Beside the file for batches, one for single images to fall back on.
    assert [(entry["file"], entry["batch"]) for entry in info["models"]] == [("model.onnx", 4), ("model-1.onnx", 1)]
    assert sorted(files) == ["bundle.json", "frontal.onnx", "model-1.onnx", "model.onnx", "runner.py"]
    assert ".png" not in (tmp_path / "bundle" / "bundle.json").read_text()


@pytest.mark.parametrize("tolerance", [1e-12, float("nan")])
def test_an_export_that_does_not_agree_leaves_nothing_behind(make, tmp_path, tolerance):
    with pytest.raises(deploy.DeployError, match=r"differs from tiny by up to .* is allowed for int8"):
        make(out=tmp_path / "out" / "bundle", precision="int8", tolerance=tolerance)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_change_of_accuracy_is_measured_and_shown(make, images, tmp_path):
    result = make(precision="int8")
    # Six images of test, means 0.05 to 0.87: those above a half have COVID-19, and the network predicts just those.
    assert (result.agreement.before.value, result.agreement.before.n) == (1.0, 6)
    text = device.exported(result)
    for part in ("6 images of the manifest, split test; a ", "| 1.000 (", "| +0.000 (", "it was not run on a board"):
        assert part in text
    unknown = make(
        out=tmp_path / "b", images=replace(images, rows=images.rows.astype({"covid": "Int64"}).assign(covid=pd.NA))
    )
    assert "| undefined | undefined | undefined |" in device.exported(unknown)


def test_what_cannot_be_exported_is_refused(make, images, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    one_patient = replace(images, rows=images.rows.assign(patient_id="made/1"))
    for options, message in (
        ({"target": "pi"}, "target must be one of jetson-nano, onnx; got 'pi'"),
        ({"images": replace(images, rows=images.rows[:0], present=images.present[:0])}, "no images to measure"),
        # By patient: int8 is not calibrated on other images of the patients that are measured.
        ({"images": one_patient, "precision": "int8"}, "of other patients than those measured"),
        ({"out": tmp_path}, "no empty folder"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**options)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            ({"models": [{"file": name}]}, "lies outside the folder")
            for name in ("../model.onnx", "/etc/passwd", ".ssh")
        ),
        ({"original": None}, r"is no bundle \(a part of .* missing\).*Delete the folder and"),
        ({"format": 99}, "format 99; legal is 2"),
        ({"models": [{"sha256": "0" * 64}]}, r"model\.onnx is missing, was changed or cut short"),
        ({"runner_sha256": "0" * 64}, r"runner\.py was changed"),
        ({"models": 5}, "is no bundle"),
    ],
)
def test_a_bundle_that_was_changed_is_refused(make, change, message):
    path = make().folder / "bundle.json"
    info = json.loads(path.read_text())
    if isinstance(change.get("models"), list):
        change = {"models": [info["models"][0] | change["models"][0]]}
    path.write_text(json.dumps({key: value for key, value in (info | change).items() if value is not None}))
    with pytest.raises(deploy.DeployError, match=message):
        deploy.read_bundle(path.parent)


@pytest.mark.parametrize(
    ("name", "inputs", "options", "message"),
    [
        ("Gelu", ["films"], {}, r"cannot be written at opset 13 .*Gelu"),
        ("Reshape", ["films", "shape"], {"allowzero": 1}, r"cannot be written at opset 13 .*allowzero"),
        ("Round", ["films"], {}, r"TensorRT 8\.2 has no Round"),
    ],
)
def test_an_operator_that_the_older_opset_or_tensorrt_lacks_is_named(name, inputs, options, message):
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["n", 4, 4, 1]) for end in ("films", "probs")]
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [0, 16])
    graph = helper.make_graph([helper.make_node(name, inputs, ["probs"], **options)], "g", ends[:1], ends[1:], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(deploy.DeployError, match=message):
        _graph.check_board(_graph.lowered(model, batch=1))


def test_the_command_writes_a_bundle_of_the_findings_and_prints_what_it_costs(images, tmp_path, run_here):
    network, bundle = tiny_models.findings_model(tmp_path / "network"), tmp_path / "bundle"
    line = ("model", "export", network, "--target", "onnx", "--precision", "fp16", "--out", bundle)
    code, printed, _ = run_here(*line, "--manifest", images.root / "manifest.csv")
    assert code == 0
    assert "compared with the original on 6 images of the manifest, split test" in printed
    info = json.loads((bundle / "bundle.json").read_text())
    assert (info["models"][0]["precision"], info["scored"]) == ("fp16", list(FINDINGS))
