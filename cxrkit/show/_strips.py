"""Images side by side as HTML, each with words below: what every strip has, and the rounds of one image.

Made without matplotlib, which takes longer than all the rest of a redraw. The words are HTML, so that they can be read
aloud and scale with the page; text that comes from a user is escaped. Languages are those of `words.LANGUAGES`.
"""

import base64
import functools
import html
import re
from collections.abc import Sequence

import numpy as np

from cxrkit import augment, words
from cxrkit.film import encode, heat, overlay
from cxrkit.rounds import OneImage, describe
from cxrkit.show._rendered import Html

#: Greatest width of an image, pixels of the page. The least, of two panels: two views of the lab fit side by side on a
#: telephone, eleven rounds on a screen of 1280 pixels.
_WIDEST_PX, _LEAST_PX = 224, {"lab": 130, "rounds": 102}
#: Height of the plot of votes, pixels of the page, and the colour of its bars.
_PLOT_PX, _BAND = 100, "#4c78a8"
INK = "var(--jp-ui-font-color1, #222)"
FAINT = "var(--jp-ui-font-color2, #555)"
FONT = "font:13px/1.35 sans-serif"
#: Colour of the edge around a marked image; the words below say the same.
EDGE = "#d1570a"


def answer(prob: float, positive: bool, language: str) -> str:
    """Return a probability and whether it is positive, in words."""
    return words.say(language, "panel.called" if positive else "panel.not_called", prob=f"{prob:.2f}")


def kind(simulated: bool, language: str) -> str:
    """Return "image" or "simulated image" in a language."""
    return words.say(language, "panel.kind.simulated" if simulated else "panel.kind.film")


def rich(language: str, key: str, **fields: object) -> str:
    """Return the text of a key as HTML; its fields are HTML, escaped where need be."""
    return html.escape(words.table(language)[key]).format(**fields)


def faint(text: str) -> str:
    """Return text as pale HTML that may break inside names of code, which are longer than an image is wide."""
    broken = re.sub(r"(?<=[a-z])(?=[A-Z])|(?=\()", "<wbr>", html.escape(text))
    return f'<span style="color:{FAINT}">{broken}</span>'


def page(panel: str, head: str, figures: Sequence[str], plot: str = "", *, simulated: bool, language: str) -> Html:
    """Return the figures of a panel ("lab" or "rounds") in rows that fill the page, between a head and a plot, as HTML.

    All figures have the same width; what the colours mean stands below.
    """
    parts = {"colour": rich(language, f"{panel}.strip.colour"), "device": rich(language, "notice.device")}
    foot = rich(language, "panel.foot.simulated" if simulated else "panel.foot", **parts)
    columns = f"repeat(auto-fill,minmax({_LEAST_PX[panel]}px,1fr))"
    return Html(
        f'<div lang="{language}" style="{FONT};color:{INK}"><p style="margin:4px 0 8px">{head}</p>'
        f'<div style="display:grid;grid-template-columns:{columns};gap:10px">{"".join(figures)}</div>{plot}'
        f'<p style="margin:8px 0 0;font-size:12px;color:{FAINT}">{foot}</p></div>'
    )


