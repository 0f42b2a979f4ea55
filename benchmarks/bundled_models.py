"""Score the bundled networks on test images: mean AUROCs with intervals by patient, beside earlier networks.

    python benchmarks/bundled_models.py --data ../shared/real-cxr

--data as for tools/train_bundled.py: 1,000 simulated images of seeds that no training used, and the real images of the
split test. Model cards hold each finding's AUROC; this is their mean over 2,000 resamples of patients.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import train_bundled
from train_bundled import Test

from cxrkit import metrics, networks
from cxrkit.data import read_manifest
from cxrkit.labels import DISCLAIMER

FINDINGS, COVID = slice(0, 14), slice(14, 15)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    real = train_bundled.images_to_test(read_manifest(data / "manifest.csv").frame, data)
    films, files = train_bundled.simulated("test")
    simulated = Test(files, films.targets, films.sources, films.patients)
    findings, covid = (networks.load(name, threads=1) for name in train_bundled.NAMES.values())

    def row(predictor: networks.Predictor, test: Test, columns: slice) -> str:
        probs = np.stack([result.probs for result in networks.predict_images(predictor, test.files)])
        targets = test.targets[:, columns]
        mean = metrics.bootstrap("AUROC", targets, probs[:, : targets.shape[1]], test.patients, seed=0)
        return f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}) | {mean.n:,}"

    nih, cohen = (real.where(real.sources == name) for name in ("nih", "cohen"))
    lines = [
        ("simulated, mean of 14 findings", " | ", row(findings, simulated, FINDINGS)),
        ("real (nih), mean of 14 findings", "0.48 | 0.67", row(findings, nih, FINDINGS)),
        ("simulated, COVID-19", " | ", row(covid, simulated, COVID)),
        ("real, all sources, COVID-19", "0.91 | 0.93", row(covid, real, COVID)),
        ("real, `cohen`, COVID-19", "0.60 | 0.50", row(covid, cohen, COVID)),
    ]
    print(f"{date.today()}; `python {' '.join(sys.argv)}`. {DISCLAIMER}\n")
    print("| test images | DenseNet, 0.3 million weights, 128 px | SqueezeNet, 15 epochs, 192 px | bundled | images |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, before, found in lines:
        print(f"| {name} | {before} | {found} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
