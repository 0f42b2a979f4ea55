"""Measure what `cxrkit.film._quality` flags, and print it as Markdown.

    python tools/measure_quality.py --data /path/to/real-cxr

Real films by source and split, films of the `val` rows spoilt on purpose, pictures that are no chest film (drawn from
other seeds than those of the fit; but the photographs are the same), simulated films, the awkward files of DIR/messy
if they are there, those that come with pydicom, and the time.
Nothing is set here: the lines come from tools/fit_quality.py, which sees `train` rows only.
"""

import argparse
import collections
import time
from pathlib import Path

import cv2
import no_films
import numpy as np
import pandas as pd
import pydicom
from fit_quality import photographs

from cxrkit import phantom
from cxrkit.film import _read as images
from cxrkit.film._quality import QUALITY_FLAGS
from cxrkit.labels import COVID, FINDINGS
from cxrkit.metrics import wilson

SIMULATED = 300
#: Films are drawn from seeds that no other part of the project uses.
FIRST_SEED = 7_000_000
DRAWINGS = 100
SIGMAS = (1, 1.5, 2, 2.5, 3, 4, 6, 8)


def as_read(pixels):
    """Wrap pixels as `images.read` would, rounded to 8 bits."""
    pixels = (np.rint(np.clip(pixels, 0, 1) * 255) / 255).astype(np.float32)
    return images.Radiograph(pixels=pixels, format="PNG", original_size=pixels.shape, bit_depth=8)


def blurred(sigma, noise=2):
    """Blur with a sigma in 512ths of the longer side, then add noise of so many grey steps."""

    def spoil(rng, pixels):
        soft = cv2.GaussianBlur(pixels, (0, 0), sigma * max(pixels.shape) / 512)
        return soft + rng.normal(0, noise / 255, pixels.shape)

    return spoil


def part(rows, columns):
    """Cut out fractions of the height and the width."""

    def spoil(rng, pixels):
        height, width = pixels.shape
        return pixels[
            round(rows[0] * height) : round(rows[1] * height), round(columns[0] * width) : round(columns[1] * width)
        ]

    return spoil


