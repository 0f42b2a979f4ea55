"""Reading one film: what triage says of it, with maps, and nothing that a file holds raises."""

import numpy as np
import pytest

from cxrkit import film, triage
from cxrkit.dashboard import _samples as samples
from cxrkit.labels import COVID, FINDINGS

BY_NAME = {sample.name: sample for sample in samples.every()}


@pytest.fixture(scope="module")
def reader():
    return triage.Reader(*triage.load_networks())


def test_a_film_called_covid_gets_no_findings_in_its_record_but_is_asked_about_all(reader):
    found = reader.read(BY_NAME["covid"].read(), maps="all")
    assert found.record["label"] == COVID
    assert set(found.record["probs"]) == {COVID}
    assert set(found.probs) == set(found.maps) == {COVID, *FINDINGS}
    assert found.maps[COVID].ndim == 2


@pytest.mark.parametrize("name", ["covid", "heart", "clear"])
def test_maps_change_nothing_of_what_is_said(reader, name):
    data = BY_NAME[name].read()
    assert reader.read(data, maps="all").record == reader.read(data).record == reader.read(data, maps="positive").record


def test_maps_of_what_is_called_are_those_alone(reader):
    found = reader.read(BY_NAME["heart"].read(), maps="positive")
    assert set(found.maps) == set(found.record["label"].split("|"))


def test_what_is_made_of_a_reading_comes_with_it_and_its_error_costs_this_film_alone(reader):
    data = BY_NAME["heart"].read()
    assert reader.read(data, then=lambda found: found.radiograph.pixels.shape).made == (512, 512)

    def broken(found):
        raise RuntimeError("PATIENT^NAME")

    assert reader.read(data, then=broken).record["reason"] == "cannot be processed (RuntimeError)"


def test_a_film_beyond_the_limit_is_refused_by_its_header(reader):
    record = reader.read(BY_NAME["heart"].read(), max_pixels=100_000).record
    assert (record["status"], record["label"]) == ("error", "")
    assert record["reason"].startswith("the picture is 512 x 512 = 0 megapixels; at most 0.1 are legal")


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_film_is_a_record_with_a_reason(reader, data):
    found = reader.read(data, maps="all")
    assert (found.radiograph, found.maps, found.record["status"]) == (None, {}, "error")
    assert "legal" in found.record["reason"] or "cut short" in found.record["reason"]
    assert found.why.say("en") == found.record["reason"]


@pytest.mark.parametrize(
    ("error", "said", "why", "again"),
    [
        (MemoryError(), "there was not enough memory for it; close other programs and run again", "memory", True),
        (OSError(5, "Input/output error", "/x/ROE^JANE"), "cannot be read: Input/output error", "disk", True),
        (RuntimeError("ROE^JANE"), "cannot be processed (RuntimeError)", "unknown", False),
    ],
)
def test_what_no_file_is_to_blame_for_is_a_reason_too(reader, error, said, why, again):
    def source():
        raise error

    found = reader.read(source)
    assert (found.record["reason"], found.record.get("again", False)) == (said, again)
    assert found.why.key == f"no_answer.{why}"
    assert "ROE" not in str(found.why.plain())


def test_a_network_that_answers_nan_gives_no_answer(reader, monkeypatch):
    def nan(films):
        return np.full((1, 2), np.nan)

    monkeypatch.setattr(reader.covid, "predict", nan)
    record = reader.read(BY_NAME["heart"].read()).record
    assert record["reason"] == "model covid-small gave no number for it; look at it, or name another model"


def test_reading_a_film_twice_says_the_same(reader):
    data = BY_NAME["edema"].read()
    assert reader.read(data).record == reader.read(lambda: data).record
    assert film.read(data).pixels.dtype == np.float32
