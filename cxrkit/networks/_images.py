"""The one path from an image file to probabilities."""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrkit import film
from cxrkit.networks._predictor import Predictor
from cxrkit.words import WordedError, reason


@dataclass(frozen=True, eq=False)
class ImageResult:
    """What one image file gives: probabilities (labels,), float64, or None and one line of why; its sha256 if read."""

    probs: np.ndarray | None
    sha256: str
    reason: str = ""


def predict_images(
    predictor: Predictor, sources: Iterable[Path | str | bytes], *, threads: int | None = None
) -> Iterator[ImageResult]:
    """Yield the probabilities of image files in order: each is read, resized as float32 and predicted alone.

    Triage, `model predict`, rounds, sweeps, the dashboard, the evaluation of a training and the comparison with a board
    all give these numbers. An image that cannot be read gives a result with a reason.

    Args:
        predictor: of `load`; with `threads=1` there, images do not wait for each other.
        sources: files, or their bytes.
        threads: images in work at a time, and so in memory; None: as many as there are cores.
    """
    count = threads or os.cpu_count() or 1
    waiting: deque[Future[ImageResult]] = deque()
    with ThreadPoolExecutor(count) as pool:
        for source in sources:
            waiting.append(pool.submit(_result, predictor, source))
            # Twice as many as threads: enough for all of them, and memory stays flat however long the list is.
            if len(waiting) >= 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _result(predictor: Predictor, source: Path | str | bytes) -> ImageResult:
    sha256 = ""
    try:
        data = source if isinstance(source, bytes) else film.read_bytes(source)
        sha256 = hashlib.sha256(data).hexdigest()
        probs = predictor.predict([film.read(data).pixels])[0]
        if not np.isfinite(probs).all():
            raise WordedError("no_answer.no_number", model=predictor.name)
        return ImageResult(probs, sha256)
    except Exception as error:  # One bad file must not stop the others.
        return ImageResult(None, sha256, " ".join(reason(error).say("en").split()))
