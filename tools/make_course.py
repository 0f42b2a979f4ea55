"""Write data_manifest.csv: draw the course's patients, simulate their images, note the sha256 of each.

    python tools/make_course.py           # writes cxrkit/data/data_manifest.csv and its copy data_manifest.csv
    python tools/make_course.py --check   # simulates all images again and fails if a row would change

The same phantom gives the same file. 400 patients, 600 images; train, val and test have 240, 80 and 80 patients and
360, 120 and 120 images. In each split about a quarter of the images shows COVID-19, a quarter nothing, the rest one to
three findings. Rare findings are about as frequent as common ones: the course must show every sign.
"""

import argparse
import hashlib
import itertools
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxrkit import phantom
from cxrkit.data import COURSE_MANIFEST, simulate_row
from cxrkit.data._course import PATIENT_SEEDS
from cxrkit.data._journal import write_whole
from cxrkit.data._manifest import to_csv
from cxrkit.labels import COVID, FINDINGS
from cxrkit.phantom import _patients as rates

ROOT = Path(__file__).parents[1]
SIZE_PX = 256
# Patients by how many images they have, for a fifth of the course: 80 patients, 120 images; train has three fifths.
# The long series come first: the single images can then even out how often each finding is shown.
FILMS_OF_PATIENTS = {5: 2, 4: 4, 3: 6, 2: 8, 1: 60}
FIFTHS = {"train": 3, "val": 1, "test": 1}
# In turn, of patients with a series and with a single image. Series need no kind "none": they have images without any
# finding, before one appears and after it resolved.
SERIES_KINDS = ("findings", "covid", "findings", "findings", "covid", "findings", "findings")
SINGLE_KINDS = ("findings", "covid", "none", "findings", "none", "findings", "covid", "findings", "none", "findings")
# Of so many sets of findings drawn at ChestX-ray14's rates, take the one that is best for an even count.
MAX_FINDINGS, CHOICES = 3, 3
# Cells that all rows share.
SAME = {"source": "phantom", "width": SIZE_PX, "height": SIZE_PX, "license": "CC0-1.0"}


def draw_findings(rng: np.random.RandomState, counts: Counter) -> tuple[str, ...]:
    """Draw one to three findings that go together in ChestX-ray14, among them the one that is rarest so far."""
    rarest = min(FINDINGS, key=lambda name: (counts[name], FINDINGS.index(name)))
    found: list[tuple[str, ...]] = []
    while len(found) < CHOICES:
        drawn = (rates.names(row) for row in rates.draw_findings(rng, 200, enrich=1.0))
        found += [names for names in drawn if rarest in names and len(names) <= MAX_FINDINGS]
    ceiling = max(counts.values(), default=0) + 1
    return max(found[:CHOICES], key=lambda names: sum(ceiling - counts[name] for name in names))


def draw_severities(rng: np.random.RandomState, shown: tuple[str, ...], films: int) -> list[dict[str, float]]:
    """Draw a severity for each sign and film: evenly from faint to severe, or running a course over a series."""
    low, high = phantom.SEVERITY_RANGE
    if films == 1:
        return [{name: round(low + (high - low) * rng.random_sample(), 3) for name in shown}]
    series: list[dict[str, float]] = [{} for _ in range(films)]
    courses = list(phantom.COURSES.values())
    for name in shown:
        run = courses[int(rng.random_sample() * len(courses))]
        scale = 0.4 + 0.6 * rng.random_sample()
        for film, value in zip(series, run(np.linspace(0.0, 1.0, films)), strict=True):
            severity = round(float(min(value * scale, 1.0)), 3)
            if severity > 0:
                film[name] = severity
    return series


def draw_rows() -> list[dict]:
    rows, seeds = [], iter(PATIENT_SEEDS)
    for split, fifths in FIFTHS.items():
        counts: Counter = Counter()
        for films, patients in FILMS_OF_PATIENTS.items():
            kinds = itertools.cycle(SINGLE_KINDS if films == 1 else SERIES_KINDS)
            for kind in itertools.islice(kinds, patients * fifths):
                seed = next(seeds)
                # Key 1 keeps clear of the stream from which `simulate` itself would draw labels.
                rng = phantom.stream(seed, "labels", 1)
                view = "PA" if rng.random_sample() < 0.6 else "AP"
                sex = "F" if rng.random_sample() < 0.5 else "M"
                age = 18.0 + int(rng.random_sample() * 73)
                shown = draw_findings(rng, counts) if kind == "findings" else (COVID,) * (kind == "covid")
                patient = f"sim-{seed - PATIENT_SEEDS.start + 1:04d}"
                person = {"patient_id": patient, "view": view, "sex": sex, "age": age, "split": split, "seed": seed}
                for follow_up, severity in enumerate(draw_severities(rng, shown, films)):
                    counts.update(severity)
                    film = {
                        "image": f"{split}/{patient}-{follow_up}.png",
                        "follow_up": follow_up,
                        "covid": int(COVID in severity),
                        "findings": "|".join(name for name in FINDINGS if name in severity),
                        "severity": "|".join(f"{name}={value:g}" for name, value in severity.items()),
                    }
                    rows.append(SAME | person | film)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a row would change")
    arguments = parser.parse_args()
    rows = draw_rows()
    for row in tqdm(rows, "images", disable=None):
        row["sha256"] = hashlib.sha256(simulate_row(row).png()).hexdigest()
    frame = pd.DataFrame(rows)
    text = to_csv(frame)
    if arguments.check:
        same = COURSE_MANIFEST.read_bytes() == text.encode() == (ROOT / "data_manifest.csv").read_bytes()
        print(f"data_manifest.csv {'is what the phantom gives' if same else 'would change'}")
        return not same
    for path in (COURSE_MANIFEST, ROOT / "data_manifest.csv"):
        write_whole(path, text.encode())
    print(frame.groupby("split").agg({"image": "size", "patient_id": "nunique", "covid": "sum"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
