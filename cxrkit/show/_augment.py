"""Recipes and their draws in words, as HTML and as SVG; nothing is computed here.

Whatever came from a user (names of films) is escaped.
"""

import functools
import html
import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from cxrkit import words
from cxrkit.augment import OPERATIONS, Choice, OneOf, Op, Recipe, Sequential, SomeOf, Sometimes
from cxrkit.film import heat, overlay
from cxrkit.show._rendered import Html
from cxrkit.show._strip import FAINT, INK, answer, breaking, figure, foot, kind, pair, rich, side_by_side
from cxrkit.widgets._trial import Greys, Trial

#: Characters above a film, where four films make a row of a figure.
_TITLE = 26
#: Narrowest that a film is shown, pixels of the page: two beside one another on a telephone, nine on a screen.
_LEAST_PX = 130
_BINS, _PLOT_W, _PLOT_H = 64, 512, 100
#: Seen on white and on black (3:1 and more on both), and told apart by shape.
_BEFORE, _AFTER = "#8c8c8c", "#2a6fb0"


# ---------------------------------------------------------------------------------------------------- words


def describe(recipe: Recipe, language: str = "en") -> str:
    """Return what a part of a recipe does, without what is in it: "Add: value -20 to 20".

    Args:
        recipe: an operation or a group.
        language: one of `words.LANGUAGES`; names of operations and parameters are code, and the same in each.
    """
    say = functools.partial(words.say, language)
    if isinstance(recipe, Op):
        shown = [
            f"{key} {_value(value, language)}" for key, value in recipe.values if not _left_out(recipe.name, key, value)
        ]
        return _with_values(recipe.name, shown, language)
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
    """Return what was drawn for one image, in words: "Fliplr; Add: value -7.3".

    Args:
        drawn: as `augment.draw` gives it.
        language: one of `words.LANGUAGES`.
    """
    said = []
    for op in drawn.children:
        assert isinstance(op, Op)
        values = {} if op.name == "Fliplr" else dict(op.values)
        shown = [
            f"{key} {_value(value, language, digits=3)}"
            for key, value in values.items()
            if key != "seed" and not _left_out(op.name, key, value)
        ]
        said.append(_with_values(op.name, shown, language))
    return words.say(language, "panel.and").join(said) or words.say(language, "lab.drawn.nothing")


def title(drawn: Recipe, head: str = "") -> str:
    """Return what was drawn for one image as lines for the title above it.

    Args:
        drawn: as `augment.draw` gives it.
        head: the first line.
    """
    lines = [line for step in drawn_words(drawn).split("; ") for line in textwrap.wrap(step, _TITLE)]
    return "\n".join([*([head] if head else []), *lines])


def _with_values(name: str, values: Sequence[str], language: str) -> str:
    return words.say(language, "panel.named", name=name, values=", ".join(values)) if values else name


def _value(value: Any, language: str, digits: int = 5) -> str:
    def number(one: float) -> str:
        return f"{one:.{digits}g}"

    if isinstance(value, tuple):
        return words.say(language, "lab.part.range", low=number(value[0]), high=number(value[1]))
    if isinstance(value, Choice):
        return words.say(language, "lab.part.choice", values=", ".join(map(number, value.values)))
    return value if isinstance(value, str) else number(value)


def _left_out(name: str, key: str, value: Any) -> bool:
    left_out = OPERATIONS[name][key].left_out
    return left_out is not None and value == left_out


