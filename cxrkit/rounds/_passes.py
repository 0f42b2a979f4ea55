"""Network passes in batches, block by block of images: the memory in use does not grow with the number of images."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import film, networks
from cxrkit.augment import Recipe
from cxrkit.labels import NOT_COVID
from cxrkit.rounds._combine import Rule
from cxrkit.rounds._stop import decided
from cxrkit.rounds._views import Film, Views, pixels_of

if TYPE_CHECKING:
    import distributed

#: A callable from float32 (n, H, W) in [0, 1] to probabilities (n,) or (n, labels); a `Predictor`; or the name of a
#: bundled model or a model folder.
Model = Callable[[np.ndarray], Any] | networks.Predictor | str | Path
#: Images that are decoded at a time. A batch holds images of one block.
FILMS_AT_ONCE = 64
#: Called with the number of images that are done and of all images (0 if unknown).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Network:
    """A network ready to predict, the same for a callable and for a model.

    Attributes:
        predict: the callable.
        labels: names of its outputs; None: unknown before its first prediction.
        thresholds: by label, of a model.
        prepare: pixels (H, W) in [0, 1] -> its input, float32 in [0, 1].
    """

    predict: Callable[[np.ndarray], Any]
    labels: tuple[str, ...] | None
    thresholds: Mapping[str, float]
    prepare: Callable[[np.ndarray], np.ndarray]

    def probs(self, views: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
        """Predict one batch, and check the result.

        Args:
            views: float32 (H, W), of one size.
            names: of the views, for the error.
        Returns:
            (views, labels), float64, in [0, 1].
        Raises:
            ValueError: views of several sizes, an output of another shape, NaN, or values outside [0, 1].
        """
        sizes = sorted({view.shape for view in views})
        if len(sizes) > 1:
            raise ValueError(f"images must have one size; got {sizes[0]} and {sizes[-1]}. Pass size_px.")
        n = len(views)
        outputs = np.asarray(self.predict(np.stack(views)))
        if outputs.ndim not in (1, 2) or len(outputs) != n or (outputs.ndim == 2 and not outputs.shape[1]):
            raise ValueError(
                f"predict must return (n,) or (n, labels) for images (n, H, W); for n = {n} it returned shape "
                f"{outputs.shape}."
            )
        probs = outputs.reshape(n, -1).astype(np.float64)
        if self.labels is not None and probs.shape[1] != len(self.labels):
            raise ValueError(
                f"predict must return one probability for each of {', '.join(self.labels)}; it returned "
                f"{probs.shape[1]} per image."
            )
        wrong = ~((probs >= -1e-6) & (probs <= 1 + 1e-6)).all(axis=1)
        if wrong.any():
            k = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"predict must return probabilities, in [0, 1]; for {names[k]} it returned {probs[k].tolist()}. Apply "
                "a sigmoid or a softmax to logits; if there are NaN, check the network."
            )
        return np.clip(probs, 0.0, 1.0)


def network(predict: Model, labels: Sequence[str] | None, size_px: int | None) -> Network:
    """Return a network ready to predict.

    Args:
        predict: as `Model`.
        labels: of a model: which of its labels, by default all except "Not COVID-19", the complement of COVID-19; of
            a callable: the names of its outputs.
        size_px: side of the square that images are resized to, for a callable; None for a model.
    Raises:
        ValueError: labels or a size that the model does not have.
    """
    if isinstance(predict, str | Path):
        predict = networks.load(predict)
    if not isinstance(predict, networks.Predictor):
        if not callable(predict):
            raise ValueError(
                f"predict must be callable, a Predictor, or a model's name or folder; got {type(predict).__name__}."
            )
        if labels is not None and (isinstance(labels, str) or not labels or len(set(labels)) < len(labels)):
            raise ValueError(f"labels must be names, each once; got {labels!r}.")
        prepare = (lambda pixels: pixels) if size_px is None else functools.partial(film.resize, size_px=size_px)
        return Network(predict, None if labels is None else tuple(labels), {}, prepare)
    model = predict
    if size_px not in (None, model.input_size):
        raise ValueError(f"{model.name} takes images of {model.input_size} px; got size_px {size_px}. Leave it out.")
    wanted = tuple(label for label in model.labels if label != NOT_COVID) if labels is None else tuple(labels)
    unknown = [label for label in wanted if label not in model.labels]
    if unknown or not wanted:
        raise ValueError(f"labels must be of {', '.join(model.labels)}; got {', '.join(unknown) or 'none'}.")
    columns = [model.labels.index(label) for label in wanted]
    return Network(
        lambda batch: model.predict(batch, prepared=True)[:, columns], wanted, model.thresholds, model.prepare
    )


def predict_rounds(
    predict: Model,
    films: Iterable[Film],
    recipes: Mapping[str, Recipe],
    seeds: Sequence[int],
    *,
    labels: Sequence[str] | None = None,
    size_px: int | None = None,
    cumulative: bool = False,
    stages: Sequence[Sequence[int]] = (),
    rule: Rule | None = None,
    cuts: np.ndarray | None = None,
    batch_size: int = 16,
    films_at_once: int = FILMS_AT_ONCE,
    client: "distributed.Client | None" = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Predict all views of all images, here or on a cluster.

    Args:
        predict, films, labels, size_px, batch_size, films_at_once, client, progress: as for `run`.
        recipes: by round.
        seeds: of the random draws, by round.
        cumulative: each round changes the view of the round before.
        stages: places of rounds that share batches; after each stage images may leave. Empty: one stage.
        rule, cuts: decide which images leave; None: none.
    Returns:
        (films, rounds, labels), float64; NaN for rounds that were not made.
    """
    for what, number in (("batch_size", batch_size), ("films_at_once", films_at_once)):
        if number < 1:
            raise ValueError(f"{what} must be at least 1; got {number}.")
    if isinstance(films, str | Path):
        raise ValueError(f"films must be a sequence of images; got {str(films)!r}. For one image pass [image].")
    total = len(films) if isinstance(films, Sized) else 0
    work = functools.partial(
        _predict_block, recipes=recipes, seeds=seeds, labels=labels, size_px=size_px, cumulative=cumulative,
        stages=stages or [range(len(recipes))], rule=rule, cuts=cuts, batch_size=batch_size,
    )  # fmt: skip
    calls = ((block, k * films_at_once) for k, block in enumerate(_blocks(films, films_at_once)))
    found: dict[int, np.ndarray] = {}
    done = 0
    for k, part in _here(predict, work, calls) if client is None else _there(predict, work, calls, client):
        found[k] = part
        _check_width(next(iter(found.values())), part)
        done += len(part)
        if progress is not None:
            progress(done, total)
    if not found:
        return np.empty((0, len(recipes), len(labels or ("",))))
    return np.concatenate([found[k] for k in sorted(found)])


