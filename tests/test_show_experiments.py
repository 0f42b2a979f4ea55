"""Experiments as figures, tables, documents and a panel: what was measured beside what the report printed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from course_images import lungs_everywhere, plan, sets, start, write_manifest

from cxrkit import show
from cxrkit.course import experiments
from cxrkit.course.experiments import MarkLab, _shortcuts
from cxrkit.course.experiments._marks import FaintFilms
from cxrkit.metrics import Estimate
from cxrkit.widgets import MarkPanel

NAMES = ("augmenters", "composite", "transfer", "unseen", "mixing", "shortcuts")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return plan(start(tmp_path_factory.mktemp("start")), draws=1, epochs=1, steps=2)


@pytest.fixture(scope="module")
def results(tiny):
    """One small result of each experiment."""
    some, three = sets(40, bright=40), experiments.simulated_sources(sets(100, bright=40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shortcuts, "lungs_of", lungs_everywhere)
        shortcuts = experiments.shortcuts(three, tiny, variants=("lungs only",), seeds=(0, 1))
    return {
        "augmenters": experiments.augmenters(some, tiny, seeds=(0,)),
        "composite": experiments.composite(some, tiny, seeds=(0, 1)),
        "transfer": experiments.transfer(some, tiny, sizes=(6, 40), seeds=(0,)),
        "unseen": experiments.unseen(three, tiny, seeds=(0, 1)),
        "mixing": experiments.mixing(three, tiny, seeds=(0,)),
        "shortcuts": shortcuts,
    }


def rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def words(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


@pytest.mark.parametrize("name", NAMES)
def test_figures_name_the_images_as_simulated_and_documents_the_limits_of_their_intervals(results, name):
    figures = show.experiments.figures(results[name], sets().test)
    assert ("examples" in figures) == (name == "composite")
    for figure in figures.values():
        assert figure.png().startswith(b"\x89PNG")
        assert figure.get_supxlabel().startswith("Simulated images.")
    text = show.experiments.document(results[name], date="2026-01-02", command="cxrkit experiment x")
    assert "\n\n2026-01-02; `cxrkit experiment x`.\n\n" in text
    number = f"{len(results[name].cells)} networks"
    assert all(part in text for part in ("not a medical device", "(SIMULATED)", "not other hospitals", number))


def test_the_reports_numbers_stand_beside_the_measured_ones(results):
    table = show.experiments.table(results["augmenters"])
    assert "report (2020)" in rows(table)[0]
    assert "| SaltAndPepper | 0.894 |" in table
    (row,) = [line for line in rows(show.experiments.table(results["mixing"])) if line.startswith("| row 4")]
    # 328 of 397 images.
    assert row.split(" | ")[1] == "0.826 (0.786 to 0.860)"
    assert "row 4: 8 \\+ 42, batch 8" in row
    transfer = rows(show.experiments.table(results["transfer"]))
    assert [line.split(" | ")[1] for line in transfer[2:]] == ["", "", "", "", "0.988", "0.548"]
    assert "The report printed 0.421," in show.experiments.document(results["unseen"], date="d", command="c")


def test_a_source_that_was_never_seen_is_marked(results):
    table = rows(show.experiments.table(results["unseen"]))
    assert [line for line in table if line.startswith("| all but A, A, never seen |")]
    assert [line for line in table if line.startswith("| all but A, B, same sources |")]
    for name in ("unseen", "shortcuts"):
        assert any("never seen" in text for text in words(show.experiments.sources(results[name])))


def test_the_document_on_shortcuts_has_every_variant_and_its_difference(results):
    text = show.experiments.document(results["shortcuts"], date="2026-11-24", command="cxrkit experiment shortcuts")
    assert "0 of A, 0 of B, 0 of C" in text
    changes = rows(text.split("## What each variant changes")[1])
    assert [line for line in changes if line.startswith("| A | B and C") and ", p " in line]


def test_images_are_counted_beside_the_report(tmp_path):
    found = experiments.data(write_manifest(tmp_path, size=256))
    text = show.experiments.data_document(found, date="2026-01-02", command="c")
    assert "0 images left out; 0 patients in more than one split." in text
    counts = pd.DataFrame([[1, 1, 1], [2, 1, 1], [1, 0, 0], [4, 2, 2]], found.counts.index, found.counts.columns)
    covid, _, other, total = rows(show.experiments.counts(replace(found, counts=counts)))[2:]
    assert covid.startswith("| COVID-19 | 291 (23.8%) | 1 (25.0%) |")
    assert other.startswith("| other findings |  | 1 (25.0%) |")
    # Of the total, the share of all images: 1,224 of 2,038, and 4 of 8.
    assert total.startswith("| Total | 1,224 (60.1%) | 4 (50.0%) |")


def test_a_matrix_holds_value_interval_and_number():
    good, none = Estimate(0.9, 0.8, 1.0, 30), Estimate(np.nan, np.nan, np.nan, 4, "one")
    texts = words(show.experiments.matrix({"a": {"x": good, "y": none}, "b": {"x": good}}))
    # One has no value, the other no cell.
    assert texts == ["0.90\n0.80 to 1.00, n = 30", "undefined"] * 2
    assert words(show.matrix(pd.DataFrame([[0.4, np.nan]]))) == ["40%", ""]


def test_a_panel_draws_what_is_chosen(tiny):
    noise = sets(40, bright=4)
    lungs = {split: lungs_everywhere(films.pixels) for split, films in noise.films.items()}
    panel = MarkPanel(MarkLab(FaintFilms(noise, lungs), tiny))
    pictures = {panel.picture.value}
    for control, value in ((panel.share, 0.5), (panel.variant, "lungs masked out")):
        control.value = value
        pictures.add(panel.picture.value)
    assert len(pictures) == 3
