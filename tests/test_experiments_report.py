"""Results of experiments as figures, tables and documents: what was measured beside what the report printed."""

import pytest
from experiment_films import plan, sets, start, write_manifest

from cxrkit.course import experiments
from cxrkit.course.experiments import Mix
from cxrkit.show import _experiments as experiments_report
from cxrkit.show import _report as report


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One small result of each experiment, and its films."""
    tiny = start(tmp_path_factory.mktemp("start"))
    some = sets(40, bright=40)
    three = experiments.simulated_sources(sets(100, bright=40))
    quick = {"draws": 1, "epochs": 1, "steps": 2}
    return {
        "augmenters": (experiments.augmenters(some, plan(tiny, **quick), seeds=(0,)), some),
        "composite": (experiments.composite(some, plan(tiny, **quick), seeds=(0, 1)), some),
        "transfer": (experiments.transfer(some, plan(tiny, **quick), sizes=(6, 40), seeds=(0,)), some),
        "unseen": (experiments.unseen(three, plan(tiny, **quick), seeds=(0, 1)), three),
        "mixing": (
            experiments.mixing(
                three, plan(tiny, **quick), mixes={"0": Mix(250, 0, 4), "4": Mix(750, 750, 2)}, seeds=(0,)
            ),
            three,
        ),
    }


def rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


NAMES = ("augmenters", "composite", "transfer", "unseen", "mixing")


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_drawn_and_say_that_films_are_simulated(results, name):
    result, films = results[name]
    figures = experiments_report.figures(result, films.test)
    assert ("examples" in figures) == (name == "composite")
    for figure in figures.values():
        assert report.png(figure).startswith(b"\x89PNG")
        assert figure.get_supxlabel().startswith("Simulated images.")


@pytest.mark.parametrize("name", NAMES)
def test_a_document_says_when_how_on_what_and_what_its_intervals_cover(results, name):
    result, _ = results[name]
    text = experiments_report.to_markdown(result, date="2026-01-02", command="cxrkit experiment x")
    assert text.startswith(f"# {experiments_report.TITLES[name]}\n\n2026-01-02; `cxrkit experiment x`. ")
    assert "not a medical device" in text
    assert "(SIMULATED)" in text
    assert "not other hospitals" in text
    assert f"{len(result.cells)} networks" in text
    assert len({line.count(" | ") for line in rows(text.split("## ")[0])}) == 2


def test_the_reports_numbers_stand_beside_ours(results):
    table = experiments_report.table(results["augmenters"][0])
    (salt,) = [line for line in rows(table) if line.startswith("| SaltAndPepper")]
    assert salt.split(" | ")[1] == "0.894"
    assert "report (2020)" in rows(table)[0]
    (row,) = [line for line in rows(experiments_report.table(results["mixing"][0])) if line.startswith("| row 4")]
    # 328 of 397 films.
    assert row.split(" | ")[1] == "0.826 (0.786 to 0.860)"
    assert "row 4: 8 \\+ 42, batch 2" in row
    transfer = rows(experiments_report.table(results["transfer"][0]))
    assert [line.split(" | ")[1] for line in transfer[2:]] == ["", "", "", "", "0.988", "0.548"]
    assert "The report printed 0.421." in experiments_report.to_markdown(results["unseen"][0], date="d", command="c")


def test_what_was_never_seen_is_said(results):
    text = rows(experiments_report.table(results["unseen"][0]))
    (left_out,) = [line for line in text if line.startswith("| all but A | A |")]
    assert left_out.split(" | ")[2:5] == ["no", "4", "2"]


def test_a_measure_that_was_not_taken_is_refused(results):
    with pytest.raises(ValueError, match="measure must be one of AUROC, accuracy, recall, specificity; got 'luck'"):
        experiments_report.settings(results["augmenters"][0], measure="luck")


def test_films_that_were_left_out_are_counted(tmp_path):
    deal = experiments.data(write_manifest(tmp_path, size=256))
    text = experiments_report.deal_markdown(deal, date="2026-01-02", command="c")
    assert "0 films left out; 0 patients in more than one split." in text
    assert "291 (23.8%)" in text
    figure = experiments_report.detail(deal, further={"out of focus": -3.0})
    assert report.png(figure).startswith(b"\x89PNG")
