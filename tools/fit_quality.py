"""Fit the numbers of `cxrkit.film._quality` and write cxrkit/data/quality.npz.

    python tools/fit_quality.py --data /path/to/real-cxr

Uses the rows of DIR/manifest.csv whose split is `train`, drawn pictures that are no chest film (tools/no_films.py), and
the photographs inside scikit-image and scikit-learn. What is written is means, principal components and linear
weights over all films: no film can be had back from it. Every line is set on films that the model scored has not
seen (folds by patient), and printed with what it does. Deterministic for one release of NumPy and scikit-learn.
"""

import argparse
from pathlib import Path

import cv2
import no_films
import numpy as np
import pandas as pd
import skimage.data
import sklearn.datasets
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from cxrkit.film import read, resize
from cxrkit.film._quality import SIDE, coordinates, detail, features, greys, kept, spread

OUT = Path(__file__).parents[1] / "cxrkit" / "film" / "quality.npz"
COMPONENTS = 60
#: Of each kind of picture that is no chest film.
DRAWINGS = 400
#: Share of train films, unseen by the model that scores them, that may fall beyond a line.
TOLERATED = {"frontal": 0.015, "part": 0.006, "polarity": 0.003, "spread": 0.0, "kept": 0.003, "detail": 0.003}
#: Kinds that are a part of a chest film.
PARTS = ("half a chest", "cut out", "upper or lower", "middle")
#: Those of them that look so much like a whole one that `frontal`, taught them, lets more side views pass.
NEAR = ("upper or lower", "middle")


def frontal_variant(rng, film):
    """Shift, turn, zoom, mirror and grade a film as another hospital might have."""
    film = cv2.resize(film, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    move = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.normal(0, 3), 1 / rng.uniform(0.9, 1.12))
    move[:, 2] += rng.normal(0, 0.025 * SIDE, 2)
    move[0] *= rng.uniform(0.92, 1.08)
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    film = cv2.warpAffine(film, move, (SIDE, SIDE), borderMode=border)
    if rng.random() < 0.5:
        film = film[:, ::-1]
    return np.clip(film ** rng.uniform(0.6, 1.6) * rng.uniform(0.75, 1) + rng.uniform(0, 0.1), 0, 1).astype(np.float32)


