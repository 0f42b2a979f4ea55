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


def all_of(heat, boxes, threshold=0.5):
    return (
        metrics.pointing_hit(heat, boxes),
        metrics.energy_inside(heat, boxes),
        metrics.iou_of_mask(heat, boxes, threshold),
        metrics.iou_of_box(heat, boxes, threshold),
    )


def test_by_hand():
    # Heat 10 of 11 in the quarter; from 2 on the mask is the quarter; its box too.
    assert all_of(QUARTER, [UPPER_LEFT]) == pytest.approx((1, 10 / 11, 1, 1))
    assert all_of(QUARTER, [LEFT_HALF]) == pytest.approx((1, 10 / 11, 0.5, 0.5))
    assert all_of(QUARTER, [LOWER_RIGHT]) == pytest.approx((0, 1 / 11, 0, 0))
    # From 4 on one pixel of 16: 1/16 of the picture in a box of 4/16.
    assert metrics.iou_of_mask(QUARTER, [UPPER_LEFT], 1) == pytest.approx(0.25)


def test_a_box_that_cuts_a_pixel_takes_its_part():
    # One pixel of heat; the box holds its left half, and as much beside the picture's other pixel.
    heat = np.array([[1.0, 0.0]])
    box = [(0.25, 0, 0.5, 1)]
    assert metrics.energy_inside(heat, box) == pytest.approx(0.5)
    assert metrics.iou_of_mask(heat, box, 0.5) == pytest.approx(0.25 / 0.75)


def test_boxes_that_overlap_count_once():
    boxes = [UPPER_LEFT, (0.25, 0.25, 0.25, 0.25), LOWER_RIGHT]
    assert metrics.energy_inside(np.ones((3, 5)), boxes) == pytest.approx(0.5)
    assert metrics.iou_of_mask(np.ones((3, 5)), boxes, 0.5) == pytest.approx(0.5)


def test_all_of_several_hottest_places_must_lie_inside():
    heat = np.array([[1.0, 0.0, 1.0]])
    assert metrics.pointing_hit(heat, [(0, 0, 0.5, 1)]) == 0
    assert metrics.pointing_hit(heat, [(0, 0, 0.3, 1), (0.7, 0, 0.3, 1)]) == 1


def test_the_box_is_that_of_the_largest_part():
    heat = np.array([[9, 0, 0, 0], [0, 0, 5, 5], [0, 0, 0, 5]], float)
    assert metrics.heat_box(heat, 0.5) == pytest.approx((0.5, 1 / 3, 0.5, 2 / 3))
    assert metrics.heat_box([[9, 0, 3, 3]], 0.3) == (0.5, 0, 0.5, 1)
    # Of two parts of one size, the one with more heat.
    assert metrics.heat_box([[5, 0, 9]], 0.5) == pytest.approx((2 / 3, 0, 1 / 3, 1))
    # Pixels that meet at a corner are one part.
    assert metrics.heat_box([[5, 0], [0, 5]], 0.5) == (0, 0, 1, 1)


def test_the_best_of_several_truth_boxes_counts_for_the_box():
    assert metrics.iou_of_box(QUARTER, [LOWER_RIGHT, LEFT_HALF, UPPER_LEFT], 0.5) == 1


@slow_machine
@given(heats, box_lists, st.floats(0.01, 1))
def test_all_lie_in_0_to_1_or_are_undefined_together(heat, boxes, threshold):
    found = all_of(heat, boxes, threshold)
    if heat.max() > 0:
        assert all(0 <= value <= 1 for value in found)
        assert found[0] in (0, 1)
    else:
        assert all(math.isnan(value) for value in found)


@slow_machine
@given(heats, box_lists, st.floats(0.01, 1))
def test_mirroring_and_scaling_change_nothing(heat, boxes, threshold):
    mirrored = [(1 - x - w, y, w, h) for x, y, w, h in boxes]
    plain = all_of(heat, boxes, threshold)
    # Parts of one size and heat are told apart by their place: the box alone may change.
    assert all_of(heat[:, ::-1], mirrored, threshold)[1:3] == pytest.approx(plain[1:3], nan_ok=True, abs=1e-9)
    assert all_of(heat * 4, boxes, threshold) == pytest.approx(plain, nan_ok=True, abs=1e-9)
    larger = all_of(np.kron(heat, np.ones((2, 3))), boxes, threshold)
    assert larger[1:] == pytest.approx(plain[1:], nan_ok=True, abs=1e-9)


@slow_machine
@given(heats, box_lists)
def test_a_larger_box_never_holds_less(heat, boxes):
    larger = [*boxes, (0.2, 0.2, 0.5, 0.5)]
    if heat.max() > 0:
        assert metrics.energy_inside(heat, larger) >= metrics.energy_inside(heat, boxes) - 1e-12
        assert metrics.pointing_hit(heat, larger) >= metrics.pointing_hit(heat, boxes)
        assert metrics.energy_inside(heat, [(0, 0, 1, 1)]) == pytest.approx(1)


def test_a_map_is_also_pixels_at_film_size():
    rng = np.random.default_rng(0)
    heat = rng.random((32, 32))
    x, y, w, h = 8 / 32, 4 / 32, 10 / 32, 12 / 32
    inside = np.zeros((32, 32), bool)
    inside[4:16, 8:18] = True
    mask = heat >= 0.6 * heat.max()
    assert metrics.energy_inside(heat, [(x, y, w, h)]) == pytest.approx(heat[inside].sum() / heat.sum())
    assert metrics.iou_of_mask(heat, [(x, y, w, h)], 0.6) == pytest.approx(
        (mask & inside).sum() / (mask | inside).sum()
    )


