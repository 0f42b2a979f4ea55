"""The multi-round algorithm over many images (`run`), and over one image with class activation maps (`Viewer`)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cxrkit import networks
from cxrkit.augment import Recipe
from cxrkit.rounds._combine import Rule, combine_probs, rule_of
from cxrkit.rounds._passes import Film, Model, Network, Progress, predict_rounds, round_seed
from cxrkit.rounds._recipes import MODES, REPORT, Source, named
from cxrkit.rounds._result import Result

if TYPE_CHECKING:
    import distributed


def run(
    predict: Model,
    films: Iterable[Film],
    recipes: Sequence[Source] | Mapping[str, Source] = REPORT,
    *,
    mode: str = "independent",
    combine: str | Rule = "mean",
    threshold: float | None = None,
    seed: int = 0,
    early_stop: bool = False,
    order: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    size_px: int | None = None,
    batch_size: int = 16,
    client: "distributed.Client | None" = None,
    progress: Progress | None = None,
) -> Result:
    """Predict each image in several rounds, and combine the probabilities.

    The random draws for image k in round r depend on `seed`, k and r alone. The round "none" is the prediction of
    `Predictor.predict`. A network may give an image slightly different float32 values in another batch.

    Args:
        predict: a callable from float32 (n, H, W) in [0, 1] to probabilities (n,) or (n, labels); a
            `networks.Predictor`; or the name of a bundled model or a model folder.
        films: files, Radiographs, or pixels (H, W), uint8 or float in [0, 1], of which 64 are in memory at a time. An
            image is first resized to the network's input; before a recipe changes it, it is rounded to 8 bits.
        recipes: of the rounds, in order: names ("none", "A" to "J", those of `augment.NAMES`), JSON files or recipes;
            or these by name.
        mode: "independent", each recipe on the original; or "cumulative", each on the view of the round before.
        combine: one of `COMBINES`: "mean"; "median", of an even number of rounds the mean of the middle two;
            "majority", positive if more than half of the rounds are; "any", the highest; "all", the lowest. Or a
            rule from `Result.fit_rule`.
        threshold: from which a label is positive, in [0, 1]; None: the model's, 0.5 for a callable. With "majority" it
            applies to each round.
        seed: of the random draws, from 0.
        early_stop: an image leaves as soon as no further round can change its labels. For the same probabilities the
            labels are those of all rounds.
        order: with `early_stop` and "independent": names of the rounds in the order in which they are made, from
            `Result.fit_order`.
        labels: of a model: which ones, by default all except "Not COVID-19"; of a callable: their names.
        size_px: side of the square that images are resized to, for a callable; None: images have one size.
        batch_size: views per batch.
        client: from `cluster`: its workers predict. Then give a model by name or folder, or a callable that can be
            pickled. None: this process predicts.
        progress: called with the number of images done, and of all (0 if unknown).
    Raises:
        ValueError: an illegal argument, an image that cannot be read, or a network output of another shape, with NaN
            or outside [0, 1]: an image without a prediction would look like a normal one.
    """
    rounds = named(recipes)
    if mode not in MODES:
        raise ValueError(f"mode must be {' or '.join(MODES)} (each on the view of the round before); got {mode!r}.")
    rule = rule_of(combine, tuple(rounds))
    places = list(range(len(rounds)))
    if order is not None:
        if not early_stop or mode == "cumulative":
            raise ValueError(
                "order needs early_stop (otherwise every round is made) and independent rounds. Leave it out."
            )
        if sorted(order) != sorted(rounds):
            raise ValueError(f"order must name each of {', '.join(rounds)} once; got {', '.join(map(str, order))}.")
        places = [list(rounds).index(name) for name in order]
    model = Network(predict, labels, size_px)
    # Without names all labels have the same threshold, so that one stands for all.
    cuts = model.cuts(threshold, model.labels)
    probs = predict_rounds(
        model, films, recipes=rounds, seeds=[round_seed(seed, place) for place in range(len(rounds))],
        cumulative=mode == "cumulative", stages=[[place] for place in places] if early_stop else [places],
        rule=rule if early_stop else None, cuts=cuts,
        batch_size=batch_size, client=client, progress=progress,
    )  # fmt: skip
    count = probs.shape[2]
    names = model.labels or (("label",) if count == 1 else tuple(f"label {k}" for k in range(count)))
    cuts = model.cuts(threshold, names)
    combined, positive = combine_probs(probs, rule, cuts)
    passes = (~np.isnan(probs).any(axis=2)).sum(axis=1)
    return Result(
        tuple(rounds), names, probs, combined, positive, passes, combine=rule,
        thresholds=dict(zip(names, cuts.tolist(), strict=True)), mode=mode, early_stop=early_stop,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class OneImage:
    """One image in all rounds, for one label.

    Attributes:
        recipes, views: by round, in order; a view is uint8 (S, S), what the network gets.
        maps: (rounds, h, w), class activation maps of the label.
        result: of `run`: one image, one label, every round made.
        lowest, highest: (rounds,), the range of final values that is still possible after each round.
        stops: after so many rounds no further round can change the label.
    """

    recipes: dict[str, Recipe]
    views: dict[str, np.ndarray]
    maps: np.ndarray
    result: Result
    lowest: np.ndarray
    highest: np.ndarray
    stops: int

    @property
    def probs(self) -> np.ndarray:
        """The probability in each round: (rounds,), in [0, 1]."""
        return self.result.probs[0, :, 0]

    @property
    def round_positive(self) -> np.ndarray:
        """Whether each round is positive: (rounds,), bool."""
        return self.result.round_positive[0, :, 0]

    @property
    def combined(self) -> tuple[float, bool]:
        """The combined probability, and whether it is positive."""
        return float(self.result.combined[0, 0]), bool(self.result.positive[0, 0])

    def changed(self, other: "OneImage") -> tuple[str, ...]:
        """Return the rounds of `other` whose view differs from the view of the same round here."""
        return tuple(name for name, view in other.views.items() if not np.array_equal(self.views[name], view))


class Viewer:
    """A network that predicts one image in rounds, and predicts the same view only once."""

    def __init__(self, predictor: networks.Predictor) -> None:
        self.predictor = predictor
        self._known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def run(
        self,
        film: np.ndarray,
        recipes: Mapping[str, Source] | Sequence[Source] = REPORT,
        *,
        label: str,
        mode: str = "independent",
        combine: str = "mean",
        threshold: float | None = None,
        seed: int = 0,
    ) -> OneImage:
        """Predict an image (H, W) in rounds, with the random draws of the first image of `rounds.run`.

        All arguments are those of `rounds.run`; `label` is one of the network's.
        """
        if label not in self.predictor.labels:
            raise ValueError(f"label must be one of {', '.join(self.predictor.labels)}; got {label!r}.")
        column = self.predictor.labels.index(label)
        views: list[np.ndarray] = []
        maps: list[np.ndarray] = []

        def predict(batch: np.ndarray) -> np.ndarray:
            found = [self._predict(view) for view in batch]
            views.extend(np.rint(batch * 255).astype(np.uint8))
            maps.extend(cams[column] for _, cams in found)
            return np.array([probs[column] for probs, _ in found])

        result = run(
            predict, [film], recipes, mode=mode, combine=combine, seed=seed, labels=[label],
            threshold=self.predictor.thresholds[label] if threshold is None else threshold,
            size_px=self.predictor.input_size,
        )  # fmt: skip
        lowest, highest = (end[0, :, 0] for end in result.bounds())
        by_round, [stops] = dict(zip(result.rounds, views, strict=True)), result.stops()
        return OneImage(named(recipes), by_round, np.stack(maps), result, lowest, highest, int(stops))

    def _predict(self, view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # One by one: a network may give slightly different values in another batch.
        key = hashlib.sha256(view.tobytes()).digest()
        if key not in self._known:
            probs, maps = self.predictor.predict_maps(view[None], prepared=True)
            self._known[key] = probs[0], maps[0]
        return self._known[key]
