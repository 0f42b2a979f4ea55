"""Recipes, draws and trials of a recipe, as words, HTML and SVG.

Whatever comes from a user (names of images) is escaped.
"""

import functools
import html
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import words
from cxrkit.augment import OPERATIONS, Choice, OneOf, Op, Recipe, Sequential, SomeOf, Sometimes
from cxrkit.film import heat, overlay
from cxrkit.show._rendered import Html
from cxrkit.show._strip import FAINT, INK, answer, breaking, figure, foot, kind, pair, rich, side_by_side

if TYPE_CHECKING:
    from cxrkit.widgets._trial import Greys, Trial

#: Characters a line above an image, where four images make a row of a figure.
_TITLE = 26
#: Least width of an image, pixels of the page: two beside one another on a telephone, nine on a screen.
_LEAST_PX = 130
_BINS, _PLOT_W, _PLOT_H = 64, 512, 100
#: Contrast of 3:1 or more on white and on black; their shapes differ too.
_BEFORE, _AFTER = "#8c8c8c", "#2a6fb0"


# ---------------------------------------------------------------------------------------------------- words


def describe(recipe: Recipe, language: str = "en") -> str:
    """Return what a part of a recipe does, without its children: "Add: value -20 to 20".

    Args:
        recipe: an operation or a group.
        language: one of `words.LANGUAGES`; names of operations and parameters are code, the same in each language.
    """
    say = functools.partial(words.say, language)
    if isinstance(recipe, Op):
        return _operation(recipe.name, dict(recipe.values), language)
    count = len(recipe.children)
    if isinstance(recipe, Sequential | SomeOf):
        order = say("lab.part.random" if recipe.random_order else "lab.part.in_order")
        if isinstance(recipe, SomeOf):
            return say("lab.part.SomeOf", n=_how_many(recipe.n, language), count=count, order=order)
        return say("lab.part.Sequential", count=count, order=order) if count else say("lab.part.empty")
    if isinstance(recipe, OneOf):
        return say("lab.part.OneOf", count=count)
    assert isinstance(recipe, Sometimes)
    return say("lab.part.Sometimes", percent=f"{100 * recipe.p:.4g}")


def drawn_words(drawn: Recipe, language: str = "en") -> str:
    """Return the operations of a draw, in words: "Fliplr; Add: value -7.3".

    Args:
        drawn: as `augment.draw` gives it.
        language: one of `words.LANGUAGES`.
    """
    said = []
    for op in drawn.children:
        assert isinstance(op, Op)
        # A drawn mirroring has a probability of 1; a seed says nothing to a reader.
        values = {} if op.name == "Fliplr" else {key: value for key, value in op.values if key != "seed"}
        said.append(_operation(op.name, values, language, digits=3))
    return words.say(language, "panel.and").join(said) or words.say(language, "lab.drawn.nothing")


def title(drawn: Recipe, head: str = "") -> str:
    """Return a draw as lines for the title above an image.

    Args:
        drawn: as `augment.draw` gives it.
        head: the first line.
    """
    lines = [line for step in drawn_words(drawn).split("; ") for line in textwrap.wrap(step, _TITLE)]
    return "\n".join([*([head] if head else []), *lines])


def _operation(name: str, values: Mapping[str, Any], language: str, digits: int = 5) -> str:
    shown = [
        f"{key} {_value(value, language, digits)}"
        for key, value in values.items()
        if (left_out := OPERATIONS[name][key].left_out) is None or value != left_out
    ]
    return words.say(language, "panel.named", name=name, values=", ".join(shown)) if shown else name


def _value(value: Any, language: str, digits: int) -> str:
    if isinstance(value, tuple):
        low, high = (f"{one:.{digits}g}" for one in value)
        return words.say(language, "lab.part.range", low=low, high=high)
    if isinstance(value, Choice):
        return words.say(language, "lab.part.choice", values=", ".join(f"{one:.{digits}g}" for one in value.values))
    return value if isinstance(value, str) else f"{value:.{digits}g}"


def _how_many(n: int | tuple[int, int | None] | None, language: str) -> str:
    every = words.say(language, "lab.part.all")
    if n is None:
        return every
    if isinstance(n, int):
        return str(n)
    return words.say(language, "lab.part.range", low=n[0], high=every if n[1] is None else n[1])


# --------------------------------------------------------------------------------------------------- images


