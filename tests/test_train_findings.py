"""From a manifest to a model folder: on one device, on two cards, on two machines, on both backends, after kills."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import asdict

import filelock
import numpy as np
import pandas as pd
import pytest
import train_worker
from typer.testing import CliRunner

from cxrkit import augment, metrics, networks, phantom, train
from cxrkit.cli import _main
from cxrkit.data import ManifestError, load_films, read_manifest, write_manifest
from cxrkit.labels import COVID, FINDINGS, join_findings

LIMIT_S = 600


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A manifest of 32 simulated films: 20 train, 7 val, 5 test."""
    folder, rows = tmp_path_factory.mktemp("films"), []
    for k, film in enumerate(phantom.simulate_many([{"seed": s, "enrich": 1.0} for s in range(1, 33)], size_px=48)):
        (folder / f"{k}.png").write_bytes(film.png())
        row = {"image": f"{k}.png", "source": "phantom", "patient_id": f"p{k}", "seed": film.seed}
        row["findings"] = join_findings(label for label in film.labels if label != COVID)
        rows.append(row | {"split": "train" if k < 20 else "val" if k < 27 else "test"})
    write_manifest(pd.DataFrame(rows), folder / "manifest.csv")
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def trained(films, tmp_path_factory):
    """A training in this process, on one device, that nothing disturbs."""
    out = tmp_path_factory.mktemp("trained") / "model"
    train_worker.main(str(films), str(out), {})
    return out


def changed_manifest(films, rows, **cells):
    """Write the manifest with other cells in some rows."""
    frame = read_manifest(films).rows
    for column, value in cells.items():
        frame.loc[rows, column] = value
    path = films.parent / f"{'-'.join(cells)}.csv"
    write_manifest(frame, path)
    return path


def trained_briefly(films, out, **settings):
    """Train for one step."""
    chosen = train.Settings(**{"size_px": train_worker.SIZE_PX, "epochs": 1, "steps": 1, "batch_size": 8} | settings)
    return train.findings(films, out, chosen, network=train_worker.network)


