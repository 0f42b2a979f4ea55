"""All rounds of one image with class activation maps, for panels: views, probabilities, and where it could stop."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxrkit import networks
from cxrkit.augment import Recipe
from cxrkit.rounds._recipes import REPORT, Source, named
from cxrkit.rounds._result import Result
from cxrkit.rounds._run import run


@dataclass(frozen=True, eq=False)
class OneImage:
    """One image in all rounds, for one label.

    Attributes:
        recipes: by round, in order.
        views: by round, uint8 (S, S), what the network gets, for display.
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
        return tuple(
            name
            for name, view in other.views.items()
            if name not in self.views or not np.array_equal(self.views[name], view)
        )


class Viewer:
    """A network that predicts one image in rounds, and predicts the same view only once.

    Args:
        predictor: the network.
    """

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
        """Predict an image in rounds.

        Args:
            film: (H, W), uint8 or float in [0, 1].
            recipes, mode, seed: of the rounds, as for `rounds.run`; random draws are those of its first image.
            label: one of the network's.
            combine: one of `rounds.COMBINES`.
            threshold: from which the label is positive, in [0, 1]; None: the network's.
        Returns:
            Views, maps and probabilities.
        Raises:
            ValueError: an unknown label, or as `rounds.run`.
        """
        if label not in self.predictor.labels:
            raise ValueError(f"label must be one of {', '.join(self.predictor.labels)}; got {label!r}.")
        column = self.predictor.labels.index(label)
        views: list[np.ndarray] = []
        maps: list[np.ndarray] = []

        def predict(batch: np.ndarray) -> np.ndarray:
            found = [self._predict(view) for view in batch]
            # With every round made, rounds come in the order in which they are listed.
            views.extend(np.rint(batch * 255).astype(np.uint8))
            maps.extend(cams[column] for _, cams in found)
            return np.array([probs[column] for probs, _ in found])

        result = run(
            predict,
            [film],
            recipes,
            mode=mode,
            combine=combine,
            threshold=self.predictor.thresholds[label] if threshold is None else threshold,
            seed=seed,
            labels=[label],
            size_px=self.predictor.input_size,
        )
        lowest, highest = (end[0, :, 0] for end in result.bounds())
        return OneImage(
            named(recipes),
            dict(zip(result.rounds, views, strict=True)),
            np.stack(maps),
            result,
            lowest,
            highest,
            int(result.stops()[0]),
        )

    def _predict(self, view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # One by one: a network may give slightly different values in another batch.
        key = hashlib.sha256(view.tobytes()).digest()
        if key not in self._known:
            probs, maps = self.predictor.predict_maps(view[None], prepared=True)
            self._known[key] = probs[0], maps[0]
        return self._known[key]
