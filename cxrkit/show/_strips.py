"""One image's rounds as HTML: its views in order, the votes, and where it could stop.

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
from cxrkit.show._strip import EDGE, FAINT, answer, breaking, figure, kind, page, rich

#: Smallest width of a view, pixels of the page: eleven fit side by side on a screen of 1280 pixels.
_LEAST_PX = 102
#: Height of the plot of votes, pixels of the page, and the colour of its bars.
_PLOT_PX, _BAND = 100, "#4c78a8"


def strip(
    one: OneImage,
    *,
    film: str,
    network: str,
    opacity: float,
    scale: float,
    marked: Sequence[str] = (),
    not_shown: bool = False,
    simulated: bool = False,
    language: str = "en",
) -> Html:
    """Draw an image's rounds in order, each view with its probability and class activation map, and the votes.

    Args:
        one: from `rounds.Viewer`.
        film, network: their names.
        opacity: of the map's strongest place, in [0, 1]; 0 shows the views alone.
        scale: value of a map drawn strongest, above 0, for all rounds.
        marked: rounds whose view differs from that in another order.
    """
    say = functools.partial(words.say, language)
    [label] = one.result.labels
    about = {"kind": kind(simulated, language), "film": film, "label": words.label(language, label)}
    votes, count = np.cumsum(one.round_positive), len(one.views)
    figures = []
    for k, (name, view) in enumerate(one.views.items()):
        recipe = done(one.recipes[name], language)
        predicted = answer(one.probs[k], one.round_positive[k], language)
        last = k + 1 == one.stops < count
        notes = {"votes": True, "other_picture": name in marked, "could_stop": last, "no_change": k >= one.stops}
        noted = {key: say(f"rounds.{key}", votes=votes[k], count=k + 1) for key, holds in notes.items() if holds}
        lines = [f"<b>{k + 1}. {html.escape(name)}</b>"]
        lines += [f'<span style="color:{FAINT}">{breaking(recipe)}</span>'] if recipe != name else []
        lines += [
            html.escape(predicted),
            *(f"<b>{note}</b>" if key == "could_stop" else note for key, note in noted.items()),
        ]
        all_notes = say("panel.and").join(noted.values())
        alt = say("rounds.alt", k=k + 1, name=name, recipe=recipe, answer=predicted, notes=all_notes, **about)
        shown = overlay(view, heat(one.maps[k], view.shape, scale=scale), opacity=opacity)
        figures.append(figure(shown, lines, alt, marked=name in marked, dim=k >= one.stops, last=last))
    names = {"network": f"<b>{html.escape(network)}</b>", "film": f"<b>{html.escape(film)}</b>"}
    warning = rich(language, "panel.not_shown") if not_shown else ""
    said = html.escape(verdict(one, language))
    head = rich(language, "rounds.head", kind=about["kind"], verdict=said, not_shown=warning, **names)
    return page(
        head,
        figures,
        _votes(one, language),
        least_px=_LEAST_PX,
        prefix="rounds",
        simulated=simulated,
        language=language,
    )


def verdict(one: OneImage, language: str = "en") -> str:
    """Return one or two sentences: the combined probability, and where the rounds could stop."""
    say = functools.partial(words.say, language)
    [(label, threshold)] = one.result.thresholds.items()
    (prob, positive), count, rule = one.combined, len(one.probs), one.result.combine.name
    predicted = answer(prob, positive, language)
    predicted = say("rounds.share", answer=predicted) if rule == "majority" else predicted
    about = {"label": words.label(language, label), "threshold": f"{threshold:.2f}", "answer": predicted}
    about["calls"] = str(one.round_positive.sum())
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
    before, now = answer(prob, positive, language), answer(prob_other, positive_other, language)
    if positive != positive_other:
        call = say("rounds.call.changes", before=before, now=now)
    elif prob != prob_other:
        key = "rounds.call.stays_called" if positive else "rounds.call.stays_not_called"
        call = say(key, before=f"{prob:.3f}", now=f"{prob_other:.3f}")
    else:
        call = say("rounds.call.answer_stays", answer=before)
    earlier, later = (
        say("rounds.stop.last" if each.stops == len(each.probs) else "rounds.stop.after", stops=each.stops)
        for each in (one, other)
    )
    stop = say("rounds.stop.same" if earlier == later else "rounds.stop.other", before=earlier, now=later)
    return say("rounds.difference.head", one=first, two=second, pictures=pictures, call=call, stop=stop)


def _votes(one: OneImage, language: str) -> str:
    """Return bars of the final values still possible after each round, above a dot for each positive round."""
    cut = float(one.result.combine.cuts(np.array(list(one.result.thresholds.values())))[0])
    what = words.say(language, "rounds.plot.majority" if one.result.combine.name == "majority" else "rounds.plot.prob")
    columns, ranges = [], []
    for k, (low, high) in enumerate(zip(one.lowest, one.highest, strict=True)):
        stop = f"border-right:2px dashed {EDGE}" if k + 1 == one.stops < len(one.probs) else ""
        place = f"bottom:{100 * low:.1f}%;height:{100 * (high - low):.1f}%;opacity:{0.5 if k >= one.stops else 1}"
        columns.append(
            f'<div style="flex:1;text-align:center;{stop}"><div style="position:relative;height:{_PLOT_PX}px"><div '
            f'style="position:absolute;left:35%;right:35%;min-height:2px;background:{_BAND};{place}"></div></div>'
            f"{'&#9679;' if one.round_positive[k] else '&#9675;'}<br>{k + 1}</div>"
        )
        ranges.append(words.say(language, "rounds.plot.range", k=k + 1, low=f"{low:.2f}", high=f"{high:.2f}"))
    alt = rich(language, "rounds.plot.alt", cut=f"{cut:.2f}", ranges=words.say(language, "panel.and").join(ranges))
    ticks = "".join(f"<span>{tick:g}</span>" for tick in (1, 0.5, 0))
    return (
        f'<div role="img" aria-label="{alt}" style="display:flex;position:relative;max-width:520px;margin-top:8px;'
        f'font-size:12px"><div style="position:absolute;left:2em;right:0;top:{(1 - cut) * _PLOT_PX:.1f}px;'
        f'border-top:1px dashed"></div><div style="display:flex;flex-direction:column;justify-content:space-between;'
        f'height:{_PLOT_PX}px;width:2em">{ticks}</div>{"".join(columns)}</div>'
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
