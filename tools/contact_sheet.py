"""Draw the contact sheet of simulated films: every finding, faint to severe, in PA and AP, on one patient.

    python tools/contact_sheet.py            # writes docs/gallery/phantom_contact_sheet.png

Simulated films, no patient; not a medical device.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxrkit import phantom
from cxrkit.labels import COVID, FINDINGS

OUT = Path(__file__).resolve().parents[1] / "docs" / "gallery" / "phantom_contact_sheet.png"
SEVERITIES = (("faint", 0.15), ("moderate", 0.5), ("severe", 1.0))
NORMAL = "No finding"
#: One patient for each row, so that sides and places vary down the sheet.
SEEDS = dict(
    zip((NORMAL, *FINDINGS, COVID), (7, 21, 11, 12, 52, 25, 12, 62, 41, 22, 43, 42, 31, 47, 51, 61), strict=True)
)


def row(kind: str, size_px: int) -> np.ndarray:
    """The films of one row: three severities in PA, then in AP, (size, 6 * size)."""
    films = []
    for view in phantom.VIEWS:
        for _, severity in SEVERITIES:
            film = phantom.simulate(
                SEEDS[kind],
                size_px=size_px,
                findings=() if kind in (NORMAL, COVID) else (kind,),
                covid=kind == COVID,
                severity=severity,
                view=view,
                sex="F" if SEEDS[kind] % 2 else "M",
            )
            films.append(film.pixels)
    return np.hstack(films)


def sheet(size_px: int) -> Image.Image:
    """All rows with a title, column heads and the names of the findings."""
    head, side = 64, 132
    rows = [row(kind, size_px) for kind in SEEDS]
    picture = Image.new("L", (side + rows[0].shape[1], head + size_px * len(rows)), 255)
    draw = ImageDraw.Draw(picture)
    draw.text((8, 6), "cxrkit: simulated chest radiographs (no patients; not for diagnosis)", fill=0,
              font=ImageFont.load_default(20))  # fmt: skip
    font = ImageFont.load_default(15)
    heads = [f"{view}, {word}" for view in phantom.VIEWS for word, _ in SEVERITIES]
    for k, text in enumerate(heads):
        draw.text((side + k * size_px + 6, head - 24), text, fill=0, font=font)
    for k, (kind, films) in enumerate(zip(SEEDS, rows, strict=True)):
        picture.paste(Image.fromarray(films), (side, head + k * size_px))
        draw.text((6, head + k * size_px + size_px // 2 - 8), kind.replace("_", "\n"), fill=0, font=font)
    return picture


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-px", type=int, default=184)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # 64 grey levels keep the file under 2 MB; the films themselves have 256.
    picture = sheet(options.size_px).quantize(64, dither=Image.Dither.NONE)
    picture.save(options.out, optimize=True)
    print(f"{options.out}: {picture.width} x {picture.height}, {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