def photographs():
    """Read the photographs that come with scikit-image and scikit-learn, as uint8."""
    folders = [Path(skimage.data.__file__).parent, Path(sklearn.datasets.__file__).parent / "images"]
    paths = sorted(path for folder in folders for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    return [np.rint(read(path).pixels * 255).astype(np.uint8) for path in paths]


def drawings(films, count=DRAWINGS):
    """Draw `count` pictures of every kind: name -> (count, 2020) features."""
    kinds = {**no_films.DRAWN, **no_films.of_films(films), "photograph": no_films.of_pictures(photographs())}
    return {
        name: np.stack([features(resize(draw(np.random.default_rng([kind, i])), SIDE)) for i in range(count)])
        for kind, (name, draw) in enumerate(kinds.items())
    }


def weights(positive, negative):
    """Fit a logistic model on coordinates; returns one weight per column, the last being the constant."""
    rows = np.concatenate([positive, negative])
    truth = np.repeat([1, 0], [len(positive), len(negative)])
    scale = rows.std(0)
    scale[-1] = 1
    model = LogisticRegression(C=0.01, max_iter=1000, class_weight="balanced").fit(rows[:, :-1] / scale[:-1], truth)
    return np.append(model.coef_[0] / scale[:-1], model.intercept_[0])


def unseen_scores(place, count, groups, negative, sign=1):
    """Score the first `count` rows of `place` by models that have not seen their patient."""
    out = np.empty(count)
    for fit, test in GroupKFold(4).split(place, groups=groups):
        test = test[test < count]
        fitted = weights(place[fit], negative) if sign > 0 else weights(negative, place[fit])
        out[test] = place[test] @ fitted
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv and images/")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    rows = pd.read_csv(options.data / "manifest.csv").query("split == 'train'")
    films = [read(options.data / name).pixels for name in rows["image"]]
    patients = rows["patient_id"].to_numpy()
    rng = np.random.default_rng(20261123)

    small = [resize(film, SIDE) for film in films]
    real = np.stack([features(film) for film in small])
    varied = np.stack([features(frontal_variant(rng, film)) for _ in range(3) for film in films])
    strange = drawings([np.rint(film * 255).astype(np.uint8) for film in films])

    components = PCA(COMPONENTS, random_state=0).fit(np.concatenate([real, varied]))
    mean = components.mean_.astype(np.float32)
    axes = components.components_.astype(np.float16).astype(np.float32)
    place = coordinates(np.concatenate([real, varied]), mean, axes)
    groups = np.concatenate([patients, np.tile(patients, 3)])
    strange_place = {name: coordinates(vectors, mean, axes) for name, vectors in strange.items()}
    all_strange = np.concatenate([places for name, places in strange_place.items() if name not in NEAR])
    parts = np.concatenate([strange_place[name] for name in PARTS])

    whole = weights(place, all_strange)
    part = weights(parts, place)
    # The negative of a film has the opposite greys, so no constant is needed, and the score changes its sign.
    grey = greys(np.concatenate([real, varied])).astype(np.float64)
    polarity = (
        LogisticRegression(C=0.1, fit_intercept=False, max_iter=1000)
        .fit(np.concatenate([grey, -grey]), np.repeat([1, 0], len(grey)))
        .coef_[0]
    )

    scores = {
        "frontal": unseen_scores(place, len(real), groups, all_strange),
        "part": unseen_scores(place, len(real), groups, parts, sign=-1),
        "polarity": grey[: len(real)] @ polarity,
        "spread": np.array([spread(film) for film in small]),
        "kept": np.array([kept(film) for film in small]),
        "detail": np.array([detail(film) for film in small]),
    }
    lines = {name: float(np.quantile(scores[name], share)) for name, share in TOLERATED.items()}
    lines["part"] = float(np.quantile(scores["part"], 1 - TOLERATED["part"]))
    # Half of the least contrast seen in a train film: enough of one for a reader.
    lines["spread"] = 0.5 * lines["spread"]
    lines["kept"] = min(lines["kept"], 0.7)
    # At 0 the film and its negative are equally likely: no film that is likelier upright is called inverted.
    lines["polarity"] = min(0.0, lines["polarity"])

    options.out.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        options.out,
        mean=mean.astype(np.float16),
        axes=axes.astype(np.float16),
        whole=whole.astype(np.float32),
        part=part.astype(np.float32),
        polarity=polarity.astype(np.float32),
        **{f"line_{name}": np.float64(value) for name, value in lines.items()},
    )
    report(rows, scores, lines, place, strange_place, whole, part)
    caught = np.mean([detail(blurred(rng, film)) < lines["detail"] for film in films])
    print(f"train films caught when blurred with sigma 1/128 of the longer side: {caught:.3f}")
    print(f"wrote {options.out}: {options.out.stat().st_size / 1000:.0f} kB")


def blurred(rng, film):
    """Blur a film beyond reading (sigma 1/128 of the longer side), with noise of two grey steps, at SIDE."""
    film = cv2.GaussianBlur(film, (0, 0), max(film.shape) / 128)
    return resize(film + rng.normal(0, 2 / 255, film.shape).astype(np.float32), SIDE)


def report(rows, scores, lines, place, strange_place, whole, part):
    """Print what the lines do on the films they were set on, and each kind left out of the fit in turn."""
    print("measure   line    lowest   1 %     median   99 %    highest  (train films)")
    for name, line in lines.items():
        low, one, middle, high, top = np.quantile(scores[name], [0, 0.01, 0.5, 0.99, 1])
        print(f"{name:9}{line:8.3f} {low:8.3f} {one:8.3f} {middle:8.3f} {high:8.3f} {top:8.3f}")
    beyond = (scores["frontal"] < lines["frontal"]) | (scores["part"] > lines["part"])
    for source, group in rows.assign(beyond=beyond).groupby("source"):
        print(f"{source}: {group['beyond'].sum()} of {len(group)} train films beyond `frontal` or `part`")
    print("kind of no film: share flagged, and by `frontal` alone when the kind was left out of its fit")
    for name, places in strange_place.items():
        others = np.concatenate([rest for other, rest in strange_place.items() if other not in (name, *NEAR)])
        alone = weights(place, others)
        seen = np.mean((places @ whole < lines["frontal"]) | (places @ part > lines["part"]))
        unseen = np.mean(places @ alone < lines["frontal"])
        print(f"{name:18}{seen:8.3f}{unseen:8.3f}")


if __name__ == "__main__":
    main()
