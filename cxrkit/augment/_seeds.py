"""Seeds: where each film's draws begin, and those of a recipe's parts, which imgaug derives from the whole's.

All draws come from SFC64, imgaug's generator. Where one begins is kept as four words, for a batch as an array: three
that it is seeded with, and a counter from 1; twelve draws are thrown away before the first that counts. A generator
object for each film and each part of a recipe would cost more than most operations.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

#: What a seed may be: one number for all films, or one for each.
Seed = int | Sequence[int] | np.ndarray
_WORDS, _COUNTER, _WARM_UP = 3, 1, 12
NO_STREAMS = np.empty((0, _WORDS + 1), np.uint64)
#: imgaug draws the seeds of an augmenter's children from [0, this).
_CHILD_SEEDS = 2**31 - 1
_HALF_A_WORD = 2**32 - 1
#: Half words that make no such seed: times `_CHILD_SEEDS` they are less than 2 above a multiple of 2**32.
_DRAWN_AGAIN = (0, _CHILD_SEEDS)
#: Words that choosing among parts takes, beside one for each, if few numbers are drawn again.
_TO_CHOOSE = 5


def film_generator(seed: int, k: int = 0) -> np.random.Generator:
    """Return the generator that a film is drawn from, for imgaug or for a look.

    Args:
        seed: a whole number from 0.
        k: the film's place in its batch, from 0.
    Returns:
        SFC64, seeded with the k-th three words of `SeedSequence(seed)`; for the first film it is the one that imgaug
        makes of the seed.
    Raises:
        ValueError: a seed or a place below 0, or no whole number.
    """
    return Die().at(film_streams(seed, 1, k)[0])


def film_streams(seed: Seed, n: int, first: int = 0, wanted: bool = True) -> np.ndarray:
    """Return the stream of each film.

    Args:
        seed: one, or one for each film, which then is the first of its seed.
        n: how many films.
        first: place of the first.
        wanted: else the seed is looked at and none is made.
    Returns:
        (n, 4) uint64, where each begins; (0, 4) where none is wanted.
    Raises:
        ValueError: a seed or a place below 0 or no whole number, or another number of seeds.
    """
    numbers = seed.tolist() if isinstance(seed, np.ndarray | np.generic) else seed
    given = [numbers] if isinstance(numbers, int) else numbers
    if not isinstance(given, list | tuple) or not all(type(one) is int and one >= 0 for one in given):
        raise ValueError(f"seed must be a whole number from 0, or one for each film; got {seed!r}.")
    if given is numbers and len(given) != n:
        raise ValueError(f"seed must be one number, or one for each of the {n} films; got {len(given)} seeds.")
    if first < 0 or (first and given is numbers):
        raise ValueError(f"first must be from 0, and 0 where each film has a seed; got {first}.")
    if not wanted or not n:
        return NO_STREAMS
    if given is numbers:
        return _streams([SeedSequence(one).generate_state(_WORDS, np.uint64) for one in given])
    words = SeedSequence(given[0]).generate_state(_WORDS * (first + n), np.uint64)
    return _streams(words.reshape(-1, _WORDS)[first:])


def _streams(words: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    streams = np.full((len(words), _WORDS + 1), _COUNTER, np.uint64)
    streams[:, :_WORDS] = words
    return streams


class Die:
    """A generator that is put at the start of one stream after another; what it drew before leaves no trace."""

    def __init__(self) -> None:
        self._bits = np.random.SFC64(0)
        self._generator = np.random.Generator(self._bits)
        # No half draw is kept back: imgaug drops it before a pixel or a child is drawn for.
        self._state: Any = {"bit_generator": "SFC64", "state": {}, "has_uint32": 0, "uinteger": 0}

    def at(self, stream: np.ndarray) -> np.random.Generator:
        """Put the generator at the start of a stream.

        Args:
            stream: (4,) uint64, of `film_streams` or `child_streams`.
        Returns:
            It; the next call moves it.
        """
        self.back_at(stream)
        self._generator.random(_WARM_UP)
        return self._generator

    def back_at(self, place: np.ndarray) -> np.random.Generator:
        """Put the generator where it was when `place_of` was asked.

        Args:
            place: (4,) uint64, its answer.
        Returns:
            It; the next call moves it.
        """
        self._state["state"]["state"] = place
        self._bits.state = self._state
        return self._generator

    def opening(self, stream: np.ndarray, parts: int) -> "Opening":
        """Read the start of a stream, to choose among parts of a recipe.

        Args:
            stream: (4,) uint64, of `film_streams` or `child_streams`.
            parts: how many there are.
        Returns:
            What was read; good until the generator is put elsewhere.
        """
        self.back_at(stream)
        words = self._bits.random_raw(_WARM_UP + parts + _TO_CHOOSE).tolist()
        return Opening(self, stream, parts, self._bits, words)


class Opening:
    """The start of a stream, of which whole numbers are made as NumPy's generator makes them.

    NumPy's `integers` and `shuffle` take several times as long for one number.
    """

    __slots__ = ("_bits", "_die", "_next", "_parts", "_stream", "_words")

    def __init__(self, die: Die, stream: np.ndarray, parts: int, bits: np.random.SFC64, words: list[int]) -> None:
        self._die, self._stream, self._parts, self._bits, self._words = die, stream, parts, bits, words
        #: Half a word makes a number, the lower before the upper: which half is next.
        self._next = 2 * _WARM_UP

    def generator(self) -> np.random.Generator:
        """Return the generator at the start of the stream; nothing is read from the opening after it moved."""
        return self._die.at(self._stream)

    def _half(self) -> int:
        at = self._next
        if at >= 2 * len(self._words):
            self._words += self._bits.random_raw(8).tolist()
        self._next = at + 1
        return self._words[at >> 1] >> 32 if at & 1 else self._words[at >> 1] & _HALF_A_WORD

    def integer(self, end: int) -> int:
        """Return a whole number evenly from 0 to end - 1, as `Generator.integers` with 32 bits.

        Args:
            end: from 2.
        """
        # Lemire's way, which draws again where some numbers would come up more often than others.
        while (product := self._half() * end) & _HALF_A_WORD < 2**32 % end:
            pass
        return product >> 32

    def shuffle(self, values: list[Any]) -> None:
        """Put values in a random order, as `Generator.shuffle`."""
        for k in range(len(values) - 1, 0, -1):
            # As many bits as k has, until they are no more than k.
            while (other := self._half() & (1 << k.bit_length()) - 1) > k:
                pass
            values[k], values[other] = values[other], values[k]

    def skip(self, count: int) -> None:
        """Throw numbers in [0, 1) away, and half a word that is left over, as imgaug does after each number."""
        self._next = (self._next + 1 & ~1) + 2 * count

    def child_seeds(self) -> list[int]:
        """Return the seed of each part, and go back to the start of the stream, as imgaug does."""
        seeds = []
        # Of two numbers imgaug takes the second.
        for word in self._words[_WARM_UP : _WARM_UP + self._parts]:
            half = word >> 32
            if half in _DRAWN_AGAIN or word & _HALF_A_WORD in _DRAWN_AGAIN:
                seeds = [self.integer(_CHILD_SEEDS) for _ in range(2 * self._parts)][1::2]
                self._next = 2 * _WARM_UP
                break
            seeds.append(half * _CHILD_SEEDS >> 32)
        return seeds


class _Dice(threading.local):
    def __init__(self) -> None:
        self.die = Die()


_DICE = _Dice()


def die_of_this_thread() -> Die:
    """Return a die that is made once for each thread: making one takes longer than to flip a film."""
    return _DICE.die


def place_of(generator: np.random.Generator) -> np.ndarray:
    """Return where a generator is: (4,) uint64."""
    return generator.bit_generator.state["state"]["state"]


def place_to_text(place: np.ndarray) -> str:
    """Return a place as 64 hexadecimal digits."""
    return "".join(f"{word:016x}" for word in place.tolist())


def place_from_text(text: str) -> np.ndarray:
    """Read what `place_to_text` wrote.

    Args:
        text: 64 hexadecimal digits.
    Raises:
        ValueError: another text.
    """
    if not isinstance(text, str) or len(text) != 64:
        raise ValueError(f"a state has 64 hexadecimal digits; got {text!r}.")
    return np.array([int(text[k : k + 16], 16) for k in range(0, 64, 16)], np.uint64)


# --- SeedSequence for many seeds at once -------------------------------------------------------------------------
#
# NumPy's own makes one generator after another, which for a batch takes longer than most operations. Its algorithm
# (M. E. O'Neill's seed_seq) is fixed: NumPy keeps what a seed gives. A hash takes the next of a row of constants.


Words = NDArray[np.uint32]


def _constants(first: int, factor: int, count: int) -> Words:
    row = [first]
    for _ in range(count):
        row.append(row[-1] * factor % 2**32)
    return np.array(row, np.uint32)[:, None]


_POOL = 4
_POOL_HASHES = _constants(0x43B0D7E5, 0x931E8875, 20)
_WORD_HASHES = _constants(0x8B51F9DD, 0x58F38DED, 2 * _WORDS)
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_HALF = np.uint32(16)
#: Fewer seeds than this NumPy's own turns into streams as fast.
_MANY = 6


def _hash(values: Words, factors: tuple[Words, Words]) -> Words:
    hashed = values ^ factors[0]
    hashed *= factors[1]
    hashed ^= hashed >> _HALF
    return hashed


def _factors(constants: Words, first: int, count: int, without: int | None = None) -> tuple[Words, Words]:
    """Return the constants of some hashes; with an idle one at a row that takes none."""
    places = list(range(first, first + count))
    if without is not None:
        places.insert(without, first)
    return constants[places], constants[[place + 1 for place in places]]


def _mix(pool: Words, hashed: Words) -> Words:
    mixed = pool * _MIX_LEFT
    mixed -= hashed * _MIX_RIGHT
    mixed ^= mixed >> _HALF
    return mixed


_OF_ENTROPY = _factors(_POOL_HASHES, 0, _POOL)
_OF_ROW = [_factors(_POOL_HASHES, _POOL + (_POOL - 1) * row, _POOL - 1, without=row) for row in range(_POOL)]
#: Of the spawn key, (0,).
_KEY = _hash(np.zeros((_POOL, 1), np.uint32), _factors(_POOL_HASHES, _POOL**2, _POOL))
_OF_WORDS = _factors(_WORD_HASHES, 0, 2 * _WORDS)


def child_streams(seeds: Sequence[int]) -> np.ndarray:
    """Return the streams of parts of recipes: of `SeedSequence(seed).spawn(1)[0]`, as imgaug derives them.

    Args:
        seeds: (n,), of `Opening.child_seeds`.
    Returns:
        (n, 4) uint64, where each begins.
    """
    if len(seeds) < _MANY:
        each = [SeedSequence(seed, spawn_key=(0,)).generate_state(_WORDS, np.uint64) for seed in seeds]
        return _streams(each)
    entropy = np.zeros((_POOL, len(seeds)), np.uint32)
    entropy[0] = seeds
    pool = _hash(entropy, _OF_ENTROPY)
    for row, factors in enumerate(_OF_ROW):
        # Into all but itself; to pick the others takes longer than to put it back.
        mixed = _mix(pool, _hash(pool[row], factors))
        mixed[row] = pool[row]
        pool = mixed
    pool = _mix(pool, _KEY)
    halves = _hash(pool[[0, 1, 2, 3, 0, 1]], _OF_WORDS).astype(np.uint64)
    return _streams((halves[::2] | halves[1::2] << np.uint64(32)).T)
