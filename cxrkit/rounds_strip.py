"""One film's rounds as HTML: pictures in order, the votes, and where it could stop; nothing is computed here.

Whatever came from a user (names of films and rounds) is escaped.
"""

import html
from collections.abc import Sequence

import numpy as np

from cxrkit import augment
from cxrkit._drawing import Html
from cxrkit._strip import EDGE, FAINT, INK, answer, covered, figure
from cxrkit.labels import DISCLAIMER
from cxrkit.rounds import describe
from cxrkit.rounds_trial import Look

#: Width at which a round is shown, pixels of the page: eleven are more than the lab's draws.
SHOWN_PX = 132
_PLOT_W, _PLOT_H, _LEFT = 620, 110, 34
_BAND = "#4c78a8"


def strip(
    look: Look,
    *,
    film: str,
    network: str,
    opacity: float = 0.5,
    scale: float | None = None,
    marked: Sequence[str] = (),
    title: str = "",
    not_shown: bool = False,
    simulated: bool = False,
) -> Html:
    """Draw a film's rounds in order: each picture with what the network says and where it looks, and the votes.

    Args:
        look: what was seen.
        film, network: what they are called.
        opacity: of the map's strongest place, in [0, 1]; 0 leaves films alone.
        scale: value of a map drawn strongest, above 0; None: the largest of these rounds. One scale holds for all.
        marked: rounds whose picture is another than in the order that this one is held against.
        title: above it.
        not_shown: the label is not shown to work on real films.
        simulated: say so beside every film.
    Returns:
        HTML; every picture has a text that says the same.
    """
    [label] = look.result.labels
    strongest = max(float(look.maps.max()), 1e-6) if scale is None else scale
    kind = "simulated film" if simulated else "film"
    votes = np.cumsum(look.calls)
    count = len(look.pictures)
    figures = []
    for k, (name, picture) in enumerate(look.pictures.items()):
        recipe = done(look.recipes[name])
        said = answer(look.probs[k], look.calls[k])
        last, after = k + 1 == look.stops and look.stops < count, k >= look.stops
        notes = [f"votes {votes[k]} of {k + 1}"]
        if name in marked:
            notes.append("another picture than above")
        if last:
            notes.append("could stop here")
        if after:
            notes.append("can change nothing")
        words = [
            f"<b>{k + 1}. {html.escape(name)}</b>",
            said,
            *(f"<b>{note}</b>" if note == "could stop here" else note for note in notes),
        ]
        if recipe != name:
            # With a place to break, since a name is as long as a picture is wide.
            breaking = html.escape(recipe).replace("(", "<wbr>(")
            words.insert(1, f'<span style="color:{FAINT}">{breaking}</span>')
        shown = covered(picture, look.maps[k], scale=strongest, opacity=opacity)
        alt = f"round {k + 1}, {name}, of {kind} {film}: {recipe}. {label}: {said}. {'; '.join(notes)}."
        figures.append(figure(shown, words, alt, marked=name in marked, width=SHOWN_PX, dim=after))
        if last:
            figures.append(f'<div aria-hidden="true" style="align-self:stretch;border-left:3px dashed {EDGE}"></div>')
    heading = f"<b>{html.escape(title)}</b><br>" if title else ""
    shown_to_work = " (not shown to work on real films)" if not_shown else ""
    return Html(
        f'<div style="font:13px/1.35 sans-serif;color:{INK}"><p style="margin:4px 0 8px">{heading}'
        f"<b>{html.escape(network)}</b> on {kind} <b>{html.escape(film)}</b>: "
        f"{html.escape(verdict(look))}{shown_to_work}</p>"
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(figures)}</div>{_votes(look)}'
        f'<p style="margin:8px 0 0;font-size:12px;color:{FAINT}">'
        f"{'Simulated films. ' if simulated else ''}Colour: where it sees reasons to say so, one scale for all rounds. "
        f"{DISCLAIMER}</p></div>"
    )


def verdict(look: Look) -> str:
    """Say what the rounds come to and when they could stop, in plain words."""
    [(label, threshold)] = look.result.thresholds.items()
    prob, called = look.answer
    count = len(look.probs)
    rule = look.result.combine.name
    all_of = "1 round says" if count == 1 else f"{count} {look.result.mode} rounds, combined by {rule}, say"
    share = f"share of rounds {answer(prob, called)}" if rule == "majority" else answer(prob, called)
    words = f"{all_of} {label}: {share}, from {threshold:.2f} on; {int(look.calls.sum())} of {count} rounds call it."
    if count == 1:
        return words
    if look.stops == count:
        return f"{words} No round can be left out: only the last decides."
    return (
        f"{words} It could stop after round {look.stops}: whatever the other {count - look.stops} answer, it "
        f"{'is' if called else 'is not'} called."
    )


def done(recipe: augment.Recipe) -> str:
    """Say what a round does to a film, in a few words.

    Args:
        recipe: of the round.
    """
    return "nothing is done" if recipe == augment.named("none") else describe(recipe)


