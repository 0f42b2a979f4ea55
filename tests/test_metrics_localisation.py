"""Heat maps against truth boxes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cxrkit import metrics

#: Four by four; the upper left quarter is hot, its first pixel most.
QUARTER = np.array([[4, 2, 0, 0], [2, 2, 0, 0], [0, 0, -9, 0], [0, 0, 0, 1]], float)
UPPER_LEFT, LEFT_HALF, LOWER_RIGHT = (0, 0, 0.5, 0.5), (0, 0, 0.5, 1), (0.5, 0.5, 0.5, 0.5)
slow_machine = settings(deadline=None, max_examples=60)

heats = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-2, 5).map(float))
edges = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda pair: pair[1] - pair[0] > 1e-3)
box_lists = st.lists(
    st.tuples(edges, edges).map(lambda xy: (xy[0][0], xy[1][0], xy[0][1] - xy[0][0], xy[1][1] - xy[1][0])),
    min_size=1,
    max_size=3,
)


def measures(heat, boxes, threshold=0.5):
    """Pointing game, energy inside and mask IoU of one map."""
    found = metrics.score_maps([heat], [boxes])
    found = found[found["threshold"].isin([threshold]) | found["threshold"].isna()].set_index("measure")["value"]
    return [found[name] for name in ("pointing game", "energy inside", "mask IoU")]


def test_by_hand():
    # Heat 10 of 11 in the quarter; from 2 on the mask is the quarter.
    assert measures(QUARTER, [UPPER_LEFT]) == pytest.approx((1, 10 / 11, 1))
    assert measures(QUARTER, [LEFT_HALF]) == pytest.approx((1, 10 / 11, 0.5))
    assert measures(QUARTER, [LOWER_RIGHT]) == pytest.approx((0, 1 / 11, 0))
    # All truth boxes together count for the mask.
    assert measures(QUARTER, [LOWER_RIGHT, UPPER_LEFT])[2] == 0.5
    # From 3 on one pixel of 16: 1/16 of the image in a box of 4/16.
    assert measures(QUARTER, [UPPER_LEFT], 0.75)[2] == pytest.approx(0.25)
    # All of several hottest places must lie inside.
    assert measures([[1.0, 0.0, 1.0]], [(0, 0, 0.5, 1)])[0] == 0
    assert measures([[1.0, 0.0, 1.0]], [(0, 0, 0.3, 1), (0.7, 0, 0.3, 1)])[0] == 1


def test_areas_are_exact_and_boxes_that_overlap_count_once():
    # One pixel of heat; the box holds its left half, and as much beside the image's other pixel.
    assert measures([[1.0, 0.0]], [(0.25, 0, 0.5, 1)])[1:3] == pytest.approx([0.5, 0.25 / 0.75])
    boxes = [UPPER_LEFT, (0.25, 0.25, 0.25, 0.25), LOWER_RIGHT]
    assert measures(np.ones((3, 5)), boxes)[1:3] == pytest.approx([0.5, 0.5])
    # A box drawn a little past the edge is cut.
    assert measures(np.ones((4, 4)), [(0.5, 0.5, 0.52, 0.51)])[1] == pytest.approx(0.25)


@slow_machine
@given(heats, box_lists, st.sampled_from([0.25, 0.5, 0.75]))
def test_measures_lie_in_0_to_1_or_are_undefined_together_and_mirroring_and_scaling_change_none(heat, boxes, threshold):
    plain = measures(heat, boxes, threshold)
    if heat.max() > 0:
        assert all(0 <= value <= 1 for value in plain)
        assert measures(heat, [*boxes, (0.2, 0.2, 0.5, 0.5)])[1] >= plain[1] - 1e-12
    else:
        assert all(math.isnan(value) for value in plain)
    assert measures(heat * 4, boxes, threshold) == pytest.approx(plain, nan_ok=True, abs=1e-9)
    mirrored = measures(heat[:, ::-1], [(1 - x - w, y, w, h) for x, y, w, h in boxes], threshold)
    larger = measures(np.kron(heat, np.ones((2, 3))), boxes, threshold)
    for found in (mirrored, larger):
        assert found[1:] == pytest.approx(plain[1:], nan_ok=True, abs=1e-9)


@pytest.mark.parametrize(
    ("heat", "boxes", "message"),
    [
        (np.zeros(3), [UPPER_LEFT], r"a map must be \(h, w\); got shape \(3,\)"),
        ([[1.0]], [(10, 20, 100, 80)], "as fractions of the image.* Divide pixels by the image's width and height"),
        ([[1.0]], [(0.5, 0.5, 0, 0.1)], "with w and h above 0"),
        ([[1.0]], [0.1, 0.1, 0.5, 0.5], r"boxes must be \(boxes, 4\), each x, y, w, h; got shape \(4,\)"),
    ],
)
def test_impossible_maps_and_boxes_are_refused(heat, boxes, message):
    with pytest.raises(ValueError, match=message):
        metrics.score_maps([heat], [boxes])
    with pytest.raises(ValueError, match="got 2 maps and 1 lists"):
        metrics.score_maps([QUARTER, QUARTER], [[UPPER_LEFT]])
    with pytest.raises(ValueError, match="scores lack method; make them with score_maps"):
        metrics.localisation_table(metrics.score_maps([QUARTER], [[UPPER_LEFT]]), by=["method"], seed=0)


def test_scores_are_a_row_for_each_image_measure_and_threshold():
    maps = [QUARTER, np.zeros((2, 2)), QUARTER, [[math.nan, 1.0]]]
    scores = metrics.score_maps(maps, [[UPPER_LEFT], [UPPER_LEFT], [], [LEFT_HALF]])
    assert len(scores) == 4 * 6
    first = scores[scores["film"] == 0]
    assert first["measure"].tolist() == ["pointing game", "energy inside", "box area", *["mask IoU"] * 3]
    # From 1 on the mask is also the pixel in the lower right.
    assert first["value"].tolist() == pytest.approx([1, 10 / 11, 0.25, 4 / 5, 1, 0.25])
    reasons = scores[scores["measure"] == "energy inside"]["reason"].tolist()
    assert reasons == ["", "no heat above 0", "no truth box", "the map holds NaN or infinity"]
    assert (scores["value"].isna() == (scores["reason"] != "")).all()
    areas = scores[scores["measure"] == "box area"]["value"].tolist()
    assert areas == pytest.approx([0.25, 0.25, math.nan, 0.5], nan_ok=True)


def test_the_table_keeps_methods_apart_and_counts_by_patient():
    maps = [QUARTER, QUARTER, QUARTER[::-1], QUARTER[::-1]] * 2
    scores = metrics.score_maps(maps, [[UPPER_LEFT]] * 8)
    scores["method"] = scores["film"].map(lambda film: "CAM" if film < 4 else "saliency")
    scores["patient_id"] = scores["film"].map(lambda film: "abcdefgh"[film // 2])
    table = metrics.localisation_table(scores, by=["method"], resamples=50, seed=0)
    hits = table[table["measure"] == "pointing game"]
    assert hits["method"].tolist() == ["CAM", "saliency"]
    assert hits["value"].tolist() == [0.5, 0.5]
    expected = metrics.proportion([1, 1, 0, 0], list("aabb"))
    assert hits["low"].tolist() == pytest.approx([expected.low] * 2)
    energy = table[table["measure"] == "energy inside"].iloc[0]
    mean = metrics.mean_by_patient([10 / 11, 10 / 11, 0, 0], list("aabb"), resamples=50, seed=0)
    assert energy[["value", "low", "high"]].tolist() == pytest.approx([mean.value, mean.low, mean.high])


def test_images_that_are_undefined_are_left_out_of_the_table_and_counted():
    scores = metrics.score_maps([QUARTER, np.zeros((4, 4)), QUARTER], [[UPPER_LEFT]] * 3)
    table = metrics.localisation_table(scores, resamples=20, seed=0).set_index("measure")
    assert set(table.loc[["pointing game", "energy inside"], "reason"]) == {"1 of 3 are undefined and were left out"}
    assert (table.loc["pointing game", "n"], table.loc["box area", "n"]) == (2, 3)
    nothing = metrics.localisation_table(scores[scores["film"] == 1], seed=0).query("measure != 'box area'")
    assert nothing["value"].isna().all()
    assert set(nothing["reason"]) == {"1 of 1 are undefined and were left out"}
