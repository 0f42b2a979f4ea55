"""The multi-round algorithm: look at each film several times, altered otherwise each time, and combine the answers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import networks
from cxrkit.rounds._ask import FILMS_AT_ONCE, Network, Predict, Progress, Task, collect, network
from cxrkit.rounds._combine import Combine, combine_of
from cxrkit.rounds._pictures import Film
from cxrkit.rounds._recipes import REPORT, Source, check_mode, named
from cxrkit.rounds._result import Result
from cxrkit.rounds._stop import Order, earliest, in_order

if TYPE_CHECKING:
    import distributed

#: What is asked: a callable, a `Predictor`, or a bundled model's name or a model folder.
Model = Predict | networks.Predictor | str | Path


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
    client: "distributed.Client | None" = None,
    progress: Progress | None = None,
) -> Result:
    """Ask a network about each film in several rounds, and combine what it answers.

    Film k's draw in round r hangs on `seed`, k and r alone (`draw_seed`): neither on its batch nor on which round comes
    first. A network may answer a film otherwise in another batch, by the last bits of a float32; what films are in a
    batch hangs on `batch_size`, `films_at_once` and, where films leave, on which left.

    Args:
        predict: a callable from float32 (n, H, W) in [0, 1] to probabilities (n,) or (n, labels); an
            `networks.Predictor`; or a bundled model's name or a model folder.
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
        films_at_once: films in memory at a time; with a client, of each of its workers.
        client: of a Dask cluster, as `cluster` gives it, whose workers answer; a model is then named, or a callable
            is one that can be pickled. None: this process answers.
        progress: called after each block of films.
    Returns:
        The result; without films, one of no rows.
    Raises:
        ValueError: an argument that is not legal, a film that cannot be read, or a network that answers another shape
            or what is no probability (NaN too): a film without an answer would look like one without findings.
    """
    rounds = named(recipes)
    check_mode(mode)
    check_run(films, [seed], batch_size, films_at_once)
    rule = combine_of(combine, tuple(rounds))
    places = in_order(order, tuple(rounds), rule, mode=mode, early_stop=early_stop)
    asked = network(predict, labels, size_px)
    # Where nobody named the labels, all are called from the same on: one cut stands for however many there are.
    cuts = thresholds_of(threshold, asked, asked.labels)
    stages = [places]
    if early_stop:
        together = earliest(rule, places, cuts)
        stages = [places[:together], *([place] for place in places[together:])]
    task = Task(
        predict,
        asked.labels,
        size_px,
        rounds,
        mode == "cumulative",
        [(seed, place) for place in range(len(rounds))],
        stages,
        rule if early_stop else None,
        cuts,
        batch_size,
    )
    probs = collect(task, asked, films, films_at_once=films_at_once, client=client, progress=progress)
    named_labels = asked.labels or label_names(probs.shape[2])
    return result_of(
        probs,
        tuple(rounds),
        named_labels,
        rule,
        thresholds_of(threshold, asked, named_labels),
        mode=mode,
        seed=seed,
        early_stop=early_stop,
        order=tuple(tuple(rounds)[place] for place in places),
    )


def check_run(films: Iterable[Film], seeds: Sequence[int], batch_size: int, films_at_once: int) -> None:
    """Refuse what can be seen to be wrong before a film is read."""
    for what, number in (("batch_size", batch_size), ("films_at_once", films_at_once)):
        if number < 1:
            raise ValueError(f"{what} must be at least 1; got {number}.")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed must be a whole number from 0; got {seed!r}.")
    if isinstance(films, str | Path):
        raise ValueError(f"films must be several, one after another; got {str(films)!r}. One film alone is [film].")


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
