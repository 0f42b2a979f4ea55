"""One image's rounds as HTML: its views in order, the votes, and where it could stop; nothing is computed here.

Text that comes from a user (names of images and rounds) is escaped.
"""

import functools
import html
from collections.abc import Sequence

import numpy as np

from cxrkit import augment, words
from cxrkit.film import heat, overlay
from cxrkit.rounds import OneImage, describe
from cxrkit.show._rendered import Html
from cxrkit.show._strip import EDGE, FAINT, INK, answer, breaking, figure, kind, page, rich

#: Smallest width of a view, pixels of the page: eleven fit side by side on a screen of 1280 pixels.
_LEAST_PX = 102
#: The plot of votes is drawn smaller than it is shown, so that its text is readable on a telephone.
_SHOWN_PX, _PLOT_W, _PLOT_H, _LEFT = 520, 460, 100, 34
_BAND = "#4c78a8"


def strip(
    one: OneImage,
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
    """Draw an image's rounds in order, each view with its probability and class activation map, and the votes.

    Args:
        one: from `rounds.Viewer`.
        film, network: their names.
        opacity: of the map's strongest place, in [0, 1]; 0 shows the views alone.
        scale: value of a map drawn strongest, above 0, for all rounds; None: the largest of these rounds.
        marked: rounds whose view differs from that in the order above.
        title: above it.
        not_shown, simulated: the label is not shown to work on real images; the image is simulated.
        language: one of `words.LANGUAGES`.
    Returns:
        HTML; every picture has a text alternative.
    """
    say = functools.partial(words.say, language)
    [label] = one.result.labels
    strongest = max(float(one.maps.max()), 1e-6) if scale is None else scale
    about = {"kind": kind(simulated, language), "film": film, "label": words.label(language, label)}
    votes = np.cumsum(one.round_positive)
    count = len(one.views)
    figures = []
    for k, (name, view) in enumerate(one.views.items()):
        recipe = done(one.recipes[name], language)
        predicted = answer(one.probs[k], one.round_positive[k], language)
        last = k + 1 == one.stops and one.stops < count
        notes = {"votes": True, "other_picture": name in marked, "could_stop": last, "no_change": k >= one.stops}
        noted = {key: say(f"rounds.{key}", votes=votes[k], count=k + 1) for key, holds in notes.items() if holds}
        lines = [
            f"<b>{k + 1}. {html.escape(name)}</b>",
            *([f'<span style="color:{FAINT}">{breaking(recipe)}</span>'] if recipe != name else []),
            html.escape(predicted),
            *(f"<b>{note}</b>" if key == "could_stop" else note for key, note in noted.items()),
        ]
        shown = overlay(view, heat(one.maps[k], view.shape, scale=strongest), opacity=opacity)
        all_notes = say("panel.and").join(noted.values())
        alt = say("rounds.alt", k=k + 1, name=name, recipe=recipe, answer=predicted, notes=all_notes, **about)
        figures.append(figure(shown, lines, alt, marked=name in marked, dim=k >= one.stops, last=last))
    heading = f"<b>{html.escape(title)}</b><br>" if title else ""
    head = rich(
        language,
        "rounds.head",
        network=f"<b>{html.escape(network)}</b>",
        kind=about["kind"],
        film=f"<b>{html.escape(film)}</b>",
        verdict=html.escape(verdict(one, language)),
        not_shown=rich(language, "panel.not_shown") if not_shown else "",
    )
    plot = _votes(one, language)
    return page(
        heading + head, figures, plot, least_px=_LEAST_PX, prefix="rounds", simulated=simulated, language=language
    )


def verdict(one: OneImage, language: str = "en") -> str:
    """Return one or two sentences: the combined probability, and where the rounds could stop."""
    say = functools.partial(words.say, language)
    [(label, threshold)] = one.result.thresholds.items()
    prob, positive = one.combined
    count, rule = len(one.probs), one.result.combine.name
    predicted = answer(prob, positive, language)
    about = {
        "label": words.label(language, label),
        "answer": say("rounds.share", answer=predicted) if rule == "majority" else predicted,
        "threshold": f"{threshold:.2f}",
        "calls": int(one.round_positive.sum()),
    }
    if count == 1:
        return say("rounds.verdict.one", **about)
    key = "last" if one.stops == count else "stop_called" if positive else "stop_not_called"
    about["mode"], about["rule"] = say(f"rounds.mode.{one.result.mode}"), say(f"rounds.combine.{rule}")
    stop = say(f"rounds.verdict.{key}", stops=one.stops, left=count - one.stops)
    return say("rounds.verdict.many", count=count, stop=stop, **about)


def done(recipe: augment.Recipe, language: str = "en") -> str:
    """Return what a round does to an image; names of operations and parameters are code in every language."""
    return words.say(language, "rounds.nothing") if recipe == augment.named("none") else describe(recipe)


def difference(one: OneImage, other: OneImage, swapped: tuple[str, str], language: str = "en") -> str:
    """Return what a swap of two rounds changes, in plain words: `one` has the rounds in order, `other` swapped."""
    say = functools.partial(words.say, language)
    first, second = swapped
    if first == second:
        return say("rounds.difference.choose")
    changed = one.changed(other)
    pictures = f"rounds.pictures.{'changed' if changed else 'same'}.{one.result.mode}"
    pictures = say(pictures, changed=len(changed), count=len(other.views), names=", ".join(changed))
    (prob, positive), (prob_other, positive_other) = one.combined, other.combined
    if positive != positive_other:
        before, now = answer(prob, positive, language), answer(prob_other, positive_other, language)
        call = say("rounds.call.changes", before=before, now=now)
    elif prob != prob_other:
        key = "rounds.call.stays_called" if positive else "rounds.call.stays_not_called"
        call = say(key, before=f"{prob:.3f}", now=f"{prob_other:.3f}")
    else:
        call = say("rounds.call.answer_stays", answer=answer(prob, positive, language))
    earlier, later = (
        say("rounds.stop.last" if each.stops == len(each.probs) else "rounds.stop.after", stops=each.stops)
        for each in (one, other)
    )
    stop = say("rounds.stop.same" if earlier == later else "rounds.stop.other", before=earlier, now=later)
    return say("rounds.difference.head", one=first, two=second, pictures=pictures, call=call, stop=stop)


def _votes(one: OneImage, language: str) -> str:
    """Return an SVG of the final values still possible after each round, and of the positive rounds."""
    count = len(one.probs)
    step = (_PLOT_W - _LEFT) / count
    cut = float(one.result.combine.cuts(np.array(list(one.result.thresholds.values())))[0])
    say = functools.partial(words.say, language)
    what = say("rounds.plot.majority" if one.result.combine.name == "majority" else "rounds.plot.prob")

    def text(x: float, y: float, anchor: str, shown: object) -> str:
        where = f'x="{x:.1f}" y="{y:.0f}" text-anchor="{anchor}"'
        return f'<text {where} font-size="12" fill="{INK}">{shown}</text>'

    def line(x: tuple[float, float], y: tuple[float, float], style: str) -> str:
        return f'<line x1="{x[0]:.1f}" x2="{x[1]:.1f}" y1="{y[0]:.1f}" y2="{y[1]:.1f}" {style}/>'

    parts = [text(_LEFT - 6, (1 - tick) * _PLOT_H + 4, "end", f"{tick:g}") for tick in (0, 0.5, 1)]
    ranges = []
    for k, (low, high) in enumerate(zip(one.lowest, one.highest, strict=True)):
        x, height = _LEFT + (k + 0.5) * step, max(2.0, (high - low) * _PLOT_H)
        parts.append(
            f'<rect x="{x - 7:.1f}" y="{min((1 - high) * _PLOT_H, _PLOT_H - height):.1f}" width="14" '
            f'height="{height:.1f}" fill="{_BAND}" opacity="{0.5 if k >= one.stops else 1}"/>'
            f'<circle cx="{x:.1f}" cy="{_PLOT_H + 12}" r="4.5" stroke="{INK}" '
            f'fill="{INK if one.round_positive[k] else "none"}"/>'
        )
        parts.append(text(x, _PLOT_H + 30, "middle", k + 1))
        ranges.append(say("rounds.plot.range", k=k + 1, low=f"{low:.2f}", high=f"{high:.2f}"))
    at = (1 - cut) * _PLOT_H
    parts.append(line((_LEFT, _PLOT_W), (at, at), f'stroke="{INK}" stroke-dasharray="5 3"'))
    if one.stops < count:
        x = _LEFT + one.stops * step
        parts.append(line((x, x), (-6, _PLOT_H + 18), f'stroke="{EDGE}" stroke-width="3" stroke-dasharray="4 3"'))
        # Above the bars, on the side with room.
        parts.append(text(x, -11, "end" if x > _PLOT_W / 2 else "start", rich(language, "rounds.plot.stop")))
    alt = rich(language, "rounds.plot.alt", cut=f"{cut:.2f}", ranges=say("panel.and").join(ranges))
    return (
        f'<svg viewBox="0 -24 {_PLOT_W} {_PLOT_H + 60}" style="width:100%;max-width:{_SHOWN_PX}px;display:block;'
        f'margin-top:8px" role="img" aria-label="{alt}">{"".join(parts)}</svg>'
        f'<p style="margin:0;font-size:12px;color:{FAINT}">{rich(language, "rounds.plot.caption", what=what)}</p>'
    )


def rows(recipes: dict[str, augment.Recipe], language: str = "en") -> list[dict[str, object]]:
    """Return recipes by round as rows of a `StepTree`, "2. A: GaussianBlur(sigma=1.0)"."""
    found: list[dict[str, object]] = []
    for k, (name, recipe) in enumerate(recipes.items()):
        does = done(recipe, language)
        text = name if does == name else words.say(language, "panel.named", name=name, values=does)
        found.append({"place": str(k), "depth": 0, "text": f"{k + 1}. {text}", "group": False})
    return found
