"""A search for what would spoil a manifest's splits or images: shared patients, copies, missing and changed files."""

import functools
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.fft

from cxrkit.data._cells import validate
from cxrkit.film import UnreadableImage, read, resize
from cxrkit.labels import SPLITS

#: Images whose perceptual hashes differ in at most this many of 256 bits are compared pixel by pixel.
NEAR_BITS = 48
#: From this correlation of their detail on, they are near-duplicates.
NEAR_CORRELATION = 0.8
_MAX_PAIRS = 100_000


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What `check_manifest` found; every frame is tidy, and empty when all is well.

    Attributes:
        shared_patients: patients in more than one split: patient_id, splits (joined by `|`), images.
        duplicates: images whose files are the same bytes: group, image, patient_id, split.
        near_duplicates: pairs that look the same: image_a, image_b, bits (of 256 that differ), correlation, patient_a,
            patient_b, split_a, split_b; nearest first, at most 100,000.
        missing: images without a file: image.
        changed: images whose file is not the one listed: image, expected, found (sha256).
        unreadable: images that cannot be decoded: image, reason.
    """

    shared_patients: pd.DataFrame
    duplicates: pd.DataFrame
    near_duplicates: pd.DataFrame
    missing: pd.DataFrame
    changed: pd.DataFrame
    unreadable: pd.DataFrame

    @property
    def leaks(self) -> int:
        """How many patients, groups of equal files and pairs that look the same are in more than one split."""
        groups = self.duplicates.groupby("group")["split"].nunique()
        pairs = self.near_duplicates
        return len(self.shared_patients) + int((groups > 1).sum()) + int((pairs["split_a"] != pairs["split_b"]).sum())

    @property
    def ok(self) -> bool:
        """Whether every image is there, unchanged and readable, and nothing leaks from one split into another."""
        return not (self.leaks or len(self.missing) or len(self.changed) or len(self.unreadable))

    def summary(self, *, shown: int = 5) -> str:
        """Describe what was found, with the first of each kind.

        Args:
            shown: how many of each kind to name.
        Returns:
            Lines of text.
        """
        groups = self.duplicates.groupby("group")["image"].agg(" = ".join)
        pairs = "{image_a} ({patient_a}, {split_a}) and {image_b} ({patient_b}, {split_b}): correlation {correlation}"
        near = self.near_duplicates.assign(correlation=self.near_duplicates["correlation"].map("{:.2f}".format))
        kinds = [
            ("patients in more than one split", self.shared_patients, "{patient_id} in {splits}"),
            (f"groups of equal files ({len(self.duplicates)} images)", groups.to_frame(), "{image}"),
            ("pairs of images that look the same", near.replace({"split_a": "", "split_b": ""}, "no split"), pairs),
            ("images missing", self.missing, "{image}"),
            ("images changed", self.changed, "{image}"),
            ("images unreadable", self.unreadable, "{image}: {reason}"),
        ]
        lines = []
        for title, frame, template in kinds:
            lines.append(f"{len(frame)} {title}")
            lines += [f"  {template.format_map(row)}" for row in frame.head(shown).to_dict("records")]
        return "\n".join([*lines, f"{self.leaks} leaks from one split into another"])


def check_manifest(
    frame: pd.DataFrame,
    root: str | os.PathLike[str] = ".",
    *,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Search for what would spoil a manifest's splits or images.

    Near-duplicates are found in two steps: a perceptual hash selects pairs of images, and `correlation` compares their
    detail pixel by pixel. Measured with benchmarks/near_duplicates.py on 1,811 real images (2026-11-23): of 300 images,
    every copy is found that was re-encoded, resized, or changed in contrast, and 296 of those cropped by 1% on each
    side; of those cropped by 3%, 43. Of 1.6 million pairs of images of two patients, two count as near: both are one
    image under two names. Of 1,585 pairs of images of one patient, two count as near.

    Args:
        frame: as `read_manifest` gives (`rows`, so that missing files are counted).
        root: the folder that image paths are relative to.
        progress: called with how many images are done, and of how many.
    Returns:
        What was found.
    Raises:
        ManifestError: `frame` is no manifest.
    """
    frame, root = validate(frame), Path(root)
    prints = []
    # Several at once: hashing and decoding release Python's lock.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for found in pool.map(lambda image: _fingerprint(root / image), frame["image"]):
            prints.append(found)
            if progress is not None:
                progress(len(prints), len(frame))
    by_patient = frame[frame["split"] != ""].groupby("patient_id")["split"]
    shared = by_patient.agg(splits=lambda names: "|".join(name for name in SPLITS if name in set(names)), images="size")
    digests = pd.Series([found.sha256 for found in prints], index=frame.index, dtype=object)
    there = digests[digests != ""]
    repeated = there[there.duplicated(keep=False)]
    duplicates = frame.loc[repeated.index, ["image", "patient_id", "split"]]
    duplicates.insert(0, "group", pd.factorize(repeated)[0])
    differs = (digests != "") & (frame["sha256"] != "") & (digests != frame["sha256"])
    changed = pd.DataFrame({"image": frame["image"], "expected": frame["sha256"], "found": digests})[differs]
    unreadable = [(image, found.error) for image, found in zip(frame["image"], prints, strict=True) if found.error]
    absent = [image for image, found in zip(frame["image"], prints, strict=True) if not (found.sha256 or found.error)]
    return CheckResult(
        shared_patients=shared[shared["splits"].str.contains("|", regex=False)].reset_index(),
        duplicates=duplicates.sort_values(["group", "image"]).reset_index(drop=True),
        near_duplicates=_confirmed(_near_pairs(frame, prints), root),
        missing=pd.DataFrame({"image": absent}, dtype=object),
        changed=changed.reset_index(drop=True),
        unreadable=pd.DataFrame(unreadable, columns=["image", "reason"], dtype=object),
    )