def figure(
    picture: np.ndarray, lines: Sequence[str], alt: str, *, marked: bool = False, dim: bool = False, last: bool = False
) -> str:
    """Return an image with words below it, as HTML.

    Args:
        picture: uint8 (H, W, 3), red, green, blue.
        lines, alt: HTML below it, and plain text of what it shows.
        marked, dim, last: put an edge around it, show it pale, draw a line after it; `lines` and `alt` say why.
    """
    # A recipe may add noise: a JPEG of lower quality would add more.
    source = base64.b64encode(encode(picture, "jpeg", quality=95)).decode()
    edge, pale = EDGE if marked else "transparent", "opacity:.4;" if dim else ""
    # In the gap, so that no picture becomes smaller.
    line = f'<span style="position:absolute;inset:0 -5px 0 auto;border-right:3px dashed {EDGE}"></span>' if last else ""
    shown = f"width:100%;aspect-ratio:1;object-fit:contain;background:#000;display:block;{pale}"
    return (
        f'<figure style="margin:0;min-width:0;max-width:{_WIDEST_PX}px;position:relative">{line}'
        f'<img alt="{html.escape(alt)}" src="data:image/jpeg;base64,{source}" '
        f'style="{shown}outline:3px solid {edge};outline-offset:-3px">'
        f'<figcaption style="font-size:12px;overflow-wrap:anywhere">{"<br>".join(lines)}</figcaption></figure>'
    )


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
        one, film, network: from `rounds.Viewer`; the names of the image and the network.
        opacity: of the map's strongest place, in [0, 1]; 0 shows the views alone.
        scale: value of a map drawn strongest, above 0, for all rounds.
        marked: rounds whose view differs from that in another order.
    """
    say = functools.partial(words.say, language)
    [label] = one.result.labels
    about = {"kind": kind(simulated, language), "film": film, "label": words.label(language, label)}
    votes, count, figures = np.cumsum(one.round_positive), len(one.views), []
    for k, (name, view) in enumerate(one.views.items()):
        recipe = done(one.recipes[name], language)
        predicted = answer(one.probs[k], one.round_positive[k], language)
        last, other = k + 1 == one.stops < count, name in marked
        notes = {"votes": True, "other_picture": other, "could_stop": last, "no_change": k >= one.stops}
        noted = {key: say(f"rounds.{key}", votes=votes[k], count=k + 1) for key, holds in notes.items() if holds}
        about |= {"k": str(k + 1), "name": name, "recipe": recipe, "answer": predicted}
        alt = say("rounds.alt", notes=say("panel.and").join(noted.values()), **about)
        lines = [f"<b>{k + 1}. {html.escape(name)}</b>", *([faint(recipe)] if recipe != name else [])]
        lines += [html.escape(predicted)]
        lines += [f"<b>{note}</b>" if key == "could_stop" else note for key, note in noted.items()]
        picture = overlay(view, heat(one.maps[k], view.shape, scale=scale), opacity=opacity)
        figures.append(figure(picture, lines, alt, marked=other, dim=k >= one.stops, last=last))
    names = {"network": f"<b>{html.escape(network)}</b>", "film": f"<b>{html.escape(film)}</b>"}
    names |= {"verdict": html.escape(verdict(one, language)), "kind": about["kind"]}
    warning = rich(language, "panel.not_shown") if not_shown else ""
    head = rich(language, "rounds.head", not_shown=warning, **names)
    return page("rounds", head, figures, _votes(one, language), simulated=simulated, language=language)


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
    about |= {"mode": say(f"rounds.mode.{one.result.mode}"), "rule": say(f"rounds.combine.{rule}")}
    stop = say(f"rounds.verdict.{key}", stops=one.stops, left=count - one.stops)
    return say("rounds.verdict.many", count=count, stop=stop, **about)


def done(recipe: augment.Recipe, language: str = "en") -> str:
    """Return what a round does to an image; names of operations and parameters are code in every language."""
    return words.say(language, "rounds.nothing") if recipe == augment.load("none") else describe(recipe)


def difference(one: OneImage, other: OneImage, swapped: tuple[str, str], language: str = "en") -> str:
    """Return what a swap of two rounds changes, in plain words: `one` has the rounds in order, `other` swapped."""
    say = functools.partial(words.say, language)
    first, second = swapped
    if first == second:
        return say("rounds.difference.choose")
    changed = one.changed(other)
    key = f"rounds.pictures.{'changed' if changed else 'same'}.{one.result.mode}"
    pictures = say(key, changed=len(changed), count=len(other.views), names=", ".join(changed))
    (prob, positive), (prob_other, positive_other) = one.combined, other.combined
    before, now = answer(prob, positive, language), answer(prob_other, positive_other, language)
    if positive != positive_other:
        call = say("rounds.call.changes", before=before, now=now)
    elif prob == prob_other:
        call = say("rounds.call.answer_stays", answer=before)
    else:
        key = "rounds.call.stays_called" if positive else "rounds.call.stays_not_called"
        call = say(key, before=f"{prob:.3f}", now=f"{prob_other:.3f}")
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
