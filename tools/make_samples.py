"""Make the dashboard's sample images, cxrkit/dashboard/samples: simulated, of patients of the course's test split.

    python tools/make_samples.py

The images are those of the course at twice its size. They were chosen to show what a viewer should know: findings that
are predicted correctly, a false alarm, a missed nodule, an infiltration predicted as COVID-19, and images to flag.
tests/test_samples.py compares them with what is there.
"""

import json

import cv2
import numpy as np

from cxrkit.dashboard import _samples as samples
from cxrkit.data import course_manifest, simulate_row
from cxrkit.film import read

SIZE_PX, THUMB_PX = 512, 168
#: Seed of the course's patient less 600,000,000, and what is done to the image, by name.
SEEDS = {"covid": 342, "heart": 351, "clear": 331, "pneumothorax": 368, "edema": 329, "mass": 386, "nodule": 338}
SEEDS |= {"infiltration": 321, "cardiomegaly": 332, "negative": 376, "blurred": 323}
SPOILT = {"negative": "inverted", "blurred": "blurred"}
#: Mean difference of greys, of 255, that another JPEG encoder may make.
_ALIKE = 1.5


def leg() -> np.ndarray:
    """Draw what is no chest: a knee, two bones in soft tissue. Returns uint8 (SIZE_PX, SIZE_PX)."""
    y, x = np.mgrid[0:SIZE_PX, 0:SIZE_PX] / SIZE_PX - 0.5

    def rod(centre: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """Return the depth of a rod seen from the side."""
        return np.sqrt(np.clip(radius**2 - (x - centre) ** 2, 0, None))

    joint = np.exp(-((y / 0.09) ** 2))
    flesh = rod(0.02 * np.sin(3 * y), 0.27 + 0.04 * y)
    femur = rod(0.03 * y, 0.075 + 0.075 * joint) * (y < 0.01)
    tibia = rod(-0.02 * y, 0.07 + 0.07 * joint) * (y > 0.03)
    fibula = rod(0.13 + 0.02 * y, np.full_like(y, 0.028)) * (y > 0.09)
    bone = femur + tibia + fibula
    marrow = rod(0.03 * y, np.full_like(y, 0.04)) * (y < -0.1) + rod(-0.02 * y, np.full_like(y, 0.035)) * (y > 0.15)
    depth = 1.1 * flesh + 3.2 * np.clip(bone - 0.55 * marrow, 0, None)
    film = cv2.GaussianBlur(1 - np.exp(-2.0 * depth), (0, 0), 1.2)
    film += np.random.default_rng(1).normal(0, 0.006, film.shape)
    return np.rint(np.clip(film, 0, 1) * 255).astype(np.uint8)


def films() -> list[tuple[samples.Sample, np.ndarray]]:
    """Simulate every sample: what is known of it, and uint8 (SIZE_PX, SIZE_PX)."""
    frame = course_manifest()
    made = []
    for name, seed in SEEDS.items():
        row = frame[(frame["seed"] == 600_000_000 + seed) & (frame["follow_up"] == 0)].iloc[0]
        film = simulate_row({**row, "width": SIZE_PX})
        pixels = film.pixels
        spoilt = SPOILT.get(name, "")
        if spoilt:
            pixels = 255 - pixels if spoilt == "inverted" else cv2.GaussianBlur(pixels, (0, 0), SIZE_PX / 128)
        truth = [part.split("=")[0] for part in row["severity"].split("|") if part]
        found = {label: np.round(np.array(places) / SIZE_PX, 4) for label, places in film.boxes.items()}
        boxes = {label: places.tolist() for label, places in found.items() if len(places)}
        made.append((samples.Sample(name, truth, boxes, spoilt), pixels))
    return [*made, (samples.Sample("leg", None, {}, "not_frontal_chest"), leg())]


def alike(sample: samples.Sample, pixels: np.ndarray) -> bool:
    """Whether the image in the folder shows these pixels."""
    found = read(sample.read())
    # A negative is turned over when it is read.
    kept = 255 * (1 - found.pixels if "polarity_guessed" in found.notes else found.pixels)
    return kept.shape == pixels.shape and float(np.abs(kept - pixels).mean()) < _ALIKE


def main() -> None:
    samples.FOLDER.mkdir(parents=True, exist_ok=True)
    made = films()
    for sample, pixels in made:
        small = cv2.resize(pixels, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA)
        for ending, picture in (("jpg", pixels), ("thumb.jpg", small)):
            cv2.imwrite(str(samples.FOLDER / f"{sample.name}.{ending}"), picture, (cv2.IMWRITE_JPEG_QUALITY, 90))
    about = [vars(sample) for sample, _ in made]
    (samples.FOLDER / "samples.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