def _predict_block(
    films: Sequence[Film],
    first: int,
    predict: Model,
    *,
    recipes: Mapping[str, Recipe],
    seeds: Sequence[int],
    labels: Sequence[str] | None,
    size_px: int | None,
    cumulative: bool,
    stages: Sequence[Sequence[int]],
    rule: Rule | None,
    cuts: np.ndarray | None,
    batch_size: int,
) -> np.ndarray:
    """Predict all views of a block of images, as `predict_rounds`; `first` is the place of its first image."""
    names, model = list(recipes), network(predict, labels, size_px)
    views = [
        Views(model.prepare(pixels_of(image, k)), k, list(recipes.values()), seeds, cumulative=cumulative)
        for k, image in enumerate(films, first)
    ]
    found = np.empty((len(films), len(names), 0))
    active = list(range(len(films)))
    for stage in stages:
        pairs = [(k, r) for k in active for r in stage]
        for start in range(0, len(pairs), batch_size):
            batch = pairs[start : start + batch_size]
            which = [f"image {first + k} in {names[r]}" for k, r in batch]
            probs = model.probs([views[k].of(r) for k, r in batch], which)
            if not found.shape[2]:
                found = np.full((len(films), len(names), probs.shape[1]), np.nan)
            _check_width(found, probs)
            found[tuple(np.transpose(batch))] = probs
        if rule is not None and cuts is not None and active:
            leave = decided(rule, found[active], cuts)
            active = [k for k, leaves in zip(active, leave, strict=True) if not leaves]
    return found


def _check_width(before: np.ndarray, now: np.ndarray) -> None:
    if before.shape[-1] != now.shape[-1]:
        raise ValueError(
            f"predict must return as many labels for every image; it returned {before.shape[-1]}, then {now.shape[-1]}."
        )


def _blocks(films: Iterable[Film], at_once: int) -> Iterator[list[Film]]:
    rest = iter(films)
    while block := list(islice(rest, at_once)):
        yield block


def _here(
    predict: Model, work: Callable[..., np.ndarray], calls: Iterable[tuple[list[Film], int]]
) -> Iterator[tuple[int, np.ndarray]]:
    model = networks.load(predict) if isinstance(predict, str | Path) else predict
    for k, (block, first) in enumerate(calls):
        yield k, work(block, first, model)


def _there(
    predict: Model,
    work: Callable[..., np.ndarray],
    calls: Iterable[tuple[list[Film], int]],
    client: "distributed.Client",
) -> Iterator[tuple[int, np.ndarray]]:
    from cxrkit.rounds import _dask

    if isinstance(predict, networks.Predictor):
        raise ValueError(
            f"a Predictor cannot be sent to a worker; pass the name or the folder of {predict.name} instead."
        )
    # A worker has another working directory.
    if isinstance(predict, str | Path) and str(predict) not in networks.bundled():
        predict = Path(predict).absolute()
    absolute = (
        ([Path(one).absolute() if isinstance(one, str | Path) else one for one in block], first, predict)
        for block, first in calls
    )
    yield from _dask.over(client, functools.partial(_remote, work), absolute)


def _remote(work: Callable[..., np.ndarray], films: Sequence[Film], first: int, predict: Model) -> np.ndarray:
    return work(films, first, _loaded(str(predict)) if isinstance(predict, str | Path) else predict)


@functools.lru_cache(maxsize=4)
def _loaded(model: str) -> networks.Predictor:
    # There are as many workers as cores, so each uses one thread.
    return networks.load(model, threads=1)
