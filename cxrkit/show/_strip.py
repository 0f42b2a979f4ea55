"""Images side by side as HTML, each with words below; shared by the lab and the rounds explorer.

Made without matplotlib, which takes longer than all the rest of a redraw. The words are HTML, so that they can be read
aloud and scale with the page. Every function takes a language, one of `words.LANGUAGES`.
"""

import base64
import html
import re
from collections.abc import Sequence

import numpy as np

from cxrkit import words
from cxrkit.film import encode
from cxrkit.show._rendered import Html

#: Greatest width of an image, pixels of the page.
_WIDEST_PX = 224
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


def breaking(text: str) -> str:
    """Return text as HTML that may break inside names of code, which are longer than an image is wide."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?=\()", "<wbr>", html.escape(text))


def page(
    head: str, figures: Sequence[str], plot: str = "", *, least_px: int, prefix: str, simulated: bool, language: str
) -> Html:
    """Return figures in rows that fill the page, below a head and above a plot and what the colours mean; all are HTML.

    Args:
        head, figures, plot: HTML.
        least_px: least width of a figure, pixels of the page; all figures have the same.
        prefix: of the panel's texts, "lab" or "rounds".
        simulated, language: the images are simulated; the language of all words.
    """
    parts = {"colour": rich(language, f"{prefix}.strip.colour"), "device": rich(language, "notice.device")}
    foot = rich(language, "panel.foot.simulated" if simulated else "panel.foot", **parts)
    columns = f"repeat(auto-fill,minmax({least_px}px,1fr))"
    return Html(
        f'<div lang="{language}" style="{FONT};color:{INK}"><p style="margin:4px 0 8px">{head}</p>'
        f'<div style="display:grid;grid-template-columns:{columns};gap:10px">{"".join(figures)}</div>{plot}'
        f'<p style="margin:8px 0 0;font-size:12px;color:{FAINT}">{foot}</p></div>'
    )


def pair(one: str, other: str) -> str:
    """Return two figures that stay beside one another."""
    return f'<div style="grid-column:span 2;display:grid;grid-template-columns:1fr 1fr;gap:4px">{one}{other}</div>'


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