def start(films, out, backend, **options):
    """Start tests/train_worker.py in a process of its own."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, train_worker.__file__, str(films), str(out), json.dumps(options)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process):
    """Wait for a process; return its exit code and its stderr."""
    try:
        written = process.communicate(timeout=LIMIT_S)[1]
    finally:
        process.kill()
    return process.returncode, written


def assert_same_training(one, other):
    """Both curves are the same but for the order in which numbers are added up."""
    curves = [train.history(out / "run") for out in (one, other)]
    assert curves[1].epoch.tolist() == [1, 2, 3]
    for column in ("loss", "val_loss", "learning_rate", "mean auroc (val)"):
        assert curves[1][column].to_numpy() == pytest.approx(curves[0][column].to_numpy(), abs=1e-4)


def test_thresholds_and_figures_come_from_the_same_probabilities_as_triage(trained, films):
    predictor, rows = networks.load(trained), read_manifest(films).rows
    training = predictor.info["training"]
    assert (predictor.labels, predictor.input_size) == (FINDINGS, train_worker.SIZE_PX)
    assert training["films"] == training["patients"] == {"train": 20, "val": 7, "test": 5}
    probs, truth = {}, {}
    for split, part in rows.groupby("split"):
        paths = [films.parent / image for image in part.image]
        probs[split] = np.stack([result.probs for result in networks.predict_images(predictor, paths)])
        truth[split] = load_films(part, films.parent, 32).targets
    columns = zip(FINDINGS, truth["val"].T, probs["val"].T, strict=True)
    chosen = {label: metrics.choose_threshold(y, p) for label, y, p in columns}
    undefined = [label for label, value in chosen.items() if np.isnan(value)]
    assert undefined == training["threshold_0.5_for_want_of_positives_or_negatives"]
    assert predictor.thresholds == pytest.approx(chosen | dict.fromkeys(undefined, 0.5))
    figures = [row for row in predictor.info["figures"] if row["measure"] == "AUROC"]
    assert {(row["split"], row["n"]) for row in figures} == {("test", 5)}
    for k, row in enumerate(figures):
        value = metrics.auroc(truth["test"][:, k], probs["test"][:, k]).value
        assert row["value"] == (None if np.isnan(value) else pytest.approx(value, abs=1e-6))
    # None of the images is real, so no label is shown to work on real ones.
    assert predictor.not_shown == set(FINDINGS)


def test_a_folder_of_another_run_is_refused_unless_that_could_not_begin(films, tmp_path):
    out, recipe = tmp_path / "model", tmp_path / "mine.json"
    recipe.write_text(augment.load("flip").to_json(), encoding="utf-8")
    with pytest.raises(ValueError, match=r"network must make a model of images \(64, 64, 1\) with 14 outputs"):
        trained_briefly(films, out, size_px=64, augment=recipe)
    trained_briefly(films, out, augment=recipe)
    with pytest.raises(ValueError, match=r"holds a run with other settings \(.*seed was 0, now 1.*remove this one"):
        trained_briefly(films, out, seed=1, augment=recipe)
    # So is an edited recipe.
    recipe.write_text(augment.load("vary").to_json(), encoding="utf-8")
    with pytest.raises(ValueError, match=r"holds a run with other settings \(augment was .*Fliplr.* now .*Affine"):
        trained_briefly(films, out, augment=recipe)


def test_test_films_are_scored_by_source_real_ones_apart(films, tmp_path):
    mixed = changed_manifest(films, [27, 30], source="clinic", seed=pd.NA)
    figures = networks.load(trained_briefly(mixed, tmp_path)).info["figures"]
    found = {(row["films"], row["source"], row["n"]) for row in figures if row["measure"] == "AUROC"}
    assert found == {("real", "clinic", 2), ("simulated", "phantom", 3)}


def test_a_manifest_that_leaks_or_has_no_val_images_stops_the_run(films, tmp_path):
    for rows, cells, message in (
        ([0, 20], {"patient_id": "p0"}, r"1 patient is in more than one split \(p0 in train and val\)"),
        (range(20, 27), {"split": "test"}, r"the column split has none in val\. Use the data set's"),
    ):
        with pytest.raises(ManifestError, match=message):
            trained_briefly(changed_manifest(films, rows, **cells), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_and_devices_that_cannot_be_used_are_refused():
    for use, options, message in (
        (train.Settings, {"augment": "rotate"}, "augment must be one of none, flip, .*, or a recipe's JSON file; got"),
        (train.Settings, {"best_by": "loss"}, "best_by must be one of val_loss, auroc; got 'loss'"),
        (train.Settings, {"epochs": 0}, "epochs must be at least 1; got 0"),
        (train.devices, {"cards": 1000}, "cards must be from 1 to 1, all that tensorflow finds here; got 1000"),
        (train.devices, {"machines": ["a:1", "b:1"], "this": 0}, "several machines need Keras' JAX backend; this is"),
    ):
        with pytest.raises(ValueError, match=message):
            use(**options)


def test_a_finished_folder_does_not_change_and_two_runs_do_not_write_into_one(trained, films, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in trained.iterdir() if path.is_file()}
    train_worker.main(str(films), str(trained), {})
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (tmp_path / "run").mkdir()
    with filelock.FileLock(tmp_path / "run" / "lock"), pytest.raises(ValueError, match="another run is writing to"):
        train.findings(films, tmp_path)


@pytest.mark.slow
def test_the_command_trains_as_its_options_tell_it_and_tensorflow_stays_quiet(films, tmp_path):
    line = (
        f"train findings {films} --out {tmp_path} --backbone SqueezeNet --weights none --size 64 --epochs 1 "
        "--batch-size 4 --learning-rate 0.1 --loss weighted --augment vary --best-by auroc --steps 1 --seed 3 "
        "--source phantom"
    ).split()
    plain = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "cxrkit", *line]
    done = subprocess.run(command, capture_output=True, text=True, env=plain, check=False, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Epoch 00001: ")
    assert "Simulated images, source phantom, test split" in (tmp_path / "README.md").read_text(encoding="utf-8")
    settings = networks.load(tmp_path).info["training"]["settings"]
    expected = train.Settings("SqueezeNet", None, 64, 1, 4, 0.1, "weighted", "vary", "auroc", 1, 3, ("phantom",))
    expected = json.loads(json.dumps(asdict(expected) | {"augment": settings["augment"]}))
    assert settings == expected
    assert augment.from_json(json.dumps(settings["augment"])) == augment.load("vary")
    for options, message in (
        ("--backend jax", "set KERAS_BACKEND=jax and start again"),
        ("--backend torch", "must be tensorflow or jax"),
        ("--cards GPU:0", "--cards must be a number or all; got 'GPU:0'"),
    ):
        assert message in str(CliRunner().invoke(_main.app, [*line, *options.split()]).exception)


@pytest.mark.slow
def test_killed_in_an_epoch_the_same_call_resumes_there(trained, films, tmp_path):
    assert ended(start(films, tmp_path, "tensorflow", kill_in=[1, 1]))[0] == -signal.SIGKILL
    assert train.history(tmp_path / "run").epoch.tolist() == [1]
    code, written = ended(start(films, tmp_path, "tensorflow"))
    assert code == 0, written
    assert_same_training(trained, tmp_path)


@pytest.mark.slow
def test_two_cards_train_as_one(trained, films, tmp_path):
    code, written = ended(start(films, tmp_path, "tensorflow", logical_cpus=2, cards=2))
    assert code == 0, written
    assert networks.load(tmp_path).info["training"]["devices"] == 2
    assert_same_training(trained, tmp_path)


def start_two(films, out, **options_of_second):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        machines = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    return [
        start(films, out, "jax", machines=machines, this=this, **(options_of_second if this else {})) for this in (0, 1)
    ]


def written_until(process, wanted):
    """Return what a process writes to stderr up to a line with `wanted`, then end it."""
    limit = threading.Timer(LIMIT_S, process.kill)
    limit.start()
    lines = []
    for line in process.stderr:
        lines.append(line)
        if wanted in line:
            break
    limit.cancel()
    process.kill()
    process.communicate()
    return "".join(lines)


@pytest.mark.slow
def test_two_machines_on_jax_train_as_one_and_resume_after_one_is_killed(films, tmp_path):
    # On JAX, as on no other backend, the initial weights are these.
    code, written = ended(start(films, tmp_path / "one", "jax"))
    assert code == 0, written
    first, second = start_two(films, tmp_path / "two", kill_in=[1, 1])
    code = ended(second)[0]
    # The other notices at once; JAX would then wait for a minute and a half before it ends.
    written = written_until(first, "ConnectionError: ")
    assert code == -signal.SIGKILL
    assert "the machines could not continue together; one of them may have ended" in written

    results = [ended(process) for process in start_two(films, tmp_path / "two")]
    assert [code for code, _ in results] == [0, 0], results
    assert_same_training(tmp_path / "one", tmp_path / "two")
    training = networks.load(tmp_path / "two").info["training"]
    assert (training["devices"], training["versions"]["backend"]) == (2, "jax")
