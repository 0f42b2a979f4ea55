"""Score the bundled networks on test images: mean AUROCs with intervals by patient, beside earlier networks.

    python benchmarks/bundled_models.py --data ../shared/real-cxr

--data as for tools/train_bundled.py: 1,000 simulated images of seeds that no training used, and the real images of the
split test. Model cards hold each finding's AUROC; this is their mean over 2,000 resamples of patients.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import train_bundled

from cxrkit import metrics, networks
from cxrkit.data import read_manifest
from cxrkit.labels import DISCLAIMER

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", type=Path, required=True)
data = parser.parse_args().data
real = train_bundled.images_to_test(read_manifest(data / "manifest.csv").frame, data)
simulated = train_bundled.simulated("test")[1]
nih, cohen = (real.where(real.sources == name) for name in ("nih", "cohen"))
findings, covid = ("findings14-small", slice(0, 14)), ("covid-small", slice(14, 15))
#: What is scored, the two earlier networks' means, the model with its labels, and the images.
lines = [
    ("simulated, mean of 14 findings", " | ", findings, simulated),
    ("real (nih), mean of 14 findings", "0.48 | 0.67", findings, nih),
    ("simulated, COVID-19", " | ", covid, simulated),
    ("real, all sources, COVID-19", "0.91 | 0.93", covid, real),
    ("real, `cohen`, COVID-19", "0.60 | 0.50", covid, cohen),
]
print(f"{date.today()}; `python {' '.join(sys.argv)}`. {DISCLAIMER}\n")
print("| test images | DenseNet, 0.3 million weights, 128 px | SqueezeNet, 15 epochs, 192 px | bundled | images |")
print("| --- | ---: | ---: | ---: | ---: |")
for name, before, (model, columns), test in lines:
    targets, probs = test.targets[:, columns], test.probs(networks.load(model, threads=1))
    mean = metrics.bootstrap("AUROC", targets, probs[:, : targets.shape[1]], test.patients, seed=0)
    print(f"| {name} | {before} | {mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}) | {mean.n:,} |")
