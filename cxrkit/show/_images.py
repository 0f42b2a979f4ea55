"""Images, alone or under a class activation map."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Patch

from cxrkit import film
from cxrkit.labels import COLOURS
from cxrkit.show import _style as style
from cxrkit.show._rendered import pretty
from cxrkit.show._style import HEAT, PALE, WIDTH, Box, Drawing, bare, key, outline, picture, theme

if TYPE_CHECKING:
    from cxrkit.explain import BoxedFilm

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
    Raises:
        ValueError: no image, or another number of titles than of images.
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

    Only evidence for the label is drawn: values under 0 are clear.

    Args:
        pixels: (H, W), float in [0, 1] or uint8, bones bright.
        cam: (h, w), class activation map of one label, row 0 at the top, any scale.
        label: of the map.
        opacity: of the strongest place, in [0, 1].
        scale: value of `cam` drawn strongest; None takes the map's largest value. Give one to compare maps.
        boxes: for each finding its boxes (x, y, width, height) in pixels from the top left.
        title: above the image alone.
    Raises:
        ValueError: `opacity` outside [0, 1], or `cam` not of two dimensions.
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
    Raises:
        ValueError: no image, or not as many findings, maps or captions as images.
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
        panels = {pretty(finding): None, **{method: found[number] for method, found in maps.items()}}
        names = list(panels) if captions is None else [*list(panels)[:-1], captions[number]]
        for column, (name, heat) in enumerate(zip(names, panels.values(), strict=True), place * wide):
            axis = figure.add_subplot(rows, columns, row * columns + column + 1)
            picture(axis, image.pixels, name, heat, opacity)
            outline(axis, image.boxes_px().get(finding, ()), _TRUTH)
    if any(image.boxes for image in films):
        key(figure, [Patch(facecolor="none", edgecolor=_TRUTH, linewidth=2, label="truth")])
    return figure
