"""The dashboard's samples: simulated, as tools/make_samples.py makes them, and shown for what the page says of them."""

import make_samples
import numpy as np
import pytest

from cxrkit import film as images
from cxrkit import triage, words
from cxrkit.dashboard import _samples as samples
from cxrkit.labels import COVID, FINDINGS


@pytest.fixture(scope="module")
def read():
    reader = triage.Reader(*triage.load_networks())
    return {sample.name: reader.read(sample.read()).record for sample in samples.every()}


def test_every_sample_is_what_the_tool_makes():
    made = make_samples.films()
    assert [sample for sample, _ in made] == list(samples.every())
    assert [sample.name for sample, pixels in made if not make_samples.alike(sample, pixels)] == []


def test_a_thumb_shows_its_film():
    for sample in samples.every():
        film, thumb = (images.read(data).pixels for data in (sample.read(), sample.thumb()))
        assert np.abs(images.resize(film, thumb.shape) - thumb).mean() < 0.02


def test_boxes_lie_inside_the_image_and_belong_to_its_truth_which_is_of_known_labels():
    for sample in samples.every():
        assert set(sample.truth or ()) <= {COVID, *FINDINGS}
        assert set(sample.boxes) <= set(sample.truth or ())
        for x, y, width, height in (box for boxes in sample.boxes.values() for box in boxes):
            assert 0 <= x < x + width <= 1
            assert 0 <= y < y + height <= 1


def test_titles_say_what_the_networks_do_with_it(read):
    called = {name: record["label"].split("|") for name, record in read.items()}
    assert called["covid"] == [COVID]
    assert called["infiltration"] == [COVID]
    assert called["clear"] == ["Nodule"]
    assert "Nodule" not in called["nodule"]
    for name in ("heart", "cardiomegaly", "pneumothorax", "edema", "mass"):
        assert ("Cardiomegaly" if name == "heart" else name.capitalize()) in called[name]
    assert {name for name in called if words.table("en").get(f"sample.{name}")} == set(called)


def test_a_spoilt_film_is_flagged_for_what_was_done_to_it(read):
    for sample in samples.every():
        assert (sample.spoilt in read[sample.name]["quality"]) == bool(sample.spoilt), sample.name
        assert sample.spoilt or read[sample.name]["quality"] == [], sample.name
