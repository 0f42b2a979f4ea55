"""Bundles: what the graph comes down to, agreement with the original, nothing left behind where it fails."""

from __future__ import annotations

import json
import sys
import types

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import tiny_models
from onnx import TensorProto, helper

from cxrkit import deploy, film, networks
from cxrkit.cli import _main as cli
from cxrkit.data import read_manifest
from cxrkit.deploy import _answers, _export, _graph, runner
from cxrkit.labels import COVID_CLASSES, FINDINGS


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return tiny_models.covid_model(tmp_path_factory.mktemp("networks") / "tiny")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A manifest of twelve films, bright ones with COVID-19, and its folder."""
    folder = tmp_path_factory.mktemp("films")
    rows = []
    for k, mean in enumerate(np.linspace(0.05, 0.95, 12)):
        (folder / f"{k}.png").write_bytes(tiny_models.png(tiny_models.film(float(mean))))
        rows.append(
            {
                "image": f"{k}.png",
                "source": "made",
                "patient_id": f"made/{k}",
                "covid": int(mean > 0.5),
                "split": "val" if k % 2 else "test",
            }
        )
    path = folder / "manifest.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return read_manifest(path).rows, folder


def make(network, films, out, **more):
    frame, root = films
    return deploy.export(network, out, manifest=frame, root=root, **{"target": "jetson-nano", **more})


@pytest.mark.parametrize("precision", deploy.PRECISIONS)
def test_a_bundle_is_opset_13_ir_8_with_a_fixed_batch_and_the_boards_operators(network, films, tmp_path, precision):
    result = make(network, films, tmp_path / "bundle", precision=precision)
    model = onnx.load(tmp_path / "bundle" / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version <= 8
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*model.graph.input, *model.graph.output)]
    assert shapes == [[1, 64, 64, 1], [1, 2]]
    assert {node.op_type for node in model.graph.node} <= _graph.BOARD_OPS
    assert result.agreement.largest <= deploy.TOLERANCES[precision]
    assert result.agreement.films == 6


def test_a_bundle_says_all_that_the_runner_needs(network, films, tmp_path):
    make(network, films, tmp_path / "bundle", batch=4)
    bundle = deploy.read(tmp_path / "bundle")
    info, original = bundle.info, networks.load(network)
    assert (info["labels"], info["input_size"], info["scored"]) == (list(COVID_CLASSES), 64, ["COVID-19"])
    assert info["thresholds"] == original.thresholds
    assert info["original"]["sha256"] == original.sha256
    assert "not a medical device" in info["notice"]
    # A file for single films, to fall back on, beside the one asked for.
    assert [(entry["file"], entry["batch"]) for entry in info["models"]] == [("model.onnx", 4), ("model-1.onnx", 1)]
    assert sorted(bundle.files) == ["bundle.json", "model-1.onnx", "model.onnx", "runner.py"]
    assert sorted(path.name for path in bundle.folder.iterdir()) == sorted(bundle.files)


def test_the_exported_network_answers_as_the_original(network, films, tmp_path):
    make(network, films, tmp_path / "bundle", target="onnx", batch=3, maps=True)
    pixels = np.random.default_rng(0).random((3, 64, 64), np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "bundle" / "model.onnx", providers=["CPUExecutionProvider"])
    probs, maps = session.run(["probs", "maps"], {"films": pixels[..., None]})
    original = networks.load(network).predict_maps(pixels, prepared=True)
    assert probs == pytest.approx(original[0], abs=1e-6)
    assert np.moveaxis(maps, 3, 1) == pytest.approx(original[1], abs=1e-6)


def test_an_export_that_does_not_agree_leaves_nothing_behind(network, films, tmp_path):
    with pytest.raises(ValueError, match=r"differs from tiny by up to .* at most 1e-12 is allowed for int8"):
        make(network, films, tmp_path / "out" / "bundle", precision="int8", tolerance=1e-12)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_manifest_without_films_measures_nothing_and_is_refused(network, films, tmp_path):
    with pytest.raises(ValueError, match="no films to measure the export on"):
        make(network, (films[0].iloc[:0], films[1]), tmp_path / "bundle")


def test_a_bundle_names_no_film(network, films, tmp_path):
    folder = make(network, films, tmp_path / "bundle", precision="int8").folder
    assert ".png" not in (folder / "bundle.json").read_text()


def test_a_tolerance_that_is_nan_lets_nothing_through(network, films, tmp_path):
    with pytest.raises(ValueError, match="differs"):
        make(network, films, tmp_path / "bundle", tolerance=float("nan"))


def test_int8_is_calibrated_on_other_patients_than_are_measured(network, films, tmp_path):
    frame, root = films
    same = frame.assign(patient_id="made/1")
    with pytest.raises(ValueError, match="of other patients than those measured; the manifest has none"):
        make(network, (same, root), tmp_path / "bundle", precision="int8")


def test_the_loss_of_accuracy_is_measured_and_said(network, films, tmp_path):
    result = make(network, films, tmp_path / "bundle", precision="int8")
    # Six films of test, means 0.05 to 0.87: those above a half have COVID-19 and the network calls just those.
    assert (result.agreement.before.value, result.agreement.before.n) == (1.0, 6)
    text = deploy.summary(result)
    assert "accuracy: 1.0000 before, 1.0000 after; change +0.0000 (95% interval " in text
    assert "has no int8: TensorRT refuses this file there" in text
    assert "it was not run on a board" in text


def test_without_labels_the_accuracy_is_not_known(network, films, tmp_path):
    frame, root = films
    result = make(network, (frame.assign(covid=pd.array([pd.NA] * len(frame), "Int64")), root), tmp_path / "bundle")
    assert "accuracy: not known" in deploy.summary(result)


def test_the_fourteen_findings_are_exported_too(films, tmp_path):
    result = make(tiny_models.findings_model(tmp_path / "f"), films, tmp_path / "bundle", precision="fp16")
    assert result.info["scored"] == list(FINDINGS)
    assert result.agreement.largest < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "pi"}, "target must be one of jetson-nano, onnx, litert; got 'pi'"),
        ({"precision": "int4"}, "precision must be one of fp32, fp16, int8; got 'int4'"),
        ({"batch": 0}, "batch must be at least 1; got 0"),
    ],
)
def test_an_option_that_is_not_legal_is_refused(network, films, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make(network, films, tmp_path / "bundle", **options)


def test_a_folder_that_is_not_empty_is_refused(network, films, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not an empty folder"):
        make(network, films, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_changed_bundle_is_refused(network, films, tmp_path):
    make(network, films, tmp_path / "bundle")
    with (tmp_path / "bundle" / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(deploy.BundleError, match=r"model\.onnx was changed"):
        deploy.read(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", ".ssh"])
def test_a_bundle_that_names_files_elsewhere_is_refused(network, films, tmp_path, name):
    folder = make(network, films, tmp_path / "bundle").folder
    info = json.loads((folder / "bundle.json").read_text())
    info["models"][0]["file"] = name
    (folder / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(deploy.BundleError, match="which lies outside of it"):
        deploy.read(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}'])
def test_a_folder_that_is_no_bundle_is_refused(tmp_path, text):
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(deploy.BundleError, match="no bundle"):
        deploy.read(tmp_path)


def test_a_bundle_that_lacks_what_is_needed_is_refused_by_name(network, films, tmp_path):
    folder = make(network, films, tmp_path / "bundle").folder
    info = json.loads((folder / "bundle.json").read_text())
    del info["labels"], info["original"]
    (folder / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(deploy.BundleError, match="lacks labels, original; delete the folder and export"):
        deploy.read(folder)


def test_a_bundle_of_another_format_is_refused(tmp_path):
    (tmp_path / "bundle.json").write_text('{"format": 99}')
    with pytest.raises(deploy.BundleError, match="format 99; legal is 1"):
        deploy.read(tmp_path)


# --- the graph -------------------------------------------------------------------------------------------------


def graph(nodes, *, shape=("n", 4, 4, 1), opset=15, initializers=()):
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("films", TensorProto.FLOAT, ["n", 4, 4, 1])],
        [helper.make_tensor_value_info("probs", TensorProto.FLOAT, shape)],
        list(initializers),
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def test_an_operator_that_the_older_opset_lacks_is_named():
    model = graph([helper.make_node("Gelu", ["films"], ["probs"])], opset=20)
    with pytest.raises(deploy.ExportError, match="cannot be written at opset 13: there is no Gelu yet"):
        _graph.lowered(model, batch=1, maps=False)


def test_an_attribute_that_the_older_opset_lacks_is_named():
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [0, 16])
    model = graph([helper.make_node("Reshape", ["films", "shape"], ["probs"], allowzero=1)], initializers=[shape])
    with pytest.raises(deploy.ExportError, match="Reshape has no allowzero yet"):
        _graph.lowered(model, batch=1, maps=False)


def test_an_operator_that_tensorrt_lacks_is_named():
    model = _graph.lowered(graph([helper.make_node("Round", ["films"], ["probs"])]), batch=1, maps=False)
    with pytest.raises(deploy.ExportError, match=r"TensorRT 8\.2 has no Round"):
        _graph.check_board(model)


def test_an_input_that_tensorrt_wants_stored_is_named():
    nodes = [
        helper.make_node("Transpose", ["films"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Slice", ["planes", "start", "end"], ["kernel"]),
        helper.make_node("Conv", ["planes", "kernel"], ["probs"], name="wild"),
    ]
    ends = [helper.make_tensor(n, TensorProto.INT64, [4], v) for n, v in (("start", [0] * 4), ("end", [1, 1, 2, 2]))]
    model = _graph.lowered(graph(nodes, shape=["n", 1, 3, 3], initializers=ends), batch=1, maps=False)
    with pytest.raises(deploy.ExportError, match=r"input 1 of Conv \(wild\) as a stored number"):
        _graph.check_board(model)


def test_what_lives_at_once_is_the_two_ends_of_the_widest_step():
    nodes = [
        helper.make_node("Concat", ["films", "films"], ["wide"], axis=3),
        helper.make_node("Relu", ["wide"], ["same"]),
        helper.make_node("ReduceMean", ["same"], ["probs"], axes=[1, 2], keepdims=0),
    ]
    model = _graph.lowered(graph(nodes, shape=["n", 2]), batch=2, maps=False)
    # films are 2 x 16 floats; while Relu runs, two values of twice that live.
    assert _graph.bytes_of(model) == (0, 2 * 2 * 2 * 16 * 4)


# --- answers ---------------------------------------------------------------------------------------------------


def test_two_sets_of_answers_are_compared_film_by_film():
    before, after = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8]])
    found = _answers.compare(
        ["a", "b", "c"],
        before,
        after,
        labels=COVID_CLASSES,
        thresholds=dict.fromkeys(COVID_CLASSES, 0.5),
        truth=np.array([[1], [0], [0]]),
        patients=None,
    )
    assert (found.films, found.changed) == (3, ("b",))
    assert (found.largest, found.mean) == (pytest.approx(0.2), pytest.approx(0.1))
    assert (found.before.value, found.after.value) == (1, pytest.approx(2 / 3))
    assert found.difference.value == pytest.approx(-1 / 3)


def test_several_labels_count_as_the_share_of_calls_that_are_right():
    found = _answers.compare(
        ["a", "b"],
        np.array([[0.9, 0.9], [0.1, 0.1]]),
        np.array([[0.9, 0.1], [0.1, 0.1]]),
        labels=("Mass", "Nodule"),
        thresholds={"Mass": 0.5, "Nodule": 0.5},
        truth=np.array([[1, 1], [0, np.nan]]),
        patients=["p", "q"],
    )
    assert (found.before.value, found.after.value, found.difference.value) == (1, 0.75, -0.25)
    assert found.changed == ("a",)


# --- the command -----------------------------------------------------------------------------------------------


def test_the_command_writes_a_bundle_and_says_what_it_cost(network, films, tmp_path, monkeypatch, capsys):
    command = ["cxrkit", "model", "export", network, "--target", "jetson-nano", "--out", tmp_path / "bundle"]
    command += ["--precision", "fp16", "--manifest", films[1] / "manifest.csv"]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().out
    assert ended.value.code in (0, None)
    assert "agreement with the original on 6 films of the manifest given, split test" in said
    assert "films called otherwise: 0" in said
    assert json.loads((tmp_path / "bundle" / "bundle.json").read_text())["models"][0]["precision"] == "fp16"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_bundled_network_is_exported_as_litert_and_run(films, tmp_path, precision, monkeypatch):
    result = make("covid-small", films, tmp_path / "bundle", target="litert", precision=precision, tolerance=1.0)
    assert (tmp_path / "bundle" / "model.tflite").stat().st_size == result.size
    # The runner's own way, with TensorFlow's interpreter in the place of tflite_runtime, which is the same code.
    import tensorflow as tf

    stand_in = types.ModuleType("tflite_runtime.interpreter")
    stand_in.Interpreter = tf.lite.Interpreter
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", stand_in)
    code = runner.main([str(tmp_path / "bundle"), str(films[1]), "--out", str(tmp_path / "out")])
    assert code == runner.ERROR_ROWS  # The folder also holds the manifest, which is no film.
    rows = pd.read_csv(tmp_path / "out" / "predictions.csv")
    rows = rows[rows["status"] == "ok"].set_index("image")
    names = list(films[0]["image"])
    pixels = np.stack([film.resize(film.read(films[1] / name).pixels, 192) for name in names])
    exported = _export._run_of(tmp_path / "bundle" / "model.tflite", "litert", 1, 2)(pixels)
    assert rows.loc[names, "prob_COVID-19"].to_numpy() == pytest.approx(exported[:, 0], abs=1e-3)
    if precision != "int8":
        original = networks.load("covid-small").predict(pixels, prepared=True)
        assert np.abs(exported - original).max() < deploy.TOLERANCES[precision]
