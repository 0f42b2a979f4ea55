"""Which findings a simulated patient has: drawn so that single and pair rates follow ChestX-ray14."""

import functools
import json
from pathlib import Path

import numpy as np

from cxrkit.labels import FINDINGS
from cxrkit.phantom._streams import stream


@functools.cache
def rates() -> dict:
    """The committed rates: `n_films`, `single` (14), `pair` (14, 14), `field` (14) and `coupling` (14, 14).

    Source: Data_Entry_2017_v2020 of ChestX-ray14, counted by tools/estimate_cooccurrence.py.
    """
    return json.loads(Path(__file__).with_name("cooccurrence.json").read_text(encoding="utf-8"))


@functools.cache
def _sets() -> tuple[np.ndarray, np.ndarray]:
    """All 2**14 sets of findings, bool (16384, 14), and the probability of each.

    The log-linear model with one field per finding and one coupling per pair: of all distributions with these single
    and pair rates the one that assumes least (maximum entropy).
    """
    found = rates()
    sets = (np.arange(2 ** len(FINDINGS))[:, None] >> np.arange(len(FINDINGS))) & 1 == 1
    ones = sets.astype(np.float64)
    energy = ones @ np.array(found["field"]) + np.einsum("si,ij,sj->s", ones, np.array(found["coupling"]), ones)
    probs = np.exp(energy - energy.max())
    return sets, probs / probs.sum()


@functools.cache
def _cumulative(given: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Places of the sets that hold finding number `given` (all for None) and their summed probabilities."""
    sets, probs = _sets()
    where = np.arange(len(sets)) if given is None else np.flatnonzero(sets[:, given])
    total = np.cumsum(probs[where])
    return where, total / total[-1]


def draw_findings(rng: np.random.RandomState, n: int, *, enrich: float = 0.0) -> np.ndarray:
    """Draw the findings of n films.

    Args:
        rng, n: from `stream`; number of films.
        enrich: part of the films, 0 to 1, that are drawn to hold one finding chosen evenly from the 14, with the
            others as often as they go with it in ChestX-ray14. At 0 the rates are the natural ones, where Hernia is
            on one film of 500.
    Returns:
        bool (n, 14), in the order of `cxrkit.labels.FINDINGS`.
    """
    if not 0.0 <= enrich <= 1.0:
        raise ValueError(f"enrich must be between 0 (natural rates) and 1 (each film has a finding); got {enrich}.")
    chosen = np.empty(n, np.int64)
    for i, (rich, which, place) in enumerate(rng.random_sample((n, 3))):
        where, total = _cumulative(int(which * len(FINDINGS)) if rich < enrich else None)
        chosen[i] = where[min(int(np.searchsorted(total, place, side="right")), len(where) - 1)]
    return _sets()[0][chosen]


def drawn(seed: int, enrich: float) -> tuple[str, ...]:
    """The findings of a patient, drawn from the seed."""
    (row,) = draw_findings(stream(seed, "labels"), 1, enrich=enrich)
    return tuple(name for name, there in zip(FINDINGS, row, strict=True) if there)
