"""Count how often findings occur alone and in pairs, and fit the log-linear model that draws them.

    python tools/estimate_cooccurrence.py Data_Entry_2017_v2020.csv.gz

writes cxrkit/data/cooccurrence.json. Aggregate numbers only: no label of a single film is kept.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit.labels import FINDINGS, split_findings

OUT = Path(__file__).resolve().parents[1] / "cxrkit" / "phantom" / "cooccurrence.json"


def count(path: str) -> tuple[int, np.ndarray]:
    """Films, and how many have both of two findings: int (14, 14), singles on the diagonal."""
    column = pd.read_csv(path, usecols=["Finding Labels"])["Finding Labels"]
    pairs = np.zeros((len(FINDINGS), len(FINDINGS)), np.int64)
    for text, films in column.value_counts().items():
        has = np.array([name in split_findings(str(text)) for name in FINDINGS])
        pairs += films * np.outer(has, has)
    return len(column), pairs


def fit(rates: np.ndarray, steps: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Fields and couplings whose distribution over all 2**14 sets has the given rates, by damped Newton steps."""
    k = len(FINDINGS)
    sets = ((np.arange(2**k)[:, None] >> np.arange(k)) & 1).astype(np.float64)
    i, j = np.triu_indices(k, 1)
    features = np.concatenate([sets, sets[:, i] * sets[:, j]], axis=1)
    wanted = np.concatenate([np.diag(rates), rates[i, j]])
    theta = np.concatenate([np.log(np.diag(rates) / (1.0 - np.diag(rates))), np.zeros(len(i))])

    def state(theta):
        energy = features @ theta
        top = energy.max()
        weights = np.exp(energy - top)
        return weights / weights.sum(), float(np.log(weights.sum()) + top - theta @ wanted)

    probs, loss = state(theta)
    for _ in range(steps):
        mean = probs @ features
        hessian = (features * probs[:, None]).T @ features - np.outer(mean, mean)
        move = np.linalg.solve(hessian + 1e-10 * np.eye(len(theta)), wanted - mean)
        size = 1.0
        while True:
            trial, trial_loss = state(theta + size * move)
            if trial_loss <= loss + 1e-12 or size < 1e-6:
                break
            size /= 2.0
        theta, probs, loss = theta + size * move, trial, trial_loss
        if np.abs(probs @ features - wanted).max() < 1e-10:
            break
    coupling = np.zeros((k, k))
    coupling[i, j] = theta[k:]
    return theta[:k], coupling


def main() -> None:
    """Read the table, fit, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", help="Data_Entry_2017_v2020.csv or .csv.gz of ChestX-ray14")
    labels = parser.parse_args().labels
    n, pairs = count(labels)
    # Half a film for pairs never seen: a rate of zero would need an infinite coupling.
    rates = np.maximum(pairs, 0.5) / n
    field, coupling = fit(rates)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(
        json.dumps(
            {
                "source": "ChestX-ray14, Data_Entry_2017_v2020; aggregate rates only",
                "findings": list(FINDINGS),
                "n_films": n,
                "single": [round(float(v), 8) for v in np.diag(rates)],
                "pair": [[round(float(v), 8) for v in row] for row in rates],
                "field": [round(float(v), 6) for v in field],
                "coupling": [[round(float(v), 6) for v in row] for row in coupling],
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    print(f"{n} films; rates and model written to {OUT}")


if __name__ == "__main__":
    main()
