"""Figures and tables: what is drawn, in words and numbers, and that nothing a user names is rendered."""

import math
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection, PathCollection

from cxrkit import metrics, show
from cxrkit.explain import BoxedFilm
from cxrkit.labels import COVID, DISCLAIMER, NOT_COVID
from cxrkit.metrics import Estimate
from cxrkit.show._rendered import escape_markdown

RAMP = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (30, 1))
UNDEFINED = Estimate(math.nan, math.nan, math.nan, 0, "no image has Hernia")
GOOD = Estimate(0.8, 0.7, 0.9, 9)
FILM = BoxedFilm("a", "p", np.zeros((64, 64), np.float32), {"Effusion": ((0.5, 0.0, 0.5, 1.0),)})


def words(figure):
    """All text of a figure, one string a line."""
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def dots(axis):
    """Place of each dot, in the order in which they were drawn."""
    found = [part.get_offsets() for part in axis.collections if isinstance(part, PathCollection)]
    return [tuple(map(float, dot)) for part in found for dot in part]


FIGURES = {
    "overlay": (RAMP, np.ones((2, 2))),
    "findings": ({"Mass": 0.5}, {"Mass": 0.5}),
    "forest": ({"Mass": GOOD},),
    "matrix": (pd.DataFrame(np.eye(2)),),
    "figure": (4, 3),
    "scores": ({"a": [0.5]}, 0.5),
    "images": ([RAMP],),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_names_simulated_images_and_every_prediction_holds_the_disclaimer(name):
    for simulated in (True, False):
        figure = getattr(show, name)(*FIGURES[name], simulated=simulated)
        text = " ".join(words(figure).split())
        assert ("Simulated images." in text) == simulated
        assert ("not a medical device" in text) == (name != "images")
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_theme_is_that_of_a_figure_alone_also_when_threads_draw():
    before = dict(matplotlib.rcParams)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: show.forest({"Mass": GOOD}).png(), range(3)))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("overlay", (RAMP, np.zeros((1, 3, 3))), r"cam must be \(h, w\); got shape \(1, 3, 3\).*maps\[0, 0\]"),
        ("heat_maps", ([FILM], ["Effusion"], {"cam": [RAMP] * 2}), "their numbers are 1, 1, 2, 1"),
        ("findings", ({"Mass": 0.5}, {}), r"thresholds lack Mass; pass Predictor\.thresholds"),
    ],
)
def test_what_cannot_be_drawn_is_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(show, name)(*arguments)


def test_images_are_drawn_from_0_to_1_with_titles_in_which_a_dollar_sign_is_no_formula():
    for pixels in (RAMP, np.rint(RAMP * 255).astype(np.uint8)):
        (image,) = show.images(pixels).axes[0].images
        assert image.get_clim() == (0, 1)
        assert np.asarray(image.get_array()) == pytest.approx(RAMP, abs=1 / 255)
    figure = show.images([RAMP] * 5, ["a$b$c_{.png", *"bcde"], columns=3)
    assert [axis.get_title() for axis in figure.axes] == ["a$b$c_{.png", "b", "c", "d", "e"]
    assert figure.png()


def test_a_large_image_is_reduced_and_its_boxes_with_it():
    large = np.zeros((1280, 1280), np.float32)
    axis = show.overlay(large, np.ones((2, 2)), boxes={"Pleural_Thickening": [(100, 200, 300, 400)]}).axes[0]
    assert axis.images[0].get_array().shape == (640, 640)
    (box,) = axis.patches
    assert axis.images[0].get_extent() == [-0.5, 1279.5, 1279.5, -0.5]
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (99.5, 199.5, 300, 400)


def test_evidence_against_the_label_is_clear_in_the_overlay_and_maps_on_one_scale_can_be_compared():
    cam = np.full((3, 4), -5.0)
    cam[:, 3] = 8.0
    left, middle, right = show.overlay(RAMP, cam, label="Mass", opacity=0.5).axes[:3]
    assert np.ma.getmaskarray(middle.images[0].get_array()).sum() == 9
    over = np.asarray(right.images[0].get_array())
    grey = np.asarray(left.images[0].get_array())[..., None].repeat(3, axis=2) * 255
    assert over[:, :20] == pytest.approx(grey[:, :20], abs=1.5)
    assert np.ptp(over[:, -1], axis=-1).min() > 40
    assert "(none here)" in words(show.overlay(RAMP, np.full((3, 3), -1.0)))
    weak, strong = (show.overlay(RAMP, np.full((3, 3), 2.0), scale=scale).axes[2] for scale in (8.0, 2.0))
    assert np.ptp(weak.images[0].get_array()[0, 0]) < np.ptp(strong.images[0].get_array()[0, 0])


