"""The demo: predictions beside the truth, where the tables are, and what to open next."""

import hashlib
import re

import pandas as pd
import pytest
from checkout import ROOT

from cxrkit import triage
from cxrkit.data import simulate_row, write_manifest
from cxrkit.labels import COVID, FINDINGS


@pytest.fixture
def small_course(tmp_path, monkeypatch):
    """A course of eight test images of 64 pixels, two of them with COVID-19."""
    rows = []
    for k in range(8):
        findings = "Effusion" if k in (2, 3) else ""
        severity = "COVID-19=0.9" if k < 2 else "Effusion=0.8" if findings else ""
        row = {"image": f"test/f{k}.png", "source": "phantom", "patient_id": f"p{k}", "follow_up": 0, "view": "PA"}
        row |= {"sex": "F", "age": 50.0, "covid": int(k < 2), "findings": findings, "split": "test", "seed": 70 + k}
        row |= {"sha256": "0" * 64, "width": 64, "height": 64, "license": "CC0-1.0", "severity": severity}
        row["sha256"] = hashlib.sha256(simulate_row(row).png()).hexdigest()
        rows.append(row)
    write_manifest(pd.DataFrame(rows), tmp_path / "data_manifest.csv")
    monkeypatch.setattr("cxrkit.data._course.COURSE_MANIFEST", tmp_path / "data_manifest.csv")
    monkeypatch.setenv("CXRKIT_CACHE", str(tmp_path / "cache"))
    return {row["image"].removeprefix("test/"): bool(row["covid"]) for row in rows}


def test_predictions_stand_beside_the_truth_and_the_tables_are_named(small_course, run_here, tmp_path):
    # Each demo starts anew.
    for _ in range(2):
        code, text, complaint = run_here("demo", "--out", tmp_path / "out")
        assert (code, complaint) == (0, "")
        assert "8 read in" in text
    table = triage.read_table(tmp_path / "out" / "combined.csv").set_index("Image Index")
    positive = table["Predict label"] == COVID
    truth = pd.Series(small_course)[positive.index]
    expected = [tuple(str((known & sign).sum()) for sign in (positive, ~positive)) for known in (truth, ~truth)]
    assert re.findall(r"^ *\d+ (?:images with it|without it) +(\d+) +(\d+) ", text, re.MULTILINE) == expected
    assert text.startswith("8 SIMULATED chest X-rays with known truth")
    assert {name for name in FINDINGS if re.search(rf"^  {name} +\d", text, re.MULTILINE)} == set(FINDINGS)
    # Nobody here has a hernia, so there is nothing to measure.
    assert re.search(r"^  Hernia +0 +\d+ +0 +undefined: ", text, re.MULTILINE)
    assert "not a medical device" in text
    assert all(str(tmp_path / "out" / name) in text for name in ("covid.csv", "not_covid.csv", "combined.csv"))
    notebooks = re.findall(r"\d\d_\w+", text)
    assert notebooks == ["00_start_here", "09_triage"]
    assert all((ROOT / "notebooks" / f"{name}.ipynb").is_file() for name in notebooks)
