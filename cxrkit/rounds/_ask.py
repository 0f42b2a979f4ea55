"""Networks asked about pictures in batches, block by block of films: what is held does not grow with their number."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import networks
from cxrkit.augment import Recipe
from cxrkit.labels import NOT_COVID
from cxrkit.rounds._combine import Combine
from cxrkit.rounds._pictures import Film, Pictures, Plan, as_film
from cxrkit.rounds._stop import decided

if TYPE_CHECKING:
    import distributed

#: float32 (n, H, W) in [0, 1] -> probabilities (n,) or (n, labels).
Predict = Callable[[np.ndarray], Any]
#: Films that are decoded at a time. A batch holds films of one block, so that what is in it hangs on nothing else.
FILMS_AT_ONCE = 64
#: Called with films done, and of how many (0 where films come one by one and nobody knows).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Network:
    """What is asked, the same for a callable and for a model.

    Attributes:
        predict: the callable.
        labels: names of what it answers; None: not known before it is asked.
        columns: which of its answers are taken; None: all.
        thresholds: by label, where the network has its own.
        size_px: side of the square that it takes; None: whatever comes.
    """

    predict: Predict
    labels: tuple[str, ...] | None
    columns: tuple[int, ...] | None
    thresholds: Mapping[str, float]
    size_px: int | None

    def ask(self, pictures: Sequence[np.ndarray], whose: Sequence[str]) -> np.ndarray:
        """Return probabilities, or say what is wrong with them.

        Args:
            pictures: uint8 (H, W), all alike.
            whose: what to call each picture.
        Returns:
            (pictures, labels), float64, in [0, 1].
        Raises:
            ValueError: pictures of several sizes, another shape, NaN, or what is no probability.
        """
        sizes = sorted({picture.shape for picture in pictures})
        if len(sizes) > 1:
            raise ValueError(f"films must be alike in size; got {sizes[0]} and {sizes[-1]}. Pass size_px.")
        n = len(pictures)
        batch = np.stack(pictures).astype(np.float32)
        batch /= np.float32(255)
        answers = np.asarray(self.predict(batch))
        if answers.ndim not in (1, 2) or len(answers) != n or (answers.ndim == 2 and not answers.shape[1]):
            raise ValueError(
                f"predict must return (n,) or (n, labels) for films (n, H, W); for n = {n} it returned shape "
                f"{answers.shape}."
            )
        probs = answers.reshape(n, -1).astype(np.float64)
        if self.columns is not None:
            if probs.shape[1] <= max(self.columns):
                raise ValueError(f"predict must return {len(self.columns)} labels a film; got {probs.shape[1]}.")
            probs = probs[:, list(self.columns)]
        elif self.labels is not None and probs.shape[1] != len(self.labels):
            raise ValueError(
                f"predict must return a probability of each of {', '.join(self.labels)}; it returned "
                f"{probs.shape[1]} a film."
            )
        wrong = ~((probs >= -1e-6) & (probs <= 1 + 1e-6)).all(axis=1)
        if wrong.any():
            k = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"predict must return probabilities, in [0, 1]; for {whose[k]} it returned {probs[k].tolist()}. Logits "
                "become probabilities by a sigmoid or a softmax; for NaN look at the network."
            )
        return np.clip(probs, 0.0, 1.0)


def network(
    predict: "Predict | networks.Predictor | str | Path", labels: Sequence[str] | None, size_px: int | None
) -> Network:
    """Return what is asked.

    Args:
        predict: a callable; a Predictor; or a bundled model's name or a model folder.
        labels: of a model: which of its labels, by default all but "Not COVID-19", which is what COVID-19 is not; of a
            callable: the names of its answers.
        size_px: side of the square that films are squashed to; of a model its own, and no other.
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
        return Network(predict, None if labels is None else tuple(labels), None, {}, size_px)
    model = predict
    if size_px not in (None, model.input_size):
        raise ValueError(f"{model.name} takes films of {model.input_size} px; got size_px {size_px}. Leave it out.")
    wanted = tuple(label for label in model.labels if label != NOT_COVID) if labels is None else tuple(labels)
    unknown = [label for label in wanted if label not in model.labels]
    if unknown or not wanted:
        raise ValueError(f"labels must be of {', '.join(model.labels)}; got {', '.join(unknown) or 'none'}.")
    return Network(
        lambda batch: model.predict(batch, prepared=True),
        wanted,
        tuple(model.labels.index(label) for label in wanted),
        model.thresholds,
        model.input_size,
    )


