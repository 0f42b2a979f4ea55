"""Read every DICOM file that comes with pydicom, and those of other folders: size, range, flags, notes or the reason.

    python benchmarks/dicom_files.py [FOLDER ...] [--sheet SHEET.png]

An image that looks wrong on the contact sheet is the worst fault. Nothing is downloaded.
"""

import argparse
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, ImageDraw

from cxrkit import film

#: Side of an image on the sheet, images in a row, height of a caption.
SIDE_PX, COLUMNS, CAPTION_PX = 150, 10, 14


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="more folders of DICOM files")
    parser.add_argument("--sheet", type=Path, help="write all images to this picture")
    asked = parser.parse_args()
    known = Path(pydicom.__file__).parent / "data"
    paths = [path for folder in (known, *asked.folders) for path in sorted(folder.rglob("*")) if path.is_file()]
    others = {".py", ".pyc", ".txt", ".md", ".json", ".dump", ".icc", ".gz", ".csv"}
    pictures, passed, refused = {}, 0, 0
    for path in paths:
        if path.suffix in others:
            continue
        try:
            found = film.read(path)
        except film.UnreadableImage as error:
            refused += 1
            print(f"{path.name:52} refused: {error}")
            continue
        dark, bright = np.quantile(found.pixels, (0.01, 0.99))
        pictures[f"{len(pictures)} {path.name}"] = film.to_uint8(found)
        flags = film.assess(found).flags
        passed += "not_frontal_chest" not in flags
        height, width = found.pixels.shape
        said = f"{' '.join(flags)} | {' '.join(found.notes)}"
        print(f"{path.name:52} {height:5} x {width:<5} 1% {dark:.2f}  99% {bright:.2f}  {said}")
    print(f"\n{len(pictures)} read, {passed} of them as frontal chest radiographs; {refused} refused.")
    if asked.sheet:
        rows = -(-len(pictures) // COLUMNS)
        sheet = Image.new("L", (COLUMNS * SIDE_PX, rows * (SIDE_PX + CAPTION_PX)), 90)
        for k, (name, pixels) in enumerate(pictures.items()):
            row, column = divmod(k, COLUMNS)
            small = Image.fromarray(pixels)
            small.thumbnail((SIDE_PX - 4, SIDE_PX - 4))
            sheet.paste(small, (column * SIDE_PX, row * (SIDE_PX + CAPTION_PX)))
            ImageDraw.Draw(sheet).text((column * SIDE_PX, (row + 1) * (SIDE_PX + CAPTION_PX) - 13), name[:24], fill=255)
        sheet.save(asked.sheet)


if __name__ == "__main__":
    main()
