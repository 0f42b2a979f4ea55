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
from cxrkit.data._splits import shared_patients
from cxrkit.film import read, resize

#: Images whose perceptual hashes differ in at most this many of 256 bits are compared pixel by pixel.
NEAR_BITS = 48
#: From this correlation of their detail on, they are near-duplicates.
NEAR_CORRELATION = 0.8
_MAX_PAIRS = 100_000


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What `check_manifest` found; every frame is tidy, and empty when all is well.

    Attributes:
        shared_patients: patients in more than one split: patient_id, splits (joined by `|`).
        duplicates: images whose files are the same bytes: image, patient_id, split, sha256.
        near_duplicates: pairs that look the same (of the first 100,000 candidates), nearest first: image_a,
            patient_id_a, split_a, image_b, ..., bits (of 256 that differ), correlation.
        faults: images that are missing, cannot be decoded, or have another checksum than is listed: image, reason.
    """

    shared_patients: pd.DataFrame
    duplicates: pd.DataFrame
    near_duplicates: pd.DataFrame
    faults: pd.DataFrame

    @property
    def leaks(self) -> int:
        """How many patients, groups of equal files and pairs that look the same are in more than one split."""
        groups = self.duplicates.groupby("sha256")["split"].nunique()
        pairs = self.near_duplicates
        return len(self.shared_patients) + int((groups > 1).sum()) + int((pairs["split_a"] != pairs["split_b"]).sum())

    @property
    def ok(self) -> bool:
        """Whether every image is there, unchanged and readable, and nothing leaks from one split into another."""
        return not (self.leaks or len(self.faults))

    def summary(self) -> str:
        """Describe in lines of text what was found, with the first five of each kind."""
        near = self.near_duplicates.replace({"split_a": "", "split_b": ""}, "no split")
        pair = "{image_a} ({patient_id_a}, {split_a}) and {image_b} ({patient_id_b}, {split_b}): "
        groups = self.duplicates.groupby("sha256", sort=False)["image"].agg(" = ".join).to_frame()
        lines = []
        for title, frame, template in (
            ("patients in more than one split", self.shared_patients, "{patient_id} in {splits}"),
            (f"groups of equal files ({len(self.duplicates)} images)", groups, "{image}"),
            ("pairs of images that look the same", near, pair + "correlation {correlation:.2f}"),
            ("images missing, changed or unreadable", self.faults, "{image}: {reason}"),
        ):
            lines.append(f"{len(frame)} {title}")
            lines += [f"  {template.format_map(row)}" for row in frame.head(5).to_dict("records")]
        return "\n".join([*lines, f"{self.leaks} leaks from one split into another"])


def check_manifest(
    frame: pd.DataFrame, root: str | os.PathLike[str] = ".", *, progress: Callable[[int, int], None] | None = None
) -> CheckResult:
    """Search for what would spoil a manifest's splits or images.

    Near-duplicates are found in two steps: a perceptual hash selects pairs, and `correlation` compares their detail.
    Measured on 1,811 real images by benchmarks/near_duplicates.py of commit f0771ba (2026-11-23): of 300 images every
    copy is found that was re-encoded, resized, or changed in contrast, 296 of those cropped by 1% on each side, 43 of
    those by 3%. Of 1.6 million pairs of two patients, two count as near: one image under two names each.

    Args:
        frame, root: as `read_manifest` gives them (`rows`, so that missing files are counted).
        progress: called with how many images are done, and of how many.
    Raises:
        ManifestError: `frame` is no manifest.
    """
    frame, root, prints = validate(frame), Path(root), []
    # Several at once: hashing and decoding release Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(_fingerprint, [root / image for image in frame["image"]], frame["sha256"]):
            prints.append(found)
            if progress is not None:
                progress(len(prints), len(frame))
    frame[["sha256", "bits", "reason"]] = pd.DataFrame(prints, frame.index, range(3), dtype=object)
    equal = (frame["sha256"] != "") & frame["sha256"].duplicated(keep=False)
    return CheckResult(
        shared_patients=shared_patients(frame).reset_index(),
        duplicates=frame.loc[equal, ["image", "patient_id", "split", "sha256"]].reset_index(drop=True),
        near_duplicates=_confirmed(_near_pairs(frame[frame["bits"].notna()]), root),
        faults=frame.loc[frame["reason"] != "", ["image", "reason"]].reset_index(drop=True),
    )


def _fingerprint(path: Path, listed: str) -> tuple[str, np.ndarray | None, str]:
    """Return sha256 ("" without a file), perceptual hash (None if unreadable), and what is wrong with the file."""
    digest = ""
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        changed = f"changed: its sha256 is {digest}, and {listed} is listed"
        return digest, perceptual_hash(read(data).pixels), "" if listed in ("", digest) else changed
    except (OSError, ValueError) as error:
        return digest, None, getattr(error, "strerror", None) or str(error)


def perceptual_hash(pixels: np.ndarray) -> np.ndarray:
    """Hash (H, W) pixels in [0, 1] to (256,) bool; re-encoded, resized or brightened copies have nearly the same hash.

    Source: the DCT hash of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, with
        16 x 16 terms instead of 8 x 8: at 64 bits, images of different people are as alike as copies.
    """
    terms = scipy.fft.dctn(resize(pixels, 64).astype(np.float64))[:16, :16]
    return (terms > np.median(terms)).ravel()


def _near_pairs(films: pd.DataFrame) -> pd.DataFrame:
    """Pair images with nearly the same `bits`, but another `sha256`."""
    pairs: list[tuple[int, int, int]] = []
    # Bits as -1 and +1: a product of two hashes is 256 - 2 * (bits that differ), and BLAS compares all with all.
    signs = np.array(films["bits"].tolist(), np.float32).reshape(-1, 256) * 2 - 1
    digests = films["sha256"].tolist()
    for top in range(0, len(films), 256):
        differing = (256 - signs[top : top + 256] @ signs[top:].T) / 2
        for a, b in np.argwhere(np.triu(differing <= NEAR_BITS, 1)):
            if digests[top + a] != digests[top + b]:
                pairs.append((int(differing[a, b]), top + a, top + b))
        if len(pairs) > _MAX_PAIRS:
            break
    found = pd.DataFrame(sorted(pairs)[:_MAX_PAIRS], columns=["bits", "a", "b"], dtype=int)
    named = films[["image", "patient_id", "split"]].reset_index(drop=True)
    found = found.join(named.add_suffix("_a"), on="a").join(named.add_suffix("_b"), on="b")
    return found.drop(columns=["a", "b"])


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the highest correlation of the detail in the middle of the second with the first, in all places.

    Args:
        first, second: (H, W), in [0, 1]. The middle 60% of the second is tried at sizes from 92% to 108%.
    """
    import cv2

    def detail(pixels: np.ndarray, size_px: int) -> np.ndarray:
        small = resize(pixels, size_px)
        return small - cv2.GaussianBlur(small, (0, 0), 3.0)

    place, best = detail(first, 160), -1.0
    for size in range(148, 174, 3):
        edge = size // 5
        part = detail(second, size)[edge : size - edge, edge : size - edge]
        # A blank part has no correlation with anything; OpenCV then returns what is no number.
        if part.std() > 1e-6:
            best = max(best, float(np.nan_to_num(cv2.matchTemplate(place, part, cv2.TM_CCOEFF_NORMED)).max()))
    return best


def _confirmed(pairs: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Keep the pairs whose detail is the same: a hash knows only the coarse shape, which different chests may share."""

    @functools.lru_cache(maxsize=128)
    def film(image: str) -> np.ndarray:
        # At 256 pixels, 128 images need little memory.
        return resize(read(root / image).pixels, 256)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda a, b: correlation(film(a), film(b)), pairs["image_a"], pairs["image_b"]))
    pairs = pairs.assign(correlation=np.array(found, float))
    return pairs[pairs["correlation"] >= NEAR_CORRELATION].reset_index(drop=True)
