"""Recipes and their draws in words, as HTML and as SVG; nothing is computed here.

Whatever came from a user (names of films) is escaped.
"""

import html
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrkit._drawing import Html
from cxrkit._strip import FAINT, INK, answer, covered, figure
from cxrkit.augment import OPERATIONS, Choice, OneOf, Op, Recipe, Sequential, SomeOf, Sometimes
from cxrkit.augment_trial import Greys, Trial
from cxrkit.labels import DISCLAIMER

#: Characters above a film, where four films make a row of a figure.
_TITLE = 26
_BINS, _PLOT_W, _PLOT_H = 64, 512, 100


# ---------------------------------------------------------------------------------------------------- words


def describe(recipe: Recipe) -> str:
    """Return what a part of a recipe does, without what is in it: "Add: value -20 to 20".

    Args:
        recipe: an operation or a group.
    """
    if isinstance(recipe, Op):
        shown = [f"{key} {_value(value)}" for key, value in recipe.values if not _left_out(recipe.name, key, value)]
        return f"{recipe.name}: {', '.join(shown)}" if shown else recipe.name
    count = len(recipe.children)
    if isinstance(recipe, Sequential):
        order = "in random order" if recipe.random_order else "in this order"
        return f"Sequential: all {count}, {order}" if count else "Sequential: nothing in it"
    if isinstance(recipe, SomeOf):
        order = "in random order" if recipe.random_order else "in this order"
        return f"SomeOf: {_how_many(recipe.n)} of {count}, {order}"
    if isinstance(recipe, OneOf):
        return f"OneOf: one of {count}"
    assert isinstance(recipe, Sometimes)
    return f"Sometimes: for {100 * recipe.p:.4g}% of films"


def drawn_words(steps: Sequence[Mapping[str, Any]]) -> str:
    """Return what was drawn for one film, in words: "Fliplr; Add: value -7.3".

    Args:
        steps: of one film, as `augment.record` writes them.
    """
    words = []
    for step in steps:
        name = step["operation"]
        shown = [
            f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in step.items()
            if key in _shown_keys(name) and not _left_out(name, key, value) and np.ndim(value) == 0
        ]
        words.append(f"{name}: {', '.join(shown)}" if shown else name)
    return "; ".join(words) or "nothing was done"


def title(steps: Sequence[Mapping[str, Any]], head: str = "") -> str:
    """Return what was drawn for one film as lines for the title above it.

    Args:
        steps: of one film, as `augment.record` writes them.
        head: the first line.
    """
    lines = [line for step in drawn_words(steps).split("; ") for line in textwrap.wrap(step, _TITLE)]
    return "\n".join([*([head] if head else []), *lines])


def _shown_keys(name: str) -> set[str]:
    """Return what is worth saying of a draw: parameters, and the ends that pixels are drawn between."""
    return {"low", "high", *(parameter.name for parameter in OPERATIONS[name].parameters)}


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:.5g} to {value[1]:.5g}"
    if isinstance(value, Choice):
        return "one of " + ", ".join(f"{one:.5g}" for one in value.values)
    return value if isinstance(value, str) else f"{value:.5g}"


def _left_out(name: str, key: str, value: Any) -> bool:
    known = [parameter for parameter in OPERATIONS[name].parameters if parameter.name == key]
    return bool(known) and known[0].left_out is not None and value == known[0].left_out


def _how_many(n: int | tuple[int, int | None] | None) -> str:
    if n is None:
        return "all"
    if isinstance(n, int):
        return str(n)
    return f"{n[0]} to {'all' if n[1] is None else n[1]}"


# ---------------------------------------------------------------------------------------------------- films


