"""How all networks of an experiment are trained, and the training of one. Keras is imported when a network is built."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrkit import augment, metrics
from cxrkit.course.experiments._sets import both_classes, positive
from cxrkit.data import FilmSet
from cxrkit.film import sha256_of
from cxrkit.labels import COVID_CLASSES

if TYPE_CHECKING:
    import keras

#: What is trained: a new head on fixed features; all layers from pretrained weights; all layers from random weights.
MODES = ("frozen", "fine-tuned", "scratch")
BEST_BY = ("val_loss", "auroc")
#: Random weights instead of pretrained ones.
RANDOM = "random"
#: Images that are augmented at once, which bounds the memory.
_AT_ONCE = 1024
#: Regularisation strengths that "frozen" tries on val, as scikit-learn's C; the strongest first.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Plan:
    """How all networks of an experiment are trained.

    Attributes:
        start: what the layers before the new head are: a bundled model or a model folder (the report too uses its
            14-finding network), a file of SqueezeNet's ImageNet weights (.h5), or "random" for a SqueezeNet.
        mode: "frozen": a logistic regression on the features of these layers; "fine-tuned": all layers, from pretrained
            weights; "scratch": all layers, from random weights.
        size_px: side of the network's input, pixels.
        recipe: augmentation of the training images; None for none.
        draws: for "frozen" with a recipe: augmented copies of each training image.
        epochs, steps: evaluations on val, and batches between them; not for "frozen".
        batch_size: images per batch; not for "frozen".
        learning_rate: of AdamW at the beginning, with cosine decay to 0; not for "frozen".
        positive_share: share of COVID-19 among the training images, in (0, 1), by sampling, or by weights for
            "frozen". None keeps the share that the images have.
        best_by: what chooses the epoch or the penalty on val: "val_loss" or "auroc".
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
            raise ValueError(f"positive_share must lie between 0 and 1, or be None; got {self.positive_share}.")

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-able values; the recipe as its text."""
        return {**asdict(self), "recipe": None if self.recipe is None else self.recipe.to_json()}


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained COVID-19 network.

    Attributes:
        predict: returns the probability of COVID-19 for each image of a FilmSet, (films,), float64.
        tried: what val chose from, a row each: `epoch` (from 1) and `loss` (mean over its batches), or for "frozen"
            `C` (inverse strength of the penalty); `val_loss`, `auroc`, and `best` for the one taken.
    """

    predict: Callable[[FilmSet], np.ndarray]
    tried: pd.DataFrame
    _build: "Callable[[], keras.Model]"

    def predict_batch(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities (n,) of pixels (n, size_px, size_px) in [0, 1], as `rounds.run` needs them."""
        return self.model.predict_on_batch(pixels[..., None])[:, 0]

    @functools.cached_property
    def model(self) -> "keras.Model":
        """The network, (N, size_px, size_px, 1) in [0, 1] -> (N, 2), probabilities of `labels.COVID_CLASSES`."""
        return self._build()


def learn(films: FilmSet, val: FilmSet, plan: Plan, *, seed: int) -> Learned:
    """Train one network to distinguish COVID-19 from everything else.

    Args:
        films: to train on; the first target is 1 for COVID-19 and else 0.
        val: images of other patients, on which the epoch or the penalty is chosen.
        plan: how.
        seed: of new weights, sampling and augmentation.
    Returns:
        The network.
    Raises:
        ValueError: films or val without both classes, or with unknown targets; or the training diverged.
    """
    for name, some in (("films", films), ("val", val)):
        if not np.isin(some.targets[:, 0], (0, 1)).all() or not both_classes(some):
            raise ValueError(
                f"{name} must hold images with COVID-19 (target 1) and without (0), and no others; of {len(some)}, "
                f"{(some.targets[:, 0] == 1).sum()} have 1 and {(some.targets[:, 0] == 0).sum()} have 0. Leave others "
                "out; take more sources or patients."
            )
    return (_frozen if plan.mode == "frozen" else _trained)(films, val, plan, seed)


# ---------------------------------------------------------------------------------------------------------- frozen


class Features:
    """The pooled features of a network, each computed once per image and draw, whatever set the image comes in."""

    def __init__(self, start: str, size_px: int, seed: int) -> None:
        import keras

        model = network(start, size_px, seed=seed)
        self._body = keras.Model(model.input, model.layers[-1].input)
        self.kept: dict[tuple[bytes, str, int], np.ndarray] = {}

    def of(self, films: FilmSet, *, recipe: "augment.Recipe | None" = None, draw: int = 0) -> np.ndarray:
        """Return features (films, features), float32, of images or of a numbered draw of a recipe for them."""
        from cxrkit import train

        name = "" if recipe is None else recipe.to_json()
        keys = [(hashlib.blake2b(film.tobytes(), digest_size=16).digest(), name, draw) for film in films.pixels]
        missing = list({key: row for row, key in enumerate(keys) if key not in self.kept}.values())
        for rows in (missing[first : first + _AT_ONCE] for first in range(0, len(missing), _AT_ONCE)):
            some = films.where(np.array(rows))
            if recipe is not None:
                some = replace(some, pixels=augment.apply(recipe, some.pixels, [_seed(*keys[row]) for row in rows]))
            computed = train.predict(self._body, some)
            self.kept |= {keys[row]: vector for row, vector in zip(rows, computed, strict=True)}
        return np.stack([self.kept[key] for key in keys])


def _seed(digest: bytes, recipe: str, draw: int) -> int:
    return int.from_bytes(hashlib.blake2b(digest + f"{draw} {recipe}".encode(), digest_size=4).digest())


#: The features of a network, the same object each time: the networks of an experiment share them.
_features_of = functools.lru_cache(maxsize=4)(Features)


def _frozen(films: FilmSet, val: FilmSet, plan: Plan, seed: int) -> Learned:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # Random weights differ by seed; pretrained ones serve all seeds.
    first = seed if plan.start == RANDOM else 0
    features = _features_of(plan.start, plan.size_px, first)
    draws = [0] if plan.recipe is None else range(seed * plan.draws + 1, (seed + 1) * plan.draws + 1)
    x = np.concatenate([features.of(films, recipe=plan.recipe, draw=draw) for draw in draws]).astype(np.float64)
    # Each image counts once, however many copies: otherwise more draws would mean a weaker penalty.
    weights = np.tile(_weights(films, plan.positive_share) * len(films) / len(draws), len(draws))
    centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    y, val_x = np.tile(positive(films), len(draws)), features.of(val)
    heads, rows = [], []
    head = LogisticRegression(max_iter=1000, warm_start=True)
    # Problems as small as these take ten times longer on several threads, which wait for one another.
    with threadpool_limits(1):
        for penalty in PENALTIES:
            head.set_params(C=penalty).fit((x - centre) / spread, y, weights)
            slopes = head.coef_[0] / spread
            heads.append((slopes, float(head.intercept_[0] - slopes @ centre)))
            rows.append({"C": penalty, **_scores(val, val_x @ slopes + heads[-1][1], plan)})
    tried = _tried(pd.DataFrame(rows))
    slopes, offset = heads[int(tried["best"].argmax())]

    def build() -> "keras.Model":
        model = network(plan.start, plan.size_px, seed=first)
        # Softmax of two logits depends on their difference: the first class takes all of it.
        kernel = np.stack([slopes, np.zeros_like(slopes)], axis=1)
        model.layers[-1].set_weights([kernel, np.array([offset, 0.0])])
        return model

    return Learned(lambda some: 1 / (1 + np.exp(-(features.of(some) @ slopes + offset))), tried, build)


# ------------------------------------------------------------------------------------------- fine-tuned and scratch


def _trained(films: FilmSet, val: FilmSet, plan: Plan, seed: int) -> Learned:
    from cxrkit import train

    model = _compiled(plan.start, plan.size_px, plan.learning_rate, plan.epochs * plan.steps)
    model.set_weights(network(plan.start, plan.size_px, seed=seed, scratch=plan.mode == "scratch").get_weights())
    # The network before left its number of steps and its moments here; both begin at 0.
    for variable in model.optimizer.variables:
        variable.assign(variable * 0)
    batches = train.Batches(
        replace(films, targets=np.stack([positive(films), ~positive(films)], axis=1).astype(np.float32)),
        weights=_weights(films, plan.positive_share),
        steps=plan.steps,
        batch_size=plan.batch_size,
        size_px=plan.size_px,
        augment=plan.recipe,
        seed=seed,
    )

    def validation(trained: "keras.Model") -> dict[str, float]:
        probs = np.clip(train.predict(trained, val)[:, 0].astype(np.float64), 1e-7, 1 - 1e-7)
        return _scores(val, np.log(probs) - np.log1p(-probs), plan)

    tried = _tried(train.fit(model, batches, epochs=plan.epochs, validation=validation))
    weights = model.get_weights()

    def predict(some: FilmSet) -> np.ndarray:
        # Other networks of the experiment were trained in the same model since.
        model.set_weights(weights)
        return train.predict(model, some)[:, 0].astype(np.float64)

    def build() -> "keras.Model":
        own = network(plan.start, plan.size_px, seed=seed)
        own.set_weights(weights)
        return own

    return Learned(predict, tried[["epoch", "loss", "val_loss", "auroc", "best"]], build)


@functools.lru_cache(maxsize=2)
def _compiled(start: str, size_px: int, learning_rate: float, steps: int) -> "keras.Model":
    """Return a compiled network, the same one each time: compiling takes as long as some hundred steps."""
    import keras

    model = network(start, size_px, seed=0)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4), "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    return model


# ------------------------------------------------------------------------------------------------------------ parts


def network(start: str, size_px: int, *, seed: int, scratch: bool = False) -> "keras.Model":
    """Build a network with a new two-class head; with `scratch` all its weights are new. See `Learned.model`."""
    import keras

    from cxrkit import networks, train

    # Before the seed is set: loading draws random weights too.
    model = _loaded(start, size_px)
    with train.seeded(seed):
        # A clone has new random weights.
        anew = scratch or start == RANDOM
        return networks.transfer(keras.models.clone_model(model) if anew else model, "covid")


@functools.lru_cache(maxsize=2)
def _loaded(start: str, size_px: int) -> "keras.Model":
    """Load pretrained weights once for all networks of an experiment, which copy them."""
    from cxrkit import networks

    if start == RANDOM or start.endswith(".h5"):
        weights = None if start == RANDOM else start
        return networks.build("SqueezeNet", COVID_CLASSES, input_size=size_px, weights=weights)
    return networks.load_keras(start, input_size=size_px)


def sha256_of_start(start: str) -> str:
    """Return the checksum of the pretrained weights; "" for random ones."""
    from cxrkit import networks

    if start == RANDOM:
        return ""
    return sha256_of(Path(start) if start.endswith(".h5") else networks.folder_of(start) / "model.keras")


def _weights(films: FilmSet, share: float | None) -> np.ndarray:
    """Return weights (films,) with the sum 1, of which images with COVID-19 have `share` together."""
    y = positive(films)
    if share is None:
        return np.full(len(films), 1 / len(films))
    return np.where(y, share / y.sum(), (1 - share) / (~y).sum())


def _scores(val: FilmSet, logits: np.ndarray, plan: Plan) -> dict[str, float]:
    """Return `val_loss` and `auroc`, and `score`, which is largest for the best."""
    y = positive(val)
    loss, auroc = float(np.logaddexp(0, np.where(y, -logits, logits)).mean()), metrics.auroc(y, logits).value
    return {"val_loss": loss, "auroc": auroc, "score": auroc if plan.best_by == "auroc" else -loss}


def _tried(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns="score").assign(best=rows.index == rows["score"].argmax())
