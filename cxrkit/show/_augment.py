"""Recipes, draws and trials of a recipe, as words, HTML and SVG.

Names of images come from users and are escaped. Languages are those of `words.LANGUAGES`; names of operations and
parameters are code, the same in each language.
"""

import functools
import html
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrkit import words
from cxrkit.augment import OPERATIONS, Choice, Op, Recipe, SomeOf, Sometimes
from cxrkit.film import heat, overlay
from cxrkit.show._rendered import Html
from cxrkit.show._strips import FONT, INK, answer, faint, figure, kind, page, rich

if TYPE_CHECKING:
    from cxrkit.widgets._lab import Trial

#: Characters a line above an image, where four images make a row of a figure.
_TITLE = 26
_BINS, _PLOT_H = 64, 50
#: Contrast of 3:1 or more on white and on black; their shapes differ too.
_BEFORE, _AFTER = "#8c8c8c", "#2a6fb0"


def describe(recipe: Recipe, language: str = "en") -> str:
    """Return what an operation or a group does, without its children: "Add: value -20 to 20"."""
    if isinstance(recipe, Op):
        return _operation(recipe.name, dict(recipe.values), language)
    say = functools.partial(words.say, language)
    about: dict[str, Any] = {"count": len(recipe.children)}
    about["order"] = say("lab.part.random" if recipe.random_order else "lab.part.in_order")
    if isinstance(recipe, SomeOf):
        ends = recipe.n if isinstance(recipe.n, tuple) else (recipe.n, recipe.n)
        low, high = (say("lab.part.all") if end is None else str(end) for end in ends)
        about["n"] = _range(low, high, language)
    if isinstance(recipe, Sometimes):
        about["percent"] = 100 * recipe.p
    return say(f"lab.part.{type(recipe).__name__}" if recipe.children else "lab.part.empty", **about)


def drawn_words(drawn: Recipe, language: str = "en") -> str:
    """Return the operations of a draw of `augment.draw` in words: "Fliplr; Add: value -7.3"."""
    said = []
    for op in drawn.children:
        assert isinstance(op, Op)
        # A drawn mirroring has a probability of 1; a seed says nothing to a reader.
        values = {} if op.name == "Fliplr" else {key: value for key, value in op.values if key != "seed"}
        said.append(_operation(op.name, values, language, digits=3))
    return words.say(language, "panel.and").join(said) or words.say(language, "lab.drawn.nothing")


def title(drawn: Recipe, head: str = "") -> str:
    """Return a draw of `augment.draw` as lines for the title above an image, below a first line."""
    lines = [line for step in drawn_words(drawn).split("; ") for line in textwrap.wrap(step, _TITLE)]
    return "\n".join([head, *lines] if head else lines)


def _operation(name: str, values: Mapping[str, Any], language: str, digits: int = 5) -> str:
    shown = ", ".join(
        f"{key} {_value(value, language, digits)}"
        for key, value in values.items()
        if (left_out := OPERATIONS[name][key].left_out) is None or value != left_out
    )
    return words.say(language, "panel.named", name=name, values=shown) if shown else name


def _value(value: Any, language: str, digits: int) -> str:
    if isinstance(value, Choice):
        return words.say(language, "lab.part.choice", values=", ".join(f"{one:.{digits}g}" for one in value.values))
    if isinstance(value, tuple):
        low, high = (f"{one:.{digits}g}" for one in value)
        return _range(low, high, language)
    return value if isinstance(value, str) else f"{value:.{digits}g}"


def _range(low: str, high: str, language: str) -> str:
    return low if low == high else words.say(language, "lab.part.range", low=low, high=high)


