import hashlib
import io
import itertools

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cxrkit import phantom
from cxrkit.labels import COVID
from cxrkit.phantom import _patients as patients
from cxrkit.phantom import _png as png
from cxrkit.phantom import _render as render
from cxrkit.phantom import _solids as solids
from cxrkit.phantom._findings import KINDS

SMALL = 96


def make_rays(size=64, px=0.5, source=168.0, beam=3.0):
    axis = (np.arange(size) - size / 2 + 0.5) * px
    return solids.Rays(u=axis[None, :], v=axis[:, None], source_cm=source, beam_v=beam, cm_per_px=px)


def grey_film(seed, **options):
    """A film and its grey values before they are rounded, float64 (H, W) in [0, 255]."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "quantise", lambda grey: grey)
        return phantom.simulate(seed, **options)


def shown(kind, seed=5, size_px=SMALL, **options):
    return phantom.simulate(seed, size_px=size_px, findings=(kind,), **options)


def test_diverging_path_through_a_tilted_ellipsoid_equals_numerical_integration():
    rays = make_rays(size=24, px=1.0, source=90.0)
    centre, axes, tilt = (2.0, -1.0, 4.0), (6.0, 3.0, 5.0), 0.5
    got = solids.length(solids.ellipsoid(rays, centre, axes, tilt))
    z = np.linspace(-10, 15, 25001)
    for row, col in itertools.product(range(4, 20, 5), repeat=2):
        shrink = 1 - z / rays.source_cm
        dx = rays.u[0, col] * shrink - centre[0]
        dy = rays.beam_v + (rays.v[row, 0] - rays.beam_v) * shrink - centre[1]
        p = (dx * np.cos(tilt) + dy * np.sin(tilt)) / axes[0]
        q = (dy * np.cos(tilt) - dx * np.sin(tilt)) / axes[1]
        inside = p * p + q * q + ((z - centre[2]) / axes[2]) ** 2 <= 1
        assert got[row, col] == pytest.approx(inside.sum() * 0.001, abs=0.004)


def test_tube_path_is_the_chord_of_its_circle_its_wall_the_difference_of_two_and_a_bend_counts_once():
    rays, radii = make_rays(size=65, px=0.25, source=1e9, beam=0.0), np.full((1, 3), 2.0)
    tube = solids.polylines(rays, np.array([[[-4.0, 0.0, 0.0], [4.0, 0.0, 0.0]]]), radii[:, :2], radii[:, :2])
    # Through the axis 4 cm; 1 cm off the axis 2 * sqrt(4 - 1).
    assert solids.tube_paths(rays, tube)[[32, 36, 41], 32] == pytest.approx([4.0, 2 * np.sqrt(3), 0.0], rel=1e-6)
    wall = solids.tube_paths(rays, tube, shells=((0.0, 1.0), (0.5, -1.0)))
    assert wall[32, 32] == pytest.approx(4.0 - 3.0, rel=1e-6)
    # Near the edge the wall is thicker than in the middle: cortex draws two bright lines.
    assert wall[38, 32] > 2 * wall[32, 32]
    rays, radii = make_rays(size=121, px=0.1, source=1e9, beam=0.0), 0.4 * radii
    bend = np.array([[[-4.0, 0.0, 0.0], [0.0, 0.0, 0.0], [3.5, 1.5, 0.0]]])
    path = solids.tube_paths(rays, solids.polylines(rays, bend, radii, radii))
    assert path[60, 30:60].min() > 1.55
    assert path.max() < 1.65


@pytest.mark.parametrize(
    ("seed", "findings", "sha256"),
    [
        (1, None, "2d41b6cd404a7daaa1a2c0ae9d0e91c307fb03695cb6b2444fdd674a992d6fd2"),
        (2, ("Effusion",), "3de7f0c0cec48a7e69baf321cdb3b1071e23184c525019d2f459cc68530a6878"),
        (3, (COVID,), "a6c462d169910ed0a8002b6c67ffeb621220ae1b3a7769d49983a9cd2400e5d0"),
    ],
)
def test_bytes_are_those_of_the_freeze(seed, findings, sha256):
    assert hashlib.sha256(phantom.simulate(seed, size_px=64, findings=findings).png()).hexdigest() == sha256


def test_error_of_one_part_in_a_million_million_changes_no_byte(monkeypatch):
    # Other processors and NumPy releases differ in the last bits of exp, log, sin and pow; this is 4,000 times more.
    def films():
        return [shown(kind, seed=k, size_px=64, severity=0.6).pixels for k, kind in enumerate(KINDS)]

    before, shake, real = films(), np.random.RandomState(0), render.attenuation
    monkeypatch.setattr(render, "attenuation", lambda *a: real(*a) * (1 + 1e-12 * shake.uniform(-1, 1, size=(64, 64))))
    np.testing.assert_array_equal(films(), before)


def test_global_random_state_is_neither_read_nor_moved():
    made = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 - what must be neither read nor touched
        before = np.random.get_state()[1].copy()  # noqa: NPY002 - as above
        made.append(phantom.simulate(3, size_px=64).png())
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002 - as above
    assert made[0] == made[1]


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 301)])
def test_png_is_read_back_exactly_and_holds_stored_blocks_whatever_zlib_is(shape):
    pixels = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    data = png.encode(pixels)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), pixels)
    raw = shape[0] * (shape[1] + 1)
    assert len(data) == 8 + (12 + 13) + (12 + 2 + raw + 5 * -(-raw // 65535) + 4) + 12


def test_many_films_come_in_order_from_two_processes():
    specs = [3, {"seed": 1, "findings": ("Mass",)}, 2]
    alone = [one.png() for one in phantom.simulate_many(specs, size_px=32)]
    assert [one.png() for one in phantom.simulate_many(specs, size_px=32, workers=2)] == alone


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_hold_the_mask_and_touch_it(kind):
    one = shown(kind, seed=6, severity=0.7)
    assert list(one.labels) == [kind]
    held, mask = np.zeros((SMALL, SMALL), bool), one.masks[kind]
    for x, y, w, h in np.array(one.boxes[kind], int):
        held[y : y + h, x : x + w] = True
    assert mask.any()
    assert not (mask & ~held).any()
    for axis in (0, 1):
        ends = [np.flatnonzero(part.any(axis))[[0, -1]].tolist() for part in (held, mask)]
        assert ends[0] == ends[1]


@pytest.mark.parametrize("kind", KINDS)
def test_lesion_changes_more_the_severer_it_is_and_the_faintest_is_above_the_noise(kind):
    none, changes = grey_film(8, size_px=128, findings=()).pixels, []
    for severity in (1.0, 0.6, 0.3, 0.05):
        one = grey_film(8, size_px=128, findings=(kind,), severity=severity)
        difference = one.pixels - none
        changes.append(np.abs(difference - np.median(difference)))
    means = [change.mean() for change in changes]
    assert means == sorted(means, reverse=True)
    # Contrast inside the mask, in grey levels, against the noise of a lung in the same film.
    noise = 1.5 * np.median(np.abs((none - ndimage.median_filter(none, 3))[one.lung_mask]))
    assert changes[-1][one.masks[kind]].mean() > 2 * noise


@pytest.mark.parametrize("view", phantom.VIEWS)
def test_heart_is_over_half_the_thorax_only_in_cardiomegaly_as_one_measures_on_the_film(view):
    for seed in range(15):
        normal = phantom.simulate(seed, size_px=32, findings=(), view=view)
        large = shown("Cardiomegaly", seed=seed, size_px=32, severity=0.01 + 0.06 * seed, view=view)
        assert 0.35 < normal.cardiothoracic_ratio < 0.5 < large.cardiothoracic_ratio < 0.75
    for seed in range(4):
        one = shown("Cardiomegaly", seed=seed, size_px=256, severity=0.3, view=view)
        (_, _, width, _), columns = one.boxes["Cardiomegaly"][0], np.flatnonzero(one.lung_mask.any(axis=0))
        assert width / (columns[-1] - columns[0] + 1) == pytest.approx(one.cardiothoracic_ratio, abs=0.035)


def test_covid_patches_lie_in_both_lungs_outside_and_mostly_below():
    lower = []
    for seed in range(12):
        one = shown(COVID, seed=seed, severity=0.5)
        (ys, xs), (ly, lx) = np.nonzero(one.masks[COVID]), np.nonzero(one.lung_mask)
        middle = (lx.min() + lx.max()) / 2
        assert xs.min() < middle < xs.max()
        assert np.abs(xs - middle).mean() > np.abs(lx - middle).mean()
        lower.append((ys.mean() - ly.mean()) / np.ptp(ly))
        assert (one.findings, one.covid, len(one.boxes[COVID]) >= 4) == ((), True, True)
    assert np.mean(lower) > 0.03


def test_drawn_findings_follow_the_committed_rates_and_an_enriched_draw_holds_every_one_often():
    n, wanted = 50_000, np.array(phantom.rates()["pair"])
    drawn = phantom.draw_findings(phantom.stream(1, "labels"), n).astype(float)
    # Five standard errors of a count, for 105 rates at once.
    assert (np.abs(drawn.T @ drawn / n - wanted) < 5 * np.sqrt(wanted / n) + 2 / n).all()
    sets, probs = patients._sets()
    np.testing.assert_allclose((sets * probs[:, None]).T @ sets, wanted, atol=2e-6)
    drawn = phantom.draw_findings(phantom.stream(2, "labels"), 4000, enrich=1.0)
    assert drawn.any(axis=1).all()
    assert drawn.mean(axis=0).min() > 1 / 14 - 0.02


def test_series_keeps_the_patient_and_the_place_and_follows_the_course():
    films = phantom.simulate_series(9, n=4, course="grow", findings=("Effusion", "Mass"), size_px=SMALL)
    assert len({(f.seed, f.sex, f.age, f.view) for f in films}) == 1
    assert [f.follow_up for f in films] == [0, 1, 2, 3]
    for grown in ([f.labels["Effusion"] for f in films], [f.masks["Effusion"].sum() for f in films]):
        assert grown == sorted(grown)
    assert films[-1].labels["Effusion"] == 1.0
    assert len({f.png() for f in films}) == 4
    centres = [ndimage.center_of_mass(f.masks["Mass"]) for f in (films[0], films[-1])]
    assert np.hypot(*np.subtract(*centres)) < 0.12 * SMALL
    for course, there in (("appear", [False, True]), ("resolve", [True, False])):
        films = phantom.simulate_series(9, n=2, course=course, findings=(COVID,), size_px=32)
        assert [film.covid for film in films] == there


def test_nuisances_change_pixels_and_nothing_that_is_known_of_them():
    plain = phantom.simulate(5, size_px=SMALL, findings=("Mass",))
    for nuisance in ({"marker": "L"}, {"leads": 3}, {"source": "B"}):
        marked = phantom.simulate(5, size_px=SMALL, findings=("Mass",), nuisance=nuisance)
        assert (marked.pixels != plain.pixels).any()
        np.testing.assert_array_equal(plain.masks["Mass"], marked.masks["Mass"])
        assert marked.labels == plain.labels
    assert (marked.pixels[:, :4] == 2).all()
    assert np.abs(phantom.restyled(plain.pixels, "B").astype(int) - marked.pixels).max() <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, r"seed must be a whole number from 0 to 2\*\*63 - 1; got -1"),
        ({"size_px": 8}, "size_px must be a whole number from 32 to 2048; got 8"),
        ({"view": "LL"}, "view must be PA, AP or None"),
        ({"age": 5}, "age must be 18 to 100 years"),
        ({"findings": "Mass"}, r"Pass \('Mass',\)"),
        ({"findings": ("Fracture",)}, "findings must be of Atelectasis"),
        ({"severity": 0}, r"severity must lie in \(0, 1\]; got 0"),
        ({"severity": {"Gout": 0.5}}, "findings must be of .*COVID-19; got Gout"),
        ({"nuisance": {"marker": "X"}}, "marker must be one of None, L, R; got 'X'"),
    ],
)
def test_misuse_is_named(options, message):
    seed = options.pop("seed", 1)
    with pytest.raises(ValueError, match=message):
        phantom.simulate(seed, **options)
    with pytest.raises(ValueError, match="course must be one of grow, shrink"):
        phantom.simulate_series(1, course="wobble")
    with pytest.raises(ValueError, match="enrich must be between 0"):
        phantom.draw_findings(phantom.stream(2, "labels"), 1, enrich=2)
