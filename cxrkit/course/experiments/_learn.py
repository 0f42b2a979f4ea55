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
#: Images that are augmented at once, which bounds the memory.
_AT_ONCE = 1024
#: Penalties that "frozen" tries on val, as scikit-learn's C; the strongest first.
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Plan:
    """How all networks of an experiment are trained.

    Attributes:
        start: the pretrained network: a bundled model or a model folder (the report too uses its 14-finding network),
            or a file of SqueezeNet's ImageNet weights (.h5).
        mode: of `MODES`; "frozen" is a logistic regression.
        size_px: side of the network's input, pixels.
        recipe: augmentation of the training images; None for none.
        draws: for "frozen": augmented copies of each training image.
        epochs, steps, batch_size: evaluations on val, batches between them, and images per batch; not for "frozen".
        learning_rate: of AdamW at the beginning, with cosine decay to 0; not for "frozen".
        balanced: half of the images have COVID-19, by sampling or (frozen) by weights; else the share that there is.
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
    balanced: bool = True

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}; got {self.mode!r}.")
        for name in ("draws", "epochs", "steps", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)}.")

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-able values; the recipe as its text."""
        return {**asdict(self), "recipe": None if self.recipe is None else self.recipe.to_json()}

    @property
    def sha256_of_start(self) -> str:
        """The checksum of the pretrained weights."""
        from cxrkit import networks

        h5 = self.start.endswith(".h5")
        return sha256_of(Path(self.start) if h5 else networks.folder_of(self.start) / "model.keras")


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained COVID-19 network.

    Attributes:
        predict: returns the probability of COVID-19 for each image of a FilmSet, (films,), float64.
        tried: what val chose from, a row each: `epoch` and its `loss`, or for "frozen" `C` (inverse strength of the
            penalty); `val_loss`, `auroc`, and `best` for the one with the lowest val_loss.
    """

    predict: Callable[[FilmSet], np.ndarray]
    tried: pd.DataFrame
    _plan: Plan
    #: Of the last layers; the others have those of the pretrained network.
    _weights: list[np.ndarray]

    def predict_batch(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities (n,) of pixels (n, size_px, size_px) in [0, 1], as `rounds.run` needs them."""
        return self.model.predict_on_batch(pixels[..., None])[:, 0]

    @functools.cached_property
    def model(self) -> "keras.Model":
        """The network, (N, size_px, size_px, 1) in [0, 1] -> (N, 2), probabilities of `labels.COVID_CLASSES`."""
        model = _network(self._plan.start, self._plan.size_px)
        model.set_weights(model.get_weights()[: -len(self._weights)] + self._weights)
        return model


def learn(films: FilmSet, val: FilmSet, plan: Plan, *, seed: int) -> Learned:
    """Train one network to distinguish COVID-19 (first target 1) from everything else (0).

    The epoch or the penalty is chosen on `val`. `seed` is that of new weights, sampling and augmentation.
    """
    for name, some in (("films", films), ("val", val)):
        if not np.isin(some.targets[:, 0], (0, 1)).all() or not both_classes(some):
            raise ValueError(
                f"{name} must hold images with COVID-19 (target 1) and without (0), and no others; of {len(some)}, "
                f"{(some.targets[:, 0] == 1).sum()} have 1 and {(some.targets[:, 0] == 0).sum()} have 0. Leave others "
                "out; take more sources or patients."
            )
    # Each image's part of the training, with the sum 1.
    y = positive(films)
    weights = np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum()) if plan.balanced else np.full(len(films), 1 / len(films))
    return (_frozen if plan.mode == "frozen" else _trained)(films, weights, val, plan, seed)


@functools.lru_cache(maxsize=4)
def body(start: str, size_px: int) -> "tuple[keras.Model, dict[tuple[bytes, str, int], np.ndarray]]":
    """Return a network without its head and its features so far, which the networks of an experiment share."""
    import keras

    model = _network(start, size_px)
    return keras.Model(model.input, model.layers[-1].input), {}


def features(films: FilmSet, plan: Plan, *, recipe: "augment.Recipe | None" = None, draw: int = 0) -> np.ndarray:
    """Return features (films, features), float32, of images or of a draw of a recipe; each is computed once."""
    from cxrkit import train

    model, kept = body(plan.start, plan.size_px)
    name = "" if recipe is None else recipe.to_json()
    keys = [(hashlib.blake2b(film.tobytes(), digest_size=16).digest(), name, draw) for film in films.pixels]
    missing = list({key: row for row, key in enumerate(keys) if key not in kept}.values())
    for rows in (missing[first : first + _AT_ONCE] for first in range(0, len(missing), _AT_ONCE)):
        some = films.where(np.array(rows))
        if recipe is not None:
            salted = [keys[row][0] + f"{draw} {name}".encode() for row in rows]
            seeds = [int.from_bytes(hashlib.blake2b(salt, digest_size=4).digest()) for salt in salted]
            some = replace(some, pixels=augment.apply(recipe, some.pixels, seeds))
        kept |= zip((keys[row] for row in rows), train.predict(model, some), strict=True)
    return np.stack([kept[key] for key in keys])


