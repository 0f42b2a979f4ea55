"""Survey ChestX-ray14's label files and write down what was found, aggregates alone.

    python tools/measure_nih_labels.py FOLDER

FOLDER is what cxrkit.course.survey.measure_nih wants; no image is needed. Writes cxrkit/course/nih_labels.json, which
notebook 01_data shows where a reader has no such folder, and docs/results/DATE-nih-labels.md for people. No row of
either stands for an image or a patient.
"""

import argparse
import dataclasses
import datetime
import sys
from pathlib import Path

from cxrkit import show
from cxrkit.course import survey

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python tools/measure_nih_labels.py ../shared/real-cxr/nih-labels"


def results(found: survey.NihSurvey) -> str:
    """Return the page for docs/results."""
    whole, counted = found.survey, survey.beside_table01(found.table01)
    differences = int((counted.filter(like="differs").iloc[:-1] != "").sum().sum())
    return "\n\n".join(
        [
            "# ChestX-ray14's labels, counted and compared with radiologists'",
            f"{found.made_by}. {whole.films:,} images of {whole.patients:,} patients; no image was opened. Numbers in "
            "brackets are 95% intervals, by patient. cxrkit is a teaching and research tool, not a medical device.",
            "## Table 1 of the report, counted in the split that CheXNet-Keras publishes",
            f"{differences} of 42 numbers differ.",
            show.table(counted),
            "## Leakage: the official split, and a split of the same sizes that ignores patients",
            show.table(whole.leakage.rename_axis("split").reset_index()),
            "AUROC, on the test images of the split by image, of predictions that use no image: the share of the "
            "patient's images in the other splits that are labelled with the finding. Split by patient it is 0.5.",
            show.table({name: {"AUROC": area} for name, area in whole.memorised.items()}, first="finding"),
            "## The mined labels compared with radiologists'",
            "Google's labels (Majkowska et al., Radiology 2020). Which mined labels stand for what the radiologists "
            "looked for is `cxrkit.course.survey.READ_AS`; PPV is that among these images.",
            show.table(found.agreement, first="finding"),
            show.table(found.confusion.rename_axis("images").reset_index()),
            "## Prevalence by split of the official split",
            show.table(
                {name: {part: whole.prevalence[part][name] for part in whole.prevalence} for name in whole.memorised},
                first="finding",
            ),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the label files")
    folder = parser.parse_args().folder
    today = datetime.date.today().isoformat()
    found = dataclasses.replace(survey.measure_nih(folder), made_by=f"`{COMMAND}`, {today}")
    out = Path(str(survey.RECORDED))
    out.write_text(survey.to_json(found), encoding="utf-8")
    page = ROOT / "docs" / "results" / f"{today}-nih-labels.md"
    page.write_text(results(found) + "\n", encoding="utf-8")
    print(f"wrote {out} and {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