def strip(trial: "Trial", label: str, *, opacity: float, simulated: bool, language: str) -> Html:
    """Draw the images of a trial, each with its probability of a label and its class activation map, on one scale.

    Draws that follow one another and are of one image share its picture. An opacity of 0 shows images alone.
    """
    say, network = functools.partial(words.say, language), trial.predictor
    column = network.labels.index(label)
    (before, maps_before), (after, maps_after) = (
        (each.probs[:, column], each.maps[:, column]) for each in (trial.before, trial.after)
    )
    scale = max(float(maps_before.max()), float(maps_after.max()), 1e-6)
    about = {"kind": kind(simulated, language), "label": words.label(language, label)}

    def shown(pixels: np.ndarray, cam: np.ndarray, lines: list[str], alt: str, *, marked: bool = False) -> str:
        return figure(overlay(pixels, heat(cam, pixels.shape, scale=scale), opacity=opacity), lines, alt, marked=marked)

    groups: list[list[str]] = []
    for k, (name, was, now) in enumerate(zip(trial.names, *trial.positive(label), strict=True)):
        about["name"] = name
        if k == 0 or trial.films[k] is not trial.films[k - 1]:
            said = answer(before[k], was, language)
            first = rich(language, "lab.strip.as_it_is", name=f"<b>{html.escape(name)}</b>", kind=about["kind"])
            alt = say("lab.strip.as_it_is.alt", answer=said, **about)
            groups.append([shown(trial.films[k], maps_before[k], [first, said], alt)])
        drawn, said = drawn_words(trial.drawn[k], language), answer(after[k], now, language)
        changed = say("lab.strip.changed") if was != now else ""
        draw = f"<b>{rich(language, 'lab.strip.k', k=k)}</b>"
        lines = [rich(language, "lab.strip.draw", draw=draw, kind=about["kind"])]
        lines += [f"{said} <b>&#8646; {changed}</b>" if changed else said, faint(drawn)]
        alt = say("lab.strip.draw.alt", k=k, drawn=drawn, answer=f"{said}, {changed}" if changed else said, **about)
        groups[-1].append(shown(trial.altered[k], maps_after[k], lines, alt, marked=bool(changed)))
    # An image and its draw stay side by side; the many draws of one image may begin a new row anywhere.
    side = '<div style="grid-column:span 2;display:grid;grid-template-columns:1fr 1fr;gap:4px">'
    figures = groups[0] if len(groups) == 1 else [f"{side}{''.join(group)}</div>" for group in groups]
    bold = {"network": network.name, "flips": changed_predictions(trial, label, language)}
    warning = rich(language, "panel.not_shown") if label in network.not_shown else ""
    head = rich(
        language, "lab.strip.head", label=html.escape(about["label"]), line=network.thresholds[label],
        not_shown=warning, low=after.min(), high=after.max(),
        **{key: f"<b>{html.escape(text)}</b>" for key, text in bold.items()},
    )  # fmt: skip
    return page("lab", head, figures, simulated=simulated, language=language)


def changed_predictions(trial: "Trial", label: str, language: str) -> str:
    """Return in how many draws the prediction changed, in words: "the prediction changed in 2 of 8"."""
    before, after = trial.positive(label)
    return words.say(language, "lab.strip.flips", flips=int((before != after).sum()), count=len(after))


def histogram(trial: "Trial", *, simulated: bool, language: str) -> Html:
    """Draw the grey levels of the images of a trial before and after the recipe, with the numbers below in words."""
    before, after = trial.greys()
    numbers: dict[str, Any] = {}
    for name, shares in {"before": before, "after": after}.items():
        numbers |= {name: shares @ np.arange(256), f"black_{name}": shares[0], f"white_{name}": shares[255]}
    said = words.say(language, "lab.greys", **numbers)
    alt = rich(language, "lab.greys.alt", words=html.escape(said))
    bars = np.stack([before, after]).reshape(2, _BINS, -1).sum(axis=2)
    # A bar of pixels clipped at black or white would flatten all others; its height stands in the words.
    heights = np.minimum(bars / max(1e-9, 1.05 * bars[:, 1:-1].max()), 1)
    one, other = (
        " ".join(f"{x},{_PLOT_H * (1 - height):.1f}" for k, height in enumerate(each) for x in (k, k + 1))
        for each in heights
    )
    original = rich(language, "lab.greys.before", kind=kind(simulated, language))
    ticks = "".join(f"<span>{grey}</span>" for grey in (0, 64, 128, 192, 255))
    return Html(
        f'<div lang="{language}" style="{FONT};color:{INK};max-width:520px">'
        f'<span style="color:{_BEFORE}" aria-hidden="true">&#9632;</span> {original} &emsp;'
        f'<span style="color:{_AFTER}" aria-hidden="true">&#9473;</span> {rich(language, "lab.greys.after")}'
        f'<svg viewBox="0 0 {_BINS} {_PLOT_H}" preserveAspectRatio="none" role="img" style="width:100%;height:100px;'
        f'display:block;border-bottom:1px solid" aria-label="{alt}">'
        f'<polygon points="{one} {_BINS},{_PLOT_H} 0,{_PLOT_H}" fill="{_BEFORE}"/><polyline points="{other}" '
        f'fill="none" stroke="{_AFTER}" stroke-width="2" vector-effect="non-scaling-stroke"/></svg>'
        f'<div style="display:flex;justify-content:space-between" aria-hidden="true">{ticks}</div>'
        f'<div style="text-align:center">{rich(language, "lab.greys.axis")}</div>'
        f'<p style="margin:0;font-size:12px">{html.escape(said)}</p></div>'
    )
