"""Time augmentation: cxrkit.augment beside imgaug called directly and beside albumentations, in turn, in one table.

    python benchmarks/augment_speed.py
    python benchmarks/augment_speed.py --out docs/results/DATE-augment-speed.md

imgaug is given the same recipe as an augmenter made beforehand, and the same films; it draws a batch together, where
cxrkit draws each film from a stream of its own. albumentations is no dependency of cxrkit; without it its column is
left out. To have it, put it in a folder of its own and name that:

    pip install --no-deps --target albu albumentations==2.0.8 albucore==0.0.24 stringzilla==5.3.2 simsimd==6.5.16
    PYTHONPATH=albu NO_ALBUMENTATIONS_UPDATE=1 python benchmarks/augment_speed.py

Time is this process' processor time with one OpenCV thread, so that what else runs on the machine counts as little as
it can. A repeat times all of them one after another, and ratios are taken within a repeat.
"""

import argparse
import datetime
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import numpy as np

from cxrkit import augment, phantom
from cxrkit.augment import Op, Recipe

Alter = Callable[[np.ndarray], object]


def recipes() -> dict[str, Recipe]:
    """Each operation at its default, table 5's with the report's ranges, and what is put together of them."""
    table_5 = {name.removeprefix("table05/"): augment.named(name) for name in augment.NAMES if "table05/" in name}
    operations = {name: table_5.get(name, augment.default(name)) for name in augment.OPERATIONS}
    return operations | {
        name: augment.named(name) for name in ("fig08/Fliplr", "fig08/Add", "fig11", "round/J", "vary")
    }


def albumentations_for(names: list[str], recipe: dict[str, Recipe]) -> dict[str, Alter]:
    """Return the same operations from albumentations, as far as it has them; empty where it is not installed."""
    try:
        import albumentations as al
    except ImportError:
        return {}

    def noise(share: float) -> dict[str, object]:
        laplace = {"mean_range": (0, 0), "scale_range": (0, share)}
        return {
            "gaussian": al.GaussNoise(std_range=(0, share), p=1),
            "laplace": al.AdditiveNoise(
                noise_type="laplace", spatial_mode="per_pixel", noise_params=laplace, approximation=1.0, p=1
            ),
        }

    def add(grey_levels: float) -> object:
        share = grey_levels / 255
        return al.RandomBrightnessContrast((-share, share), (0, 0), brightness_by_max=True, p=1)

    def multiply(low: float, high: float, each_pixel: bool = False) -> object:
        return al.MultiplicativeNoise((low, high), elementwise=each_pixel, p=1)

    affine = recipe["Affine"]
    assert isinstance(affine, Op)
    composite = [
        al.NoOp(p=1),
        al.HorizontalFlip(p=0.5),
        add(15),
        al.OneOf([noise(share)["gaussian"] for share in (0.01, 0.03, 0.05)], p=1),
        al.OneOf([noise(share)["laplace"] for share in (0.01, 0.03, 0.05)], p=1),
        al.OneOf([multiply(0.5, 1.0), multiply(0.5, 1.0, True)], p=1),
    ]
    made = {
        "Noop": al.NoOp(p=1),
        "Fliplr": al.HorizontalFlip(p=0.5),
        "Add": add(20),
        "AdditiveGaussianNoise": noise(0.03)["gaussian"],
        "AdditiveLaplaceNoise": noise(0.03)["laplace"],
        "Multiply": multiply(0.5, 1.5),
        "MultiplyElementwise": multiply(0.5, 1.5, True),
        "SaltAndPepper": al.SaltAndPepper(amount=(0.05, 0.05), p=1),
        "Sharpen": al.Sharpen(alpha=(0.0, 0.2), lightness=(0.75, 1.25), p=1),
        "GammaContrast": al.RandomGamma((70, 130), p=1),
        "LinearContrast": al.RandomBrightnessContrast((0, 0), (-0.25, 0.33), p=1),
        "GaussianBlur": al.GaussianBlur(blur_limit=0, sigma_limit=(0.0, 2.5), p=1),
        "Affine": al.Affine(
            scale=affine["scale"],
            translate_percent={"x": affine["translate_x"], "y": affine["translate_y"]},
            rotate=affine["rotate"],
            border_mode=cv2.BORDER_REFLECT_101,
            p=1,
        ),
        "AllChannelsHistogramEqualization": al.Equalize(p=1),
        "AllChannelsCLAHE": al.CLAHE(clip_limit=(1, 4), tile_grid_size=(8, 8), p=1),
        "Cutout": al.CoarseDropout((1, 3), (0.1, 0.25), (0.1, 0.25), fill="random_uniform", p=1),
        # It takes a fixed number of parts, so that which number is drawn first.
        "fig11": al.OneOf([al.SomeOf(composite, n=n, replace=False, p=1) for n in (1, 2, 3)], p=1),
    }
    chains = {name: al.Compose([transform], seed=0) for name, transform in made.items() if name in names}

    def alter(chain: Callable) -> Alter:
        return lambda films: np.stack([chain(image=film)["image"] for film in films])

    return {name: alter(chain) for name, chain in chains.items()}


