"""The model card says what the sidecar holds, and what is missing."""

import json

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


def test_a_card_holds_the_measurement_with_interval_source_and_counts(info):
    lines = model_card.card(info).splitlines()
    assert "### Real films, source cohen, test split" in lines
    assert "| label (films with it) | AUROC | n |" in lines
    assert "| COVID-19 (50) | 0.625 (0.500 to 0.750) | 70 |" in lines


def test_a_card_says_what_it_is_not(info):
    text = model_card.card(info)
    assert DISCLAIMER in text
    assert "**Not shown to work on real films: COVID-19.**" in text
    assert "Not shown" not in model_card.card(info | {"not_shown": []})


def test_a_card_names_thresholds_training_and_checksums(info):
    lines = model_card.card(info).splitlines()
    assert "| COVID-19 | 0.2500 |" in lines
    assert "| command | `python tools/train.py --seed 1` |" in lines
    assert '| films | {"simulated": 12} |' in [line.replace("\\", "") for line in lines]
    assert f"| model.onnx | `{'ab' * 32}` |" in lines


def test_what_is_undefined_gives_its_reason(info):
    undefined = FIGURE | {"value": None, "low": None, "high": None, "reason": "every film is COVID-19"}
    text = model_card.card(info | {"figures": [undefined]})
    assert "undefined [1]" in text
    assert "[1] every film is COVID-19" in text


def test_real_films_come_before_simulated_ones(info):
    text = model_card.card(info | {"figures": [FIGURE | {"films": "simulated", "source": "course"}, FIGURE]})
    assert text.index("### Real films") < text.index("### Simulated films")


def test_an_unscored_untrained_model_is_said_to_be_so(info):
    text = model_card.card(info | {"figures": [], "training": {}})
    assert "Nothing was measured" in text
    assert "Not trained" in text


def test_a_figure_without_its_n_is_refused(info):
    figure = {key: value for key, value in FIGURE.items() if key != "n"}
    with pytest.raises(ValueError, match="one lacks n"):
        model_card.card(info | {"figures": [figure]})


def test_the_card_is_written_beside_the_model(info, tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(info))
    assert model_card.write(tmp_path) == tmp_path / "README.md"
    assert (tmp_path / "README.md").read_text() == model_card.card(info)


def test_the_command_writes_the_cards_of_the_folders_it_is_given(info, tmp_path, capsys):
    (tmp_path / "model.json").write_text(json.dumps(info))
    assert model_card.main([str(tmp_path)]) == 0
    assert (tmp_path / "README.md").is_file()
    assert str(tmp_path / "README.md") in capsys.readouterr().out


@pytest.mark.parametrize("name", networks.bundled())
def test_the_card_of_a_bundled_model_is_what_its_sidecar_makes(name):
    folder = networks.folder_of(name)
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert (folder / "README.md").read_text(encoding="utf-8") == model_card.card(info), (
        "run python -m cxrkit.show._card"
    )