def _how_many(n: int | tuple[int, int | None] | None, language: str) -> str:
    every = words.say(language, "lab.part.all")
    if n is None:
        return every
    if isinstance(n, int):
        return str(n)
    return words.say(language, "lab.part.range", low=n[0], high=every if n[1] is None else n[1])


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
    language: str = "en",
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
        language: one of `words.LANGUAGES`.
    Returns:
        HTML; every picture has a text that says the same.
    """
    say = functools.partial(words.say, language)
    column, line = trial.labels.index(label), trial.thresholds[label]
    called_before, called_after = trial.called(label)
    maps = np.concatenate([trial.before.maps[:, column], trial.after.maps[:, column]])
    scale = max(float(maps.max()), 1e-6)
    film_kind, called = kind(simulated, language), words.label(language, label)
    groups: list[list[str]] = []
    for k, (film, altered) in enumerate(zip(trial.films, trial.altered, strict=True)):
        p, q = (float(answers.probs[k, column]) for answers in (trial.before, trial.after))
        about = {"kind": film_kind, "name": names[k], "label": called}
        if k == 0 or film is not trial.films[k - 1]:
            source = overlay(film, heat(trial.before.maps[k, column], film.shape, scale=scale), opacity=opacity)
            said = answer(p, called_before[k], language)
            name = f"<b>{html.escape(names[k])}</b>"
            lines = [rich(language, "lab.strip.as_it_is", name=name, kind=film_kind), said]
            groups.append([figure(source, lines, say("lab.strip.as_it_is.alt", answer=said, **about))])
        changed = bool(called_before[k] != called_after[k])
        drawn, said = drawn_words(trial.drawn[k], language), answer(q, called_after[k], language)
        turned = say("lab.strip.changed")
        lines = [
            rich(language, "lab.strip.draw", draw=f"<b>{rich(language, 'lab.strip.k', k=k)}</b>", kind=film_kind),
            said + (f" <b>&#8646; {turned}</b>" if changed else ""),
            f'<span style="color:{FAINT}">{breaking(drawn)}</span>',
        ]
        alt = say("lab.strip.draw.alt", k=k, drawn=drawn, answer=f"{said}, {turned}" if changed else said, **about)
        picture = overlay(altered, heat(trial.after.maps[k, column], altered.shape, scale=scale), opacity=opacity)
        groups[-1].append(figure(picture, lines, alt, marked=changed))
    # A film and its draw stay side by side; the many draws of one film may begin a new row anywhere.
    shown = groups[0] if len(groups) == 1 else [pair(*group) for group in groups]
    after = trial.after.probs[:, column]
    head = rich(
        language,
        "lab.strip.head",
        network=f"<b>{html.escape(network)}</b>",
        label=html.escape(called),
        line=f"{line:.2f}",
        not_shown=rich(language, "panel.not_shown") if not_shown else "",
        low=f"{after.min():.2f}",
        high=f"{after.max():.2f}",
        flips=f"<b>{html.escape(changed_calls(trial, label, language))}</b>",
    )
    return Html(
        f'<div lang="{language}" style="font:13px/1.35 sans-serif;color:{INK}">'
        f'<p style="margin:4px 0 8px">{head}</p>{side_by_side(shown, least_px=_LEAST_PX)}'
        f"{foot(language, 'lab.strip.colour', simulated=simulated)}</div>"
    )


def changed_calls(trial: Trial, label: str, language: str = "en") -> str:
    """Say in how many draws the call changed: "the call changed in 2 of 8".

    Args:
        trial: of a recipe.
        label: what is asked of the network.
        language: one of `words.LANGUAGES`.
    """
    return words.say(language, "lab.strip.flips", flips=trial.flips(label), count=len(trial.altered))


def histogram(before: Greys, after: Greys, *, simulated: bool = False, language: str = "en") -> Html:
    """Draw how films use the grey levels before and after a recipe.

    Args:
        before, after: of the films as they are, and of the draws.
        simulated: say so.
        language: one of `words.LANGUAGES`.
    Returns:
        An SVG picture, with the numbers below it in words.
    """
    bars = [each.shares.reshape(_BINS, -1).sum(axis=1) for each in (before, after)]
    # A bar of pixels that were cut off at black or white would flatten all others; its height is said in words.
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
    as_they_are = rich(language, "lab.greys.before", kind=kind(simulated, language))
    return Html(
        f'<div lang="{language}" style="font:13px/1.35 sans-serif;color:{INK};max-width:{w + 8}px">'
        f'<svg viewBox="-4 -22 {w + 8} {h + 60}" style="width:100%;display:block" role="img" aria-label='
        f'"{rich(language, "lab.greys.alt", words=said)}"><rect x="0" y="-16" width="16" height="10" fill="{_BEFORE}"/>'
        f'<text x="21" y="-7" {text}>{as_they_are}</text>'
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
