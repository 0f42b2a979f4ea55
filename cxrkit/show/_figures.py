"""Images, class activation maps, probabilities and measures as figures.

Each colour stands beside a word, a mark or a shade that says the same.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from cxrkit import film
from cxrkit.labels import COLOURS, COVID
from cxrkit.metrics import Estimate, Worth
from cxrkit.show import _style as style
from cxrkit.show._rendered import plain, pretty
from cxrkit.show._style import (
    BLUE,
    GREY,
    HEAT,
    INK,
    MARKS,
    NOT_SHOWN,
    PALE,
    SERIES,
    WIDTH,
    Box,
    Drawing,
    bare,
    key,
    outline,
    picture,
    theme,
    tidy,
)

if TYPE_CHECKING:
    from cxrkit.explain import BoxedFilm

_PERCENT = FuncFormatter(lambda share, _: f"{share:.2%}" if 0 < share < 0.01 else f"{share:.0%}")
_SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#9dbbdd"])
#: Below chance another colour.
_BOTH_WAYS = LinearSegmentedColormap.from_list("both ways", ["#e8a15c", "#ffffff", "#8fb3d9"])
#: The blue of the report's table 3, for boxes of the truth.
_TRUTH = "#1450ff"


@theme()
def images(
    pixels: np.ndarray | Sequence[np.ndarray],
    titles: str | Sequence[str] = "",
    *,
    columns: int = 4,
    simulated: bool = False,
    model: bool = False,
) -> Drawing:
    """Draw one radiograph, or several side by side.

    Args:
        pixels: (H, W), or several of them; float in [0, 1] or uint8, bones bright; sizes may differ.
        titles, columns: one per image, or none; images in a row.
    """
    if isinstance(pixels, np.ndarray) and pixels.ndim == 2:
        pixels, titles = [pixels], [str(titles)]
    if not len(pixels) or (titles and len(titles) != len(pixels)):
        raise ValueError(f"images needs images and one title each, or no titles; got {len(pixels)} and {len(titles)}.")
    columns, width = min(columns, len(pixels)), WIDTH if len(pixels) > 1 else WIDTH / 2
    rows = math.ceil(len(pixels) / columns)
    # 0.17 inches for each line of the longest title beyond the first.
    more = 0.17 * max((title.count("\n") for title in titles), default=0)
    figure = style.figure(width, rows * (width / columns + 0.35 + more) + 0.25, simulated=simulated, model=model)
    for place, (image, title) in enumerate(zip(pixels, titles or [""] * len(pixels), strict=True)):
        axis = figure.add_subplot(rows, columns, place + 1)
        picture(axis, image, title)
        # The room that a row has left is above it, because the layout underestimates long titles.
        axis.set_anchor("S")
    return figure


@theme()
def overlay(
    pixels: np.ndarray,
    cam: np.ndarray,
    *,
    label: str = "",
    opacity: float = 0.6,
    scale: float | None = None,
    boxes: Mapping[str, Sequence[Box]] | None = None,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw a radiograph, its class activation map, and the map laid over the radiograph.

    Args:
        pixels: (H, W), float in [0, 1] or uint8, bones bright.
        cam: (h, w), class activation map of a label, any scale; values under 0, evidence against it, are clear.
        opacity: of the strongest place, in [0, 1].
        scale: value of `cam` drawn strongest; None takes the map's largest value. Give one to compare maps.
        boxes: for each finding its boxes (x, y, width, height) in pixels from the top left.
        title: above the image alone.
    """
    cam = np.asarray(cam, np.float32)
    if cam.ndim != 2:
        raise ValueError(f"cam must be (h, w); got shape {cam.shape}. Take one image and one label: maps[0, 0].")
    top = float(cam.max()) if scale is None else scale
    most = top if top > 0 else 1.0
    figure = style.figure(WIDTH, WIDTH / 3 + 0.55, simulated=simulated)
    left, middle, right = figure.subplots(1, 3)
    picture(left, pixels, title or "image")
    picture(right, pixels, "map over image", film.heat(cam, cam.shape, scale=most), opacity)
    for name, found in (boxes or {}).items():
        outline(left, found, COLOURS.get(name, _TRUTH), name)
        outline(right, found, COLOURS.get(name, _TRUTH))
    middle.set_facecolor(PALE)
    coarse: Any = {"cmap": HEAT, "vmin": 0.0, "vmax": most, "extent": (*left.get_xlim(), *left.get_ylim())}
    drawn = middle.imshow(np.ma.masked_less_equal(cam, 0), **coarse)
    bare(middle, f"evidence for {pretty(label)}" if label else "evidence for the label")
    bar = figure.colorbar(drawn, ax=middle, location="bottom", shrink=0.8, pad=0.02, aspect=30)
    bar.set_ticks([0.0, most], labels=["none", "most" if top > 0 else "(none here)"])
    return figure