@dataclass(frozen=True)
class Task:
    """What is asked about every film; it may be sent to another machine if its network may.

    Attributes:
        predict, labels, size_px: as `network` takes them.
        recipes: by round.
        cumulative: whether rounds are stacked.
        seeds: by round, the seed of its draws and its place.
        stages: places of rounds that are made together; after each stage films may leave.
        rule, cuts: what a film leaves by; None: none leaves.
        batch_size: pictures a batch.
    """

    predict: "Predict | networks.Predictor | str | Path"
    labels: tuple[str, ...] | None
    size_px: int | None
    recipes: Mapping[str, Recipe]
    cumulative: bool
    seeds: Sequence[tuple[int, int]]
    stages: Sequence[Sequence[int]]
    rule: Combine | None
    cuts: np.ndarray
    batch_size: int

    def plan(self) -> Plan:
        """Return what the rounds do."""
        return Plan(self.recipes, cumulative=self.cumulative, seeds=self.seeds)


def answers(task: Task, asked: Network, plan: Plan, block: Sequence[Film], first: int) -> np.ndarray:
    """Ask about a block of films.

    Args:
        task: what is asked.
        asked: its network, ready.
        plan: its rounds, ready.
        block: films, at least one.
        first: place of the first among all films.
    Returns:
        (films, rounds, labels), float64; NaN where no pass was made.
    """
    names = list(task.recipes)
    pictures = [plan.of(as_film(film, first + k, asked.size_px), first + k) for k, film in enumerate(block)]
    found = np.empty((len(block), len(names), 0))
    active = list(range(len(block)))
    for stage in task.stages:
        for places, batch in _batches(pictures, active, stage, task.batch_size):
            probs = asked.ask(batch, [f"film {first + film} in round {names[round]}" for film, round in places])
            if not found.shape[2]:
                found = np.full((len(block), len(names), probs.shape[1]), np.nan)
            check_width(found.shape[2], probs.shape[1])
            for (film, round), row in zip(places, probs, strict=True):
                found[film, round] = row
        if task.rule is not None and active:
            leave = decided(task.rule, found[active], task.cuts)
            for film, leaves in zip(active, leave, strict=True):
                if leaves:
                    pictures[film].forget()
            active = [film for film, leaves in zip(active, leave, strict=True) if not leaves]
    return found


def check_width(before: int, now: int) -> None:
    """Refuse a network that answers now so many labels, then so many."""
    if before != now:
        raise ValueError(f"predict must return as many labels for every film; it returned {before}, then {now}.")


def collect(
    task: Task,
    asked: Network,
    films: Iterable[Film],
    *,
    films_at_once: int,
    client: "distributed.Client | None",
    progress: Progress | None,
) -> np.ndarray:
    """Ask about all films, here or on a cluster.

    Args:
        task: what is asked.
        asked: its network.
        films: taken one by one.
        films_at_once: films of a block.
        client: of a Dask cluster; None: here.
        progress: called with films done, and of how many (0 where nobody knows).
    Returns:
        (films, rounds, labels), float64; NaN where no pass was made.
    """
    total = len(films) if isinstance(films, Sized) else 0
    found: dict[int, np.ndarray] = {}
    done = 0
    if client is None:
        plan = task.plan()
        each: Iterator[tuple[int, np.ndarray]] = (
            (k, answers(task, asked, plan, block, k * films_at_once))
            for k, block in enumerate(_blocks(films, films_at_once))
        )
    else:
        from cxrkit.rounds import _spread

        each = _spread.over(client, task, enumerate(_blocks(films, films_at_once)), films_at_once)
    for k, part in each:
        found[k] = part
        done += len(part)
        check_width(next(iter(found.values())).shape[2], part.shape[2])
        if progress is not None:
            progress(done, total)
    if not found:
        return np.empty((0, len(task.recipes), len(asked.labels or ("",))))
    return np.concatenate([found[k] for k in sorted(found)])


def _blocks(films: Iterable[Film], at_once: int) -> Iterator[list[Film]]:
    rest = iter(films)
    while block := list(islice(rest, at_once)):
        yield block


def _batches(
    pictures: Sequence[Pictures], films: Sequence[int], rounds: Sequence[int], size: int
) -> Iterator[tuple[list[tuple[int, int]], list[np.ndarray]]]:
    """Yield (film, round) of each picture of a batch, and the pictures."""
    places = ((film, round) for film in films for round in rounds)
    while part := list(islice(places, size)):
        yield part, [pictures[film].picture(round) for film, round in part]