def _frozen(films: FilmSet, weights: np.ndarray, val: FilmSet, plan: Plan, seed: int) -> Learned:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    draws = [0] if plan.recipe is None else range(seed * plan.draws + 1, (seed + 1) * plan.draws + 1)
    x = np.concatenate([features(films, plan, recipe=plan.recipe, draw=draw) for draw in draws]).astype(np.float64)
    # Each image counts once, however many copies: otherwise more draws would mean a weaker penalty.
    weights = np.tile(weights * len(films) / len(draws), len(draws))
    centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    y, val_x = np.tile(positive(films), len(draws)), features(val, plan)
    heads, rows = [], []
    head = LogisticRegression(max_iter=1000, warm_start=True)
    # Problems as small as these take ten times longer on several threads, which wait for one another.
    with threadpool_limits(1):
        for penalty in _PENALTIES:
            head.set_params(C=penalty).fit((x - centre) / spread, y, weights)
            slopes = head.coef_[0] / spread
            heads.append((slopes, float(head.intercept_[0] - slopes @ centre)))
            rows.append({"C": penalty, **_scores(val, val_x @ slopes + heads[-1][1])})
    tried = _with_best(pd.DataFrame(rows))
    slopes, offset = heads[int(tried["best"].argmax())]
    # Softmax of two logits depends on their difference: the first class takes all of it.
    two = [np.stack([slopes, np.zeros_like(slopes)], axis=1), np.array([offset, 0.0])]
    return Learned(lambda some: 1 / (1 + np.exp(-(features(some, plan) @ slopes + offset))), tried, plan, two)


def _trained(films: FilmSet, weights: np.ndarray, val: FilmSet, plan: Plan, seed: int) -> Learned:
    from cxrkit import train

    model = _compiled(plan.start, plan.size_px, plan.learning_rate, plan.epochs * plan.steps)
    model.set_weights(_network(plan.start, plan.size_px, seed=seed, scratch=plan.mode == "scratch").get_weights())
    # The network before left its number of steps and its moments here; both begin at 0.
    for variable in model.optimizer.variables:
        variable.assign(variable * 0)
    two = replace(films, targets=np.stack([positive(films), ~positive(films)], axis=1).astype(np.float32))
    sizes: dict[str, Any] = {"steps": plan.steps, "batch_size": plan.batch_size, "size_px": plan.size_px}
    batches = train.Batches(two, weights=weights, augment=plan.recipe, seed=seed, **sizes)

    def validation(trained: "keras.Model") -> dict[str, float]:
        probs = np.clip(train.predict(trained, val)[:, 0].astype(np.float64), 1e-7, 1 - 1e-7)
        scores = _scores(val, np.log(probs) - np.log1p(-probs))
        return {**scores, "score": -scores["val_loss"]}

    tried = _with_best(train.fit(model, batches, epochs=plan.epochs, validation=validation))
    best = model.get_weights()

    def predict(some: FilmSet) -> np.ndarray:
        # Other networks of the experiment were trained in the same model since.
        model.set_weights(best)
        return train.predict(model, some)[:, 0].astype(np.float64)

    return Learned(predict, tried[["epoch", "loss", "val_loss", "auroc", "best"]], plan, best)


@functools.lru_cache(maxsize=2)
def _compiled(start: str, size_px: int, learning_rate: float, steps: int) -> "keras.Model":
    """Return a compiled network, the same one each time: compiling takes as long as some hundred steps."""
    import keras

    model = _network(start, size_px)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4), "categorical_crossentropy")
    return model


def _network(start: str, size_px: int, *, seed: int = 0, scratch: bool = False) -> "keras.Model":
    """Build a network with a new two-class head; with `scratch` all its weights are new."""
    import keras

    from cxrkit import networks, train

    # Before the seed is set: loading draws random weights too.
    model = _loaded(start, size_px)
    with train.seeded(seed):
        # A clone has new random weights.
        return networks.transfer(keras.models.clone_model(model) if scratch else model, "covid")


@functools.lru_cache(maxsize=2)
def _loaded(start: str, size_px: int) -> "keras.Model":
    """Load pretrained weights once for all networks of an experiment, which copy them."""
    from cxrkit import networks

    if start.endswith(".h5"):
        return networks.build("SqueezeNet", COVID_CLASSES, input_size=size_px, weights=start)
    return networks.load_keras(start, input_size=size_px)


def _scores(val: FilmSet, logits: np.ndarray) -> dict[str, float]:
    y = positive(val)
    loss = float(np.logaddexp(0, np.where(y, -logits, logits)).mean())
    return {"val_loss": loss, "auroc": metrics.auroc(y, logits).value}


def _with_best(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(best=rows.index == rows["val_loss"].argmin())