def strip(
    trial: Trial,
    *,
    label: str,
    names: Sequence[str],
    network: str = "",
    opacity: float = 0.5,
    not_shown: bool = False,
    simulated: bool = False,
) -> Html:
    """Draw the films of a trial, each with what the network says and where it looks.

    Args:
        trial: to draw. Draws that follow one another and are of one film share the picture of that film.
        label: what is asked of the network.
        names: (draws,), what each film is called.
        network: what the network is called.
        opacity: of the map's strongest place, in [0, 1]; 0 leaves films alone. One scale holds for all maps.
        not_shown: the label is not shown to work on real films.
        simulated: say so beside every film.
    Returns:
        HTML; every picture has a text that says the same.
    """
    column, line = trial.labels.index(label), trial.thresholds[label]
    called_before, called_after = trial.called(label)
    maps = np.concatenate([trial.before.maps[:, column], trial.after.maps[:, column]])
    scale = max(float(maps.max()), 1e-6)
    kind = "simulated film" if simulated else "film"
    groups: list[list[str]] = []
    for k, (film, altered) in enumerate(zip(trial.films, trial.altered, strict=True)):
        p, q = (float(answers.probs[k, column]) for answers in (trial.before, trial.after))
        if k == 0 or film is not trial.films[k - 1]:
            source = covered(film, trial.before.maps[k, column], scale=scale, opacity=opacity)
            words = [f"<b>{html.escape(names[k])}</b>, {kind} as it is", answer(p, called_before[k])]
            groups.append(
                [figure(source, words, f"{kind} {names[k]} as it is. {label}: {answer(p, called_before[k])}")]
            )
        changed = bool(called_before[k] != called_after[k])
        drawn, said = drawn_words(trial.drawn[k]), answer(q, called_after[k])
        words = [f"<b>draw {k}</b>, {kind}", said + (" <b>&#8646; call changed</b>" if changed else ""), ""]
        words[-1] = f'<span style="color:{FAINT}">{html.escape(drawn)}</span>'
        alt = f"draw {k} of {kind} {names[k]}: {drawn}. {label}: {said}{', call changed' if changed else ''}"
        picture = covered(altered, trial.after.maps[k, column], scale=scale, opacity=opacity)
        groups[-1].append(figure(picture, words, alt, marked=changed))
    # A film and its draw stay side by side; the many draws of one film may begin a new row anywhere.
    pairs = [f'<div style="display:flex;gap:4px">{"".join(group)}</div>' for group in groups]
    shown = "".join(groups[0] if len(groups) == 1 else pairs)
    flips = int((called_before != called_after).sum())
    after = trial.after.probs[:, column]
    head = (
        f"<b>{html.escape(network)}</b> says {html.escape(label)} where its probability is {line:.2f} or more"
        f"{' (not shown to work on real films)' if not_shown else ''}. Draws: {after.min():.2f} to {after.max():.2f}; "
        f"<b>the call changed in {flips} of {len(after)}</b>."
    )
    return Html(
        f'<div style="font:13px/1.35 sans-serif;color:{INK}"><p style="margin:4px 0 8px">{head}</p>'
        f'<div style="display:flex;flex-wrap:wrap;gap:10px">{shown}</div>'
        f'<p style="margin:8px 0 0;font-size:12px;color:{FAINT}">'
        f"{'Simulated films. ' if simulated else ''}Colour: where it sees reasons to say so, one scale for all films. "
        f"{DISCLAIMER}</p></div>"
    )


def histogram(before: Greys, after: Greys, *, simulated: bool = False) -> Html:
    """Draw how films use the grey levels before and after a recipe.

    Args:
        before, after: of the films as they are, and of the draws.
        simulated: say so.
    Returns:
        An SVG picture, with the numbers below it in words.
    """
    bars = [each.shares.reshape(_BINS, -1).sum(axis=1) for each in (before, after)]
    # A bar of pixels that were cut off at black or white would flatten all others; its height is said in words.
    top = max(1e-9, 1.05 * float(max(bar[1:-1].max() for bar in bars)))
    one, other = (_path(bar / top) for bar in bars)
    words = (
        f"Mean grey {before.mean:.0f} before, {after.mean:.0f} after. Pixels at black: {before.black:.1%} before, "
        f"{after.black:.1%} after; at white: {before.white:.1%} before, {after.white:.1%} after."
    )
    films = "simulated films" if simulated else "films"
    w, h = _PLOT_W, _PLOT_H
    text = f'font-size="12" fill="{INK}"'
    ticks = "".join(
        f'<text x="{grey * w / 255:.0f}" y="{h + 15}" text-anchor="{anchor}" {text}>{grey}</text>'
        for grey, anchor in ((0, "start"), (64, "middle"), (128, "middle"), (192, "middle"), (255, "end"))
    )
    return Html(
        f'<div style="font:13px/1.35 sans-serif;color:{INK};max-width:{w + 8}px">'
        f'<svg viewBox="-4 -22 {w + 8} {h + 60}" style="width:100%;display:block" role="img" aria-label='
        f'"Histogram of grey levels. {words}"><rect x="0" y="-16" width="16" height="10" fill="#bbb"/>'
        f'<text x="21" y="-7" {text}>{films} as they are</text>'
        f'<line x1="190" x2="206" y1="-11" y2="-11" stroke="#2a6fb0" stroke-width="2"/>'
        f'<text x="211" y="-7" {text}>draws</text>'
        f'<path d="{one} L{w},{h} L0,{h} Z" fill="#bbb"/>'
        f'<path d="{other}" fill="none" stroke="#2a6fb0" stroke-width="2"/>'
        f'<line x1="0" x2="{w}" y1="{h}" y2="{h}" stroke="{INK}"/>{ticks}'
        f'<text x="{w / 2}" y="{h + 32}" text-anchor="middle" {text}>grey level</text></svg>'
        f'<p style="margin:0;font-size:12px">{words}</p></div>'
    )


def _path(heights: np.ndarray) -> str:
    edges = np.linspace(0, _PLOT_W, len(heights) + 1)
    tops = _PLOT_H * (1 - np.minimum(heights, 1))
    corners = [
        f"{x:.0f},{top:.1f}" for (x0, x1), top in zip(itertools.pairwise(edges), tops, strict=True) for x in (x0, x1)
    ]
    return "M" + " L".join(corners)
