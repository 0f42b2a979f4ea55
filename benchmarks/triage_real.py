"""Triage real images with known truth and print the figures, source by source, as Markdown.

    make bench NAME=triage_real ARGS="--data ../shared/real-cxr"

--data is a folder with manifest.csv, the images it names, and messy/ with expected.csv, as ../shared/real-cxr has. The
command runs over all splits; only the figures of `test` measure the networks.
"""

import argparse
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from cxrkit import networks, show, triage
from cxrkit.data import read_manifest
from cxrkit.labels import DISCLAIMER

KEYS = ["Image Index", "source", "split", "patient_id", "covid", "findings"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as scratch:
        images = triage.run(data / "images", Path(scratch, "images"), recursive=True)
        messy = triage.run(data / "messy", Path(scratch, "messy"))
        combined, answers = (triage.read_table(run.tables["combined"]) for run in (images, messy))
    truth = read_manifest(data / "manifest.csv").frame
    truth["Image Index"] = truth["image"].str.removeprefix("images/")
    rows = combined.merge(truth[KEYS], on="Image Index", how="left")
    print(f"# Triage of real images\n\n{date.today()}. {DISCLAIMER}\n")
    print(f"{images.counts['all']} images in {images.seconds:.0f} s; {messy.counts['all']} awkward files.\n")
    for name in (triage.COVID_MODEL, triage.FINDINGS_MODEL):
        not_shown = sorted(networks.load(name).not_shown)
        print(f"Not shown to work on real images ({name}): {', '.join(not_shown) or 'none'}.\n")
    flags = rows.assign(flag=rows["quality"].str.split("|")).explode("flag").query("flag != ''")
    for title, frame, key in (("Images by status: every file has a row", rows, "status"), ("Flags", flags, "flag")):
        print(f"## {title}\n\n{show.table(frame.value_counts(['source', 'split', key], sort=False).reset_index())}\n")

    def score(source: str) -> Any:
        chosen = (rows["split"] == "test") & ((rows["source"] == source) | (source == "all"))
        return triage.score(combined[chosen], rows.loc[chosen, [*KEYS, "sha256"]])

    print("## COVID-19 on test images, by source\n\nOnly `cohen` holds both classes.\n")
    for source in ("cohen", "nih", "hannover", "all"):
        print(show.table({source: score(source).covid}, first="source") + "\n")
    print("## The 14 findings on test images of nih that are negative for COVID-19\n")
    found = score("nih")
    counts = found.films.loc[~found.films["covid positive"], "true findings"].explode().value_counts()
    named = {f"{name} ({counts.get(name, 0)})": measures for name, measures in found.findings.items()}
    print(show.table(named, first="finding (images with it)") + "\n")
    expected = pd.read_csv(data / "messy" / "expected.csv", dtype=str, keep_default_na=False)
    joined = expected.merge(answers, left_on="file", right_on="Image Index", how="left")
    print("## Awkward files\n\n" + show.table(joined[["file", "kind", "expect", "status", "quality", "reason"]]))


if __name__ == "__main__":
    main()
