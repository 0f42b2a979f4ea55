"""The model card: everything in the sidecar, and what is missing."""

import pytest

from cxrkit import networks
from cxrkit.labels import COVID, DISCLAIMER, NOT_COVID
from cxrkit.show import _card as model_card

FIGURE = {
    "split": "test",
    "films": "real",
    "source": "cohen",
    "label": COVID,
    "measure": "AUROC",
    "value": 0.625,
    "low": 0.5,
    "high": 0.75,
    "n": 70,
    "positives": 50,
    "reason": "",
}


@pytest.fixture
def info():
    return {
        "name": "covid-try",
        "version": "3",
        "labels": [COVID, NOT_COVID],
        "input_size": 192,
        "thresholds": {COVID: 0.25, NOT_COVID: 0.75},
        "not_shown": [COVID],
        "training": {"command": "python tools/train.py --seed 1", "films": {"simulated": 12}},
        "figures": [FIGURE],
        "files": {"model.onnx": "ab" * 32},
    }


def test_a_card_has_each_measurement_the_thresholds_the_training_and_the_checksums(info):
    text = model_card.card(info | {"figures": [FIGURE | {"films": "simulated", "source": "course"}, FIGURE]})
    lines = [line.replace("\\", "") for line in text.splitlines()]
    assert "| label (images with it) | AUROC | n |" in lines
    assert "| COVID-19 (50) | 0.625 (0.500 to 0.750) | 70 |" in lines
    assert "| COVID-19 | 0.2500 |" in lines
    assert "| command | `python tools/train.py --seed 1` |" in lines
    assert '| films | {"simulated": 12} |' in lines
    assert f"| model.onnx | `{'ab' * 32}` |" in lines
    real = lines.index("### Real images, source cohen, test split")
    assert real < lines.index("### Simulated images, source course, test split")


def test_a_card_says_what_the_model_is_not(info):
    text = model_card.card(info)
    assert DISCLAIMER in text
    assert "**Not shown to work on real films: COVID-19.**" in text
    assert "Not shown" not in model_card.card(info | {"not_shown": []})


def test_what_is_undefined_gives_its_reason(info):
    undefined = FIGURE | {"value": None, "low": None, "high": None, "reason": "every image is COVID-19"}
    text = model_card.card(info | {"figures": [undefined]})
    assert "undefined [1]" in text
    assert "[1] every image is COVID-19" in text


def test_an_unscored_untrained_model_is_called_so(info):
    text = model_card.card(info | {"figures": [], "training": {}})
    assert "Nothing was measured" in text
    assert "Not trained" in text


def test_a_figure_without_its_n_is_refused(info):
    figure = {key: value for key, value in FIGURE.items() if key != "n"}
    with pytest.raises(ValueError, match="one lacks n"):
        model_card.card(info | {"figures": [figure]})


@pytest.mark.parametrize("name", networks.bundled())
def test_the_card_of_a_bundled_model_is_made_from_its_sidecar(name):
    written = (networks.folder_of(name) / "README.md").read_text(encoding="utf-8")
    assert written == model_card.of_folder(name), "run python -m cxrkit.show._card"
