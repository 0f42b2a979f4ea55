"""Score the bundled networks on test films and print mean AUROCs with intervals, beside what was seen before.

    python benchmarks/bundled_models.py --data ../shared/real-cxr

--data as for tools/train_bundled.py, whose test films these are: 1,000 simulated of seeds that no training saw, and the
real ones of the `test` rows. Model cards hold each finding's figure; this is their mean, with an interval from
2,000 draws of patients in which all labels are drawn together.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import train_bundled

from cxrkit import metrics, networks
from cxrkit.data import FilmSet
from cxrkit.labels import DISCLAIMER

FINDINGS, COVID = slice(0, 14), slice(14, 15)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    real = train_bundled.real(data)[0]["test"]
    sim = train_bundled.simulated("test")
    findings, covid = (networks.load(name) for name in train_bundled.NAMES.values())

    def row(predictor: networks.Predictor, films: FilmSet, columns: slice) -> str:
        probs = predictor.predict(films.scaled(predictor.input_size)[..., 0], prepared=True)
        targets = films.targets[:, columns]
        mean = metrics.bootstrap("AUROC", targets, probs[:, : targets.shape[1]], films.patients, seed=0)
        return f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}) | {mean.n:,}"

    nih, cohen = train_bundled.of_findings(real), train_bundled.of_cohen(real)
    lines = [
        ("simulated, mean of 14 findings", " | ", row(findings, sim, FINDINGS)),
        ("real (nih), mean of 14 findings", "0.48 | 0.67", row(findings, nih, FINDINGS)),
        ("simulated, COVID-19", " | ", row(covid, sim, COVID)),
        ("real, all sources, COVID-19", "0.91 | 0.93", row(covid, real, COVID)),
        ("real, `cohen`, COVID-19", "0.60 | 0.50", row(covid, cohen, COVID)),
    ]
    print(f"{date.today()}; `python {' '.join(sys.argv)}`. {DISCLAIMER}\n")
    print("| test films | DenseNet, 0.3 million weights, 128 px | SqueezeNet, 15 epochs, 192 px | bundled | films |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, before, found in lines:
        print(f"| {name} | {before} | {found} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
