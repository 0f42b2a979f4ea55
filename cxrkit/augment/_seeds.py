"""Seeds: one for each film, and the generators that imgaug derives from it."""

from collections.abc import Sequence

import numpy as np

#: imgaug draws the seeds of an augmenter's children from [0, this).
_CHILD_SEEDS = 2**31 - 1


def film_seeds(seed: int | Sequence[int] | np.ndarray, n: int) -> list[int]:
    """Return the seed of each film.

    Args:
        seed: a whole number from 0, of which film k's seed is made with k alone, however many there are; or the
            films' seeds themselves, (n,).
        n: how many films.
    Returns:
        n whole numbers; film k with the k-th looks as `to_imgaug(recipe, seed)` makes it look with that seed.
    Raises:
        ValueError: a seed below 0 or no whole number, or another number of seeds.
    """
    given = np.asarray(seed)
    if given.dtype.kind not in "iu" or given.ndim > 1 or (given < 0).any():
        raise ValueError(f"seed must be a whole number from 0, or one for each film; got {seed!r}.")
    if given.ndim == 0:
        return np.random.SeedSequence(int(given)).generate_state(n).tolist() if n else []
    if len(given) != n:
        raise ValueError(f"seed must be one number, or one for each of the {n} films; got {len(given)} seeds.")
    return given.tolist()


class Stream:
    """What one augmenter of a tree draws from, as imgaug's `Augmenter.seed_` gives it; made only when it is drawn from.

    Args:
        entropy: the seed.
        child: it was derived from a parent's stream.
    """

    __slots__ = ("_child", "_entropy")

    def __init__(self, entropy: int, child: bool = False) -> None:
        self._entropy, self._child = entropy, child

    def generator(self) -> np.random.Generator:
        """Return a generator at the start of the stream."""
        spawn_key = (0,) if self._child else ()
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(self._entropy, spawn_key=spawn_key)))

    def split(self, children: int) -> tuple[np.random.Generator, list["Stream"]]:
        """Return the generator, and a stream for each child.

        Args:
            children: how many there are.
        """
        generator = self.generator()
        start = generator.bit_generator.state
        # imgaug draws two numbers for each child and takes the second.
        seeds = generator.integers(0, _CHILD_SEEDS, 2 * children, dtype=np.int32)[1::2].tolist()
        # A parent draws from where its children's seeds were drawn from.
        generator.bit_generator.state = start
        return generator, [Stream(seed, child=True) for seed in seeds]


def state_of(generator: np.random.Generator) -> str:
    """Return where a generator is, as text: 64 hexadecimal digits."""
    state = generator.bit_generator.state
    if state["has_uint32"]:
        raise AssertionError("half a draw is kept back; imgaug discards it before it draws for pixels.")
    return "".join(f"{word:016x}" for word in state["state"]["state"].tolist())


def generator_at(state: str) -> np.random.Generator:
    """Return a generator that goes on where `state_of` was asked.

    Args:
        state: its answer.
    """
    words = np.array([int(state[k : k + 16], 16) for k in range(0, 64, 16)], np.uint64)
    bits = np.random.SFC64(0)
    bits.state = {"bit_generator": "SFC64", "state": {"state": words}, "has_uint32": 0, "uinteger": 0}
    return np.random.Generator(bits)