@dataclass(frozen=True)
class _Fingerprint:
    sha256: str = ""
    bits: np.ndarray | None = None
    error: str = ""


def _fingerprint(path: Path) -> _Fingerprint:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _Fingerprint()
    except (OSError, ValueError) as error:
        return _Fingerprint(error=getattr(error, "strerror", None) or str(error))
    digest = hashlib.sha256(data).hexdigest()
    try:
        return _Fingerprint(digest, perceptual_hash(read(data).pixels))
    except UnreadableImage as error:
        return _Fingerprint(digest, error=str(error))


def perceptual_hash(pixels: np.ndarray) -> np.ndarray:
    """Hash an image so that copies that were re-encoded, resized or brightened have nearly the same hash.

    Args:
        pixels: (H, W), in [0, 1].
    Returns:
        (256,), bool.
    Source: the DCT hash of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, with
        16 x 16 terms instead of 8 x 8: at 64 bits, images of different people are as alike as copies.
    """
    terms = scipy.fft.dctn(resize(pixels, 64).astype(np.float64))[:16, :16]
    return (terms > np.median(terms)).ravel()


def _near_pairs(frame: pd.DataFrame, prints: list[_Fingerprint]) -> pd.DataFrame:
    rows = np.array([row for row, found in enumerate(prints) if found.bits is not None], dtype=int)
    found: list[tuple[int, int, int]] = []
    if len(rows):
        # Bits as -1 and +1: a product of two hashes is 256 - 2 * (bits that differ), and BLAS compares all with all.
        signs = np.stack([prints[row].bits for row in rows]).astype(np.float32) * 2 - 1
        for top in range(0, len(rows), 1024):
            for left in range(top, len(rows), 8192):
                alike = signs[top : top + 1024] @ signs[left : left + 8192].T
                for a, b in np.argwhere(alike >= 256 - 2 * NEAR_BITS):
                    first, second = rows[top + a], rows[left + b]
                    if first < second and prints[first].sha256 != prints[second].sha256:
                        found.append((int(256 - alike[a, b]) // 2, int(first), int(second)))
            if len(found) > _MAX_PAIRS:
                break
    found = sorted(found)[:_MAX_PAIRS]
    a, b = [first for _, first, _ in found], [second for _, _, second in found]
    names = {"image": "image", "patient": "patient_id", "split": "split"}
    cells = {
        f"{ours}_{side}": frame[column].iloc[at].tolist()
        for ours, column in names.items()
        for side, at in (("a", a), ("b", b))
    }
    pairs = pd.DataFrame(cells, dtype=object)
    pairs.insert(2, "bits", np.array([bits for bits, _, _ in found], dtype=np.int64))
    return pairs


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Measure how alike two images are in their detail, at any offset and at similar sizes.

    Args:
        first, second: (H, W), in [0, 1].
    Returns:
        The highest correlation, in [-1, 1], of the detail of both at 160 x 160 pixels (the image minus a Gaussian of 3
        pixels), with the middle 60% of the second laid over the first in all places and at sizes from 92% to 108%.
    """
    import cv2

    place, best = _detail(first, 160), -1.0
    for size in range(148, 174, 3):
        edge = size // 5
        part = _detail(second, size)[edge : size - edge, edge : size - edge]
        # A blank part has no correlation with anything; OpenCV then returns what is no number.
        if part.std() > 1e-6:
            best = max(best, float(np.nan_to_num(cv2.matchTemplate(place, part, cv2.TM_CCOEFF_NORMED)).max()))
    return best


def _detail(pixels: np.ndarray, size_px: int) -> np.ndarray:
    import cv2

    small = resize(pixels, size_px)
    return small - cv2.GaussianBlur(small, (0, 0), 3.0)


def _confirmed(pairs: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Keep the pairs whose detail is the same: a hash knows only the coarse shape, which different chests may share."""

    @functools.lru_cache(maxsize=128)
    def film(image: str) -> np.ndarray:
        # At 256 pixels, 128 images need little memory.
        return resize(read(root / image).pixels, 256)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = list(pool.map(lambda a, b: correlation(film(a), film(b)), pairs["image_a"], pairs["image_b"]))
    pairs.insert(3, "correlation", np.array(found, dtype=float))
    return pairs[pairs["correlation"] >= NEAR_CORRELATION].reset_index(drop=True)