@theme()
def heat_maps(
    films: Sequence["BoxedFilm"],
    findings: Sequence[str],
    maps: Mapping[str, Sequence[np.ndarray]],
    *,
    captions: Sequence[str] | None = None,
    across: int = 1,
    opacity: float | None = 0.6,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw heat maps over images beside the truth: first the image, then one panel per method, the truth in blue.

    Args:
        films, findings: images, with boxes if there are any; the finding that is explained on each.
        maps: by the method's name one map (h, w) in [0, 1] per image, as `explain.heat_maps` gives.
        captions: above the last map of each image, instead of the method's name.
        across: images in a row.
        opacity: of the strongest place, in [0, 1]; None draws the maps alone, which shows faint ones.
    """
    counts = [len(films), len(findings), *map(len, maps.values()), len(films if captions is None else captions)]
    if not counts[0] or not maps or len(set(counts)) > 1:
        needs = "a finding, a map of each method and a caption for each"
        raise ValueError(f"heat_maps needs images, and {needs}; their numbers are {', '.join(map(str, counts))}.")
    wide, rows = len(maps) + 1, math.ceil(len(films) / across)
    columns = max(4, across * wide)
    figure = style.figure(WIDTH, rows * (WIDTH / columns + 0.3) + 0.7, simulated=simulated, title=title)
    for number, (image, finding) in enumerate(zip(films, findings, strict=True)):
        row, place = divmod(number, across)
        names = [pretty(finding), *maps]
        names[-1] = names[-1] if captions is None else captions[number]
        heats = [None, *(found[number] for found in maps.values())]
        for column, (name, heat) in enumerate(zip(names, heats, strict=True), place * wide + 1):
            axis = figure.add_subplot(rows, columns, row * columns + column)
            picture(axis, image.pixels, name, heat, opacity)
            outline(axis, image.boxes_px().get(finding, ()), _TRUTH)
    if any(image.boxes for image in films):
        key(figure, [Patch(facecolor="none", edgecolor=_TRUTH, linewidth=2, label="truth")])
    return figure


@theme()
def findings(
    probs: Mapping[str, float],
    thresholds: Mapping[str, float],
    *,
    not_shown: Iterable[str] = (),
    truth: Iterable[str] | None = None,
    title: str = "",
    simulated: bool = False,
) -> Drawing:
    """Draw the probability of each label as a bar with its threshold; full bars are positive, pale ones negative.

    Args:
        probs: probability in [0, 1] by label, top to bottom; NaN was not predicted, because COVID-19 is positive.
        thresholds: probability from which a label is positive, for each label in `probs`.
        truth: labels known to be true, marked at the right.
    """
    if missing := [label for label in probs if label not in thresholds]:
        raise ValueError(f"thresholds lack {', '.join(missing)}; pass Predictor.thresholds.")
    figure = style.figure(WIDTH, 0.27 * len(probs) + 1.5, simulated=simulated)
    axis = figure.subplots()
    grey: dict[str, Any] = {"facecolor": (GREY, 0.4), "edgecolor": GREY, "hatch": "////"}
    for row, (label, prob) in enumerate(probs.items()):
        positive = prob >= thresholds[label]
        colour = {"facecolor": COLOURS.get(label, PALE), "edgecolor": INK, "alpha": None if positive else 0.35}
        axis.barh(row, np.nan_to_num(prob), 0.7, linewidth=0.6, **(grey if label in set(not_shown) else colour))
        words = "not predicted" if math.isnan(prob) else f"{prob:.2f}{'  positive' if positive else ''}"
        axis.text(1.015, row, words, va="center", fontsize=8.5, fontweight="bold" if positive else None)
        if label in set(truth or ()):
            axis.text(1.17, row, "● true", va="center", fontsize=8.5)
    rows, at = np.arange(len(probs)), [thresholds[label] for label in probs]
    for edge, width in (("white", 4.5), (INK, 2)):
        axis.vlines(at, rows - 0.42, rows + 0.42, color=edge, linewidth=width)
    axis.set(xlim=(0, 1), ylim=(len(probs) - 0.4, -0.6), xlabel="predicted probability")
    axis.set_yticks(rows, _daggered(probs, not_shown))
    axis.set_title(title)
    tidy(axis)
    handles: list[Any] = [Patch(facecolor=INK, label="positive"), Patch(facecolor="#bbbbbb", label="negative")]
    handles.append(Line2D([], [], color=INK, linewidth=2, marker="|", linestyle="", markersize=11, label="threshold"))
    handles += [Patch(label=f"† {NOT_SHOWN}", **grey)] if set(not_shown) & set(probs) else []
    key(figure, handles, columns=3)
    return figure


@theme()
def forest(
    estimates: Mapping[str, Estimate | float] | Mapping[str, Mapping[str, Estimate | float]] | pd.DataFrame,
    *,
    axis: Axes | None = None,
    palette: Mapping[str, str] = COLOURS,
    xlabel: str = "AUROC",
    span: tuple[float, float] | None = (0, 1),
    reference: float | None = 0.5,
    reference_name: str = "chance",
    marks: Sequence[str] = (),
    marks_name: str = "",
    not_shown: Iterable[str] = (),
    log: bool = False,
    title: str = "",
    simulated: bool = False,
    model: bool = True,
) -> Any:
    """Draw estimates as dots with their intervals, a row per name from top to bottom.

    Args:
        estimates: estimates, or numbers without an interval, by name; or by group, then by name; or a tidy frame of
            them, with `name` and perhaps `group`. An undefined one shows its reason. At most six groups share the row
            of a name, each with its colour and marker.
        axis: to draw on; None makes a figure.
        palette: colours by name, where there are no groups.
        xlabel: what is measured.
        span: of the axis; None fits it to the values.
        reference, reference_name: level and name of a broken line; None for no line.
        marks, marks_name: columns of a frame that are drawn as vertical strokes, and the strokes' name in the legend.
        log: a logarithmic axis in per cent that fits the values; no numbers at the right.
    """
    frame = (estimates if isinstance(estimates, pd.DataFrame) else tidy_estimates(estimates)).reset_index(drop=True)
    names, groups = list(frame["name"].unique()), list(frame["group"].unique()) if "group" in frame else []
    if len(groups) > len(MARKS):
        raise ValueError(f"a figure holds at most {len(MARKS)} groups; got {len(groups)}. Draw two figures.")
    rows, hollow = frame.groupby("name"), frame["name"].isin(set(not_shown))
    most, looks = int(rows.size().max()), dict(zip(groups or [""], zip(SERIES, MARKS, strict=True), strict=False))
    if axis is None:
        high = (0.14 + 0.15 * most) * len(names) + 1.4
        axis = style.figure(WIDTH, high, simulated=simulated, model=model).subplots()
    group = frame["group"] if groups else pd.Series("", frame.index)
    by_name = frame["name"].map(lambda name: palette.get(name, SERIES[0]))
    colour = (group.map(lambda name: looks[name][0]) if groups else by_name).where(~hollow, GREY)
    place = frame["name"].map(names.index) + 0.8 / most * (rows.cumcount() - (rows["name"].transform("size") - 1) / 2)
    axis.hlines(place, frame["low"], frame["high"], colors=colour.tolist(), linewidth=2.5)
    drawn = frame["value"].notna()
    seaborn.scatterplot(
        x=frame["value"][drawn], y=place[drawn], c=colour.where(~hollow, "white")[drawn].tolist(), style=group[drawn],
        style_order=list(looks), markers=[mark for _, mark in looks.values()], legend=False, zorder=3, clip_on=False,
        edgecolor=np.where(hollow, GREY, INK)[drawn], s=48, linewidth=1, ax=axis,
    )  # fmt: skip
    beside: dict[str, Any] = {"va": "center", "fontsize": 8.5, "transform": axis.get_yaxis_transform()}
    sized = "n" in frame and frame["n"].nunique() > 1
    for row, at in zip(frame.to_dict("records"), place.tolist(), strict=True):
        if not math.isfinite(row["value"]):
            axis.text(0.01, at, f"undefined: {row.get('reason') or 'no value'}", color=GREY, **beside)
        elif not log:
            estimate = Estimate(row["value"], row["low"], row["high"], row.get("n", 0), row.get("reason", ""))
            size = f", n = {estimate.n:,}" if sized and estimate.n else ""
            axis.text(1.015, at, plain(estimate, digits=2) + size, **beside)
    if reference is not None:
        style.line(axis, reference, reference_name, fontsize=8.5, linewidth=1, linestyle="--", zorder=1)
    axis.set_yticks(range(len(names)), _daggered(names, not_shown))
    axis.set(ylim=(len(names) - 0.45, -0.55), xlabel=xlabel, ylabel="")
    tidy(axis)
    if log:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(_PERCENT)
    elif span:
        axis.set_xlim(span)
    axis.set_title(title, pad=16)
    dot: dict[str, Any] = {"markeredgecolor": INK, "linewidth": 2.5}
    handles = [Line2D([], [], color=looks[name][0], marker=looks[name][1], label=name, **dot) for name in groups]
    stroke: dict[str, Any] = {"marker": "|", "color": INK, "markersize": 14, "markeredgewidth": 1.6, "zorder": 4}
    handles += [axis.plot(frame[end], place, linestyle="", label=marks_name, **stroke)[0] for end in marks][:1]
    if hollow.any():
        dot = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": GREY}
        handles.append(Line2D([], [], color=GREY, label=f"† {NOT_SHOWN}", **dot))
    figure: Any = axis.figure
    key(figure, handles)
    return figure


@theme()
def matrix(
    values: pd.DataFrame,
    words: pd.DataFrame | None = None,
    *,
    both_ways: bool = False,
    xlabel: str = "predicted",
    ylabel: str = "true",
    title: str = "",
    simulated: bool = False,
    model: bool = True,
) -> Drawing:
    """Draw shares as a matrix, such as those of a confusion matrix: each cell is shaded by its value.

    Args:
        values: in [0, 1]; NaN is grey.
        words: what stands in the cells; None writes the values in per cent.
        both_ways: cells below 0.5, the level of chance, are orange.
        xlabel, ylabel: what columns and rows are.
    """
    texts = values.map(lambda share: "" if math.isnan(share) else f"{share:.0%}") if words is None else words
    lines = 1 + int(texts.map(lambda text: text.count("\n")).to_numpy().max())
    figure = style.figure(WIDTH, (0.2 * lines + 0.2) * len(values) + 1.6, simulated=simulated, model=model)
    axis = figure.subplots()
    axis.set_facecolor(PALE)
    shades: dict[str, Any] = {"cmap": _BOTH_WAYS, "vmax": 1} if both_ways else {"cmap": _SHADES}
    seaborn.heatmap(values, vmin=0, cbar=False, linewidths=2, linecolor="white", ax=axis, **shades)
    # seaborn's own annotation leaves out the cells without a value.
    for (row, column), text in np.ndenumerate(texts.to_numpy()):
        axis.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9)
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axis.grid(False)
    names = [pretty(str(name)) for name in values.columns]
    axis.set_xticks(axis.get_xticks(), names, **(turned if len(names) > 6 else {}))
    axis.set_yticks(axis.get_yticks(), [pretty(str(name)) for name in values.index], rotation=0)
    axis.tick_params(length=0)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_title(title)
    return figure


@theme()
def scores(
    groups: Mapping[str, Sequence[float] | np.ndarray],
    threshold: float,
    *,
    label: str = COVID,
    axis: Axes | None = None,
    title: str = "",
    simulated: bool = False,
) -> Any:
    """Draw the probability of a label of every image as a dot, one row per group, with a threshold.

    Args:
        groups: probabilities by true group; at the right stands how many of them are positive.
        axis: to draw on; None makes a figure.
    """
    if axis is None:
        axis = style.figure(WIDTH, 0.8 * len(groups) + 1.1, simulated=simulated).subplots()
    for row, (name, values) in enumerate((name, np.asarray(given, float)) for name, given in groups.items()):
        # Dots of a row are spread so that each is visible; the same each time.
        heights = row + np.random.default_rng(row).uniform(-0.3, 0.3, len(values))
        seaborn.scatterplot(
            x=values, y=heights, color=COLOURS.get(name, BLUE), alpha=0.55, edgecolor=INK, linewidth=0.4, s=26,
            clip_on=False, legend=False, ax=axis,
        )  # fmt: skip
        axis.text(1.03, row, f"{int((values >= threshold).sum())} of {len(values)}\npositive", va="center", fontsize=9)
    style.line(axis, threshold, f"threshold {threshold:.2f}")
    axis.set_yticks(range(len(groups)), [pretty(name) for name in groups])
    axis.set(ylim=(len(groups) - 0.5, -0.5), xlim=(0, 1), xlabel=f"probability of {pretty(label)}", ylabel="")
    tidy(axis)
    axis.set_title(title, pad=16)
    return axis.figure


@theme()
def worth(found: Worth, *, finding: str, simulated: bool = False) -> Drawing:
    """Draw predictions at a threshold, their predictive values over the prevalence, and all measures at one prevalence.

    Args:
        found: as `metrics.Worth.measure` gives, of probabilities.
        finding: what is predicted. The title counts its share of 10,000 images.
    """
    name, images, words = pretty(finding), 10_000, ""
    hit, spared = (found.estimates[measure].value for measure in ("sensitivity", "specificity"))
    if math.isfinite(hit + spared):
        ill, hits = round(images * found.prevalence), round(images * found.prevalence * hit)
        alarms = round(images * (1 - found.prevalence) * (1 - spared))
        words = (
            f"Of {images:,} images {ill:,} have {name}: {hits:,} are positive, {ill - hits:,} are missed.\n"
            f"Of the other {images - ill:,}, {alarms:,} are positive."
        )
    figure = style.figure(WIDTH, 6.4, simulated=simulated, title=words)
    (top, left, right) = figure.subplot_mosaic("AA;BC", height_ratios=(1, 1.7), width_ratios=(1.6, 1)).values()
    groups = dict(zip((finding, f"no {finding}"), found.scores, strict=True))
    scores(groups, found.threshold, label=finding, axis=top)
    colours = {"PPV": COLOURS[COVID], "NPV": BLUE, "sensitivity": INK, "specificity": INK}
    names = {"PPV: has it if positive": "PPV", "NPV: has it not if negative": "NPV"}
    values = tidy_estimates({words: found.curve[measure] for words, measure in names.items()})
    handles = style.bands(left, values, "name", "group", list(colours.values()))
    left.axvline(found.prevalence, color=INK, linewidth=2)
    left.set(xscale="log", xlim=(0.001, 0.5), ylim=(0, 1), ylabel="predictive value")
    left.set_xticks([0.001, 0.003, 0.01, 0.03, 0.1, 0.3], ["0.1%", "0.3%", "1%", "3%", "10%", "30%"])
    left.xaxis.set_minor_locator(NullLocator())
    left.set_xlabel(f"prevalence: share of images with {name}")
    left.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8, borderpad=0)
    forest(tidy_estimates(found.estimates).assign(n=0), axis=right, palette=colours, reference=None, xlabel="")
    right.set_title(f"prevalence {found.prevalence:.1%}", fontsize=10)
    return figure


def tidy_estimates(found: Mapping[str, Any]) -> pd.DataFrame:
    """Return estimates, or numbers without an interval, by name or by group and name, as the frame of `forest`."""
    grouped = any(isinstance(one, Mapping) for one in found.values())
    rows = []
    for group, by_name in (found if grouped else {"": found}).items():
        for name, one in by_name.items():
            estimate = one if isinstance(one, Estimate) else Estimate(float(one), math.nan, math.nan, 0)
            rows.append({**({"group": group} if grouped else {}), "name": name, **vars(estimate)})
    return pd.DataFrame(rows)


def _daggered(names: Iterable[str], not_shown: Iterable[str]) -> list[str]:
    return [pretty(name) + (" †" if name in set(not_shown) else "") for name in names]
