"""Two runs of one network: compared image by image, in tables and in figures."""

import json

import numpy as np
import pandas as pd
import pytest

from cxrkit import deploy
from cxrkit.deploy import _compare
from cxrkit.film import sha256_of
from cxrkit.labels import COVID, COVID_CLASSES, DISCLAIMER
from cxrkit.show import _device as device


def a_run(folder, probs, *, judged=True):
    """Write a run of four images, the first two with COVID-19, as a runner does."""
    folder.mkdir()
    table = pd.DataFrame({"image": ["a", "b", "c_[1]", "d"], "status": "ok", "truth": [COVID, COVID, "", ""]})
    table["predicted"] = [COVID_CLASSES[int(p < 0.5)] for p in probs]
    table[f"prob_{COVID}"], table[f"prob_{COVID_CLASSES[1]}"] = probs, [1 - p for p in probs]
    table.to_csv(folder / "predictions.csv", index=False)
    parts = {"reading": 1.0, "preprocessing": 2.0, "inference": 7.0, "total": 10.0}
    result = {
        "name": "tiny", "version": "1", "labels": list(COVID_CLASSES), "fallbacks": ["memory is short | falling back"],
        "seconds": {name: {"mean": ms / 1000, "p95": ms / 500} for name, ms in parts.items()},
        "predictions_sha256": sha256_of(folder / "predictions.csv"), "memory_mb": {"peak": 50.0},
        "accuracy": {"right": 1, "of": 1, "value": 1} if judged else None,
        "ran": {"engine": "e", "engine_version": "1", "precision": "fp32", "batch": 1, "file": "m", "sha256": "f" * 64},
        "device": {"model": None, "machine": "x_86"},
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    lines = [f"inference-{k} film: [[{p}]]\nneeded time in inference-{k}: 1" for k, p in enumerate(probs)]
    (folder / "log.txt").write_text("\n".join([*lines, "accuracy: 1"]))
    return deploy.read_run(folder)


@pytest.fixture
def found(tmp_path):
    """Board and PC predict different labels for the third image, whose name Markdown would take for a link."""
    return deploy.compare(*(a_run(tmp_path / str(third), [0.9, 0.8, third, 0.1]) for third in (0.6, 0.4)))


def test_several_labels_count_as_the_share_of_correct_labels():
    probs = np.array([[0.9, 0.9], [0.1, 0.1]]), np.array([[0.9, 0.1], [0.1, 0.1]])
    truth = np.array([[1, 1], [0, np.nan]])
    found = _compare.agreement(["a", "b"], probs, [each >= 0.5 for each in probs], truth, ["p", "q"])
    assert (found.before.value, found.after.value, found.difference.value) == (1, 0.75, -0.25)
    assert (found.images, found.changed, found.largest) == (2, ("a",), pytest.approx(0.8))


def test_every_image_whose_label_differs_is_listed_and_intervals_are_by_patient(found):
    (row,) = found.differing.to_dict("records")
    assert (row["image"], row["truth"], row["here"], row["board"]) == ("c_[1]", "", COVID_CLASSES[1], COVID)
    one = found.agreement
    assert (one.images, one.changed, one.largest, one.mean) == (4, ("c_[1]",), pytest.approx(0.2), pytest.approx(0.05))
    assert (one.before.value, one.after.value, one.difference.value) == (1, 0.75, pytest.approx(-0.25))
    # Of patient 1 both images are right, of patient 2 one: two patients tell less than four images.
    shared = deploy.compare(found.board, found.here, patients=["1", "1", "2", "2"]).agreement
    assert shared.after.value == one.after.value
    assert shared.after.high - shared.after.low >= one.after.high - one.after.low


def test_without_labels_there_is_no_accuracy_and_changed_predictions_are_refused(tmp_path):
    found = deploy.compare(*(a_run(tmp_path / name, [0.9, 0.4, 0.1, 0.1], judged=False) for name in "bh"))
    assert found.table["accuracy"].isna().all()
    assert found.agreement.changed == ()
    assert "| undefined |" in device.table30(found)
    (tmp_path / "b" / "predictions.csv").write_text("image\na\n")
    for folder, message in ((tmp_path / "b", "is not what the runner wrote"), (tmp_path, "holds no run")):
        with pytest.raises(deploy.DeployError, match=message):
            deploy.read_run(folder)


def test_the_document_has_table_30_the_network_the_notes_and_each_image_that_differs(found):
    text = device.document(found, command="cxrkit jetson compare nano", date="2026-11-24", images="made_up")
    for part in (
        "# Board and PC\n\n2026-11-24; `cxrkit jetson compare nano`; tiny 1, over made\\_up.",
        "| 7.0 | 14.0 | 10.0 | 50.0 |\n| PC | x\\_86, e 1, fp32, batch 1 | 1.000 (",
        "4 images, probabilities differ by at most 0.2, 1 with another predicted label",
        "- c\\_\\[1\\]: PC Not COVID-19, board COVID-19, true not known or none",
        "Accuracy, board less PC: -0.250 (",
        "- note of the board: memory is short \\| falling back",
        f"> **{DISCLAIMER}**\n",
    ):
        assert part in text