def test_methods_stand_side_by_side_with_the_truth_on_each():
    maps = {"cam": [np.ones((4, 4))] * 2, "saliency": [np.zeros((4, 4))] * 2}
    figure = show.heat_maps([FILM] * 2, ["Effusion"] * 2, maps, simulated=True)
    assert [axis.get_title() for axis in figure.axes] == ["Effusion", "cam", "saliency"] * 2
    (box,) = figure.axes[1].patches
    # The right half of 64 pixels, whose first begins at -0.5.
    assert (box.get_x(), box.get_width(), box.get_height()) == (31.5, 32, 64)
    pairs = show.heat_maps([FILM] * 2, ["Effusion"] * 2, {"cam": maps["cam"]}, captions=["better", "worse"], across=2)
    assert [axis.get_title() for axis in pairs.axes] == ["Effusion", "better", "Effusion", "worse"]


def test_bars_have_the_length_of_their_probability_and_name_what_is_positive_or_not_shown_on_real_films():
    thresholds = {"Mass": 0.2, "Edema": 0.9, "Nodule": 0.4, "Hernia": 0.5}
    probs = {"Mass": 0.25, "Edema": 0.75, "Nodule": 0.4, "Hernia": math.nan}
    figure = show.findings(probs, thresholds, not_shown=["Mass"], truth=["Mass"])
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == [0.25, 0.75, 0.4, 0]
    text = set(words(figure).splitlines())
    assert {"0.25  positive", "0.75", "0.40  positive", "not predicted"} <= text
    assert {"Mass †", "Edema", "† not shown to work on real images", "● true"} <= text
    drawn = {segment[0, 0] for part in axis.collections for segment in part.get_segments()}
    assert drawn == set(thresholds.values())
    mass, edema = axis.patches[:2]
    assert len(set(mass.get_facecolor()[:3])) == 1
    assert (bool(mass.get_hatch()), bool(edema.get_hatch())) == (True, False)


def test_scores_count_what_lies_at_or_over_the_threshold_and_are_drawn_alike_each_time():
    one, other = (show.scores({COVID: [0.2, 0.5, 0.9], NOT_COVID: []}, 0.5) for _ in range(2))
    assert {"2 of 3\npositive", "0 of 0\npositive"} <= {text.get_text() for text in one.axes[0].texts}
    assert dots(one.axes[0]) == dots(other.axes[0])
    assert [x for x, _ in dots(one.axes[0])] == [0.2, 0.5, 0.9]


def test_intervals_are_drawn_from_low_to_high_with_chance_and_undefined_ones_have_their_reason():
    figure = show.forest({"Mass": GOOD, "Hernia": UNDEFINED}, not_shown=["Mass"])
    (axis,) = figure.axes
    (interval, *_) = next(part for part in axis.collections if isinstance(part, LineCollection)).get_segments()
    assert interval[:, 0].tolist() == [0.7, 0.9]
    assert dots(axis) == [(0.8, 0.0)]
    assert axis.lines[0].get_xdata()[0] == 0.5
    assert {"undefined: no image has Hernia", "chance", "Mass †"} <= set(words(figure).splitlines())
    assert "0.80 (0.70 to 0.90), n = 9" in words(figure)


def test_groups_share_a_row_and_differ_by_marker_and_a_name_may_lack_one():
    groups = {"one": {"VGG16": 0.5, "ResNet50": 0.75}, "other": {"VGG16": 0.6}}
    assert dots(show.forest(groups).axes[0]) == [(0.5, -0.2), (0.75, 1.0), (0.6, 0.2)]
    frame = pd.DataFrame([("one", "VGG16", 0.5, 0.3), ("other", "VGG16", 0.6, 0.4)])
    frame = frame.set_axis(["group", "name", "value", "even"], axis=1).assign(low=math.nan, high=math.nan)
    figure = show.forest(frame, marks=("even",), marks_name="even")
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["VGG16"]
    assert [[*line.get_xdata()] for line in axis.lines] == [[0.5, 0.5], [0.3, 0.4]]
    assert [handle.get_marker() for handle in figure.legends[0].legend_handles] == ["o", "D", "|"]


@pytest.mark.filterwarnings("error")
def test_the_worth_of_a_prediction_is_counted_in_images_and_has_a_reason_where_undefined():
    # Sensitivity 3/4, specificity 4/5: of 10,000 images at 10%, 750 of 1,000 and 1,800 of 9,000 are positive.
    targets, probs = [1, 1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.8, 0.7, 0.1, 0.6, 0.2, 0.2, 0.1, 0.3]
    found = metrics.Worth.measure(targets, probs, threshold=0.5, prevalence=0.1)
    figure = show.worth(found, finding="Pleural_Thickening")
    text = words(figure)
    assert "Of 10,000 images 1,000 have Pleural Thickening: 750 are positive, 250 are missed." in text
    assert "Of the other 9,000, 1,800 are positive." in text
    assert figure.axes[1].lines[0].get_ydata()[-1] == pytest.approx(0.375 / 0.475)
    for some, threshold, reason in (
        (targets, 0.95, "no image is predicted positive"),
        ([0] * 9, 0.5, "no image is positive"),
    ):
        figure = show.worth(metrics.Worth.measure(some, probs, threshold=threshold, prevalence=0.1), finding="Mass")
        assert reason in words(figure)
        assert figure.png()


