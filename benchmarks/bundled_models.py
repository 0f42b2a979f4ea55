"""Score the bundled networks on test images: mean AUROCs with intervals from 2,000 resamples of patients.

    python benchmarks/bundled_models.py --data ../shared/real-cxr

--data as for tools/train_bundled.py: 1,000 simulated images of seeds that no training used, and the real images of the
split test.
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
frame = read_manifest(data / "manifest.csv").frame
tests = {name: train_bundled.images_to_test(frame, data, name) for name in ("nih", "cohen")}
tests["real, all sources"] = train_bundled.images_to_test(frame, data)
tests["simulated"] = train_bundled.simulated("test")[1]
print(f"{date.today()}; `python {' '.join(sys.argv)}`. {DISCLAIMER}\n")
print("| model | test images | mean AUROC | images |\n| --- | --- | ---: | ---: |")
scored = [("findings14-small", slice(0, 14), name) for name in ("simulated", "nih")]
scored += [("covid-small", slice(14, 15), name) for name in ("simulated", "real, all sources", "cohen")]
for model, columns, name in scored:
    files, targets, patients = tests[name]
    targets, probs = targets[:, columns], train_bundled.predict(networks.load(model, threads=1), files)
    mean = metrics.bootstrap("AUROC", targets, probs[:, : targets.shape[1]], patients, seed=0)
    print(f"| {model} | {name} | {mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}) | {mean.n:,} |")
