"""Compare wheels that give `import imgaug`, on the report's thirteen operations with one seed.

    pip download --no-deps --dest wheels imaug==0.4.3 pyimgaug==0.5.0 sindre-imgaug==0.4.2 imgaug==0.4.0
    python tools/compare_imgaug.py wheels/imaug-*.whl wheels/*imgaug-*.whl > docs/results/DATE-imgaug-drop-ins.md

Each wheel is unpacked to a folder of its own and run in a process of its own, beside the packages of this
environment. The first wheel is what the others are compared with.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from datetime import date
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import numpy as np

SEED = 20201204
LIST = "Fliplr(0.0) on a list"


def operations(iaa: Any) -> dict[str, Any]:
    """The report's ten augmenters (tables 5 and 10-16) and three combinators (table 6), by name.

    `iaa` is the module imgaug.augmenters of whichever wheel is on trial.
    """

    def noise(kind: Any) -> Any:
        return iaa.OneOf([kind(scale=(0, s * 255)) for s in (0.01, 0.03, 0.05)])

    def composite() -> list[Any]:
        # Figure 10, the report's best composite.
        return [
            iaa.Noop(),
            iaa.Fliplr(0.5),
            iaa.Add((-15, 15)),
            noise(iaa.AdditiveGaussianNoise),
            noise(iaa.AdditiveLaplaceNoise),
            iaa.OneOf([iaa.Multiply((0.5, 1.0)), iaa.MultiplyElementwise((0.5, 1.0))]),
        ]

    return {
        "Fliplr(0.5)": iaa.Fliplr(0.5),
        "Add((-20, 20))": iaa.Add((-20, 20)),
        "AdditiveGaussianNoise(scale=(0, 0.03*255))": iaa.AdditiveGaussianNoise(scale=(0, 0.03 * 255)),
        "AdditiveLaplaceNoise(scale=(0, 0.03*255))": iaa.AdditiveLaplaceNoise(scale=(0, 0.03 * 255)),
        "Multiply((0.5, 1.5))": iaa.Multiply((0.5, 1.5)),
        "MultiplyElementwise((0.5, 1.5))": iaa.MultiplyElementwise((0.5, 1.5)),
        "SaltAndPepper(0.05)": iaa.SaltAndPepper(0.05),
        "Sharpen(alpha=0.03, lightness=1.1)": iaa.Sharpen(alpha=0.03, lightness=1.1),
        "GammaContrast((0.7, 1.3))": iaa.GammaContrast((0.7, 1.3)),
        "GaussianBlur((1.0, 2.5))": iaa.GaussianBlur((1.0, 2.5)),
        "Sequential(random_order=True)": iaa.Sequential(composite(), random_order=True),
        "SomeOf((1, 3), random_order=True)": iaa.SomeOf((1, 3), composite(), random_order=True),
        "OneOf": iaa.OneOf(composite()),
    }


def films(channels: int) -> np.ndarray:
    """Twelve pictures, uint8 (12, 96, 80, channels): waves, a disc and noise over all grey levels."""
    rng = np.random.default_rng(SEED)
    y, x = np.mgrid[:96, :80]
    smooth = 110 + 90 * np.sin(x / 13) * np.cos(y / 17) + 40 * (np.hypot(x - 40, y - 50) < 20)
    return np.clip(smooth[..., None] + rng.normal(0, 10, (12, 96, 80, channels)), 0, 255).astype(np.uint8)


def outputs() -> dict[str, np.ndarray]:
    """Run every operation of the imgaug that this process imports; same pictures, same seed.

    Returns:
        By operation and number of channels (1, 3), uint8 (12, 96, 80, channels); and what comes back when a list of
        twelve different pictures is given to an augmenter that changes nothing.
    """
    import imgaug.augmenters as iaa

    results = {}
    for channels in (1, 3):
        for name, augmenter in operations(iaa).items():
            # seed_ reaches the children too; a seed given to a combinator alone leaves them on the global generator.
            augmenter.seed_(SEED)
            results[f"{name}|{channels}"] = augmenter(images=films(channels))
        results[f"{LIST}|{channels}"] = np.stack(iaa.Fliplr(0.0)(images=list(films(channels))))
    return results


def _run_in_own_process(wheel: Path, folder: Path) -> dict[str, np.ndarray] | str:
    """Outputs of one wheel, or the last line of what went wrong."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    code = (
        "import sys; import numpy as np; import imgaug; import compare_imgaug as c; "
        f"assert imgaug.__file__.startswith({str(folder)!r}), imgaug.__file__; "
        "np.savez(sys.argv[1], **c.outputs())"
    )
    environment = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "out.npz")], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    with np.load(folder / "out.npz") as stored:
        return dict(stored)


def _difference(reference: dict[str, np.ndarray], other: dict[str, np.ndarray], name: str) -> str:
    pairs = [(reference[key], other[key]) for key in reference if key.startswith(f"{name}|")]
    for expected, got in pairs:
        if expected.shape != got.shape:
            return f"{len(expected)} pictures in, {len(got)} out"
    gaps = np.concatenate([np.abs(a.astype(int) - b.astype(int)).ravel() for a, b in pairs])
    return "equal" if not gaps.any() else f"{(gaps > 0).mean():.1%} of values, by {gaps.max()} at most"


def compare(wheels: list[Path]) -> str:
    """Markdown: what each wheel asks for, whether it imports, and where its output differs from the first's."""
    with tempfile.TemporaryDirectory(prefix="compare-imgaug-") as folder:
        results = {wheel: _run_in_own_process(wheel, Path(folder) / str(i)) for i, wheel in enumerate(wheels)}
    reference = results[wheels[0]]
    if isinstance(reference, str):
        raise ValueError(f"{wheels[0].name}, the first wheel, must run; it ended with {reference}.")
    lines = ["| wheel | OpenCV it declares | runs here |", "|---|---|---|"]
    for wheel, result in results.items():
        lines.append(f"| {wheel.name} | {_declared_opencv(wheel)} | {result if isinstance(result, str) else 'yes'} |")
    working = {wheel: result for wheel, result in results.items() if not isinstance(result, str)}
    others = [wheel for wheel in working if wheel != wheels[0]]
    titles = [wheel.name.split("-py")[0] for wheel in others]
    lines += ["", f"| operation | {' | '.join(titles)} |", "|---|" + "---|" * len(others)]
    for name in dict.fromkeys(key.split("|")[0] for key in reference):
        cells = [_difference(reference, working[wheel], name) for wheel in others]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _declared_opencv(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(archive.read(metadata).decode())
    asked = [line for line in headers.get_all("Requires-Dist", []) if line.startswith("opencv")]
    return ", ".join(asked) or "none"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", nargs="+", type=Path, help="the first is what the others are compared with")
    wheels = list(dict.fromkeys(parser.parse_args().wheels))
    import cv2

    print("# Drop-ins for imgaug, compared\n")
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, cv2 {cv2.__version__}"
    print(f"{date.today()}, {versions}, no DISPLAY. Differences are from the first wheel.")
    print(
        f"Twelve 96 x 80 pictures with one channel and twelve with three, as arrays but for the last row; seed {SEED}."
    )
    print("Made by:\n")
    print(f"    python tools/compare_imgaug.py {' '.join(wheel.name for wheel in wheels)}\n")
    print(compare(wheels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
