"""Names that every part of cxrkit shares: findings in their order, classes, colours, the disclaimer."""

from collections.abc import Iterable

#: The 14 findings of ChestX-ray14, in the order of the report's table 1 and of CheXNet-Keras.
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)

COVID = "COVID-19"
NOT_COVID = "Not COVID-19"
#: The two classes of a COVID-19 network; the probability of COVID-19 is column 0.
COVID_CLASSES = (COVID, NOT_COVID)

#: Parts of a data set: to learn from, to choose on, to measure on.
SPLITS = ("train", "val", "test")

#: What ChestX-ray14 writes for a film without any of the 14 findings.
NO_FINDING = "No Finding"

#: Other spellings met in label files: BBox_List_2017 writes Infiltrate, some releases use a space.
_ALIASES = {"Infiltrate": "Infiltration", "Pleural Thickening": "Pleural_Thickening", "Effusions": "Effusion"}

DISCLAIMER = "cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat."

#: One colour for each finding and for COVID-19, the same in every figure (matplotlib's tab20, dark half first).
COLOURS = dict(
    zip(
        (*FINDINGS, COVID),
        (
            "#1f77b4",
            "#ff7f0e",
            "#2ca02c",
            "#9467bd",
            "#8c564b",
            "#e377c2",
            "#bcbd22",
            "#17becf",
            "#aec7e8",
            "#ffbb78",
            "#98df8a",
            "#c5b0d5",
            "#c49c94",
            "#f7b6d2",
            "#d62728",
        ),
        strict=True,
    )
)


def split_findings(text: str) -> tuple[str, ...]:
    """Split `"Effusion|Mass"` into findings, in the order of `FINDINGS`.

    Args:
        text: findings joined by `|`; empty or "No Finding" means none; other known spellings are corrected.
    Returns:
        The findings, each once.
    Raises:
        ValueError: a name that is none of the 14 findings.
    """
    names = {_ALIASES.get(part.strip(), part.strip()) for part in text.split("|")} - {"", NO_FINDING}
    unknown = sorted(names - set(FINDINGS))
    if unknown:
        raise ValueError(
            f"findings must be of {', '.join(FINDINGS)}, joined by |; got {', '.join(unknown)}. "
            "Leave the cell empty for a film without any of them."
        )
    return tuple(name for name in FINDINGS if name in names)


def join_findings(names: Iterable[str]) -> str:
    """Join findings by `|` in the order of `FINDINGS`; the inverse of `split_findings`.

    Args:
        names: findings, in any order.
    Returns:
        The joined text; empty when there are none.
    Raises:
        ValueError: a name that is none of the 14 findings.
    """
    return "|".join(split_findings("|".join(names)))
