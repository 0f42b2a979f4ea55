"""Triage real films whose truth is known and write the figures, source by source, as Markdown.

    python benchmarks/triage_real.py --data ../shared/real-cxr > docs/results/DATE-triage-real.md

--data is a folder with manifest.csv, the films it names, and messy/ with expected.csv, as ../shared/real-cxr has.
The test split was scored once, when the networks were trained; here the whole command runs over all splits, so what
concerns train and val shows how the command behaves, and only test says how well the networks do.
"""

import argparse
import shlex
import sys
import tempfile
from datetime import date
from pathlib import Path

import pandas as pd

from cxrkit import metrics, networks, show, triage
from cxrkit.data import read_manifest
from cxrkit.labels import COVID, DISCLAIMER, FINDINGS, split_findings
from cxrkit.metrics import Estimate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        films = triage.run(args.data / "images", Path(scratch, "images"), recursive=True)
        messy = triage.run(args.data / "messy", Path(scratch, "messy"))
        combined = triage.read_table(films.tables["combined"])
        answers = triage.read_table(messy.tables["combined"])
    rows = with_truth(combined, args.data)
    test = rows[rows["split"] == "test"]
    print("# Triage of real films\n")
    print(f"{date.today()}; `python {shlex.join(sys.argv)}`. {DISCLAIMER}\n")
    print(f"{films.counts['all']} films in {films.seconds:.0f} s; {messy.counts['all']} awkward files.\n")
    marks = {name: networks.load(name).not_shown for name in ("covid-small", "findings14-small")}
    for name, not_shown in marks.items():
        print(f"Not shown to work on real films ({name}): {', '.join(sorted(not_shown)) or 'none'}.\n")
    print("## Every file has a row: films by source, split and status\n")
    print(show.table(rows.groupby(["source", "split", "status"]).size().rename("films").reset_index()) + "\n")
    print("## Quality flags\n")
    flags = rows.assign(flag=rows["quality"].str.split("|")).explode("flag")
    print(
        show.table(
            flags[flags["flag"] != ""].groupby(["source", "split", "flag"]).size().rename("films").reset_index() + "\n"
        )
    )
    print("## COVID-19 on test films, by source\n\nOnly `cohen` holds both classes.\n")
    for source in ("cohen", "nih", "hannover", "all"):
        part = test if source == "all" else test[test["source"] == source]
        print(show.table({source: covid_measures(part)}, first="source") + "\n")
    print("## The 14 findings on test films of nih that were not called COVID-19\n")
    print(show.table(finding_measures(test[test["source"] == "nih"]), first="finding (films with it)") + "\n")
    print("## Awkward files\n")
    expected = pd.read_csv(args.data / "messy" / "expected.csv", dtype=str, keep_default_na=False)
    joined = expected.merge(answers, left_on="file", right_on="Image Index", how="left")
    print(show.table(joined[["file", "kind", "expect", "status", "quality", "reason"]]) + "\n")
    return 0


def with_truth(combined: pd.DataFrame, data: Path) -> pd.DataFrame:
    truth = read_manifest(data / "manifest.csv").frame
    truth = truth.assign(**{"Image Index": truth["image"].str.removeprefix("images/")})
    columns = ["Image Index", "source", "split", "patient_id", "covid", "findings"]
    rows = combined.merge(truth[columns], on="Image Index", how="left", validate="one_to_one")
    rows["positive findings"] = rows["Predict label"].where(rows["Predict label"] != COVID, "").map(split_findings)
    rows["true findings"] = rows["findings"].map(split_findings)
    return rows


def covid_measures(rows: pd.DataFrame) -> dict[str, Estimate]:
    rows = rows[rows["status"] != "error"]
    true, called = rows["covid"].astype(bool).to_numpy(), (rows["Predict label"] == COVID).to_numpy()
    (area,) = metrics.auroc_by_patient(true, rows[f"prob_{COVID}"].to_numpy(), rows["patient_id"].to_numpy(), seed=0)
    return {
        "AUROC": area,
        "sensitivity": metrics.wilson(int((called & true).sum()), int(true.sum())),
        "specificity": metrics.wilson(int((~called & ~true).sum()), int((~true).sum())),
        "accuracy": metrics.wilson(int((called == true).sum()), len(rows)),
    }


def finding_measures(rows: pd.DataFrame) -> dict[str, dict[str, Estimate]]:
    asked = rows[(rows["status"] != "error") & (rows["Predict label"] != COVID)]
    counts = {name: asked["true findings"].map(lambda names, name=name: name in names).sum() for name in FINDINGS}
    return {f"{name} ({counts[name]})": found for name, found in triage.score_findings(asked).items()}


if __name__ == "__main__":
    sys.exit(main())
