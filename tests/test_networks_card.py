"""The model card: everything in the sidecar, and what is missing."""

import json

import pytest

from cxrkit import networks, show
from cxrkit.labels import COVID, DISCLAIMER, NOT_COVID

FIGURE = {"split": "test", "films": "real", "source": "cohen", "label": COVID, "measure": "AUROC", "value": 0.625}
FIGURE |= {"low": 0.5, "high": 0.75, "n": 70, "positives": 50, "reason": ""}
INFO = {
    "name": "covid-try",
    "version": "3",
    "labels": [COVID, NOT_COVID],
    "input_size": 192,
    "thresholds": {COVID: 0.25, NOT_COVID: 0.75},
    "not_shown": [COVID],
    "training": {"command": "python tools/train.py --seed 1", "films": {"simulated": 12}},
    "figures": [FIGURE | {"films": "simulated", "source": "course"}, FIGURE],
    "files": {"model.onnx": "ab" * 32},
}


def card(folder, info):
    (folder / "model.json").write_text(json.dumps(info), encoding="utf-8")
    return show.card.of_folder(folder)


def test_a_card_has_each_measurement_the_thresholds_the_training_and_the_checksums(tmp_path):
    lines = [line.replace("\\", "") for line in card(tmp_path, INFO).splitlines()]
    assert "| label (images with it) | AUROC | n |" in lines
    assert "| COVID-19 (50) | 0.625 (0.500 to 0.750) | 70 |" in lines
    assert "| COVID-19 | 0.2500 |" in lines
    assert "| command | `python tools/train.py --seed 1` |" in lines
    assert f"| model.onnx | `{'ab' * 32}` |" in lines
    real = lines.index("### Real images, source cohen, test split")
    assert real < lines.index("### Simulated images, source course, test split")
    assert f"**{DISCLAIMER}**" in lines
    assert "**Not shown to work on real images: COVID-19.** On real test images the interval" in " ".join(lines)


@pytest.mark.parametrize("name", networks.bundled())
def test_the_card_of_a_bundled_model_is_made_from_its_sidecar(name):
    written = (networks.folder_of(name) / "README.md").read_text(encoding="utf-8")
    assert written == show.card.of_folder(name), "write the output of `cxrkit model show` into README.md"
