"""Network passes in batches, block by block of images: the memory in use does not grow with the number of images."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import augment, film, networks
from cxrkit.augment import Recipe
from cxrkit.labels import NOT_COVID
from cxrkit.rounds._combine import Rule

if TYPE_CHECKING:
    import distributed

#: The network and an image, as `run` takes them.
Model = Callable[[np.ndarray], Any] | networks.Predictor | str | Path
Film = str | Path | film.Radiograph | np.ndarray
#: Images that are decoded at a time. A batch holds images of one block.
FILMS_AT_ONCE = 64
Progress = Callable[[int, int], None]


class Network:
    """A network ready to predict, the same for a callable and for a model; arguments as for `run`.

    Attributes:
        predict: from float32 (n, H, W) in [0, 1] to probabilities.
        labels, thresholds: names of its outputs, None if not known; a model's thresholds by label.
        prepare: pixels (H, W) in [0, 1] -> its input, float32 in [0, 1].
    """

    def __init__(self, source: Model, labels: Sequence[str] | None, size_px: int | None) -> None:
        model = networks.load(source) if isinstance(source, str | Path) else source
        self.source, self.size_px = source, size_px
        self.labels = None if labels is None else tuple(labels)
        self.thresholds: Mapping[str, float] = {}
        self.prepare: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels
        if isinstance(model, networks.Predictor):
            self._take(model)
            return
        if not callable(model):
            kind = type(model).__name__
            raise ValueError(f"predict must be callable, a Predictor, or a model's name or folder; got {kind}.")
        self.predict: Callable[[np.ndarray], Any] = model
        if labels is not None and (isinstance(labels, str) or not labels or len(set(labels)) < len(labels)):
            raise ValueError(f"labels must be names, each once; got {labels!r}.")
        if size_px is not None:
            self.prepare = functools.partial(film.resize, size_px=size_px)

    def _take(self, model: networks.Predictor) -> None:
        if self.size_px not in (None, model.input_size):
            size = model.input_size
            raise ValueError(f"{model.name} takes images of {size} px; got size_px {self.size_px}. Leave it out.")
        # "Not COVID-19" is the complement of COVID-19.
        wanted = tuple(each for each in model.labels if each != NOT_COVID) if self.labels is None else self.labels
        unknown = [label for label in wanted if label not in model.labels]
        if unknown or not wanted:
            raise ValueError(f"labels must be of {', '.join(model.labels)}; got {', '.join(unknown) or 'none'}.")
        columns = [model.labels.index(label) for label in wanted]
        self.predict = lambda batch: model.predict(batch, prepared=True)[:, columns]
        self.labels, self.thresholds, self.prepare = wanted, model.thresholds, model.prepare

    def probs(self, views: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
        """Predict a batch, and check the result: (views, labels), float64; `names` of the views for the error."""
        sizes = sorted({view.shape for view in views})
        if len(sizes) > 1:
            raise ValueError(f"images must have one size; got {sizes[0]} and {sizes[-1]}. Pass size_px.")
        n = len(views)
        outputs = np.asarray(self.predict(np.stack(views)))
        if outputs.ndim not in (1, 2) or len(outputs) != n or not outputs.size:
            shape = f"for n = {n} it returned shape {outputs.shape}"
            raise ValueError(f"predict must return (n,) or (n, labels) for images (n, H, W); {shape}.")
        probs = outputs.reshape(n, -1).astype(np.float64)
        if self.labels is not None and probs.shape[1] != len(self.labels):
            labels = ", ".join(self.labels)
            raise ValueError(f"predict must return one probability for each of {labels}; it returned {probs.shape[1]}.")
        wrong = ~((probs >= -1e-6) & (probs <= 1 + 1e-6)).all(axis=1)
        if wrong.any():
            k = int(wrong.argmax())
            raise ValueError(
                f"predict must return probabilities, in [0, 1]; for {names[k]} it returned {probs[k].tolist()}. Apply "
                "a sigmoid or a softmax to logits; if there are NaN, check the network."
            )
        return np.clip(probs, 0.0, 1.0)

    def cuts(self, threshold: float | None, labels: Sequence[str] | None) -> np.ndarray:
        """Return the threshold of each label: (labels,), or (1,) if the labels are not known yet."""
        own = [self.thresholds.get(label, 0.5) if threshold is None else threshold for label in labels or ("",)]
        values = np.array(own, np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"threshold must be a probability, in [0, 1]; got {threshold!r}.")
        return values


def round_seed(seed: int, round: int) -> int:
    """Return the seed of the random draws in a round: image k has `augment.draw(recipe, round_seed(seed, r), k)`."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0; got {seed!r}.")
    return int(np.random.SeedSequence(seed, spawn_key=(round,)).generate_state(1, np.uint64)[0])


