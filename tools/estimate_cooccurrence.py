"""Count how often findings occur alone and in pairs, and fit the log-linear model that draws them.

    python tools/estimate_cooccurrence.py Data_Entry_2017_v2020.csv.gz

writes cxrkit/phantom/cooccurrence.json. Aggregate numbers only: no label of a single image is kept.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import logit, logsumexp, softmax

from cxrkit.labels import FINDINGS

OUT = Path(__file__).resolve().parents[1] / "cxrkit" / "phantom" / "cooccurrence.json"


def fit(rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return fields (14,) and couplings (14, 14) whose distribution over all 2**14 sets has the given rates."""
    k = len(FINDINGS)
    sets = ((np.arange(2**k)[:, None] >> np.arange(k)) & 1).astype(np.float64)
    i, j = np.triu_indices(k, 1)
    features = np.concatenate([sets, sets[:, i] * sets[:, j]], axis=1)
    wanted = np.concatenate([np.diag(rates), rates[i, j]])

    def loss(theta):
        scores = features @ theta
        return logsumexp(scores) - theta @ wanted, softmax(scores) @ features - wanted

    def hessian(theta):
        probs = softmax(features @ theta)
        mean = probs @ features
        return (features * probs[:, None]).T @ features - np.outer(mean, mean)

    start = np.concatenate([logit(np.diag(rates)), np.zeros(len(i))])
    theta = minimize(loss, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-10}).x
    coupling = np.zeros((k, k))
    coupling[i, j] = theta[k:]
    return theta[:k], coupling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", help="Data_Entry_2017_v2020.csv or .csv.gz of ChestX-ray14")
    labels = parser.parse_args().labels
    has = pd.read_csv(labels)["Finding Labels"].str.get_dummies("|")[list(FINDINGS)].to_numpy()
    # Images with both of two findings, on the diagonal with one. Half an image for pairs never seen: a rate of zero
    # would need an infinite coupling.
    rates = np.maximum(has.T @ has, 0.5) / len(has)
    field, coupling = fit(rates)
    model = {
        "source": "ChestX-ray14, Data_Entry_2017_v2020; aggregate rates only",
        "findings": list(FINDINGS),
        "n_films": len(has),
        "single": np.diag(rates).round(8).tolist(),
        "pair": rates.round(8).tolist(),
        "field": field.round(6).tolist(),
        "coupling": coupling.round(6).tolist(),
    }
    OUT.write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
    print(f"{len(has)} images; rates and model written to {OUT}")


if __name__ == "__main__":
    main()