def cpu_seconds(alter: Alter, films: np.ndarray, calls: int) -> float:
    """Processor time of one call."""
    start = time.process_time()
    for _ in range(calls):
        alter(films)
    return (time.process_time() - start) / calls


def measure(alters: dict[str, Alter], films: np.ndarray, repeats: int, least_s: float) -> dict[str, np.ndarray]:
    """Time several ways to alter the same films, in turn.

    Args:
        alters: by name; the first of them says how many calls make a measurement.
        films: uint8 (n, H, W).
        repeats: how often each is measured.
        least_s: how long one measurement takes at least.
    Returns:
        By name, (repeats,): processor microseconds a film.
    """
    calls = 1
    while cpu_seconds(next(iter(alters.values())), films, calls) * calls < least_s:
        calls *= 2
    found: dict[str, list[float]] = {name: [] for name in alters}
    for turn in range(repeats):
        # Each is first as often as the others.
        names = list(alters)[turn % len(alters) :] + list(alters)[: turn % len(alters)]
        for name in names:
            found[name].append(cpu_seconds(alters[name], films, calls) / len(films) * 1e6)
    return {name: np.array(times) for name, times in found.items()}


def row(name: str, batch: int, times: dict[str, np.ndarray]) -> str:
    """One row of the table: microseconds a film, and ratios with the middle 80 percent of the repeats."""
    ours = times["cxrkit"]
    cells = [f"`{name}`", str(batch), f"{np.median(ours):.0f}"]
    for other in ("imgaug", "albumentations"):
        if other not in times:
            cells += ["", ""]
            continue
        ratio = ours / times[other]
        low, middle, high = np.quantile(ratio, [0.1, 0.5, 0.9])
        cells += [f"{np.median(times[other]):.0f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"]
    return f"| {' | '.join(cells)} |"


def versions() -> str:
    """What is compared."""
    found = []
    for name in ("numpy", "opencv-python-headless", "imaug", "albumentations"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def main() -> None:
    """Measure, print, and write the table where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-px", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--least-ms", type=float, default=20, help="of one measurement")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="these recipes alone")
    parser.add_argument("--out", type=Path, help="write the table here too")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    simulated = phantom.simulate_many(range(options.batch), workers=1, size_px=options.size_px)
    films = np.stack([film.pixels for film in simulated])
    chosen = {name: recipe for name, recipe in recipes().items() if not options.only or name in options.only}
    others = albumentations_for(list(chosen), recipes())
    lines = [
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}; Python "
        f"{platform.python_version()}, {versions()}.",
        f"Simulated films of {options.size_px} px; processor time, one OpenCV thread; medians of {options.repeats} "
        "repeats, ratios with the middle 80 percent of them. Below 1 cxrkit is faster.",
        "",
        "| recipe | films a call | cxrkit, µs a film | imgaug, µs a film | cxrkit / imgaug "
        "| albumentations, µs a film | cxrkit / albumentations |",
        "|---|---:|---:|---:|---|---:|---|",
    ]
    print("\n".join(lines), flush=True)
    for name, recipe in chosen.items():
        for batch in (options.batch, 1):
            seeds = iter(range(2**31))
            augmenter = augment.to_imgaug(recipe, 0)
            alters: dict[str, Alter] = {
                "cxrkit": lambda films, recipe=recipe, seeds=seeds: augment.apply(recipe, films, next(seeds)),
                "imgaug": lambda films, augmenter=augmenter: augmenter.augment_images(films[..., None]),
            }
            if name in others:
                alters["albumentations"] = others[name]
            times = measure(alters, films[:batch], options.repeats, options.least_ms / 1e3)
            lines.append(row(name, batch, times))
            print(lines[-1], flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
