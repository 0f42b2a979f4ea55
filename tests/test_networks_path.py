"""One path from an image file to probabilities: every command gives the same ones."""

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cxrkit import networks, phantom, rounds, triage
from cxrkit.cli import _main
from cxrkit.dashboard import _session
from cxrkit.labels import COVID, FINDINGS

LABELS = (COVID, *FINDINGS)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Images that rounding to 8 bits and resizing would change: 8 and 16 bits, not square, larger than the input."""
    folder = tmp_path_factory.mktemp("images")
    specs = [{"seed": seed, "covid": seed % 2 == 0, "enrich": 1.0} for seed in range(1, 7)]
    for k, radiograph in enumerate(phantom.simulate_many(specs, size_px=300)):
        pixels = radiograph.pixels[: 300 - 10 * k]
        deep = pixels.astype(np.uint16) * 256 + np.arange(300, dtype=np.uint16) % 256
        cv2.imwrite(str(folder / f"{k}.png"), deep if k % 2 else pixels)
    (folder / "manifest.csv").write_text("image\n" + "".join(f"{k}.png\n" for k in range(6)))
    return [folder / f"{k}.png" for k in range(6)]


@pytest.fixture(scope="module")
def expected(paths):
    """Probabilities (images, 15) of both bundled networks."""
    both = [networks.load(name, threads=1) for name in ("covid-small", "findings14-small")]
    covid, findings = (
        np.stack([result.probs for result in networks.predict_images(predictor, paths)]) for predictor in both
    )
    return np.hstack([covid[:, :1], findings])


def test_model_predict_gives_the_same_probabilities(paths, expected, tmp_path):
    for model, labels, columns in (("covid-small", [COVID], [0]), ("findings14-small", FINDINGS, range(1, 15))):
        command = ["model", "predict", model, str(paths[0].parent / "manifest.csv"), "--out", str(tmp_path / "p.csv")]
        done = CliRunner().invoke(_main.app, command)
        assert done.exit_code == 0, done.output
        found = pd.read_csv(tmp_path / "p.csv")[[f"prob_{label}" for label in labels]].to_numpy()
        assert found == pytest.approx(expected[:, list(columns)], abs=6e-7)


def test_triage_gives_the_same_probabilities(paths, expected, tmp_path):
    # With a threshold of 1 no image is positive for COVID-19, so the findings of all are predicted.
    triage.run(paths[0].parent, tmp_path, threshold=1.0)
    rows = pd.read_csv(tmp_path / "combined.csv").set_index("Image Index").loc[[path.name for path in paths]]
    assert rows[[f"prob_{label}" for label in LABELS]].to_numpy() == pytest.approx(expected, abs=6e-7)


def test_rounds_without_augmentation_and_a_sweep_give_the_same_probabilities(paths, expected):
    found = [rounds.run(model, paths, ["none", "A"]).probs[:, 0] for model in ("covid-small", "findings14-small")]
    assert np.hstack(found) == pytest.approx(expected, abs=1e-12)
    swept = rounds.sweep("covid-small", paths, [0, 1, 0, 1, 0, 1], ["A"], label=COVID, seeds=(0,))
    assert swept.untouched == pytest.approx(expected[:, 0], abs=1e-12)


def test_the_dashboard_gives_the_same_probabilities(paths, expected):
    session = _session.Session()
    for path, probs in zip(paths, expected, strict=True):
        shown = session.add(path.name, path.read_bytes())
        assert [shown.reading.probs[label] for label in LABELS] == pytest.approx(probs.tolist(), abs=1e-12)
