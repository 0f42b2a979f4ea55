"""The multi-round algorithm: look at each film several times, altered otherwise each time, and combine the answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np

from cxrkit import engine
from cxrkit.rounds._ask import FILMS_AT_ONCE, Network, Predict, answers, blocks, network
from cxrkit.rounds._combine import Combine, combine_of
from cxrkit.rounds._pictures import Film, Plan
from cxrkit.rounds._recipes import REPORT, Source, check_mode, named
from cxrkit.rounds._result import Result
from cxrkit.rounds._stop import Order, decided, earliest, in_order

#: Called with films done, and of how many (0 where films come one by one and nobody knows).
Progress = Callable[[int, int], None]
Model = Predict | engine.Predictor | str | Path


def run(
    predict: Model,
    films: Iterable[Film],
    recipes: Sequence[Source] | Mapping[str, Source] = REPORT,
    *,
    mode: str = "independent",
    combine: str | Combine = "mean",
    threshold: float | Mapping[str, float] | None = None,
    seed: int = 0,
    early_stop: bool = False,
    order: Order | Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    size_px: int | None = None,
    batch_size: int = 16,
    films_at_once: int = FILMS_AT_ONCE,
    progress: Progress | None = None,
) -> Result:
    """Ask a network about each film in several rounds, and combine what it answers.

    Film k's draw in round r hangs on `seed`, k and r alone (`draw_seed`): neither on its batch nor on which round comes
    first. A network may answer a film otherwise in another batch, by the last bits of a float32; what films are in a
    batch hangs on `batch_size`, `films_at_once` and, where films leave, on which left.

    Args:
        predict: a callable from float32 (n, H, W) in [0, 1] to probabilities (n,) or (n, labels); an
            `engine.Predictor`; or a bundled model's name or a model folder.
        films: taken one by one, each once: files, Radiographs, or pixels (H, W), uint8 or float in [0, 1]. A film is
            squashed to the network's input and rounded to 8 bits, as for training, before it is altered.
        recipes: of the rounds, in order: names ("none", "A" to "J", those of `augment.NAMES`), JSON files or recipes;
            or these by name.
        mode: "independent", each recipe on the original; or "cumulative", each on the picture of the round before.
        combine: one of `COMBINES`: "mean"; "median", of an even number of rounds the mean of the middle two;
            "majority", called when more than half of the rounds call it, so that a tie is not called; "any", the
            largest; "all", the least. Or what `fit_weights` or `fit_stack` made.
        threshold: from which a label is called, in [0, 1]: one, or by label; None: a model's own, 0.5 of a callable.
            For "majority" it is that of each round.
        seed: of what is drawn, from 0.
        early_stop: a film leaves as soon as no round to come can change what is called of it; what is called is the
            same as with all rounds, for the same probabilities.
        order: with `early_stop` and "independent": which round comes first; of `fit_order`, or names. Round r is
            still drawn as round r of `recipes`.
        labels: of a model: which of its labels, by default all but "Not COVID-19". Of a callable: their names.
        size_px: side of the square that films are squashed to, for a callable; None: films are alike in size.
        batch_size: pictures a batch, of as many films and rounds as fill it.
        films_at_once: films in memory at a time.
        progress: called after each block of films.
    Returns:
        The result; without films, one of no rows.
    Raises:
        ValueError: an argument that is not legal, a film that cannot be read, or a network that answers another shape
            or what is no probability (NaN too): a film without an answer would look like one without findings.
    """
    rounds = named(recipes)
    check_mode(mode)
    for what, number in (("batch_size", batch_size), ("films_at_once", films_at_once)):
        if number < 1:
            raise ValueError(f"{what} must be at least 1; got {number}.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0; got {seed!r}.")
    if isinstance(films, str | Path):
        raise ValueError(f"films must be several, one after another; got {str(films)!r}. One film alone is [film].")
    rule = combine_of(combine, tuple(rounds))
    places = in_order(order, tuple(rounds), rule, mode=mode, early_stop=early_stop)
    asked = network(predict, labels, size_px)
    # Where nobody named the labels, all are called from the same on: one cut stands for however many there are.
    cuts = thresholds_of(threshold, asked, asked.labels)
    plan = Plan(rounds, cumulative=mode == "cumulative", seeds=[(seed, place) for place in range(len(rounds))])
    stages = [places]
    if early_stop:
        together = earliest(rule, places, cuts)
        stages = [places[:together], *([place] for place in places[together:])]
    total = len(films) if isinstance(films, Sized) else 0
    found: list[np.ndarray] = []
    for block in blocks(films, films_at_once):
        done = films_at_once * len(found)
        found.append(
            answers(
                asked,
                block,
                plan,
                tuple(rounds),
                first=done,
                stages=stages,
                decide=(lambda probs: decided(rule, probs, cuts)) if early_stop else None,
                batch_size=batch_size,
            )
        )
        if progress is not None:
            progress(done + len(block), total)
    probs = joined(found, len(rounds), asked)
    names = asked.labels or label_names(probs.shape[2])
    return result_of(
        probs,
        tuple(rounds),
        names,
        rule,
        thresholds_of(threshold, asked, names),
        mode=mode,
        seed=seed,
        early_stop=early_stop,
        order=tuple(tuple(rounds)[place] for place in places),
    )


def thresholds_of(threshold: Any, asked: Network, labels: Sequence[str] | None) -> np.ndarray:
    """Return the threshold of each label: (labels,), or (1,) where the labels are not known yet."""
    if isinstance(threshold, Mapping):
        if labels is None:
            raise ValueError("thresholds by label need labels: pass the names of what predict answers as labels.")
        missing = [label for label in labels if label not in threshold]
        if missing:
            raise ValueError(f"threshold must name {', '.join(labels)}; it lacks {', '.join(missing)}.")
        cuts = [threshold[label] for label in labels]
    elif threshold is None and labels is not None and asked.thresholds:
        cuts = [asked.thresholds[label] for label in labels]
    else:
        cuts = [0.5 if threshold is None else threshold] * (1 if labels is None else len(labels))
    values = np.array(cuts, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"threshold must be a probability, in [0, 1]; got {threshold!r}.")
    return values


def joined(found: Sequence[np.ndarray], rounds: int, asked: Network) -> np.ndarray:
    """Put the answers of blocks together: (films, rounds, labels)."""
    if not found:
        return np.empty((0, rounds, len(asked.labels or ("",))))
    widths = sorted({part.shape[2] for part in found})
    if len(widths) > 1:
        raise ValueError(f"predict returned {widths[0]} labels for some films and {widths[-1]} for others.")
    return np.concatenate(found)


def label_names(count: int) -> tuple[str, ...]:
    """Name what a callable answers and nobody named."""
    return ("label",) if count == 1 else tuple(f"label {k}" for k in range(count))


def result_of(
    probs: np.ndarray,
    rounds: tuple[str, ...],
    labels: tuple[str, ...],
    rule: Combine,
    thresholds: np.ndarray,
    **about: Any,
) -> Result:
    """Combine what was answered.

    Args:
        probs: (films, rounds, labels); NaN where a film had left.
        rounds, labels: their names.
        rule: how.
        thresholds: (labels,).
        about: further fields of the result.
    """
    whole = ~np.isnan(probs).any(axis=(1, 2))
    combined = np.full((len(probs), probs.shape[2]), np.nan)
    combined[whole] = rule.combined(probs[whole], thresholds)
    # What a film that left can still come to is called or not called alike.
    least = rule.combined(np.nan_to_num(probs, nan=0.0), thresholds)
    called = least >= rule.cuts(thresholds)
    return Result(
        rounds=rounds,
        labels=labels,
        probs=probs,
        combined=combined,
        called=called,
        passes=(~np.isnan(probs).any(axis=2)).sum(axis=1),
        combine=rule,
        thresholds=dict(zip(labels, thresholds.tolist(), strict=True)),
        **about,
    )
