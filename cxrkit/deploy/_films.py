"""Films packed for a board: as files that its runner can read, with a list that says what is true of each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit import data, film
from cxrkit.deploy._answers import scored
from cxrkit.film import sha256_of


@dataclass(frozen=True, eq=False)
class Packed:
    """Films ready to be sent.

    Attributes:
        files: name -> (file, sha256), with films.csv.
        here: a list of the same films under the same names for a run on this machine, of their own files.
        patients: whose films they are, in their order; stays here.
    """

    files: dict[str, tuple[Path, str]]
    here: Path
    patients: tuple[str, ...]


def pack(
    manifest: pd.DataFrame | None,
    root: Path | str | None,
    folder: Path,
    *,
    labels: Sequence[str],
    side: int,
    prepared: bool = False,
    most: int | None = None,
) -> Packed:
    """Write films into a folder as a runner takes them.

    Args:
        manifest: the films; None: the course's simulated test films.
        root: what their paths are relative to.
        folder: an empty folder for what has to be made.
        labels: of the network.
        side: of its input, pixels.
        prepared: send all as the network takes them: 16-bit PGM, which costs at most 1/131070 of a pixel's range. Else
            only those that a runner does not read.
        most: at most so many, spread evenly.
    Returns:
        The films. A film is called by its place in the list and the last part of its path. One that cannot be read
        is in the lists with the reason and is not sent.
    Raises:
        ValueError: none of the films can be read, or `most` is below 0.
    """
    if manifest is None:
        from cxrkit.data import course_images, course_manifest

        manifest = course_manifest()
        manifest, root = manifest[manifest["split"] == "test"], course_images("test").parent
    if most is not None and most < 0:
        raise ValueError(f"films must be at least 1, or 0 for all; got {most}.")
    if most is not None and len(manifest) > most:
        manifest = manifest.iloc[np.linspace(0, len(manifest) - 1, most).round().astype(int)]
    names, sources, reasons, files = [], [], [], {}
    for place, image in enumerate(manifest["image"]):
        path = Path("." if root is None else root) / str(image)
        # What any board's file system and locale can hold.
        name = f"{place:05d}-{re.sub(r'[^A-Za-z0-9._+-]', '_', path.name)}"
        sources.append(path.absolute())
        reason = ""
        try:
            if prepared or not _is_read_there(path):
                name, path = f"{name}.pgm", _as_pgm(path, folder / f"{name}.pgm", side)
            files[name] = (path, sha256_of(path))
        except film.UnreadableImage as error:
            reason = str(error)
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
        names.append(name)
        reasons.append(reason)
    if reasons and all(reasons):
        raise ValueError(
            f"none of the {len(reasons)} films can be read; look at the manifest and --root. The first, "
            f"{sources[0].name}: {reasons[0]}"
        )
    listed, here = folder / "films.csv", folder / "here.csv"
    rows = pd.DataFrame({"image": names, **_truth(manifest, labels), "reason": reasons})
    rows.to_csv(listed, index=False, lineterminator="\n")
    rows.assign(file=[str(path) for path in sources]).to_csv(here, index=False, lineterminator="\n")
    return Packed({**files, "films.csv": (listed, sha256_of(listed))}, here, tuple(map(str, manifest["patient_id"])))


def _is_read_there(path: Path) -> bool:
    """Say whether a runner without Pillow reads a file.

    It does a PNG of 8 or 16 bits, grey or RGB with or without alpha, with no transparent colour and not interlaced.
    """
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return False
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind == b"IDAT":
                return True
            body = file.read(length + 4)
            if kind == b"IHDR":
                if len(body) < 13:
                    # Cut short.
                    return False
                depth, colour, interlaced = body[8], body[9], body[12]
                if depth not in (8, 16) or colour not in (0, 2, 4, 6) or interlaced:
                    return False
            if kind == b"tRNS":
                return False
    return False


def _as_pgm(path: Path, out: Path, side: int) -> Path:
    small = film.resize(film.read(path).pixels, side)
    out.write_bytes(b"P5\n%d %d\n65535\n" % (side, side) + np.rint(small * 65535).astype(">u2").tobytes())
    return out


def _truth(manifest: pd.DataFrame, labels: Sequence[str]) -> dict[str, list[str]]:
    """Return the column of what is true; none where it is not known of every film and label."""
    kept = scored(labels)
    truth = data.truth(manifest, kept)
    # Half a truth would be taken for "none of them".
    if np.isnan(truth).any():
        return {}
    return {"truth": ["|".join(np.array(kept)[row == 1]) for row in truth]}
