"""One film's rounds as HTML: pictures in order, the votes, and where it could stop; nothing is computed here.

Whatever came from a user (names of films and rounds) is escaped.
"""

import functools
import html
from collections.abc import Sequence

import numpy as np

from cxrkit import augment, words
from cxrkit.film import heat, overlay
from cxrkit.rounds import COMBINES, describe
from cxrkit.rounds._trial import Look
from cxrkit.show._rendered import Html
from cxrkit.show._strip import EDGE, FAINT, INK, answer, breaking, figure, foot, kind, rich, side_by_side

#: Narrowest that a round is shown, pixels of the page: eleven fit beside one another on a screen of 1280.
_LEAST_PX = 102
#: Widest that the votes are shown; they are drawn smaller than that, for their words to be read on a telephone.
_WIDEST_PX = 520
_PLOT_W, _PLOT_H, _LEFT = 460, 100, 34
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
    language: str = "en",
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
        language: one of `words.LANGUAGES`.
    Returns:
        HTML; every picture has a text that says the same.
    """
    say = functools.partial(words.say, language)
    [label] = look.result.labels
    strongest = max(float(look.maps.max()), 1e-6) if scale is None else scale
    about = {"kind": kind(simulated, language), "film": film, "label": words.label(language, label)}
    votes = np.cumsum(look.calls)
    count = len(look.pictures)
    figures = []
    for k, (name, picture) in enumerate(look.pictures.items()):
        recipe = done(look.recipes[name], language)
        said = answer(look.probs[k], look.calls[k], language)
        last = k + 1 == look.stops and look.stops < count
        notes = {"rounds.votes": True, "rounds.other_picture": name in marked}
        notes |= {"rounds.could_stop": last, "rounds.no_change": k >= look.stops}
        noted = {key: say(key, votes=votes[k], count=k + 1) for key, holds in notes.items() if holds}
        lines = [
            f"<b>{k + 1}. {html.escape(name)}</b>",
            html.escape(said),
            *(f"<b>{note}</b>" if key == "rounds.could_stop" else note for key, note in noted.items()),
        ]
        if recipe != name:
            lines.insert(1, f'<span style="color:{FAINT}">{breaking(recipe)}</span>')
        shown = overlay(picture, heat(look.maps[k], picture.shape, scale=strongest), opacity=opacity)
        all_notes = say("panel.and").join(noted.values())
        alt = say("rounds.alt", k=k + 1, name=name, recipe=recipe, answer=said, notes=all_notes, **about)
        figures.append(figure(shown, lines, alt, marked=name in marked, dim=k >= look.stops, last=last))
    heading = f"<b>{html.escape(title)}</b><br>" if title else ""
    head = rich(
        language,
        "rounds.head",
        network=f"<b>{html.escape(network)}</b>",
        kind=about["kind"],
        film=f"<b>{html.escape(film)}</b>",
        verdict=html.escape(verdict(look, language)),
        not_shown=rich(language, "panel.not_shown") if not_shown else "",
    )
    return Html(
        f'<div lang="{language}" style="font:13px/1.35 sans-serif;color:{INK}">'
        f'<p style="margin:4px 0 8px">{heading}{head}</p>'
        f"{side_by_side(figures, least_px=_LEAST_PX)}{_votes(look, language)}"
        f"{foot(language, 'rounds.colour', simulated=simulated)}</div>"
    )


def verdict(look: Look, language: str = "en") -> str:
    """Say what the rounds come to and when they could stop, in plain words.

    Args:
        look: what was seen.
        language: one of `words.LANGUAGES`.
    """
    say = functools.partial(words.say, language)
    [(label, threshold)] = look.result.thresholds.items()
    prob, called = look.answer
    count, rule = len(look.probs), look.result.combine.name
    said = answer(prob, called, language)
    about = {
        "label": words.label(language, label),
        "answer": say("rounds.share", answer=said) if rule == "majority" else said,
        "threshold": f"{threshold:.2f}",
        "calls": int(look.calls.sum()),
    }
    if count == 1:
        return say("rounds.verdict.one", **about)
    mode, rule = say(f"rounds.mode.{look.result.mode}"), _rule(rule, language)
    key = "rounds.verdict.stop_called" if called else "rounds.verdict.stop_not_called"
    if look.stops == count:
        key = "rounds.verdict.last"
    stop = say(key, stops=look.stops, left=count - look.stops)
    return say("rounds.verdict.many", count=count, mode=mode, rule=rule, stop=stop, **about)


def _rule(name: str, language: str) -> str:
    """Return what a way to combine is called; one that was fitted has a name of its own."""
    return words.say(language, f"rounds.combine.{name}") if name in COMBINES else name


def done(recipe: augment.Recipe, language: str = "en") -> str:
    """Say what a round does to a film, in a few words.

    Args:
        recipe: of the round.
        language: one of `words.LANGUAGES`; names of operations and parameters are code, and the same in each.
    """
    return words.say(language, "rounds.nothing") if recipe == augment.named("none") else describe(recipe)


def difference(one: Look, other: Look, swapped: tuple[str, str], changed: Sequence[str], language: str = "en") -> str:
    """Say what swapping two rounds changes, in plain words.

    Args:
        one, other: the rounds as they were and swapped.
        swapped: the two rounds.
        changed: rounds whose picture is another.
        language: one of `words.LANGUAGES`.
    """
    say = functools.partial(words.say, language)
    first, second = swapped
    if first == second:
        return say("rounds.difference.choose")
    key = f"rounds.pictures.{'changed' if changed else 'same'}.{one.result.mode}"
    pictures = say(key, changed=len(changed), count=len(other.pictures), names=", ".join(changed))
    (prob, called), (prob_other, called_other) = one.answer, other.answer
    before, now = answer(prob, called, language), answer(prob_other, called_other, language)
    if called != called_other:
        call = say("rounds.call.changes", before=before, now=now)
    elif prob != prob_other:
        key = "rounds.call.stays_called" if called else "rounds.call.stays_not_called"
        call = say(key, before=f"{prob:.3f}", now=f"{prob_other:.3f}")
    else:
        call = say("rounds.call.answer_stays", answer=before)
    earlier, later = (
        say("rounds.stop.last" if look.stops == len(look.probs) else "rounds.stop.after", stops=look.stops)
        for look in (one, other)
    )
    same = say("rounds.stop.same", now=later)
    stop = same if earlier == later else say("rounds.stop.other", before=earlier, now=later)
    return say("rounds.difference.head", one=first, two=second, pictures=pictures, call=call, stop=stop)


def _votes(look: Look, language: str) -> str:
    """Return as SVG what all rounds can still come to after each, and which of them call."""
    count = len(look.probs)
    step = (_PLOT_W - _LEFT) / count
    cut = float(look.result.combine.cuts(np.array(list(look.result.thresholds.values())))[0])
    say = functools.partial(words.say, language)
    what = say("rounds.plot.majority" if look.result.combine.name == "majority" else "rounds.plot.prob")
    text = f'font-size="12" fill="{INK}"'
    parts, said = [], []
    for k in range(count):
        x, y = _LEFT + (k + 0.5) * step, (1 - look.most[k]) * _PLOT_H
        height = max(2.0, (look.most[k] - look.least[k]) * _PLOT_H)
        pale = 0.5 if k >= look.stops else 1
        parts.append(
            f'<rect x="{x - 7:.1f}" y="{min(y, _PLOT_H - height):.1f}" width="14" height="{height:.1f}" '
            f'fill="{_BAND}" opacity="{pale}"/><circle cx="{x:.1f}" cy="{_PLOT_H + 12}" r="4.5" stroke="{INK}" '
            f'fill="{INK if look.calls[k] else "none"}"/>'
            f'<text x="{x:.1f}" y="{_PLOT_H + 30}" text-anchor="middle" {text}>{k + 1}</text>'
        )
        said.append(say("rounds.plot.range", k=k + 1, low=f"{look.least[k]:.2f}", high=f"{look.most[k]:.2f}"))
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
        # Above the bars, to the side where there is room.
        anchor = "end" if x > _PLOT_W / 2 else "start"
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="-6" y2="{_PLOT_H + 18}" stroke="{EDGE}" stroke-width="3" '
            f'stroke-dasharray="4 3"/>'
            f'<text x="{x:.1f}" y="-11" text-anchor="{anchor}" {text}>{rich(language, "rounds.plot.stop")}</text>'
        )
    alt = rich(language, "rounds.plot.alt", cut=f"{cut:.2f}", ranges=say("panel.and").join(said))
    return (
        f'<svg viewBox="0 -24 {_PLOT_W} {_PLOT_H + 60}" style="width:100%;max-width:{_WIDEST_PX}px;display:block;'
        f'margin-top:8px" role="img" aria-label="{alt}">{"".join(parts)}</svg>'
        f'<p style="margin:0;font-size:12px;color:{FAINT}">{rich(language, "rounds.plot.caption", what=what)}</p>'
    )


def rows(recipes: dict[str, augment.Recipe], language: str = "en") -> list[dict[str, object]]:
    """Return rounds as rows of a `StepTree`, "2. A: GaussianBlur(sigma=1.0)".

    Args:
        recipes: by round, in order.
        language: one of `words.LANGUAGES`.
    """
    said = [(name, done(recipe, language)) for name, recipe in recipes.items()]
    return [
        {
            "place": str(k),
            "depth": 0,
            "text": f"{k + 1}. "
            + (name if does == name else words.say(language, "panel.named", name=name, values=does)),
            "group": False,
        }
        for k, (name, does) in enumerate(said)
    ]
