"""Survey ChestX-ray14's label files and write down what was found, aggregates alone.

    python tools/measure_nih_labels.py FOLDER

FOLDER is what cxrkit.course.survey.measure_nih wants; no image is needed. Writes cxrkit/course/nih_labels.json, which
notebook 01_data shows where a reader has no such folder, and docs/results/DATE-nih-labels.md for people. No row of
either stands for an image or a patient.
"""

import argparse
import dataclasses
import datetime
from pathlib import Path

from cxrkit import show
from cxrkit.course import survey

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python tools/measure_nih_labels.py ../shared/real-cxr/nih-labels"


def results(found: survey.NihSurvey) -> str:
    """Return the page for docs/results."""
    whole, counted = found.survey, survey.beside_table01(found.table01)
    differences = int((counted.filter(like="differs").iloc[:-1] != "").sum().sum())
    prevalence = {name: {part: rates[name] for part, rates in whole.prevalence.items()} for name in whole.memorised}
    return f"""# ChestX-ray14's labels, counted and compared with radiologists'

{found.made_by}. {whole.films:,} images of {whole.patients:,} patients; no image was opened. Numbers in brackets are \
95% intervals, by patient. cxrkit is a teaching and research tool, not a medical device.

## Table 1 of the report, counted in the split that CheXNet-Keras publishes

{differences} of 42 numbers differ.

{show.table(counted)}

## Leakage: the official split, and a split of the same sizes that ignores patients

{show.table(whole.leakage.rename_axis("split").reset_index())}

AUROC, on the test images of the split by image, of predictions that use no image: the share of the patient's images \
in the other splits that are labelled with the finding. Split by patient it is 0.5.

{show.table({name: {"AUROC": area} for name, area in whole.memorised.items()}, first="finding")}

## The mined labels compared with radiologists'

Google's labels (Majkowska et al., Radiology 2020). Which mined labels stand for what the radiologists looked for is \
`cxrkit.course.survey.READ_AS`; PPV is that among these images.

{show.table(found.agreement, first="finding")}

{show.table(found.confusion.rename_axis("images").reset_index())}

## Prevalence by split of the official split

{show.table(prevalence, first="finding")}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the label files")
    today = datetime.date.today().isoformat()
    found = survey.measure_nih(parser.parse_args().folder)
    found = dataclasses.replace(found, made_by=f"`{COMMAND}`, {today}")
    Path(str(survey.RECORDED)).write_text(survey.to_json(found), encoding="utf-8")
    (ROOT / "docs" / "results" / f"{today}-nih-labels.md").write_text(results(found), encoding="utf-8")


if __name__ == "__main__":
    main()