@settings(deadline=None)
@given(st.text())
def test_nothing_that_a_user_names_is_rendered(text):
    escaped = escape_markdown(text)
    assert not {"\n", "<"} & set(escaped)
    assert "|" not in escaped.replace("\\|", "")
    frame = pd.DataFrame({"Image Index": ["<img src=x onerror=alert(1)>&*.png"], "<b>": ["Effusion|Mass"]})
    table = show.table(frame, title="<i>")
    assert "<" not in table
    assert r"&lt;img src=x onerror=alert(1)&gt;&amp;\*.png" in table
    # A long list of findings may break after each bar.
    assert r"Effusion\| Mass" in table


def test_a_table_formats_numbers_counts_what_it_left_out_and_holds_the_disclaimer():
    frame = pd.DataFrame({"age": [62.0, 1.0, 0.0], "n": [12345, 2, 3], "prob": [0.25, math.nan, 1]})
    assert show.table(frame, rows=2, title="images", model=True) == (
        "**images**\n\n| age | n | prob |\n| ---: | ---: | ---: |\n| 62 | 12,345 | 0.250 |\n| 1.000 | 2 |  |\n\n"
        f"1 more row.\n\n*{DISCLAIMER}*\n\n"
    )


def test_estimates_have_value_interval_n_and_the_reason_for_what_is_undefined():
    rows = {"Mass": {"AUROC": Estimate(0.8125, 0.7, 0.9, 1200)}, "Hernia": {"AUROC": UNDEFINED}}
    text = "| Mass | 0.812 (0.700 to 0.900) | 1,200 |\n| Hernia | undefined [1] | 0 |\n\n[1] no image has Hernia"
    assert text in show.table(rows, first="finding")
    # Remarks that differ in a count alone are made once.
    several = {str(k): {"AUROC": Estimate(1.0, math.nan, math.nan, 8, f"{k} of 9 resamples left out")} for k in (3, 5)}
    assert show.table(several).count("resamples left out") == 1


def test_a_row_may_lack_a_column_and_estimates_of_different_images_have_their_own_n():
    one = Estimate(0.5, 0.25, 0.75, 4)
    table = show.table({"a": {"x": one}, "b": {"y": one}}, first="label")
    assert table.splitlines()[2:] == ["| a | 0.500 (0.250 to 0.750) |  | 4 |", "| b |  | 0.500 (0.250 to 0.750) | 4 |"]
    row = {"recall": one, "specificity": Estimate(0.5, 0.25, 0.75, 96)}
    (*_, line) = show.table({"Pleural_Thickening": row}).splitlines()
    assert line == "| Pleural Thickening | 0.500 (0.250 to 0.750), n = 4 | 0.500 (0.250 to 0.750), n = 96 |"


def test_published_stands_beside_measured():
    table = show.table({"films": (397, 120), "accuracy": (0.8262, Estimate(0.75, 0.5, 1.0, 8)), "loss": (None, "none")})
    assert table.splitlines()[::2] == [
        "|  | report (2020) | measured here |",
        "| films | 397 | 120 |",
        "| loss |  | none |",
    ]
    assert "| accuracy | 0.8262 | 0.750 (0.500 to 1.000) |" in table


def test_a_tidy_frame_of_estimates_becomes_a_row_per_name():
    scores = pd.DataFrame(
        [("Mass", "IoU", 0.5, 0.2, 0.1, 0.3, 3, ""), ("Mass", "hits", math.nan, 0.5, 0.1, 0.9, 3, "")],
        columns=["finding", "measure", "threshold", "value", "low", "high", "n", "reason"],
    )
    table = show.table(scores, by=("finding",), columns={"hits": ("hits", None), "IoU at 0.5": ("IoU", 0.5)})
    assert table.startswith("| finding | hits | IoU at 0.5 | n |")
    assert "| Mass | 0.500 (0.100 to 0.900) | 0.200 (0.100 to 0.300) | 3 |" in table


def test_the_disclaimer_names_what_is_not_shown_and_what_is_simulated():
    text = show.disclaimer(simulated=True, not_shown=["Pleural_Thickening"])
    assert text.startswith(f"> **{DISCLAIMER}**")
    assert "Not shown to work on real images: Pleural Thickening." in text
    assert ("simulated" in text, "simulated" in show.disclaimer()) == (True, False)
