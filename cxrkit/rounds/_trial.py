"""One film looked at in rounds, with maps: what each round shows, what a network says of it, and when it could stop."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxrkit import augment, rounds
from cxrkit.networks import Predictor


@dataclass(frozen=True, eq=False)
class Look:
    """A film looked at in rounds.

    Attributes:
        recipes: by round, in order.
        pictures: by round, uint8 (S, S), what the network is shown.
        maps: (rounds, h, w), class activation maps of the label.
        result: of `rounds.run`: one film, one label, every pass made.
        least, most: (rounds,), what all rounds together can still come to after each.
        stops: after so many rounds it could stop: no round to come can change what is called.
    """

    recipes: dict[str, augment.Recipe]
    pictures: dict[str, np.ndarray]
    maps: np.ndarray
    result: rounds.Result
    least: np.ndarray
    most: np.ndarray
    stops: int

    @property
    def probs(self) -> np.ndarray:
        """What each round answers: (rounds,), in [0, 1]."""
        return self.result.probs[0, :, 0]

    @property
    def calls(self) -> np.ndarray:
        """Whether each round calls the label: (rounds,), bool."""
        return self.result.round_calls[0, :, 0]

    @property
    def answer(self) -> tuple[float, bool]:
        """What all rounds come to, and whether that calls the label."""
        return float(self.result.combined[0, 0]), bool(self.result.called[0, 0])


class Looker:
    """A network asked about films in rounds; a picture that it was asked about before is not asked about again."""

    def __init__(self, predictor: Predictor) -> None:
        """Build it.

        Args:
            predictor: the network.
        """
        self.predictor = predictor
        self._known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def look(
        self,
        film: np.ndarray,
        recipes: Mapping[str, rounds.Source] | Sequence[rounds.Source] = rounds.REPORT,
        *,
        label: str,
        mode: str = "independent",
        combine: str = "mean",
        threshold: float | None = None,
        seed: int = 0,
    ) -> Look:
        """Look at a film in rounds.

        Args:
            film: (H, W), uint8 or float in [0, 1].
            recipes, mode, seed: of the rounds, as for `rounds.run`; draws are those of its first film.
            label: one of the network's.
            combine: one of `rounds.COMBINES`.
            threshold: from which the label is called, in [0, 1]; None: the network's own.
        Returns:
            What was seen.
        Raises:
            ValueError: another label, or as `rounds.run`.
        """
        if label not in self.predictor.labels:
            raise ValueError(f"label must be one of {', '.join(self.predictor.labels)}; got {label!r}.")
        column = self.predictor.labels.index(label)
        pictures: list[np.ndarray] = []
        maps: list[np.ndarray] = []

        def answer(batch: np.ndarray) -> np.ndarray:
            found = [self._ask(picture) for picture in batch]
            # With every pass made, rounds are asked in the order in which they are listed.
            pictures.extend(np.rint(batch * 255).astype(np.uint8))
            maps.extend(cams[column] for _, cams in found)
            return np.array([probs[column] for probs, _ in found])

        made = rounds.run(
            answer,
            [film],
            recipes,
            mode=mode,
            combine=combine,
            threshold=self.predictor.thresholds[label] if threshold is None else threshold,
            seed=seed,
            labels=[label],
            size_px=self.predictor.input_size,
        )
        least, most = (ends[0, :, 0] for ends in made.bounds())
        return Look(
            rounds.named(recipes),
            dict(zip(made.rounds, pictures, strict=True)),
            np.stack(maps),
            made,
            least,
            most,
            int(made.stops()[0]),
        )

    def _ask(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # One by one: a network may answer otherwise in another batch, by the last bits.
        key = hashlib.sha256(picture.tobytes()).digest()
        if key not in self._known:
            probs, maps = self.predictor.predict_maps(picture[None], prepared=True)
            self._known[key] = probs[0], maps[0]
        return self._known[key]


def swapped(order: Sequence[str], one: str, other: str) -> tuple[str, ...]:
    """Return rounds with two of them in each other's place.

    Args:
        order: names.
        one, other: two of them.
    Raises:
        ValueError: a name that is not among them.
    """
    for name in (one, other):
        if name not in order:
            raise ValueError(f"rounds to swap must be of {', '.join(order)}; got {name!r}.")
    exchange = {one: other, other: one}
    return tuple(exchange.get(name, name) for name in order)


def changed(one: Look, other: Look) -> tuple[str, ...]:
    """Return the rounds of `other` whose picture is not that of the round of the same name in `one`."""
    return tuple(
        name
        for name, picture in other.pictures.items()
        if name not in one.pictures or not np.array_equal(one.pictures[name], picture)
    )
