"""Images side by side as HTML, each with words below; shared by the lab and the rounds explorer.

Made without matplotlib, which takes longer than all the rest of a redraw. The words are HTML, so that they can be read
aloud and scale with the page.
"""

import base64
import html
import re
from collections.abc import Sequence

import numpy as np

from cxrkit import words
from cxrkit.film import encode

#: Greatest width of an image, pixels of the page.
WIDEST_PX = 224
INK = "var(--jp-ui-font-color1, #222)"
FAINT = "var(--jp-ui-font-color2, #555)"
#: Colour of the edge around a marked image; the words below say the same.
EDGE = "#d1570a"


def answer(prob: float, called: bool, language: str) -> str:
    """Return a probability and whether it is positive, in words of a language."""
    return words.say(language, "panel.called" if called else "panel.not_called", prob=f"{prob:.2f}")


def kind(simulated: bool, language: str) -> str:
    """Return "image" or "simulated image" in a language."""
    return words.say(language, "panel.kind.simulated" if simulated else "panel.kind.film")


def rich(language: str, key: str, **fields: object) -> str:
    """Return a text of a language as HTML.

    Args:
        language: one of `words.LANGUAGES`.
        key: of the text, which is plain.
        fields: HTML, escaped where need be.
    """
    return html.escape(words.table(language)[key]).format(**fields)


def breaking(text: str) -> str:
    """Return text as HTML that may break inside names of code, which are longer than an image is wide."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?=\()", "<wbr>", html.escape(text))


def foot(language: str, key: str, *, simulated: bool) -> str:
    """Return the line below all images, as HTML: simulated or not, what the colour means, not a medical device.

    Args:
        language: one of `words.LANGUAGES`.
        key: of the text about the colour.
        simulated: the images are.
    """
    parts = {"colour": rich(language, key), "device": rich(language, "notice.device")}
    said = rich(language, "panel.foot.simulated" if simulated else "panel.foot", **parts)
    return f'<p style="margin:8px 0 0;font-size:12px;color:{FAINT}">{said}</p>'


def side_by_side(figures: Sequence[str], *, least_px: int) -> str:
    """Return figures in rows that fill the page, all with the same width.

    Args:
        figures: HTML, of `figure` or of `pair`.
        least_px: least width of each, pixels of the page.
    """
    columns = f"repeat(auto-fill,minmax({least_px}px,1fr))"
    return f'<div style="display:grid;grid-template-columns:{columns};gap:10px">{"".join(figures)}</div>'


def pair(one: str, other: str) -> str:
    """Return two figures that stay beside one another."""
    return f'<div style="grid-column:span 2;display:grid;grid-template-columns:1fr 1fr;gap:4px">{one}{other}</div>'


def figure(
    picture: np.ndarray,
    lines: Sequence[str],
    alt: str,
    *,
    marked: bool = False,
    dim: bool = False,
    last: bool = False,
) -> str:
    """Return an image with words below it.

    Args:
        picture: uint8 (H, W, 3), red, green, blue.
        lines: of HTML, escaped where need be.
        alt: what the picture shows, plain text.
        marked: put an edge around it; `lines` and `alt` say why.
        dim: show the picture pale.
        last: draw a line after it.
    Returns:
        HTML.
    """
    # A recipe may add noise: a JPEG of lower quality would add more.
    source = base64.b64encode(encode(picture, "jpeg", quality=95)).decode()
    edge = EDGE if marked else "transparent"
    pale = "opacity:.4;" if dim else ""
    # In the gap, so that no picture becomes smaller.
    line = f'<span style="position:absolute;inset:0 -5px 0 auto;border-right:3px dashed {EDGE}"></span>' if last else ""
    shown = f"width:100%;aspect-ratio:1;object-fit:contain;background:#000;display:block;{pale}"
    return (
        f'<figure style="margin:0;min-width:0;max-width:{WIDEST_PX}px;position:relative">{line}'
        f'<img alt="{html.escape(alt)}" src="data:image/jpeg;base64,{source}" '
        f'style="{shown}outline:3px solid {edge};outline-offset:-3px">'
        f'<figcaption style="font-size:12px;overflow-wrap:anywhere">{"<br>".join(lines)}</figcaption></figure>'
    )
