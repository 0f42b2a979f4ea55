"""Images prepared for a board: files that its runner can read, and a list with the truth of each."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrkit import data, film
from cxrkit.deploy._compare import scored

if TYPE_CHECKING:
    from cxrkit.data._manifest import DataSet

#: Files to be copied: name -> (path, sha256).
Files = dict[str, tuple[Path, str]]


def pack(
    images: "DataSet | None", most: int | None, info: dict[str, Any], folder: Path, *, pillow: bool
) -> tuple[Files, Path, list[str]]:
    """Write images as a runner takes them.

    Files that the runner there cannot read as here are resized for the network and sent as float32. Each image is named
    after its place in the list and the last part of its path. One that cannot be read is in both lists with the reason.

    Args:
        images, most: as for `bench`.
        info: labels and input_size of the network.
        folder: an empty folder for the files that have to be made.
        pillow: the board has Pillow.
    Returns:
        The files to send, with images.csv; a CSV with the same images under the same names for a run on this machine,
        from their own files; and the patient of each image, which is never sent.
    Raises:
        ValueError: none of the images can be read.
    """
    found = images or data.read_manifest(split="test")
    manifest = spread(found.rows, most)
    files: Files = {}
    listed = []
    for place, image in enumerate(manifest["image"]):
        source = path = found.root / str(image)
        # Characters that any board's file system and locale can hold.
        name, reason = f"{place:05d}-{re.sub(r'[^A-Za-z0-9._+-]', '_', path.name)}", ""
        try:
            if not pillow or not _is_read_there(path):
                name += ".npy"
                path = folder / name
                np.save(path, film.resize(film.read(source).pixels, info["input_size"]))
            files[name] = (path, film.sha256_of(path))
        except film.UnreadableImage as error:
            reason = str(error)
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
        listed.append((name, reason, str(source.absolute())))
    rows = pd.DataFrame(listed, columns=["image", "reason", "file"])
    if not files and listed:
        raise ValueError(
            f"none of the {len(listed)} images can be read; check the manifest and --root. The first, "
            f"{Path(rows['file'][0]).name}: {rows['reason'][0]}"
        )
    labels = scored(info["labels"])
    truth = data.truth(manifest, labels)
    # A row whose truth is only partly known would be read as "none of the others".
    if not np.isnan(truth).any():
        rows["truth"] = ["|".join(np.array(labels)[row == 1]) for row in truth]
    sent, here = folder / "images.csv", folder / "here.csv"
    rows.drop(columns="file").to_csv(sent, index=False, lineterminator="\n")
    rows.to_csv(here, index=False, lineterminator="\n")
    return {**files, sent.name: (sent, film.sha256_of(sent))}, here, list(manifest["patient_id"])


def spread(rows: pd.DataFrame, most: int | None) -> pd.DataFrame:
    """Return at most so many rows, spread evenly."""
    if most is None or len(rows) <= most:
        return rows
    return rows.iloc[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _is_read_there(path: Path) -> bool:
    """Tell whether Pillow reads a file to the same pixels in any release: a PNG, but no 16-bit colour or alpha."""
    with path.open("rb") as file:
        head = file.read(33)
    return head[:4] == b"\x89PNG" and len(head) == 33 and (head[24] < 16 or head[25] == 0)