def strip(
    trial: "Trial",
    *,
    label: str,
    names: Sequence[str],
    network: str,
    opacity: float,
    not_shown: bool,
    simulated: bool,
    language: str,
) -> Html:
    """Draw the images of a trial, each with its probability and its class activation map.

    Args:
        trial: to draw. Draws that follow one another and are of one image share the picture of that image.
        label: the label to show.
        names: (draws,), name of each image.
        network: its name.
        opacity: of the map's strongest place, in [0, 1]; 0 shows images alone. All maps have one scale.
        not_shown: the label is not shown to work on real images.
        simulated: say so beside every image.
        language: one of `words.LANGUAGES`.
    Returns:
        HTML; every picture has a text with the same content.
    """
    say = functools.partial(words.say, language)
    column = trial.labels.index(label)
    positive_before, positive_after = trial.positive(label)
    scale = max(float(trial.before.maps[:, column].max()), float(trial.after.maps[:, column].max()), 1e-6)
    about = {"kind": kind(simulated, language), "label": words.label(language, label)}

    def picture(pixels: np.ndarray, cam: np.ndarray) -> np.ndarray:
        return overlay(pixels, heat(cam, pixels.shape, scale=scale), opacity=opacity)

    groups: list[list[str]] = []
    for k, (film, altered, name) in enumerate(zip(trial.films, trial.altered, names, strict=True)):
        about["name"] = name
        if k == 0 or film is not trial.films[k - 1]:
            said = answer(float(trial.before.probs[k, column]), positive_before[k], language)
            bold = f"<b>{html.escape(name)}</b>"
            lines = [rich(language, "lab.strip.as_it_is", name=bold, kind=about["kind"]), said]
            alt = say("lab.strip.as_it_is.alt", answer=said, **about)
            groups.append([figure(picture(film, trial.before.maps[k, column]), lines, alt)])
        changed = bool(positive_before[k] != positive_after[k])
        drawn = drawn_words(trial.drawn[k], language)
        said = answer(float(trial.after.probs[k, column]), positive_after[k], language)
        turned = say("lab.strip.changed")
        lines = [
            rich(language, "lab.strip.draw", draw=f"<b>{rich(language, 'lab.strip.k', k=k)}</b>", kind=about["kind"]),
            said + (f" <b>&#8646; {turned}</b>" if changed else ""),
            f'<span style="color:{FAINT}">{breaking(drawn)}</span>',
        ]
        alt = say("lab.strip.draw.alt", k=k, drawn=drawn, answer=f"{said}, {turned}" if changed else said, **about)
        groups[-1].append(figure(picture(altered, trial.after.maps[k, column]), lines, alt, marked=changed))
    # An image and its draw stay side by side; the many draws of one image may begin a new row anywhere.
    shown = groups[0] if len(groups) == 1 else [pair(*group) for group in groups]
    after = trial.after.probs[:, column]
    head = rich(
        language,
        "lab.strip.head",
        network=f"<b>{html.escape(network)}</b>",
        label=html.escape(about["label"]),
        line=f"{trial.thresholds[label]:.2f}",
        not_shown=rich(language, "panel.not_shown") if not_shown else "",
        low=f"{after.min():.2f}",
        high=f"{after.max():.2f}",
        flips=f"<b>{html.escape(changed_predictions(trial, label, language))}</b>",
    )
    return Html(
        f'<div lang="{language}" style="font:13px/1.35 sans-serif;color:{INK}">'
        f'<p style="margin:4px 0 8px">{head}</p>{side_by_side(shown, least_px=_LEAST_PX)}'
        f"{foot(language, 'lab.strip.colour', simulated=simulated)}</div>"
    )


def changed_predictions(trial: "Trial", label: str, language: str) -> str:
    """Return in how many draws the prediction changed, in words: "the prediction changed in 2 of 8"."""
    before, after = trial.positive(label)
    return words.say(language, "lab.strip.flips", flips=int((before != after).sum()), count=len(after))


def histogram(before: "Greys", after: "Greys", *, simulated: bool, language: str) -> Html:
    """Draw the grey levels of images before and after a recipe.

    Args:
        before, after: of the images without augmentation, and of the draws.
        simulated: say so.
        language: one of `words.LANGUAGES`.
    Returns:
        An SVG picture, with the numbers below it in words.
    """
    bars = [each.shares.reshape(_BINS, -1).sum(axis=1) for each in (before, after)]
    # A bar of pixels clipped at black or white would flatten all others; its height stands in the words.
    top = max(1e-9, 1.05 * float(max(bar[1:-1].max() for bar in bars)))
    one, other = (_path(bar / top) for bar in bars)
    said = words.say(
        language,
        "lab.greys",
        before=f"{before.mean:.0f}",
        after=f"{after.mean:.0f}",
        black_before=f"{before.black:.1%}",
        black_after=f"{after.black:.1%}",
        white_before=f"{before.white:.1%}",
        white_after=f"{after.white:.1%}",
    )
    w, h = _PLOT_W, _PLOT_H
    text = f'font-size="14" fill="{INK}"'
    ticks = "".join(
        f'<text x="{grey * w / 255:.0f}" y="{h + 15}" text-anchor="{anchor}" {text}>{grey}</text>'
        for grey, anchor in ((0, "start"), (64, "middle"), (128, "middle"), (192, "middle"), (255, "end"))
    )
    return Html(
        f'<div lang="{language}" style="font:13px/1.35 sans-serif;color:{INK};max-width:{w + 8}px">'
        f'<svg viewBox="-4 -22 {w + 8} {h + 60}" style="width:100%;display:block" role="img" aria-label='
        f'"{rich(language, "lab.greys.alt", words=said)}"><rect x="0" y="-16" width="16" height="10" fill="{_BEFORE}"/>'
        f'<text x="21" y="-7" {text}>{rich(language, "lab.greys.before", kind=kind(simulated, language))}</text>'
        f'<line x1="190" x2="206" y1="-11" y2="-11" stroke="{_AFTER}" stroke-width="2"/>'
        f'<text x="211" y="-7" {text}>{rich(language, "lab.greys.after")}</text>'
        f'<path d="{one} L{w},{h} L0,{h} Z" fill="{_BEFORE}"/>'
        f'<path d="{other}" fill="none" stroke="{_AFTER}" stroke-width="2"/>'
        f'<line x1="0" x2="{w}" y1="{h}" y2="{h}" stroke="{INK}"/>{ticks}<text x="{w / 2}" y="{h + 33}" '
        f'text-anchor="middle" {text}>{rich(language, "lab.greys.axis")}</text></svg>'
        f'<p style="margin:0;font-size:12px">{html.escape(said)}</p></div>'
    )


def _path(heights: np.ndarray) -> str:
    edges = np.linspace(0, _PLOT_W, len(heights) + 1)
    tops = _PLOT_H * (1 - np.minimum(heights, 1))
    corners = [
        f"{x:.0f},{top:.1f}" for (x0, x1), top in zip(itertools.pairwise(edges), tops, strict=True) for x in (x0, x1)
    ]
    return "M" + " L".join(corners)