@pytest.mark.parametrize(
    ("heat", "boxes", "message"),
    [
        (np.zeros(3), [UPPER_LEFT], r"heat must be \(h, w\) of finite numbers; got shape \(3,\)"),
        ([[math.nan]], [UPPER_LEFT], r"got shape \(1, 1\), with NaN or infinity"),
        ([[1.0]], [(10, 20, 100, 80)], "as fractions of the picture.* Divide pixels by the picture's width and height"),
        ([[1.0]], [(0.5, 0.5, 0, 0.1)], "with w and h above 0"),
        ([[1.0]], [0.1, 0.1, 0.5, 0.5], r"boxes must be \(boxes, 4\), each x, y, w, h; got shape \(4,\)"),
    ],
)
def test_maps_and_boxes_that_cannot_be_are_refused(heat, boxes, message):
    with pytest.raises(ValueError, match=message):
        metrics.energy_inside(heat, boxes)


def test_a_threshold_is_a_share_of_the_maximum():
    with pytest.raises(
        ValueError, match="threshold must be a share of the map's maximum, above 0 and at most 1; got 128"
    ):
        metrics.iou_of_mask(QUARTER, [UPPER_LEFT], 128)


def test_a_box_drawn_a_little_past_the_edge_is_cut():
    assert metrics.energy_inside(np.ones((4, 4)), [(0.5, 0.5, 0.52, 0.51)]) == pytest.approx(0.25)


# --- tables ----------------------------------------------------------------------------------------------------


def test_scores_are_a_row_for_each_film_measure_and_threshold():
    maps = [QUARTER, np.zeros((2, 2)), QUARTER, [[math.nan, 1.0]]]
    boxes = [[UPPER_LEFT], [UPPER_LEFT], [], [LEFT_HALF]]
    scores = metrics.score_maps(maps, boxes, thresholds=(0.5, 1))
    assert len(scores) == 4 * 7
    first = scores[scores["film"] == 0]
    assert first["measure"].tolist() == [
        "pointing game", "energy inside", "box area", "mask IoU", "box IoU", "mask IoU", "box IoU",
    ]  # fmt: skip
    assert first["value"].tolist() == pytest.approx([1, 10 / 11, 0.25, 1, 1, 0.25, 0.25])
    assert first["reason"].tolist() == [""] * 7
    reasons = scores[scores["measure"] == "energy inside"]["reason"].tolist()
    assert reasons == ["", "no heat above 0", "no truth box", "the map holds NaN or infinity"]
    undefined = scores[scores["value"].isna()]
    assert (undefined["reason"] != "").all()
    assert scores[scores["measure"] == "box area"]["value"].tolist() == pytest.approx(
        [0.25, 0.25, math.nan, 0.5], nan_ok=True
    )


def test_the_table_has_shares_and_means_with_intervals():
    scores = metrics.score_maps([QUARTER] * 3 + [QUARTER[::-1]], [[UPPER_LEFT]] * 4, thresholds=(0.5,))
    table = metrics.localisation_table(scores, iou_wanted=(0.5,), resamples=200, seed=0)
    assert table["measure"].tolist() == [
        "pointing game", "energy inside", "box area", "mask IoU", "box IoU", "box IoU >= 0.5",
    ]  # fmt: skip
    by_name = table.set_index("measure")
    assert by_name.loc["pointing game", ["value", "low", "high", "n"]].tolist() == [
        0.75, metrics.wilson(3, 4).low, metrics.wilson(3, 4).high, 4,
    ]  # fmt: skip
    assert by_name.loc["box IoU >= 0.5", "value"] == 0.75
    energy = metrics.mean_by_patient([10 / 11] * 3 + [0], resamples=200, seed=0)
    assert by_name.loc["energy inside", ["value", "low", "high"]].tolist() == pytest.approx(
        [energy.value, energy.low, energy.high]
    )


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
    assert expected.low < metrics.wilson(2, 4).low


def test_films_that_are_undefined_are_left_out_of_the_table_and_counted():
    scores = metrics.score_maps([QUARTER, np.zeros((4, 4)), QUARTER], [[UPPER_LEFT]] * 3)
    table = metrics.localisation_table(scores, resamples=20, seed=0).set_index("measure")
    assert table.loc["pointing game", "reason"] == "1 of 3 are undefined and were left out"
    assert table.loc["energy inside", "reason"] == "1 of 3 are undefined and were left out"
    assert (table.loc["pointing game", "n"], table.loc["box area", "n"]) == (2, 3)
    nothing = metrics.localisation_table(metrics.score_maps([np.zeros((2, 2))], [[UPPER_LEFT]]), seed=0)
    empty = nothing[nothing["measure"] != "box area"]
    assert empty["value"].isna().all()
    assert set(empty["reason"]) == {"1 of 1 are undefined and were left out"}


def test_maps_and_boxes_come_in_pairs():
    with pytest.raises(ValueError, match="got 2 maps and 1 lists"):
        metrics.score_maps([QUARTER, QUARTER], [[UPPER_LEFT]])


def test_scores_without_the_columns_to_keep_apart_are_refused():
    with pytest.raises(ValueError, match="scores lack method; make them with score_maps"):
        metrics.localisation_table(metrics.score_maps([QUARTER], [[UPPER_LEFT]]), by=["method"], seed=0)