def on_page(rng, pixels):
    """Put the film in the middle of a black page twice as high and wide."""
    height, width = pixels.shape
    page = np.zeros((2 * height, 2 * width), np.float32)
    page[height // 2 : height // 2 + height, width // 2 : width // 2 + width] = pixels
    return page


#: What is done to a film -> (the flags of which one is due, function).
SPOILT = {
    **{f"blurred, sigma {sigma} of 512, noise of two grey steps": ("blurred", blurred(sigma)) for sigma in SIGMAS},
    "blurred, sigma 4 of 512, noise of five grey steps": ("blurred", blurred(4, noise=5)),
    "blurred, sigma 4 of 512, JPEG of quality 40": ("blurred", lambda rng, pixels: jpeg(blurred(4, 0)(rng, pixels))),
    "moved by 25 of 512 px": ("blurred", lambda rng, pixels: cv2.blur(pixels, (25, 1))),
    "shrunk to 64 px and back": ("blurred", lambda rng, pixels: images.resize(images.resize(pixels, 64), 512)),
    "negative": ("inverted", lambda rng, pixels: 1 - pixels),
    "left half": ("cropped not_frontal_chest", part((0, 1), (0, 0.5))),
    "right half": ("cropped not_frontal_chest", part((0, 1), (0.5, 1))),
    "upper half": ("cropped not_frontal_chest", part((0, 0.5), (0, 1))),
    "lower half": ("cropped not_frontal_chest", part((0.5, 1), (0, 1))),
    "left two thirds": ("cropped not_frontal_chest", part((0, 1), (0, 0.667))),
    "upper two thirds": ("cropped not_frontal_chest", part((0, 0.667), (0, 1))),
    "lower two thirds": ("cropped not_frontal_chest", part((0.333, 1), (0, 1))),
    "upper left quarter": ("cropped not_frontal_chest", part((0, 0.5), (0, 0.5))),
    "lower right quarter": ("cropped not_frontal_chest", part((0.5, 1), (0.5, 1))),
    "middle half of each side": ("cropped not_frontal_chest", part((0.25, 0.75), (0.25, 0.75))),
    "middle 70 % of each side": ("cropped not_frontal_chest", part((0.15, 0.85), (0.15, 0.85))),
    "on a black page of four times the area": ("cropped", on_page),
    "blank: black": ("blank", lambda rng, pixels: 0 * pixels),
    "blank: grey, noise of two grey steps": ("blank", lambda rng, pixels: 0.5 + rng.normal(0, 2 / 255, pixels.shape)),
    "nearly blank: a twentieth of the contrast": ("blank", lambda rng, pixels: 0.5 + pixels / 20),
    "turned by 90 degrees": ("not_frontal_chest", lambda rng, pixels: np.rot90(pixels)),
    "turned by 180 degrees": ("not_frontal_chest", lambda rng, pixels: np.rot90(pixels, 2)),
    "turned by 270 degrees": ("not_frontal_chest", lambda rng, pixels: np.rot90(pixels, 3)),
    "none: mirrored": ("", lambda rng, pixels: pixels[:, ::-1]),
    "none: turned by 5 degrees": ("", lambda rng, pixels: turned(pixels, 5)),
    "none: gamma 0.6": ("", lambda rng, pixels: pixels**0.6),
    "none: gamma 1.6": ("", lambda rng, pixels: pixels**1.6),
    "none: 224 px": ("", lambda rng, pixels: images.resize(pixels, 224)),
    "none: JPEG of quality 40": ("", lambda rng, pixels: jpeg(pixels)),
}


def turned(pixels, degrees):
    height, width = pixels.shape
    move = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(pixels, move, (width, height))


def jpeg(pixels):
    coded = cv2.imencode(".jpg", np.rint(pixels * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return images.read(coded.tobytes()).pixels


def table(head, rows):
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")
    print()


def share(hits):
    """Format a share with its Wilson interval."""
    found = wilson(int(sum(hits)), len(hits))
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"


def real(rows, films):
    judged = [images.quality(film) for film in films]
    rows = rows.assign(flags=[one.flags for one in judged])
    print("## Real films flagged\n")
    groups = [("all", rows)]
    groups += [(split, rows[rows["split"] == split]) for split in ("train", "val", "test")]
    groups += [
        (f"{source}, {split}", group)
        for source in sorted(rows["source"].unique())
        for split in ("train", "val", "test")
        if len(group := rows[(rows["source"] == source) & (rows["split"] == split)])
    ]
    table(
        ("films", "n", "flagged", *QUALITY_FLAGS),
        (
            (
                name,
                len(group),
                share([bool(flags) for flags in group["flags"]]),
                *(sum(flag in flags for flags in group["flags"]) for flag in QUALITY_FLAGS),
            )
            for name, group in groups
        ),
    )


def spoilt(films):
    print(f"## {len(films)} films of `val` spoilt on purpose\n")
    rows = []
    for name, (due, spoil) in SPOILT.items():
        rng = np.random.default_rng(20261123)
        found = [images.quality(as_read(spoil(rng, one.pixels))).flags for one in films]
        hit = share([bool(set(due.split()) & set(flags)) for flags in found]) if due else "-"
        rows.append((name, due.replace(" ", " or ") or "-", hit, share([bool(flags) for flags in found])))
    table(("spoilt how", "flag due", "has it", "flagged at all"), rows)


def strange(films, pictures):
    print(f"## {DRAWINGS} pictures of each kind that are no whole frontal film\n")
    kinds = {
        **no_films.DRAWN,
        **no_films.of_films([np.rint(film.pixels * 255).astype(np.uint8) for film in films]),
        "photograph": no_films.of_pictures(pictures),
    }
    rows = []
    for kind, (name, draw) in enumerate(kinds.items()):
        found = [images.quality(as_read(draw(np.random.default_rng([1000 + kind, i])))).flags for i in range(DRAWINGS)]
        rows.append((name, share([bool({"cropped", "not_frontal_chest"} & set(flags)) for flags in found])))
    table(("kind", "`not_frontal_chest` or `cropped`"), rows)


def simulated():
    """Judge fresh films: a third plain, each finding and COVID-19 alone, drawn mixtures; nuisances of every kind."""
    print(f"## {SIMULATED} simulated films flagged\n")
    kinds = [None, *FINDINGS, COVID]
    rows = []
    for size in (224, 512):
        for dressed in (False, True):
            counts, flagged = collections.Counter(), []
            for i in range(SIMULATED):
                kind = kinds[i % len(kinds)]
                nuisance = {
                    "marker": (None, "L", "R")[i % 3],
                    "leads": i // 3 % 6,
                    "source": (None, "A", "B", "C")[i // 18 % 4],
                }
                shown = phantom.simulate(
                    FIRST_SEED + i,
                    size_px=size,
                    findings=(kind,) if kind in FINDINGS else () if kind else None,
                    covid=kind == COVID,
                    nuisance=nuisance if dressed else None,
                )
                flags = images.quality(images.read(shown.png())).flags
                counts.update(flags)
                flagged.append(bool(flags))
            rows.append((size, "yes" if dressed else "no", share(flagged), *(counts[flag] for flag in QUALITY_FLAGS)))
    table(("px", "marker, leads, border", "flagged", *QUALITY_FLAGS), rows)


def messy(folder):
    print("## The awkward files of messy/\n")
    rows = []
    for row in pd.read_csv(folder / "expected.csv").itertuples():
        try:
            found = ", ".join(images.quality(images.read(folder / row.file)).flags) or "-"
            got = "flag" if found != "-" else "read"
        except images.UnreadableImage as error:
            found, got = str(error), "error"
        rows.append((row.kind, row.expect, got, found))
    table(("kind", "expected", "got", "flags or reason"), rows)
    print(f"As expected: {sum(row[1] == row[2] for row in rows)} of {len(rows)}.\n")


def others():
    """Judge the files that pydicom is tested with: CT, MR, ultrasound, charts, damaged ones; no frontal chest film."""
    counts, slipped = collections.Counter(), []
    for path in sorted(Path(pydicom.__file__).parent.joinpath("data", "test_files").rglob("*")):
        if path.is_dir():
            continue
        try:
            read = images.read(path)
        except images.UnreadableImage:
            counts["refused"] += 1
            continue
        # Without what the header says, so that the picture alone decides.
        alone = {"cropped", "not_frontal_chest"} & set(images.quality(as_read(read.pixels)).flags)
        counts["by its picture alone" if alone else "by its header"] += bool(images.quality(read).flags)
        slipped += [] if images.quality(read).flags else [path.name]
    print(f"## The files that come with pydicom {pydicom.__version__}\n")
    table(
        ("refused", "flagged by the picture alone", "flagged with the header only", "not flagged"),
        [(counts["refused"], counts["by its picture alone"], counts["by its header"], ", ".join(slipped) or 0)],
    )


def speed(films):
    one = [as_read(images.resize(one.pixels, 512)) for one in films[:100]]
    cv2.setNumThreads(1)
    best = []
    for _ in range(5):
        start = time.process_time()
        for each in one:
            images.quality(each)
        best.append((time.process_time() - start) / len(one))
    print(
        f"## Time\n\n{1000 * min(best):.2f} ms of one processor for a film of 512 px (best of 5 over {len(one)} films)."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv and images/")
    data = parser.parse_args().data
    rows = pd.read_csv(data / "manifest.csv")
    films = [images.read(data / name) for name in rows["image"]]
    val = [film for film, split in zip(films, rows["split"], strict=True) if split == "val"]

    real(rows, films)
    spoilt(val)
    strange(val, photographs())
    simulated()
    if (data / "messy").is_dir():
        messy(data / "messy")
    others()
    speed(val)


if __name__ == "__main__":
    main()
