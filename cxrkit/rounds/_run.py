"""The multi-round algorithm: predict each image several times, augmented differently each time, and combine."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import networks
from cxrkit.rounds._combine import Rule, rule_of
from cxrkit.rounds._passes import FILMS_AT_ONCE, Model, Network, Progress, network, predict_rounds
from cxrkit.rounds._recipes import MODES, REPORT, Source, named
from cxrkit.rounds._result import Result, combine_probs
from cxrkit.rounds._stop import earliest, places_of
from cxrkit.rounds._views import Film, round_seed

if TYPE_CHECKING:
    import distributed


def run(
    predict: Model,
    films: Iterable[Film],
    recipes: Sequence[Source] | Mapping[str, Source] = REPORT,
    *,
    mode: str = "independent",
    combine: str | Rule = "mean",
    threshold: float | Mapping[str, float] | None = None,
    seed: int = 0,
    early_stop: bool = False,
    order: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    size_px: int | None = None,
    batch_size: int = 16,
    films_at_once: int = FILMS_AT_ONCE,
    client: "distributed.Client | None" = None,
    progress: Progress | None = None,
) -> Result:
    """Predict each image in several rounds, and combine the probabilities.

    The random draws for image k in round r depend only on `seed`, k and r, not on batches or on the order of rounds.
    The round "none" is the prediction of `Predictor.predict`. A network may give the same image slightly different
    float32 values in another batch; batches depend on `batch_size`, `films_at_once` and on which images left.

    Args:
        predict: a callable from float32 (n, H, W) in [0, 1] to probabilities (n,) or (n, labels); a
            `networks.Predictor`; or the name of a bundled model or a model folder.
        films: images, each taken once: files, Radiographs, or pixels (H, W), uint8 or float in [0, 1]. An image is
            first resized to the network's input; before a recipe changes it, it is rounded to 8 bits.
        recipes: of the rounds, in order: names ("none", "A" to "J", those of `augment.NAMES`), JSON files or recipes;
            or these by name.
        mode: "independent", each recipe on the original; or "cumulative", each on the view of the round before.
        combine: one of `COMBINES`: "mean"; "median", of an even number of rounds the mean of the middle two;
            "majority", positive if more than half of the rounds are; "any", the highest; "all", the lowest. Or a
            rule from `Result.fit_rule`.
        threshold: from which a label is positive, in [0, 1]: one, or by label; None: the model's, 0.5 for a callable.
            With "majority" it applies to each round.
        seed: of the random draws, from 0.
        early_stop: an image leaves as soon as no further round can change its labels. For the same probabilities the
            labels are those of all rounds.
        order: with `early_stop` and "independent": names of the rounds, for example from `Result.fit_order`. The
            random draws stay those of the listed place.
        labels: of a model: which of its labels, by default all except "Not COVID-19". Of a callable: their names.
        size_px: side of the square that images are resized to, for a callable; None: images have one size.
        batch_size: views per batch.
        films_at_once: images in memory at a time; with a client, in each of its workers.
        client: of a Dask cluster, from `cluster`: its workers predict. Then give a model by name or folder, or a
            callable that can be pickled. None: this process predicts.
        progress: called after each block of images.
    Returns:
        The result; without images it has no rows.
    Raises:
        ValueError: an illegal argument, an image that cannot be read, or a network output of another shape, with NaN
            or outside [0, 1]: an image without a prediction would look like a normal one.
    """
    rounds = named(recipes)
    if mode not in MODES:
        raise ValueError(
            f"mode must be independent (each recipe on the original) or cumulative (each on the view of the round "
            f"before); got {mode!r}."
        )
    rule = rule_of(combine, tuple(rounds))
    places = places_of(order, tuple(rounds), rule, mode=mode, early_stop=early_stop)
    if isinstance(predict, str | Path) and client is None:
        predict = networks.load(predict)
    model = network(predict, labels, size_px)
    # Without names all labels have the same threshold, so that one stands for all.
    cuts = thresholds_of(threshold, model, model.labels)
    together = earliest(rule, places, cuts) if early_stop else len(places)
    probs = predict_rounds(
        predict, films, rounds, [round_seed(seed, place) for place in range(len(rounds))],
        labels=model.labels, size_px=size_px, cumulative=mode == "cumulative",
        stages=[places[:together], *([place] for place in places[together:])],
        rule=rule if early_stop else None, cuts=cuts,
        batch_size=batch_size, films_at_once=films_at_once, client=client, progress=progress,
    )  # fmt: skip
    count = probs.shape[2]
    names = model.labels or (("label",) if count == 1 else tuple(f"label {k}" for k in range(count)))
    cuts = thresholds_of(threshold, model, names)
    combined, positive = combine_probs(probs, rule, cuts)
    return Result(
        rounds=tuple(rounds),
        labels=names,
        probs=probs,
        combined=combined,
        positive=positive,
        passes=(~np.isnan(probs).any(axis=2)).sum(axis=1),
        combine=rule,
        thresholds=dict(zip(names, cuts.tolist(), strict=True)),
        mode=mode,
        seed=seed,
        early_stop=early_stop,
    )


def thresholds_of(threshold: Any, model: Network, labels: Sequence[str] | None) -> np.ndarray:
    """Return the threshold of each label: (labels,), or (1,) if the labels are not known yet."""
    if isinstance(threshold, Mapping):
        if labels is None:
            raise ValueError("thresholds by label need labels: pass the names of predict's outputs as labels.")
        missing = [label for label in labels if label not in threshold]
        if missing:
            raise ValueError(f"threshold must name {', '.join(labels)}; it lacks {', '.join(missing)}.")
        cuts = [threshold[label] for label in labels]
    elif threshold is None and labels is not None and model.thresholds:
        cuts = [model.thresholds[label] for label in labels]
    else:
        cuts = [0.5 if threshold is None else threshold] * (1 if labels is None else len(labels))
    values = np.array(cuts, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"threshold must be a probability, in [0, 1]; got {threshold!r}.")
    return values