def difference(one: Look, other: Look, swapped: tuple[str, str], changed: Sequence[str]) -> str:
    """Say what swapping two rounds changes, in plain words.

    Args:
        one, other: the rounds as they were and swapped.
        swapped: the two rounds.
        changed: rounds whose picture is another.
    """
    first, second = swapped
    if first == second:
        return "Choose two rounds to swap."
    head = f"With {first} and {second} swapped, "
    count = len(other.pictures)
    if changed:
        why = (
            "each recipe is done to the picture of the round before"
            if one.result.mode == "cumulative"
            else "what is drawn hangs on a round's place"
        )
        head += f"{len(changed)} of {count} pictures are others, since {why}: {', '.join(changed)}. "
    elif one.result.mode == "cumulative":
        head += "all pictures are the same: what was swapped comes to the same. "
    else:
        head += "all pictures are the same: each recipe is done to the original, whichever comes first. "
    (prob, called), (prob_other, called_other) = one.answer, other.answer
    if called != called_other:
        head += f"The call changes: {answer(prob, called)} before, {answer(prob_other, called_other)} now. "
    elif prob != prob_other:
        head += f"The call stays: {prob:.3f} before, {prob_other:.3f} now, {'' if called else 'not '}called. "
    else:
        head += f"The answer stays, {answer(prob, called)}. "
    before, now = (
        "only the last round decides" if look.stops == count else f"it could stop after round {look.stops}"
        for look in (one, other)
    )
    return f"{head}As before, {now}." if before == now else f"{head}Before, {before}; now {now}."


def _votes(look: Look) -> str:
    """Return as SVG what all rounds can still come to after each, and which of them call."""
    count = len(look.probs)
    step = (_PLOT_W - _LEFT) / count
    cut = float(look.result.combine.cuts(np.array(list(look.result.thresholds.values())))[0])
    what = "share of rounds that call it" if look.result.combine.name == "majority" else "probability"
    text = f'font-size="11" fill="{INK}"'
    parts, said = [], []
    for k in range(count):
        x, y = _LEFT + (k + 0.5) * step, (1 - look.most[k]) * _PLOT_H
        height = max(2.0, (look.most[k] - look.least[k]) * _PLOT_H)
        pale = 0.35 if k >= look.stops else 1
        parts.append(
            f'<rect x="{x - 7:.1f}" y="{min(y, _PLOT_H - height):.1f}" width="14" height="{height:.1f}" '
            f'fill="{_BAND}" opacity="{pale}"/><circle cx="{x:.1f}" cy="{_PLOT_H + 12}" r="4.5" stroke="{INK}" '
            f'fill="{INK if look.calls[k] else "none"}"/>'
            f'<text x="{x:.1f}" y="{_PLOT_H + 30}" text-anchor="middle" {text}>{k + 1}</text>'
        )
        said.append(f"round {k + 1} {look.least[k]:.2f} to {look.most[k]:.2f}")
    line = (1 - cut) * _PLOT_H
    parts.append(
        f'<line x1="{_LEFT}" x2="{_PLOT_W}" y1="{line:.1f}" y2="{line:.1f}" stroke="{INK}" stroke-dasharray="5 3"/>'
        + "".join(
            f'<text x="{_LEFT - 6}" y="{(1 - tick) * _PLOT_H + 4:.0f}" text-anchor="end" {text}>{tick:g}</text>'
            for tick in (0, 0.5, 1)
        )
    )
    if look.stops < count:
        x = _LEFT + look.stops * step
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="-2" y2="{_PLOT_H + 18}" stroke="{EDGE}" stroke-width="3" '
            f'stroke-dasharray="4 3"/><text x="{x + 4:.1f}" y="8" font-size="11" fill="{EDGE}">could stop</text>'
        )
    return (
        f'<svg viewBox="0 -8 {_PLOT_W} {_PLOT_H + 44}" style="width:100%;max-width:{_PLOT_W}px;display:block;'
        f'margin-top:8px" role="img" aria-label="What all rounds together can still come to after each, called from '
        f'{cut:.2f} on: {"; ".join(said)}.">{"".join(parts)}</svg>'
        f'<p style="margin:0;font-size:12px;color:{FAINT}">Bars: what all rounds together can still come to ({what}) '
        "after each; broken line: from here on it is called. Dots: a full one is a round that calls it.</p>"
    )


def rows(recipes: dict[str, augment.Recipe]) -> list[dict[str, object]]:
    """Return rounds as rows of a `StepTree`, "2. A: GaussianBlur(sigma=1.0)".

    Args:
        recipes: by round, in order.
    """
    return [
        {
            "place": str(k),
            "depth": 0,
            "text": f"{k + 1}. {name}" + (f": {done(recipe)}" if done(recipe) != name else ""),
            "group": False,
        }
        for k, (name, recipe) in enumerate(recipes.items())
    ]
