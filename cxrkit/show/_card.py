"""The model card, README.md beside each model, made from the sidecar alone.

`figures` in the sidecar is a list of measurements, each a mapping with `split`, `films` ("simulated" or "real"),
`source` ("course", "nih", "cohen"... or "all"), `label`, `measure` ("AUROC", "sensitivity"...), `value`, `low`, `high`
(null when undefined), `n` images, `positives` among them, and `reason` (why it is undefined, or empty).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxrkit import networks
from cxrkit.labels import DISCLAIMER
from cxrkit.show._rendered import Markdown, escape_markdown, markdown_table, pretty
from cxrkit.show._tables import table


def of_folder(name_or_folder: Path | str) -> Markdown:
    """Return the card of a bundled model or a model folder."""
    info = json.loads((networks.folder_of(name_or_folder) / "model.json").read_text(encoding="utf-8"))
    thresholds = {label: f"{info['thresholds'][label]:.4f}" for label in info["labels"]}
    files = {name: f"`{digest}`" for name, digest in sorted(info["files"].items())}
    parts = [
        f"# {escape_markdown(info['name'])}, version {escape_markdown(info['version'])}",
        f"**{DISCLAIMER}**",
        f"A network that takes a frontal chest radiograph ({info['input_size']} by {info['input_size']} pixels, "
        f"resized by cxrkit, bones bright) and gives the probability of {_listed(info['labels'])}.",
        "Made by `cxrkit model show` from model.json.",
        "## What it was not shown to do",
        _not_shown(info),
        "## Measured",
        *_figures(info.get("figures", [])),
        "## Thresholds",
        "An image is positive for a label from this probability on.",
        _pairs("label", "threshold", thresholds),
        "## Training",
        _training(info.get("training", {})),
        "## Files",
        _pairs("file", "sha256", files),
    ]
    return Markdown("\n\n".join(parts) + "\n")


def write(name_or_folder: Path | str) -> None:
    """Write README.md beside a model from its model.json."""
    (networks.folder_of(name_or_folder) / "README.md").write_text(of_folder(name_or_folder), encoding="utf-8")


def _not_shown(info: Mapping[str, Any]) -> str:
    labels = [label for label in info["labels"] if label in info["not_shown"]]
    if not labels:
        return "On real test images the interval of every label's AUROC lies above 0.5."
    why = "On real test images the interval of its AUROC includes 0.5, or there were too few images."
    why = why if info.get("figures") else "Nothing was measured with cxrkit yet."
    return f"**Not shown to work on real images: {_listed(labels)}.** {why} Triage and every screen say so."


def _figures(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    if not figures:
        return ["Nothing was measured: this model was not scored on any image."]
    frame = pd.DataFrame(figures).astype(dict.fromkeys(("value", "low", "high"), float))
    names = frame["label"] + frame["positives"].map(" ({:,})".format)
    groups = frame.assign(name=names).groupby(["films", "source", "split"], sort=False)
    parts = ["Value, 95% interval and number of images n."]
    # Real images first.
    for (films, source, split), rows in sorted(groups, key=lambda group: group[0][0] != "real"):
        where = "all sources" if source == "all" else f"source {escape_markdown(source)}"
        heading = f"### {escape_markdown(films).capitalize()} images, {where}, {escape_markdown(split)} split"
        parts += [heading, table(rows, by=["name"], first="label (images with it)")]
    return parts


def _training(training: Mapping[str, Any]) -> str:
    if not training:
        return "Not trained: the weights are the initial ones."
    cells = {}
    for key, value in training.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        cells[escape_markdown(pretty(key))] = f"`{text}`" if key == "command" else escape_markdown(text)
    return _pairs("what", "how", cells)


def _pairs(first: str, second: str, cells: Mapping[str, str]) -> str:
    return markdown_table([first, second], list(cells.items()), [False, False])


def _listed(labels: Sequence[str]) -> str:
    names = [escape_markdown(pretty(label)) for label in labels]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