def predict_rounds(
    model: Network,
    films: Iterable[Film],
    *,
    batch_size: int = 16,
    client: "distributed.Client | None" = None,
    progress: Progress | None = None,
    **how: Any,
) -> np.ndarray:
    """Predict all views of all images, here or on a cluster; `how` as for `_predict_block`, all else as for `run`.

    Returns:
        (films, rounds, labels), float64; NaN for rounds that were not made.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
    if isinstance(films, str | Path):
        raise ValueError(f"films must be a sequence of images; got {str(films)!r}. For one image pass [image].")
    total = len(films) if isinstance(films, Sized) else 0
    rest = iter(films)
    blocks = zip(count(0, FILMS_AT_ONCE), iter(lambda: list(islice(rest, FILMS_AT_ONCE)), []))
    work: Callable[..., Any] = functools.partial(_predict_block, batch_size=batch_size, **how)
    results = (work(*block, model) for block in blocks) if client is None else _there(model, work, blocks, client)
    found: dict[int, np.ndarray] = {}
    for first, part in results:
        found[first] = part
        if progress is not None:
            progress(sum(map(len, found.values())), total)
    if not found:
        return np.empty((0, len(how["recipes"]), len(model.labels or ("",))))
    return np.concatenate([found[first] for first in sorted(found)])


def _predict_block(
    first: int,
    films: Sequence[Film],
    model: Network,
    *,
    batch_size: int,
    recipes: Mapping[str, Recipe],
    seeds: Sequence[int],
    cumulative: bool = False,
    stages: Sequence[Sequence[int]] = (),
    rule: Rule | None = None,
    cuts: np.ndarray | None = None,
) -> tuple[int, np.ndarray]:
    """Predict all views of a block of images; returns its first place, and (films, rounds, labels).

    Args:
        first: place of the first image.
        recipes, seeds: by round, the recipe and the seed of its random draws.
        cumulative: each round changes the view of the round before.
        stages: places of rounds that share batches; after each stage images may leave. Empty: one stage.
        rule, cuts: decide which images leave; None: none.
    """
    prepared = [model.prepare(_pixels(image, k)) for k, image in enumerate(films, first)]
    #: uint8; None until a recipe has changed it.
    last: list[np.ndarray | None] = [None] * len(films)
    names, ways = list(recipes), list(recipes.values())

    def view(k: int, r: int) -> np.ndarray:
        """Return the view of an image in a round: (H, W), float32 in [0, 1]. If cumulative, rounds come in order."""
        view, drawn = last[k], augment.draw(ways[r], seeds[r], first + k)
        if drawn.children:
            # imgaug works on 8 bits. A view without augmentation keeps its pixels, as in `Predictor.predict`.
            [view] = augment.apply(drawn, (film.to_uint8(prepared[k]) if view is None else view)[None])
        if cumulative:
            last[k] = view
        return prepared[k] if view is None else film.as_pixels(view)

    found, active = np.empty((len(films), len(names), 0)), list(range(len(films)))
    for stage in stages or [range(len(names))]:
        pairs = [(k, r) for k in active for r in stage]
        for start in range(0, len(pairs), batch_size):
            batch = pairs[start : start + batch_size]
            which = [f"image {first + k} in {names[r]}" for k, r in batch]
            probs = model.probs([view(k, r) for k, r in batch], which)
            if not found.shape[2]:
                found = np.full((len(films), len(names), probs.shape[1]), np.nan)
            if probs.shape[1] != found.shape[2]:
                counts = f"{found.shape[2]}, then {probs.shape[1]}"
                raise ValueError(f"predict must return as many labels for every image; it returned {counts}.")
            found[tuple(np.transpose(batch))] = probs
        if rule is not None and cuts is not None and active:
            leave = rule.decided(found[active], cuts)
            active = [k for k, leaves in zip(active, leave, strict=True) if not leaves]
    return first, found


def _pixels(image: Film, k: int) -> np.ndarray:
    """Return the pixels of an image: (H, W), float32 in [0, 1]; k is its place, for the error."""
    try:
        return film.read(image).pixels if isinstance(image, str | Path) else film.as_pixels(image)
    except ValueError as error:
        if isinstance(image, str | Path):
            raise ValueError(f"{image}: {error} `cxrkit data check` lists all such files of a manifest.") from error
        raise ValueError(f"image {k}: {error}") from error


def _there(
    model: Network,
    work: Callable[..., tuple[int, np.ndarray]],
    blocks: Iterable[tuple[int, list[Film]]],
    client: "distributed.Client",
) -> Iterator[tuple[int, np.ndarray]]:
    from cxrkit.rounds import _dask

    if isinstance(model.source, networks.Predictor):
        name = model.source.name
        raise ValueError(f"a Predictor cannot be sent to a worker; pass the name or the folder of {name} instead.")

    def absolute(one: Any) -> Any:
        """A worker has another working directory."""
        return Path(one).absolute() if isinstance(one, str | Path) else one

    source = model.source if str(model.source) in networks.bundled() else absolute(model.source)
    calls = ((first, list(map(absolute, films)), source) for first, films in blocks)
    yield from _dask.over(client, functools.partial(_remote, work, (model.labels, model.size_px)), calls)


def _remote(work: Callable[..., Any], how: tuple, first: int, films: Sequence[Film], source: Model) -> Any:
    return work(first, films, Network(_loaded(str(source)) if isinstance(source, str | Path) else source, *how))


@functools.lru_cache(maxsize=4)
def _loaded(model: str) -> networks.Predictor:
    # There are as many workers as cores, so each uses one thread.
    return networks.load(model, threads=1)
