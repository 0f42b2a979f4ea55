"""Score another project's published probabilities with cxrkit.metrics, and hold the AUROCs against its own.

    python tools/check_peer_aucs.py --data DIR

DIR/nih-labels (or DIR itself) holds peer_predictions.csv.gz, peer_aucs.csv and Data_Entry_2017*.csv of
ChestX-ray14; no film is needed. Exit code 1 where an AUROC differs by more than 1e-6. `--subgroups Effusion` also
prints that finding's AUROC by sex, age and view.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit import metrics
from cxrkit.labels import FINDINGS, split_findings

TOLERANCE = 1e-6


def read(folder: Path) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Films (patient_id, sex, age, view), truth and probabilities (films, 14), AUROCs reported elsewhere (14,)."""
    entries = pd.read_csv(sorted(folder.glob("Data_Entry_2017*.csv*"))[0], dtype=str).set_index("Image Index")
    entries = entries.rename(columns={"Patient Gender": "Patient Sex"})
    predictions = pd.read_csv(folder / "peer_predictions.csv.gz")
    rows = entries.loc[predictions["Image Index"]]
    columns = {"patient_id": "Patient ID", "sex": "Patient Sex", "age": "Patient Age", "view": "View Position"}
    films = pd.DataFrame({name: rows[column].to_numpy() for name, column in columns.items()})
    found = rows["Finding Labels"].map(split_findings)
    targets = np.array([[name in names for name in FINDINGS] for names in found], int)
    probs = predictions[[f"prob_{name}" for name in FINDINGS]].to_numpy(np.float64)
    theirs = pd.read_csv(folder / "peer_aucs.csv").set_index("label")["auc"]
    return films, targets, probs, theirs[list(FINDINGS)].to_numpy(float)


def print_subgroups(name: str, films: pd.DataFrame, targets: np.ndarray, probs: np.ndarray, resamples: int) -> None:
    one = [FINDINGS.index(name)]
    table = metrics.subgroup_table(
        films,
        targets[:, one],
        probs[:, one],
        labels=[name],
        by=("sex", "age", "view"),
        metrics=["AUROC"],
        resamples=resamples,
        seed=0,
    )
    print(f"\n| {name} | films | positives | patients | AUROC | by patient |\n|---|---|---|---|---|---|")
    for row in table.to_dict("records"):
        group = row["group"] if row["by"] == "all" else f"{row['by']} {row['group']}"
        counts = [f"{row[column]:,}" for column in ("n", "positives", "patients")]
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"| {' | '.join([group, *counts, format(row['value'], '.3f'), interval])} |{row['reason']}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with nih-labels, or that folder")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--subgroups", choices=FINDINGS, help="also this finding's AUROC by sex, age and view")
    options = parser.parse_args()
    folder = options.data / "nih-labels" if (options.data / "nih-labels").is_dir() else options.data
    films, targets, probs, theirs = read(folder)
    patients = films["patient_id"].to_numpy()
    begun, cpu = time.perf_counter(), time.process_time()
    areas = metrics.auroc_by_patient(targets, probs, patients, resamples=options.resamples, seed=0)
    took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    delong = [metrics.auroc(targets[:, k], probs[:, k]) for k in range(len(FINDINGS))]

    print(
        f"{len(probs):,} films of {len(np.unique(patients)):,} patients; {options.resamples:,} resamples of patients\n"
    )
    print("| finding | positives | reported there | AUROC here | by patient | DeLong | difference |")
    print("|---|---|---|---|---|---|---|")
    for k, name in enumerate(FINDINGS):
        area = areas[k]
        intervals = [f"{each.low:.3f} to {each.high:.3f}" for each in (area, delong[k])]
        cells = [name, f"{targets[:, k].sum():,}", f"{theirs[k]:.6f}", f"{area.value:.6f}", *intervals]
        print(f"| {' | '.join(cells)} | {area.value - theirs[k]:.1e} |")
    worst = max(abs(area.value - other) for area, other in zip(areas, theirs, strict=True))
    agree = worst <= TOLERANCE
    print(f"\nlargest difference {worst:.1e}: {'agrees' if agree else 'DIFFERS'} to {TOLERANCE:g}")
    print(f"the {len(FINDINGS)} intervals by patient took {took:.1f} s ({cpu:.1f} s of processor), peak {peak:.0f} MB")
    if options.subgroups:
        print_subgroups(options.subgroups, films, targets, probs, options.resamples)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
