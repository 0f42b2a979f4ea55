"""Count the positives of ChestX-ray14's two splits, and hold one against the report's table 1.

    python tools/verify_nih_split.py --labels FOLDER

FOLDER holds Data_Entry_2017*.csv and train_val_list.txt (plain or .gz), for the CheXNet-Keras split also dev.csv and
test.csv (or chexnet_keras_dev.csv and chexnet_keras_test.csv); no film is needed.
"""

import argparse
import sys
from pathlib import Path

from cxrkit.course import published
from cxrkit.data import ADAPTERS, DataSet
from cxrkit.data._check import label_counts
from cxrkit.labels import FINDINGS, SPLITS


def describe(data_set: DataSet) -> str:
    rows = data_set.rows
    films = rows["split"].value_counts()
    people = rows.groupby("split")["patient_id"].nunique()
    shared = int((rows.groupby("patient_id")["split"].nunique() > 1).sum())
    parts = [f"{name} {films[name]:,} films of {people[name]:,} patients" for name in ("train", "val", "test")]
    return f"{', '.join(parts)}; {shared} patients in more than one split"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--labels", type=Path, required=True, help="folder of the label files")
    folder = parser.parse_args().labels
    official = ADAPTERS["chestxray14"](folder)
    keras = ADAPTERS["chestxray14"](folder, split="chexnet-keras")
    print(f"official split: {describe(official)}\n\n{label_counts(official.rows).to_string()}\n")
    counts = label_counts(keras.rows).loc[list(FINDINGS), list(SPLITS)]
    printed = published.table("table01")
    differences = (printed.loc[list(FINDINGS), list(counts.columns)].astype(int) - counts).add_suffix(
        ": printed - counted"
    )
    print(f"CheXNet-Keras split: {describe(keras)}\n\n{counts.join(differences).to_string()}")
    print(f"\nequal to table 1: {int((differences == 0).sum().sum())} of {differences.size} numbers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
