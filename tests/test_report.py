"""Figures and tables: what is drawn, in words and numbers, and that nothing a user names is rendered."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrkit import metrics
from cxrkit.labels import COLOURS, COVID, DISCLAIMER, FINDINGS, NOT_COVID
from cxrkit.metrics import Estimate
from cxrkit.show import _report as report

RAMP = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (30, 1))
UNDEFINED = Estimate(math.nan, math.nan, math.nan, 0, "no film has Hernia")


def words(figure):
    """All text of a figure, one string a line."""
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def triage_frame():
    rows = [
        ("a.png", COVID, "ok"),
        ("b.png", "", "ok"),
        ("c.png", "Effusion|Mass", "flagged"),
        ("d.png", "Effusion", "ok"),
        ("e.png", "", "error"),
    ]
    return pd.DataFrame(rows, columns=["Image Index", "Predict label", "status"])


def bar_lengths(axis):
    return [bar.get_width() for bar in axis.patches]


def test_a_figure_shows_itself_in_a_notebook_without_pyplot():
    assert report.film(RAMP)._repr_png_().startswith(b"\x89PNG")


def test_a_film_is_drawn_on_the_scale_from_0_to_1_also_from_uint8():
    for pixels in (RAMP, np.rint(RAMP * 255).astype(np.uint8)):
        (image,) = report.film(pixels).axes[0].images
        assert image.get_clim() == (0, 1)
        assert np.asarray(image.get_array()) == pytest.approx(RAMP, abs=1 / 255)


def test_a_large_film_is_reduced_and_its_boxes_with_it():
    film = np.zeros((1280, 1280), np.float32)
    (axis,) = report.film(film, boxes={"Pleural_Thickening": [(100, 200, 300, 400)]}).axes
    assert axis.images[0].get_array().shape == (640, 640)
    (box,) = axis.patches
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (50, 100, 150, 200)
    assert "Pleural Thickening" in words(axis.figure)


def test_a_dollar_sign_in_a_title_is_no_formula():
    assert report.film(RAMP, title="a$b$c_{.png")._repr_png_()


def test_a_film_that_is_no_plane_is_refused():
    with pytest.raises(ValueError, match=r"must be \(H, W\); got shape \(2, 2, 3\). Pass Radiograph.pixels"):
        report.film(np.zeros((2, 2, 3)))


def test_the_overlay_is_opaque_where_the_map_is_high_and_clear_where_it_is_not_above_0():
    cam = np.full((3, 4), -5.0)
    cam[:, 3] = 8.0
    figure = report.film_with_map(RAMP, cam, label="Mass", opacity=0.5)
    left, middle, right = figure.axes[:3]
    assert len(left.images) == 1
    assert np.ma.getmaskarray(middle.images[0].get_array()).sum() == 9
    alpha = right.images[1].get_alpha()
    assert alpha.shape == RAMP.shape
    assert alpha[:, -1] == pytest.approx(0.5, abs=1e-5)
    assert alpha[:, :20].max() == 0
    assert "what speaks for Mass" in words(figure)


def test_a_map_that_speaks_for_nothing_leaves_the_film_clear_and_says_so():
    figure = report.film_with_map(RAMP, np.full((3, 3), -1.0))
    assert figure.axes[2].images[1].get_alpha().max() == 0
    assert "nothing here does" in words(figure)


def test_maps_on_one_scale_can_be_compared():
    figure = report.film_with_map(RAMP, np.full((3, 3), 2.0), scale=8.0, opacity=1.0)
    assert figure.axes[2].images[1].get_alpha() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("cam", "opacity", "message"),
    [
        (np.zeros((3, 3)), 1.5, r"opacity must lie in \[0, 1\]; got 1.5"),
        (np.zeros((1, 3, 3)), 0.5, r"cam must be \(h, w\); got shape \(1, 3, 3\).*maps\[0, 0\]"),
    ],
)
def test_a_wrong_map_or_opacity_is_refused(cam, opacity, message):
    with pytest.raises(ValueError, match=message):
        report.film_with_map(RAMP, cam, opacity=opacity)


def test_a_gallery_holds_every_film_with_its_title_and_hides_empty_places():
    figure = report.gallery([RAMP] * 5, list("abcde"), columns=3)
    assert [len(axis.images) for axis in figure.axes] == [1, 1, 1, 1, 1, 0]
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", "d", "e", ""]
    assert not figure.axes[5].axison


@pytest.mark.parametrize(("films", "titles"), [([], []), ([RAMP], ["a", "b"])])
def test_a_gallery_without_films_or_with_too_many_titles_is_refused(films, titles):
    with pytest.raises(ValueError, match="one title each"):
        report.gallery(films, titles)


def test_bars_have_the_length_of_their_probability_and_say_what_is_called():
    figure = report.findings_bars({"Mass": 0.25, "Edema": 0.75}, {"Mass": 0.2, "Edema": 0.9}, truth=["Edema"])
    (axis,) = figure.axes
    assert bar_lengths(axis) == [0.25, 0.75]
    assert {"0.25  called", "0.75", "● true"} <= set(words(figure).splitlines())
    # Each threshold is drawn twice: a white edge under a dark line.
    assert [line.get_xdata()[0] for line in axis.lines] == [0.2, 0.2, 0.9, 0.9]
    assert [bar.get_facecolor()[3] for bar in axis.patches] == [1.0, 0.35]


def test_a_probability_on_its_threshold_is_called():
    assert "0.40  called" in words(report.findings_bars({"Mass": 0.4}, {"Mass": 0.4}))


def test_a_finding_not_shown_on_real_films_is_grey_hatched_and_said_to_be():
    figure = report.findings_bars({"Mass": 0.6, "Edema": 0.7}, {"Mass": 0.5, "Edema": 0.5}, not_shown=["Mass"])
    mass, edema = figure.axes[0].patches
    red, green, blue, _ = mass.get_facecolor()
    assert red == green == blue
    assert mass.get_hatch()
    assert not edema.get_hatch()
    assert "Mass †" in words(figure)
    assert "Edema †" not in words(figure)
    assert "† not shown to work on real films" in words(figure)


def test_a_finding_never_asked_for_has_no_bar_and_says_why():
    figure = report.findings_bars({COVID: 0.9, "Mass": math.nan}, {COVID: 0.5, "Mass": 0.5})
    assert bar_lengths(figure.axes[0]) == [0.9, 0.0]
    assert "not asked: called COVID-19 first" in words(figure)


def test_a_bar_without_threshold_is_refused():
    with pytest.raises(ValueError, match=r"thresholds lack Mass; pass Predictor\.thresholds"):
        report.findings_bars({"Mass": 0.5}, {})


def test_the_overview_counts_each_file_once_and_each_finding_that_was_called():
    figure = report.triage_overview(triage_frame(), not_shown=["Mass"])
    left, right = figure.axes
    assert bar_lengths(left) == [1, 3, 1]
    called = dict(zip((*FINDINGS, "none called"), bar_lengths(right), strict=True))
    assert {name: count for name, count in called.items() if count} == {"Effusion": 2, "Mass": 1, "none called": 1}
    assert "5 files" in words(figure)
    assert "Mass †" in words(figure)


def test_the_overview_of_an_empty_folder_is_drawn():
    figure = report.triage_overview(triage_frame().head(0))
    assert bar_lengths(figure.axes[0]) == [0, 0, 0]
    assert figure._repr_png_()


def test_a_file_name_is_never_rendered_as_html():
    frame = triage_frame().assign(**{"Image Index": "<img src=x onerror=alert(1)>&.png"})
    table = report.triage_table(frame)
    assert "<img" not in table
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;.png" in table
    assert table._repr_html_() == table


def test_a_column_name_is_never_rendered_as_html():
    assert "<b>" not in report.triage_table(pd.DataFrame({"<b>": [1]}))


def test_a_triage_table_says_how_many_rows_it_left_out_and_that_it_is_no_medical_device():
    table = report.triage_table(triage_frame(), rows=2, columns=["Image Index"])
    assert table.count("<tr>") == 3
    assert "3 more rows." in table
    assert "status" not in table
    assert DISCLAIMER in table


def test_tables_stand_side_by_side_under_escaped_headings():
    both = report.beside({"<the report>": report.table(pd.DataFrame({"a": [1]})), "here": report.Html("<p>x</p>")})
    assert "<b>&lt;the report&gt;</b><table>" in both
    assert "<b>here</b><p>x</p>" in both


def test_a_long_list_of_findings_may_break():
    assert "Effusion|<wbr>Mass" in report.triage_table(triage_frame())


def test_a_table_gives_fractions_three_decimals_and_ages_none():
    table = report.table(pd.DataFrame({"age": [62.0], "prob": [1.0], "view": ["PA"]}))
    assert [cell in table for cell in (">62</td>", ">1.000</td>", ">PA</td>")] == [True] * 3


def test_a_triage_table_leaves_unknown_numbers_empty():
    assert ">0.250</td>" in report.triage_table(pd.DataFrame({"p": [0.25, math.nan]}))
    assert ">nan<" not in report.triage_table(pd.DataFrame({"p": [0.25, math.nan]}))


def test_a_metrics_table_gives_value_interval_n_and_the_reason_for_what_is_undefined():
    rows = {"Mass": {"AUROC": Estimate(0.8125, 0.7, 0.9, 1200)}, "Hernia": {"AUROC": UNDEFINED}}
    assert report.metrics_table(rows, first="finding").splitlines() == [
        "| finding | AUROC | n |",
        "| --- | ---: | ---: |",
        "| Mass | 0.812 (0.700 to 0.900) | 1,200 |",
        "| Hernia | undefined [1] | 0 |",
        "",
        "[1] no film has Hernia",
    ]


def test_a_value_without_interval_says_so_and_why():
    estimate = Estimate(1.0, math.nan, math.nan, 8, "no spread")
    lines = report.metrics_table({"Mass": {"AUROC": estimate}}).splitlines()
    assert lines[2] == "| Mass | 1.000 (no interval) [1] | 8 |"
    assert lines[-1] == "[1] no spread"
    assert "1.00 (no interval)" in words(report.intervals({"Mass": estimate}))


def test_a_metrics_table_leaves_a_cell_empty_where_a_row_lacks_the_column():
    estimate = Estimate(0.5, 0.25, 0.75, 4)
    table = report.metrics_table({"a": {"x": estimate}, "b": {"y": estimate}}, first="label")
    assert table.splitlines()[2:] == [
        "| a | 0.500 (0.250 to 0.750) |  | 4 |",
        "| b |  | 0.500 (0.250 to 0.750) | 4 |",
    ]


def test_estimates_of_different_films_have_their_own_n():
    row = {"sensitivity": Estimate(0.5, 0.25, 0.75, 4), "specificity": Estimate(0.5, 0.25, 0.75, 96)}
    lines = report.metrics_table({"Pleural_Thickening": row}).splitlines()
    assert lines[0] == "|  | sensitivity | specificity |"
    assert lines[2] == "| Pleural Thickening | 0.500 (0.250 to 0.750), n = 4 | 0.500 (0.250 to 0.750), n = 96 |"


def test_remarks_that_differ_in_a_count_only_are_made_once():
    rows = {str(k): {"AUROC": Estimate(0.5, 0.25, 0.75, 4, f"{k} of 2000 resamples left out")} for k in (3, 5)}
    lines = report.metrics_table(rows).splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[1] some of 2000 resamples left out"]


def test_published_stands_beside_measured():
    table = report.published_beside_measured({"films": (397, 120), "accuracy": (0.8262, Estimate(0.75, 0.5, 1.0, 8))})
    assert table.splitlines() == [
        "|  | report (2020) | measured here |",
        "| --- | ---: | ---: |",
        "| films | 397 | 120 |",
        "| accuracy | 0.8262 | 0.750 (0.500 to 1.000) |",
    ]


def test_intervals_are_drawn_from_low_to_high_with_chance_and_undefined_ones_say_why():
    figure = report.intervals({"Mass": Estimate(0.8, 0.7, 0.9, 9), "Hernia": UNDEFINED}, not_shown=["Mass"])
    bar, dot, chance = figure.axes[0].lines
    assert list(bar.get_xdata()) == [0.7, 0.9]
    assert list(dot.get_xdata()) == [0.8]
    assert chance.get_xdata()[0] == 0.5
    assert {"undefined: no film has Hernia", "0.80 (0.70 to 0.90)", "chance", "Mass †"} <= set(
        words(figure).splitlines()
    )


def test_a_confusion_matrix_shows_counts_and_their_share_of_the_truth():
    figure = report.confusion(np.array([[3, 1], [0, 0]]), [COVID, NOT_COVID])
    text = words(figure).splitlines()
    assert {"3", "75% of 4", "1", "25% of 4", "no such film"} <= set(text)
    assert np.array_equal(figure.axes[0].images[0].get_array(), [[0.75, 0.25], [0, 0]])


def test_a_confusion_matrix_that_does_not_fit_its_names_is_refused():
    with pytest.raises(ValueError, match=r"counts must be \(2, 2\), one row per name; got shape \(3, 3\)"):
        report.confusion(np.zeros((3, 3)), [COVID, NOT_COVID])


def test_a_roc_shows_the_curve_its_area_and_the_threshold_in_use():
    rates = np.array([0.0, 0.5, 1.0])
    figure = report.roc(
        {COVID: (rates, rates**2)}, areas={COVID: Estimate(0.9, 0.8, 1.0, 10)}, points={COVID: (0.5, 0.25)}
    )
    chance, curve, point = figure.axes[0].lines
    assert list(chance.get_xdata()) == [0, 1]
    assert list(curve.get_ydata()) == [0.0, 0.25, 1.0]
    assert curve.get_color() == COLOURS[COVID]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (0.5, 0.25)
    assert "COVID-19: 0.900 (0.800 to 1.000)" in words(figure)


def test_scores_count_what_lies_at_or_over_the_threshold():
    figure = report.scores({COVID: [0.2, 0.5, 0.9], NOT_COVID: []}, 0.5)
    assert "2 of 3\ncalled" in words(figure)
    assert "0 of 0\ncalled" in words(figure)
    assert "threshold 0.50" in words(figure)


def test_scores_are_drawn_alike_each_time():
    first, second = (report.scores({COVID: [0.2, 0.5]}, 0.5) for _ in range(2))
    assert np.array_equal(first.axes[0].lines[0].get_ydata(), second.axes[0].lines[0].get_ydata())


ESTIMATE = Estimate(0.8, 0.7, 0.9, 9)
ANSWERS = {
    "film_with_map": lambda simulated: report.film_with_map(RAMP, np.ones((2, 2)), simulated=simulated),
    "findings_bars": lambda simulated: report.findings_bars({"Mass": 0.5}, {"Mass": 0.5}, simulated=simulated),
    "triage_overview": lambda simulated: report.triage_overview(triage_frame(), simulated=simulated),
    "intervals": lambda simulated: report.intervals({"Mass": ESTIMATE}, simulated=simulated),
    "confusion": lambda simulated: report.confusion(np.eye(2), ["a", "b"], simulated=simulated),
    "roc": lambda simulated: report.roc({"Mass": (np.arange(2), np.arange(2))}, simulated=simulated),
    "scores": lambda simulated: report.scores({"a": [0.5]}, 0.5, simulated=simulated),
}
FILMS = {
    "film": lambda simulated: report.film(RAMP, simulated=simulated),
    "gallery": lambda simulated: report.gallery([RAMP], simulated=simulated),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_figure_with_an_answer_says_that_it_is_no_medical_device(name):
    assert "not a medical device" in " ".join(words(ANSWERS[name](False)).split())


@pytest.mark.parametrize("name", [*ANSWERS, *FILMS])
def test_every_figure_of_simulated_films_says_so_and_others_do_not(name):
    draw = (ANSWERS | FILMS)[name]
    assert "Simulated images." in words(draw(True))
    assert "Simulated" not in words(draw(False))


@settings(deadline=None)
@given(st.text())
def test_escaped_text_stays_in_its_table_cell(text):
    escaped = report.escape_markdown(text)
    assert "\n" not in escaped
    assert "<" not in escaped
    assert "|" not in escaped.replace("\\|", "")


def test_the_disclaimer_names_what_is_not_shown_and_what_is_simulated():
    text = report.disclaimer(simulated=True, not_shown=["Pleural_Thickening"])
    assert text.startswith(f"> **{DISCLAIMER}**")
    assert "simulated" in text
    assert "Not shown to work on real films: Pleural Thickening." in text
    assert "simulated" not in report.disclaimer()


# --- data sets -------------------------------------------------------------------------------------------------


def test_the_worth_of_a_call_is_counted_in_films_and_drawn_with_its_intervals():
    # Sensitivity 3/4, specificity 4/5: of 10,000 films at 10%, 750 of 1,000 and 1,800 of 9,000 are called.
    found = metrics.Worth.measure(
        [1, 1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.8, 0.7, 0.1, 0.6, 0.2, 0.2, 0.1, 0.3], threshold=0.5, prevalence=0.1
    )
    figure = report.worth(found, finding="Pleural_Thickening", simulated=True)
    text = words(figure)
    assert "Of 10,000 films 1,000 have Pleural Thickening: 750 called, 250 missed. Of the other 9,000, 1,800" in text
    assert "3 of 4\ncalled" in text
    assert "PPV 0.29" in text
    assert "Simulated images." in text
    curve = figure.axes[1].lines[0]
    assert curve.get_ydata()[-1] == pytest.approx(0.375 / 0.475)


def test_a_predictive_value_that_is_undefined_says_why():
    found = metrics.Worth.measure([1, 1, 0, 0], [0.2, 0.3, 0.1, 0.2], threshold=0.9, prevalence=0.1)
    assert "no image is predicted positive" in words(report.worth(found, finding="Mass"))


@pytest.mark.filterwarnings("error")
def test_films_of_one_class_are_drawn_and_what_is_unknown_is_not_counted():
    figure = report.worth(metrics.Worth.measure([0, 0], [0.2, 0.7], threshold=0.5, prevalence=0.1), finding="Mass")
    assert "no image is positive" in words(figure)
    assert "Of 10,000 films" not in words(figure)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_prevalences_of_groups_are_told_apart_by_marks_and_a_finding_without_films_is_not_drawn():
    share = Estimate(0.1, 0.05, 0.2, 50)
    groups = {"here": {"Mass": share, "Hernia": Estimate(0, 0, 0.1, 50)}, "there": {"Mass": share, "Hernia": share}}
    figure = report.prevalences(groups, title="shares")
    marks = [line.get_marker() for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert marks == ["o", "D", "D"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["Mass", "Hernia"]


def test_films_per_patient_are_drawn_as_shares_of_patients_and_of_films():
    counts = pd.DataFrame({"patients": [3, 1], "films": [3, 9]}, index=["1", "2+"])
    left, right = report.films_per_patient({"here": counts}).axes
    assert [bar.get_height() for bar in left.patches] == [0.75, 0.25]
    assert [bar.get_height() for bar in right.patches] == [0.25, 0.75]


def test_cooccurrence_is_a_share_of_the_row():
    pairs = pd.DataFrame([[10, 4, 0], [4, 8, 0], [0, 0, 0]], index=list("abc"), columns=list("abc"))
    figure = report.cooccurrence(pairs)
    text = words(figure)
    assert {"40%", "50%", "10 films", "0 films"} <= set(text.splitlines())
    assert text.splitlines().count("0%") == 2


def test_leakage_is_drawn_and_counted():
    names = ["test films", "test patients", "films shared", "patients shared"]
    deals = {"by film": pd.Series([20, 10, 5, 2], names), "none": pd.Series([0, 0, 0, 0], names)}
    figure = report.leakage(deals)
    assert "25%: 5 of 20 films,\n2 of 10 patients" in words(figure)
    assert bar_lengths(figure.axes[0]) == [1, 0.25, 1, 0]


def test_a_markdown_table_is_escaped():
    assert report.markdown(pd.DataFrame({"a|b": ["*x*"], "films": [12345]})) == (
        "| a\\|b | films |\n| --- | ---: |\n| \\*x\\* | 12,345 |"
    )


# ------------------------------------------------------------------------------------------------ training


def curves():
    rows = [
        (name, 0, epoch, np.nan if epoch == 0 else 1.0 / epoch, 0.5, area, spread)
        for name, area, spread in (("dead", 0.5, 0.0), ("learns", 0.8, 0.1))
        for epoch in range(3)
    ]
    return pd.DataFrame(rows, columns=["start", "seed", "epoch", "loss", "val_loss", "AUROC", "spread"])


def test_networks_are_drawn_where_their_measure_is_and_one_may_lack_it():
    figure = report.networks({"one": {"VGG16": 0.5, "ResNet50": 0.75}, "other": {"VGG16": 0.6}})
    axis = figure.axes[0]
    assert [list(line.get_xdata()) for line in axis.lines[:2]] == [[0.5, 0.75], [0.6]]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["VGG16", "ResNet50"]
    assert report.png(figure).startswith(b"\x89PNG")


def test_starts_show_a_spread_of_zero_at_the_foot_and_each_line_in_every_panel():
    figure = report.starts(curves(), prior=0.3, simulated=True)
    areas, spread, loss = figure.axes
    assert list(areas.lines[0].get_ydata()) == [0.5] * 3
    assert list(spread.lines[0].get_ydata()) == [1e-8] * 3
    assert list(spread.lines[1].get_ydata()) == [0.1] * 3
    assert list(loss.lines[1].get_ydata())[1:] == [1.0, 0.5]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dead", "learns"]
    assert report.png(figure).startswith(b"\x89PNG")


def test_epochs_name_the_three_best_findings_and_the_mean():
    best = {"Mass": 0.9, "Edema": 0.89, "Hernia": 0.88}
    columns = {f"{name} (val)": [0.5, best.get(name, 0.6)] for name in FINDINGS}
    columns |= {"epoch": [1, 2], "mean auroc (val)": [0.5, 0.66], "loss": [0.4, 0.3], "val_loss": [0.4, 0.35]}
    figure = report.epochs(pd.DataFrame(columns))
    words = {text.get_text(): text.xy[1] for text in figure.axes[0].texts}
    assert sorted(words) == ["Edema 0.89", "Hernia 0.88", "Mass 0.90", "mean 0.66"]
    # Words as near as these would lie over one another.
    heights = sorted(words.values())
    assert min(np.diff(heights)) >= 0.045 - 1e-9
    assert report.png(figure).startswith(b"\x89PNG")


def test_epochs_without_a_defined_auroc_are_drawn():
    columns = {f"{name} (val)": [np.nan] for name in FINDINGS}
    columns |= {"epoch": [1], "mean auroc (val)": [np.nan], "loss": [0.4], "val_loss": [0.4]}
    assert report.png(report.epochs(pd.DataFrame(columns))).startswith(b"\x89PNG")
