"""The demo: predictions beside the truth, where the tables are, and what to open next."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cxrkit import triage
from cxrkit.data import course_images, course_manifest, simulate_row, write_manifest
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


def confusion(text):
    """The four counts of images with and without COVID-19, predicted positive and negative."""
    numbers = re.findall(r"^ *\d+ (?:images with it|without it) +(\d+) +(\d+) ", text, re.MULTILINE)
    return [[int(number) for number in pair] for pair in numbers]


def test_predictions_stand_beside_the_truth_and_the_tables_are_named(small_course, tmp_path):
    folder, out, calls = course_images("test"), tmp_path / "out", []
    first = triage.run_demo(folder, out, lambda *call: calls.append(call))
    assert calls == [(done, 8) for done in range(1, 9)]
    # Each demo starts anew.
    text = triage.run_demo(folder, out)
    assert "8 read in" in text
    table = triage.read_table(out / "combined.csv").set_index("Image Index")
    positive = table["Predict label"] == COVID
    truth = pd.Series(small_course)[positive.index]
    expected = [[int((known & sign).sum()) for sign in (positive, ~positive)] for known in (truth, ~truth)]
    assert confusion(text) == confusion(first) == expected
    assert text.startswith("8 SIMULATED chest X-rays with known truth")
    assert {name for name in FINDINGS if re.search(rf"^  {name} +\d", text, re.MULTILINE)} == set(FINDINGS)
    # Nobody here has a hernia, so there is nothing to measure.
    assert re.search(r"^  Hernia +0 +\d+ +0 +undefined: ", text, re.MULTILINE)
    assert "not a medical device" in text
    assert all(str(out / name) in text for name in ("covid.csv", "not_covid.csv", "combined.csv"))
    notebooks = re.findall(r"\d\d_\w+", text)
    assert notebooks == ["00_start_here", "09_triage"]
    assert all((Path(__file__).parents[1] / "notebooks" / f"{name}.ipynb").is_file() for name in notebooks)


@pytest.mark.slow
def test_the_command_ends_by_itself_with_every_test_image(tmp_path):
    environment = {**os.environ, "CXRKIT_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "cxrkit", "demo"]
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    done = subprocess.run(command, cwd=tmp_path, env=environment, timeout=600, **pipes)
    assert (done.returncode, done.stderr) == (0, "")
    frame = course_manifest().query("split == 'test'")
    assert f"{len(frame)} SIMULATED chest X-rays" in done.stdout
    assert [sum(counts) for counts in confusion(done.stdout)] == [(frame["covid"] == known).sum() for known in (1, 0)]
    names = sorted(path.name for path in (tmp_path / "demo-out").iterdir() if path.is_file())
    assert names == ["combined.csv", "covid.csv", "not_covid.csv", "run.json"]
