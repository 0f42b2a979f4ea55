"""How every network of an experiment is trained alike, and the training of one.

Keras is imported when a network is built, not before: what was measured can be read and drawn without it.
"""

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrkit import augment, metrics
from cxrkit.course.experiments._features import Features
from cxrkit.course.experiments._films import positive
from cxrkit.course.experiments._networks import crossentropy, network, trainer_of
from cxrkit.data import FilmSet

if TYPE_CHECKING:
    import keras


#: What of the network is trained.
MODES = ("frozen", "fine-tuned", "retrained")
BEST_BY = ("val_loss", "auroc")
#: Strengths of the new head's penalty that "frozen" tries on val, as scikit-learn's C; the strongest first.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Plan:
    """How every network of an experiment is trained alike.

    Attributes:
        start: a bundled model or a model folder, whose layers before the head are taken ("findings14-small", as the
            report starts from its 14-finding network); a file of SqueezeNet's ImageNet weights (.h5); or "random", a
            SqueezeNet without any.
        mode: "frozen": a new head alone, by logistic regression on features that are computed once per film and draw;
            "fine-tuned": all layers, from the start's weights; "retrained": all layers of the same network, from random
            weights.
        size_px: side of the network's input, pixels.
        recipe: how training films are altered; None leaves them.
        draws: for "frozen" with a recipe: altered copies of each training film.
        epochs, steps: scorings on val, and batches between them; not for "frozen".
        batch_size: films a batch; not for "frozen".
        learning_rate: of AdamW at the start, falling to 0 along half a cosine; not for "frozen".
        positive_share: share of COVID-19 among what is learned from, in (0, 1): films are drawn so, or weighed so for
            "frozen". None leaves it at the films' own.
        best_by: what chooses on val, the epoch or the penalty: "val_loss", or "auroc".
    """

    start: str = "findings14-small"
    mode: str = "fine-tuned"
    size_px: int = 96
    recipe: "augment.Recipe | None" = None
    draws: int = 4
    epochs: int = 4
    steps: int = 20
    batch_size: int = 16
    learning_rate: float = 3e-4
    positive_share: float | None = 0.5
    best_by: str = "val_loss"

    def __post_init__(self) -> None:
        for name, legal in (("mode", MODES), ("best_by", BEST_BY)):
            if getattr(self, name) not in legal:
                raise ValueError(f"{name} must be one of {', '.join(legal)}; got {getattr(self, name)!r}.")
        for name in ("draws", "epochs", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}. Begin with 3e-4.")
        if self.positive_share is not None and not 0 < self.positive_share < 1:
            raise ValueError(
                f"positive_share must lie between 0 and 1, or be None for the films' own; got {self.positive_share}."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as values that JSON can hold; of a recipe, its text."""
        return {**asdict(self), "recipe": None if self.recipe is None else self.recipe.to_json()}


@dataclass(frozen=True, eq=False)
class Learned:
    """A network that learned COVID-19.

    Attributes:
        plan: how it was trained.
        seed: of its training.
        tried: what val chose from, one row each: `epoch` (from 1) and `loss` (mean over its batches), or, of "frozen",
            `C` (inverse strength of the penalty); `val_loss`, `auroc`, and `best`, which was taken.
    """

    plan: Plan
    seed: int
    tried: pd.DataFrame
    _predict: "Callable[[FilmSet], np.ndarray]"
    _build: "Callable[[], keras.Model]"

    def predict(self, films: "FilmSet") -> np.ndarray:
        """Return the probability of COVID-19 for each film, (films,), float64."""
        return self._predict(films)

    def ask(self, batch: np.ndarray) -> np.ndarray:
        """Return the probability of COVID-19 for pixels, as `rounds.run` asks a network.

        Args:
            batch: (n, size_px, size_px), float32 in [0, 1].
        Returns:
            (n,), float32.
        """
        return self.model.predict_on_batch(batch[..., None])[:, 0]

    @functools.cached_property
    def model(self) -> "keras.Model":
        """The network, (N, size_px, size_px, 1) in [0, 1] -> (N, 2), probabilities of `labels.COVID_CLASSES`."""
        return self._build()


def learn(films: "FilmSet", val: "FilmSet", plan: Plan, *, seed: int, features: Features | None = None) -> Learned:
    """Train one network to tell COVID-19 from all else.

    Args:
        films: to learn from; the first of the targets is whether it is COVID-19, 0 or 1.
        val: films of other patients, by which the epoch or the penalty is chosen.
        plan: how.
        seed: of the new weights, what is drawn, and how it is altered.
        features: for "frozen": where features are kept, so that a film that was asked about before is not asked about
            again; made by `features_of`. None: kept for this network alone.
    Returns:
        The network.
    Raises:
        ValueError: films or val without both classes, or targets that are not known.
    """
    for name, some in (("films", films), ("val", val)):
        _check(name, some)
    if plan.mode == "frozen":
        return _frozen(films, val, plan, seed, features_of(plan, seed=seed) if features is None else features)
    return _trained(films, val, plan, seed)


def features_of(plan: Plan, *, seed: int = 0) -> Features:
    """Return where the features of a plan's start are kept.

    Args:
        plan: its `start` and `size_px` say which network's.
        seed: of the network's weights where the start is "random".
    Returns:
        An empty store that `learn` fills; it serves all plans with the same start and size.
    """
    return Features(functools.partial(network, plan.start, plan.size_px, seed=seed), plan.size_px, seed=seed)


def _frozen(films: "FilmSet", val: "FilmSet", plan: Plan, seed: int, features: Features) -> Learned:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # A seed's draws are its own, and those of a film the same in every set of films that holds it.
    draws = range(seed * plan.draws + 1, (seed + 1) * plan.draws + 1)
    copies = [None] if plan.recipe is None else draws
    x = np.concatenate([features.of(films, recipe=plan.recipe, draw=draw) for draw in copies]).astype(np.float64)
    y, weights = np.tile(positive(films), len(copies)), np.tile(_weights(films, plan.positive_share), len(copies))
    # Each film counts once, however many copies: else more draws would be a weaker penalty.
    weights = weights * len(films) / weights.sum()
    centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    looked_at, truth = (features.of(val) - centre) / spread, positive(val)
    x = (x - centre) / spread
    heads, rows = [], []
    # From the strongest penalty on, each begins where the one before ended.
    head = LogisticRegression(max_iter=1000, warm_start=True)
    # Problems so small take ten times longer on several threads, which wait for one another.
    with threadpool_limits(1):
        for penalty in PENALTIES:
            head.set_params(C=penalty).fit(x, y, sample_weight=weights)
            logits = head.decision_function(looked_at)
            heads.append((head.coef_[0].copy(), float(head.intercept_[0])))
            rows.append((penalty, crossentropy(truth, logits), metrics.auroc(truth, logits).value))
    tried = pd.DataFrame(rows, columns=["C", "val_loss", "auroc"])
    best = int(tried["val_loss"].argmin() if plan.best_by == "val_loss" else tried["auroc"].argmax())
    tried["best"] = tried.index == best
    slopes = heads[best][0] / spread
    offset = heads[best][1] - float(slopes @ centre)

    def predict(some: "FilmSet") -> np.ndarray:
        return 1 / (1 + np.exp(-(features.of(some).astype(np.float64) @ slopes + offset)))

    def build() -> "keras.Model":
        model = network(plan.start, plan.size_px, seed=features.seed)
        # Of two classes, the difference of their logits counts: all of it is put into the first.
        kernel, bias = np.zeros((len(slopes), 2), np.float32), np.zeros(2, np.float32)
        kernel[:, 0], bias[0] = slopes, offset
        model.layers[-1].set_weights([kernel, bias])
        return model

    return Learned(plan, seed, tried, predict, build)


def _trained(films: "FilmSet", val: "FilmSet", plan: Plan, seed: int) -> Learned:
    trainer = trainer_of(plan.start, plan.size_px, plan.learning_rate, plan.epochs * plan.steps)
    start = network(plan.start, plan.size_px, seed=seed, retrained=plan.mode == "retrained")
    weights, rows = trainer.train(
        start.get_weights(),
        _two_way(films),
        _weights(films, plan.positive_share),
        _two_way(val),
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        augment=None if plan.recipe is None else functools.partial(augment.apply, plan.recipe),
        by_auroc=plan.best_by == "auroc",
        seed=seed,
    )

    def build() -> "keras.Model":
        model = network(plan.start, plan.size_px, seed=seed)
        model.set_weights(weights)
        return model

    return Learned(plan, seed, pd.DataFrame(rows), lambda some: trainer.answer(some, weights), build)


def _check(name: str, films: "FilmSet") -> None:
    targets = films.targets[:, 0]
    if not np.isin(targets, (0, 1)).all():
        raise ValueError(
            f"{name} must be known to show COVID-19 or not; {int((~np.isin(targets, (0, 1))).sum())} of {len(films)} "
            "are not. Leave them out."
        )
    count = int(targets.sum())
    if not 0 < count < len(films):
        raise ValueError(
            f"{name} must hold films with and without COVID-19; {count} of {len(films)} have it. Take more sources, or "
            "more patients."
        )


def _weights(films: "FilmSet", share: float | None) -> np.ndarray:
    """Return what each film counts, so that those with COVID-19 count `share` together."""
    y = positive(films)
    if share is None:
        return np.full(len(films), 1 / len(films))
    return np.where(y, share / y.sum(), (1 - share) / (~y).sum())


def _two_way(films: "FilmSet") -> "FilmSet":

    y = positive(films)[:, None].astype(np.float32)
    return FilmSet(films.pixels, np.hstack([y, 1 - y]), films.sources, films.patients)
